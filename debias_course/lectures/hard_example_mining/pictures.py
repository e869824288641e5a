"""Whom a high loss points at, and what the average of the highest is (lecture 03)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ... import figures, models
from ...data import Batch, GroupedData, colored_digits
from ...figures.canvas import PALETTE, SMALL
from ...figures.schematics import COMMON, RARE, arrow, caption, samples
from ...figures.words import describe
from ...method import State
from ...methods import HardMining
from ...training import train
from .measurements import hardest_tenth, noisy_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WRONG, AGAINST = "wrong label", "against the pattern"
FRAMES: dict[str, dict[str, Any]] = {  # told apart by colour and by line
    WRONG: dict(edgecolor=PALETTE[5], linewidth=2.5, linestyle="-"),
    AGAINST: dict(edgecolor=PALETTE[4], linewidth=1.8, linestyle=(0, (2, 1))),
}


def kinds(seen: GroupedData, clean: GroupedData) -> Tensor:
    """Of each sample, int64 [N]: 0 follows the pattern, 1 is against it, 2 has a wrong label."""
    return torch.where(seen.labels != clean.labels, 2, (clean.labels != clean.attributes).long())


def kept_by_epoch(method: HardMining, *, wrong: float, seed: int = 0, network: str = "linear") -> Tensor:
    """What a method keeps in each of 20 epochs: the shares of the `kinds`, float64 [20, 3]."""
    seen, clean = noisy_digits(seed, wrong).train, colored_digits(seed=seed).train
    of = kinds(seen, clean)
    marked = GroupedData(seen.inputs, seen.labels, of, seen.label_names, ("follows", "against", "wrong"))
    counts = torch.zeros(20, 3, dtype=torch.float64)

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        counts[state.epoch - 1] += torch.bincount(batch.attributes[state.chosen], minlength=3).cpu()

    train(models.MODELS[network](marked, seed=seed), marked, method, epochs=20, seed=seed, on_step=look)
    return counts / counts.sum(1, keepdim=True)


def kept(method: HardMining, *, network: str = "linear") -> Figure:
    """Bands of what is kept over 20 epochs, with clean labels and with one in ten wrong."""
    figure, axes = figures.new_figure(8.0, 3.4, 1, 2, sharey=True)
    for axis, (name, wrong) in zip(axes, {"clean labels": 0.0, "one label in ten wrong": 0.1}.items()):
        shares = kept_by_epoch(method, wrong=wrong, network=network).T.tolist()
        named = dict(zip(("follows the pattern", AGAINST, WRONG), shares))
        figures.bands(named, x=f"epoch, {name}", y="share of the kept", axis=axis)
    axes[1].set_ylabel("")
    return figure


def highest(seed: int = 0, *, epochs: int = 5, columns: int = 25) -> Figure:
    """The 300 training digits with the highest losses after a short plain training on labels of which one in ten is
    wrong, the highest first: those that have a wrong label are framed, and so are those against the pattern."""
    seen, clean = noisy_digits(seed).train, colored_digits(seed=seed).train
    model = train(models.linear(seen, seed=seed), seen, epochs=epochs, seed=seed).model
    found = hardest_tenth(model, seen, clean)
    images = seen.batch(found.kept).inputs.cpu()
    side, rows = images.shape[-1] + 4, -(-len(images) // columns)
    width, height = columns * side / figures.canvas.DPI, rows * side / figures.canvas.DPI  # whole pixels: crisp, small
    figure, axis = figures.new_figure(width, height + 0.5, layout="none")
    axis.set(position=(0, 0, 1, height / (height + 0.5)))
    sheet = torch.ones(rows * side, columns * side, 3)
    marks = {WRONG: found.wrong.tolist(), AGAINST: found.rare.tolist()}
    for i, image in enumerate(images):
        top, left = i // columns * side + 2, i % columns * side + 2
        sheet[top : top + side - 4, left : left + side - 4] = image.permute(1, 2, 0)
        for name, framed in marks.items():
            if framed[i]:
                _frame(axis, left, top, side - 4, name)
    axis.imshow(sheet.numpy(), interpolation="nearest")
    axis.set_axis_off()
    _legend(axis)
    counts = [f"{sum(framed)} have a frame as {name}" for name, framed in marks.items()]
    describe(axis, f"The {len(images)} training digits with the highest losses: {' and '.join(counts)}.")
    return figure


def _frame(axis: Axes, left: float, top: float, side: float, name: str) -> None:
    from matplotlib.patches import Rectangle

    axis.add_patch(Rectangle((left - 0.5, top - 0.5), side, side, fill=False, **FRAMES[name]))


def _legend(axis: Axes) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor="white", label=name, **look) for name, look in FRAMES.items()]
    axis.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=SMALL)


def schematic() -> Figure:
    """All are scored, and the hardest are learned from."""

    def glyph(axis: Axes, top: float) -> None:
        """Of eight samples, six common ones and two rare ones, the three with the highest losses are kept: both rare
        ones, and a common one, which may have a wrong label."""
        base, losses = top + 0.88, (0.06, 0.3, 0.1, 0.05, 0.12, 0.08, 0.5, 0.4)
        for left, kept, name in (0.6, range(8), "1. score all N"), (4.5, (1, 6, 7), "2. learn from the B highest"):
            for i, loss in enumerate(losses):
                x, rare = left + 0.36 * i, i >= 6
                chosen = i in kept
                axis.bar([x], [-loss], 0.24, bottom=base - 0.12, color=RARE if rare else COMMON, alpha=0.45 * chosen)
                samples(axis, [x], base, rare=rare, faint=not chosen)
            caption(axis, left + 1.26, base + 0.27, name)
        arrow(axis, (3.5, base - 0.2), (4.1, base - 0.2))

    how = "Look at the loss of every sample (the bars), and learn from the highest only."
    return figures.schematic("loss", how=how, title="Hard example mining", glyph=glyph)
