"""An attack on one digit."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ... import contexts, figures, models, training
from ...data import Splits, long_tailed_digits
from ...methods import ERM, AdversarialTraining, Method

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@functools.lru_cache(maxsize=8)
def fit_digits(method: Method) -> tuple[Splits, nn.Module]:
    """Grey digits and a small network that `method` trained on them, in a second or two."""
    data = long_tailed_digits(ratio=1)
    settings: dict[str, Any] = dict(epochs=10, batch_size=64, lr=2e-3, device="cpu")
    return data, training.train(models.mlp(data.train), data.train, method, **settings).model


def draw_adversarial_training(method: AdversarialTraining, *, digit: int = 7, done: float = 1.0) -> tuple[Figure, str]:
    """The attack of `method` on one digit, against two networks that were trained once, plainly and adversarially: what
    is added, and what they say before and after. `done` is the share of training, for the ramp."""
    rows: dict[str, tuple[Tensor, Tensor, str, str]] = {}
    sentences = []
    for name, how in {"plain\ntraining": ERM(), "adversarial\ntraining": AdversarialTraining(steps=2)}.items():
        data, model = fit_digits(how)
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
    return figures.perturbations(rows), " · ".join(sentences)
