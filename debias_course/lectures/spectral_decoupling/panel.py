"""The border between two half circles."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from ... import figures, models, training
from ...data import Splits, toys
from ...evaluation import evaluate
from ...methods import ERM, Method, SpectralDecoupling
from ..panels import WIDTH, Progress, drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def no_penalty(method: SpectralDecoupling, **_: Any) -> dict[str, str]:
    """Which knobs do nothing, and why."""
    return {} if method.strength else dict.fromkeys(("variant", "per_class"), "a strength of 0 is plain training.")


@drawing(idle=no_penalty, stops=dict(strength=(0.0, 0.1, 1.0), variant=(), gap=(0.1, 0.4, 1.0)))
def draw_moons(method: SpectralDecoupling, *, gap: float = 0.1, progress: Progress | None = None) -> tuple[Figure, str]:
    """Plain training beside this `method` on two half circles that were pulled apart, and the right answers where they
    interlock again."""
    data = toys.moons(gap=gap)
    if progress:
        start = models.mlp(data.train, hidden=(64,))
        progress(0, 2, lambda: _moons_figure(data, {"before training": start}, ["nothing is trained yet"]))
    plain = fit_moons(ERM(), gap)
    if progress:
        progress(1, 2, lambda: _moons_figure(data, {"plain training": plain}, ["this setting: still training"]))
    return _moons_figure(data, {"plain training": plain, "this setting": fit_moons(method, gap)})


def _moons_figure(data: Splits, trained: Mapping[str, nn.Module], more: Sequence[str] = ()) -> tuple[Figure, str]:
    figure, axes = figures.new_figure(WIDTH, 2.7, 1, 3, layout="none")
    figure.subplots_adjust(left=0.12, right=0.98, top=0.88, bottom=0.2, wspace=0.25)
    figures.regions(trained, data.train, axes=axes[: len(trained)])
    figures.regions({"on test": list(trained.values())[-1]}, data.test, axes=axes[2:])
    for axis in axes:
        axis.set(xlabel="first coordinate", ylabel="", xlim=(-2, 2), ylim=(-1.8, 1.8))
    axes[0].set(ylabel="second coordinate")
    if len(trained) < 2:
        axes[1].set_axis_off()
    shares = {name: evaluate(model, data.test).overall.value for name, model in trained.items()}
    return figure, " · ".join([*(f"{name}: {share:.2f} right on test" for name, share in shares.items()), *more])


@functools.lru_cache(maxsize=256)
def fit_moons(method: Method, gap: float) -> nn.Module:
    """A network of 64 hidden units, trained on `toys.moons` with 200 whole-batch steps: about a tenth of a second."""
    part = toys.moons(gap=gap).train
    settings: dict[str, Any] = dict(epochs=200, batch_size=len(part), lr=0.02, device="cpu")
    return training.train(models.mlp(part, hidden=(64,)), part, method, **settings).model
