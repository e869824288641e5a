"""Just train twice: whom a first model gets wrong counts more."""

import pytest
import torch

from debias_course import models, train
from debias_course.data import colored_digits, toys
from debias_course.evaluation import predict
from debias_course.methods import ERM, JustTrainTwice
from debias_course.methods.partners.just_train_twice import error_weights, with_copies

SPLITS = toys.shortcut(n=120, seed=1)
HOW = dict(epochs=3, batch_size=30, lr=0.02)
ERRORS = torch.tensor([False, True, False, False, True])


def weights(run):
    return torch.cat([p.flatten() for p in run.model.parameters()])


def test_copies_by_hand():
    assert with_copies(ERRORS, 3).tolist() == [0, 1, 2, 3, 4, 1, 4, 1, 4]
    assert (
        with_copies(ERRORS, 1).tolist() == [0, 1, 2, 3, 4] == with_copies(torch.zeros(5, dtype=torch.bool), 9).tolist()
    )


def test_weights_by_hand():
    """Three of 1 and two of 6 have the mean 3."""
    assert error_weights(ERRORS, 6).tolist() == pytest.approx([1 / 3, 2, 1 / 3, 1 / 3, 2])
    assert error_weights(ERRORS, 1).tolist() == [1.0] * 5


def test_copies_and_weights_are_the_same_mean():
    losses = torch.tensor([0.3, 1.2, 0.1, 0.7, 2.0])
    torch.testing.assert_close(losses[with_copies(ERRORS, 6)].mean(), (error_weights(ERRORS, 6) * losses).mean())


@pytest.mark.parametrize("counted", ["copies", "weights"])
def test_who_counts_once_is_trained_plainly_to_the_bit(counted):
    start = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    twice = train(start, SPLITS.train, JustTrainTwice(upweight=1, counted=counted), **HOW)
    assert torch.equal(weights(twice), weights(train(start, SPLITS.train, ERM(), **HOW)))


def test_the_error_set_is_what_plain_training_gets_wrong_after_so_many_epochs():
    start = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    seen = []
    for epochs in (1, 4):
        run = train(start, SPLITS.train, JustTrainTwice(first_epochs=epochs, upweight=4), **HOW)
        first = train(start, SPLITS.train, ERM(), **HOW | dict(epochs=epochs)).model
        wrong = predict(first, SPLITS.train).argmax(1) != SPLITS.train.labels
        assert torch.equal(run.state.errors, wrong) and wrong.any() and not wrong.all()
        seen.append(int(wrong.sum()))
    assert seen[0] != seen[1]


def test_an_epoch_of_copies_is_longer_and_one_of_weights_is_not():
    start = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    for counted in ("copies", "weights"):
        method, rows = JustTrainTwice(first_epochs=1, upweight=4, counted=counted), []
        look = lambda model, batch, state, loss: rows.append(len(batch.labels))  # noqa: E731, B023
        state = train(start, SPLITS.train, method, **HOW | dict(epochs=1), on_step=look).state
        assert sum(rows) == len(SPLITS.train) + (3 * int(state.errors.sum()) if counted == "copies" else 0)


def test_a_batch_of_weights_is_their_mean():
    start = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    method = JustTrainTwice(first_epochs=1, upweight=4, counted="weights")
    state, batch = method.start(start, SPLITS.train), SPLITS.train.batch(torch.arange(10, 40))
    losses = torch.nn.functional.cross_entropy(start(batch.inputs), batch.labels, reduction="none")
    expected = (error_weights(state.errors, 4)[10:40] * losses).mean()
    torch.testing.assert_close(method.loss(start, batch, state), expected)


@pytest.mark.slow
def test_the_first_model_errs_on_those_who_conflict_with_the_shortcut():
    """Digits of one colour each but for 30 of 3,000: most of them are in E, and ten times as frequent there."""
    data = colored_digits(classes=10, aligned_share=0.99, seed=0).train
    errors = JustTrainTwice(first_epochs=5).start(models.cnn(data, seed=0), data).errors
    conflicting = data.labels != data.attributes
    assert float(errors[conflicting].float().mean()) > 0.5 and float(conflicting[errors].float().mean()) > 0.1
