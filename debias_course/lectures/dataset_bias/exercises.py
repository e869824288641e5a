"""Exercises of lecture 00."""

from __future__ import annotations

import torch

from ..exercises import Exercise, differs, falls_short


def _worst_group(correct, groups, n_groups):
    right = torch.zeros(n_groups).index_add(0, groups, correct.float())
    size = torch.bincount(groups, minlength=n_groups)
    return float((right / size)[size > 0].min())


def _try_worst_group(answer):
    correct, groups = torch.tensor([1, 1, 0, 1, 0, 1]), torch.tensor([0, 0, 0, 1, 1, 3])
    got = answer(correct, groups, 4)
    if got is None:
        return "your function returns None; return the accuracy of the worst group"
    if differs(got, 0.5):
        if not differs(got, 0.0) or got != got:
            return "group 2 has no sample here: it has no accuracy, so it cannot be the worst"
        if not differs(got, 4 / 6):
            return "that is the overall accuracy; take it group by group"
        return f"two of three, one of two, nobody, one of one: the worst is 1/2, you say {float(got):.3f}"
    return None


worst_group = Exercise(
    "Count the right answers and the samples of every group, divide, and leave groups without samples out before you "
    "take the minimum.",
    _worst_group,
    _try_worst_group,
)


def _opportunity_gap(correct, labels, attributes):
    shares = [correct[(labels == 1) & (attributes == each)].float().mean() for each in attributes.unique()]
    return float(max(shares) - min(shares))


def _try_opportunity_gap(answer):
    correct, labels = torch.tensor([1, 0, 0, 1, 1, 0, 1, 1]), torch.tensor([1, 1, 1, 1, 0, 0, 1, 1])
    attributes = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1])
    got = answer(correct, labels, attributes)
    if got is None:
        return "your function returns None; return the gap, a number from 0 to 1"
    if differs(got, 0.5):
        if not differs(got, 2 / 3 - 3 / 5):
            return "those are all samples; look only at those with label 1"
        return f"two of four are right with attribute 0, and both with 1: the gap is 0.5, not {float(got):.3f}"
    return None


opportunity_gap = Exercise(
    "Keep the samples with label 1. Among them, which share is right for each attribute?",
    _opportunity_gap,
    _try_opportunity_gap,
)


def _without_the_colour(images):
    return images.mean(1, keepdim=True).expand_as(images)


def _try_open_experiment(answer):
    if answer(torch.rand(2, 3, 20, 20)) is None:
        return "your function returns None; return the batch of images, changed as you like"
    return falls_short(0.8, epochs=20, augment=answer)


open_experiment = Exercise(
    "The network uses what tells the classes apart most easily. Which part of the images could you take away, so that "
    "only the shape is left? A batch is a tensor of shape [samples, 3 colours, 20, 20].",
    _without_the_colour,
    _try_open_experiment,
)
