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

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def nothing_chosen(method: HardMining | DrawnMining, *, epochs: int, **_: Any) -> dict[str, str]:
    """Which knobs do nothing, and why. `passes` never does anything: this network is the same in evaluation mode."""
    idle = dict(passes="")
    if method.warm_up >= epochs:
        idle |= dict.fromkeys(("keep", "correct"), f"all {epochs} epochs are warm-up, and nothing is chosen.")
    elif method.keep == 1:
        idle["correct"] = "all samples are kept, as in plain training."
    return idle


@drawing(idle=nothing_chosen)
def draw_mining(
    method: HardMining | DrawnMining, *, wrong: float = 0.0, epochs: int = 20, progress: Progress | None = None
) -> tuple[Figure, str]:
    """Logistic regression on coloured digits, some of them with wrong labels: where the kept samples come from, epoch
    by epoch, and what the worst group gains over plain training."""
    splits = colored_digits()
    clean, noisy = splits.train, mislabel(splits.train, wrong)
    marked = dataclasses.replace(  # each sample counted by what it is: its true group, or a wrong label
        clean,
        labels=noisy.labels,
        attributes=(clean.labels != clean.attributes).long() + 2 * (noisy.labels != clean.labels),
        attribute_names=("pattern", "against it", "wrong label", "wrong label, against it"),
    )
    settings: dict[str, Any] = dict(
        epochs=epochs, batch_size=512, validation=splits.validation, select="validation-worst-class"
    )
    counts = torch.zeros(epochs, marked.n_groups)

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        counts[state.epoch - 1] += torch.bincount(batch.groups[state.chosen], minlength=marked.n_groups).cpu()

    before_training(progress, clean, epochs)
    start = models.linear(marked)
    run = training.train(start, marked, method, progress=progress or False, on_step=look, **settings)
    plain = training.train(models.linear(noisy), noisy, ERM(), **settings)
    figure, axes = figures.new_figure(WIDTH, 5.6, 2, 1)
    if epochs >= method.first_epoch:
        kept = counts[method.first_epoch - 1 :].view(-1, 2, 4).sum(1)
        kept /= kept.sum(1, keepdim=True)
        rows = [kept[:, 0], kept[:, 1], kept[:, 2:].sum(1)]
        names = ("follows the pattern", "against the pattern", "wrong label")
        shares = {name: row.tolist() for name, row in zip(names, rows) if row.any()}
        figures.bands(shares, x="epoch", y="share of what is kept", start=method.first_epoch, axis=axes[0])
    else:
        axes[0].set(title="every epoch trained plainly: nothing was chosen", xticks=[], yticks=[])
    reports = {"plain": evaluate(plain.model, splits.test), "mining": evaluate(run.model, splits.test)}
    figures.group_bars(reports, axis=axes[1])
    return figure, " · ".join(worst(name, report) for name, report in reports.items())
