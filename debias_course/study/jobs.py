"""One run of a study: what it needs, and the key under which its result is kept."""

from __future__ import annotations

import copy
import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from .. import contexts, training
from ..data import Splits
from ..evaluation import GroupReport, evaluate
from ..fingerprints import fingerprint
from ..keys import content as content_of
from ..keys import numerics
from ..method import Method


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
    test_every_epoch: bool = False

    def built(self) -> Built:
        """The same run with its data and its start at hand. A model that does not seed itself gets the job's seed, so
        that methods stay paired."""
        data = self.data if isinstance(self.data, Splits) else self.data(seed=self.seed)
        if not isinstance(data, Splits):
            raise TypeError(
                f"data(seed={self.seed}) returned a {type(data).__name__}; return Splits(train, validation, test)"
            )
        model = self.model
        if not isinstance(model, torch.nn.Module):
            with contexts.isolated_randomness(self.seed):
                model = model(data.train, seed=self.seed)
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"model(data.train, seed={self.seed}) returned a {type(model).__name__}; return a network")
        return Built(**dict(vars(self), data=data, model=model))

    def run(self) -> dict[str, Any]:
        """Train and test. Method and settings are copies, so that an object that remembers tells no other run."""
        job = self.built()
        method, settings = copy.deepcopy((job.method, dict(job.settings)))
        settings |= dict(
            validation=job.data.validation, watch={"test": job.data.test} if self.test_every_epoch else None
        )
        try:
            result = training.train(job.model, job.data.train, method, seed=job.seed, device=job.device, **settings)
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


@dataclass(frozen=True)
class Built(Job):
    """A run with its data and its start at hand."""

    data: Splits
    model: torch.nn.Module


BUILT = 2**30  # bytes of data that may wait for their runs; what is beyond is built again where it is needed


def size_of(data: Callable[..., Splits] | Splits) -> int:
    """Bytes of the inputs, 0 before they are built."""
    return sum(part.inputs.nbytes for part in data) if isinstance(data, Splits) else 0


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
        data: Splits | None = None
        content = ""
        starts: dict[int, torch.nn.Module] = {}
        for job in alike:
            built = replace(job, data=data or job.data, model=starts.get(id(job.model), job.model)).built()
            data, starts[id(job.model)] = built.data, built.model
            content = content or content_of(data)
            yield Keyed(built, content, _rest(built, once))
        for start in starts.values():
            known.pop(id(start), None)


def _rest(job: Built, once: Callable[[Any], str]) -> str:
    """Hash of all that decides the result of a built job, but for what its data hold."""
    parts = [once(each) for each in (Job.run, job.method, job.model, *(type(part) for part in job.data))]
    return fingerprint(parts, job.seed, job.settings, job.test_every_epoch, numerics(job.device))
