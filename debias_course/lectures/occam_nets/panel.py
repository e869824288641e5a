"""By which exit samples leave."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, cast

import torch

from ... import figures, models, training
from ...data import GroupedData, colored_digits, half_size
from ...methods import OccamNets
from ...methods.occam_nets import Exits, OccamNet, ask_exits, leave_by

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..panels import Progress

OCCAM: dict[str, Any] = dict(epochs=10, batch_size=64, lr=0.01)  # as in lecture 07

_occam: dict[tuple, tuple] = {}


def fit_occam(
    method: OccamNets, *, epochs: int = OCCAM["epochs"], progress: Progress | None = None
) -> tuple[OccamNet, GroupedData, Exits]:
    """An OccamNet trained on small coloured digits, its test data, and what its exits say of them. Trained once for a
    setting, whatever its threshold, which training does not look at."""
    key = dataclasses.replace(method, threshold=0.5), epochs
    if key not in _occam:
        data = half_size(colored_digits(classes=10))
        settings = OCCAM | dict(epochs=epochs, progress=progress or False)
        model = cast(OccamNet, training.train(models.staged(data.train), data.train, key[0], **settings).model)
        _occam[key] = model, data.test, ask_exits(model, data.test)
    return _occam[key]


def draw_occam_nets(method: OccamNets, *, progress: Progress | None = None, **fit: Any) -> tuple[Figure, str]:
    """By which exit coloured digits leave, and how often each exit is right; see `fit_occam`."""
    _, test, said = fit_occam(method, progress=progress, **fit)
    chosen = leave_by(said.gates, method.threshold)
    return exits_figure(test, said.logits.argmax(2) == test.labels, chosen)


def exits_figure(test: GroupedData, right: torch.Tensor, chosen: torch.Tensor) -> tuple[Figure, str]:
    """Bars of what `test` samples with their label's own attribute (aligned) and others (conflicting) do: the exit they
    leave by, `chosen` [N], and whether each exit is right, bool [E, N]. Figure and sentence."""
    aligned = test.labels == test.attributes
    kinds = {"aligned": aligned, "conflicting": ~aligned}
    exits = [f"exit {number}" for number in range(len(right))]
    taken = {
        name: [float((chosen[rows] == e).float().mean()) for e in range(len(right))] for name, rows in kinds.items()
    }
    leaving = right.gather(0, chosen[None])[0]
    hits = {name: [float(each[rows].float().mean()) for each in (*right, leaving)] for name, rows in kinds.items()}
    figure, axes = figures.new_figure(9.0, 3.6, 1, 2, width_ratios=(3, 4))
    figures.bars(taken, places=exits, y="share that leaves here", axis=axes[0], ylim=(0, 1.02))
    figures.bars(hits, places=[*exits, "as they leave"], y="test accuracy", axis=axes[1], ylim=(0, 1.02))
    depth = {name: float(chosen[rows].float().mean()) for name, rows in kinds.items()}
    parts = [f"{name}: accuracy {hits[name][-1]:.2f}, leave by exit {depth[name]:.2f} on average" for name in kinds]
    return figure, " · ".join(parts)
