"""Exercises of lecture 03."""

from __future__ import annotations

import torch

from ..exercises import Exercise, differs


def _worst_mean(losses, share):
    keep = max(1, round(share * len(losses)))
    return losses.sort(descending=True).values[:keep].mean()


def _try_worst_mean(answer):
    losses = torch.tensor([0.1, 0.4, 2.5, 0.2])
    got = answer(losses, 0.5)
    if got is None:
        return "your function returns None; return a number"
    if not differs(got, 2.9 / 4):
        return "divide by the number of samples that are kept, not by all"
    if differs(got, 1.45):
        return f"of 0.1, 0.4, 2.5 and 0.2 the highest half is 2.5 and 0.4; their mean is not {float(got):.3f}"
    if differs(answer(losses, 1.0), losses.mean()):
        return "right for one half; with share 1 it should be the plain mean"
    if differs(answer(losses, 0.01), 2.5):
        return "right for one half; keep at least one sample, however small the share"
    return None


worst_mean = Exercise(
    "Sort the losses from high to low, keep the first of them, and take their mean: over those that you kept.",
    _worst_mean,
    _try_worst_mean,
)


def _single_draw(losses, i):
    probability = losses[i] / losses.sum()
    return losses[i] / (len(losses) * probability)


def _try_single_draw(answer):
    for losses, mean in (torch.tensor([0.1, 0.4, 2.5, 0.4]), 0.85), (torch.tensor([1.0, 2.0]), 1.5):
        for i in range(len(losses)):
            got = answer(losses, i)
            if got is None:
                return "your function returns None; return a single number"
            if not differs(got, losses[i]):
                return "that is the loss as it stands, which focuses on the hard samples; divide it by N · p"
            if differs(got, mean):
                p = f"{losses[i]:g} / {losses.sum():g}"
                return f"loss {losses[i]:g} of {losses.tolist()} has p = {p}; divide by {len(losses)} · p"
    return None


single_draw = Exercise(
    "Its probability is its own loss over the sum of all losses. Divide the loss by N times that, and look at the "
    "result for several i: what happened to i?",
    _single_draw,
    _try_single_draw,
)


def _kept_of_group(losses, groups, group, keep):
    kept = losses.argsort(descending=True)[:keep]
    return (groups[kept] == group).float().mean()


def _try_kept_of_group(answer):
    losses = torch.tensor([0.1, 3.0, 0.2, 2.0, 1.0, 0.3])
    groups = torch.tensor([0, 1, 0, 1, 0, 1])
    got = answer(losses, groups, 1, 3)
    if got is None:
        return "your function returns None; return a share from 0 to 1"
    if not differs(got, 0.5):
        return "that is the group's share of all samples; look at the kept ones"
    if differs(got, 2 / 3):
        return f"of the three highest losses two are of group 1; yours is {float(got):.3f}"
    if differs(answer(losses, groups, 0, 1), 0.0):
        return "right for group 1; of the single highest loss none is of group 0"
    if differs(answer(losses, groups, 1, 4), 0.75):
        return "of the four highest losses three are of group 1: divide by the number that is kept, not by the group's"
    return None


kept_of_group = Exercise(
    "Take the indices of the highest losses, look up their groups, and count how many are the one that is asked for.",
    _kept_of_group,
    _try_kept_of_group,
)
