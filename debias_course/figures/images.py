"""Pictures of images: samples of each group, what an attack adds, and where a network looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..checks import grouped, whole
from ..data import GroupedData
from ..evaluation import predict
from .canvas import PALETTE, SMALL, given, new_figure
from .words import describe

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sample_grid(data: GroupedData, *, each: int = 8, groups: Sequence[int] | None = None) -> Figure:
    """Images of each group, taken at even distances, one group per row, with the group's share of the data."""
    groups = list(range(grouped(data).n_groups)) if groups is None else list(groups)
    given("groups", groups)
    for group in groups:
        whole("a group", group, 0, data.n_groups - 1)
    whole("each", each, 1)
    names = data.group_names if data.n_attributes > 1 else data.label_names
    figure, axes = new_figure(2.25 + 0.53 * each, 0.7 * len(groups), len(groups), 1, squeeze=False)
    for axis, group in zip(axes[:, 0], groups):
        rows = (data.groups == group).nonzero().flatten()
        rows = rows[torch.arange(0, len(rows), max(1, len(rows) // each))[:each]]
        images = data.batch(rows).inputs.cpu()
        strip = torch.cat(list(images), -1).permute(1, 2, 0) if len(rows) else torch.ones(28, 28, 3)
        axis.imshow(strip.expand(-1, -1, 3).numpy(), extent=(0, len(rows) or 1, 0, 1))
        axis.set(xticks=[], yticks=[], xlim=(0, each))
        axis.spines[:].set_visible(False)
        share = int(data.counts[group]) / len(data)
        label = f"{names[group]}\n{int(data.counts[group])} images ({share:.1%})"
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=SMALL)
    rows_said = [f"{names[g]} {int(data.counts[g])} images" for g in groups]
    describe(axes[0, 0], f"{each} images in a row for each group: {'; '.join(rows_said)}.")
    return figure


def repainted(model: nn.Module, own: GroupedData, other: GroupedData, *, each: int = 8) -> Figure:
    """The same samples in two paintings, taken at even distances, and above each what `model` says of it; a frame where
    its answer flips."""
    grouped(own, "own")
    grouped(other, "other")
    rows = torch.linspace(0, len(own) - 1, each).long()
    answers = [predict(model, data.subset(rows)).argmax(1).tolist() for data in (own, other)]
    figure, axes = new_figure(0.95 * each, 2.9, 2, each)
    for line, data, said in zip(axes, (own, other), answers):
        images = data.batch(rows).inputs.cpu()
        for axis, image, answer, before in zip(line, images, said, answers[0]):
            axis.imshow(image.permute(1, 2, 0).expand(-1, -1, 3).numpy())
            axis.set(xticks=[], yticks=[])
            axis.set_title(data.label_names[answer].split(" ")[0], fontsize=12)
            axis.spines[:].set_visible(answer != before)
            axis.spines[:].set(color=PALETTE[5], linewidth=4)
    flipped = sum(before != after for before, after in zip(*answers))
    describe(axes[0, 0], f"{each} images, and the same ones repainted below; {flipped} answers of the network flip.")
    return figure


def perturbations(rows: Mapping[str, tuple[torch.Tensor, torch.Tensor, str, str]]) -> Figure:
    """One row per name: an image [C, H, W] in [0, 1], what was added to it (grey is nothing) and the sum; the two texts
    say what a model makes of the image and of the sum."""
    given("rows", rows)
    figure, axes = new_figure(7.4, 0.1 + 2.15 * len(rows), len(rows), 3, layout="none", squeeze=False)
    margins = 2.15 * len(rows) + 0.1
    figure.subplots_adjust(left=0.16, right=0.99, top=1 - 0.35 / margins, bottom=0.02, wspace=0.15, hspace=0.2)
    for line, (name, (image, moved, before, after)) in zip(axes, rows.items()):
        change = (moved - image).cpu()
        largest = float(change.abs().max()) or 1.0
        shown = image.cpu(), change / (2 * largest) + 0.5, moved.cpu()
        titles = before, f"change, at most {float(change.abs().max()):.2f}", after
        for axis, picture, title in zip(line, shown, titles):
            pixels = picture.clamp(0, 1).permute(1, 2, 0).expand(-1, -1, 3)
            axis.imshow(pixels.numpy(), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.set_title(title, fontsize=12)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=12)
        describe(line[0], f"{name}: an image ({before}), a {titles[1]} per pixel, and their sum ({after}).")
    return figure


def evidence(images: torch.Tensor, maps: Mapping[str, torch.Tensor], *, rows: Sequence[str]) -> Figure:
    """Images [N, C, H, W] in [0, 1], one per row with its name, and maps name -> [N, h, w] beside them, from their
    lowest (dark) to their highest (light) value, with the outline of the image's brightest parts."""
    given("images", images)
    figure, axes = new_figure(1.5 + 1.35 * (len(maps) + 1), 0.5 + 1.35 * len(images), len(images), len(maps) + 1)
    axes = [axes] if len(images) == 1 else axes
    for i, (image, line) in enumerate(zip(images.cpu(), axes)):
        height, width = image.shape[1:]
        line[0].imshow(image.permute(1, 2, 0).expand(-1, -1, 3).numpy(), extent=(0, width, height, 0))
        line[0].set_ylabel(rows[i], rotation=0, ha="right", va="center", fontsize=SMALL)
        for axis, values in zip(line[1:], maps.values()):
            axis.imshow(values[i].cpu().numpy(), cmap="cividis", extent=(0, width, height, 0))
            ink = image.amax(0).numpy()
            x, y = ((torch.arange(side) + 0.5).numpy() for side in (width, height))
            axis.contour(x, y, ink, levels=[ink.max() / 2], colors="white", linewidths=1)
        for axis, name in zip(line, ["image", *maps]):
            axis.set(xticks=[], yticks=[], title=name if i == 0 else "")
            axis.title.set_fontsize(SMALL)
    said = f"{len(images)} images ({'; '.join(rows)}), each beside maps of {', '.join(maps)}"
    describe(axes[0][0], f"{said}: light where a map is highest, with the outline of the image's brightest parts.")
    return figure
