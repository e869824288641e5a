"""Scenes, exits, and where the evidence lies (lecture 07)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ... import data, figures
from ...data import GroupedData
from ...figures.schematics import ACCENT, arrow, box, caption
from ...figures.words import describe
from ...methods.occam_nets import Exits, OccamNet, leave_by

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def scenes(aligned_share: float = 0.95, seed: int = 0) -> Figure:
    """Scenes of four digits: with none of the four hints misleading, and with at least one."""
    train = data.scenes(aligned_share=aligned_share, copies=1, seed=seed).train
    figure, axes = figures.new_figure(8.0, 4.2, 2, 4)
    for row, (line, word) in enumerate(zip(axes, ("all hints agree", "a hint misleads"))):
        for axis, digit in zip(line, (0, 3, 6, 7)):
            there = (train.labels == digit) & ((train.attributes > 0) == bool(row))
            image = train.inputs[there.nonzero()[0, 0]]
            axis.imshow(image.permute(1, 2, 0).numpy())
            axis.set(xticks=[], yticks=[], title=f"digit {digit}: {word}")
            axis.title.set_fontsize(9)
    describe(
        axes[0][0], "Scenes of textured ground, a small coloured digit in one cell and a coloured disc in another."
    )
    return figure


def by_threshold(test: GroupedData, said: Exits, thresholds: Sequence[float] = (0.5, 0.95)) -> Figure:
    """By which exit aligned and conflicting test digits leave at some thresholds, and how often each exit is right."""
    aligned = test.labels == test.attributes
    kinds = {"conflicting": ~aligned, "aligned": aligned}  # the rare ones are orange, as in all lectures
    hits = said.logits.argmax(2) == test.labels
    names = [f"exit {number}" for number in range(len(hits))]
    figure, axes = figures.new_figure(11.0, 3.4, 1, len(thresholds) + 1, sharey=True)
    for axis, threshold in zip(axes, thresholds):
        chosen = leave_by(said.gates, threshold)
        taken = {n: [float((chosen[rows] == e).float().mean()) for e in range(len(hits))] for n, rows in kinds.items()}
        figures.bars(taken, places=names, y=f"share that leaves, threshold {threshold:g}", axis=axis, ylim=(0, 1.02))
    shares = {name: [float(each[rows].float().mean()) for each in hits] for name, rows in kinds.items()}
    figures.bars(shares, places=names, y="share that is right", axis=axes[-1], ylim=(0, 1.02))
    return figure


def evidence(model: OccamNet, test: GroupedData, rows: torch.Tensor) -> Figure:
    """Test digits, and beside each how much every place of every exit's map speaks for the true class: its score
    against the mean of all classes, over the largest of the exit's column."""
    batch = test.batch(rows)
    with torch.no_grad():
        maps = model.eval().exits(batch.inputs.to(next(model.parameters()).device)).maps
    own = [(each - each.mean(1, keepdim=True))[range(len(rows)), batch.labels].cpu() for each in maps]
    figure, axes = figures.new_figure(7.4, 1.35 * len(rows) + 0.4, len(rows), len(maps) + 1)
    for i, line in enumerate(axes):
        line[0].imshow(batch.inputs[i].permute(1, 2, 0).cpu().numpy())
        line[0].set_ylabel(test.group_names[int(batch.groups[i])], rotation=0, ha="right", va="center", fontsize=9)
        for axis, values in zip(line[1:], own):
            shown = axis.imshow((values[i] / values.abs().max()).numpy(), cmap="PuOr", vmin=-1, vmax=1)
        for number, axis in enumerate(line):
            axis.set(xticks=[], yticks=[], title=("" if i else f"exit {number - 1}" if number else "image"))
    figure.colorbar(shown, ax=axes, shrink=0.8, label="evidence for the true class")
    describe(
        axes[0][0],
        """Coloured digits with the maps of three exits: purple where a place speaks for the true class, orange where it
        speaks against it.""",
    )
    return figure


def gates(table: pd.DataFrame) -> Figure:
    """Table T07.2: the share of the next exit's weights that conflicting digits get, beside the most that is possible
    and their share in the data; and how well each gate tells right from wrong."""
    figure, axes = figures.new_figure(9.0, 3.6, 1, 2)
    middle = len(table) // 4  # of the three lengths of a gate
    places = [
        f"{n}" + f"\ngate {g}" * (i % (len(table) // 2) == middle)
        for i, (g, n) in enumerate(zip(table["gate"], table["epochs"]))
    ]
    shares = {"by its gate": table["moved"].tolist(), "by a perfect gate": table["most"].tolist()}
    how: dict[str, Any] = dict(places=places, xlabel="epochs")
    figures.bars(shares, y="weights of conflicting digits", axis=axes[0], ylim=(0, 0.5), **how)
    axes[0].axhline(0.05, color="#888888", linewidth=1, linestyle=":")
    told = {"pairs told apart": table["trained"].tolist(), "exit wrong on conflicting": table["wrong"].tolist()}
    figures.bars(told, y="share, training data", axis=axes[1], ylim=(0, 1.02), **how)
    return figure


def schematic() -> Figure:
    """An exit after each stage, and gates that weigh the samples of the next exit."""

    def glyph(axis: Axes, top: float) -> None:
        """Three stages of a network in a row, with an exit below each. Exit 0 takes the map of its stage, but sends no
        gradient back. Between the exits stand two gates, 0 and 1: how shut a gate is becomes the weight of a sample in
        the next exit. An answer leaves exit 1 and exit 2; exit 0 never answers."""
        for i in range(3):
            left = 0.45 + 2.5 * i
            box(axis, left, top + 0.05, 1.3, 0.36, f"stage {i}")
            box(axis, left, top + 0.72, 1.3, 0.36, f"exit {i}", color=ACCENT, strong=bool(i))
            arrow(axis, (left + 0.65, top + 0.43), (left + 0.65, top + 0.7))
            if i == 0:
                caption(axis, left + 1.2, top + 0.57, "no gradient")
                caption(axis, left + 0.65, top + 1.22, "never answers")
            else:
                arrow(axis, (left - 1.18, top + 0.23), (left - 0.02, top + 0.23))
                arrow(axis, (left - 1.18, top + 0.9), (left - 0.02, top + 0.9), color=ACCENT, linewidth=2)
                caption(axis, left - 0.6, top + 0.74, f"gate {i - 1}")
                caption(axis, left + 0.65, top + 1.22, "answers, if its gate is open" if i == 1 else "answers the rest")

    how = "An exit after each stage answers. Its gate tells whether it is right; the next exit learns the rest."
    return figures.schematic(("model", "loss"), how=how, title="OccamNets", glyph=glyph)
