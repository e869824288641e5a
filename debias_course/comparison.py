"""All methods under one protocol, so that it is the methods that differ and not the care that was taken of them.

    found = compare({"ERM": ERM(), "Group DRO": GroupDRO()}, data.colored_digits, seeds=5)
    found.table     one row per method: averages with intervals, difference to the baseline, ranks, seconds, needs
    found.searched  one row per method and setting that was tried

The data, the network, the epochs and the rule that chooses one of them are the same for all. What may be tuned is tuned
alike: every method, plain training too, is tried in the same number of settings, its own first, with one seed that the
test does not use. A setting is a learning rate, a weight decay, and a value for each knob that names values to
`search`; knobs that were set by hand are left alone. The best by the same rule, on validation, is trained with every
seed and tested.

Differences are paired by seed. Their intervals, and the ranks, are made wider for the number of comparisons, so that
all of them hold at once. Methods whose intervals overlap are said to overlap: their ranks are ranges.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from . import models, training
from .data import Splits
from .evaluation import GroupReport
from .jobs import Job
from .methods import Method, knobs
from .study import METRICS, Study, parse_seeds, run_all
from .training import SELECT

SEARCH_SEED = 990_001  # of the trials; far from the seeds of tests and claims
RATES, DECAYS = (
    (1.0, 0.3, 3.0),
    (0.0, 0.1, 1.0, 10.0),
)  # learning rates relative to the one that is given; weight decays


@dataclass(frozen=True)
class Trial:
    """One setting of one method, and how the rule liked it on validation, where it was tried."""

    name: str
    method: Method
    lr: float
    weight_decay: float
    score: float = math.nan
    seconds: float = math.nan


def candidates(name: str, method: Method, n: int, *, lr: float, weight_decay: float) -> list[Trial]:
    """n settings: the one that is given, then others at random; learning rates and weight decays are the same for all
    methods, none twice."""
    grid = [(lr * rate, decay) for rate in RATES for decay in DECAYS]
    others = random.Random(SEARCH_SEED).sample([each for each in grid if each != (lr, weight_decay)], n - 1)
    draw = random.Random(f"{SEARCH_SEED} {name}")
    free = {k: d for k, d in knobs(method).items() if d.search and getattr(method, k) == d.default}
    trials = [Trial(name, method, lr, weight_decay)]
    for rate, decay in others:
        values = {k: draw.choice([d.default, *d.search]) for k, d in free.items()}
        trials.append(Trial(name, replace(method, **values), rate, decay))
    return trials


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `compare` found: the trials of the search, the chosen ones by method, and the study of these."""

    trials: list[Trial]
    chosen: Mapping[str, Trial]
    study: Study
    baseline: str
    metric: str
    select: str

    @property
    def searched(self):
        """Data frame: one row per trial, with its score on validation and whether it was chosen."""
        import pandas as pd

        rows = [
            dict(vars(trial), method=repr(trial.method), chosen=self.chosen[trial.name] is trial)
            for trial in self.trials
        ]
        return pd.DataFrame(rows)[["name", "method", "lr", "weight_decay", "score", "seconds", "chosen"]]

    @property
    def table(self):
        """Data frame: `Study.summary`, and per method the difference to the baseline with its corrected interval, the
        first and last rank that it may have, the setting, the seconds of its search, and what selection needs."""
        frame = self.study.summary.merge(self.study.differences(self.baseline, self.metric), on="method", how="left")
        ranks = self.study.ranks(self.metric)
        frame["first_rank"], frame["last_rank"] = zip(*(ranks[name] for name in frame["method"]))
        spent = {name: sum(t.seconds for t in self.trials if t.name == name) for name in self.chosen}
        for column, values in dict(
            setting={name: repr(t.method) for name, t in self.chosen.items()},
            lr={name: t.lr for name, t in self.chosen.items()},
            weight_decay={name: t.weight_decay for name, t in self.chosen.items()},
            search_seconds=spent,
        ).items():
            frame[column] = frame["method"].map(values)
        frame["needs_in_validation"] = NEEDS[self.select]
        return frame


NEEDS = {
    "validation-worst-group": "group labels",
    "validation-worst-class": "class labels",
    "validation-mean": "class labels",
}


def compare(
    methods: Mapping[str, Method],
    data: Callable[..., Splits] | Splits,
    *,
    seeds: int | str | Sequence[int] = 5,
    model: Callable[..., torch.nn.Module] = models.mlp,
    trials: int = 4,
    baseline: str | None = None,
    metric: str = "worst_group",
    select: str = "validation-worst-group",
    epochs: int = 20,
    batch_size: int = 128,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    optimizer: str = "adamw",
    device: torch.device | str | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> Comparison:
    """Search `trials` settings of every method, and test the best of each with every seed; see the module's text.

    methods   name -> method; `baseline` is the first of them unless named
    data      called as data(seed=s) -> Splits, or fixed Splits
    trials    settings per method; 1 takes methods as they are, and there is no search
    select    the rule that chooses the epoch of a run and the setting of a method; not "last", which looks at nothing
    metric    of the differences and ranks, one of `study.METRICS`

    Interrupted, it keeps every finished run: the same call goes on from there.
    """
    for name, method in methods.items():
        if not isinstance(method, Method):
            raise TypeError(f"method {name!r} is {method!r}; pass an instance, such as ERM()")
    baseline = next(iter(methods), None) if baseline is None else baseline
    if baseline not in methods:
        raise ValueError(f"the baseline {baseline!r} is not one of the methods {', '.join(methods) or '(none)'}")
    for what, value, known in ("select", select, NEEDS), ("metric", metric, METRICS):
        if value not in known:
            raise ValueError(f"{what} is {value!r}; use one of {', '.join(map(repr, known))}")
    most = len(RATES) * len(DECAYS)
    if trials not in range(1, most + 1):
        raise ValueError(f"trials are {trials!r}; use a whole number of settings from 1 to {most}")
    seeds = parse_seeds(seeds)
    if SEARCH_SEED in seeds:
        raise ValueError(f"seed {SEARCH_SEED} is that of the search; test with others")
    device = str(training.pick_device(device))
    fixed = dict(epochs=epochs, batch_size=batch_size, optimizer=optimizer, select=select)

    def job(trial: Trial, seed: int, **options: bool) -> Job:
        settings = fixed | dict(lr=trial.lr, weight_decay=trial.weight_decay)
        return Job(trial.name, trial.method, data, model, seed, tuple(sorted(settings.items())), device, **options)

    how = dict(n_jobs=n_jobs, progress=progress)
    tried = [t for name, m in methods.items() for t in candidates(name, m, trials, lr=lr, weight_decay=weight_decay)]
    if trials > 1:
        records = run_all([job(trial, SEARCH_SEED, may_diverge=True) for trial in tried], **how, doing="search")
        tried = [
            replace(trial, score=validation_score(record, select), seconds=record["seconds"])
            for trial, record in zip(tried, records)
        ]
    chosen = {
        name: max((t for t in tried if t.name == name), key=lambda t: (t.score == t.score, t.score)) for name in methods
    }
    tests = [(name, seed) for seed in seeds for name in methods]
    records = run_all([job(chosen[name], seed) for name, seed in tests], **how, doing="test")
    found = Study(
        list(methods),
        {name: trial.method for name, trial in chosen.items()},
        seeds,
        [dict(record, name=name) for (name, _), record in zip(tests, records)],
    )
    return Comparison(tried, chosen, found, baseline, metric, select)


def validation_score(record: dict[str, Any], select: str) -> float:
    """What the rule says of the validation split at the epoch that it chose; -inf for a run that diverged."""
    if record.get("diverged"):
        return -math.inf
    rows = [r for r in record["history"] if r["epoch"] == record["epoch"] and r["split"] == "validation"]
    names = {name: tuple(record["report"][name]) for name in ("label_names", "attribute_names")}
    return SELECT[select](GroupReport(tuple(r["correct"] for r in rows), tuple(r["n"] for r in rows), **names))
