"""What a method does on the shortcut toy and on coloured digits (lectures 00 to 02)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ... import figures, models, training
from ...data import GroupedData, Splits, colored_digits, toys
from ...evaluation import evaluate
from ...methods import ERM, Method
from ..panels import Progress, worst

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@functools.lru_cache(maxsize=256)
def fit_shortcut(method: Method, correlation: float, hidden: int = 0, steps: int = 100) -> tuple[Splits, nn.Module]:
    """Data and a model of the shortcut toy, trained with whole-batch steps in well under a tenth of a second."""
    data = toys.shortcut(correlation=correlation)
    start = models.mlp(data.train, hidden=(hidden,)) if hidden else models.linear(data.train)
    settings: dict[str, Any] = dict(epochs=steps, batch_size=len(data.train), lr=0.05, device="cpu")
    return data, training.train(start, data.train, method, **settings).model


def draw_shortcut(method: Method, *, correlation: float = 0.95, hidden: int = 0) -> tuple[Figure, str]:
    """Plain training beside `method` on the shortcut toy: decision regions and test accuracy per group."""
    data, plain = fit_shortcut(ERM(), correlation, hidden)
    trained = {"plain training": plain}
    if method != ERM():
        trained["this setting"] = fit_shortcut(method, correlation, hidden)[1]
    reports = {name: evaluate(model, data.test) for name, model in trained.items()}
    columns = len(trained) + 1
    figure, axes = figures.new_figure(3.4 * columns, 3.6, 1, columns, layout="none")
    figure.subplots_adjust(left=0.2 / columns, right=0.99, top=0.8, bottom=0.17, wspace=0.3)
    figures.regions(trained, _every(data.train, 2), axes=axes[:-1])
    figures.group_bars(reports, axis=axes[-1])
    return figure, " · ".join(worst(name, report) for name, report in reports.items())


def draw_digits(
    method: Method, *, correlation: float = 0.95, epochs: int = 10, progress: Progress | None = None
) -> tuple[Figure, str]:
    """Validation accuracy per group while a network trains on coloured digits, and its test report."""
    data = colored_digits(correlation=correlation)
    settings: dict[str, Any] = dict(epochs=epochs, validation=data.validation, progress=progress or False)
    run = training.train(models.mlp(data.train), data.train, method, **settings)
    figure, axis = figures.new_figure(7.0, 3.8)
    lines = {
        name: (rows["epoch"].tolist(), rows["accuracy"].tolist())
        for name, rows in run.history.groupby("group", sort=False)
    }
    figures.curves(lines, x="epoch", y="validation accuracy", axis=axis, ylim=(0, 1.02))
    return figure, worst("on test", evaluate(run.model, data.test, train=data.train))


def _every(data: GroupedData, k: int) -> GroupedData:
    """Every k-th sample, so that a picture is not too full."""
    return data.subset(torch.arange(0, len(data), k))
