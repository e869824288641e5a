"""What a batch holds, and what augmentation makes of one digit (lecture 02)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ... import figures
from ...contexts import isolated_randomness
from ...data import GroupedData
from ...figures.words import describe
from .measurements import move

if TYPE_CHECKING:
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
