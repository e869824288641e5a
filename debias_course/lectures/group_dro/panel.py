"""The weights of Group DRO, while it trains."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ... import figures, models, training
from ...data import Batch, colored_digits
from ...evaluation import GroupReport, evaluate
from ...method import State
from ...methods import GroupDRO
from ..panels import WIDTH, Progress, drawing, while_training, worst
from .game import FrozenWeights

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@functools.lru_cache(maxsize=64)
def frozen(sampling: str, weight_decay: float, epochs: int) -> GroupReport:
    """The test report of weights that stay equal, with the same batches."""
    data = colored_digits()
    method = FrozenWeights(sampling=sampling)
    run = training.train(models.mlp(data.train), data.train, method, epochs=epochs, weight_decay=weight_decay)
    return evaluate(run.model, data.test)


@drawing(stops=dict(adjustment=(0.0, 1.0, 4.0), step_size=(0.01, 0.1, 1.0), weight_decay=(0.0, 3.0)))
def draw_group_dro(
    method: GroupDRO, *, weight_decay: float = 0.0, epochs: int = 10, progress: Progress | None = None
) -> tuple[Figure, str]:
    """Group DRO on coloured digits: the groups' weights and training losses, while it trains, and its test report."""
    data = colored_digits()
    trace = []

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        trace.append((state.used, state.means))

    def figure() -> Figure:
        drawn, axes = figures.new_figure(WIDTH, 5.2, 2, 1, sharex=True)
        for axis, part, name in (axes[0], 0, "weight of the group"), (axes[1], 1, "training loss"):
            rows = torch.stack([step[part].cpu() for step in trace])
            rows = rows.unfold(0, min(10, len(rows)), 1).mean(2)  # over ten steps
            lines = {group: (range(len(rows)), rows[:, g].tolist()) for g, group in enumerate(data.train.group_names)}
            levels = None if part else {"frozen": 1 / data.train.n_groups}
            limits: dict[str, Any] = dict(ylim=(0, None if part else 1.02))
            figures.curves(lines, x="step" if part else "", y=name, axis=axis, levels=levels, **limits)
        return drawn

    told = while_training(progress, figure, data.train, epochs)
    settings: dict[str, Any] = dict(epochs=epochs, weight_decay=weight_decay)
    start = models.mlp(data.train)
    run = training.train(start, data.train, method, on_step=look, progress=told, **settings)
    control = frozen(method.sampling, weight_decay, epochs).worst_group.value
    said = worst("on test, after the last epoch", evaluate(run.model, data.test))
    return figure(), f"{said} · with frozen weights: worst group {control:.2f}"
