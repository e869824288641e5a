"""One run of a study: what it needs, the key under which its result is kept, and how it is kept."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType
from typing import Any

import torch

from . import models, training
from .cache import write_atomically
from .data import Splits
from .evaluation import evaluate
from .fingerprints import code_of
from .methods import Method


@dataclass(frozen=True)
class Job:
    """One run of a study: everything that a worker needs, and the key under which its result is kept."""

    name: str
    method: Method
    data: Callable[..., Splits] | Splits
    model: Callable[..., torch.nn.Module]
    seed: int
    settings: tuple[tuple[str, Any], ...]
    device: str
    may_diverge: bool = False  # then a loss that is no longer finite is a result, too: one of a search's settings

    def with_data(self) -> Job:
        """The same run with its data at hand; the key stays the same."""
        return self if isinstance(self.data, Splits) else replace(self, data=self.data(seed=self.seed))

    def build(self) -> tuple[Splits, torch.nn.Module]:
        """Data and start; a model that does not seed itself gets the job's seed, so that methods stay paired."""
        splits = self.with_data().data
        with models.isolated_randomness(self.seed):
            return splits, self.model(splits.train, seed=self.seed)

    def key(self) -> str:
        """Equal keys mean equal results: configuration, data, start and code go in."""
        import joblib

        splits, model = self.build()
        settings = [(k, code_of(v) if isinstance(v, FunctionType) else v) for k, v in self.settings]
        digest = hashlib.sha256(repr((self.method, self.seed, settings, self.device, torch.__version__)).encode())
        for part in splits:
            digest.update(part.fingerprint().encode())
        digest.update(code_of(training.train, evaluate, type(self.method)).encode())
        for name, module in model.named_modules():
            fields = {k: v for k, v in vars(module).items() if not k.startswith("_")}
            code = [v for v in fields.values() if isinstance(v, FunctionType)]
            code += [type(module), *module._forward_hooks.values(), *module._forward_pre_hooks.values()]
            plain = sorted((k, v) for k, v in fields.items() if not isinstance(v, FunctionType))
            digest.update(f"{name} {type(module).__qualname__} {code_of(*code)} {joblib.hash(plain)}".encode())
        for name, parameter in model.named_parameters():
            digest.update(f"{name} {parameter.requires_grad}".encode())
        for value in model.state_dict().values():
            digest.update(value.cpu().contiguous().numpy())
        return digest.hexdigest()

    def run(self) -> dict[str, Any]:
        """Train and test."""
        splits, model = self.build()
        try:
            result = training.train(
                model,
                splits.train,
                self.method,
                validation=splits.validation,
                seed=self.seed,
                device=self.device,
                **dict(self.settings),
            )
        except FloatingPointError as error:
            if not self.may_diverge:
                raise FloatingPointError(f"{self.name!r} with seed {self.seed}: {error}") from error
            return dict(seed=self.seed, report=None, history=[], seconds=math.nan, diverged=str(error))
        return dict(
            seed=self.seed,
            method=repr(self.method),
            settings=result.settings,
            report=vars(evaluate(result.model, splits.test, train=splits.train)),
            epoch=result.epoch,
            history=result.records,
            seconds=result.seconds,
        )


def run_and_keep(job: Job, path: Path, index: int) -> tuple[int, dict]:
    job = job.with_data()
    if job.key() != path.stem:
        raise RuntimeError(
            f"{job.name!r} is something else in a worker process than in yours; if you edited a file after importing "
            "it, restart the kernel, and if the model or the data are random, make them follow their seed"
        )
    record = job.run()
    try:
        if "diverged" not in record:  # that is no result for those who do not search
            write_atomically(path, json.dumps(record).encode())
    except OSError:
        pass  # a cache that cannot be written costs time, not results
    return index, json.loads(json.dumps(record))


def read(path: Path) -> dict | None:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and {"seed", "report", "history"} <= set(record) else None
