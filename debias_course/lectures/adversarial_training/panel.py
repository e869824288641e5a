"""An attack on one digit."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ... import contexts, figures, models, training
from ...data import Splits
from ...methods import AdversarialTraining, Method
from ..panels import WIDTH, Progress, before_training, drawing
from .attacked import SETTINGS, grey_digits, way

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FITTED = {"plain\ntraining": way("plain", 0.0), "adversarial\ntraining": way("replaced", 0.1)}


@functools.lru_cache(maxsize=8)
def fit_digits(method: Method) -> tuple[Splits, nn.Module]:
    """Grey digits and the MLP that `method` trained on them, in a second."""
    data = grey_digits(0)
    return data, training.train(models.mlp(data.train), data.train, method, epochs=6, device="cpu", **SETTINGS).model


def no_attack(method: AdversarialTraining, *, done: float, **_: Any) -> dict[str, str]:
    """Which knobs do nothing, and why."""
    idle = dict(share="")  # of the training loss, and nothing is trained with these settings
    if method.radius == 0:
        moves = ("steps", "reach", "norm", "random_start", "ramp", "done")
        return idle | dict.fromkeys(moves, "a radius of 0 moves nothing.")
    if done == 1:
        idle["ramp"] = "at the end of training the radius has grown to ε, however long that took."
    elif method.ramp == 0:
        idle["done"] = "without a ramp the radius is always ε."
    if method.steps == 0:
        idle["reach"] = "no step is taken."
    elif method.reach == 0:
        idle["steps"] = "they lead nowhere: their reach is 0."
    if not method.random_start and not (method.steps and method.reach):
        idle |= dict.fromkeys(("radius", "norm", "ramp", "done"), "nothing is moved.")
    return idle


@drawing(idle=no_attack, stops=dict(radius=(0.0, 0.05, 0.1, 0.2, 0.3), digit=(1, 4, 7, 8), done=(0.15, 1.0)))
def draw_adversarial_training(
    method: AdversarialTraining, *, digit: int = 7, done: float = 1.0, progress: Progress | None = None
) -> tuple[Figure, str]:
    """The attack of this `method` on one digit, against two networks that were trained once, plainly and adversarially:
    what is added, and what they say before and after. `done` is the share of training, for the ramp."""
    rows: dict[str, tuple[Tensor, Tensor, str, str]] = {}
    sentences = []
    before_training(progress, grey_digits(0).train, len(FITTED))
    for number, (name, how) in enumerate(FITTED.items(), 1):
        data, model = fit_digits(how)
        if progress:
            progress(number, len(FITTED))
        sample = data.test.batch((data.test.labels == digit).nonzero()[0])
        state = method.start(model, data.train)
        state.progress, state.generator = done, torch.Generator().manual_seed(0)
        moved = method.attacked(model, sample, state)
        with torch.no_grad(), contexts.evaluating(model):
            shares = torch.softmax(model(torch.cat([sample.inputs, moved])), 1).max(1)
        said = [f"says {label} ({share:.0%})" for share, label in zip(shares.values.tolist(), shares.indices.tolist())]
        rows[name] = (sample.inputs[0], moved[0], said[0], said[1])
        plain = name.replace("\n", " ")
        sentences.append(f"{plain}: {said[0]}, after the attack {said[1].removeprefix('says ')}")
    figure = figures.perturbations(rows)
    figure.set_size_inches(WIDTH, 4.0)
    figure.subplots_adjust(left=0.19)
    return figure, " · ".join(sentences)
