"""Why a weight fades: its loss over the margin, and the margins that training reaches (lecture 01)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ... import figures, models
from ...data import GroupedData, Splits
from ...evaluation import predict
from ...figures.schematics import COMMON, RARE, arrow, caption, samples
from ...methods import LossReweighting
from ...training import train

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def margins(model: torch.nn.Module, data: GroupedData) -> torch.Tensor:
    """How far the right class's logit lies above the other's, for each of N samples of two classes."""
    logits = predict(model, data)
    right = logits.gather(1, data.labels[:, None])[:, 0]
    return 2 * right - logits.sum(1)


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None  # no axes were given
    return figure


def weighted_losses(weight: float = 19.0) -> Figure:
    """The loss of a sample over its margin m, w log(1 + exp(-m)), for w = 1 and for `weight`."""
    m = torch.linspace(-3, 20, 100)
    lines = {f"weight {w:g}": (m.tolist(), (w * torch.nn.functional.softplus(-m)).tolist()) for w in (1.0, weight)}
    return drawn(figures.curves(lines, x="margin of the sample", y="weighted loss", yscale="log", ylim=(1e-8, 80)))


def reached(splits: Splits, epochs: tuple[int, ...] = (5, 30)) -> Figure:
    """Histograms of the margins of training samples after weighted trainings of some lengths."""
    method, start = LossReweighting(), models.mlp(splits.train)
    rare = splits.train.counts[splits.train.groups] < len(splits.train) / splits.train.n_groups
    edges = torch.linspace(-5, 20, 51)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    lines = {}
    for n in epochs:
        found = margins(train(start, splits.train, method, epochs=n).model, splits.train)
        for name, rows in ("common groups", ~rare), ("rare groups", rare):
            counts = torch.histogram(found[rows].clamp(-5, 20).cpu(), edges).hist
            lines[f"{name}, epoch {n}"] = (middles, (counts / counts.sum()).tolist())
    return drawn(figures.curves(lines, x="margin of a training sample", y="share of the samples"))


def schematic() -> Figure:
    """The rarer its group, the more the loss of a sample counts."""

    def glyph(axis: Axes, top: float) -> None:
        """Six common samples and two rare ones: their weights are 6 to 2 in all, and then 6 · 2/3 = 4 to 2 · 2 = 4."""
        base = top + 0.88
        for left, common, rare, name in (0.6, 1.0, 1.0, "plain: 6 to 2 in all"), (4.5, 2 / 3, 2.0, "weighted: 4 to 4"):
            xs = [left + 0.36 * i for i in range(8)]
            heights = [-0.36 * each for each in [common] * 6 + [rare] * 2]
            axis.bar(xs, heights, 0.24, bottom=base - 0.12, color=[COMMON] * 6 + [RARE] * 2, alpha=0.45)
            samples(axis, xs[:6], base)
            samples(axis, xs[6:], base, rare=True)
            caption(axis, left + 1.26, base + 0.27, name)
        arrow(axis, (3.5, base - 0.2), (4.1, base - 0.2))

    how = "Multiply the loss of each sample by a weight (the bars): the rarer the group, the larger."
    return figures.schematic("loss", how=how, title="Loss re-weighting", glyph=glyph)
