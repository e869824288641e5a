"""Methods × seeds on one data set: paired, in parallel, cached, one tidy table.

A seed decides the data's colours, the model's start and the batch order, and is the same for every method: so the
difference of two methods is taken seed by seed. A finished run is kept in the cache folder under a key made of the
configuration, the data, the start of the model and the code that computes it: the same run is never done twice, an
interrupted study continues where it stopped, and an edited method is measured anew.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import operator
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, NamedTuple

import torch

from . import models, training
from .cache import cache_folder
from .data import Splits
from .evaluation import GroupReport, Share
from .jobs import BUILT, Job, Sent, keyed, read, run_and_keep, size_of
from .methods import Method

MOST_SEEDS = 100_000
AVERAGES = ("overall", "train_weighted", "group_balanced", "worst_group")
METRICS = (*AVERAGES, "worst_class", "many_shot", "medium_shot", "few_shot")


def parse_seeds(seeds: int | str | Sequence[int]) -> list[int]:
    """5 or "5" -> 0 to 4; "100:105" -> 100 to 104; a sequence of whole numbers from 0 to 2⁶³ - 1 stays what it is."""
    asked = seeds
    if isinstance(seeds, str):
        first, colon, end = seeds.partition(":")
        try:
            seeds = range(int(first), int(end)) if colon else int(first)
        except ValueError:
            raise ValueError(f"seeds are {asked!r}; use a count such as 5 or a range such as 100:105") from None
    try:
        seeds = seeds if isinstance(seeds, Iterable) else range(operator.index(seeds))
        given = list(itertools.islice(seeds, MOST_SEEDS + 1))
        chosen = [operator.index(seed) for seed in given]
    except TypeError:
        raise ValueError(f"seeds are {asked!r:.80}; use a count, a range or whole numbers") from None
    if not chosen or len(chosen) > MOST_SEEDS or len(set(chosen)) < len(chosen):
        raise ValueError(f"seeds are {asked!r:.80}; use 1 to {MOST_SEEDS:,} of them, and none twice")
    if not 0 <= min(chosen) <= max(chosen) < 2**63 or any(isinstance(seed, bool) for seed in given):
        raise ValueError(f"seeds are {asked!r:.80}; use whole numbers, none negative and none above 2^63 - 1")
    return chosen


class Mean(NamedTuple):
    """A mean over seeds with its interval (Student's t), of 95 % unless said; from one seed there is no interval.

    apart  how many seeds lie so far from the others that a t interval does not carry such a spread, as when training
           collapses now and then; the interval is widened to all values then"""

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95
    apart: int = 0

    def __str__(self) -> str:
        seeds = f"{self.n} seed{'s' * (self.n > 1)}"
        if not math.isfinite(self.low):
            return f"{self.value:.3f} ({seeds}{', all alike: no interval' * (self.n > 1)})"
        apart = f", {self.apart} far from the others" if self.apart else ""
        return f"{self.value:.3f} ({100 * self.level:.3g}% {self.low:.3f} to {self.high:.3f}, {seeds}{apart})"


def mean_over_seeds(values: Sequence[float], level: float = 0.95, *, trials: int | None = None) -> Mean:
    """Mean ± t_{n-1, (1 + level) / 2} · s / √n  (Student 1908).

    Equal values on all seeds say nothing about their spread: the interval is infinite then, unless they are shares of
    so many `trials` on each seed, which gives the exact binomial bounds (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv, stdtrit

    if not len(values):
        raise ValueError("there is no value, so there is no mean; measure one seed at least")
    n, center, tail = len(values), sum(values) / len(values), (1 - level) / 2
    if n < 2:
        return Mean(center, -math.inf, math.inf, n, level)
    if max(values) - min(values) < 1e-9:
        if trials is None:
            return Mean(center, -math.inf, math.inf, n, level)
        right, of = round(center * trials * n), trials * n
        low = float(betaincinv(right, of - right + 1, tail)) if right else 0.0
        high = float(betaincinv(right + 1, of - right, 1 - tail)) if right < of else 1.0
        return Mean(center, low, high, n, level)
    spread = math.sqrt(sum((v - center) ** 2 for v in values) / (n - 1))
    half = float(stdtrit(n - 1, 1 - tail)) * spread / math.sqrt(n)
    apart = far_from_the_others(values)
    ends = [min(values), max(values)] if apart else []
    return Mean(center, min([center - half, *ends]), max([center + half, *ends]), n, level, apart)


def far_from_the_others(values: Sequence[float]) -> int:
    """How many values lie further from the median than 6 + 600 / n² times the median distance from it (Hampel 1974). Of
    normal values, one sample in a hundred or fewer has such a one; with fewer than four values, none is told."""
    n, middle = len(values), statistics.median(values)
    distances = [abs(value - middle) for value in values]
    far = (6 + 600 / n**2) * statistics.median(distances)
    return sum(distance > max(far, 1e-9) for distance in distances) if n > 3 else 0


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
    check_call(methods, data, model)
    settings = training.checked_settings(settings, "study")
    seeds = parse_seeds(seeds)
    device = str(training.pick_device(device))
    given = tuple(sorted(settings.items()))
    jobs = [Job(n, m, data, model, s, given, device) for s in seeds for n, m in methods.items()]
    with progress_bar(len(jobs), show=progress) as bar:
        records = run_all(jobs, bar, n_jobs=n_jobs)
    return Study(list(methods), methods, seeds, [dict(r, name=j.name) for j, r in zip(jobs, records)])


def check_call(methods: Any, data: Any, model: Any) -> None:
    """TypeError or ValueError for methods, data or a builder of models that cannot be those of a study."""
    if not isinstance(methods, Mapping) or not methods:
        raise TypeError(f'methods are {methods!r}; pass names and methods, such as {{"ERM": ERM(), "mine": Mine()}}')
    for name, method in methods.items():
        if not isinstance(name, str) or not name.strip():
            raise TypeError(f"{name!r} is no name for a method; use a word, which tables and pictures will show")
        if not isinstance(method, Method):
            raise TypeError(f"method {name!r} is {method!r}; pass an instance, such as ERM()")
    if not isinstance(data, Splits):
        takes(data, "data", Splits, "a function of seed, or Splits(train, validation, test)", seed=0)
    if isinstance(model, torch.nn.Module):
        raise TypeError(
            f"model is one {type(model).__name__}, and every seed needs a start of its own; pass a function such as "
            "models.mlp, or lambda data, seed: copy.deepcopy(model) to start from that one always"
        )
    takes(
        model,
        "model",
        torch.nn.Module,
        "a function such as models.mlp, called as model(data.train, seed=0)",
        data,
        seed=0,
    )


def takes(function: Any, name: str, kind: type, wanted: str, *given: Any, **named: Any) -> None:
    """TypeError where `function` is none, or cannot be called like this."""
    if not callable(function) or isinstance(function, type) and issubclass(function, kind):
        raise TypeError(f"{name} is a {type(function).__name__}; pass {wanted}")
    try:
        inspect.signature(function).bind(*given, **named)
    except TypeError as error:
        raise TypeError(f"{name} cannot be called with what it is given ({error}); pass {wanted}") from None
    except ValueError:  # it does not tell what it takes
        pass


def progress_bar(total: int, *, show: bool):
    """A bar of `total` runs, with an estimate of the time that is left from the mean time of those that were done."""
    from tqdm import tqdm

    return tqdm(total=total, desc="runs", unit="run", smoothing=0, disable=not show, file=sys.stderr)


def run_all(jobs: Sequence[Job], bar, *, n_jobs: int | None = None) -> list[dict[str, Any]]:
    """The records of all jobs, of one device, in their order; those that are kept are read, the others run and kept.
    All are counted on `bar`, a `progress_bar` with room for them. Raises WorkerDied where the system ended a worker."""
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral) or n_jobs < 1):
        raise ValueError(f"{n_jobs!r} runs at a time are none; use a whole number from 1")
    folder, sizes = cache_folder() / "runs", {}
    records: list[dict | None] = []
    missing = []
    for job, each in zip(jobs, keyed(jobs)):
        path = folder / f"{each.key}.json"
        records.append(read(path))
        if records[-1] and "diverged" in records[-1] and not job.may_diverge:
            raise FloatingPointError(f"{job.name!r} with seed {job.seed}: {records[-1]['diverged']}")
        if records[-1] is None:
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
        for i, record in _done(missing, n_jobs):
            records[i] = record or run_and_keep(*next(each for each in missing if each[2] == i))[1]
            bar.update()
    except BrokenProcessPool as error:
        raise WorkerDied(
            "a worker process was ended from outside, most likely because memory ran out; finished runs are kept: "
            f"repeat the call with fewer runs at a time than {n_jobs} (n_jobs=1, or --jobs 1), and it goes on"
        ) from error
    return records


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _done(missing: Sequence[tuple], n_jobs: int) -> Iterable[tuple[int, dict[str, Any]]]:
    """What `run_and_keep` returns of each, as it comes; with threads, which share random generators, one by one."""
    import joblib

    backend, _ = joblib.parallel.get_active_backend()
    if n_jobs <= 1 or isinstance(backend, joblib.parallel.BACKENDS["threading"]):
        return (run_and_keep(*each) for each in missing)
    how = "generator_unordered" if backend.supports_return_generator else "list"  # then the bar moves at the end
    return joblib.Parallel(n_jobs=n_jobs, return_as=how)(joblib.delayed(run_and_keep)(*each) for each in missing)


class WorkerDied(ChildProcessError):
    """A worker process of a study is gone."""


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
        return self._share(name, seed, metric).value

    def _share(self, name: str, seed: int, metric: str) -> Share:
        if (name, seed, metric) not in self._shares:  # with a hundred groups it takes a while
            self._shares[name, seed, metric] = getattr(self.report(name, seed), metric)
        return self._shares[name, seed, metric]

    @functools.cached_property
    def _shares(self) -> dict[tuple[str, int, str], Share]:
        return {}

    def mean(self, name: str, metric: str = "worst_group") -> Mean:
        """Mean over seeds with its interval; from the test samples where all seeds agree to the digit, on a share of
        them, or on none or all."""
        values = [self.value(name, seed, metric) for seed in self.seeds]
        counted = metric in ("overall", "worst_group", "worst_class") or values[0] in (0.0, 1.0)
        trials = min(self._share(name, seed, metric).n for seed in self.seeds) if counted else None
        return mean_over_seeds(values, trials=trials)

    def difference(self, name: str, baseline: str, metric: str = "worst_group", *, level: float = 0.95) -> Mean:
        """`name` minus `baseline`, taken seed by seed; with an infinite interval where all seeds agree to the digit, as
        few seeds and small groups do by chance."""
        gains = [self.value(name, s, metric) - self.value(baseline, s, metric) for s in self.seeds]
        return mean_over_seeds(gains, level)

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
        """ "label, attribute" for each group."""
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
