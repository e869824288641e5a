"""Two domains in one plane, two losses that pull at each other, and three readers of the same features (lecture 09)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ... import figures, models
from ...data import Batch
from ...figures.canvas import PALETTE, new_page
from ...figures.schematics import ACCENT, COMMON, INK, RARE, WIDTH, arrow, box, caption, digit
from ...figures.words import describe
from ...method import State
from ...methods import DANN
from ...methods.dann import frozen_features
from ...training import train
from .readers import ADAPTING, COLORING, TARGET, small_mlp, ten_colors, two_domains

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def both_domains(strengths: tuple[float, ...], seed: int = 0) -> Figure:
    """The features of test images of both domains in their first two principal components, after trainings with labels
    of the first domain, one for each λ."""
    splits = two_domains(seed)
    names = {0.0: "no reversal"}
    some = splits.test.subset(torch.arange(0, len(splits.test), 3))  # all would hide each other
    found = {names.get(s, f"λ = {s:g}"): frozen_features(DANN(), _adapted(s, seed), some) for s in strengths}
    figure = figures.embedding(found, some)
    assert figure is not None
    axis = figure.axes[0]
    describe(
        axis,
        f"""Features of test digits in two domains, one dot each, after training with {" and ".join(found)}. Circles
        with a number mark the mean of a digit in the first domain, squares in the second.""",
    )
    return figure


@lru_cache(maxsize=4)
def _adapted(strength: float, seed: int) -> nn.Module:
    part = two_domains(seed).train
    return train(models.cnn(part, seed=seed), part, DANN(strength=strength, **TARGET), seed=seed, **ADAPTING).model


def two_losses(strengths: tuple[float, ...] = (0.0, 0.3, 1.0)) -> Figure:
    """Loss of the label and of the domain over the steps of trainings on ten colours, one for each λ."""
    figure, axes = figures.new_figure(9.0, 3.8, 1, 2)
    found = {f"λ = {s:g}": losses_by_step(s).unfold(0, 10, 1).mean(2) for s in strengths}  # over ten steps
    for axis, part, name in (axes[0], 0, "label"), (axes[1], 1, "domain"):
        lines = {key: (range(len(each)), each[:, part].tolist()) for key, each in found.items()}
        figures.curves(lines, x="step", y=f"loss of the {name}", axis=axis, ylim=(0, 3.5))
    axes[1].axhline(math.log(10), color="black", linewidth=1, linestyle="--")
    axes[1].text(1.0, math.log(10) + 0.06, "guessing", fontsize=10, ha="right", transform=axes[1].get_yaxis_transform())
    return figure


def losses_by_step(strength: float) -> Tensor:
    """L_y and L_d of each step, [steps, 2]."""
    trace = []

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        trace.append(torch.stack(state.losses))

    part = ten_colors(0).train
    train(small_mlp(part), part, DANN(strength=strength), on_step=look, **COLORING)
    return torch.stack(trace)


def three_readers(found: Mapping[str, list[dict[str, float]]], chance: float) -> Figure:
    """For each training by name, and each of its seeds, what the head, the discriminator and the probe get right."""
    figure, axis = figures.new_figure(8.0, 0.75 * len(found) + 1.4)
    readers = {"digit, by the head": "accuracy", "colour, by the discriminator": "discriminator"}
    for j, (title, what) in enumerate((readers | {"colour, by a fresh probe": "probe"}).items()):
        dots = [(row[what], i + 0.2 * (j - 1)) for i, rows in enumerate(found.values()) for row in rows if what in row]
        xs, ys = zip(*dots)
        style: dict[str, Any] = dict(color=figures.PALETTE[j], marker=figures.MARKERS[j], linestyle="none", alpha=0.6)
        axis.plot(xs, ys, label=title, **style)
    axis.axvline(chance, color="black", linestyle="--", linewidth=1)
    axis.set(yticks=range(len(found)), yticklabels=list(found), xlim=(0, 1), xlabel="share of test images right")
    axis.invert_yaxis()
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=10, frameon=False)
    means = "; ".join(
        f"{name}: " + ", ".join(f"{what} {sum(row[what] for row in rows) / len(rows):.2f}" for what in rows[0])
        for name, rows in found.items()
    )
    describe(axis, f"What readers of the features get right, on average over the seeds. {means}. Chance is {chance}.")
    return figure


def schematic() -> Figure:
    """Two heads on the same features, and the layer that turns one gradient round."""
    axis = new_page(WIDTH, 3.1)
    for x, name in (0.6, "image"), (2.3, "features"), (5.75, "two readers"), (7.35, "losses, added"):
        caption(axis, x, 0.2, name)
    digit(axis, 0.6, 1.45, COMMON)
    box(axis, 1.6, 1.05, 1.4, 0.8, "f", strong=True)
    box(axis, 4.9, 0.55, 1.7, 0.55, "head: which digit?")
    box(axis, 4.9, 1.85, 1.7, 0.55, "discriminator", color=RARE)
    caption(axis, 5.75, 2.58, "which domain?")
    box(axis, 3.6, 1.8, 0.75, 0.65, "R", color=ACCENT, strong=True)
    for y, name in (0.82, "L_y"), (2.12, "L_d"):
        axis.text(7.35, y, f"${name}$", fontsize=14, ha="center", va="center", color=INK)
        arrow(axis, (6.65, y - 0.1), (7.05, y - 0.1))
        arrow(axis, (7.05, y + 0.1), (6.65, y + 0.1), color=COMMON, linewidth=2)
    arrow(axis, (1.05, 1.45), (1.55, 1.45))
    arrow(axis, (3.05, 1.2), (4.85, 0.72))
    arrow(axis, (4.85, 0.95), (3.05, 1.43), color=COMMON, linewidth=2)
    arrow(axis, (3.05, 1.55), (3.55, 1.9))
    arrow(axis, (4.4, 2.02), (4.85, 2.02))
    arrow(axis, (4.85, 2.24), (4.4, 2.24), color=COMMON, linewidth=2)
    arrow(axis, (3.55, 2.25), (3.0, 1.9), color=PALETTE[5], linewidth=2.5, linestyle=(0, (4, 2)))
    caption(axis, 2.85, 2.3, "× (-λ)", color=PALETTE[5], fontsize=13, fontweight="bold")
    caption(axis, 0.1, 2.9, "grey: forward     blue: gradient     dashed: gradient, turned round", ha="left")
    describe(
        axis,
        """An image becomes features. Two readers look at them: the head says which digit it is, and the discriminator
        which domain the image is from. Their losses are added. The gradient of the head's loss goes back to the
        features as it is; that of the discriminator's loss reaches the discriminator as it is, and is multiplied by
        minus lambda in the layer R before it reaches the features.""",
    )
    return axis.figure  # type: ignore[return-value]  # new_page made no part of one
