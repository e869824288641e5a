"""Exercises of lecture 00."""

from __future__ import annotations

import torch

from ..exercises import Exercise, differs


def _group_id(label, attribute, n_attributes):
    return label * n_attributes + attribute


def _try_group_id(answer):
    if answer(0, 0, 2) is None:
        return "your function returns None; return a whole number"
    for n in (3, 2):
        seen = [answer(label, attribute, n) for label in range(2) for attribute in range(n)]
        if len(set(seen)) < 2 * n:
            return f"two different groups got the same number; two labels by {n} attributes make {2 * n} groups"
        if seen != list(range(2 * n)):
            return "number the groups 0, 1, 2, ... with the attribute running fastest, as the course does"
    return None


group_id = Exercise(
    "Write the groups in a table, one row per label. How many cells stand in the rows above, and how many to the left?",
    _group_id,
    _try_group_id,
)


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


def _train_weighted(accuracy, train_counts):
    shares = train_counts / train_counts.sum()
    return float((shares * accuracy).sum())


def _try_train_weighted(answer):
    accuracy, counts = torch.tensor([0.9, 0.5, 0.7]), torch.tensor([80, 10, 10])
    got = answer(accuracy, counts)
    if got is None:
        return "your function returns None; return one number"
    if differs(got, 0.84):
        plain = not differs(got, 0.7)
        return "that is the group-balanced average" if plain else f"0.8·0.9 + 0.1·0.5 + 0.1·0.7 is 0.84, not {got:.3f}"
    return None


train_weighted = Exercise(
    "Each group's accuracy counts as much as the group does in training: weights that are shares and sum to 1.",
    _train_weighted,
    _try_train_weighted,
)
