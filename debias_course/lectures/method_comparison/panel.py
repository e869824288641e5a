"""Two methods, seed by seed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ...data import Splits, colored_digits, half_size, long_tailed_digits, textured_digits
from ...methods import METHODS, Method
from ...study import Mean, Study, study
from ..panels import WIDTH, Progress, before_training, drawing
from .pictures import correlation, duel

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

COMPARED: dict[str, tuple[Callable[..., Splits], str]] = {
    "coloured": (colored_digits, "worst_group"),
    "textured": (textured_digits, "group_balanced"),  # of a hundred groups the worst is mostly chance
    "long-tailed": (long_tailed_digits, "group_balanced"),
}
EPOCHS = 8
OWN: dict[str, dict[str, Any]] = {"smote": dict(warm_up=EPOCHS // 2)}  # its default is longer than the training here


def small_digits(name: str, seed: int) -> Splits:
    """One of the three data sets of lecture 10 at half the resolution: four groups, ten by ten groups, ten labels."""
    return half_size(COMPARED[name][0](seed=seed))


@drawing(stops=dict(ours=(), theirs=("erm", "loss-reweighting", "group-dro"), seeds=(3, 10)))
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
    """Two methods with their defaults (SMOTE with a shorter first stage), seed by seed, and their mean difference with
    its interval, as wide as it has to be for one of `at_once` comparisons: paired by seed, and as if nobody knew which
    runs belong together."""
    if ours == theirs:
        raise ValueError(f"both are {ours}; choose another method for one side")
    methods = {name: METHODS[name](**OWN.get(name, {})) for name in (theirs, ours)}
    metric = COMPARED[digits][1]
    before_training(progress, small_digits(digits, 0).train, seeds)
    select = "validation-worst-group" if metric == "worst_group" else "validation-mean"
    how: dict[str, Any] = dict(epochs=EPOCHS, select=select, progress=False, n_jobs=1, device="cpu")
    records: list[dict[str, Any]] = []

    def so_far(done: int) -> tuple[Figure, str]:
        found = Study(list(methods), methods, list(range(done)), records)
        values = {name: [found.value(name, seed, metric) for seed in found.seeds] for name in methods}
        gain = found.difference(ours, theirs, metric, level=1 - 0.05 / at_once)
        figure = duel(values, gain, y=f"test, {'worst group' if metric == 'worst_group' else 'mean of groups'}")
        figure.set_size_inches(WIDTH, 3.8)
        still = f" Still training: {done} of {seeds} seeds." if done < seeds else ""
        together = f"; correlation of the two over seeds {correlation(values):.2f}" if done > 2 else ""
        return figure, f"{ours} minus {theirs}: {gain}, {told_apart(ours, theirs, gain)}{together}.{still}"

    for seed in range(seeds):
        records += study(methods, partial(small_digits, digits), seeds=[seed], **how).records
        if progress:
            progress(seed + 1, seeds, partial(so_far, seed + 1) if seed + 1 < seeds else None)
    return so_far(seeds)


def told_apart(ours: str, theirs: str, gain: Mean) -> str:
    """Which of two is ahead, by the interval of the first one's gain; neither where that holds 0."""
    if gain.low <= 0 <= gain.high:
        return "not told apart"
    return f"{ours if gain.value > 0 else theirs} is ahead"
