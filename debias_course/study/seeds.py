"""Seeds, and means over them with their intervals."""

from __future__ import annotations

import itertools
import math
import operator
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

MOST_SEEDS = 100_000


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


def point(method: str, epoch: float, values: Sequence[float], *, trials: int | None = None) -> dict[str, Any]:
    """A row of a table that `figures.over_epochs` draws: the seeds' mean with its interval, at an epoch or a number."""
    mean = mean_over_seeds(values, trials=trials)
    return dict(method=method, epoch=epoch, value=mean.value, low=mean.low, high=mean.high)
