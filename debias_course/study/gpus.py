"""The GPUs of this machine, among the worker processes of a study.

A worker sees one GPU, as if it were the only one: so a run is the same on each, and so is its key.
"""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path

import torch

from ..training import pick_device


@functools.cache
def held() -> list[object]:
    """This process's hold on its place, until it ends."""
    return []


def gpus() -> list[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES has for them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    kind = pick_device().type
    known = [] if kind == "cpu" else [str(number) for number in range(getattr(torch, kind).device_count())]
    return [name.strip() for name in named.split(",")][: len(known)] if named else known


def take_one(places: str, names: list[str], workers: int) -> None:
    """Called in a new worker of so many: take the first place in a folder that is free, and see its GPU alone. The GPUs
    are dealt out in turn; whoever dies leaves the place to the process that comes instead. Ctrl-C is for who asks."""
    from filelock import FileLock, Timeout

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for place in range(workers):
        try:
            lock = FileLock(Path(places) / str(place), timeout=0)
            lock.acquire()
        except Timeout:
            continue
        held().append(lock)
        os.environ["CUDA_VISIBLE_DEVICES"] = names[place % len(names)]
        return
