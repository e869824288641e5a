"""What a study found: tables, means, paired differences and ranks."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..checks import choice
from ..evaluation import GroupReport, Share
from ..method import Method
from ..settings import SELECT
from .seeds import Mean, mean_over_seeds

if TYPE_CHECKING:
    import pandas as pd

AVERAGES = ("overall", "train_weighted", "group_balanced", "worst_group")
METRICS = (*AVERAGES, "worst_class", "many_shot", "medium_shot", "few_shot")


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

    def differences(self, baseline: str, metric: str = "worst_group") -> pd.DataFrame:
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
    def table(self) -> pd.DataFrame:
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
    def summary(self) -> pd.DataFrame:
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
    def history(self) -> pd.DataFrame:
        """Data frame: one row per method, seed, epoch and validation group, with accuracies and training loss."""
        import pandas as pd

        rows = [dict(method=r["name"], seed=r["seed"], **row) for r in self.records for row in r["history"]]
        frame = pd.DataFrame(rows)
        frame["accuracy"] = frame["correct"] / frame["n"].where(frame["n"] > 0)
        return frame

    def at(self, epochs: int, select: str = "last") -> Study:
        """The study as if it had trained for so many epochs, and tested the one that the rule `select` (one of
        `training.SELECT`) chooses of them. The learning rate is constant, so a long training holds all shorter ones;
        not so for a method whose strength follows `state.progress`: train that for each length.

        ValueError where the study tested its last epoch only, or trained for fewer."""
        return Study(self.names, self.methods, self.seeds, [_shortened(each, epochs, select) for each in self.records])

    def by_epoch(
        self, metric: str = "worst_group", *, epochs: Sequence[int] | None = None, select: str = "last"
    ) -> pd.DataFrame:
        """Data frame: test accuracy after trainings of all lengths, or of `epochs`; one row per method and length with
        the mean over seeds and its interval (method, epoch, value, low, high)."""
        import pandas as pd

        longest = max(row["epoch"] for row in self.records[0]["history"])
        rows: list[dict[str, Any]] = []
        for epoch in range(1, longest + 1) if epochs is None else epochs:
            shorter = self.at(epoch, select)
            found = {name: shorter.mean(name, metric) for name in self.names}
            rows += [dict(method=n, epoch=epoch, value=m.value, low=m.low, high=m.high) for n, m in found.items()]
        return pd.DataFrame(rows)

    def worst_by_epoch(self) -> dict[str, tuple[list[int], list[float]]]:
        """For `figures.curves`: per method the epochs and the worst validation group, as a mean over seeds; up to the
        first epoch after which one of them was stopped."""
        lines = {}
        history = self.history
        for name, rows in history[history["split"] == "validation"].groupby("method", sort=False):
            rows = rows[rows["epoch"] <= rows.groupby("seed")["epoch"].max().min()]
            worst = rows.groupby(["seed", "epoch"])["accuracy"].min().groupby("epoch").mean()
            lines[name] = (worst.index.tolist(), worst.tolist())
        return lines

    def __repr__(self) -> str:
        return f"Study({', '.join(self.names)}; seeds {self.seeds})"


def _shortened(record: dict[str, Any], epochs: int, select: str) -> dict[str, Any]:
    """The record of the same run, ended after so many epochs."""
    choice("select", select, SELECT)
    rows = [row for row in record["history"] if row["epoch"] <= epochs]
    if not any(row["epoch"] == epochs and row.get("split") == "test" for row in rows):
        raise ValueError(
            f"the study has no test accuracy after epoch {epochs}; train for as many epochs, with test_every_epoch=True"
        )
    score, chosen = SELECT[select], epochs
    if score is not None:
        seen = dict.fromkeys(row["epoch"] for row in rows)
        known = {epoch: _report(record, rows, "validation", epoch) for epoch in seen}
        chosen = max(known, key=lambda epoch: score(known[epoch]))  # of equal ones the first
    report = _report(record, rows, "test", chosen)
    return dict(record, epoch=chosen, report=record["report"] | dict(correct=report.correct, n=report.n), history=rows)


def _report(record: dict[str, Any], rows: Sequence[dict[str, Any]], split: str, epoch: int) -> GroupReport:
    found = [row for row in rows if row["split"] == split and row["epoch"] == epoch]
    counts = dict(correct=tuple(row["correct"] for row in found), n=tuple(row["n"] for row in found))
    return GroupReport(**{k: tuple(v) if isinstance(v, list) else v for k, v in (record["report"] | counts).items()})
