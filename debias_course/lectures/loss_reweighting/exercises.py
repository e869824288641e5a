"""Exercises of lecture 01."""

from __future__ import annotations

import torch

from ...methods import LossReweighting
from ..exercises import Exercise, differs, falls_short, no_pair


def _group_weights(counts):
    return counts.sum() / (len(counts) * counts)


def _try_group_weights(answer):
    got = answer(torch.tensor([6.0, 2.0]))
    if got is None:
        return "your function returns None; return one weight per group"
    got = torch.as_tensor(got, dtype=torch.float64)
    if got.shape != (2,):
        return f"two groups need two weights, you return shape {tuple(got.shape)}"
    if differs(got[0] * 6, got[1] * 2):
        return "a group of 6 and one of 2 should weigh the same in total: 6·w_0 = 2·w_1"
    if differs(got[0] * 6 + got[1] * 2, 8.0):
        return f"the weights of the 8 samples should sum to 8, not to {got[0] * 6 + got[1] * 2:.3f}"
    if differs(answer(torch.tensor([6.0, 3.0, 1.0])), [10 / 18, 10 / 9, 10 / 3]):
        return "right for two groups; for groups of 6, 3 and 1 the weights are 0.556, 1.111 and 3.333"
    return None


group_weights = Exercise(
    "Start from 1 / counts. By which factor do you have to multiply it so that the sum of counts · weights is the "
    "number of samples?",
    _group_weights,
    _try_group_weights,
)


def _learning_rate_factor(counts):
    weights = 1 / counts
    per_population = weights * len(weights) / weights.sum()
    return float((counts * per_population).sum() / counts.sum())


def _try_learning_rate_factor(answer):
    got = answer(torch.tensor([3498.0, 184.0, 56.0, 1057.0]))
    if got is None:
        return "your function returns None; return one number"
    if differs(got, 0.136064, 1e-4):
        if not differs(got, 7.3495, 1e-3):
            return "that is the factor from populations to samples; the other way round"
        return f"for the counts of Waterbirds it is about 0.136, not {float(got):.3f}"
    return None


learning_rate_factor = Exercise(
    "Scale 1 / counts to a mean of 1 over populations, then ask: what is the mean weight of a sample?",
    _learning_rate_factor,
    _try_learning_rate_factor,
)


def _lasting_lead():
    return LossReweighting(), 10.0


def _try_open_experiment(answer):
    got = answer()
    if wrong := no_pair(got, "(LossReweighting(), 0.1)"):
        return wrong
    method, decay = got
    return falls_short(2 / 3, method, epochs=150, weight_decay=decay)


open_experiment = Exercise(
    "The weights fade because the margins grow. What did this lecture name that keeps them small? Try decays that are "
    "ten times apart.",
    _lasting_lead,
    _try_open_experiment,
)
