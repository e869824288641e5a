"""Exercises of lecture 08."""

from __future__ import annotations

import torch

from ... import models
from ...evaluation import evaluate
from ...methods import AdversarialTraining, BatchSampling
from ...methods.adversarial_training import robust_evaluate
from ...training import train
from ..exercises import Exercise, differs, no_method, no_pair, no_settings
from .attacked import SETTINGS, digits


def _moved(x, gradient, radius):
    length = gradient.norm().clamp(min=1e-12)
    return (x + radius * gradient / length).clamp(0, 1)


def _try_moved(answer):
    x, gradient = torch.tensor([0.2, 0.5, 0.95, 0.0]), torch.tensor([-0.03, 0.0, 0.04, 0.0])
    got = answer(x.clone(), gradient.clone(), 0.1)
    if got is None:
        return "your function returns None; return the moved pixels"
    if not differs(got, [0.26, 0.5, 0.87, 0.0]):
        return "the loss should grow, not fall; look at the sign"
    if not differs(got, [0.1, 0.5, 1.0, 0.0]) or not differs(got, [0.1, 0.5, 1.05, 0.0]):
        return "that is the step of the cube: here the whole change has a length of 0.1, not every pixel's"
    if not differs(got, x + 0.1 * gradient) or not differs(got, (x + 0.1 * gradient).clamp(0, 1)):
        return "however small the gradient is, the step has the length of the radius; divide by the gradient's length"
    if not differs(got, [0.14, 0.5, 1.03, 0.0]):
        return "a pixel lies between 0 and 1; cut off what is beyond"
    if differs(got, [0.14, 0.5, 1.0, 0.0]):
        return f"pixels 0.2, 0.5, 0.95 and 0 should become 0.14, 0.5, 1 and 0, not {torch.as_tensor(got).tolist()}"
    if differs(answer(x.clone(), torch.zeros(4), 0.1), x):
        return "where the gradient is zero there is no way up, and nothing should move (nor become nan)"
    return None


moved = Exercise(
    "The length of the gradient is the root of the sum of its squares (gradient.norm()). Divide by it, multiply by the "
    "radius, add, and cut off at 0 and 1. A length of zero must not divide.",
    _moved,
    _try_moved,
)


def _robust(right):
    return right.all(0).float().mean()


def _try_robust(answer):
    right = torch.tensor(
        [[True, True, False, True, True], [True, False, False, True, True], [True, True, True, False, True]]
    )
    got = answer(right.clone())
    if got is None:
        return "your function returns None; return one share"
    if not differs(got, right.float().mean()):
        return "that is the mean over all attacks; a sample counts where it is right after every one of them"
    if not differs(got, right.any(0).float().mean()):
        return "that counts a sample that is right after any attack; the attacker chooses, not you"
    if not differs(got, right.float().mean(1).min()):
        return "that is the accuracy under the best single attack; the attacker may choose for each sample"
    if differs(got, 0.4):
        return f"two of five samples are right after all three attacks: 0.4, not {torch.as_tensor(got).tolist()}"
    if differs(answer(torch.ones(2, 4, dtype=torch.bool)), 1.0):
        return "right here; where all is right, the robust accuracy should be 1"
    return None


robust = Exercise(
    "A row per restart, a column per sample: look for the columns in which all is right, and take their share.",
    _robust,
    _try_robust,
)


def _both():
    class Both(AdversarialTraining):
        batches = BatchSampling().batches

    return Both(radius=0.1, steps=2, share=0.5), dict(epochs=6)


def _try_open_experiment(answer):
    got = answer()
    if wrong := no_pair(got, "(AdversarialTraining(radius=0.1), dict(epochs=6))"):
        return wrong
    method, settings = got
    if wrong := no_method(method) or no_settings(settings):
        return wrong
    print("training ...", flush=True)
    parts = digits("0.95", 0)
    model = train(models.mlp(parts.train), parts.train, method, **(SETTINGS | dict(settings))).model
    clean = evaluate(model, parts.test).worst_group
    attacked = robust_evaluate(model, parts.test, radius=0.05, steps=10).worst_group
    print(f"the worst group is {clean}, and under PGD-10 at a radius of 0.05 {attacked}")
    return None if attacked.value > 0.25 else "under the attack it should be above 0.25"


open_experiment = Exercise(
    "One method chooses the batches (its method `batches`), another the loss (its method `loss`): a class that takes "
    "the one from BatchSampling and the other from AdversarialTraining has both. Then try radius, share and epochs.",
    _both,
    _try_open_experiment,
)
