"""Verdicts: a claim says in which band a mean over seeds lies, in one circumstance or in several.

In a circumstance it *holds* when the whole 95 % interval of the mean lies in the band, and its middle is an effect that
matters. It *fails* when all of it lies outside on one side, or has no effect that matters in it. Else it is *open*.
A claim that holds in every circumstance is *confirmed*, one that holds in some is confirmed *only where* it does, one
that fails in all is *refuted*, and any other is *open*. So is a central claim that a fresh block of seeds might answer
otherwise (see `replication`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..study import Mean, mean_over_seeds
from . import shown
from .circumstances import in_words, some_of
from .replication import ENOUGH, margin, replication, student


@dataclass(frozen=True)
class Band:
    """The open interval in which a claim says that a mean lies."""

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"the band from {self.low} to {self.high} is empty; give the lower end first")

    def judge(self, mean: Mean, matters: float = 0.0) -> str:
        """ "holds", "fails" or "open" for the whole interval of `mean`."""
        return CODES[int(self.codes(mean.low, mean.high, matters))]

    def codes(self, low: Any, high: Any, matters: float = 0.0) -> Any:
        """For intervals, or arrays of them, places in CODES. One holds inside the band if its middle is an effect that
        `matters`, and fails outside, or where it has no such effect in it."""
        import numpy as np

        known = np.isfinite(low) & np.isfinite(high)
        low, high = np.where(known, low, 0.0), np.where(known, high, 0.0)
        center, least, most = (low + high) / 2, self.low + matters, self.high - matters
        fails = (high <= least) | (low >= most)
        holds = (self.low < low) & (high < self.high) & (center >= least) & (center <= most)
        return np.where(known & fails, 2, np.where(known & holds, 1, 0))

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


CODES = "open", "holds", "fails"


@dataclass(frozen=True)
class Cell:
    """What was measured in one circumstance: a value for each seed. A `steady` one is open, too, where a fresh block of
    seeds might well say otherwise: where its verdict does not bear that both ends of the interval move by `margin`."""

    where: Mapping[str, Any]
    values: tuple[float, ...]
    holds: Band
    trials: int | None = None
    matters: float = 0.0
    steady: bool = False

    @cached_property
    def mean(self) -> Mean:
        return mean_over_seeds(self.values, trials=self.trials)

    @property
    def verdict(self) -> str:
        low, high, n = self.mean.low, self.mean.high, len(self.values)
        if n < 2 or not math.isfinite(low):
            return "open"
        center, half = (low + high) / 2, (high - low) / 2
        error = 0.0 if max(self.values) - min(self.values) < 1e-9 else half / student(n)  # then it has no spread
        return CODES[int(self.codes(center, half, error, n))]

    def fails(self, points: bool = True) -> str:
        """When it fails, in words: in `points` of accuracy, or as a number."""
        least, most = self.holds.low + self.matters, self.holds.high - self.matters
        written = [f"{100 * each:+.3g}" if points else f"{each:.3g}" for each in (least, most)]
        words = [f"surely less than {written[0]}"] * math.isfinite(least)
        words += [f"surely more than {written[1]}"] * math.isfinite(most)
        return " or ".join(words)

    def codes(self, center: Any, half: Any, error: Any, n: int) -> Any:
        """Places in CODES, for means, or arrays of them, with intervals that reach `half` to both sides, and their
        standard errors, from n seeds each."""
        import numpy as np

        found = self.holds.codes(center - half, center + half, self.matters)
        for way in (-1, 1) if self.steady else ():
            moved = center + way * margin(n) * error
            found = np.where(self.holds.codes(moved - half, moved + half, self.matters) == found, found, 0)
        return found


@dataclass(frozen=True, repr=False)
class Claim:
    """A measured statement.

    cells     what was measured, for each circumstance
    middle    the circumstance that stands for all where there is time for one
    expected  what we expected before the run
    central   whether its verdict has to survive a fresh block of seeds
    kept      when, where it was not measured now but is known from its receipt
    how       the code that measures it
    whole     the claim in all circumstances, from its receipt, where only the middle was measured now
    """

    id: str
    sentence: str
    holds: Band
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    middle: Mapping[str, Any]
    expected: str = ""
    central: bool = False
    kept: str = ""
    how: str = ""
    whole: Claim | None = None

    @cached_property
    def replication(self) -> float:
        """The probability that a fresh block of as many seeds gives the same verdict."""
        return replication(self)

    def judged(self, verdicts: Sequence[str]) -> str:
        """What verdicts in the circumstances make of the whole."""
        if len(set(verdicts)) == 1 and verdicts[0] in ("holds", "fails"):
            return "confirmed" if verdicts[0] == "holds" else "refuted"
        return "only where" if "holds" in verdicts else "open"

    @property
    def verdict(self) -> str:
        """ "confirmed", "only where", "refuted" or "open"."""
        if self.whole is not None:
            return self.whole.verdict
        found = self.judged([cell.verdict for cell in self.cells]) if self.cells else "open"
        return "open" if self.central and found != "open" and self.replication < ENOUGH else found

    def settled(self) -> Claim:
        """The claim; but where it is central, and a fresh block might answer otherwise in one of its circumstances, the
        same with `steady` cells: those that its answer names then, a fresh block gives again."""
        alike = self.judged([cell.verdict for cell in self.cells]) in ("confirmed", "refuted")
        if not self.central or not self.cells or alike and self.replication >= ENOUGH:
            return self
        steady = replace(self, cells=tuple(replace(cell, steady=True) for cell in self.cells))
        return steady if steady.verdict != "open" else self

    @property
    def answer(self) -> str:
        """The verdict, with the circumstances in which it holds, or where it is open, holds or fails."""
        if self.whole is not None:
            return self.whole.answer
        if self.verdict == "only where":
            return f"only {self.where_it('holds')}"
        some = [each for each in ("holds", "fails") if any(cell.verdict == each for cell in self.cells)]
        if self.verdict != "open" or len(self.cells) < 2 or not some:
            return self.verdict
        if all(cell.verdict == some[0] for cell in self.cells):
            return (
                f"open; {some[0]} in all {len(self.cells)} circumstances, but other seeds might say otherwise in some"
            )
        return f"open; {' and '.join(f'{each} {self.where_it(each)}' for each in some)}"

    def where_it(self, verdict: str) -> str:
        """In words: by the values of one axis, or of two, if they say it; otherwise in how many circumstances."""
        cells = [(cell.where, cell.verdict == verdict) for cell in self.cells]
        right = [where for where, held in cells if held]
        several = [name for name in self.cells[0].where if len({where[name] for where, _ in cells}) > 1]
        for axes in [*itertools.combinations(several, 1), *itertools.combinations(several, 2)]:
            of = {name: list(dict.fromkeys(where[name] for where in right)) for name in axes}
            if len(right) < len(cells) and all(
                held == all(where[name] in of[name] for name in axes) for where, held in cells
            ):
                return " and ".join(some_of(name, values) for name, values in of.items())
        return f"in {len(right)} of {len(cells)} circumstances"

    @property
    def at_middle(self) -> Cell:
        """What was measured in the circumstance that stands for all."""
        for cell in self.cells:
            if dict(cell.where) == dict(self.middle):
                return cell
        raise ValueError(f"claim {self.id} was not measured at {in_words(self.middle)}; measure it again")

    def alone(self, cell: Cell) -> Claim:
        """The claim in one circumstance only."""
        return replace(self, cells=(replace(cell, steady=False),), middle=cell.where, whole=None, central=False)

    def __repr__(self) -> str:
        here = f"; here ({in_words(self.middle)}) it {_is(self.at_middle.verdict)}" if self.whole is not None else ""
        return f"{self.answer.upper()}: {self.sentence} [{self.id}: {self.claimed}{here}]"

    @property
    def claimed(self) -> str:
        matters = next((cell.matters for cell in self.cells), 0.0)
        return f"{self.holds}; matters from {matters:g}" if matters else str(self.holds)

    @property
    def effect(self) -> str:
        """The smallest and the largest effect of all circumstances; of one, its mean with the interval."""
        cells = self.whole.cells if self.whole and self.whole.cells else self.cells
        if len(cells) < 2:
            return brief(cells[0].mean) if cells else "not measured"
        values = [cell.mean.value for cell in cells]
        return f"from {min(values):+.2f} to {max(values):+.2f} in {len(cells)} circumstances"

    @property
    def measured(self) -> str:
        """What was measured in the middle, in words."""
        where = f" ({in_words(self.middle)})" if self.middle else ""
        return f"measured {self.at_middle.mean}{where}" if self.cells else "not measured"

    @property
    def numbers(self) -> str:
        """What was measured, claimed, on which seeds and when, in a line."""
        if not self.seeds:
            return self.kept
        when = f" · {self.kept}" if self.kept else ""
        return f"{self.measured} · claimed {self.claimed} · seeds {seeds_in_words(self.seeds)}{when}"

    def _repr_html_(self) -> str:
        return shown.claim(self)


def _is(verdict: str) -> str:
    return "is open" if verdict == "open" else verdict


def brief(mean: Mean) -> str:
    """A mean with its interval, in a table."""
    return f"{mean.value:.3f} ({f'{mean.low:.3f} to {mean.high:.3f}' if math.isfinite(mean.low) else 'no interval'})"


def seeds_in_words(seeds: Sequence[int]) -> str:
    seeds = list(seeds)
    if len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))
