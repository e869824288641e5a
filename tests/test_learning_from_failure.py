"""Learning from failure: a twin that leaves out what it cannot fit, and weights by relative difficulty."""

import pytest
import torch
import torch.nn.functional as F

from debias_course import models, train
from debias_course.data import GroupedData, colored_digits, toys
from debias_course.methods import ERM, LearningFromFailure
from debias_course.methods.partners.learning_from_failure import (
    LossMemory,
    generalised_cross_entropy,
    relative_difficulty,
)

SPLITS = toys.shortcut(n=120, seed=1)
HOW = dict(epochs=3, batch_size=30, lr=0.02)
GENERATOR = torch.Generator().manual_seed(0)


def test_the_generalised_cross_entropy_by_hand():
    """p = 0.25 and q = 0.5: (1 - 0.5) / 0.5 = 1."""
    losses = -torch.tensor([0.25, 1.0, 0.81]).log()
    torch.testing.assert_close(generalised_cross_entropy(losses, 0.5), torch.tensor([1.0, 0.0, 0.2]))
    torch.testing.assert_close(generalised_cross_entropy(losses, 1.0), torch.tensor([0.75, 0.0, 0.19]))
    assert generalised_cross_entropy(losses, 0.0) is losses
    torch.testing.assert_close(generalised_cross_entropy(losses, 1e-6), losses, rtol=1e-3, atol=1e-5)


def test_its_gradient_is_that_of_the_cross_entropy_times_a_power_of_the_probability():
    """Which is the authors' code but for their factor q."""
    logits = 3 * torch.randn(20, 4, generator=GENERATOR)
    labels = torch.arange(20) % 4
    found = logits.clone().requires_grad_()
    generalised_cross_entropy(F.cross_entropy(found, labels, reduction="none"), 0.7).sum().backward()
    theirs = logits.clone().requires_grad_()
    p = theirs.softmax(1).gather(1, labels[:, None])[:, 0].detach()
    (F.cross_entropy(theirs, labels, reduction="none") * p**0.7 * 0.7).sum().backward()
    torch.testing.assert_close(0.7 * found.grad, theirs.grad)


def test_what_is_beyond_hope_has_no_gradient_and_no_infinity():
    losses = torch.tensor([1e4, 0.0], requires_grad=True)
    told = generalised_cross_entropy(losses, 0.7)
    told.sum().backward()
    assert told.tolist() == pytest.approx([1 / 0.7, 0.0]) and losses.grad.tolist() == [0.0, 1.0]


def test_relative_difficulty_by_hand():
    twin, model = torch.tensor([3.0, 1.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    assert relative_difficulty(twin, model).tolist() == pytest.approx([0.75, 0.5, 0.0, 0.5], abs=1e-7)


def four():
    labels = torch.tensor([0, 0, 1, 1])
    return GroupedData(torch.zeros(4, 1), labels, labels, ("a", "b"), ("x", "y"))


def test_running_means_by_hand():
    """First as it is, then 0.7 old + 0.3 new; divided by the largest of the class, of those seen."""
    memory = LossMemory(four(), 2, 0.7)
    first = memory.update(torch.tensor([[2.0, 1.0], [4.0, 3.0]]), torch.tensor([0, 2]))
    assert first.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    then = memory.update(torch.tensor([[1.0, 4.0], [1.0, 1.0]]), torch.tensor([0, 1]))
    assert memory.average[:, 0].tolist() == pytest.approx([0.7 * 2 + 0.3, 0.7 * 4 + 0.3])
    assert memory.average[:, 1].tolist() == [4.0, 1.0] and memory.average[:, 3].tolist() == [0.0, 0.0]
    torch.testing.assert_close(then, torch.tensor([[1.7 / 4, 1.0], [1.0, 1.0 / 3.1]]))
    assert memory.seen.tolist() == [True, True, True, False]


def test_running_means_are_those_of_the_authors():
    """Their update of a mean a: 0.7 a + (1 - 0.7 u) ℓ, with u = 0 the first time and 1 afterwards."""
    data, memory = SPLITS.train, LossMemory(SPLITS.train, 1, 0.7)
    mean, seen = torch.zeros(len(data)), torch.zeros(len(data))
    for _ in range(8):
        rows = torch.randperm(len(data), generator=GENERATOR)[:50]
        losses = torch.rand(50, generator=GENERATOR)
        found = memory.update(losses[None], rows)[0]
        mean[rows] = 0.7 * mean[rows] + (1 - 0.7 * seen[rows]) * losses
        seen[rows] = 1
        for label in range(data.n_labels):
            among = data.labels[rows] == label
            torch.testing.assert_close(found[among], mean[rows][among] / mean[data.labels == label].max())


def test_a_class_without_loss_has_even_weights():
    memory = LossMemory(four(), 2, 0.7)
    told = memory.update(torch.zeros(2, 4), torch.arange(4))
    assert told.tolist() == [[0.0] * 4] * 2 and relative_difficulty(*told).tolist() == [0.5] * 4


def ready(method):
    model = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    return model, method.start(model, SPLITS.train).begin(progress=0.5), SPLITS.train.batch(torch.arange(40))


def test_at_the_start_the_twin_is_the_model_and_all_weights_are_a_half():
    method = LearningFromFailure(q=0.0)
    model, state, batch = ready(method)
    plain = ERM().loss(model, batch, state)
    torch.testing.assert_close(method.loss(model, batch, state), 1.5 * plain)
    assert state.weights.tolist() == pytest.approx([0.5] * 40)


def test_each_loss_moves_its_own_network_only_and_weights_are_numbers():
    method = LearningFromFailure()
    model, state, batch = ready(method)
    with torch.no_grad():
        state.partner.head.weight.mul_(3)
    method.loss(model, batch, state).backward()
    twin, own = (F.cross_entropy(net(batch.inputs), batch.labels, reduction="none") for net in (state.partner, model))
    expected = torch.autograd.grad((state.weights.detach() * own).mean(), list(model.parameters()))
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), expected))
    expected = torch.autograd.grad(generalised_cross_entropy(twin, 0.7).mean(), list(state.partner.parameters()))
    assert all(torch.equal(p.grad, g) for p, g in zip(state.partner.parameters(), expected))
    assert not state.weights.requires_grad


def test_the_twin_of_a_q_of_zero_is_plain_training_to_the_bit():
    model = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    twin = train(model, SPLITS.train, LearningFromFailure(q=0.0), **HOW).state.partner
    plain = train(model, SPLITS.train, ERM(), **HOW).model
    assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), plain.parameters()))


@pytest.mark.slow
def test_those_who_conflict_with_the_shortcut_weigh_more():
    """Digits of one colour each but for 30 of 3,000: in the twelfth epoch they count three times as much, or more."""
    data, weights = colored_digits(classes=10, aligned_share=0.99, seed=0).train, {}

    def look(model, batch, state, loss):
        if state.epoch == 12:
            weights.update(zip(batch.indices.tolist(), state.weights.tolist()))

    train(models.cnn(data, seed=0), data, LearningFromFailure(), epochs=12, on_step=look)
    found = torch.tensor([weights[row] for row in range(len(data))])
    conflicting = data.labels != data.attributes
    assert float(found[conflicting].mean()) > 3 * float(found[~conflicting].mean())
