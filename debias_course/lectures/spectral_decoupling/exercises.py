"""Exercises of lecture 06."""

from __future__ import annotations

import torch

from ...data import toys
from ...evaluation import evaluate
from ...methods import SpectralDecoupling
from ..exercises import Exercise, differs, no_method, no_pair
from .panel import fit_moons


def _penalised(z, labels, strength):
    risk = torch.log(1 + torch.exp(-labels * z))
    return (risk + strength / 2 * z**2).mean()


def _try_penalised(answer):
    z, labels = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, -1.0, -1.0])
    got = answer(z.clone(), labels.clone(), 0.1)
    if got is None:
        return "your function returns None; return one number"
    got = torch.as_tensor(got, dtype=torch.float64)
    if got.shape != ():
        return f"return one number, the mean over the samples; yours has shape {list(got.shape)}"
    if not differs(got, 0.6464222):
        return "the penalty is too large by a factor of two; it is λ / 2 times the square"
    if not differs(got, 0.7339222):
        return "that is the penalty summed over the samples; take its mean, as of the losses"
    if differs(got, 0.5589222):
        return f"of logits 2, -1, 0.5, labels 1, -1, -1 and λ = 0.1 the loss is 0.5589, not {float(got):.4f}"
    return None


penalised = Exercise(
    "With labels -1 and 1 the loss of a sample is log(1 + exp(-y z)). Add half of λ times the square of its logit, and "
    "take the mean over the samples.",
    _penalised,
    _try_penalised,
)


def _at_rest(strength):
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        pull = float(torch.sigmoid(torch.tensor(-middle, dtype=torch.float64))) - strength * middle
        low, high = (middle, high) if pull > 0 else (low, middle)
    return low


def _try_at_rest(answer):
    wanted = {0.01: 3.359275, 0.1: 1.633506, 1.0: 0.401058}
    got = {strength: answer(strength) for strength in wanted}
    if None in got.values():
        return "your function returns None; return one number"
    got = {strength: float(value) for strength, value in got.items()}
    if got[1.0] > got[0.01]:
        return "a stronger penalty should let the logit rest nearer to zero"
    for strength, z in wanted.items():
        if differs(got[strength], z, tolerance=1e-3):
            rests = f"for λ = {strength:g} the logit rests at {z:.3f}"
            return f"{rests}, where sigmoid(-z) = λ z; yours is {got[strength]:.3f}"
    return None


at_rest = Exercise(
    "The derivative of log(1 + exp(-z)) is minus the sigmoid of -z, and that of the penalty is λ z. At rest they "
    "cancel: sigmoid(-z) = λ z. Left of that point sigmoid(-z) is larger, right of it λ z is: halve an interval, "
    "again and again.",
    _at_rest,
    _try_at_rest,
)


def _across_a_wide_gap():
    return SpectralDecoupling(strength=0.05, variant="margin"), 0.8


def _try_open_experiment(answer):
    got = answer()
    if wrong := no_pair(got, "(SpectralDecoupling(variant='true'), 0.8)"):
        return wrong
    method, gap = got
    if wrong := no_method(method):
        return wrong
    if gap < 0.8:
        return f"a gap of {gap:g} is narrower than 0.8"
    right = evaluate(fit_moons(method, float(gap)), toys.moons(gap=float(gap)).test).overall
    return None if right.value > 0.95 else f"{right.value:.4f} are right on test; it should be above 0.95"


open_experiment = Exercise(
    "Try strengths that are ten times apart, and each variant. Then widen the gap: where does the best of them fail, "
    "and why must it fail somewhere?",
    _across_a_wide_gap,
    _try_open_experiment,
)
