"""Schedules: the learning rate of every step is the given one times a factor."""

import copy
import math
from dataclasses import dataclass, field

import pytest
import torch
import torch.nn.functional as F
from own_methods import Alternating

from debias_course import models, train
from debias_course.data import toys
from debias_course.methods import ERM, State
from debias_course.optimizers import SCHEDULES, make_optimizer, scheduled
from debias_course.stages import stage

PLANE = toys.shortcut(n=100, seed=0).train
HOW = dict(epochs=4, batch_size=25, lr=0.1)  # 16 steps: every progress is a number that the computer knows exactly


def warmed_up(progress):
    return min(1.0, progress / 0.3)


BY_HAND = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
    "linear": lambda progress: 1 - progress,
    warmed_up: warmed_up,
}


@pytest.mark.parametrize("schedule", BY_HAND)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_weights_are_those_of_a_loop_by_hand_to_the_bit(schedule, decay):
    start = models.linear(PLANE)
    run = train(start, PLANE, schedule=schedule, optimizer="sgd", weight_decay=decay, **HOW)
    model = copy.deepcopy(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=decay, fused=True)
    batches = [rows for epoch in range(1, 5) for rows in ERM().batches(PLANE, 25, seed=0, epoch=epoch)]
    for k, rows in enumerate(batches):
        optimizer.param_groups[0]["lr"] = 0.1 * BY_HAND[schedule](k / 16)
        optimizer.zero_grad()
        F.cross_entropy(model(PLANE.inputs[rows]), PLANE.labels[rows]).backward()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(run.model.parameters(), model.parameters()))


def test_cosine_and_linear_are_those_of_torch():
    mine, theirs = ([torch.optim.SGD([torch.zeros(1)], lr=0.3) for _ in range(2)] for _ in range(2))
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(theirs[0], T_max=50)
    linear = torch.optim.lr_scheduler.LinearLR(theirs[1], start_factor=1.0, end_factor=1e-12, total_iters=50)
    for k in range(50):
        for name, optimizer, other in zip(("cosine", "linear"), mine, theirs):
            scheduled(optimizer, SCHEDULES[name], k / 50)
            assert optimizer.param_groups[0]["lr"] == pytest.approx(other.param_groups[0]["lr"], rel=1e-9, abs=1e-11)
            other.step()
        cosine.step()
        linear.step()


@dataclass(frozen=True, kw_only=True)
class Noting(Alternating):
    """min: alternating updates of its own, with two groups, of which the rates are noted."""

    rates: list = field(default_factory=list, compare=False)

    def step(self, model, batch, state, optimizer):
        self.rates.append([group["lr"] for group in optimizer.param_groups])
        return super().step(model, batch, state, optimizer)


def test_every_group_keeps_its_relative_rate_in_an_update_of_the_methods_own():
    noting = Noting()
    train(models.linear(PLANE), PLANE, noting, schedule="linear", **HOW)
    first, last = 0.1 * make_relative(noting), 0.1
    expected = [[first * (1 - k / 16), last * (1 - k / 16)] for k in range(16)]
    assert noting.rates == [pytest.approx(each) for each in expected]


def make_relative(method):
    """The rate of the first group, relative to the run's."""
    model = models.linear(PLANE)
    groups = make_optimizer("sgd", method.parameters(model, method.start(model, PLANE)), 1.0, 0.0).param_groups
    return groups[0]["lr"] / groups[1]["lr"]


@dataclass(frozen=True, kw_only=True)
class Later(ERM):
    """min: plain training, after a stage that has spent the first epochs."""

    seen: list = field(default_factory=list, compare=False)

    def start(self, model, data):
        stage(model, data, epochs=2)
        state = State()
        state.epoch = 3
        return state

    def loss(self, model, batch, state):
        self.seen.append(state.progress)
        return super().loss(model, batch, state)


def test_a_stage_goes_through_the_whole_schedule_and_its_epochs_are_done_when_the_rest_begins():
    asked, later = [], Later()

    def schedule(progress):
        asked.append(progress)
        return 1.0

    train(models.linear(PLANE), PLANE, later, schedule=schedule, **HOW)
    assert asked[-16:-8] == [k / 8 for k in range(8)]
    assert asked[-8:] == later.seen == [k / 16 for k in range(8, 16)]


def test_a_function_that_fails_later_is_refused_at_that_step():
    def only_hundredths(progress):
        return 1.0 if progress == round(progress, 2) else math.nan

    with pytest.raises(ValueError, match=r"^schedule\(0.0625\) is nan; it is a factor of the learning rate: use a num"):
        train(models.linear(PLANE), PLANE, schedule=only_hundredths, **HOW)
