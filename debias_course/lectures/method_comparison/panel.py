"""Two methods, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ... import figures
from ...data import Splits, colored_digits, half_size, long_tailed_digits, textured_digits
from ...methods import METHODS, Method
from ...study import Mean, Study, mean_over_seeds, study
from ..panels import WIDTH, Progress, before_training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPARED: dict[str, Callable[..., Splits]] = {
    "coloured": colored_digits,
    "textured": textured_digits,
    "long-tailed": long_tailed_digits,
}


def small_digits(name: str, seed: int) -> Splits:
    """One of the three data sets of lecture 10 at half the resolution: four groups, ten by ten groups, ten labels."""
    return half_size(COMPARED[name](seed=seed))


def draw_comparison(
    _: Method,
    *,
    digits: str = "coloured",
    ours: str,
    theirs: str = "erm",
    seeds: int = 5,
    at_once: int = 1,
    progress: Progress | None = None,
) -> tuple[Figure, str]:
    """Two methods with their defaults, seed by seed, and their mean difference with its interval, as wide as it has to
    be for one of `at_once` comparisons: paired by seed, and as if nobody knew which runs belong together."""
    if ours == theirs:
        raise ValueError(f"both are {ours}; choose another method for one side")
    methods = {name: METHODS[name]() for name in (theirs, ours)}
    before_training(progress, small_digits(digits, 0).train, seeds)
    how: dict[str, Any] = dict(epochs=10, select="validation-worst-group", progress=False, n_jobs=1, device="cpu")
    records = []
    for seed in range(seeds):
        records += study(methods, partial(small_digits, digits), seeds=[seed], **how).records
        if progress:
            progress(seed + 1, seeds)
    found = Study(list(methods), methods, list(range(seeds)), records)
    values = {name: [found.value(name, seed) for seed in found.seeds] for name in methods}
    gain = found.difference(ours, theirs, level=1 - 0.05 / at_once)
    figure = duel_figure(values, gain)
    figure.set_size_inches(WIDTH, 3.8)
    return figure, f"{ours} minus {theirs}: {gain}, {told_apart(ours, theirs, gain)}"


def told_apart(ours: str, theirs: str, gain: Mean) -> str:
    """Which of two is ahead, by the interval of the first one's gain; neither where that holds 0."""
    if gain.low <= 0 <= gain.high:
        return "not told apart"
    return f"{ours if gain.value > 0 else theirs} is ahead"


def duel_figure(values: Mapping[str, Sequence[float]], gain: Mean) -> Figure:
    """Worst groups of two methods, name -> one per seed, joined by seed; and their difference with its interval."""
    from scipy.special import stdtrit

    figure, axes = figures.new_figure(9.0, 3.6, 1, 2, width_ratios=(3, 4))
    theirs, ours = values
    for pair in zip(*values.values()):
        axes[0].plot([0, 1], pair, color=figures.PALETTE[6], marker="o", alpha=0.6)
    axes[0].set(xticks=[0, 1], xticklabels=[theirs, ours], xlim=(-0.3, 1.3), ylim=(0, 1))
    axes[0].set_ylabel("test accuracy, worst group")
    means = [mean_over_seeds(each, gain.level) for each in values.values()]
    degrees = len(values[ours]) - 1
    wider = stdtrit(2 * degrees, (1 + gain.level) / 2) / stdtrit(degrees, (1 + gain.level) / 2) if degrees else 1.0
    unpaired = wider * math.hypot(*(mean.high - mean.value for mean in means))
    for i, half in enumerate((gain.high - gain.value, unpaired)):
        style = dict(color=figures.PALETTE[i], marker=figures.MARKERS[i], markersize=8, capsize=5)
        axes[1].errorbar([gain.value], [-i], xerr=[half] if half < math.inf else None, **style)
    axes[1].axvline(0, color="black", linewidth=1)
    axes[1].set(yticks=[0, -1], yticklabels=["paired\nby seed", "as if\nunpaired"], ylim=(-1.6, 0.6))
    axes[1].set_xlabel(f"{ours} minus {theirs},\n{100 * gain.level:.3g} % interval")
    return figure
