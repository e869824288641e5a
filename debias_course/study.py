"""Methods × seeds on one data set: paired, in parallel, cached, one tidy table.

A seed decides the data's colours, the model's start and the batch order, and is the same for every method: so the
difference of two methods is taken seed by seed. A finished run is kept in the cache folder under a key made of the
configuration, the data, the start of the model and the code that computes it: the same run is never done twice, an
interrupted study continues where it stopped, and an edited method is measured anew.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch

from . import models, training
from .cache import cache_folder
from .data import Splits
from .evaluation import GroupReport
from .jobs import Job, read, run_and_keep
from .methods import Method

SETTINGS = {"epochs", "batch_size", "lr", "weight_decay", "select", "optimizer", "augment"}
AVERAGES = ("overall", "train_weighted", "group_balanced", "worst_group")
METRICS = (*AVERAGES, "worst_class", "many_shot", "medium_shot", "few_shot")


def parse_seeds(seeds: int | str | Sequence[int]) -> list[int]:
    """5 or "5" -> 0 to 4; "100:105" -> 100 to 104; a sequence stays what it is."""
    if isinstance(seeds, str):
        first, colon, end = seeds.partition(":")
        try:
            seeds = range(int(first), int(end)) if colon else int(first)
        except ValueError:
            raise ValueError(f"seeds are {seeds!r}; use a count such as 5 or a range such as 100:105") from None
    try:
        chosen = (
            list(range(operator.index(seeds))) if not hasattr(seeds, "__iter__") else [operator.index(s) for s in seeds]
        )
    except TypeError:
        raise ValueError(f"seeds are {seeds!r}; use a count, a range or whole numbers") from None
    if not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen):
        raise ValueError(f"seeds are {seeds!r}; use at least one, none negative and none twice")
    return chosen


class Mean(NamedTuple):
    """A mean over seeds with its interval (Student's t), of 95 % unless said; from one seed there is no interval."""

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95

    def __str__(self) -> str:
        interval = f"{100 * self.level:.3g}% {self.low:.3f} to {self.high:.3f}, " if self.n > 1 else ""
        return f"{self.value:.3f} ({interval}{self.n} seed{'s' * (self.n > 1)})"


def mean_over_seeds(values: Sequence[float], level: float = 0.95) -> Mean:
    """Mean ± t_{n-1, (1 + level) / 2} · s / √n  (Student 1908)."""
    from scipy.special import stdtrit

    n, center = len(values), sum(values) / len(values)
    if n < 2:
        return Mean(center, -math.inf, math.inf, n, level)
    spread = math.sqrt(sum((v - center) ** 2 for v in values) / (n - 1))
    half = float(stdtrit(n - 1, (1 + level) / 2)) * spread / math.sqrt(n)
    return Mean(center, center - half, center + half, n, level)


def study(
    methods: Mapping[str, Method],
    data: Callable[..., Splits] | Splits,
    *,
    seeds: int | str | Sequence[int] = 5,
    model: Callable[..., torch.nn.Module] = models.mlp,
    device: torch.device | str | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
    **settings: Any,
) -> Study:
    """Run every method with every seed and test the selected models.

    methods   name -> method; the names appear in tables and pictures
    data      called as data(seed=s) -> Splits, or fixed Splits
    model     called as model(splits.train, seed=s)
    n_jobs    worker processes: all cores by default, one on a GPU; `joblib.parallel_config` chooses other backends,
              such as a cluster's (with threads, the runs go one by one)
    settings  as for `training.train`: epochs, batch_size, lr, weight_decay, select

    Interrupted with Ctrl-C, it keeps every finished run: the same call goes on from there.
    """
    for name, method in methods.items():
        if not isinstance(method, Method):
            raise TypeError(f"method {name!r} is {method!r}; pass an instance, such as ERM()")
    unknown = sorted(set(settings) - SETTINGS)
    if unknown:
        raise TypeError(f"study has no setting {unknown[0]!r}; there are {', '.join(sorted(SETTINGS))}")
    settings = plain_settings(data, settings)
    seeds = parse_seeds(seeds)
    device = str(training.pick_device(device))
    jobs = [
        Job(n, m, data, model, s, tuple(sorted(settings.items())), device) for s in seeds for n, m in methods.items()
    ]
    with progress_bar(len(jobs), show=progress) as bar:
        records = run_all(jobs, bar, n_jobs=n_jobs)
    return Study(list(methods), methods, seeds, [dict(r, name=j.name) for j, r in zip(jobs, records)])


def plain_settings(data: Callable[..., Splits] | Splits, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as numbers of Python, which can be kept; TypeError for data that are neither Splits nor a function."""
    if not (callable(data) or isinstance(data, Splits)):
        raise TypeError(f"data is a {type(data).__name__}; pass a function of seed, or Splits(train, validation, test)")
    return {name: value.item() if hasattr(value, "item") else value for name, value in settings.items()}


def progress_bar(total: int, *, show: bool):
    """A bar of `total` runs, with an estimate of the time that is left from the mean time of those that were done."""
    from tqdm import tqdm

    return tqdm(total=total, desc="runs", unit="run", smoothing=0, disable=not show, file=sys.stderr)


def run_all(jobs: Sequence[Job], bar, *, n_jobs: int | None = None) -> list[dict[str, Any]]:
    """The records of all jobs, of one device, in their order; those that are kept are read, the others run and kept.
    All are counted on `bar`, a `progress_bar` with room for them."""
    import joblib

    if n_jobs is not None and n_jobs < 1:
        raise ValueError(f"{n_jobs} runs at a time are none; use a whole number from 1")
    folder = cache_folder() / "runs"
    paths = []
    for _, alike in itertools.groupby(jobs, lambda job: (id(job.data), job.seed)):
        first, *others = alike
        first = first.with_data()
        paths += [folder / f"{job.key()}.json" for job in (first, *(replace(job, data=first.data) for job in others))]
    records: list[dict | None] = [read(path) for path in paths]
    missing = [i for i, record in enumerate(records) if record is None]
    backend, _ = joblib.parallel.get_active_backend()
    n_jobs = n_jobs or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    if any(job.device != "cpu" for job in jobs) or isinstance(backend, joblib.parallel.BACKENDS["threading"]):
        n_jobs = 1  # one GPU is one worker; threads would share the random generators of the process
    n_jobs = min(n_jobs, len(missing))
    kept = len(jobs) - len(missing)
    if not bar.disable:
        bar.n, bar.initial = bar.n + kept, bar.initial + kept  # they took no time and say nothing of the others
        bar.refresh()
    if missing:
        work = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
        for i, record in work(joblib.delayed(run_and_keep)(jobs[i], paths[i], i) for i in missing):
            records[i] = record
            bar.update()
    return records


@dataclass(frozen=True, repr=False)
class Study:
    """The results of `study`, by method and seed."""

    names: list[str]
    methods: Mapping[str, Method]
    seeds: list[int]
    records: list[dict[str, Any]]

    def report(self, name: str, seed: int) -> GroupReport:
        """The test report of one run."""
        for record in self.records:
            if record["name"] == name and record["seed"] == seed:
                fields = record["report"].items()
                return GroupReport(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields})
        raise KeyError(f"no run of {name!r} with seed {seed}; there are {self.names} with seeds {self.seeds}")

    def value(self, name: str, seed: int, metric: str = "worst_group") -> float:
        """One number of one run; `metric` is one of `METRICS`."""
        if metric not in METRICS:
            raise ValueError(f"metric is {metric!r}; use one of {', '.join(METRICS)}")
        if (name, seed, metric) not in self._values:  # with a hundred groups it takes a while
            self._values[name, seed, metric] = getattr(self.report(name, seed), metric).value
        return self._values[name, seed, metric]

    @functools.cached_property
    def _values(self) -> dict[tuple[str, int, str], float]:
        return {}

    def mean(self, name: str, metric: str = "worst_group") -> Mean:
        return mean_over_seeds([self.value(name, seed, metric) for seed in self.seeds])

    def difference(self, name: str, baseline: str, metric: str = "worst_group", *, level: float = 0.95) -> Mean:
        """`name` minus `baseline`, taken seed by seed. Equal differences, which few seeds and small groups bring about
        by chance, say nothing about their spread, and so nothing about the interval."""
        gains = [self.value(name, s, metric) - self.value(baseline, s, metric) for s in self.seeds]
        mean = mean_over_seeds(gains, level)
        if mean.value and max(gains) - min(gains) < 1e-9:
            return mean._replace(low=-math.inf, high=math.inf)
        return mean

    def differences(self, baseline: str, metric: str = "worst_group"):
        """Data frame: every other method minus `baseline`, seed by seed. The intervals hold all at once, with 95 %:
        each is made wider for the number of methods (Bonferroni: level 1 - 0.05 / m)."""
        import pandas as pd

        others = [name for name in self.names if name != baseline]
        level = 1 - 0.05 / max(len(others), 1)
        found = {name: self.difference(name, baseline, metric, level=level) for name in others}
        rows = [dict(method=n, difference=d.value, low=d.low, high=d.high, level=d.level) for n, d in found.items()]
        return pd.DataFrame(rows, columns=["method", "difference", "low", "high", "level"])

    def ranks(self, metric: str = "worst_group") -> dict[str, tuple[int, int]]:
        """The ranks that each method may have, best and worst, at once for all with 95 %: a method stands behind those
        that are better by the whole of a paired interval, and before those that are worse by it; all others it
        overlaps (after Mogstad et al. 2024; Bonferroni over all pairs)."""
        pairs = len(self.names) * (len(self.names) - 1) / 2
        level = 1 - 0.05 / max(pairs, 1)
        ranks = {}
        for name in self.names:
            others = [self.difference(name, other, metric, level=level) for other in self.names if other != name]
            better, worse = sum(d.high < 0 for d in others), sum(d.low > 0 for d in others)
            ranks[name] = (1 + better, len(self.names) - worse)
        return ranks

    @property
    def group_names(self) -> list[str]:
        return self.report(self.names[0], self.seeds[0]).group_names

    @property
    def table(self):
        """Data frame: one row per method, seed and group."""
        import pandas as pd

        frames = []
        for record in self.records:
            frame = self.report(record["name"], record["seed"]).table()
            frame.insert(0, "method", record["name"])
            frame.insert(1, "seed", record["seed"])
            frame["epoch"], frame["seconds"] = record["epoch"], round(record["seconds"], 3)
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    @property
    def summary(self):
        """Data frame: one row per method with mean and interval of each average, seconds per run, and needs."""
        import pandas as pd

        rows = []
        for name in self.names:
            row: dict[str, Any] = dict(method=name)
            for metric in AVERAGES:
                try:
                    mean = self.mean(name, metric)
                except ValueError:  # a group that was trained on is not in the test set
                    mean = Mean(math.nan, math.nan, math.nan, len(self.seeds))
                row |= {metric: mean.value, f"{metric}_low": mean.low, f"{metric}_high": mean.high}
            seconds = [r["seconds"] for r in self.records if r["name"] == name]
            row |= dict(seconds=sum(seconds) / len(seconds), needs=self.methods[name].needs)
            rows.append(row)
        return pd.DataFrame(rows)

    @property
    def history(self):
        """Data frame: one row per method, seed, epoch and validation group, with accuracies and training loss."""
        import pandas as pd

        rows = [dict(method=r["name"], seed=r["seed"], **row) for r in self.records for row in r["history"]]
        frame = pd.DataFrame(rows)
        frame["accuracy"] = frame["correct"] / frame["n"].where(frame["n"] > 0)
        return frame

    def worst_by_epoch(self) -> dict[str, tuple[list[int], list[float]]]:
        """For `figures.curves`: per method the epochs and the worst validation group, as a mean over seeds."""
        lines = {}
        for name, history in self.history.groupby("method", sort=False):
            worst = history.groupby(["seed", "epoch"])["accuracy"].min().groupby("epoch").mean()
            lines[name] = (worst.index.tolist(), worst.tolist())
        return lines

    def __repr__(self) -> str:
        return f"Study({', '.join(self.names)}; seeds {self.seeds})"
