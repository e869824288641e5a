"""Exercises of lecture 02."""

from __future__ import annotations

import torch

from ..exercises import Exercise, differs


def _over_sample(groups):
    size = int(torch.bincount(groups).max())
    rows = []
    for group in range(int(groups.max()) + 1):
        members = (groups == group).nonzero().flatten()
        rows.append(members[torch.arange(size) % len(members)])
    return torch.cat(rows)


def _try_over_sample(answer):
    groups = torch.tensor([0, 1, 0, 0, 2, 0, 1])
    got = answer(groups)
    if got is None:
        return "your function returns None; return a tensor of indices"
    got = torch.as_tensor(got)
    if got.ndim != 1 or got.is_floating_point() or not len(got) or not 0 <= got.min() <= got.max() < 7:
        return "return one row of whole numbers, each the index of one of the 7 samples"
    counts = torch.bincount(groups[got], minlength=3).tolist()
    if counts != [4, 4, 4]:
        return f"the largest group has 4 samples, so each should be drawn 4 times; yours are drawn {counts} times"
    uses = torch.bincount(got, minlength=7)
    if uses[groups == 0].tolist() != [1] * 4:
        return "the largest group needs no repeats: each of its samples once"
    if uses[groups == 1].tolist() != [2, 2]:
        return "the two samples of group 1 should be used equally often"
    return None


over_sample = Exercise(
    "For each group, list its members and go through the list again and again until you have as many as the largest "
    "group; torch.arange(size) % len(members) does it.",
    _over_sample,
    _try_over_sample,
)


def _seats(shares, batch_size):
    due = shares * batch_size
    seats = due.floor()
    spare = batch_size - int(seats.sum())
    seats[torch.argsort(seats - due, stable=True)[:spare]] += 1
    return seats


def _try_seats(answer):
    got = answer(torch.tensor([0.7, 0.2, 0.1]), 16)
    if got is None:
        return "your function returns None; return one number of seats per population"
    got = torch.as_tensor(got, dtype=torch.float64)
    if got.shape != (3,) or got.sum() != 16:
        return f"three populations share 16 seats; yours are {got.tolist()}, which makes {float(got.sum()):g}"
    if differs(got, [11, 3, 2]):
        return "11.2, 3.2 and 1.6 seats are due; everybody gets the whole ones, the largest remainder the last"
    if differs(answer(torch.tensor([0.5, 0.5]), 8), [4, 4]):
        return "right where a seat is left over; for two halves of a batch of 8 it is 4 and 4"
    return None


seats = Exercise(
    "Round down what is due to everybody. The seats that are left go, one each, to the largest remainders.",
    _seats,
    _try_seats,
)


def _seen(n, draws):
    return 1 - (1 - 1 / n) ** draws


def _try_seen(answer):
    got = answer(4, 2)
    if got is None:
        return "your function returns None; return a number between 0 and 1"
    if differs(got, 7 / 16):
        return f"of 4 samples, 2 draws with replacement see 7/16 on average, not {float(got):.3f}"
    if differs(answer(1425, 750), 1 - (1 - 1 / 1425) ** 750):
        return "right for 4 samples, but not for 1,425 and 750 draws"
    return None


seen = Exercise(
    "A sample is missed by one draw with probability 1 - 1/n. By how many in a row is it missed?",
    _seen,
    _try_seen,
)
