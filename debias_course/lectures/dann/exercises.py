"""Exercises of lecture 09."""

from __future__ import annotations

import math

import torch

from ..exercises import Exercise, differs


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
        return f"with λ = 0.7 a gradient of 1, 2, 3 should come back as -0.7, -1.4, -2.1, not {gradient.tolist()}"
    if differs(both(2.0)[1], [-2.0, -4.0, -6.0]) or differs(both(2.0)[0], [1.0, -2.0, 3.0]):
        return "right for λ = 0.7; try λ = 2"
    return None


reversal = Exercise(
    "A sum of two terms: the features times -λ, and a detached term that makes the sum equal to the features again.",
    _reversal,
    _try_reversal,
)


def _schedule(progress, highest):
    return highest * (2 / (1 + math.exp(-10 * progress)) - 1)


def _try_schedule(answer):
    start = answer(0.0, 1.0)
    if start is None:
        return "your function returns None; return a number"
    if not differs(start, 1.0):
        return "it should start at 0; take 1 off the fraction"
    if differs(start, 0.0):
        return f"it should start at 0, not at {start}"
    if differs(answer(0.25, 1.0), 0.8482836):
        return f"after a quarter of training λ is 0.848 of the highest, not {answer(0.25, 1.0)}"
    if differs(answer(0.25, 2.0), 1.6965672):
        return "right for a highest λ of 1; with 2 it should be twice as large all the time"
    return None


schedule = Exercise(
    "2 / (1 + e^(-10 p)) goes from 1 to nearly 2. Shift it so that it goes from 0 to 1, and multiply by the highest λ.",
    _schedule,
    _try_schedule,
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
