"""Lecture 05: Group DRO. Vectors: worked by hand from Algorithm 1 of Sagawa et al. 2020."""

import warnings
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from debias_course import evaluate, figures, models, train
from debias_course.data import GroupedData, colored_digits, toys
from debias_course.lectures.group_dro import pictures
from debias_course.lectures.group_dro.game import (
    BlindAdjustment,
    FrozenWeights,
    group_losses,
    play,
    shuffled_groups,
    unequally_hard,
)
from debias_course.lectures.group_dro.measurements import GroupDROLesson
from debias_course.method import sample_losses
from debias_course.methods import ERM, GreedyGroupDRO, GroupDRO, LossReweighting
from debias_course.methods.group_dro import exponentiated, greedy, group_means

LOSSES = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
EVEN = torch.full((3,), 1 / 3, dtype=torch.float64)


@pytest.mark.parametrize(
    "q, step_size, expected, loss",
    [
        (EVEN, 0.01, (0.3311120587, 0.3327717648, 0.3361161766), 1.1705601473),
        (EVEN, 1.0, (0.1402443832, 0.2312238976, 0.6285317192), 1.5584095276),
        (torch.tensor([0.2, 0.3, 0.5]), 0.1, (0.182432074, 0.2876783497, 0.5298895763), 1.4386735393),
    ],
)
def test_the_update_by_hand(q, step_size, expected, loss):
    q = exponentiated(q.double().log(), LOSSES, step_size).exp()
    assert q.tolist() == pytest.approx(expected, abs=1e-8) and float((q * LOSSES).sum()) == pytest.approx(
        loss, abs=1e-8
    )


def test_constant_losses_add_up_and_an_absent_group_falls_behind():
    log_q = EVEN.log()
    for _ in range(10):
        log_q = exponentiated(log_q, LOSSES, 0.1)
    assert torch.allclose(log_q.exp(), torch.softmax(LOSSES, 0))
    absent = exponentiated(EVEN.log(), torch.tensor([0.5, 0.0, 2.0]), 0.1).exp()
    assert absent.tolist() == pytest.approx((0.321227, 0.305561, 0.373212), abs=1e-6)


def test_a_constant_on_all_losses_changes_nothing_and_no_loss_overflows():
    assert torch.allclose(exponentiated(EVEN.log(), LOSSES + 7, 1.0), exponentiated(EVEN.log(), LOSSES, 1.0))
    q = exponentiated(EVEN.float().log(), torch.tensor([1e4, 1.0, 1e6]), 1.0).exp()
    assert torch.isfinite(q).all() and q[2] == 1
    assert torch.equal(exponentiated(EVEN.log(), LOSSES, 0.0).exp(), EVEN.log().log_softmax(0).exp())


@pytest.mark.parametrize(
    "alpha, expected", [(0.2, (0.0, 0.5, 0.5)), (0.05, (0.0, 0.0, 1.0)), (1.0, (0.7, 0.2, 0.1)), (0.5, (0.4, 0.4, 0.2))]
)
def test_greedy_weights_by_hand(alpha, expected):
    shares = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    assert greedy(LOSSES, shares, alpha).tolist() == pytest.approx(expected)


def test_group_means_by_hand():
    means, counts = group_means(torch.tensor([1.0, 3.0, 0.5]), torch.tensor([0, 0, 3]), 4)
    assert means.tolist() == [2, 0, 0, 0.5] and counts.tolist() == [2, 0, 0, 1]


def with_counts(*counts, width=2):
    groups = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    x = torch.randn(len(groups), width, generator=torch.Generator().manual_seed(0))
    labels = ("label 0", "label 1")
    return GroupedData(x, groups // 2, groups % 2, labels, ("a", "b"))


def weights(method, data, losses, counts=None):
    state = method.start(None, data)
    losses = torch.tensor(losses)
    return method.weights(losses, torch.ones_like(losses) if counts is None else torch.tensor(counts), state), state


def test_the_adjustment_by_hand():
    """C = 1, n = (100, 25, 4): 0.1, 0.2 and 0.5 on top; the loss that is followed stays as it is."""
    data = with_counts(100, 25, 4)
    q, _ = weights(GroupDRO(adjustment=1.0, step_size=0.1), data, [0.5, 1.0, 2.0, 0.0])
    expected = torch.tensor([0.3057088551, 0.3246128349, 0.36967831])
    assert torch.allclose(q[:3], expected, atol=1e-6) and q[3] == 0
    assert float((q[:3] * LOSSES).sum()) == pytest.approx(1.2168238825, abs=1e-6)
    waterbirds = with_counts(3498, 184, 56, 1057)
    q, _ = weights(GroupDRO(adjustment=2.0, step_size=0.01), waterbirds, [0.1] * 4)
    assert q.tolist() == pytest.approx((0.2497657738, 0.2500497342, 0.2503495216, 0.2498349704), abs=1e-6)


def test_adjustments_are_given_per_group_and_may_be_zero():
    data = with_counts(100, 25, 4, 9)
    q, state = weights(GroupDRO(adjustments=(0.0, 5.0, 0.0, 0.0), step_size=1.0), data, [1.0] * 4)
    assert state.adjustment.tolist() == [0, 1, 0, 0] and q[1] > q[0] == q[2] == q[3]
    with pytest.raises(ValueError, match="give one for each of the 4 groups"):
        GroupDRO(adjustments=(1.0, 2.0)).start(None, data)
    for wrong in ((1.0, -1.0), (1.0, float("nan")), "ab", 5):
        with pytest.raises(ValueError, match="give one number from 0 per group, or a single `adjustment`"):
            GroupDRO(adjustments=wrong)
    with pytest.raises(ValueError, match="or a single `adjustment`"):
        GroupDRO(adjustments=(1.0, 2.0), adjustment=3.0)
    assert hash(GroupDRO(adjustments=torch.tensor([1.0, 2.0]))) == hash(GroupDRO(adjustments=[1, 2]))


def test_normalised_losses_by_hand():
    q, _ = weights(GroupDRO(normalize=True, step_size=0.1), with_counts(5, 5, 5), [0.5, 1.0, 2.0, 0.0])
    assert q[:3].tolist() == pytest.approx((0.3269921902, 0.3316970332, 0.3413107765), abs=1e-6)
    q, _ = weights(GroupDRO(normalize=True), with_counts(5, 5, 5, 5), [0.0] * 4)
    assert q.tolist() == [0.25] * 4


def test_greedy_follows_a_running_mean_that_starts_at_the_first_loss():
    method, data = GreedyGroupDRO(alpha=0.5), with_counts(70, 20, 10)
    state = method.start(None, data)
    q = method.weights(torch.tensor([0.5, 0.0, 2.0, 0.0]), torch.tensor([3.0, 0.0, 1.0, 0.0]), state)
    assert state.average.tolist() == [0.5, 0, 2, 0] and q[2] == pytest.approx(0.2)
    method.weights(torch.tensor([1.5, 1.0, 0.0, 0.0]), torch.tensor([3.0, 1.0, 0.0, 0.0]), state)
    assert state.average.tolist() == pytest.approx([0.6, 1.0, 2.0, 0.0])


def opened(method, model, data):
    state = method.start(model, data)
    return state.begin()


def test_two_hundred_steps_equal_a_reference_in_double_precision():
    data = with_counts(40, 9, 7, 30)
    data = GroupedData(data.inputs, data.labels, data.attributes, data.label_names, data.attribute_names)
    method, generator = GroupDRO(step_size=0.3, adjustment=2.0), torch.Generator().manual_seed(3)
    model = models.mlp(data, hidden=(6,)).double()
    state = opened(method, model, data).double()
    state.log_q.fill_(0.25).log_()
    state.adjustment.copy_(2 / data.counts.double().sqrt())  # `start` rounds both to single precision
    q = [0.25] * 4
    for _ in range(200):
        rows = torch.randint(len(data), (16,), generator=generator)
        batch = data.batch(rows)._replace(inputs=data.inputs[rows].double())
        losses = sample_losses(model, batch)
        means = [losses[batch.groups == g].mean() if (batch.groups == g).any() else losses.sum() * 0 for g in range(4)]
        grown = [w * torch.exp(0.3 * (m.detach() + 2 / n**0.5)) for w, m, n in zip(q, means, data.counts.double())]
        q = [float(each / sum(grown)) for each in grown]
        expected = sum(w * m for w, m in zip(q, means))
        loss = method.loss(model, batch, state)
        gradients = (torch.autograd.grad(each, model.head.weight)[0] for each in (loss, expected))
        torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-9)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.01 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    assert state.log_q.exp().tolist() == pytest.approx(q, rel=1e-6)


def test_no_gradient_flows_through_the_weights(toy):
    model, method = models.mlp(toy.train, hidden=(4,)), GroupDRO(step_size=1.0)
    state = opened(method, model, toy.train)
    method.loss(model, toy.train.batch(torch.arange(64)), state).backward()
    assert not state.log_q.requires_grad and not list(state.parameters())


def test_saved_weights_go_on_where_they_were(toy):
    model, method, batch = models.linear(toy.train), GroupDRO(step_size=0.5), toy.train.batch(torch.arange(64))
    state = opened(method, model, toy.train)
    method.loss(model, batch, state)
    fresh = opened(method, model, toy.train)
    fresh.load_state_dict(state.state_dict())
    assert method.loss(model, batch, state) == method.loss(model, batch, fresh) and fresh.log_q.std() > 0


def test_a_loss_that_is_not_finite_names_its_groups(toy):
    model, method = models.linear(toy.train), GroupDRO()
    batch = toy.train.batch(torch.arange(0, 400, 3))
    batch.inputs[batch.groups == 2] = torch.nan
    state = opened(method, model, toy.train)
    with pytest.raises(FloatingPointError, match="the loss of class 1, left is not finite; lower lr"):
        method.loss(model, batch, state)
    assert torch.isfinite(state.log_q).all()


def test_an_empty_group_has_no_weight_and_a_single_group_is_plain_training(toy):
    data = with_counts(20, 0, 10, 30)
    run = train(models.linear(data), data, GroupDRO(step_size=0.5), epochs=2, batch_size=12)
    assert run.state.log_q.exp()[1] == 0 and run.state.log_q.exp().sum() == pytest.approx(1)
    alone = toys.imbalanced(n=64, minority=0.5).train
    alone = GroupedData(alone.inputs, alone.labels * 0, alone.attributes, ("one", "two"), ("any",))
    start = models.linear(alone)
    dro = GroupDRO(sampling="plain", step_size=1.0)
    plain, robust = (train(start, alone, how, epochs=2, batch_size=16).model for how in (ERM(), dro))
    torch.testing.assert_close(robust.head.weight, plain.head.weight)


def test_plain_batches_without_the_rare_groups_are_mentioned():
    data = with_counts(500, 3, 400, 60)
    with pytest.warns(
        UserWarning, match="the smallest group has 3 of 963 samples, so many batches of 32 hold none of it"
    ):
        GroupDRO(sampling="plain").batches(data, 32, seed=0, epoch=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GroupDRO(sampling="plain").batches(data, 512, seed=0, epoch=1)
        batches = GroupDRO().batches(data, 32, seed=0, epoch=1)
    assert all(torch.bincount(data.groups[batch], minlength=4).tolist() == [8] * 4 for batch in batches)


@pytest.mark.parametrize("method", [GroupDRO(step_size=0.5), GreedyGroupDRO()])
def test_an_onlooker_sees_the_weights_of_every_step_and_changes_nothing(toy, method):
    start, trace = models.linear(toy.train), []

    def look(model, batch, state, loss):
        trace.append((state.used, state.means, loss))

    runs = [train(start, toy.train, method, epochs=2, batch_size=100, on_step=f).model for f in (None, look)]
    assert torch.equal(runs[0].head.weight, runs[1].head.weight)
    q, means, losses = (torch.stack(part) for part in zip(*trace))
    torch.testing.assert_close((q * means).sum(1), losses)
    assert q.shape == means.shape and q.shape[1] == 4 and torch.allclose(q.sum(1), torch.ones(len(q)))


class Descending(GroupDRO):
    """min: wrong, the sign is flipped and the weights flee from high losses."""

    def weights(self, means, counts, state):
        return super().weights(-means - 2 * state.adjustment, counts, state)


class Unmoved(GroupDRO):
    """min: wrong, the weights stay where they start."""

    def weights(self, means, counts, state):
        return state.log_q.exp()


@pytest.mark.parametrize(
    "wrong, claim, verdict",
    [
        (Descending, "B05.4", "refuted"),
        (Unmoved, "B05.2", "refuted"),  # the average of a training that converges is no better by ten points
    ],
)
def test_a_wrong_implementation_turns_a_claim(verdict_with, wrong, claim, verdict):
    assert verdict_with(GroupDROLesson, wrong, claim, seeds=5) == verdict


def test_frozen_weights_are_group_dro_with_a_step_size_of_zero():
    """Their loss is the mean of the group means; of the whole data, that is the re-weighted loss of lecture 01."""
    data = with_counts(40, 9, 7, 30)
    model, batch = models.linear(data), data.batch(torch.arange(86))
    frozen, weights = FrozenWeights(step_size=1.0), LossReweighting()
    state = opened(frozen, model, data)
    found = [frozen.loss(model, batch, state) for _ in range(3)]
    assert torch.equal(found[0], found[2]) and state.used.tolist() == [0.25] * 4
    torch.testing.assert_close(found[0], weights.loss(model, batch, opened(weights, model, data)))
    assert group_losses(model, data).mean().item() == pytest.approx(found[0].item(), rel=1e-5)


def test_a_blind_adjustment_is_a_ramp_that_no_loss_changes():
    """C = 2, n = (100, 25, 4): after three steps of 0.1, q is proportional to exp(0.3 · 2 / √n)."""
    data, method = with_counts(100, 25, 4), BlindAdjustment(adjustment=2.0, step_size=0.1)
    expected = torch.softmax(0.6 / torch.tensor([10.0, 5.0, 2.0]), 0)
    for losses in ([0.5, 1.0, 2.0, 0.0], [9.0, 0.0, 0.0, 0.0]):
        state = method.start(None, data)
        for _ in range(3):
            q = method.weights(torch.tensor(losses), torch.ones(4), state)
        assert torch.allclose(q[:3], expected, atol=1e-6) and q[3] == 0


def test_shuffled_groups_keep_images_labels_and_counts(digits):
    wrong = shuffled_groups(0).train
    assert torch.equal(wrong.inputs, digits.train.inputs) and torch.equal(wrong.labels, digits.train.labels)
    assert wrong.counts_by("attribute").tolist() == digits.train.counts_by("attribute").tolist()
    share = (wrong.attributes == wrong.labels).float().mean()
    assert 0.4 < share < 0.6


def test_only_the_blue_digits_are_under_noise_and_no_group_is_rare():
    clean, hard = colored_digits(aligned_share=0.5, seed=0), unequally_hard(0)
    for before, after in zip(clean, hard):
        blue = before.attributes == 1
        assert torch.equal(before.inputs[~blue], after.inputs[~blue]) and torch.equal(before.groups, after.groups)
        assert (before.inputs[blue] != after.inputs[blue]).float().mean() > 0.5
    assert hard.train.counts.tolist() == [750] * 4


def test_a_game_tells_of_the_last_step_and_of_the_average_of_all(digits):
    start, seen = models.linear(digits.train, seed=0), []
    run = train(
        start,
        digits.train,
        FrozenWeights(),
        epochs=2,
        seed=0,
        on_step=lambda model, *_: seen.append([each.detach().clone() for each in model.parameters()]),
    )
    average = models.linear(digits.train)
    with torch.no_grad():
        for mean, *each in zip(average.parameters(), *seen):
            mean.copy_(torch.stack(each).mean(0))
    found = play(FrozenWeights(), "linear", 0, (1, 2))
    assert list(found) == [1, 2] and found[2]["weight"] == 0.25
    assert found[2]["loss"] == pytest.approx(group_losses(run.model, digits.train).max().item(), rel=1e-5)
    for name, model in ("", run.model), ("average, ", average):
        assert found[2][f"{name}test"] == pytest.approx(evaluate(model, digits.test).worst_group.value, abs=0.008)
    assert play(ERM(), "linear", 0, (1,))[1]["weight"] == 0  # plain training has no weights


def test_a_span_is_the_best_cell_minus_the_least(monkeypatch):
    class Cell(SimpleNamespace):
        def at(self, epochs):
            return self

        def value(self, name, seed):
            return {"0.1": self.high, "1": self.high / 2, "plain training": 0.5}[name]

    lesson = GroupDROLesson(seeds=2)
    monkeypatch.setattr(lesson, "mapped", lambda rate, decay: Cell(high=0.6 if decay else 0.8))
    assert lesson.span(0, 5, ["0.1"]) == pytest.approx(0.2) and lesson.span(0, 5, ["0.1", "1"]) == pytest.approx(0.5)
    assert lesson.spans_more(0, epochs=5, step_size="0.1", against="plain training") == pytest.approx(0.2)


def test_the_map_has_a_row_for_each_control_and_step_size():
    table = pd.DataFrame(
        [
            dict(method=method, decay=decay, rate=rate, value=value + rate + decay / 100)
            for method, value in (("plain training", 0.1), ("0.1", 0.5))
            for decay in (0.0, 10.0)
            for rate in (0.001, 0.003)
        ]
    )
    axis = pictures.cells(table).axes[0]
    assert axis.images[0].get_array()[1].tolist() == pytest.approx([0.501, 0.503, 0.601, 0.603])
    assert [text.get_text() for text in axis.get_yticklabels()] == ["plain training", "η = 0.1"]


@pytest.mark.slow
def test_pictures_of_the_lecture(digits):
    plain, frozen = pictures.losses_by_epoch(digits.train, epochs=2).axes
    assert max(line.get_ydata()[-1] for line in plain.lines) > 3 * max(line.get_ydata()[-1] for line in frozen.lines)
    for axis in pictures.weights_by_step(digits.train, (0.01, 1.0), epochs=2).axes:
        assert sum(line.get_ydata() for line in axis.lines[:4]) == pytest.approx(1.0)
    figure = pictures.cycles(digits.train, epochs=2)
    assert all(len(line.get_xdata()) == 12 for line in figure.axes[0].lines) and "average" in figures.alt_text(figure)
