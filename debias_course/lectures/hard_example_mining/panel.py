"""Whom hard example mining keeps."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from ... import figures, models, training
from ...data import colored_digits, mislabel
from ...evaluation import evaluate
from ...methods import ERM, HardMining
from ...methods.hard_mining import RecordedMining
from ..panels import recorded, worst


def draw_mining(method: HardMining, *, wrong: float = 0.0, epochs: int = 20, progress=None):
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
    settings = dict(epochs=epochs, batch_size=512, validation=splits.validation, select="validation-worst-class")
    mined = recorded(RecordedMining, method)
    run = training.train(models.linear(marked), marked, mined, progress=progress or False, **settings)
    plain = training.train(models.linear(noisy), noisy, ERM(), **settings)
    figure, axes = figures.new_figure(9.0, 3.8, 1, 2)
    if run.state.kept:
        kept = _shares(run.state.kept).view(-1, 2, 4).sum(1)
        rows = [kept[:, 0], kept[:, 1], kept[:, 2:].sum(1)]
        names = ("follows the pattern", "against the pattern", "wrong label")
        shares = {name: row.tolist() for name, row in zip(names, rows) if row.any()}
        figures.bands(shares, x="epoch", y="share of what is kept", start=min(run.state.kept), axis=axes[0])
    else:
        axes[0].set(title="every epoch trained plainly: nothing was chosen", xticks=[], yticks=[])
    reports = {"plain": evaluate(plain.model, splits.test), "mining": evaluate(run.model, splits.test)}
    figures.group_bars(reports, axis=axes[1])
    return figure, " · ".join(worst(name, report) for name, report in reports.items())


def _shares(counts: dict[int, Any]):
    """Counts per group of each epoch -> shares, float [epochs, groups]."""
    table = torch.stack([counts[epoch] for epoch in sorted(counts)]).float()
    return table / table.sum(1, keepdim=True)
