"""Proportions that are estimated from samples, with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

from .checks import whole

Z95 = 1.959963984540054  # two-sided 95 % point of the normal distribution


class Share(NamedTuple):
    """A proportion estimated from n samples, with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} (n={self.n}, 95% {self.low:.2f}-{self.high:.2f})"


def wilson(correct: int, n: int) -> Share:
    """Score interval of a proportion (Wilson 1927): inside [0, 1] and sound near its ends, unlike value ± 2 s.e."""
    n = whole("n", n, 0)
    if not n:
        raise ValueError("a share of no samples is undefined; leave empty groups out")
    p = whole("correct", correct, 0, n) / n
    center = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2)) / (1 + Z95**2 / n)
    low, high = max(0.0, center - half), min(1.0, center + half)
    return Share(p, min(p, low), max(p, high), n)  # at 0 and 1 the bound is p itself, up to rounding


def weighted(shares: Sequence[Share], weights: Sequence[float]) -> Share:
    """Σ w_g p_g of independent shares, its interval recovered from theirs (MOVER: Zou and Donner 2008, eq. 2);
    for a single share that is its own interval."""
    if not shares or len(shares) != len(weights):
        raise ValueError(f"{len(weights)} weights for {len(shares)} shares; give one for each share, and at least one")
    if not all(isinstance(w, Real) and 0 <= w < math.inf for w in weights) or not sum(weights):
        raise ValueError(f"weights are {weights!r}; use finite numbers from 0, one of them above 0")
    total = sum(weights)
    weights = [w / total for w in weights]
    value = sum(w * s.value for w, s in zip(weights, shares))
    below = math.sqrt(sum((w * (s.value - s.low)) ** 2 for w, s in zip(weights, shares)))
    above = math.sqrt(sum((w * (s.high - s.value)) ** 2 for w, s in zip(weights, shares)))
    return Share(value, value - below, value + above, sum(s.n for s in shares))
