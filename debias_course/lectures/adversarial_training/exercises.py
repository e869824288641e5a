"""Exercises of lecture 08."""

from __future__ import annotations

import torch

from ..exercises import Exercise, differs


def _moved(x, gradient, radius):
    return (x + radius * gradient.sign()).clamp(0, 1)


def _try_moved(answer):
    x, gradient = torch.tensor([0.2, 0.5, 0.95, 0.0]), torch.tensor([-0.3, 2.0, 0.01, 0.0])
    got = answer(x.clone(), gradient.clone(), 0.1)
    if got is None:
        return "your function returns None; return the moved pixels"
    if not differs(got, [0.3, 0.4, 0.85, 0.0]):
        return "the loss should grow, not fall; look at the sign"
    if not differs(got, [0.1, 0.6, 1.05, 0.0]):
        return "a pixel lies between 0 and 1; cut off what is beyond"
    if not differs(got, (x + 0.1 * gradient).clamp(0, 1)) or not differs(got, x + 0.1 * gradient):
        return "all pixels move equally far, however steep the loss is; take the sign of the gradient"
    if differs(got, [0.1, 0.6, 1.0, 0.0]):
        return f"pixels 0.2, 0.5, 0.95 and 0 should become 0.1, 0.6, 1 and 0, not {got!r}"
    if differs(answer(x.clone(), gradient.clone(), 0.3), [0.0, 0.8, 1.0, 0.0]):
        return "right for a radius of 0.1; with 0.3 they should become 0, 0.8, 1 and 0"
    return None


moved = Exercise(
    "Add the radius times the sign of the gradient, and cut off at 0 and at 1 (torch.clamp).",
    _moved,
    _try_moved,
)


def _back_inside(moved, x, radius):
    return (x + (moved - x).clamp(-radius, radius)).clamp(0, 1)


def _try_back_inside(answer):
    x, gone = torch.tensor([0.5, 0.5, 0.02, 0.7]), torch.tensor([0.9, 0.45, -0.5, 0.3])
    got = answer(gone.clone(), x.clone(), 0.1)
    if got is None:
        return "your function returns None; return the pixels"
    if not differs(got, gone.clamp(-0.1, 0.1)) or not differs(got, gone.clamp(0, 0.1)):
        return "it is the change that may not be larger than the radius, not the pixel"
    if not differs(got, [0.6, 0.45, -0.08, 0.6]):
        return "one pixel is blacker than black; cut off at 0 and 1, too"
    if not differs(got, gone.clamp(0, 1)):
        return "those are pixels, but farther from where they started than the radius"
    if differs(got, [0.6, 0.45, 0.0, 0.6]):
        return f"the nearest allowed pixels are 0.6, 0.45, 0 and 0.6, not {got!r}"
    if differs(answer(gone.clone(), x.clone(), 0.3), [0.8, 0.45, 0.0, 0.4]):
        return "right for a radius of 0.1; with 0.3 they are 0.8, 0.45, 0 and 0.4"
    return None


back_inside = Exercise(
    "Clamp the change (where it is now, minus where it was) to the radius on both sides, add it to where it was, and "
    "clamp the pixel to 0 and 1.",
    _back_inside,
    _try_back_inside,
)


def _robust(right):
    return right.all(0).float().mean()


def _try_robust(answer):
    right = torch.tensor(
        [[True, True, False, True, True], [True, False, False, True, True], [True, True, True, False, True]]
    )
    got = answer(right.clone())
    if got is None:
        return "your function returns None; return one share"
    if not differs(got, right.float().mean()):
        return "that is the mean over all attacks; a sample counts where it is right after every one of them"
    if not differs(got, right.any(0).float().mean()):
        return "that counts a sample that is right after any attack; the attacker chooses, not you"
    if not differs(got, right.float().mean(1).min()):
        return "that is the accuracy under the best single attack; the attacker may choose for each sample"
    if differs(got, 0.4):
        return f"two of five samples are right after all three attacks: 0.4, not {got!r}"
    if differs(answer(torch.ones(2, 4, dtype=torch.bool)), 1.0):
        return "right here; where all is right, the robust accuracy should be 1"
    return None


robust = Exercise(
    "A row per restart, a column per sample: look for the columns in which all is right, and take their share.",
    _robust,
    _try_robust,
)
