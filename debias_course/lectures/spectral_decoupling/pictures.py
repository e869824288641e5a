"""The half circles, the margins before and after the penalty, and how hard it pulls on each feature (lecture 06)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from ... import figures, models
from ...data import GroupedData, Splits, toys
from ...figures.words import describe
from ...methods import ERM, Method, SpectralDecoupling
from ...training import train
from ..loss_reweighting.pictures import margins
from .features import pulls, rank_correlation, twelve_features
from .panel import fit_moons

if TYPE_CHECKING:
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
