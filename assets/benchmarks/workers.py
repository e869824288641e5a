"""What a run costs beyond its own time, on 1, 2 and 3 workers of this machine, of Dask and of Ray.

    python assets/benchmarks/workers.py        six minutes, on a machine that does nothing else; extras [dask] and [ray]

A study of short runs is done in this process, and by workers that are already there and have done others before. With w
workers on c cores, a run's overhead is the wall time times min(w, c), less what the runs take in this process, over
their number. All are measured in turns, and the median of the rounds is kept; the table goes into a file beside this
one, with cores and versions.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import torch

from debias_course import models, study
from debias_course.data import toys
from debias_course.methods import ERM, GroupDRO

RUNS, ROUNDS, WORKERS = 60, 3, (1, 2, 3)
METHODS = {"plain": ERM(), "robust": GroupDRO()}
STUDY = partial(study, METHODS, partial(toys.shortcut, n=2000), model=models.mlp, epochs=10, progress=False)


@contextlib.contextmanager
def local(workers: int) -> Iterator[dict[str, int]]:
    """Processes, as a study starts them; one is this process."""
    yield dict(n_jobs=workers)


@contextlib.contextmanager
def dask(workers: int) -> Iterator[dict[str, int]]:
    """A cluster of processes with one thread each."""
    from distributed import Client, LocalCluster

    how = dict(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    with LocalCluster(**how) as cluster, Client(cluster) as client, joblib.parallel_config("dask", client=client):
        yield {}


@contextlib.contextmanager
def ray(workers: int) -> Iterator[dict[str, int]]:
    """A cluster of processes, one for each core that it is told of."""
    import ray
    from ray.util.joblib import register_ray

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    register_ray()
    try:
        with joblib.parallel_config("ray"):
            yield {}
    finally:
        ray.shutdown()


def seconds(seeds: str, **how: Any) -> float:
    """Wall time of a study that nobody has kept."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DEBIAS_COURSE_CACHE"] = folder
        started = time.perf_counter()
        STUDY(seeds=seeds, **how)
        return time.perf_counter() - started


def main() -> None:
    """Measure all, print the table, and keep it."""
    each, cores = RUNS // len(METHODS), len(os.sched_getaffinity(0))
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS):
        for kind in (local, dask, ray):
            for workers in WORKERS:
                with kind(workers) as how:
                    for _ in range(2):
                        seconds(f"900:{900 + 2 * workers}", **how)  # imports, and what is sent once
                    found.setdefault((kind.__name__, workers), []).append(seconds(f"0:{each}", **how))
    own = statistics.median(found["local", 1]) / RUNS
    rows = []
    for (name, workers), walls in found.items():
        wall = statistics.median(walls)
        over = wall * min(workers, cores) / RUNS - own
        rows.append(dict(workers=f"{workers} {name}", wall=round(wall, 2), overhead=round(over, 4)))
        print(f"{workers} {name:<6} {RUNS} runs in {wall:5.2f} s; {1000 * over:+6.0f} ms a run", flush=True)
    versions = {name: importlib.metadata.version(name) for name in ("joblib", "distributed", "ray", "torch")}
    facts = dict(cores=cores, run=round(own, 4), runs=RUNS, rounds=ROUNDS, versions=versions, table=rows)
    Path(__file__).with_name("workers.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
