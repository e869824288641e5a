"""A partner of some strength, and the model that learns beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ... import figures, models, training
from ...data import Batch, GroupedData
from ...evaluation import predict
from ...method import State, knobs
from ...methods import ProductOfExperts
from ..panels import WIDTH, Progress, drawing, while_training
from .bench import SETTINGS, ground_digits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHORT = 7  # epochs in the panel, on half of the images: somebody waits
SURE = 0.9  # of a class: then we call a partner sure
KNOBS = knobs(ProductOfExperts)


def sureness(told: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Of which samples, bool [N], a partner with these logits [N, C] is sure and right, unsure, or sure and wrong."""
    most, answers = told.softmax(1).max(1)
    sure, right = most > SURE, answers == labels
    return {"sure and right": sure & right, "unsure": ~sure, "sure and wrong": sure & ~right}


def hidden(method: ProductOfExperts, **_: Any) -> dict[str, str]:
    """Knobs that are not shown: how weak a partner is, others tell better."""
    return dict(partner_lr="")


@drawing(
    idle=hidden,
    stops=dict(partner=(), width=(1, 8, 32), partner_epochs=(1, 5, 10)),
    width=replace(KNOBS["width"], high=32),
    partner_epochs=replace(KNOBS["partner_epochs"], high=10),
    alone=replace(KNOBS["alone"], high=1.0),
)
def draw_partner(
    method: ProductOfExperts, *, aligned_share: float = 0.95, epochs: int = SHORT, progress: Progress | None = None
) -> tuple[Figure, str]:
    """How sure a partner is of aligned and of conflicting digits, and which of those the model gets right on test,
    epoch by epoch. Trained in short: for a few epochs on half of the images."""
    data = ground_digits(0, aligned_share)
    part = data.train.subset(torch.arange(0, len(data.train), 2))
    now: list[Any] = []
    rows: list[tuple[float, float]] = []

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        now[:] = [model, state]

    told = while_training(progress, lambda: drawn(now[1].told, part, rows), part, epochs)

    def after(done: int, of: int) -> None:
        rows.append(right(now[0], data.test))
        told(done, of)

    how: dict[str, Any] = SETTINGS | dict(epochs=epochs, batch_size=32, on_step=look, progress=after)
    training.train(models.staged(part), part, method, **how)
    aligned, conflicting = rows[-1]
    said = f"on test, of the conflicting digits {conflicting:.2f} are right, of the aligned {aligned:.2f}"
    return drawn(now[1].told, part, rows), f"{said} · after epoch {epochs}, on half of the images"


def right(model: nn.Module, part: GroupedData) -> tuple[float, float]:
    """Shares of aligned and of conflicting samples that a model gets right."""
    hits = (predict(model, part).argmax(1) == part.labels).float()
    return float(hits[part.attributes == 0].mean()), float(hits[part.attributes == 1].mean())


def drawn(told: Tensor, part: GroupedData, rows: list[tuple[float, float]]) -> Figure:
    """Bars of how sure the partner is, above the model's test accuracy by epoch."""
    figure, axes = figures.new_figure(WIDTH, 5.2, 2, 1)
    kinds = {"aligned": part.attributes == 0, "conflicting": part.attributes == 1}
    is_so = sureness(told, part.labels)
    heights = {name: [float(each[of].float().mean()) for each in is_so.values()] for name, of in kinds.items()}
    figures.bars(heights, places=list(is_so), y="share", axis=axes[0], ylim=(0, 1.02))
    axes[0].set_xlabel(f"partner, on training digits (sure: a class has more than {SURE})")
    lines = {name: (range(1, len(rows) + 1), [row[i] for row in rows]) for i, name in enumerate(kinds)}
    figures.curves(lines, x="epoch of the model, on test digits", y="accuracy", axis=axes[1], ylim=(0, 1.02))
    return figure
