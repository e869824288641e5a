"""Losses that differ, weights that follow them, a game that goes round in circles, and a map (lecture 05)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ... import figures, models
from ...data import Batch, GroupedData
from ...evaluation import evaluate
from ...figures.schematics import COMMON, INK, RARE, arrow, caption, samples
from ...method import State
from ...methods import ERM, GroupDRO, Method
from ...training import train
from .game import FrozenWeights, group_losses

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def losses_by_epoch(part: GroupedData, epochs: int = 8) -> Figure:
    """The training loss of each group after each epoch: in plain training, and where each group counts the same."""
    figure, axes = figures.new_figure(9.0, 3.8, 1, 2, sharey=True)
    for axis, (name, method) in zip(axes, {"plain training": ERM(), "frozen weights": FrozenWeights()}.items()):
        rows = _after_each_epoch(part, method, epochs)
        lines = {group: (range(1, epochs + 1), rows[:, g].tolist()) for g, group in enumerate(part.group_names)}
        figures.curves(lines, x=f"epoch, {name}", y="training loss of the group", axis=axis, ylim=(0, None))
    return figure


def _after_each_epoch(part: GroupedData, method: Method, epochs: int) -> Tensor:
    """The groups' losses [epochs, groups]."""
    trained: list[nn.Module] = []
    rows: list[Tensor] = []

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        trained[:] = [model]

    how: dict[str, Any] = dict(on_step=look, progress=lambda done, of: rows.append(group_losses(trained[0], part)))
    train(models.mlp(part), part, method, epochs=epochs, device="cpu", **how)
    return torch.stack(rows)


def weights_by_step(part: GroupedData, step_sizes: Sequence[float], epochs: int = 10) -> Figure:
    """The weights q after every step, for some step sizes; a thin line is where frozen weights stay."""
    figure, axes = figures.new_figure(11.0, 3.8, 1, len(step_sizes), sharey=True)
    for axis, step_size in zip(axes, step_sizes):
        used: list[Tensor] = []
        method = GroupDRO(step_size=step_size)
        settings: dict[str, Any] = dict(epochs=epochs, on_step=lambda m, b, s, loss, used=used: used.append(s.used))
        train(models.mlp(part), part, method, device="cpu", **settings)
        q = torch.stack(used)
        lines = {group: (range(1, len(q) + 1), q[:, g].tolist()) for g, group in enumerate(part.group_names)}
        frozen = {"frozen": 1 / part.n_groups}
        figures.curves(lines, x=f"step, η = {step_size:g}", y="weight", axis=axis, ylim=(0, 1.02), levels=frozen)
    return figure


def cycles(part: GroupedData, epochs: int = 10) -> Figure:
    """The worst group of a linear model on its training data after every fourth step, at a step size of 1: with the
    parameters of that step, and with the average of all up to it. The third line has frozen weights."""
    last, average = _worst_by_step(part, GroupDRO(step_size=1.0), epochs)
    frozen, _ = _worst_by_step(part, FrozenWeights(), epochs)
    steps = [1 + 4 * i for i in range(len(last))]
    lines = {"η = 1, last step": last, "η = 1, average of all steps": average, "frozen weights": frozen}
    drawn = figures.curves(
        {name: (steps, values) for name, values in lines.items()},
        x="step",
        y="worst group, training",
        ylim=(0, 1.02),
    )
    assert drawn is not None  # no axes were given
    return drawn


def _worst_by_step(part: GroupedData, method: Method, epochs: int) -> tuple[list[float], list[float]]:
    """The worst group with the parameters of every fourth step, and with the average of all up to it."""
    start = models.linear(part)
    average, steps = copy.deepcopy(start), [0]
    found: tuple[list[float], list[float]] = [], []

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        steps[0] += 1
        with torch.no_grad():
            for mean, now in zip(average.parameters(), model.parameters()):
                mean.lerp_(now, 1 / steps[0])
        if steps[0] % 4 == 1:
            for values, each in zip(found, (model, average)):
                values.append(evaluate(each, part).worst_group.value)

    train(start, part, method, epochs=epochs, on_step=look, device="cpu")
    return found


def cells(table: pd.DataFrame) -> Figure:
    """The map of table T05.3: a row for each control and each step size."""
    table = table.assign(column=[f"{rate:g}\n{decay:g}" for rate, decay in zip(table["rate"], table["decay"])])
    names, columns = (list(dict.fromkeys(table[each])) for each in ("method", "column"))
    values = table.pivot(index="method", columns="column", values="value").loc[names, columns].to_numpy().tolist()
    rows = {"": [name if " " in name else f"η = {name}" for name in names]}
    return figures.heat(values, rows=rows, columns={"learning rate, weight decay": columns}, of="worst group, test")


def schematic() -> Figure:
    """After every batch, the weights of the groups with the higher losses grow."""

    def glyph(axis: Axes, top: float) -> None:
        """Three groups with a weight of a third each and mean losses 0.5, 1 and 2: at a step size of 1, their weights
        become 0.14, 0.23 and 0.63. The new weights multiply the losses of this batch, and the next one starts with
        them."""
        base, losses = top + 0.8, (0.5, 1.0, 2.0)
        raised = [math.exp(each) for each in losses]
        after = [each / sum(raised) for each in raised]
        for left, heights, name in (
            (0.75, [0.9 * each for each in (1 / 3, 1 / 3, 1 / 3)], "weights q"),
            (3.4, [0.28 * each for each in losses], "losses of this batch"),
            (6.05, [0.9 * each for each in after], "new weights"),
        ):
            xs = [left + 0.45 * i for i in range(3)]
            axis.bar(
                xs, [-each for each in heights], 0.28, bottom=base - 0.12, color=[COMMON, COMMON, RARE], alpha=0.45
            )
            samples(axis, xs[:2], base)
            samples(axis, xs[2:], base, rare=True)
            caption(axis, left + 0.45, base + 0.26, name)
        caption(axis, 2.5, base - 0.22, "×", fontsize=16, color=INK)
        caption(axis, 2.5, base + 0.02, "exp(η · loss)")
        arrow(axis, (4.75, base - 0.1), (5.65, base - 0.1))
        caption(axis, 5.2, base - 0.25, "divide by sum")

    how = "Each group's mean loss counts with a weight. After every batch, the weights of groups with high losses grow."
    return figures.schematic("loss", how=how, title="Group DRO", glyph=glyph)
