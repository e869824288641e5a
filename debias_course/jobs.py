"""One run of a study: what it needs, the key under which its result is kept, and how it is kept."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from numbers import Real
from pathlib import Path
from typing import Any

import cloudpickle
import torch

from . import contexts, training
from .cache import keep
from .data import GroupedData, Splits, StreamedData
from .evaluation import GroupReport, evaluate
from .fingerprints import fingerprint
from .methods import Method


@dataclass(frozen=True)
class Job:
    """One run of a study: everything that a worker needs. `data` and `model` are functions of the seed until they are
    built."""

    name: str
    method: Method
    data: Callable[..., Splits] | Splits
    model: Callable[..., torch.nn.Module] | torch.nn.Module
    seed: int
    settings: tuple[tuple[str, Any], ...]
    device: str
    may_diverge: bool = False  # then a loss that is no longer finite is a result, too: one of a search's settings

    def built(self) -> Job:
        """The same run with its data and its start at hand. A model that does not seed itself gets the job's seed, so
        that methods stay paired."""
        data = self.data if isinstance(self.data, Splits) else self.data(seed=self.seed)
        if not isinstance(data, Splits):
            raise TypeError(
                f"data(seed={self.seed}) returned a {type(data).__name__}; return Splits(train, validation, test)"
            )
        if isinstance(self.model, torch.nn.Module):
            return replace(self, data=data)
        with contexts.isolated_randomness(self.seed):
            model = self.model(data.train, seed=self.seed)
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"model(data.train, seed={self.seed}) returned a {type(model).__name__}; return a network")
        return replace(self, data=data, model=model)

    def run(self) -> dict[str, Any]:
        """Train and test. Method and settings are copies, so that an object that remembers tells no other run."""
        job = self.built()
        method, settings = copy.deepcopy((job.method, dict(job.settings)))
        validation = job.data.validation
        try:
            result = training.train(
                job.model, job.data.train, method, validation=validation, seed=job.seed, device=job.device, **settings
            )
        except FloatingPointError as error:
            if not self.may_diverge:
                raise FloatingPointError(f"{self.name!r} with seed {self.seed}: {error}") from error
            return dict(seed=self.seed, report=None, history=[], seconds=math.nan, diverged=str(error))
        report = evaluate(result.model, job.data.test, train=job.data.train)
        return dict(
            seed=self.seed,
            method=repr(self.method),
            settings=result.settings,
            report={each.name: getattr(report, each.name) for each in fields(GroupReport)},
            epoch=result.epoch,
            history=result.records,
            seconds=result.seconds,
        )


BUILT = 2**30  # bytes of data that may wait for their runs; what is beyond is built again where it is needed


def size_of(data: Splits) -> int:
    """Bytes of the inputs."""
    return sum(part.inputs.nbytes for part in data)


def remembered(data: Callable[..., Splits] | Splits) -> Callable[..., Splits] | Splits:
    """`data`, a function of the seed, that builds for each seed once, as far as it may keep them."""
    if isinstance(data, Splits):
        return data
    known: dict[int, Splits] = {}

    def of(*, seed: int) -> Splits:
        if seed in known:
            return known[seed]
        built = data(seed=seed)
        if isinstance(built, Splits) and sum(map(size_of, known.values())) + size_of(built) <= BUILT:
            known[seed] = built
        return built

    return of


@dataclass(frozen=True)
class Keyed:
    """A job that is built, with hashes of everything that decides its result: the data, and all else."""

    job: Job
    content: str
    rest: str

    @property
    def key(self) -> str:
        """Equal keys mean equal results."""
        return hashlib.sha256(f"{self.content} {self.rest}".encode()).hexdigest()


def keyed(jobs: Iterable[Job]) -> Iterator[Keyed]:
    """The jobs in order. Neighbours of one seed share their data and their start; each of these is built and hashed
    once, and so is each method and the code of training. Raises NoFingerprint for what cannot be known."""
    known: dict[int, tuple[Any, str]] = {}  # by id, with the thing, so that the id stays its own

    def once(thing: Any) -> str:
        if id(thing) not in known:
            known[id(thing)] = thing, fingerprint(thing)
        return known[id(thing)][1]

    once(Job.run)
    for _, alike in itertools.groupby(jobs, key=lambda job: (id(job.data), job.seed)):
        data, starts, content = None, {}, ""
        for job in alike:
            built = replace(job, data=data or job.data, model=starts.get(id(job.model), job.model)).built()
            data, starts[id(job.model)] = built.data, built.model
            content = content or fingerprint([(part.fingerprint(), _more(part)) for part in data])
            yield Keyed(built, content, _rest(built, once))
        for start in starts.values():
            known.pop(id(start), None)


def _rest(job: Job, once: Callable[[Any], str]) -> str:
    """Hash of all that decides the result of a built job, but for what its data hold."""
    parts = [once(each) for each in (Job.run, job.method, job.model, *(type(part) for part in job.data))]
    torch_is = [torch.__version__, torch.get_default_dtype(), torch.get_float32_matmul_precision()]
    torch_is += [torch.are_deterministic_algorithms_enabled(), str(torch.get_default_device())]
    torch_is += [torch.is_autocast_enabled(torch.device(job.device).type)]
    return fingerprint(parts, job.seed, job.settings, job.device, torch_is)


def _more(part: GroupedData) -> dict[str, Any]:
    """The fields that a class of somebody else's has beyond those of ours."""
    ours = {each.name for kind in (GroupedData, StreamedData) for each in fields(kind)}
    return {each.name: getattr(part, each.name) for each in fields(part) if each.name not in ours}


class Sent:
    """Something on its way to a worker, as bytes, which are read where it is asked for; none if it cannot be sent."""

    def __init__(self, thing: Any = None, content: bytes = b""):
        self.known, self.content = thing, content

    @property
    def thing(self) -> Any:
        """What was sent."""
        return pickle.loads(self.content) if self.content else self.known

    def __reduce__(self):
        try:
            return Sent, (None, cloudpickle.dumps(self.known))
        except Exception:
            return Sent, (None, b"")


def run_and_keep(sent: Sent, path: Path, index: int, process: int) -> tuple[int, dict[str, Any] | None]:
    """Run a `Keyed` job and keep its record at `path`: (index, record). Another process than that which made it returns
    None for the record where the job is something else there: what was defined in a notebook may lose something on its
    way, and a file may have been edited after it was imported."""
    here = os.getpid() == process
    try:
        expected: Keyed = sent.thing
        (found,) = keyed([expected.job])
    except Exception:
        if here:
            raise
        return index, None
    if found.key != expected.key:
        if not here:
            return index, None
        raise RuntimeError(
            f"{found.job.name!r} is something else than a moment ago: another run has changed what it uses, such as "
            "a table, a generator or the data themselves; let every run make its own, or run each in a fresh process"
        )
    record = json.loads(json.dumps(dict(found.job.run(), key=path.stem)))
    keep(path, json.dumps(record).encode())
    return index, record


def read(path: Path) -> dict[str, Any] | None:
    """The record that is kept at `path`; None where there is none, or one that is damaged or of another run. That of a
    run that diverged has `diverged`, a sentence, and no report."""
    try:
        record = json.loads(path.read_bytes())
        if isinstance(record.get("diverged"), str) and record["key"] == path.stem:
            return record
        report = GroupReport(**{name: tuple(value) for name, value in record["report"].items()})
        groups = len(report.label_names) * len(report.attribute_names)
        counts = (report.correct, report.n), *(((row["correct"],), (row["n"],)) for row in record["history"])
        intact = (
            record["key"] == path.stem
            and all(_counts(right) and _counts(n) and all(c <= m for c, m in zip(right, n)) for right, n in counts)
            and [len(each) for each in (report.correct, report.n, report.train_n)] == [groups] * 3
            and _counts(report.train_n)
            and all(isinstance(name, str) for name in (*report.label_names, *report.attribute_names))
            and _counts((record["seed"], record["epoch"]))
            and all(
                _counts((row["epoch"],)) and isinstance(row["split"] + row["group"], str) for row in record["history"]
            )
            and all(_finite(each) for each in (record["seconds"], *(row["loss"] for row in record["history"])))
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return record if intact else None


def _counts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values)


def _finite(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
