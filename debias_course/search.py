"""Settings of methods that a comparison tries, and how the rule that chooses likes them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .evaluation import GroupReport
from .method import Method, knobs
from .training import SELECT

SEARCH_SEED = 990_001  # the first of the trials; far from the seeds of tests and claims
RATES, DECAYS = (3.0, 1.0, 0.3), (10.0, 1.0, 0.1, 0.0)  # learning rates relative to the given one; weight decays
MOST = len(RATES) * len(DECAYS)  # settings that there are of every method


@dataclass(frozen=True)
class Trial:
    """One setting of one method, and how the rule liked it on validation, where it was tried."""

    name: str
    method: Method
    lr: float
    weight_decay: float
    score: float = math.nan
    seconds: float = math.nan

    @property
    def setting(self) -> str:
        """The knobs that are not at their defaults: "step_size=0.1, adjustment=1.0"."""
        values = {k: (getattr(self.method, k), d.default) for k, d in knobs(self.method).items()}
        return ", ".join(f"{k}={value}" for k, (value, default) in values.items() if value != default)


def candidates(given: Trial, n: int) -> list[Trial]:
    """n settings: the one that is given, then others, none twice. At one learning rate after the other, they vary one
    thing at a time: nothing first, then the first value that each of the method's knobs names to `search`, and the
    first weight decay, then the second ones, and so on."""
    free = {k: d.search for k, d in knobs(given.method).items() if d.search and getattr(given.method, k) == d.default}
    decays = [decay for decay in DECAYS if decay != given.weight_decay]
    turns = itertools.zip_longest(*([(k, value) for value in v] for k, v in {**free, "weight_decay": decays}.items()))
    changes = [dict([each]) for turn in turns for each in turn if each]
    trials = [given]
    for rate in RATES:
        for change in ({}, *changes):
            decay = change.get("weight_decay", given.weight_decay)
            own = {k: value for k, value in change.items() if k in free}
            trials.append(Trial(given.name, replace(given.method, **own), given.lr * rate, decay))
    return list(dict.fromkeys(trials))[:n]


def best(trials: Iterable[Trial]) -> Trial:
    """The one with the highest score; the first of those that are alike, or that have none."""
    return max(trials, key=lambda trial: (trial.score == trial.score, trial.score))


def mean_score(records: Sequence[dict[str, Any]], select: str) -> float:
    """What the rule says of the runs of one setting, on average; -inf where one of them diverged."""
    return sum(validation_score(record, select) for record in records) / len(records)


def validation_score(record: dict[str, Any], select: str) -> float:
    """What the rule says of the validation split at the epoch that it chose; -inf for a run that diverged."""
    if record.get("diverged"):
        return -math.inf
    rows = [r for r in record["history"] if r["epoch"] == record["epoch"] and r["split"] == "validation"]
    names = {name: tuple(record["report"][name]) for name in ("label_names", "attribute_names")}
    score = SELECT[select] or (lambda report: 0.0)
    return score(GroupReport(tuple(r["correct"] for r in rows), tuple(r["n"] for r in rows), **names))
