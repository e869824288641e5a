"""Claims: every statement of the lecture, measured over seeds, with an interval and a verdict.

A notebook opens with `here = lesson("01_loss_reweighting")` and states each claim as

    here.claim("L01.1", "Weighting by group lifts the worst group over plain training",
               measure=lambda seed: runs.value("weighted", seed) - runs.value("ERM", seed), holds=above(0.10))

The verdict is *holds* when the whole 95 % interval of the mean over seeds lies on the claimed side, *fails* when all
of it lies on the other, *undecided* otherwise. A claim's `repr` is its verdict, which is stable and is compared when
the notebooks are tested; its numbers are in the rich form, which is not.

The notebook is the only place where a claim is written. `measure_topic` runs its cells tagged setup, measure and
claim again, with other seeds where asked: that is what `debias-course claims` does.
"""

from __future__ import annotations

import contextvars
import html
import math
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from . import __version__
from .receipts import claim_cells, read_receipts, receipt
from .study import Mean, mean_over_seeds, parse_seeds
from .training import pick_device

SHIPPED_SEEDS = {"quick": range(5), "full": range(20)}


@dataclass(frozen=True)
class Band:
    """The open interval in which a claim says that a mean lies."""

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self):
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
    """What a value has to be above."""
    return Band(low=threshold)


def below(threshold: float) -> Band:
    """What a value has to be below."""
    return Band(high=threshold)


def within(low: float, high: float) -> Band:
    """An equivalence band: "no difference" has to be shown, a missed threshold does not show it."""
    return Band(low, high)


@dataclass(frozen=True, repr=False)
class Claim:
    """A measured statement; `kept` says when, where it was not measured now but is known from its receipt."""

    id: str
    sentence: str
    holds: Band
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    kept: str = ""
    trials: int | None = None

    @property
    def mean(self) -> Mean:
        """The mean of the values with its interval."""
        return mean_over_seeds(self.values, trials=self.trials)

    @property
    def verdict(self) -> str:
        """What the interval says: see `Band.judge`."""
        return self.holds.judge(self.mean)

    def __repr__(self) -> str:
        return f"{self.verdict.upper()}: {self.sentence} [{self.id}: {self.holds}]"

    @property
    def numbers(self) -> str:
        """What was measured, what was claimed, and with which seeds, in one line."""
        if not self.seeds:
            return self.kept
        when = f" · {self.kept}" if self.kept else ""
        return f"measured {self.mean} · claimed {self.holds} · seeds {seeds_in_words(self.seeds)}{when}"

    def _repr_html_(self) -> str:
        mark = {"holds": "✔", "fails": "✘", "undecided": "?"}[self.verdict]
        color = {"holds": "#009E73", "fails": "#D55E00", "undecided": "#6b6b6b"}[self.verdict]
        return (
            f'<div style="border-left:4px solid {color};padding:4px 12px;margin:4px 0">'
            f'<strong style="color:{color}">{mark} {self.verdict}</strong> '
            f"<strong>{html.escape(self.sentence)}</strong><br>"
            f"<small>{self.id} · {html.escape(self.numbers)}</small></div>"
        )


def seeds_in_words(seeds: Sequence[int]) -> str:
    """ "0 to 4" for seeds in a row, "0, 2, 5" for others."""
    seeds = list(seeds)
    if len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


class Lesson:
    """The setting in which a notebook measures: topic, seeds, budget, and the claims made so far."""

    def __init__(self, topic: str, seeds: Sequence[int], budget: str):
        self.topic, self.seeds, self.budget = topic, tuple(seeds), budget
        self.claims: list[Claim] = []

    def __str__(self) -> str:
        return (
            f"debias_course {__version__} | torch {torch.__version__} on {pick_device()} | "
            f"{self.budget} budget: seeds {seeds_in_words(self.seeds)}"
        )

    def claim(
        self,
        id: str,
        sentence: str,
        *,
        measure: Callable[[int], float],
        holds: Band,
        costly: bool = False,
        trials: int | None = None,
    ) -> None:
        """Measure on every seed of the lesson, remember the claim and show it.

        `measure` returns one number per seed, a paired difference mostly. Where it is a share that may be the same on
        all seeds, `trials` says of how many. A `costly` claim is measured on the full budget only, and shown from its
        receipt on the quick one."""
        for what, value, kind in ("id", id, str), ("sentence", sentence, str), ("holds", holds, Band):
            if not isinstance(value, kind):
                raise TypeError(f"{what} of claim {id!r} is {value!r}; give a {kind.__name__}, as in above(0.1)")
        if not callable(measure):
            raise TypeError(f"measure of claim {id} is {measure!r}; pass a function of the seed")
        if costly and self.budget == "quick":
            found = self.from_receipt(id, sentence, holds, trials)
        else:
            values = tuple(self._measured(id, measure, seed) for seed in self.seeds)
            found = Claim(id, sentence, holds, self.seeds, values, trials=trials)
        if any(claim.id == id and claim.sentence != sentence for claim in self.claims):
            raise ValueError(f"two claims are called {id}; give each statement its own id")
        self.claims = [claim for claim in self.claims if claim.id != id]  # the cell may be run again
        self.claims.append(found)
        if _asked.get() is None:
            from IPython.display import display

            display(self.claims[-1])

    def _measured(self, id: str, measure: Callable[[int], float], seed: int) -> float:
        value = measure(seed)
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"claim {id} measured {value!r:.80} on seed {seed}; return one number") from None
        if not math.isfinite(number):
            raise ValueError(f"claim {id} measured no finite number on seed {seed}; look at its `measure`")
        return number

    def from_receipt(self, id: str, sentence: str, holds: Band, trials: int | None) -> Claim:
        """The claim as measured on the full budget (on the shipped seeds, or the first that receipts have); undecided
        if never."""
        known = [each for each in read_receipts(self.topic) if each["id"] == id and each["budget"] == "full"]
        first = min(known, key=lambda each: (each["seeds"][0], -len(each["seeds"])), default=dict(seeds=range(5)))
        command = f"debias-course claims --topic {self.topic} --budget full --seeds {len(first['seeds'])} --save"
        if known:
            age = ", by code that has changed since" if first["stale"] else ""
            when = f"kept from {first['date']}{age}; measure it again: {command}"
            return Claim(id, sentence, holds, tuple(first["seeds"]), tuple(first["values"]), when, trials)
        return Claim(id, sentence, holds, (), (math.nan,), f"too costly for this budget; measure it: {command}")


_asked: contextvars.ContextVar[tuple[Sequence[int] | None, str] | None] = contextvars.ContextVar("asked", default=None)


def lesson(topic: str, *, seeds: int | str | Sequence[int] | None = None, budget: str = "quick") -> Lesson:
    """Open a lesson and print its one line of versions, device and budget. `seeds` are those of its quick budget, where
    its claims need more than the five that are usual; whoever measures it again may ask for others."""
    if _asked.get() is not None:
        asked, budget = _asked.get()
        seeds = asked if asked is not None or budget != "quick" else seeds
    if budget not in SHIPPED_SEEDS:
        raise ValueError(f"budget is {budget!r}; use 'quick' or 'full'")
    opened = Lesson(topic, SHIPPED_SEEDS[budget] if seeds is None else parse_seeds(seeds), budget)
    print(opened)
    return opened


def measure_topic(
    topic: str, *, seeds: int | str | Sequence[int] | None = None, budget: str = "quick"
) -> tuple[list[Claim], list[dict]]:
    """Measure a lecture's claims again; returns them with the receipts of those that were measured now."""
    cells = claim_cells(topic)
    space: dict[str, Any] = {"__name__": "__main__"}  # as in a notebook: what cells define reaches worker processes
    token = _asked.set((seeds, budget))
    try:
        for number, source in enumerate(cells):
            exec(compile(source, f"<{topic}, claim cell {number}>", "exec", dont_inherit=True), space)
    finally:
        _asked.reset(token)
    here = next((value for value in space.values() if isinstance(value, Lesson)), None)
    if here is None or not here.claims:
        raise ValueError(f"{topic} makes no claim; tag the cells of its lesson and its claims setup, measure and claim")
    code = [types.FunctionType(compile(source, "<cell>", "exec", dont_inherit=True), space) for source in cells]
    return here.claims, [receipt(claim, here, cells, code) for claim in here.claims if not claim.kept]
