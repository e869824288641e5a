"""Exercises of lecture 04."""

from __future__ import annotations

import torch

from ... import data, models
from ...methods import SMOTE
from ...training import train
from ..exercises import Exercise, differs, no_method, no_pair
from .measurements import RARE, by_digit, embedded, voted


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
        return "each sample is nearest to itself; leave it out: the diagonal of the distances"
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


def _my_recipe():
    return SMOTE(interpolation="middle"), 101


def _try_open_experiment(answer):
    recipe = answer()
    if wrong := no_pair(recipe, "(SMOTE(), 5)"):
        return wrong
    method, voters = recipe
    if wrong := no_method(method):
        return wrong
    if not isinstance(voters, int) or voters < 1:
        return f"{voters!r} neighbours cannot vote; use a whole number from 1"
    parts = data.long_tailed_digits()
    model = train(models.mlp(parts.train), parts.train, epochs=20, device="cpu").model
    known, asked = (embedded(model.get_submodule("features"), part) for part in (parts.train, parts.test))
    known = method.enlarge(known, generator=torch.Generator().manual_seed(0))
    found = by_digit(voted(known, asked, voters), asked)
    rare, every = sum(found[digit] for digit in RARE) / len(RARE), sum(found) / len(found)
    if rare > 0.6 and every > 0.735:
        return None
    return f"{rare:.3f} of the rare digits are found, and {every:.3f} of all; it should be more than 0.6 and 0.735"


open_experiment = Exercise(
    "How many neighbours may vote, before the common digits suffer? Look at the picture over k, and try each "
    "interpolation at its right end.",
    _my_recipe,
    _try_open_experiment,
)
