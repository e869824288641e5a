"""Exercises of lecture 05."""

from __future__ import annotations

import torch

from ...methods import GroupDRO
from ..exercises import Exercise, differs, falls_short, no_pair


def _updated(q, losses, step_size):
    raised = q * torch.exp(step_size * losses)
    return raised / raised.sum()


def _try_updated(answer):
    q, losses = torch.full((3,), 1 / 3), torch.tensor([0.5, 1.0, 2.0])
    got = answer(q, losses, 1.0)
    if got is None:
        return "your function returns None; return one weight per group"
    got = torch.as_tensor(got, dtype=torch.float64)
    if got.shape != (3,):
        return f"return one weight for each of the 3 groups; yours has shape {list(got.shape)}"
    if differs(got.sum(), 1.0):
        return f"the weights should sum to 1 again, and yours to {float(got.sum()):.3f}; divide by their sum"
    if got[0] > got[2]:
        return "the group with the highest loss should get the largest weight; look at the sign"
    if differs(got, [0.1402444, 0.2312239, 0.6285317]):
        yours = ", ".join(f"{each:.3f}" for each in got)
        return f"of equal weights, losses 0.5, 1, 2 and step size 1 make 0.140, 0.231, 0.629, not {yours}"
    if differs(answer(torch.tensor([0.2, 0.3, 0.5]), losses, 0.1), [0.1824321, 0.2876783, 0.5298896]):
        return "right where all weights are equal; start from the weights that are given"
    return None


updated = Exercise(
    "Multiply each weight by the exponential of the step size times the loss, and divide by the sum of the products.",
    _updated,
    _try_updated,
)


def _means(losses, groups, n_groups):
    sums = torch.zeros(n_groups).index_add(0, groups, losses)
    counts = torch.bincount(groups, minlength=n_groups)
    return sums / counts.clamp(min=1)


def _try_means(answer):
    losses, groups = torch.tensor([1.0, 3.0, 8.0, 2.0]), torch.tensor([0, 0, 0, 2])
    got = answer(losses, groups, 4)
    if got is None:
        return "your function returns None; return one mean per group"
    got = torch.as_tensor(got, dtype=torch.float64)
    if got.shape != (4,):
        return (
            f"return one mean for each of the 4 groups, also for those that are not there; yours has {list(got.shape)}"
        )
    if torch.isnan(got).any():
        return "a group without samples should get 0, not 0 / 0"
    if not differs(got, [12.0, 0.0, 2.0, 0.0]):
        return "those are the sums; divide by the number of samples of the group"
    if differs(got, [4.0, 0.0, 2.0, 0.0]):
        return f"the means of groups 0 to 3 are 4, 0, 2 and 0, not {got.tolist()}"
    return None


means = Exercise(
    "index_add sums the losses of each group, bincount counts them; a group that is not there must not divide by zero.",
    _means,
    _try_means,
)


def _tamed():
    return GroupDRO(step_size=1.0, normalize=True), dict(lr=3e-3)


def _try_open_experiment(answer):
    got = answer()
    if wrong := no_pair(got, "(GroupDRO(step_size=1.0), dict(lr=1e-3))"):
        return wrong
    method, settings = got
    if "epochs" in settings:
        return "keep the 20 epochs, and change anything else"
    if not isinstance(method, GroupDRO) or method.step_size != 1:
        return f"this is {method!r}; keep GroupDRO(step_size=1.0, ...), and change anything else"
    return falls_short(0.5, method, seeds=3, epochs=20, **settings)


open_experiment = Exercise(
    "The weights jump because a single batch multiplies them by e to the power of its loss. Which knob of GroupDRO "
    "makes the number in the exponent smaller? And then: the network has to follow the weights before they have moved "
    "on. Try learning rates that are three times apart.",
    _tamed,
    _try_open_experiment,
)
