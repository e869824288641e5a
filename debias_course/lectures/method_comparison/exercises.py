"""Exercises of lecture 10."""

from __future__ import annotations

import torch

from ..exercises import Exercise, differs


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
    got = torch.as_tensor([float(each) for each in got], dtype=torch.float64)
    if got.shape != (3,):
        return f"return three numbers: mean, lower end, upper end; yours are {len(got)}"
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


def _ranks(low, high):
    better = (high < 0).sum(1)
    worse = (low > 0).sum(1)
    return better + 1, len(low) - worse


def _try_ranks(answer):
    gain = torch.tensor([0.9, 0.7, 0.69, 0.4])
    low, high = (gain[:, None] - gain - 0.05 * torch.ones(4, 4), gain[:, None] - gain + 0.05 * torch.ones(4, 4))
    got = answer(low.clone(), high.clone())
    if got is None:
        return "your function returns None; return the first and the last rank of each method"
    first, last = (torch.as_tensor(each, dtype=torch.float64) for each in got)
    if first.shape != (4,) or last.shape != (4,):
        return f"return two ranks for each of the 4 methods, not {list(first.shape)} and {list(last.shape)} numbers"
    if not differs(first, [0, 1, 1, 3]):
        return "ranks count from 1"
    if not differs(first, [4, 2, 2, 1]) or not differs(first, [4, 3, 2, 1]):
        return "rank 1 is the best; count the methods that are better, not those that are worse"
    if not differs(first, [1, 2, 3, 4]):
        return "the second and the third overlap: no interval between them is on one side of 0, so neither is ahead"
    if not differs(last, first.tolist()):
        return "the last rank leaves room for all that are not told apart: subtract only the clearly worse from all"
    if differs(first, [1, 2, 2, 4]) or differs(last, [1, 3, 3, 4]):
        return f"the ranks are 1, 2 to 3, 2 to 3 and 4, not {first.tolist()} to {last.tolist()}"
    return None


ranks = Exercise(
    "A method is behind those against which the whole interval is below 0, and before those against which it is above. "
    "Count both, row by row.",
    _ranks,
    _try_ranks,
)


def _reported(validation, test):
    return test[validation.nan_to_num(-1).argmax()]


def _try_reported(answer):
    validation = torch.tensor([0.50, float("nan"), 0.70, 0.65])
    test = torch.tensor([0.52, 0.99, 0.61, 0.66])
    got = answer(validation.clone(), test.clone())
    if got is None:
        return "your function returns None; return one number"
    got = torch.as_tensor(got, dtype=torch.float64)
    if got.numel() != 1:
        return f"return one number; yours has shape {list(got.shape)}"
    for wrong, words in {
        0.99: "the second setting diverged: it has no score on validation, and cannot be chosen",
        0.66: "that is the best on test, which nobody may look at when choosing",
        0.70: "that is the score on validation, which is too good: the setting was chosen for it",
        0.52: "that is the first setting; the search found a better one on validation",
    }.items():
        if abs(float(got) - wrong) < 1e-6:
            return words
    if differs(got, 0.61):
        return f"the third setting is the best on validation, and 0.61 on test, not {float(got):.2f}"
    return None


reported = Exercise(
    "Find the setting with the highest score on validation, a score that is no number counting as the lowest, and "
    "report its accuracy on test.",
    _reported,
    _try_reported,
)
