"""The hidden tests: inputs that no student has seen, drawn anew for each course, and answers that the solution gives.

An exercise has one line in `INPUTS`: how its arguments are drawn. The seed is drawn when the course is made, and lies
beside this file, so that who has read this file does not know them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from debias_course.lectures.exercises import Exercise, differs

TRIES = 5
Draw = torch.Generator


def whole(draw: Draw, low: int, high: int, *size: int) -> torch.Tensor:
    return torch.randint(low, high + 1, size, generator=draw)


def number(draw: Draw, low: float, high: float) -> float:
    return round(low + (high - low) * float(torch.rand((), generator=draw)), 4)


def uniform(draw: Draw, *size: int) -> torch.Tensor:
    return torch.rand(size, generator=draw)


def normal(draw: Draw, *size: int) -> torch.Tensor:
    return torch.randn(size, generator=draw)


def shares(draw: Draw, n: int) -> torch.Tensor:
    raw = uniform(draw, n) + 0.2
    return raw / raw.sum()


def share_of(draw: Draw, n: int) -> float:
    """A share of n samples that is not half-way between two whole numbers."""
    return (int(whole(draw, 1, n - 1)) + number(draw, -0.4, 0.4)) / n


def gapped(draw: Draw, n: int, groups: int) -> torch.Tensor:
    """Groups of n samples, of which the second is empty."""
    return torch.tensor([0, *range(2, groups)])[whole(draw, 0, groups - 2, n)]


def both(draw: Draw, n: int) -> torch.Tensor:
    """0 and 1, each of them there."""
    return torch.cat([torch.tensor([0, 1]), whole(draw, 0, 1, n - 2)])


def with_gap(scores: torch.Tensor) -> torch.Tensor:
    """Scores of which the first would be the best, had it not diverged on one seed."""
    scores[0] = torch.tensor([0.99, 0.99, float("nan")])
    return scores


INPUTS: dict[str, Callable[[Draw], tuple[Any, ...]]] = {
    "dataset_bias.worst_group": lambda d: (whole(d, 0, 1, 40), gapped(d, 40, 5), 5),
    "dataset_bias.opportunity_gap": lambda d: (
        whole(d, 0, 1, 60),
        torch.cat([torch.ones(6, dtype=torch.int64), whole(d, 0, 1, 54)]),
        torch.cat([torch.tensor([0, 1, 2] * 2), whole(d, 0, 2, 54)]),
    ),
    "loss_reweighting.group_weights": lambda d: (whole(d, 1, 500, 5).float(),),
    "loss_reweighting.learning_rate_factor": lambda d: (whole(d, 1, 900, 5).float(),),
    "sampling.seats": lambda d: (shares(d, 5), int(whole(d, 20, 60))),
    "sampling.seen": lambda d: (int(whole(d, 5, 300)), int(whole(d, 5, 300))),
    "hard_example_mining.worst_mean": lambda d: (uniform(d, 20), share_of(d, 20)),
    "hard_example_mining.bound": lambda d: (number(d, 0.2, 3), number(d, 0.05, 0.5), number(d, 0.02, 0.6)),
    "smote.new_sample": lambda d: (normal(d, 7), normal(d, 7), number(d, 0, 1)),
    "smote.nearest_other": lambda d: (normal(d, 12, 3),),
    "group_dro.updated": lambda d: (shares(d, 4), 2 * uniform(d, 4), number(d, 0.05, 2)),
    "group_dro.means": lambda d: (uniform(d, 16), gapped(d, 16, 5), 5),
    "spectral_decoupling.penalised": lambda d: (2 * normal(d, 9), 2.0 * both(d, 9) - 1, number(d, 0.05, 2)),
    "spectral_decoupling.at_rest": lambda d: (number(d, 0.02, 2),),
    "occam_nets.leaves_by": lambda d: (uniform(d, 5, 12), number(d, 0.5, 0.95)),
    "occam_nets.kept_small": lambda d: (2 * normal(d, 3, 4, 4), int(whole(d, 0, 2))),
    "adversarial_training.moved": lambda d: (uniform(d, 9), 0.1 * normal(d, 9), number(d, 0.05, 0.6)),
    "adversarial_training.robust": lambda d: (uniform(d, 3, 25) > 0.3,),
    "dann.reversal": lambda d: (normal(d, 6).requires_grad_(), number(d, 0.1, 3)),
    "dann.label_loss": lambda d: (uniform(d, 12), both(d, 12)),
    "method_comparison.paired": lambda d: (uniform(d, 6).double(), uniform(d, 6).double(), number(d, 2, 3)),
    "method_comparison.reported": lambda d: (with_gap(uniform(d, 6, 3)), uniform(d, 6)),
    "partners.product_losses": lambda d: (2 * normal(d, 9, 4), 2 * normal(d, 9, 4), whole(d, 0, 3, 9)),
    "partners.precision_and_recall": lambda d: (uniform(d, 30) > 0.4, uniform(d, 30) > 0.6),
}


def wrong(topic: str, name: str, exercise: Exercise, answer: Callable[..., Any], seed: int) -> str | None:
    """What is wrong with a student's function on hidden inputs, or None; an exercise without a line has none."""
    draw, inputs = torch.Generator().manual_seed(seed), INPUTS.get(f"{topic}.{name}")
    for _ in range(TRIES if inputs else 0):
        given = inputs(draw)
        wanted, got = of(exercise.solution, given), of(answer, given)
        if wanted.shape != got.shape or differs(got, wanted, 1e-3 * max(1.0, float(wanted.abs().max()))):
            said = ", ".join(short(each) for each in given)
            return f"right on the examples of the check, and wrong on another: given {said}"
    return None


def of(function: Callable[..., Any], given: tuple[Any, ...]) -> torch.Tensor:
    """What a function returns for copies of the given; with its slope, where the first is one that it depends on."""
    copies = [each.detach().clone() if isinstance(each, torch.Tensor) else each for each in given]
    sloped = isinstance(given[0], torch.Tensor) and given[0].requires_grad
    got = function(*[copies[0].requires_grad_() if sloped else copies[0], *copies[1:]])
    if isinstance(got, (tuple, list)):
        got = torch.tensor([float(each) for each in got])
    value = torch.as_tensor(got, dtype=torch.float64)
    if not sloped:
        return value
    slope = torch.arange(1.0, value.numel() + 1).reshape(value.shape).double()
    return torch.cat([value.detach().flatten(), torch.autograd.grad((slope * value).sum(), copies[0])[0].flatten()])


def short(value: Any) -> str:
    return str([round(each, 4) for each in value.flatten().tolist()]) if isinstance(value, torch.Tensor) else str(value)
