"""Exercises of lecture 10."""

from __future__ import annotations

import torch

from ...methods import HardMining
from ..exercises import Exercise, differs, falls_short, no_method, no_pair, no_settings

BAR = 0.52  # of the worst group in the open experiment


def _paired(ours, theirs, quantile):
    gains = ours - theirs
    half = quantile * gains.std() / len(gains) ** 0.5
    return gains.mean(), gains.mean() - half, gains.mean() + half


def _try_paired(answer):
    ours = torch.tensor([0.60, 0.72, 0.55, 0.68], dtype=torch.float64)
    theirs = torch.tensor([0.57, 0.66, 0.53, 0.63], dtype=torch.float64)
    got = answer(ours.clone(), theirs.clone(), 3.1824)
    if got is None:
        return "your function returns None; return the mean, the lower and the upper end"
    if not isinstance(got, (tuple, list, torch.Tensor)) or torch.as_tensor(got).shape != (3,):
        return f"return three numbers: mean, lower end, upper end; yours is {got!r}"
    got = torch.as_tensor([float(each) for each in got], dtype=torch.float64)
    if abs(float(got[0]) + 0.04) < 1e-6:
        return "the difference is ours minus theirs, not the other way round"
    if abs(float(got[0]) - 0.04) > 1e-6:
        return f"the mean difference is 0.04, not {float(got[0]):.4f}"
    if got[1] > got[2]:
        return "the lower end comes first"
    half = float(got[2] - got[0])
    for wrong, words in {
        0.153587: "that treats the two as strangers; subtract seed by seed first, then take the spread",
        0.058111: "divide the spread by the square root of the number of seeds",
        0.025163: "the spread of a sample divides by n - 1, not by n",
        0.014528: "divide by the square root of the number of seeds, not by the number",
        0.009130: "multiply by the quantile that is given",
    }.items():
        if abs(half - wrong) < 1e-5:
            return words
    if differs(got, [0.04, 0.0109445, 0.0690555], 1e-5):
        return f"the interval is 0.0109 to 0.0691, not {float(got[1]):.4f} to {float(got[2]):.4f}"
    return None


paired = Exercise(
    "First the difference of each seed. Then their mean, and around it the quantile times their standard deviation "
    "(with n - 1) over the square root of n.",
    _paired,
    _try_paired,
)


def _reported(validation, test):
    return test[validation.mean(1).nan_to_num(-1).argmax()]


def _try_reported(answer):
    nan = float("nan")
    validation = torch.tensor([[0.50, 0.52, 0.51], [0.95, 0.90, nan], [0.70, 0.66, 0.69], [0.80, 0.55, 0.57]])
    test = torch.tensor([0.53, 0.99, 0.61, 0.66])
    got = answer(validation.clone(), test.clone())
    if got is None:
        return "your function returns None; return one number"
    got = torch.as_tensor(got, dtype=torch.float64)
    if got.numel() != 1:
        return f"return one number; yours has shape {list(got.shape)}"
    for wrong, words in {
        0.99: "the second setting diverged on one seed: it has no mean on validation, and cannot be chosen",
        0.66: "the last setting is the best on one seed of the search only (and on test, where nobody may look)",
        0.683333: "that is the score on validation, which is too good: the setting was chosen for it",
        0.53: "that is the first setting; the search found a better one on validation",
    }.items():
        if abs(float(got) - wrong) < 1e-5:
            return words
    if differs(got, 0.61):
        return f"the third setting is the best on validation on average, and 0.61 on test, not {float(got):.2f}"
    return None


reported = Exercise(
    "Take the mean over the seeds of the search; a mean that is no number counts as the lowest. Find the highest, and "
    "report the accuracy of that setting on test.",
    _reported,
    _try_reported,
)


def _without_labels():
    return HardMining(keep=0.1), dict(lr=1e-3, epochs=60)


def _try_open_experiment(answer):
    got = answer()
    if wrong := no_pair(got, "(methods.HardMining(), dict(lr=1e-3, epochs=20))"):
        return wrong
    method, settings = got
    if wrong := no_method(method) or no_settings(settings):
        return wrong
    if method.needs != "nothing":
        return f"{type(method).__name__} needs {method.needs} in training; do without"
    return falls_short(BAR, method, seeds=3, **settings)


open_experiment = Exercise(
    "Give each candidate the same small search: another learning rate, a longer training, and one knob of its own. "
    "Lecture 03 has a knob that matters more than its default lets you think.",
    _without_labels,
    _try_open_experiment,
)
