"""Exercises of lecture 04."""

from __future__ import annotations

import torch

from ..exercises import Exercise, differs


def _new_sample(x_i, x_j, u):
    return x_i + u * (x_j - x_i)


def _try_new_sample(answer):
    start, end = torch.tensor([0.0, 2.0]), torch.tensor([4.0, 0.0])
    got = answer(start, end, 0.25)
    if got is None:
        return "your function returns None; return a point"
    if not differs(got, [3.0, 0.5]):
        return "u is the share of the way from x_i; yours starts from x_j"
    if differs(got, [1.0, 1.5]):
        return "a quarter of the way from (0, 2) to (4, 0) is (1, 1.5)"
    if differs(answer(start, end, 0.0), start) or differs(answer(start, end, 1.0), end):
        return "right for u = 0.25; u = 0 should be x_i, and u = 1 should be x_j"
    return None


new_sample = Exercise(
    "Start at the first point and go the share u of the difference to the second.",
    _new_sample,
    _try_new_sample,
)


def _nearest_other(x):
    distances = torch.cdist(x, x)
    distances.fill_diagonal_(float("inf"))
    return distances.argmin(1)


def _try_nearest_other(answer):
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0], [2.5, 5.0], [0.0, 8.0]])
    got = answer(x)
    if got is None:
        return "your function returns None; return one index per row"
    got = torch.as_tensor(got)
    if got.shape != (5,):
        return f"return one index per row, shape [5] for five rows; yours has shape {list(got.shape)}"
    if not differs(got, range(5)):
        return "everybody is nearest to himself; leave him out: the diagonal of the distances"
    if differs(got, [1, 0, 0, 2, 3]):
        return f"the rows nearest to {x.tolist()} are 1, 0, 0, 2 and 3, not {got.tolist()}"
    copies = torch.tensor([[1.0, 1.0], [1.0, 1.0], [5.0, 5.0]])
    if torch.as_tensor(answer(copies))[:2].tolist() != [1, 0]:
        return "right here; but two copies of a sample are each other's nearest, at distance 0"
    return None


nearest_other = Exercise(
    "torch.cdist(x, x) has all distances. Those from a sample to itself are on the diagonal: fill it with infinity "
    "before you look for the smallest of each row.",
    _nearest_other,
    _try_nearest_other,
)


def _pairs(n, k):
    return n * k


def _try_pairs(answer):
    got = answer(3, 2)
    if got is None:
        return "your function returns None; return a whole number"
    if differs(got, 6):
        return "each of 3 samples can start towards each of its 2 neighbours"
    if not differs(answer(10, 3), 90):
        return "right if everybody is a neighbour; of ten samples with three neighbours each there are fewer pairs"
    if differs(answer(10, 3), 30):
        return "right for 3 samples with 2 neighbours, but not for 10 with 3"
    return None


pairs = Exercise(
    "Every sample can be the start, and every one of its neighbours the end.",
    _pairs,
    _try_pairs,
)
