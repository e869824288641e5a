"""Pictures of a plane: samples with two coordinates, or with the two that say most of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from ..checks import grouped
from ..data import GroupedData
from ..evaluation import predict
from .canvas import MARKERS, PALETTE, SMALL, given, new_figure
from .marks import legend_above
from .words import describe

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def regions(
    models: Mapping[str, nn.Module], data: GroupedData, *, axes: Sequence[Axes] | np.ndarray | None = None
) -> Figure | None:
    """Where each model of a 2-D problem decides for which class, with the samples of `data` on top."""
    given("models", models)
    grouped(data)
    figure = None
    if axes is None:
        figure, grid = new_figure(3.4 * len(models), 3.8, 1, len(models), squeeze=False, sharey=True)
        axes = grid[0]
    x, y = torch.meshgrid(torch.linspace(-2.6, 2.6, 80), torch.linspace(-2.8, 2.8, 80), indexing="xy")
    points = torch.stack([x.flatten(), y.flatten()], 1)
    zeros = torch.zeros(len(points), dtype=torch.int64)
    plane = GroupedData(points, zeros, zeros, data.label_names, data.attribute_names)
    for axis, (name, model) in zip(axes, models.items()):
        logits = predict(model, plane).cpu()
        margin = (logits[:, 1] - logits[:, 0]).view(x.shape)
        axis.contourf(x, y, margin, levels=[-1e9, 0, 1e9], colors=[PALETTE[2], PALETTE[3]], alpha=0.2)
        axis.contour(x, y, margin, levels=[0], colors="black", linewidths=2)
        for group in range(data.n_groups):
            rows = data.groups == group
            style: dict[str, Any] = dict(
                color=(PALETTE[2], PALETTE[3])[group // data.n_attributes], marker=MARKERS[group]
            )
            axis.scatter(*data.inputs[rows].T, s=22, label=data.group_names[group], linewidths=0, alpha=0.8, **style)
        axis.set(title=name, xlim=(-2.6, 2.6), ylim=(-2.8, 2.8), xlabel="first coordinate (shortcut)")
        describe(axis, f"Decision regions of {name}: the boundary is {_tilt(margin):.0f} degrees off level.")
    axes[0].set_ylabel("second coordinate (core)")
    if figure is not None:
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=SMALL, frameon=False
        )
    return figure


def _tilt(margin: torch.Tensor) -> float:
    """How far the boundary of a margin [rows, columns] of the plane leans on average: 0 degrees if the margin follows
    the second coordinate, 90 if it follows the first."""
    across, up = margin.diff(dim=1).mean() / 5.2, margin.diff(dim=0).mean() / 5.6  # the plane is 5.2 by 5.6
    return float(torch.atan2(across.abs(), up.abs()).rad2deg())


def new_samples(enlarged: GroupedData, n: int, wrong: torch.Tensor, *, axis: Axes | None = None) -> Figure | None:
    """Samples of a plane by label, the first n of them given and the others made; `wrong` marks made ones [m]."""
    grouped(enlarged, "enlarged")
    figure = None
    if axis is None:
        figure, axis = new_figure(4.0, 4.0)
    points = cast(torch.Tensor, enlarged.inputs).cpu()
    old, new = points[:n], points[n:]
    for rows, name, marker in (~wrong.cpu(), "new", "+"), (wrong.cpu(), "new, among others", "x"):  # below the given
        axis.plot(new[rows, 0], new[rows, 1], marker, color="black", markersize=6, alpha=0.7, zorder=2, label=name)
    for label, name in enumerate(enlarged.label_names):
        rows = enlarged.labels[:n].cpu() == label
        style: dict[str, Any] = dict(
            color=(PALETTE[2], PALETTE[3])[label % 2], marker=MARKERS[label % 7], markersize=6, linestyle="none"
        )
        style |= dict(markeredgecolor="white", markeredgewidth=0.6, zorder=3)
        axis.plot(old[rows, 0], old[rows, 1], label=name, **style)
    axis.set(xlabel="first coordinate", ylabel="second coordinate")
    legend_above(axis)
    counts = f"{n} given samples, {len(new)} new ones, {int(wrong.sum())} of them among others"
    describe(axis, f"Samples of {' and '.join(enlarged.label_names)} on a plane: {counts}.")
    return figure


def embedding(
    features: Mapping[str, torch.Tensor], data: GroupedData, *, axes: Sequence[Axes] | np.ndarray | None = None
) -> Figure | None:
    """Features [N, d] of the samples of `data` in their first two principal components, one panel per name: a dot for a
    sample, told apart by attribute, and at the mean of each group the number of its label."""
    given("features", features)
    grouped(data)
    figure = None
    if axes is None:
        figure, grid = new_figure(4.6 * len(features), 4.6, 1, len(features), squeeze=False)
        axes = grid[0]
    labels, attributes, groups = (each.cpu() for each in (data.labels, data.attributes, data.groups))
    for axis, (name, values) in zip(axes, features.items()):
        points = principal(values.cpu())
        for attribute, title in enumerate(data.attribute_names):
            rows = attributes == attribute
            style: dict[str, Any] = dict(color=PALETTE[attribute % 7], marker=MARKERS[attribute % 7], linewidths=0)
            axis.scatter(*points[rows].T, s=9, alpha=0.5, label=title, **style)
        for group in groups.unique().tolist():
            place = points[groups == group].mean(0).tolist()
            attribute = group % data.n_attributes
            box: dict[str, Any] = dict(boxstyle=("circle", "square")[attribute % 2] + ",pad=0.15", facecolor="white")
            box |= dict(edgecolor=PALETTE[attribute % 7], linewidth=1.8)
            number = data.label_names[group // data.n_attributes].split()[-1]
            axis.text(*place, number, ha="center", va="center", fontsize=SMALL, bbox=box)
        axis.set(xlabel=f"first principal component ({name})", ylabel="second principal component")
        legend_above(axis)
        means = torch.stack([points[attributes == a].mean(0) for a in attributes.unique()])
        apart = float(torch.pdist(means).max() / points.std(0).norm()) if len(means) > 1 else 0.0
        describe(
            axis,
            f"""{len(points)} samples by the first two principal components of {name}: the means of
            {", ".join(data.attribute_names)} lie at most {apart:.1f} standard deviations apart.""",
        )
    return figure


def principal(values: torch.Tensor) -> torch.Tensor:
    """The first two principal components of [N, d], as [N, 2]; of either sign, the one with the longer tail above 0."""
    centered = (values - values.mean(0)).double()
    points = centered @ torch.linalg.eigh(centered.T @ centered).eigenvectors[:, -2:].flip(1)
    return points * points.pow(3).sum(0).sign()
