"""Where the runs of a study happen: in this process, in workers, on a cluster."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

from ..cache import cache_folder
from ..training import pick_device
from .jobs import BUILT, Job, keyed, size_of
from .records import Sent, read, run_and_keep

if TYPE_CHECKING:
    from tqdm import tqdm


def progress_bar(total: int, *, show: bool = True, what: str = "runs") -> tqdm:
    """A bar of `total` runs, with an estimate of the time that is left from the mean time of those that were done."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit="run", smoothing=0, disable=not show, file=sys.stderr)


def run_all(jobs: Sequence[Job], bar: tqdm, *, n_jobs: int | None = None) -> list[dict[str, Any]]:
    """The records of all jobs, of one device, in their order; those that are kept are read, the others run and kept.
    All are counted on `bar`, a `progress_bar` with room for them. Raises WorkerDied where the system ended a worker."""
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral) or n_jobs < 1):
        raise ValueError(f"{n_jobs!r} runs at a time are none; use a whole number from 1")
    import joblib

    folder = cache_folder() / "runs"
    sizes: dict[int, int] = {}
    records: list[dict[str, Any]] = []  # empty where it has to be run
    missing = []
    for job, each in zip(jobs, keyed(jobs)):
        path = folder / f"{each.key}.json"
        records.append(read(path) or {})
        if "diverged" in records[-1] and not job.may_diverge:
            raise FloatingPointError(f"{job.name!r} with seed {job.seed}: {records[-1]['diverged']}")
        if not records[-1]:
            sizes[id(each.job.data)] = size_of(each.job.data)
            if sum(sizes.values()) > BUILT:
                del sizes[id(each.job.data)]
                each = replace(each, job=job)
            missing.append((Sent(each), path, len(records) - 1, os.getpid()))
    kept = len(jobs) - len(missing)
    if not bar.disable:
        bar.n, bar.initial = bar.n + kept, bar.initial + kept  # they took no time and say nothing of the others
        bar.refresh()
    on_cpu = all(job.device == "cpu" for job in jobs)  # one GPU is one worker
    n_jobs = min(n_jobs or _cores(), len(missing)) if on_cpu else 1
    try:
        for i, record in _done([joblib.delayed(run_and_keep)(*each) for each in missing], n_jobs):
            if record is None:  # it was something else there
                _, record = run_and_keep(*next(each for each in missing if each[2] == i))
            records[i] = record or {}
            bar.update()
    except BrokenProcessPool as error:
        raise WorkerDied(
            "a worker process was ended from outside, most likely because memory ran out; finished runs are kept: "
            f"repeat the call with fewer runs at a time than {n_jobs} (n_jobs=1, or --jobs 1), and it goes on"
        ) from error
    return records


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_workers(calls: Sequence[tuple], *, n_jobs: int | None = None, what: str = "runs") -> list[Any]:
    """What calls, made by `joblib.delayed`, return, in their order, with a bar. On all cores; on a GPU one by one."""
    n_jobs = n_jobs or (_cores() if pick_device().type == "cpu" else 1)
    with progress_bar(len(calls), what=what) as bar:
        done = []
        for each in _done(calls, min(n_jobs, len(calls)), ordered=True):
            done.append(each)
            bar.update()
    return done


def _done(calls: Sequence[tuple], n_jobs: int, *, ordered: bool = False) -> Iterable[Any]:
    """What calls return, as it comes or in their order; with threads, which share random generators, one by one."""
    import joblib

    backend, _ = joblib.parallel.get_active_backend()
    if n_jobs <= 1 or isinstance(backend, joblib.parallel.BACKENDS["threading"]):
        return (function(*given, **named) for function, given, named in calls)
    how: dict[str, Any] = dict(return_as="list")  # then the bar moves at the end
    if backend.supports_return_generator:
        how = dict(return_as="generator" if ordered else "generator_unordered")
    if isinstance(backend, joblib.parallel.BACKENDS["loky"]):  # Ctrl-C reaches the whole group: it is for this process
        how |= dict(initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
    return joblib.Parallel(n_jobs=n_jobs, **how)(calls)


class WorkerDied(ChildProcessError):
    """A worker process of a study is gone."""
