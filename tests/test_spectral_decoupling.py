"""Lecture 06: spectral decoupling. Vectors: worked by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from debias_course import models, train
from debias_course.data import GroupedData
from debias_course.data.biases import colored_mnist
from debias_course.lectures.spectral_decoupling import features
from debias_course.lectures.spectral_decoupling.measurements import SpectralDecouplingLesson
from debias_course.lectures.spectral_decoupling.trainings import LENGTHS, LabelSmoothing, bent, followed, parts
from debias_course.methods import ERM, ColoredMNISTDecoupling, SpectralDecoupling
from debias_course.methods.spectral_decoupling import SCALE, penalty, single_logit

Z = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
LOGITS, LABELS = torch.stack([torch.zeros(3, dtype=torch.float64), Z], 1), torch.tensor([1, 0, 0])


class Fixed(torch.nn.Module):
    """A model that returns its inputs."""

    def forward(self, inputs):
        return inputs


def loss_of(toy, method, logits, labels):
    state = method.start(None, toy.train)
    batch = toy.train.batch(torch.arange(len(labels)))._replace(inputs=logits, labels=labels)
    return method.loss(Fixed(), batch, state).item()


def test_the_penalties_by_hand():
    two = torch.tensor([[2.0, -1.0], [0.5, 0.5]])
    labels = torch.tensor([1, 0])
    assert penalty(two, labels, variant="all").item() == pytest.approx(1.375)
    assert penalty(two, labels, variant="sum").item() == pytest.approx(2.75)
    assert penalty(two, labels, variant="margin").item() == pytest.approx(4.5)
    assert penalty(two, labels, variant="true").item() == pytest.approx(0.625)
    assert penalty(LOGITS, LABELS, variant="margin").item() == pytest.approx(1.75)


def test_the_loss_with_half_lambda_by_hand(toy):
    method = SpectralDecoupling(strength=0.1, variant="margin")
    assert loss_of(toy, SpectralDecoupling(strength=0.0), LOGITS, LABELS) == pytest.approx(0.4714222, abs=1e-6)
    assert loss_of(toy, method, LOGITS, LABELS) == pytest.approx(0.5589222, abs=1e-6)


def test_offsets_and_means_per_class_by_hand(toy):
    """The authors' setting for CelebA: offsets 0.44 and 2.5, a mean per class, 0.1 without the factor ½."""
    how = dict(variant="margin", offsets=(0.44, 2.5))
    assert penalty(LOGITS, LABELS, per_class=True, **how).item() == pytest.approx(1.2886)
    method = SpectralDecoupling(strength=0.2, per_class=True, **how)
    assert loss_of(toy, method, LOGITS, LABELS) == pytest.approx(0.6002822, abs=1e-6)
    one_class = penalty(LOGITS[1:], LABELS[1:], per_class=True, **how)
    assert torch.isfinite(one_class) and one_class.item() == pytest.approx(1.0386)


@pytest.mark.parametrize("strength, z", [(0.001, 5.245186), (0.01, 3.359275), (0.1, 1.633506), (1.0, 0.401058)])
def test_the_logit_of_one_sample_comes_to_rest_where_sigmoid_equals_lambda_z(strength, z):
    logit = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logit], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure():
        optimizer.zero_grad()
        logits = torch.cat([torch.zeros_like(logit), logit], 1)
        one = torch.tensor([1])
        loss = F.cross_entropy(logits, one) + strength / 2 * penalty(logits, one, variant="margin")
        loss.backward()
        return loss

    optimizer.step(closure)
    assert logit.item() == pytest.approx(z, abs=1e-4) and 1 / (1 + math.exp(z)) == pytest.approx(strength * z, rel=1e-4)


def test_the_gradient_is_that_of_the_loss_plus_lambda_z_over_b():
    logits = LOGITS.clone().requires_grad_()
    (0.3 / 2 * penalty(logits, LABELS, variant="sum")).backward()
    assert torch.allclose(logits.grad, 0.3 * LOGITS / 3)


@pytest.mark.parametrize("variant", ["all", "margin", "sum", "true"])
def test_no_strength_is_plain_training_to_the_bit(toy, variant):
    start = models.mlp(toy.train, hidden=(8,))
    method = SpectralDecoupling(strength=0.0, variant=variant)
    plain, decoupled = (train(start, toy.train, how, epochs=2).model for how in (ERM(), method))
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), decoupled.parameters()))


def test_a_strong_penalty_keeps_logits_small(toy):
    start = models.mlp(toy.train, hidden=(8,))
    sizes = [
        train(start, toy.train, how, epochs=20, lr=0.05).model(toy.train.inputs).abs().mean().item()
        for how in (ERM(), SpectralDecoupling(strength=0.1), SpectralDecoupling(strength=2.0))
    ]
    assert sizes[0] > 2 * sizes[1] > 2 * sizes[2]


def test_two_hundred_random_steps_equal_a_reference_in_double_precision(toy):
    generator = torch.Generator().manual_seed(0)
    method = SpectralDecoupling(strength=0.7, variant="true", offsets=(0.5, -0.5))
    for _ in range(200):
        logits = torch.randn(9, 2, dtype=torch.float64, generator=generator) * 3
        labels = torch.randint(2, (9,), generator=generator)
        expected = 0.0
        for row, label in zip(logits.tolist(), labels.tolist()):
            expected += math.log(sum(math.exp(z) for z in row)) - row[label]
            expected += 0.35 * (row[label] - (0.5, -0.5)[label]) ** 2
        assert loss_of(toy, method, logits, labels) == pytest.approx(expected / 9, rel=1e-12)


def test_the_authors_recipe_changes_everything_at_step_450(toy):
    method = ColoredMNISTDecoupling()
    state = method.start(None, toy.train)
    batch = toy.train.batch(torch.arange(3))._replace(inputs=LOGITS, labels=LABELS)
    losses = [method.loss(Fixed(), batch, state).item() for _ in range(452)]
    risk = losses[0] - SCALE * 1.75
    assert risk == pytest.approx(0.4714222, abs=1e-6) and losses[0] == losses[449]
    assert losses[450] == losses[451] == pytest.approx(SCALE * (risk + 1.75))
    fresh = method.start(None, toy.train)
    fresh.load_state_dict(state.state_dict())
    assert method.loss(Fixed(), batch, fresh).item() == losses[451]
    unscaled = ColoredMNISTDecoupling(last_factor=False)
    assert unscaled.loss(Fixed(), batch, fresh).item() == pytest.approx(risk + 1.75)
    factor_only = ColoredMNISTDecoupling(penalised=False)
    assert factor_only.loss(Fixed(), batch, fresh).item() == pytest.approx(SCALE * risk)
    neither = ColoredMNISTDecoupling(penalised=False, last_factor=False)
    assert neither.loss(Fixed(), batch, fresh).item() == pytest.approx(risk)
    three = batch._replace(inputs=torch.zeros(3, 3))
    with pytest.raises(ValueError, match="the recipe is for two classes, not 3; use SpectralDecoupling"):
        method.loss(Fixed(), three, state)


@pytest.mark.parametrize(
    "how, sentence",
    [
        (dict(variant="some"), "variant is 'some'; use one of 'margin', 'all', 'sum', 'true'"),
        (dict(variant="margin"), r"the margin z_1 - z_0 is for two classes, not 3; use variant 'all' or 'true'"),
        (dict(offsets=(1.0, 2.0)), r"offsets are \(1.0, 2.0\); give one number for each of the 3 classes"),
    ],
)
def test_a_penalty_that_makes_no_sense_is_refused(how, sentence):
    with pytest.raises(ValueError, match=sentence):
        penalty(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64), **how)


def test_colored_mnist_is_planted_as_published():
    data = colored_mnist(seed=3)
    assert data.train.inputs.shape == (4000, 2, 14, 14) and len(data.test) == 1000
    agree = (data.train.labels == data.train.attributes).float().mean()
    assert agree == pytest.approx(0.85, abs=1e-3)
    assert (data.test.labels == data.test.attributes).float().mean() == pytest.approx(0.1, abs=2e-3)
    off = data.train.inputs.flatten(2).float().sum(2).gather(1, 1 - data.train.attributes[:, None])
    assert (off == 0).all()
    clean = colored_mnist(seed=3, label_noise=0.0)
    wrong = (clean.train.labels != data.train.labels).float().mean()
    assert wrong == pytest.approx(0.25, abs=1e-3)


def test_a_single_logit_is_the_margin():
    data = colored_mnist().train
    model = single_logit(data, hidden=20, seed=1)
    logits = model(data.batch(torch.arange(5)).inputs)
    assert logits.shape == (5, 2) and (logits[:, 0] == 0).all() and (logits[:, 1] != 0).all()
    assert all((layer.bias == 0).all() for layer in model.modules() if isinstance(layer, torch.nn.Linear))


class Unfelt(SpectralDecoupling):
    """min: wrong, the penalty is added to the loss, but its gradient does not reach the model."""

    def loss(self, model, batch, state):
        return ERM().loss(model, batch, state) + super().loss(model, batch, state).detach()


class TrueOnly(SpectralDecoupling):
    """min: wrong, whatever the variant, only the true logit is held."""

    def loss(self, model, batch, state):
        return SpectralDecoupling(strength=self.strength, variant="true").loss(model, batch, state)


class Votes(torch.nn.Module):
    """The margin of a sample is its first input plus its second."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, 1.0]))

    def forward(self, inputs):
        votes = (self.weight * inputs).sum(1)
        return torch.stack([-votes / 2, votes / 2], 1)


def given(inputs, labels):
    none = torch.zeros(len(labels), dtype=torch.int64)
    return GroupedData(torch.tensor(inputs), torch.tensor(labels), none, ("a", "b"), ("any",))


def test_the_margin_is_split_into_what_shape_and_colour_say():
    """Shape says 1 for the right class, colour 3 for the class whose it is."""
    own, other = given([[1.0, 3.0], [-1.0, -3.0]], [1, 0]), given([[1.0, -3.0], [-1.0, 3.0]], [1, 0])
    shape, colour = parts(Votes(), own, other)
    assert shape.tolist() == [1, 1] and colour.tolist() == [3, 3]


def test_label_smoothing_by_hand(toy):
    smoothed, (first, second) = 0.2, torch.tensor([[2.0, 0.0], [0.0, 0.0]]).log_softmax(1).tolist()
    expected = (-0.9 * first[0] - 0.1 * first[1] - 0.9 * second[1] - 0.1 * second[0]) / 2
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    assert loss_of(toy, LabelSmoothing(strength=smoothed), logits, torch.tensor([0, 1])) == pytest.approx(expected)
    plain = loss_of(toy, ERM(), LOGITS, LABELS)
    assert loss_of(toy, LabelSmoothing(strength=0.0), LOGITS, LABELS) == pytest.approx(plain)


def test_reliance_is_how_far_margins_move_when_a_feature_is_shuffled():
    inputs = torch.randn(400, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 1.0])
    model = Votes()
    model.weight.data = torch.tensor([1.0, 0.0])
    moved = features.reliance(model, inputs)
    assert moved[1] == 0 and moved[0] == pytest.approx(2 * 2 / math.pi**0.5, rel=0.1)  # of two normal draws apart


def test_of_a_linear_model_the_penalty_pulls_by_variance_times_weight():
    inputs = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 1.0])
    model, labels = Votes(), torch.arange(4000) % 2
    before = model.weight.tolist()
    first, second = features.pulls(model, inputs, labels).tolist()
    assert first / second == pytest.approx(4 * 2, rel=0.1)  # the variance, and shuffling moves twice as far
    assert model.weight.tolist() == before


def test_the_twelve_features_are_as_variable_and_as_strong_as_is_said():
    part, variances, strengths = features.twelve_features(3, n=20_000)
    sign = part.labels * 2.0 - 1
    assert torch.allclose(part.inputs.var(0), variances, rtol=0.05)
    found = torch.stack([torch.corrcoef(torch.stack([sign, column]))[0, 1] for column in part.inputs.T])
    assert torch.allclose(found, strengths, atol=0.03)
    assert variances.max() / variances.min() == pytest.approx(100, rel=1e-4)


def test_a_rank_correlation_knows_order_only():
    ladder = torch.tensor([1.0, 2.0, 4.0, 100.0])
    assert features.rank_correlation(ladder, ladder.log()) == pytest.approx(1)
    assert features.rank_correlation(ladder, -ladder) == pytest.approx(-1)


@pytest.mark.slow
def test_trainings_are_noted_at_the_lengths_that_are_asked():
    found = followed(ERM(), "digits 100 %", "linear", 0.0, 3, 0)
    assert list(found) == [each for each in LENGTHS if each <= 3]
    assert found[3]["worst"] < 0.1 and 0.4 < found[3]["shape"] <= 1  # nothing asks for the shape
    assert list(bent(ERM(), 0.5, 150, 0)) == [150]


def test_a_search_takes_the_test_accuracy_of_what_validation_likes_best():
    here = SpectralDecouplingLesson(seeds=[0])
    noted = [
        dict(worst=0.3, validation_worst=0.5, validation_mean=0.6),
        dict(worst=0.9, validation_worst=0.4, validation_mean=0.7),
    ]
    here._once = {
        ("run", ("SD", strength, "digits 95 %", "mlp"), ()): [{1: noted[0], 30: noted[1]}]
        for strength in (0.01, 0.1, 1.0)
    }
    assert here.found_by_search(0, "SD", "worst group", 60) == 0.3
    assert here.found_by_search(0, "SD", "mean", 60) == 0.9
    assert here.found_by_search(0, "SD", "mean", 20) == 0.3  # the later epoch is beyond the budget


@pytest.mark.parametrize("wrong, claim", [(Unfelt, "L06.2"), (TrueOnly, "B06.4")])
def test_a_wrong_implementation_turns_a_claim(verdict_with, wrong, claim):
    """Both make two networks one, which differ in nothing on any seed: then there is no interval."""
    here = SpectralDecouplingLesson(seeds=5).measured(claim)
    assert here.alone(here.at_middle).verdict == "confirmed"
    assert verdict_with(SpectralDecouplingLesson, wrong, claim, seeds=2) == "open"
