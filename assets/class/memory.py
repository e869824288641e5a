"""Measure what each lecture needs, run as a whole: python assets/class/memory.py [LECTURE ...]

The peak of the memory of the kernel with its workers (resident; what they share is counted for each), and the seconds,
are kept in memory.json; the instructor's guide prints them. The cache is empty, so that everything is trained.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbclient import NotebookClient

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KEPT = HERE / "memory.json"
EVERY = 0.1  # seconds between two looks


def resident(process: psutil.Process) -> int:
    """Bytes of a process and all that it started."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def watched(client: NotebookClient) -> int:
    """Execute a notebook; the peak of its kernel's memory in bytes."""
    peak, done = 0, threading.Event()

    def look() -> None:
        nonlocal peak
        while not done.wait(EVERY):
            for kernel in psutil.Process().children():
                try:
                    peak = max(peak, resident(kernel))
                except psutil.NoSuchProcess:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        client.execute()
    finally:
        done.set()
        watcher.join()
    return peak


def measure(lecture: str) -> dict[str, Any]:
    """Megabytes and seconds of a lecture."""
    book = nbformat.read(ROOT / "notebooks" / f"{lecture}.ipynb", as_version=4)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["DEBIAS_COURSE_CACHE"] = cache
        os.environ.pop("DEBIAS_COURSE_SHARED_CACHE", None)
        start = time.perf_counter()
        peak = watched(NotebookClient(book, timeout=900, resources={"metadata": {"path": str(ROOT / "notebooks")}}))
        seconds = time.perf_counter() - start
    return dict(megabytes=round(peak / 1e6), seconds=round(seconds), cores=len(os.sched_getaffinity(0)))


def main(lectures: list[str]) -> None:
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for lecture in lectures:
        kept[lecture] = measure(lecture)
        print(lecture, kept[lecture], flush=True)
        KEPT.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))])
