"""Whom hard example mining keeps."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ... import figures, models, training
from ...data import Batch, colored_digits, mislabel
from ...evaluation import evaluate
from ...method import State
from ...methods import ERM, DrawnMining, HardMining
from ..panels import WIDTH, Progress, before_training, drawing, worst
from .pictures import kinds

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def nothing_chosen(method: HardMining | DrawnMining, *, epochs: int, **_: Any) -> dict[str, str]:
    """Which knobs do nothing, and why. `passes` never does anything: this network is the same in evaluation mode."""
    idle = dict(passes="")
    if method.warm_up >= epochs:
        idle |= dict.fromkeys(("keep", "correct"), "every epoch is warm-up, and nothing is chosen.")
    elif method.keep == 1:
        idle["correct"] = "all samples are kept, as in plain training."
    return idle


@drawing(idle=nothing_chosen, stops=dict(keep=(0.1, 0.3, 1.0), wrong=(0.0, 0.1), network=()))
def draw_mining(
    method: HardMining | DrawnMining,
    *,
    wrong: float = 0.0,
    network: str = "linear",
    epochs: int = 20,
    progress: Progress | None = None,
) -> tuple[Figure, str]:
    """Coloured digits, some of them with wrong labels: where the kept samples come from, epoch by epoch, and how often
    each group of the test set is answered rightly after plain training and after mining of the same length."""
    splits = colored_digits()
    clean, noisy = splits.train, mislabel(splits.train, wrong)
    names = ("follows the pattern", "against the pattern", "wrong label")
    marked = dataclasses.replace(noisy, attributes=kinds(noisy, clean), attribute_names=names)
    settings: dict[str, Any] = dict(epochs=epochs)
    counts = torch.zeros(epochs, len(names))

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        counts[state.epoch - 1] += torch.bincount(batch.attributes[state.chosen], minlength=len(names)).cpu()

    before_training(progress, clean, epochs)
    start = models.MODELS[network](noisy)
    run = training.train(start, marked, method, progress=progress or False, on_step=look, **settings)
    plain = training.train(start, noisy, ERM(), **settings)
    figure, axes = figures.new_figure(WIDTH, 5.6, 2, 1)
    if epochs >= method.first_epoch:
        kept = counts[method.first_epoch - 1 :]
        rows = (kept / kept.sum(1, keepdim=True)).T
        shares = {name: row.tolist() for name, row in zip(names, rows) if row.any()}
        figures.bands(shares, x="epoch", y="share of what is kept", start=method.first_epoch, color=2, axis=axes[0])
    else:
        axes[0].set(title="every epoch trained plainly: nothing was chosen", xticks=[], yticks=[])
    reports = {"plain": evaluate(plain.model, splits.test), "mining": evaluate(run.model, splits.test)}
    figures.group_bars(reports, levels={"chance": 0.5}, axis=axes[1])
    return figure, " · ".join(worst(name, report) for name, report in reports.items())
