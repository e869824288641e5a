"""Exercises of lecture 02."""

from __future__ import annotations

import torch

from ... import data
from ...methods import UnderSampling
from ..exercises import Exercise, differs, falls_short, no_method


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
        return "11.2, 3.2 and 1.6 seats are due; each gets its whole seats, and the last goes to the largest remainder"
    if differs(answer(torch.tensor([0.5, 0.5]), 8), [4, 4]):
        return "right where a seat is left over; for two halves of a batch of 8 it is 4 and 4"
    if differs(answer(torch.tensor([0.42, 0.3, 0.28]), 8), [3, 3, 2]):
        return "right where rounding happens to fit; for 0.42, 0.30 and 0.28 of 8 seats it is 3, 3 and 2"
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


def _my_sampler():
    return UnderSampling(subset="fixed")


def _try_open_experiment(answer):
    method = answer()
    if method is None:
        return "your function returns None; return a Method, such as OverSampling()"
    if wrong := no_method(method):
        return wrong
    steps = len(list(method.batches(data.colored_digits().train, 128, seed=0, epoch=1)))  # of an epoch
    return falls_short(0.7, method, epochs=max(1, 480 // steps))


open_experiment = Exercise(
    "Try each of the samplers, with each choice of its knobs. Which of them sees the same few samples of every group "
    "all the time?",
    _my_sampler,
    _try_open_experiment,
)
