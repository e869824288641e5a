"""By which exit samples leave."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ... import figures, models, training
from ...data import Batch, GroupedData, colored_digits, half_size
from ...method import State, knobs
from ...methods import OccamNets
from ...methods.occam_nets import Exits, OccamNet, ask_exits, leave_by
from ..panels import WIDTH, Progress, drawing, while_training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OCCAM: dict[str, Any] = dict(epochs=10, batch_size=64, lr=0.01)  # as in lecture 07
SHORT = 4  # epochs in the panel, on half of the images: somebody waits

_occam: dict[tuple, tuple] = {}


def fit_occam(
    method: OccamNets, *, epochs: int = OCCAM["epochs"], every: int = 1, progress: Progress | None = None
) -> tuple[OccamNet, GroupedData, Exits]:
    """An OccamNet trained on small coloured digits (on one of `every` so many), its test data, and what its exits say
    of them. Trained once for a setting, whatever its threshold, which training does not look at."""
    key = dataclasses.replace(method, threshold=0.5), epochs, every
    if key not in _occam:
        data = half_size(colored_digits(classes=10))
        part = data.train.subset(torch.arange(0, len(data.train), every))
        trained: list[nn.Module] = []

        def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
            trained[:] = [model]

        def figure() -> Figure:
            said = ask_exits(cast(OccamNet, trained[0]), data.test)
            return by_exit(data.test, said, method.threshold)[0]

        told = while_training(progress, figure, part, epochs)
        settings = OCCAM | dict(epochs=epochs, progress=told, on_step=look)
        model = cast(OccamNet, training.train(models.staged(part), part, key[0], **settings).model)
        _occam[key] = model, data.test, ask_exits(model, data.test)
    return _occam[key]


def settled(method: OccamNets, *, epochs: int, **_: Any) -> dict[str, str]:
    """Which knobs do nothing, and why."""
    if method.live_epochs >= epochs:
        reason = f"the gates follow their exits in all {epochs} epochs."
        return dict.fromkeys(("first_accuracy", "last_accuracy"), reason)
    if method.first_accuracy == method.last_accuracy == 1:
        return dict(live_epochs="no accuracy is above 1, so the gates always follow their exits.")
    return {}


@drawing(
    idle=settled,
    stops=dict(exits=(), suppression=(0.0, 0.1), threshold=(0.5, 0.8, 0.95)),
    live_epochs=dataclasses.replace(knobs(OccamNets)["live_epochs"], high=SHORT),
)
def draw_occam_nets(method: OccamNets, *, epochs: int = SHORT, progress: Progress | None = None) -> tuple[Figure, str]:
    """By which exit coloured digits leave, and how often each exit is right, in two bar charts. Trained in short: for a
    few epochs on half of the images."""
    _, test, said = fit_occam(method, epochs=epochs, every=2, progress=progress)
    figure, sentence = by_exit(test, said, method.threshold)
    return figure, f"{sentence} · after epoch {epochs}, on half of the images"


def by_exit(test: GroupedData, said: Exits, threshold: float) -> tuple[Figure, str]:
    """`exits_figure` of what all exits said of the `test` samples."""
    return exits_figure(test, said.logits.argmax(2) == test.labels, leave_by(said.gates, threshold))


def exits_figure(test: GroupedData, right: torch.Tensor, chosen: torch.Tensor) -> tuple[Figure, str]:
    """Bars of what `test` samples with their label's own attribute (aligned) and others (conflicting) do: the exit they
    leave through, `chosen` [N], and whether each exit is right, bool [E, N]. Figure and sentence."""
    aligned = test.labels == test.attributes
    kinds = {"conflicting": ~aligned, "aligned": aligned}  # the rare ones are orange, as in all lectures
    exits = [f"exit {number}" for number in range(len(right))]
    taken = {
        name: [float((chosen[rows] == e).float().mean()) for e in range(len(right))] for name, rows in kinds.items()
    }
    leaving = right.gather(0, chosen[None])[0]
    hits = {name: [float(each[rows].float().mean()) for each in (*right, leaving)] for name, rows in kinds.items()}
    figure, axes = figures.new_figure(WIDTH, 5.2, 2, 1)
    figures.bars(taken, places=exits, y="share that leaves here", axis=axes[0], ylim=(0, 1.02))
    figures.bars(hits, places=[*exits, "as they leave"], y="test accuracy", axis=axes[1], ylim=(0, 1.02))
    depth = {name: float(chosen[rows].float().mean()) for name, rows in kinds.items()}
    parts = [f"{name}: accuracy {hits[name][-1]:.2f}, mean exit {depth[name]:.2f}" for name in kinds]
    return figure, " · ".join(parts)
