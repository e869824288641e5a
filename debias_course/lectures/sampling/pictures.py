"""What a batch holds, and what augmentation makes of one digit (lecture 02)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ... import figures
from ...contexts import isolated_randomness
from ...data import GroupedData
from ...figures.schematics import INK, box, caption, samples
from ...figures.words import describe
from .measurements import move

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def seats(data: GroupedData, drawn: Mapping[str, Sequence[Tensor]]) -> Figure:
    """How many samples of each group are in each of the batches, one picture for each way to draw them."""
    figure, axes = figures.new_figure(9.0, 3.6, 1, len(drawn), sharey=True)
    for axis, (name, batches) in zip(axes, drawn.items()):
        counts = torch.stack([torch.bincount(data.groups[batch], minlength=data.n_groups) for batch in batches])
        numbers = range(1, len(counts) + 1)
        lines = {group: (numbers, counts[:, g].tolist()) for g, group in enumerate(data.group_names)}
        figures.curves(lines, x=f"batch, {name}", y="samples of the group", axis=axis, ylim=(0, 20))
    return figure


def ten_ways(data: GroupedData, group: int = 2, seed: int = 0) -> Figure:
    """The first digit of a group, and ten ways in which augmentation shows it."""
    image = data.batch((data.groups == group).nonzero()[0]).inputs.cpu()
    with isolated_randomness(seed):
        shown = torch.cat([image, move(image.repeat(10, 1, 1, 1))])
    figure, axes = figures.new_figure(9.0, 1.1, 1, len(shown))
    for axis, picture in zip(axes, shown):
        axis.imshow(picture.permute(1, 2, 0).numpy())
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    axes[0].set_title("as it is", fontsize=12)
    describe(
        axes[0], f"A digit of the group {data.group_names[group]}: as it is, and ten times turned, shifted, scaled."
    )
    return figure


def schematic() -> Figure:
    """Three ways of evening out who is seen, an epoch or a batch at a time."""

    def glyph(axis: Axes, top: float) -> None:
        """Of six common samples and two rare ones, over-sampling shows the same two rare ones three times, while
        under-sampling leaves four common ones out, and batch sampling gives each group two seats in every batch."""
        common, rare = top + 0.49, top + 0.81
        for middle, name, said in (
            (1.4, "over-sampling", "the same two, three times"),
            (4.0, "under-sampling", "four of six left out"),
            (6.6, "batch sampling", "two seats each, every time"),
        ):
            caption(axis, middle, top + 0.16, name, fontweight="bold", color=INK, fontsize=12)
            caption(axis, middle, top + 1.17, said)
        samples(axis, [0.5 + 0.36 * i for i in range(6)], common)
        for copy in range(3):
            box(axis, 0.48 + 0.68 * copy, rare - 0.14, 0.5, 0.28)
            samples(axis, [0.62 + 0.68 * copy, 0.85 + 0.68 * copy], rare, rare=True)
        xs = [3.1 + 0.36 * i for i in range(6)]
        samples(axis, xs[:2], common)
        samples(axis, xs[2:], common, faint=True)
        samples(axis, xs[:2], rare, rare=True)
        for left in (5.5, 6.29, 7.08):
            box(axis, left, top + 0.31, 0.62, 0.68)
            samples(axis, [left + 0.18, left + 0.44], common)
            samples(axis, [left + 0.18, left + 0.44], rare, rare=True)

    how = "Change who is seen, and how often: when an epoch is put together, or in every batch."
    return figures.schematic(("data", "batch"), how=how, title="Sampling", glyph=glyph)
