"""Both losses of adversarial training of features, and what is read from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ... import figures, models, training
from ...data import Batch, colored_digits, domain_digits, half_size
from ...evaluation import Share, evaluate
from ...method import State
from ...methods import DANN
from ...methods.dann import fooled, probe
from ..panels import WIDTH, Progress, drawing, while_training

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def not_against(method: DANN, **_: Any) -> dict[str, str]:
    """Which knob does nothing, and why."""
    return {} if method.strength else dict(schedule="a λ of 0 is always 0.")


@drawing(idle=not_against, stops=dict(strength=(0.0, 0.3, 1.0), schedule=(), digits=()))
def draw_dann(
    method: DANN, *, digits: str = "coloured", epochs: int = 8, progress: Progress | None = None
) -> tuple[Figure, str]:
    """Adversarial training on small digits, in ten colours that go with the label or in two domains: both losses while
    it trains, and then what is read from the features by the label's head, the discriminator and a fresh probe."""
    data = half_size(colored_digits(classes=10) if digits == "coloured" else domain_digits())
    trace = []
    start = models.mlp(data.train, hidden=(100, 100)) if digits == "coloured" else models.cnn(data.train)

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        trace.append(torch.stack(state.losses))

    def figure(rows: Mapping[str, Share] | None = None) -> Figure:
        drawn, axes = figures.new_figure(WIDTH, 5.4, 2, 1, height_ratios=(3, 2))
        losses = torch.stack(trace).cpu()
        losses = losses.unfold(0, min(10, len(losses)), 1).mean(2)  # over ten steps
        names = {"label": losses[:, 0], "domain": losses[:, 1]}
        lines: dict[str, tuple[Sequence[float], Sequence[float]]] = {
            f"of the {name}": (range(len(column)), column.tolist()) for name, column in names.items()
        }
        level = math.log(data.train.n_attributes)
        lines["of guessing the domain"] = ([0, len(losses) - 1], [level] * 2)
        figures.curves(lines, x="step", y="training loss", axis=axes[0], ylim=(0, 1.6 * level))
        if rows:
            axes[1].barh(list(rows), [share.value for share in rows.values()], color=figures.PALETTE[: len(rows)])
            chance = 1 / data.train.n_attributes
            axes[1].axvline(chance, color="black", linestyle="--", label="chance, for the domain")
            axes[1].set(xlim=(0, 1.02), xlabel="share of the test samples that are right")
            axes[1].legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, fontsize=10)
            axes[1].invert_yaxis()
        else:
            axes[1].set_axis_off()
        return drawn

    told = while_training(progress, figure, data.train, epochs)
    settings: dict[str, Any] = dict(epochs=epochs, optimizer="sgd", lr=0.05, progress=told)
    run = training.train(start, data.train, method, on_step=look, **settings)
    report = evaluate(run.model, data.test)
    if digits == "coloured":
        rows = {"label": report.overall}
    else:
        parts = {name: data.test.subset(data.test.attributes == i) for i, name in enumerate(data.test.attribute_names)}
        rows = {f"label, {name}": evaluate(run.model, part).overall for name, part in parts.items()}
    rows["discriminator"] = fooled(method, run.model, run.state, data.test)
    rows["fresh probe"] = probe(run.model, data.validation, data.test, method=method)
    return figure(rows), "right on test: " + " · ".join(f"{name} {share.value:.2f}" for name, share in rows.items())
