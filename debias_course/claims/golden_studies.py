"""Golden runs of how lectures train: the settings taken by default, augmentation, shorter trainings, a search."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from .. import models, search, training
from ..comparison import compare
from ..data import GroupedData, Splits
from ..methods import ERM, GroupDRO
from ..optimizers import OPTIMIZERS, SCHEDULES
from ..settings import SELECT
from ..stages import stage
from ..study import Study, study

LATER = [("schedule", "constant"), ("patience", None)]  # settings that older receipts do not tell of, when they are off


def defaults() -> list[float]:
    """The settings of `train` that are not given, words as their places."""
    words = dict(select=list(SELECT), optimizer=list(OPTIMIZERS), schedule=list(SCHEDULES))
    given = {name: value for name, value in training.DEFAULTS.items() if (name, value) not in LATER}
    numbers = {name: words[name].index(value) if name in words else value for name, value in given.items()}
    return [-1.0 if value is None else float(value) for value in numbers.values()]


def brighter(inputs: Tensor) -> Tensor:
    return 1.5 * inputs + 0.25


def plane(n: int, phase: float) -> GroupedData:
    """Two labels by two attributes in a plane that a line does not separate, float [n, 2]."""
    turns = torch.arange(n) * 0.7 + phase
    labels, attributes = (torch.cos(turns) > 0).long(), (torch.sin(3 * turns) > -0.5).long()
    inputs = torch.stack([attributes + torch.cos(5 * turns), labels + torch.cos(11 * turns)], 1)
    return GroupedData(inputs, labels, attributes, ("no", "yes"), ("left", "right"))


def augmented() -> list[float]:
    """Losses of a training whose inputs are changed."""
    data = plane(64, 0.0)
    run = training.train(models.linear(data, seed=1), data, ERM(), epochs=3, lr=0.05, augment=brighter, device="cpu")
    return [row["loss"] for row in run.records]


def shortened() -> list[float]:
    """Worst and train-weighted accuracies of shorter trainings, by both kinds of rule, and the accuracies of groups."""
    splits = Splits(plane(64, 0.0), plane(48, 0.2), plane(48, 0.4))
    how: dict[str, Any] = dict(epochs=5, lr=0.05, batch_size=16, progress=False, device="cpu")
    found = study({"ERM": ERM()}, splits, seeds=[1], model=models.linear, n_jobs=1, test_every_epoch=True, **how)
    reports = [found.at(n, rule).report("ERM", 1) for n in (2, 4) for rule in ("last", "validation-worst-group")]
    told = [share.value for report in reports for share in (report.worst_group, report.train_weighted)]
    told += [share.value for report in reports for share in report.groups if share]
    return told + found.by_epoch("overall", epochs=(3, 5))["value"].tolist()


def staged() -> list[float]:
    """The weights after a training that comes first."""
    data = plane(64, 0.0)
    model = stage(models.linear(data, seed=1), data, epochs=3, lr=0.05, seed=2, device="cpu")
    return [float(value) for parameter in model.parameters() for value in parameter.flatten()]


def searched() -> list[float]:
    """The settings that a search tries, and which it takes."""
    tried = search.candidates(search.Trial("a", GroupDRO(), 1e-3, 0.0), 4)
    scored = [replace(trial, score=score) for trial, score in zip(tried, (0.2, math.nan, 0.7, 0.5))]
    steps = [cast(GroupDRO, trial.method).step_size for trial in tried]
    settings = [each for t, step in zip(tried, steps) for each in (1e3 * t.lr, t.weight_decay, step)]
    return [*settings, float(scored.index(search.best(scored)))]


OF_STUDIES = {
    "defaults": (defaults, ()),
    "augmentation": (augmented, ()),
    "shorter": (shortened, (Study.at,)),
    "stage": (staged, (stage,)),
    "search": (searched, (compare, search.candidates)),
}
