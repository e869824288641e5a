"""Where the runs of a study happen: in this process, in workers, on a cluster."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cache import cache_folder, keep, places
from ..training import pick_device
from .clusters import Cluster, cluster
from .gpus import gpus, take_one
from .jobs import BUILT, Job, Keyed, keyed, size_of
from .records import Sent, read, run_and_keep, run_elsewhere

if TYPE_CHECKING:
    from tqdm import tqdm


def progress_bar(total: int, *, show: bool = True, what: str = "runs") -> tqdm:
    """A bar of `total` runs, with an estimate of the time that is left from the mean time of those that were done."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit="run", smoothing=0, disable=not show, file=sys.stderr)


@dataclass
class Missing:
    """A run that has to be done: what is run, where its record is kept, and its place among the records."""

    each: Keyed
    path: Path
    place: int


def run_all(jobs: Sequence[Job], bar: tqdm, *, n_jobs: int | None = None) -> list[dict[str, Any]]:
    """The records of all jobs, of one device, in their order; those that are kept are read, the others run and kept.
    All are counted on `bar`, a `progress_bar` with room for them. On a cluster that `joblib.parallel_config` names, all
    its workers are used. Raises WorkerDied where the system ended a worker."""
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral) or n_jobs < 1):
        raise ValueError(f"{n_jobs!r} runs at a time are none; use a whole number from 1")
    records, missing = _kept(jobs)
    kept = len(jobs) - len(missing)
    if not bar.disable:
        bar.n, bar.initial = bar.n + kept, bar.initial + kept  # they took no time and say nothing of the others
        bar.refresh()
    there = cluster() if missing else None
    found = _elsewhere(missing, there) if there else _at_home(missing, n_jobs, [job.device for job in jobs])
    by_place = {each.place: each for each in missing}
    for place, record in found:
        if record is None:  # it was something else there
            each = by_place[place]
            _, record = run_and_keep(Sent(each.each), each.path, place, os.getpid())
        records[place] = record or {}
        bar.update()
    return records


def _kept(jobs: Sequence[Job]) -> tuple[list[dict[str, Any]], list[Missing]]:
    """The records that are kept, empty where there is none, and what has to be run for those."""
    folder = cache_folder() / "runs"
    sizes: dict[int, int] = {}
    records: list[dict[str, Any]] = []
    missing = []
    for job, each in zip(jobs, keyed(jobs)):
        path = folder / f"{each.key}.json"
        records.append(next(filter(None, map(read, places(path))), {}))
        if "diverged" in records[-1] and not job.may_diverge:
            raise FloatingPointError(f"{job.name!r} with seed {job.seed}: {records[-1]['diverged']}")
        if not records[-1]:
            sizes[id(each.job.data)] = size_of(each.job.data)
            if sum(sizes.values()) > BUILT:
                del sizes[id(each.job.data)]
                each = replace(each, job=job)
            missing.append(Missing(each, path, len(records) - 1))
    return records, missing


def _at_home(
    missing: Sequence[Missing], n_jobs: int | None, devices: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(place, record) of each, as it comes, from processes of this machine, which keep them."""
    import joblib

    n_jobs = min(_at_a_time(devices, n_jobs), len(missing))
    sent = [joblib.delayed(run_and_keep)(Sent(m.each), m.path, m.place, os.getpid()) for m in missing]
    try:
        yield from _done(sent, n_jobs, on_cpu=set(devices) == {"cpu"})
    except BrokenProcessPool as error:
        raise WorkerDied(
            "a worker process was ended from outside, most likely because memory ran out; finished runs are kept: "
            f"repeat the call with fewer runs at a time than {n_jobs} (n_jobs=1, or --jobs 1), and it goes on"
        ) from error


def _elsewhere(missing: Sequence[Missing], there: Cluster) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(place, record) of each, as it comes, from a cluster; they are kept here, and data are sent once to a worker."""
    import joblib

    jobs = [m.each.job for m in missing]
    data = {key: there.put(Sent(thing)) for key, thing in {id(job.data): job.data for job in jobs}.items()}
    nothing: dict[str, Any] = dict(data=None)  # it comes apart
    bare = [replace(m.each, job=replace(m.each.job, **nothing)) for m in missing]
    calls = [joblib.delayed(run_elsewhere)(Sent(each), data[id(job.data)]) for each, job in zip(bare, jobs)]
    others = 0
    try:
        for number, record in there.done(calls):
            if record is not None:
                keep(missing[number].path, json.dumps(record).encode())
            others += record is None
            yield missing[number].place, record
    except ChildProcessError as error:
        raise WorkerDied(f"{error}; finished runs are kept: repeat the call, and it goes on") from error
    if others:
        warnings.warn(
            f"{others} of {len(missing)} runs were something else on the cluster and were done here; install the same "
            "versions of the course, of torch and of what your own code uses there, and put files in the same places",
            stacklevel=2,
        )


def _at_a_time(devices: Sequence[str], n_jobs: int | None) -> int:
    """How many runs at a time: as many as are asked for, or one for each core or GPU. Those of a GPU that was asked for
    by its number, or of another accelerator, go one by one."""
    kinds = set(devices)
    if kinds == {"cpu"}:
        return n_jobs or _cores()
    return n_jobs or len(gpus()) or 1 if kinds == {str(pick_device())} else 1


def _cores() -> int:
    import joblib

    return int(joblib.cpu_count())  # knows what a container may use, and LOKY_MAX_CPU_COUNT


def in_workers(calls: Sequence[tuple], *, n_jobs: int | None = None, what: str = "runs") -> list[Any]:
    """What calls, made by `joblib.delayed`, return, in their order, with a bar. On all cores, or on
    all workers of a cluster; one for each GPU."""
    device = str(pick_device())
    n_jobs, how = _at_a_time([device], n_jobs), dict(ordered=True, on_cpu=device == "cpu")
    there = cluster()
    with progress_bar(len(calls), what=what) as bar:
        found = there.done(calls) if there else enumerate(_done(calls, min(n_jobs, len(calls)), **how))
        done = {}
        for place, each in found:
            done[place] = each
            bar.update()
    return [done[place] for place in range(len(calls))]


def _done(calls: Sequence[tuple], n_jobs: int, *, ordered: bool = False, on_cpu: bool = True) -> Iterable[Any]:
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
        if not on_cpu:
            how |= dict(initializer=take_one, initargs=(tempfile.mkdtemp(prefix="debias-course-gpus-"), gpus(), n_jobs))
    return joblib.Parallel(n_jobs=n_jobs, **how)(calls)


class WorkerDied(ChildProcessError):
    """A worker process of a study is gone."""
