"""New samples on a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ... import figures, models, training
from ...data import toys
from ...evaluation import evaluate
from ...methods import SMOTE, InputSMOTE
from ...methods.smote import among_others
from ..panels import WIDTH, drawing, one_legend, worst

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def copies(method: SMOTE | InputSMOTE, **_: Any) -> dict[str, str]:
    """Which knob does nothing, and why."""
    return dict(k="a copy has no neighbour.") if method.interpolation == "repeat" else {}


@drawing(idle=copies, stops=dict(k=(1, 5, 10), interpolation=(), rare=(8, 20, 60)))
def draw_smote(method: SMOTE | InputSMOTE, *, rare: int = 20) -> tuple[Figure, str]:
    """New samples on the plane of two islands, and what a small network makes of them."""
    data = toys.islands(rare=rare)
    train, n = data.train, len(data.train)
    enlarged = method.enlarge(train, generator=torch.Generator().manual_seed(0))
    points = cast(Tensor, enlarged.inputs)
    wrong = among_others(points[n:], enlarged.labels[n:], cast(Tensor, train.inputs), train.labels)
    settings: dict[str, Any] = dict(epochs=60, batch_size=500, lr=0.05, device="cpu")
    start = models.mlp(train, hidden=(16,))
    run = training.train(start, train, method, **settings)
    figure, axes = figures.new_figure(WIDTH, 3.7, 1, 2)
    figures.new_samples(enlarged, n, wrong, axis=axes[0])
    one_legend(figure, axes[:1])
    made = "inputs" if isinstance(method, InputSMOTE) else "embeddings"
    figures.regions({f"trained with new {made}": run.model}, train, axes=axes[1:])
    axes[1].set(xlabel="first coordinate", ylabel="")
    share = f"{int(wrong.sum())} of {len(wrong)} new samples lie among the others"
    return figure, f"{share} · {worst('on test', evaluate(run.model, data.test))}"
