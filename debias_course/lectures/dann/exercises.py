"""Exercises of lecture 09."""

from __future__ import annotations

import torch

from ...evaluation import evaluate
from ...methods import BatchSampling
from ...methods.dann import probe
from ...training import train
from ..exercises import Exercise, differs, no_method, no_pair
from .readers import COLORING, small_mlp, ten_colors


def _reversal(features, strength):
    return -strength * features + (1 + strength) * features.detach()


def _try_reversal(answer):
    def both(strength):
        features = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
        out = answer(features, strength)
        if not isinstance(out, torch.Tensor):
            return out, None
        given = torch.tensor([1.0, 2.0, 3.0])
        gradient = torch.autograd.grad((given * out).sum(), features)[0] if out.requires_grad else None
        return out.detach(), gradient

    out, gradient = both(0.7)
    if out is None:
        return "your function returns None; return the features"
    if differs(out, [1.0, -2.0, 3.0]):
        return f"on the way forward nothing should change: 1, -2 and 3, not {torch.as_tensor(out).tolist()}"
    if gradient is None:
        return "no gradient comes back; only a part of the sum may be detached"
    if not differs(gradient, [0.7, 1.4, 2.1]):
        return "the gradient is scaled but not turned round; look at the sign"
    if differs(gradient, [-0.7, -1.4, -2.1]):
        came = [round(each, 3) for each in gradient.tolist()]
        return f"with λ = 0.7 a gradient of 1, 2, 3 should come back as -0.7, -1.4, -2.1, not {came}"
    if differs(both(2.0)[1], [-2.0, -4.0, -6.0]) or differs(both(2.0)[0], [1.0, -2.0, 3.0]):
        return "right for λ = 0.7; try λ = 2"
    return None


reversal = Exercise(
    "A sum of two terms: the features times -λ, and a detached term that makes the sum equal to the features again.",
    _reversal,
    _try_reversal,
)


def _label_loss(losses, domains):
    source = (domains == 0).float()
    return (losses * source).sum() / source.sum().clamp(min=1)


def _try_label_loss(answer):
    losses, domains = torch.tensor([1.0, 9.0, 3.0, 7.0]), torch.tensor([0, 1, 0, 2])
    got = answer(losses, domains)
    if got is None:
        return "your function returns None; return one number"
    if not differs(got, 5.0):
        return "the losses of the target count, too; only the samples of domain 0 have labels"
    if not differs(got, 1.0):
        return "divide by the number of labelled samples, not by the size of the batch"
    if differs(got, 2.0):
        return "the mean of the losses 1 and 3 of domain 0 is 2"
    alone = torch.as_tensor(answer(losses, torch.ones(4, dtype=torch.int64)), dtype=torch.float64)
    if torch.isnan(alone).any():
        return "right here; but a batch without a sample of domain 0 should give 0, not 0 / 0"
    if differs(alone, 0.0):
        return "right here; but a batch without a sample of domain 0 should give 0"
    return None


label_loss = Exercise(
    "Multiply by a mask of domain 0, sum, and divide by how many there are, but at least by 1.",
    _label_loss,
    _try_label_loss,
)


def _less_readable():
    return BatchSampling(), 5.0


def _try_open_experiment(answer):
    got = answer()
    if wrong := no_pair(got, "(DANN(sampling='groups'), 0.0)"):
        return wrong
    method, decay = got
    if wrong := no_method(method):
        return wrong
    print("training ...", flush=True)
    splits = ten_colors(0)
    settings = COLORING | dict(weight_decay=float(decay))
    model = train(small_mlp(splits.train), splits.train, method, **settings).model
    right, read = evaluate(model, splits.test).overall, probe(model, splits.validation, splits.test)
    print(f"digits, by the head: {right.value:.2f} are right; colours, by a fresh probe: {read.value:.2f}")
    if right.value < 0.7:
        return "the head should be right on at least 0.7 of the digits"
    return None if read.value < 0.5 else "the probe should be right on fewer than 0.5 of the colours"


open_experiment = Exercise(
    "First balance the batches. Then compare what a reversal takes out with what a weight decay of 1, 3 or 10 takes "
    "out, each alone and both together.",
    _less_readable,
    _try_open_experiment,
)
