"""What a method does on the shortcut toy and on coloured digits (lectures 00 to 02)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ... import figures, models, training
from ...data import Batch, GroupedData, Splits, colored_digits, toys
from ...evaluation import GroupReport, evaluate
from ...method import State
from ...methods import ERM, LossReweighting, Method
from ..panels import WIDTH, Progress, drawing, while_training, worst

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@functools.lru_cache(maxsize=256)
def fit_shortcut(method: Method, aligned_share: float, hidden: int = 0, steps: int = 100) -> tuple[Splits, nn.Module]:
    """Data and a model of the shortcut toy, trained with whole-batch steps in well under a tenth of a second."""
    data = toys.shortcut(aligned_share=aligned_share)
    start = models.mlp(data.train, hidden=(hidden,)) if hidden else models.linear(data.train)
    settings: dict[str, Any] = dict(epochs=steps, batch_size=len(data.train), lr=0.05, device="cpu")
    return data, training.train(start, data.train, method, **settings).model


def equal_weights(splits: Callable[..., Splits]) -> Callable[..., dict[str, str]]:
    """Which knobs of re-weighting do nothing on data of a given `aligned_share`, and why. Its `normalize` does next to
    nothing ever: it multiplies all weights alike, and AdamW divides steps by the gradients' size."""

    def idle(method: Method, *, aligned_share: float, **_: Any) -> dict[str, str]:
        if not isinstance(method, LossReweighting):
            return {}
        counts = splits(aligned_share=aligned_share).train.counts_by(method.by)
        same: dict[str, str] = {}
        if (counts == counts[0]).all():
            reason = f"every {method.by} has the same number of samples, so all weigh the same."
            same = dict(smooth=reason, power=reason)
        elif method.power == 0:
            reason = "with a power of 0 all samples weigh the same."
            same = dict(by=reason, smooth=reason)
        return same | dict(normalize="")

    return idle


@drawing(
    idle=equal_weights(toys.shortcut),
    stops=dict(by=(), power=(0.0, 0.5, 1.0), aligned_share=(0.5, 0.8, 0.95), hidden=(0, 4, 32)),
)
def draw_shortcut(
    method: Method, *, aligned_share: float = 0.95, hidden: int = 0, progress: Progress | None = None
) -> tuple[Figure, str]:
    """Plain training beside this `method` on the shortcut toy: decision regions and test accuracy per group."""
    data, plain = fit_shortcut(ERM(), aligned_share, hidden)
    trained = {"plain training": plain}
    if method == ERM():
        return _shortcut_figure(data, trained)
    if progress:
        progress(1, 2, lambda: _shortcut_figure(data, {"plain training": plain}, ["this setting: still training"]))
    trained["this setting"] = fit_shortcut(method, aligned_share, hidden)[1]
    return _shortcut_figure(data, trained)


def _shortcut_figure(data: Splits, trained: Mapping[str, nn.Module], more: Sequence[str] = ()) -> tuple[Figure, str]:
    reports = {name: evaluate(model, data.test) for name, model in trained.items()}
    figure, axes = figures.new_figure(WIDTH, 5.4, 2, 2, layout="none")
    figure.subplots_adjust(left=0.12, right=0.99, top=0.94, bottom=0.1, wspace=0.2, hspace=0.5)
    axes[1, 0].remove()
    axes[1, 1].set_subplotspec(axes[1, 1].get_gridspec()[1, :])
    figures.regions(trained, _every(data.train, 2), axes=axes[0, : len(trained)])
    axes[0, 1].set(ylabel="")
    if len(trained) == 1:
        axes[0, 1].set_axis_off()
        axes[0, 1].legend(
            *axes[0, 0].get_legend_handles_labels(), loc="center", frameon=False, title="training samples"
        )
    figures.group_bars(reports, axis=axes[1, 1])
    return figure, " · ".join([*(worst(name, report) for name, report in reports.items()), *more])


@drawing(
    idle=equal_weights(colored_digits),
    stops=dict(power=(0.0, 0.5, 1.0), aligned_share=(0.8, 0.95), epochs=(3, 10, 60)),
)
def draw_digits(
    method: Method, *, aligned_share: float = 0.95, epochs: int = 10, progress: Progress | None = None
) -> tuple[Figure, str]:
    """Validation accuracy per group while a network trains on coloured digits, and its test report."""
    data = colored_digits(aligned_share=aligned_share)
    trained: list[nn.Module] = []
    reports: list[GroupReport] = []

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        trained[:] = [model]

    def figure() -> Figure:
        drawn, axis = figures.new_figure(WIDTH, 3.8)
        steps = range(1, len(reports) + 1)
        lines = {
            name: (steps, [report.correct[g] / report.n[g] for report in reports])
            for g, name in enumerate(data.validation.group_names)
        }
        figures.curves(lines, x="epoch", y="validation accuracy", axis=axis, xlim=(0.5, epochs + 0.5), ylim=(0, 1.02))
        return drawn

    shown = while_training(progress, figure, data.train, epochs)

    def measure(done: int, of: int) -> None:
        reports.append(evaluate(trained[0], data.validation))
        shown(done, of)

    settings: dict[str, Any] = dict(epochs=epochs, progress=measure, on_step=look)
    run = training.train(models.mlp(data.train), data.train, method, **settings)
    return figure(), worst("on test", evaluate(run.model, data.test, train=data.train))


def _every(data: GroupedData, k: int) -> GroupedData:
    """Every k-th sample, so that a picture is not too full."""
    return data.subset(torch.arange(0, len(data), k))
