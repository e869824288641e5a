"""Verdicts: a claim says in which band a mean over seeds lies.

It *holds* when the whole 95 % interval of the mean lies in the band, *fails* when all of it lies outside on one side,
and is *undecided* otherwise. A claim's `repr` is its verdict, which is stable and is compared when the notebooks are
tested; its numbers are in the rich form, which is not.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..study import Mean, mean_over_seeds


@dataclass(frozen=True)
class Band:
    """The open interval in which a claim says that a mean lies."""

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"the band from {self.low} to {self.high} is empty; give the lower end first")

    def judge(self, mean: Mean) -> str:
        """ "holds", "fails" or "undecided" for the whole interval of `mean`."""
        if not (math.isfinite(mean.low) and math.isfinite(mean.high)):
            return "undecided"
        if self.low < mean.low and mean.high < self.high:
            return "holds"
        return "fails" if mean.high <= self.low or mean.low >= self.high else "undecided"

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"above {self.low:g}"
        return f"below {self.high:g}" if math.isinf(self.low) else f"between {self.low:g} and {self.high:g}"


def above(threshold: float) -> Band:
    return Band(low=threshold)


def below(threshold: float) -> Band:
    return Band(high=threshold)


def within(low: float, high: float) -> Band:
    """An equivalence band: "no difference" has to be shown, a missed threshold does not show it."""
    return Band(low, high)


@dataclass(frozen=True, repr=False)
class Claim:
    """A measured statement; `kept` says when, where it was not measured now but is known from its receipt, and `how` is
    the code that measures it."""

    id: str
    sentence: str
    holds: Band
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    kept: str = ""
    trials: int | None = None
    how: str = ""

    @property
    def mean(self) -> Mean:
        return mean_over_seeds(self.values, trials=self.trials)

    @property
    def verdict(self) -> str:
        return self.holds.judge(self.mean)

    def __repr__(self) -> str:
        return f"{self.verdict.upper()}: {self.sentence} [{self.id}: {self.holds}]"

    @property
    def numbers(self) -> str:
        if not self.seeds:
            return self.kept
        when = f" · {self.kept}" if self.kept else ""
        return f"measured {self.mean} · claimed {self.holds} · seeds {seeds_in_words(self.seeds)}{when}"

    def _repr_html_(self) -> str:
        mark = {"holds": "✔", "fails": "✘", "undecided": "?"}[self.verdict]
        color = {"holds": "#009E73", "fails": "#D55E00", "undecided": "#6b6b6b"}[self.verdict]
        how = f"<details><summary>how it is measured</summary><pre>{html.escape(self.how)}</pre></details>"
        how = how if self.how else ""
        return (
            f'<div style="border-left:4px solid {color};padding:4px 12px;margin:4px 0">'
            f'<strong style="color:{color}">{mark} {self.verdict}</strong> '
            f"<strong>{html.escape(self.sentence)}</strong><br>"
            f"<small>{self.id} · {html.escape(self.numbers)}</small>{how}</div>"
        )


def seeds_in_words(seeds: Sequence[int]) -> str:
    seeds = list(seeds)
    if len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))
