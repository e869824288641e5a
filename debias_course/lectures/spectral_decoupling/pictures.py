"""The half circles, the margins before and after the penalty, and how hard it pulls on each feature (lecture 06)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from ... import figures, models
from ...data import GroupedData, Splits, toys
from ...figures.schematics import ACCENT, INK, arrow, caption, samples
from ...figures.words import describe
from ...methods import ERM, Method, SpectralDecoupling
from ...training import train
from ..loss_reweighting.pictures import margins
from .features import pulls, rank_correlation, twelve_features
from .panel import fit_moons

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def half_circles(shown: Mapping[str, tuple[Method, str]], gap: float = 0.5) -> Figure:
    """One picture for each (method, split) by name: a network that the method has trained on half circles with a gap,
    and the samples of "train" or "test"."""
    splits = toys.moons(gap=gap)
    figure, axes = figures.new_figure(3.3 * len(shown) + 0.8, 3.8, 1, len(shown))
    for axis, (name, (method, split)) in zip(axes, shown.items()):
        figures.regions({name: fit_moons(method, gap)}, getattr(splits, split), axes=[axis])
        axis.set(xlabel="first coordinate", ylabel="", xlim=(-2, 2), ylim=(-1.9, 1.9))
    axes[0].set(ylabel="second coordinate")
    return figure


def reached(splits: Splits, strengths: tuple[float, ...] = (0.0, 0.1), epochs: int = 20) -> Figure:
    """Histograms of the margins of training samples after plain training and after training with the penalty."""
    start, data = models.mlp(splits.train), splits.train
    rare = data.counts[data.groups] < len(data) / data.n_groups
    edges = torch.linspace(-6, 18, 49)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    figure, axes = figures.new_figure(8.0, 3.6, 1, len(strengths), sharey=True)
    for axis, strength in zip(axes, strengths):
        method = SpectralDecoupling(strength=strength, variant="margin")
        found = margins(train(start, data, method, epochs=epochs).model, data)
        lines = {}
        for name, rows in ("rare groups", rare), ("common groups", ~rare):
            counts = torch.histogram(found[rows].clamp(-6, 18).cpu(), edges).hist
            lines[name] = (middles, (counts / counts.sum()).tolist())
        figures.curves(lines, x=f"margin in training, λ = {strength:g}", y="share of the samples", axis=axis)
    axes[1].set_ylabel("")
    return figure


def pull_by_feature(optimizer: str = "adamw", steps: int = 100, seed: int = 0) -> Figure:
    """How hard the penalty's gradient pulls on each of twelve features of a linear model and of a network, over the
    variance of the feature; the larger a dot, the more the feature tells about the label."""
    part, variances, strengths = twelve_features(seed)
    figure, axes = figures.new_figure(8.0, 3.6, 1, 2)
    starts = {"linear": models.linear(part, seed=seed), "MLP": models.mlp(part, hidden=(64,), seed=seed)}
    how: dict[str, Any] = dict(epochs=steps, batch_size=len(part), lr=0.01, optimizer=optimizer, device="cpu")
    for axis, (name, start) in zip(axes, starts.items()):
        found = pulls(train(start, part, ERM(), **how).model, _inputs(part), part.labels)
        found = found / found.abs().max()
        axis.scatter(variances, found, s=20 + 260 * strengths**2, color=figures.PALETTE[1], alpha=0.7, linewidths=0)
        axis.set(xscale="log", xlabel=f"variance of the feature, {name}", ylabel="pull (largest = 1)")
        ranks = [rank_correlation(found, each) for each in (variances, strengths)]
        describe(
            axis,
            f"""Pull of the penalty on twelve features of a trained {name} model over their variance. Rank correlation
            with the variance {ranks[0]:.2f}, with the relevance {ranks[1]:.2f}.""",
        )
    axes[1].set_ylabel("")
    return figure


def _inputs(part: GroupedData) -> torch.Tensor:
    return part.batch(torch.arange(len(part))).inputs


def schematic() -> Figure:
    """Plain training leaves sure samples alone, and the penalty draws all to one margin."""

    def glyph(axis: Axes, top: float) -> None:
        """Left, plain training: six common samples lie far right on a line of margins and hardly move, two rare ones
        lie left and are pulled to the right. Right, with the penalty: all are pulled to one point in the middle, the
        common ones from the right and the rare ones from the left."""
        line = top + 0.75
        for left, name in (0.5, "plain: the sure ones rest"), (4.5, "penalty: one margin for all"):
            caption(axis, left + 1.5, top + 0.16, name, fontweight="bold", color=INK, fontsize=12)
            arrow(axis, (left, line + 0.2), (left + 3.0, line + 0.2))
            caption(axis, left + 1.5, top + 1.17, "margin: how sure")
            common, rare = [left + 1.55 + 0.25 * i for i in range(6)], [left + 0.15, left + 0.45]
            samples(axis, common, line)
            samples(axis, rare, line, rare=True)
            pull: dict[str, Any] = dict(color=ACCENT, linewidth=2)
            for x in rare:
                arrow(axis, (x, line - 0.2), (x + 0.26, line - 0.2), **pull)
            if left > 1:
                axis.plot([left + 1.25] * 2, [line - 0.35, line + 0.25], color=ACCENT, linewidth=2, linestyle=":")
                for i, x in enumerate(common):
                    arrow(axis, (x, line - 0.2), (x - 0.1 - 0.02 * i, line - 0.2), **(pull | dict(mutation_scale=9)))

    how = "Add λ/2 times the squared margin of each sample to the loss: too sure a sample is pulled back."
    return figures.schematic("loss", how=how, title="Spectral decoupling", glyph=glyph)
