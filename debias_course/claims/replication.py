"""Would others find the same? What a fresh block of as many seeds may give, and how often it gives the verdict again.

Values are taken as normal with unknown mean and scale (Jeffreys's prior). Given a block of n seeds with mean m and
standard deviation s, a fresh block comes from the posterior predictive distribution: its scale is s √((n - 1) / χ²),
its true mean lies at m with that scale over √n, and its values lie around that.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .verdicts import Claim

ENOUGH = 0.95  # the probability with which a fresh block has to give the verdict of a central claim
BLOCKS = 2000  # simulated: the standard error of 0.95 is 0.005


def student(n: int) -> float:
    """The quantile of Student's t for the 95 % interval of n values."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 0.975))


@functools.cache
def margin(n: int) -> float:
    """By how many standard errors the end of a 95 % interval of n seeds may move in a fresh block: in either direction,
    it moves by less with a probability of 0.95."""
    import numpy as np

    draws, blocks = np.random.default_rng(0), 100_000
    scale = np.sqrt((n - 1) / draws.chisquare(n - 1, blocks))
    moved = scale * draws.standard_normal((2, blocks)).sum(0)  # of the true mean, and of the block's around it
    spread = scale * np.sqrt(draws.chisquare(n - 1, blocks) / (n - 1))
    return float(np.quantile(student(n) * (spread - 1) - moved, ENOUGH))


def replication(claim: Claim) -> float:
    """The share of simulated fresh blocks that give the verdict of the claim. Circumstances keep together as they do
    over the seeds: with residuals C [n, k] of k circumstances, a seed of a fresh block differs from the true means by
    z C / √(n - 1), z standard normal [n]. A circumstance without spread gives its verdict again."""
    import numpy as np

    from .verdicts import CODES

    values = np.array([cell.values for cell in claim.cells]).T
    n = len(values)
    if n < 2:
        return 0.0
    rest = values - values.mean(0)
    draws = np.random.default_rng(0)
    scale = np.sqrt((n - 1) / draws.chisquare(n - 1, BLOCKS))[:, None]
    means = values.mean(0) + scale * (draws.standard_normal((BLOCKS, n)) @ rest) / np.sqrt(n * (n - 1))
    around = scale[:, :, None] * (draws.standard_normal((BLOCKS, n, n)) @ rest) / np.sqrt(n - 1)
    error = around.std(1, ddof=1) / np.sqrt(n)
    found = claim.cells[0].codes(means + around.mean(1), student(n) * error, error, n)
    still = np.abs(rest).max(0) < 1e-9
    found[:, still] = np.array([CODES.index(cell.verdict) for cell in claim.cells])[still]
    kinds, counts = np.unique(found, axis=0, return_counts=True)
    words = [claim.judged([CODES[code] for code in kind]) for kind in kinds]
    whole = claim.judged([cell.verdict for cell in claim.cells])
    return float(sum(count for word, count in zip(words, counts) if word == whole) / BLOCKS)
