"""Four ways to be weak, the pull of a product, whom a partner points at, and how strong it should be (lecture 11)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ... import figures
from ...contexts import isolated_randomness
from ...data import GroupedData
from ...evaluation import predict
from ...figures.canvas import MARKERS, PALETTE
from ...figures.marks import draw_levels, legend_above
from ...figures.schematics import ACCENT, COMMON, INK, LINE, RARE, arrow, box, caption, samples
from ...figures.words import describe, listed
from ...methods.partners.networks import weak
from ...training import train
from .bench import PARTNER_EPOCHS, SETTINGS, WIDTH

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def grounds(part: GroupedData, digits: Sequence[int] = (0, 3)) -> Figure:
    """Some digits on ground of their own colour, and on others."""
    shorter = replace(part, attribute_names=("own", "other"))
    return figures.sample_grid(shorter, groups=[2 * digit + kind for digit in digits for kind in (0, 1)])


def partner_says(part: GroupedData, epochs: int = PARTNER_EPOCHS, seed: int = 0) -> torch.Tensor:
    """Logits [N, C] of a partner of 1×1 convolutions that was trained on `part`, about `part`."""
    with isolated_randomness(seed):
        start = weak(part, "pointwise", width=WIDTH)
    return predict(train(start, part, epochs=epochs, seed=seed, **SETTINGS).model, part).cpu()


def own_colors(part: GroupedData) -> dict[str, str]:
    """The colour of each digit's aligned samples, such as "#e69f00": the darkest of each channel, as strokes are
    white."""
    from matplotlib.colors import to_hex

    found = {}
    for digit, name in enumerate(part.label_names):
        rows = ((part.labels == digit) & (part.attributes == 0)).nonzero()[:1, 0]
        if len(rows):
            red, green, blue = part.batch(rows).inputs[0].amin((1, 2)).tolist()
            found[name.removeprefix("digit ")] = to_hex((red, green, blue))
    return found


def surest_errors(part: GroupedData, logits: torch.Tensor, show: int = 12) -> Figure:
    """The samples that a partner is surest and wrong about, the surest first, with what it takes them for, below a key
    of the digits' own colours."""
    from matplotlib.patches import Patch

    labels = part.labels.cpu()
    taken = logits.argmax(1)
    sure = torch.where(taken == labels, -1.0, logits.softmax(1).max(1).values)
    rows = sure.argsort(descending=True)[:show]
    figure, axes = figures.new_figure(8.0, 3.8, 2, (show + 1) // 2)
    for axis, row in zip(axes.flat, rows.tolist()):
        axis.imshow(part.batch(torch.tensor([row], device=part.device)).inputs[0].permute(1, 2, 0).cpu().numpy())
        axis.set(xticks=[], yticks=[], title=f"a {int(labels[row])}; it says {int(taken[row])}")
        axis.title.set_fontsize(10)
    key = [Patch(facecolor=color, edgecolor="#888888", label=digit) for digit, color in own_colors(part).items()]
    how: dict[str, Any] = dict(loc="outside upper center", ncols=len(key), frameon=False)
    figure.legend(handles=key, title="digits' own colours", handlelength=1.2, columnspacing=1.2, **how)
    describe(
        axes.flat[0], f"{len(rows)} small white digits on coloured ground, each with its label and another answer."
    )
    return figure


def pull() -> Figure:
    """How much a sample pulls the logit of its label up, by what the partner says of it: two classes, and a model that
    is undecided."""
    margins = [each / 4 for each in range(-24, 25)]
    product = [1 - 1 / (1 + math.exp(-each)) for each in margins]
    lines = {
        "product of experts": product,
        "product + own loss": [each + 0.5 for each in product],
        "plain training": [0.5] * len(margins),
    }
    figure, axis = figures.new_figure(7.2, 3.8)
    words = "the partner is: sure and wrong (left), unsure (middle), sure and right (right)"
    said: dict[str, Any] = dict(x=f"partner's margin of the label\n{words}", y="pull on the model", ylim=(0, 1.6))
    figures.curves({name: (margins, ys) for name, ys in lines.items()}, axis=axis, **said)
    return figure


def by_epoch(table: pd.DataFrame) -> Figure:
    """Table T11.1: conflicting digits that are right over training length, with bands."""
    figure, axis = figures.new_figure(9.0, 4.2)
    how: dict[str, Any] = dict(levels={"chance": 0.1}, y="conflicting digits right", log=True, ylim=(0, 0.8))
    figures.over_epochs(table, axis=axis, **how)
    return figure


def compared(table: pd.DataFrame) -> Figure:
    """Table T11.2: conflicting digits that are right, with intervals, and in grey the aligned ones; references above,
    those with a partner below."""
    figure, axis = figures.new_figure(7.6, 1.2 + 0.34 * len(table))
    kinds = ["told nothing" if told == "nothing" else "told who conflicts" for told in table["told"]]
    for i, row in enumerate(table.itertuples()):
        kind = int(kinds[i] != "told nothing")
        error = [[row.conflicting - row.low], [row.high - row.conflicting]]
        style: dict[str, Any] = dict(color=PALETTE[kind], marker=MARKERS[kind], markersize=8, capsize=4)
        label = f"conflicting, {kinds[i]}" if kinds.index(kinds[i]) == i else None
        axis.errorbar([row.conflicting], [-i], xerr=error, linestyle="none", label=label, **style)
    rows = [-i for i in range(len(table))]
    tick: dict[str, Any] = dict(color="#555555", markersize=18, markeredgewidth=2.5, zorder=4)
    axis.plot(table["aligned"], rows, "|", label="aligned", **tick)
    axis.set(yticks=rows, yticklabels=table["method"].tolist(), xlim=(0, 1.02), xlabel="test digits that are right")
    plain = float(table.loc[table["method"] == "plain", "conflicting"].iloc[0])
    axis.axvline(plain, color="#888888", linewidth=1, linestyle=":")
    legend_above(axis)
    said = [listed(dict(zip(table["method"], table[kind]))) for kind in ("conflicting", "aligned")]
    describe(axis, f"Test digits that are right, by method. Conflicting: {said[0]}. Aligned: {said[1]}.")
    return figure


def found(table: pd.DataFrame) -> Figure:
    """Table T11.4: precision and recall of whom a method points at, by epochs of its partner."""
    figure, axes = figures.new_figure(9.0, 3.8, 1, 2, sharey=True)
    for axis, what in zip(axes, ("precision", "recall")):
        lines = {
            name: (rows["epoch"].tolist(), rows[what].tolist()) for name, rows in table.groupby("method", sort=False)
        }
        figures.curves(lines, x="epochs of the partner", y=what, axis=axis, ylim=(-0.02, 1.04))
        draw_levels(axis, {"half": 0.5})
    return figure


def by_size(table: pd.DataFrame) -> Figure:
    """Table T11.3: aligned and conflicting digits that are right, by the partner."""
    figure, axis = figures.new_figure(8.0, 3.8)
    words = {"1×1, one channel": "pointwise,\nwidth 1", "product of experts": "pointwise,\nwidth 8"}  # as in the panel
    words |= {"squares, 256 units, 100 epochs": "coarse,\nwidth 256,\n100 epochs"}
    places = [words.get(name, name) for name in table["partner"]]
    heights = {kind: table[kind].tolist() for kind in ("aligned", "conflicting")}
    figures.bars(heights, places=places, y="test digits that are right", axis=axis, ylim=(0, 1.02))
    return figure


def schematic() -> Figure:
    """Four ways to make a partner weak, and what it is for."""

    def glyph(axis: Axes, top: float) -> None:
        """Four partners in a row: one of few units, one that sees single pixels, one that trains for a short time, and
        one that turns away from what is hard. Each is right about the common samples, and wrong about the rare one,
        which then counts more for the model."""
        from matplotlib.patches import Rectangle

        middles = (0.85, 2.5, 4.15, 5.8)
        for middle, name in zip(middles, ("too small", "near-sighted", "stopped early", "turns away")):
            caption(axis, middle, top + 0.1, name, fontweight="bold", color=INK, fontsize=12)
        box(axis, 0.71, top + 0.34, 0.28, 0.3, color=ACCENT, strong=True)
        for i in range(9):
            corner = 2.31 + 0.13 * (i % 3), top + 0.3 + 0.13 * (i // 3)
            axis.add_patch(Rectangle(corner, 0.11, 0.11, color=ACCENT if i == 4 else "#d5d5d5"))
        xs = [3.85 + 0.03 * i for i in range(21)]
        ys = [top + 0.66 - 0.36 * math.exp(-i / 5) for i in range(21)]
        axis.plot(xs, ys, color=LINE)
        axis.plot(xs[:6], ys[:6], color=ACCENT, linewidth=3)
        axis.plot([4.01, 4.01], [top + 0.26, top + 0.7], color=ACCENT, linestyle=":")
        arrow(axis, (5.75, top + 0.48), (5.4, top + 0.48), color=ACCENT, linewidth=2)
        samples(axis, [6.05], top + 0.48, rare=True)
        for middle in middles:
            samples(axis, [middle - 0.45 + 0.25 * i for i in range(3)], top + 0.95)
            samples(axis, [middle + 0.4], top + 0.95, rare=True)
            caption(axis, middle - 0.2, top + 1.2, "right", color=COMMON)
            caption(axis, middle + 0.42, top + 1.2, "wrong", color=RARE)
        arrow(axis, (6.4, top + 0.95), (6.65, top + 0.95))
        caption(axis, 7.18, top + 0.95, "count more", color=INK, fontweight="bold")

    how = "A weak partner learns the shortcut and little else. Whom it serves counts less for the model, the rest more."
    return figures.schematic(("data", "loss"), how=how, title="A partner", glyph=glyph)
