"""Lecture 02: sampling, at the level of the epoch and of the batch."""

import pytest
import torch

from debias_course import models, train
from debias_course.data import GroupedData
from debias_course.lectures.sampling.measurements import SamplingLesson
from debias_course.method import sample_losses
from debias_course.methods import BatchSampling, EpochSampling, OverSampling, UnderSampling
from debias_course.methods.sampling import draw_batches, draw_epoch, quotas, shuffled_within


def with_counts(*counts, attributes=2):
    groups = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    groups = groups[torch.randperm(len(groups), generator=torch.Generator().manual_seed(1))]
    inputs = torch.randn(len(groups), 3, generator=torch.Generator().manual_seed(0))
    names = tuple(f"label {i}" for i in range(len(counts) // attributes)), tuple(f"a{i}" for i in range(attributes))
    return GroupedData(inputs, groups // attributes, groups % attributes, *names)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def count(data, indices):
    return torch.bincount(data.groups[indices], minlength=data.n_groups).tolist()


@pytest.mark.parametrize("replacement", [False, True])
def test_an_epoch_has_exactly_the_counts_asked_for(replacement):
    data = with_counts(50, 7, 3, 20)
    order, counts = data.members("group")
    chosen = draw_epoch(order, counts, torch.tensor([10, 20, 0, 20]), generator=seeded(), replacement=replacement)
    assert count(data, chosen) == [10, 20, 0, 20]


def test_copies_differ_in_number_by_one_at_most_and_leave_nobody_out():
    data = with_counts(50, 7, 3, 20)
    order, counts = data.members("group")
    uses = torch.bincount(draw_epoch(order, counts, torch.tensor([50] * 4), generator=seeded()), minlength=len(data))
    for group, (low, high) in enumerate([(1, 1), (7, 8), (16, 17), (2, 3)]):
        used = uses[data.groups == group]
        assert used.min() == low and used.max() == high


@pytest.mark.parametrize("replacement", [False, True])
def test_every_member_of_a_population_is_drawn_equally_often(replacement):
    """Chi-square over 400 epochs of 5 of 20 members; 43.8 is the 0.999 point with 19 degrees of freedom."""
    data = with_counts(20, 20)
    order, counts = data.members("group")
    generator = seeded(5)
    draws = [
        draw_epoch(order, counts, torch.tensor([5, 0]), generator=generator, replacement=replacement)
        for _ in range(400)
    ]
    seen = torch.bincount(torch.cat(draws), minlength=40)[data.groups == 0].double()
    assert ((seen - 100) ** 2 / 100).sum() < 43.8


def test_an_epoch_is_shuffled_not_sorted_by_population():
    data = with_counts(500, 500)
    order, counts = data.members("group")
    first = data.groups[draw_epoch(order, counts, counts, generator=seeded())][:200]
    assert 70 < first.sum() < 130


def test_shuffled_within_keeps_every_population_together():
    order, counts = torch.tensor([4, 2, 0, 1, 3]), torch.tensor([3, 0, 2])
    mixed = [shuffled_within(order, counts, generator=seeded(s)).tolist() for s in range(20)]
    assert all(set(m[:3]) == {4, 2, 0} and set(m[3:]) == {1, 3} for m in mixed) and len(set(map(tuple, mixed))) > 4


def test_members_are_sorted_by_population():
    data = with_counts(4, 1, 0, 2)
    for by, size in ("group", [4, 1, 0, 2]), ("label", [5, 2]), ("attribute", [4, 3]):
        order, counts = data.members(by)
        ids = {"group": data.groups, "label": data.labels, "attribute": data.attributes}[by]
        assert counts.tolist() == size and ids[order].tolist() == sorted(ids.tolist())


@pytest.mark.parametrize(
    "method, expected",
    [
        (OverSampling(), [50, 50, 50, 50]),
        (OverSampling(repeats="random"), [50, 50, 50, 50]),
        (UnderSampling(), [3, 3, 3, 3]),
        (UnderSampling(subset="fixed"), [3, 3, 3, 3]),
        (EpochSampling(counts=(1, 2, 3, 4)), [1, 2, 3, 4]),
        (OverSampling(counts=(9, 9, 0, 1)), [9, 9, 0, 1]),
    ],
)
def test_targets(method, expected):
    data = with_counts(50, 7, 3, 20)
    chosen = torch.cat(list(method.batches(data, 16, seed=0, epoch=1)))
    assert count(data, chosen) == expected


def test_by_label_and_attribute_even_out_other_populations():
    data = with_counts(50, 7, 3, 20)
    labels = data.labels[torch.cat(list(OverSampling(by="label").batches(data, 16, seed=0, epoch=1)))]
    assert torch.bincount(labels).tolist() == [57, 57]
    attributes = data.attributes[torch.cat(list(UnderSampling(by="attribute").batches(data, 16, seed=0, epoch=1)))]
    assert torch.bincount(attributes).tolist() == [27, 27]


def test_a_fixed_subset_stays_and_a_redrawn_one_sees_everybody():
    data = with_counts(50, 10, 10, 20)

    def epochs(method):
        return [set(torch.cat(list(method.batches(data, 16, seed=0, epoch=e))).tolist()) for e in range(1, 40)]

    fixed, redrawn = epochs(UnderSampling(subset="fixed")), epochs(UnderSampling())
    assert all(each == fixed[0] for each in fixed) and len(fixed[0]) == 40
    assert set.union(*redrawn) == set(range(90))
    orders = [UnderSampling(subset="fixed").batches(data, 16, seed=0, epoch=e)[0].tolist() for e in (1, 2)]
    assert orders[0] != orders[1]


@pytest.mark.parametrize("method", [OverSampling(), UnderSampling(), BatchSampling()])
def test_indices_depend_on_seed_and_epoch_and_on_nothing_else(method):
    data = with_counts(50, 7, 3, 20)
    first = torch.cat(list(method.batches(data, 16, seed=1, epoch=5)))
    torch.rand(3, generator=seeded())
    method.batches(data, 16, seed=1, epoch=4)
    assert torch.equal(first, torch.cat(list(method.batches(data, 16, seed=1, epoch=5))))
    assert not torch.equal(first, torch.cat(list(method.batches(data, 16, seed=2, epoch=5))))


@pytest.mark.parametrize(
    "shares, size, expected",
    [
        ((1 / 3, 1 / 3, 1 / 3), 32, [11, 11, 10]),
        ((0.7, 0.2, 0.1), 32, [23, 6, 3]),
        ((0.5, 0.5), 7, [4, 3]),
        ((1.0, 0.0, 0.0), 5, [5, 0, 0]),
    ],
)
def test_quotas_are_largest_remainders_and_rotate(shares, size, expected):
    shares = torch.tensor(shares, dtype=torch.float64)
    seats = quotas(shares, size, 60)
    assert seats[0].tolist() == expected and (seats.sum(1) == size).all() and (seats >= 0).all()
    exact = torch.arange(1, 61)[:, None] * size * shares
    assert (seats.cumsum(0) - exact).abs().max() < 1 + 1e-6
    assert (seats - shares * size).abs().max() < 1 + 1e-6


def test_random_shares_stay_within_a_seat():
    generator = seeded(3)
    for size in (8, 31, 128):
        shares = torch.rand(5, generator=generator, dtype=torch.float64) + 0.2
        shares /= shares.sum()
        seats = quotas(shares, size, 100)
        exact = torch.arange(1, 101)[:, None] * size * shares
        assert (seats.sum(1) == size).all() and (seats.cumsum(0) - exact).abs().max() < 1.5


@pytest.mark.parametrize("length, batches", [("data", 5), ("all", 13), ("shortest", 1)])
def test_every_batch_has_its_shares(length, batches):
    data = with_counts(50, 7, 3, 20)
    drawn = BatchSampling(length=length).batches(data, 16, seed=0, epoch=1)
    assert len(drawn) == batches and all(count(data, batch) == [4, 4, 4, 4] for batch in drawn)
    if length == "all":
        assert set(torch.cat(list(drawn)).tolist()) == set(range(80))
    uneven = BatchSampling(shares=(0.5, 0.25, 0.0, 0.25)).batches(data, 16, seed=0, epoch=1)
    assert all(count(data, batch) == [8, 4, 0, 4] for batch in uneven)


def test_batches_by_hand():
    order, counts, seats = torch.tensor([4, 7, 9]), torch.tensor([2, 1]), torch.tensor([[2, 1], [1, 1], [1, 1]])
    queue = shuffled_within(torch.tensor([4, 7, 4, 7, 9, 9, 9]), torch.tensor([2, 2, 1, 1, 1]), generator=seeded(5))
    assert queue.tolist() == [7, 4, 4, 7, 9, 9, 9]
    batches = draw_batches(order, counts, seats, generator=seeded(5))
    assert [batch.tolist() for batch in batches] == [[7, 4, 9], [4, 9], [7, 9]]


def test_a_population_runs_through_a_permutation_before_it_repeats():
    data = with_counts(5, 3)
    order, counts = data.members("group")
    batches = draw_batches(order, counts, torch.full((10, 2), 2), generator=seeded())
    for group, size in enumerate([5, 3]):
        queue = torch.cat([batch[data.groups[batch] == group] for batch in batches])
        for start in range(0, len(queue) - size + 1, size):
            assert sorted(queue[start : start + size].tolist()) == (data.groups == group).nonzero().flatten().tolist()


@pytest.mark.parametrize(
    "method, sentence",
    [
        (OverSampling(), r"group 'label 0, a1' has no example; sampling by group needs one of each"),
        (UnderSampling(), r"group 'label 0, a1' has no example; sampling by group needs one of each"),
        (BatchSampling(), r"group 'label 0, a1' has no example; its share of a batch needs one; set its share to 0"),
        (BatchSampling(shares=(0.5, 0.5)), r"shares are \(0.5, 0.5\); give one number from 0 per group, 4 in all"),
        (BatchSampling(shares=(0.5, 0.0, 0.1, 0.1)), r"with sum 1"),
        (
            BatchSampling(shares=(0.98, 0.0, 0.01, 0.01)),
            r"a batch of 16 has no seat for a share of 0.01; use batch_size=100",
        ),
        (EpochSampling(), r"counts are \(\); give one whole number per group, 4 in all"),
        (EpochSampling(counts=(0, 0, 0, 0)), r"counts are \(0, 0, 0, 0\); .* not all zero"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_remedy(method, sentence):
    with pytest.raises(ValueError, match=sentence):
        method.batches(with_counts(50, 0, 3, 20), 16, seed=0, epoch=1)


def test_a_population_of_which_nothing_is_wanted_may_be_empty():
    data = with_counts(50, 0, 3, 20)
    assert count(data, torch.cat(list(EpochSampling(counts=(5, 0, 5, 5)).batches(data, 16, seed=0, epoch=1)))) == [
        5,
        0,
        5,
        5,
    ]
    batches = BatchSampling(shares=(0.5, 0.0, 0.25, 0.25)).batches(data, 16, seed=0, epoch=1)
    assert all(count(data, batch) == [8, 0, 4, 4] for batch in batches)


def test_more_samples_than_multinomial_can_hold():
    n = 2**24 + 10
    order, counts = torch.arange(n), torch.tensor([n - 10, 10])
    chosen = draw_epoch(order, counts, torch.tensor([1000, 1000]), generator=seeded(), replacement=True)
    assert (chosen >= n - 10).sum() == 1000 and chosen.max() < n
    with pytest.raises(RuntimeError, match=r"2\^24"):
        torch.multinomial(torch.ones(n), 1)


def test_the_mean_over_an_over_sampled_epoch_is_the_mean_of_group_means():
    data = with_counts(6, 2, 1, 3)
    model = models.linear(data)
    everything = data.batch(torch.cat(list(OverSampling().batches(data, 99, seed=0, epoch=1))))
    means = [sample_losses(model, data.batch((data.groups == g).nonzero().flatten())).mean() for g in range(4)]
    assert sample_losses(model, everything).mean().item() == pytest.approx(sum(means).item() / 4, rel=1e-5)


def test_the_training_loop_uses_the_batches_of_the_method(toy):
    seen = []

    class Recorded(EpochSampling):
        def loss(self, model, batch, state):
            seen.append(torch.bincount(batch.groups, minlength=4))
            return super().loss(model, batch, state)

    train(models.linear(toy.train), toy.train, Recorded(counts=(20, 10, 0, 2)), epochs=3, batch_size=8)
    assert sum(seen).tolist() == [60, 30, 0, 6] and len(seen) == 3 * 4


def test_augmentation_changes_training_inputs_only(toy):
    start = models.linear(toy.train)
    plain, zeroed = (
        train(start, toy.train, epochs=3, lr=0.05, augment=how, validation=toy.test) for how in (None, torch.zeros_like)
    )
    assert torch.equal(zeroed.model.head.weight, start.head.weight)
    assert not torch.equal(plain.model.head.weight, start.head.weight)


class Unbalanced(OverSampling):
    """min: wrong, every population is drawn as often as it is large."""

    def targets(self, counts):
        return counts


class OnAverage(BatchSampling):
    """min: wrong, seats are right on average only."""

    def batches(self, data, batch_size, *, seed, epoch):
        drawn = torch.cat(list(super().batches(data, batch_size, seed=seed, epoch=epoch)))
        return drawn[torch.randperm(len(drawn), generator=seeded(seed))].split(batch_size)


@pytest.mark.parametrize("wrong, claim", [(Unbalanced, "L02.1"), (OnAverage, "L02.5")])
def test_a_wrong_implementation_turns_a_claim(verdict_with, wrong, claim):
    assert verdict_with(SamplingLesson, wrong, claim, seeds=8) == "refuted"
