"""Lecture 03: hard example mining."""

import dataclasses

import pytest
import torch
from torch import nn

from debias_course import models, train
from debias_course.data import GroupedData, colored_digits
from debias_course.lectures.hard_example_mining.measurements import (
    SAME_EPOCHS,
    SAME_STEPS,
    AnyTenth,
    HardExampleMiningLesson,
    hardest_by_epoch,
    hardest_tenth,
    noisy_digits,
)
from debias_course.method import State, sample_losses
from debias_course.methods import ERM, DrawnMining, HardMining
from debias_course.methods.hard_mining import drawn_by_loss, hardest, score

LOSSES = torch.tensor([0.1, 0.4, 2.5, 0.4])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_hardest_by_hand_and_ties_go_to_the_earlier():
    assert hardest(LOSSES, 2).tolist() == [2, 1] and LOSSES[hardest(LOSSES, 2)].mean() == pytest.approx(1.45)
    assert hardest(LOSSES, 1).tolist() == [2] and hardest(LOSSES, 4).tolist() == [2, 1, 3, 0]
    assert hardest(torch.zeros(5), 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("choose", [hardest, drawn_by_loss])
@pytest.mark.parametrize("keep", [0, 5, -1])
def test_more_than_there_are_or_none_cannot_be_kept(choose, keep):
    with pytest.raises(ValueError, match=f"{keep} of 4 samples cannot be kept; keep at least one and at most all"):
        choose(LOSSES, keep)


@pytest.mark.parametrize("choose", [hardest, drawn_by_loss])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_losses_that_are_not_finite_are_named(choose, bad):
    losses = LOSSES.clone()
    losses[[1, 3]] = bad
    with pytest.raises(FloatingPointError, match=r"the losses of samples \[1, 3\] of the batch are not finite"):
        choose(losses, 2)


def test_draws_are_in_proportion_to_the_losses():
    """p = (.03, .13, .83, 0) for the first draw; 4,000 draws are within four standard errors."""
    losses, n = torch.tensor([0.1, 0.4, 2.5, 0.0]), 4_000
    generator = seeded(1)
    first = torch.bincount(torch.cat([drawn_by_loss(losses, 1, generator=generator)[0] for _ in range(n)]), minlength=4)
    p = losses / losses.sum()
    assert ((first / n - p).abs() <= 4 * (p * (1 - p) / n).sqrt()).all()


def test_draws_are_different_samples_and_zeros_come_last():
    losses = torch.tensor([0.0, 1.0, 0.0, 2.0, 0.0])
    for seed in range(50):
        drawn = drawn_by_loss(losses, 4, generator=seeded(seed))[0].tolist()
        assert len(set(drawn)) == 4 and set(drawn[:2]) == {1, 3}
    zeros = torch.cat([drawn_by_loss(torch.zeros(4), 1, generator=seeded(s))[0] for s in range(400)])
    assert (torch.bincount(zeros, minlength=4) > 60).all()  # all-zero losses: evenly


@pytest.mark.slow
@pytest.mark.parametrize("keep", [1, 3, 5, 6])
def test_divided_by_their_probability_the_drawn_losses_estimate_the_sum_of_all(keep):
    losses, generator = torch.tensor([0.05, 0.4, 2.5, 0.4, 0.01, 1.0]), seeded(2)
    estimates = []
    for _ in range(4000):
        chosen, probability = drawn_by_loss(losses, keep, generator=generator)
        estimates.append((losses[chosen] / probability).sum())
    estimates = torch.stack(estimates)
    assert abs(estimates.mean() - losses.sum()) <= 4 * estimates.std() / 4000**0.5 + 1e-5
    assert (probability > 0).all() and (probability <= 1).all()


def batch_of(toy, n=64):
    return toy.train.batch(torch.arange(n))


def opened(method, model, toy, epoch=1):
    state = method.start(model, toy.train)
    state.epoch = epoch
    return state.begin(seed=0)


@pytest.mark.parametrize("method", [HardMining(keep=1.0), DrawnMining(keep=1.0), DrawnMining(keep=1.0, correct=True)])
def test_keeping_everything_is_plain_training_to_the_bit(toy, method):
    start = models.mlp(toy.train, hidden=(8,))
    plain, mined = (train(start, toy.train, how, epochs=2).model for how in (ERM(), method))
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), mined.parameters()))


@pytest.mark.parametrize("passes", ["one", "two"])
def test_the_loss_is_the_mean_of_the_kept_losses(toy, passes):
    model, method = models.mlp(toy.train, hidden=(8,)), HardMining(keep=0.25, passes=passes)
    losses = sample_losses(model, batch_of(toy))
    loss = method.loss(model, batch_of(toy), opened(method, model, toy))
    assert loss.item() == pytest.approx(losses.sort(descending=True).values[:16].mean().item(), rel=1e-6)


def test_one_pass_and_two_passes_have_the_same_gradient(toy):
    model = models.mlp(toy.train, hidden=(8,))
    gradients = []
    for passes in ("one", "two"):
        method = HardMining(keep=0.25, passes=passes)
        loss = method.loss(model, batch_of(toy), opened(method, model, toy))
        gradients.append(torch.autograd.grad(loss, model.head.weight)[0])
    torch.testing.assert_close(*gradients)


def test_warm_up_epochs_train_plainly(toy):
    model, method = models.mlp(toy.train, hidden=(8,)), HardMining(keep=0.1, warm_up=2)
    plain = sample_losses(model, batch_of(toy)).mean()
    by_epoch = [method.loss(model, batch_of(toy), opened(method, model, toy, epoch)) for epoch in (1, 2, 3)]
    assert by_epoch[0] == by_epoch[1] == plain and by_epoch[2] > plain
    start = models.linear(toy.train)
    warm, plain = (train(start, toy.train, how, epochs=2).model for how in (HardMining(keep=0.1, warm_up=2), ERM()))
    assert torch.equal(warm.head.weight, plain.head.weight)


@pytest.mark.parametrize("passes", ["one", "two"])
def test_corrected_draws_are_unbiased_and_uncorrected_ones_focus(toy, passes):
    """The loss of the samples that `drawn_by_loss` draws: their mean, or with the correction the estimate above, over
    the batch of 16."""
    model, batch = models.mlp(toy.train, hidden=(8,)), batch_of(toy, 16)
    losses = sample_losses(model, batch).detach()
    chosen, probability = drawn_by_loss(losses, 4, generator=seeded())
    corrected = (losses[chosen] / probability).sum() / 16
    assert abs(corrected - losses[chosen].mean()) > 0.1
    for correct, expected in (True, corrected), (False, losses[chosen].mean()):
        method = DrawnMining(keep=1 / 4, correct=correct, passes=passes)
        torch.testing.assert_close(method.loss(model, batch, opened(method, model, toy)).detach(), expected)


def test_scoring_leaves_modes_statistics_and_gradients_alone(toy):
    features = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU())
    model = models.Classifier(features, nn.Linear(8, 2)).train()
    features[1].eval()  # a frozen one
    before = features[1].running_mean.clone()
    losses = score(model, batch_of(toy))
    assert not losses.requires_grad and model.training and features.training and not features[1].training
    assert torch.equal(features[1].running_mean, before) and all(p.grad is None for p in model.parameters())


class Editing(nn.Linear):
    """Normalises what it is given, in place."""

    def forward(self, inputs):
        return super().forward(inputs.sub_(0.5).div_(0.25))


def test_scoring_leaves_the_inputs_alone(toy):
    """Two passes see the inputs normalised once, as one pass does, not the second time again."""
    model, batch, before = Editing(2, 2), batch_of(toy), batch_of(toy).inputs
    score(model, batch)
    assert torch.equal(batch.inputs, before)
    one, two = (
        HardMining(keep=0.25, passes=passes).loss(model, batch_of(toy), State()).item() for passes in ("one", "two")
    )
    assert one == pytest.approx(two, rel=1e-6)


def test_a_batch_smaller_than_asked_for_keeps_at_least_one(toy):
    model, method = models.linear(toy.train), HardMining(keep=0.01)
    loss = method.loss(model, batch_of(toy, 3), opened(method, model, toy))
    assert loss.item() == pytest.approx(sample_losses(model, batch_of(toy, 3)).max().item())


def test_no_label_but_the_class_is_read(toy):
    model, method = models.mlp(toy.train, hidden=(8,)), HardMining()
    batch = batch_of(toy)
    nobody = torch.full_like(batch.labels, -1)
    blind = batch._replace(attributes=nobody, groups=nobody)
    losses = [method.loss(model, each, opened(method, model, toy)) for each in (batch, blind)]
    assert torch.equal(*losses) and method.needs == "nothing"


def test_a_wrong_label_is_kept_like_a_rare_sample(toy):
    """Mining cannot tell them apart: after training, the flipped labels are over-represented among the kept."""
    flipped = torch.zeros(400, dtype=torch.bool)
    flipped[::20] = True
    labels = torch.where(flipped, 1 - toy.train.labels, toy.train.labels)
    noisy = type(toy.train)(toy.train.inputs, labels, toy.train.attributes, ("a", "b"), ("x", "y"))
    model = train(models.linear(noisy), noisy, epochs=20, lr=0.05).model
    kept = hardest(score(model, noisy.batch(torch.arange(400))), 40)
    assert flipped[kept].float().mean() > 5 * flipped.float().mean()


@pytest.mark.parametrize("kind", [HardMining, DrawnMining])
def test_an_onlooker_sees_which_samples_were_kept_and_changes_nothing(toy, kind):
    start, method = models.linear(toy.train), kind(keep=0.1, warm_up=1)
    settings, kept = dict(epochs=3, batch_size=100, lr=0.1), []
    plain = train(start, toy.train, method, **settings)
    look = lambda model, batch, state, loss: kept.append((state.epoch, batch.groups[state.chosen], batch.groups))  # noqa: E731
    watched = train(start, toy.train, method, on_step=look, **settings)
    assert torch.equal(plain.model.head.weight, watched.model.head.weight)
    assert [(epoch, len(chosen)) for epoch, chosen, _ in kept] == [(1, 100)] * 4 + [(2, 10)] * 4 + [(3, 10)] * 4
    groups = torch.cat([chosen for epoch, chosen, _ in kept if epoch == 2])
    assert ((groups == 1) | (groups == 2)).sum() > 0.05 * 40


class Easiest(HardMining):
    """min: wrong, the lowest losses are kept."""

    def chosen(self, losses, state):
        return super().chosen(-losses, state)


class Blunt(DrawnMining):
    """min: wrong, all are drawn alike, whatever their losses."""

    def chosen(self, losses, state):
        return super().chosen(torch.ones_like(losses), state)


@pytest.mark.parametrize("wrong, claim", [(Easiest, "L03.2"), (Blunt, "L03.3")])
def test_a_wrong_implementation_turns_a_claim(verdict_with, wrong, claim):
    assert verdict_with(HardExampleMiningLesson, wrong, claim, seeds=5) == "refuted"


def test_the_hardest_tenth_by_hand():
    """Ten samples, logits (0, x): the losses of label 0 grow with x. The sample with the largest x is kept."""
    inputs, labels = torch.arange(10.0)[:, None], torch.tensor([0] * 9 + [1])
    attributes = torch.tensor([0] * 8 + [1, 1])
    clean = GroupedData(inputs, labels, attributes, ("a", "b"), ("x", "y"))
    seen = dataclasses.replace(clean, labels=1 - labels)
    found = {"clean": hardest_tenth(Logits(), clean, clean), "all wrong": hardest_tenth(Logits(), seen, clean)}
    assert found["clean"].kept.tolist() == [8] and found["clean"].rare.tolist() == [True]
    assert not found["clean"].wrong.any() and found["clean"].known_by_heart == 0.0  # the sample 8 alone is its group
    assert found["all wrong"].kept.tolist() == [9] and found["all wrong"].wrong.tolist() == [True]
    assert not found["all wrong"].rare.any()


class Logits(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs):
        return torch.cat([torch.zeros_like(inputs), inputs * self.weight], 1)


def test_the_onlooker_of_plain_training_changes_nothing():
    """What is found after two epochs is what a training of two epochs ends with."""
    seen, clean = noisy_digits(0).train, colored_digits(seed=0).train
    found = hardest_by_epoch("linear", 0, 0.1, (1, 2))
    model = train(models.linear(seen, seed=0), seen, epochs=2, seed=0).model
    assert set(found) == {1, 2} and torch.equal(found[2].kept, hardest_tenth(model, seen, clean).kept)
    assert (seen.labels != clean.labels).sum() == 300 and found[2].wrong.sum() > 100


def test_a_control_keeps_as_many_but_any():
    losses, kept = torch.arange(100.0), torch.zeros(100)
    for seed in range(200):
        chosen, probability = AnyTenth(keep=0.1).chosen(losses, State().begin(seed=seed))
        kept[chosen] += 1
        assert len(set(chosen.tolist())) == 10 and probability is None
    assert kept.min() > 0 and kept[90:].mean() < 35  # 20 of 200 by chance


@pytest.mark.slow
def test_equal_steps_and_equal_epochs_are_what_they_say():
    """Of batches of 512 an epoch has six steps where those of 128 have 24."""
    lesson = HardExampleMiningLesson(seeds=[0])
    part = colored_digits(seed=0).train
    steps = {size: len(list(HardMining().batches(part, size, seed=0, epoch=1))) for size in (128, 512)}
    assert steps == {128: 24, 512: 6}
    plain = lesson.one("plain training", "linear").at(2).value("plain training", 0)
    mined = lesson.other(SAME_STEPS, "linear")
    for kept, epochs in (SAME_STEPS, 8), (SAME_EPOCHS, 2):
        gain = mined.at(epochs).value("hardest tenth", 0) - plain
        assert lesson.gain(0, "hardest tenth", 2, "linear", kept) == gain
