"""All methods under one protocol, so that it is the methods that differ and not the care that was taken of them.

    found = compare({"ERM": ERM(), "Group DRO": GroupDRO()}, data.colored_digits, seeds=5)
    found.table     one row per method: averages with intervals, difference to the baseline, ranks, seconds, needs
    found.searched  one row per method and setting that was tried

The data, the network, the epochs and the rule that chooses one of them are the same for all. What may be tuned is tuned
alike: every method, plain training too, is tried in the same number of settings, the given one first, with seeds that
the test does not use. The second setting has a larger learning rate; the next ones have it, too, and vary one thing at
a time: the method's own knobs, those that name values to `search`, and the weight decay. Knobs that are not at their
defaults are left alone. The best by the same rule, on validation, on average over the seeds of the search, is trained
with every seed and tested.

Differences are paired by seed. Their intervals, and the ranks, are made wider for the number of comparisons, so that
all of them hold at once. Methods whose intervals overlap are said to overlap: their ranks are ranges.
"""

from __future__ import annotations

import copy
import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from . import models, training
from .checks import Unsuitable
from .data import Splits
from .evaluation import GroupReport
from .method import ERM, Method
from .search import MOST
from .search import SEARCH_SEED as SEARCH_SEED
from .search import Trial as Trial
from .search import best as best
from .search import candidates as candidates
from .search import mean_score as mean_score
from .study import METRICS, Study, check_call, parse_seeds, progress_bar, run_all, starts
from .study.jobs import Built, Job, remembered

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `compare` found: the trials of the search, the chosen ones by method, and the study of these."""

    trials: list[Trial]
    chosen: Mapping[str, Trial]
    study: Study
    baseline: str
    metric: str
    select: str
    left_out: Mapping[str, str]  # method -> why it cannot work on these data, or with this network

    @property
    def searched(self) -> pd.DataFrame:
        """Data frame: one row per trial, with its score on validation and whether it was chosen."""
        import pandas as pd

        rows = [
            dict(vars(trial), method=name, setting=trial.setting, chosen=self.chosen[name] is trial)
            for name in self.chosen
            for trial in self.trials
            if trial.name == name
        ]
        return pd.DataFrame(rows)[["method", "lr", "weight_decay", "setting", "score", "seconds", "chosen"]]

    @property
    def table(self) -> pd.DataFrame:
        """Data frame: `Study.summary`, and per method the difference to the baseline with its corrected interval, the
        first and last rank that it may have, the setting, the seconds of its search, and what selection needs."""
        frame = self.study.summary
        means = {name: self.study.mean(name, self.metric) for name in self.study.names}
        for end, place in ("", "value"), ("_low", "low"), ("_high", "high"):
            frame[f"{self.metric}{end}"] = [getattr(means[name], place) for name in frame["method"]]
        frame = frame.merge(self.study.differences(self.baseline, self.metric), on="method", how="left")
        ranks = self.study.ranks(self.metric)
        frame["first_rank"], frame["last_rank"] = zip(*(ranks[name] for name in frame["method"]))
        tried = [trial for trial in self.trials if trial.seconds == trial.seconds]  # others diverged
        spent = {name: sum(t.seconds for t in tried if t.name == name) for name in self.chosen}
        for column, values in dict(
            setting={name: t.setting for name, t in self.chosen.items()},
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
    model: Callable[..., torch.nn.Module] | Mapping[str, Callable[..., torch.nn.Module]] = models.mlp,
    trials: int = 4,
    search_seeds: int = 1,
    baseline: str | None = None,
    metric: str = "worst_group",
    select: str = "validation-worst-group",
    leave_out: bool = False,
    device: torch.device | str | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
    **settings: Any,
) -> Comparison:
    """Search `trials` settings of every method, and test the best of each with every seed; see the module's text.

    methods    name -> method; `baseline`, unless named, is plain training where it is one of them, or else the first
    data       called as data(seed=s) -> Splits, or fixed Splits
    model      called as model(splits.train, seed=s); or one for each method, by its name
    trials     settings per method; 1 takes methods as they are, and there is no search
    search_seeds  with how many seeds each setting is tried; none of them is tested
    select     the rule that chooses the epoch of a run and the setting of a method; not "last", which looks at nothing
    metric     of the differences and ranks, one of `study.METRICS`
    leave_out  go on without methods that cannot work on such data or with such a network
    settings   as for `training.train`: epochs, batch_size, lr, weight_decay, optimizer, schedule, patience

    What cannot work is said before the first run, as a ValueError. Interrupted, it keeps every finished run: the same
    call goes on from there.
    """
    check_call(methods, data, model)
    fixed = training.completed(settings | dict(select=select), "compare")
    baseline, tested = _checked(methods, baseline, seeds, select, metric, trials)
    searched = _searched(search_seeds, tested)
    plan = _Plan(methods, remembered(data), starts(model, methods), fixed, str(training.pick_device(device)))
    for seed in (SEARCH_SEED, *tested):
        check_metric(metric, plan.job(plan.given(baseline), seed).built().data)
    left_out = {name: why for name in methods if (why := objection(plan.job(plan.given(name), SEARCH_SEED).built()))}
    if baseline in left_out or left_out and not leave_out:
        name = baseline if baseline in left_out else next(iter(left_out))
        raise ValueError(f"{name} cannot be compared here: {left_out[name]}")
    kept = [name for name in methods if name not in left_out]
    runs = len(kept) * (len(tested) + (trials * len(searched) if trials > 1 else 0))
    with progress_bar(runs, show=progress) as bar:
        tried = plan.search(kept, trials, searched, bar, n_jobs)
        chosen = {name: best(trial for trial in tried if trial.name == name) for name in kept}
        found = plan.test(chosen, tested, bar, n_jobs)
    return Comparison(tried, chosen, found, baseline, metric, select, left_out)


USUAL = {
    name: known.default for name, known in inspect.signature(compare).parameters.items()
}  # what it takes if not told


@dataclass(frozen=True)
class _Plan:
    """What is the same for all methods, and how each of them starts."""

    methods: Mapping[str, Method]
    data: Callable[..., Splits] | Splits
    starts: Mapping[str, Callable[..., torch.nn.Module]]
    fixed: Mapping[str, Any]  # settings
    device: str

    def given(self, name: str) -> Trial:
        """The setting that the caller gave."""
        return Trial(name, self.methods[name], self.fixed["lr"], self.fixed["weight_decay"])

    def job(self, trial: Trial, seed: int, *, may_diverge: bool = False) -> Job:
        settings = tuple(sorted({**self.fixed, "lr": trial.lr, "weight_decay": trial.weight_decay}.items()))
        start = self.starts[trial.name]
        return Job(trial.name, trial.method, self.data, start, seed, settings, self.device, may_diverge)

    def search(self, names: Sequence[str], n: int, seeds: Sequence[int], bar: Any, n_jobs: int | None) -> list[Trial]:
        """n trials of each method, with their mean scores over the seeds where there is more than one."""
        # in turns, so that the time left is guessed well
        tried = [trial for turn in zip(*(candidates(self.given(name), n) for name in names)) for trial in turn]
        if n == 1:
            return tried
        bar.set_description("search")
        jobs = [self.job(trial, seed, may_diverge=True) for trial in tried for seed in seeds]
        records = run_all(jobs, bar, n_jobs=n_jobs)
        of_each = [records[first : first + len(seeds)] for first in range(0, len(records), len(seeds))]
        return [
            replace(trial, score=mean_score(runs, self.fixed["select"]), seconds=sum(run["seconds"] for run in runs))
            for trial, runs in zip(tried, of_each)
        ]

    def test(self, chosen: Mapping[str, Trial], seeds: list[int], bar: Any, n_jobs: int | None) -> Study:
        lost = [trial for trial in chosen.values() if trial.score == -math.inf]
        if lost:
            lr = self.given(lost[0].name).lr
            raise FloatingPointError(f"every setting of {lost[0].name} diverged; lower lr={lr}, or leave it out")
        bar.set_description("test")
        tests = [(name, seed) for seed in seeds for name in chosen]
        records = run_all([self.job(chosen[name], seed) for name, seed in tests], bar, n_jobs=n_jobs)
        records = [dict(record, name=name) for (name, _), record in zip(tests, records)]
        return Study(list(chosen), {name: trial.method for name, trial in chosen.items()}, seeds, records)


def _checked(
    methods: Mapping[str, Method],
    baseline: str | None,
    seeds: int | str | Sequence[int],
    select: str,
    metric: str,
    trials: int,
) -> tuple[str, list[int]]:
    """The baseline's name and the seeds; a clear error for arguments that make no comparison."""
    if baseline is None:
        baseline = next((name for name, method in methods.items() if method == ERM()), next(iter(methods), None))
    if baseline is None or baseline not in methods:
        raise ValueError(f"the baseline {baseline!r} is not one of the methods {', '.join(methods) or '(none)'}")
    for what, value, known in ("select", select, NEEDS), ("metric", metric, METRICS):
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{what} is {value!r}; use one of {', '.join(map(repr, known))}")
    if isinstance(trials, bool) or trials not in range(1, MOST + 1):
        raise ValueError(f"trials are {trials!r}; use a whole number of settings from 1 to {MOST}")
    return baseline, parse_seeds(seeds)


def _searched(count: int, tested: Sequence[int]) -> list[int]:
    """The seeds of the search, none of which is tested."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"search_seeds are {count!r}; use a whole number of seeds from 1")
    seeds = [SEARCH_SEED + i for i in range(count)]
    if both := set(seeds) & set(tested):
        raise ValueError(f"seed {min(both)} is that of the search; test with others")
    return seeds


def check_metric(metric: str, splits: Splits) -> None:
    """ValueError where the test split of such data cannot tell the metric: a group that it lacks, no rare class."""
    counts, trained = (tuple(part.counts.tolist()) for part in (splits.test, splits.train))
    getattr(GroupReport(counts, counts, splits.test.label_names, splits.test.attribute_names, trained), metric)


def objection(job: Built) -> str | None:
    """What the method of a built job says against its data or its network up to the end of its first step, and of that
    of its `first_epoch`; None where it has nothing against them."""
    splits, settings = job.data, training.checked_settings(dict(job.settings, seed=job.seed))
    method = copy.deepcopy(job.method)  # what it remembers of the rehearsal is no part of the play
    loop = training.Loop(method, settings, torch.device(job.device), rehearsal=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the runs will say it again
        try:
            given = job.model, splits.train, job.method, splits.validation, None, settings["select"]
            loop.run(job.model, splits.train, training.watched_data(*given))
        except Unsuitable as error:
            return str(error)
        except FloatingPointError:  # as the run will say, if it is chosen
            return None
    return None
