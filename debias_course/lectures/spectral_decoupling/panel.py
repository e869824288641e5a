"""The border between two half circles."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from torch import nn

from ... import figures, models, training
from ...data import toys
from ...evaluation import evaluate
from ...methods import ERM, Method, SpectralDecoupling

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_moons(method: SpectralDecoupling, *, gap: float = 0.1) -> tuple[Figure, str]:
    """Plain training beside `method` on two half circles that were pulled apart, and the right answers where they
    interlock again."""
    data = toys.moons(gap=gap)
    trained = {"plain training": fit_moons(ERM(), gap), "this setting": fit_moons(method, gap)}
    figure, axes = figures.new_figure(9.0, 3.9, 1, 3, layout="none")
    figure.subplots_adjust(left=0.09, right=0.99, top=0.88, bottom=0.15, wspace=0.25)
    figures.regions(trained, data.train, axes=axes[:2])
    figures.regions({"this setting, on test": trained["this setting"]}, data.test, axes=axes[2:])
    for axis in axes:
        axis.set(xlabel="first coordinate", ylabel="", xlim=(-2, 2), ylim=(-1.8, 1.8))
    axes[0].set(ylabel="second coordinate")
    shares = {name: evaluate(model, data.test).overall.value for name, model in trained.items()}
    return figure, " · ".join(f"{name}: {share:.2f} right on test" for name, share in shares.items())


@functools.lru_cache(maxsize=256)
def fit_moons(method: Method, gap: float) -> nn.Module:
    """A network of 64 hidden units, trained on `toys.moons` with 300 whole-batch steps: about a tenth of a second."""
    part = toys.moons(gap=gap).train
    settings: dict[str, Any] = dict(epochs=300, batch_size=len(part), lr=0.02, device="cpu")
    return training.train(models.mlp(part, hidden=(64,)), part, method, **settings).model
