"""Lecture 01: loss re-weighting."""

import dataclasses
import warnings

import pytest
import torch
import torch.nn.functional as F

from debias_course import models, train
from debias_course.data import Batch, GroupedData
from debias_course.data.biases import thin
from debias_course.evaluation import predict
from debias_course.lectures.loss_reweighting.measurements import LossReweightingLesson
from debias_course.method import State, sample_losses
from debias_course.methods import ERM, EffectiveNumberWeighting, LossReweighting
from debias_course.methods.reweighting import effective_number, inverse_frequency, normalise

WATERBIRDS = torch.tensor([3498, 184, 56, 1057])
CIFAR_LT = torch.tensor([5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50])


def with_counts(*counts, attributes=2):
    groups = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels, values = groups // attributes, groups % attributes
    inputs = torch.randn(len(groups), 3, generator=torch.Generator().manual_seed(0))
    names = tuple(f"label {i}" for i in range(len(counts) // attributes)), tuple(f"a{i}" for i in range(attributes))
    return GroupedData(inputs, labels, values, *names)


def test_inverse_frequency_normalised_over_samples_and_over_populations():
    raw = inverse_frequency(WATERBIRDS)
    samples, populations = (normalise(raw, WATERBIRDS, over) for over in ("samples", "populations"))
    expected = [0.342696, 6.514946, 21.40625, 1.134106]
    assert samples.tolist() == pytest.approx(expected, abs=1e-6)
    assert populations.tolist() == pytest.approx([0.046628, 0.886448, 2.912613, 0.154311], abs=1e-6)
    assert (samples / populations).tolist() == pytest.approx([7.3495] * 4, abs=1e-4)
    assert (WATERBIRDS * samples).sum() == pytest.approx(WATERBIRDS.sum()) and populations.sum() == pytest.approx(4)
    assert torch.equal(normalise(raw, WATERBIRDS, "none"), raw)


@pytest.mark.parametrize(
    "beta, counts, expected",
    [
        (0.0, WATERBIRDS, [1, 1, 1, 1]),
        (0.9, WATERBIRDS, [0.999314, 0.999314, 1.002058, 0.999314]),
        (0.99, WATERBIRDS, [0.725928, 0.861486, 1.686641, 0.725946]),
        (0.999, WATERBIRDS, [0.153538, 0.885571, 2.732756, 0.228135]),
        (0.9999, WATERBIRDS, [0.054803, 0.887248, 2.896681, 0.161269]),
        (
            0.9999,
            CIFAR_LT,
            [0.050611, 0.0769, 0.121134, 0.195037, 0.318805, 0.52459, 0.868349, 1.442627, 2.409223, 3.992724],
        ),
    ],
)
def test_effective_number_vectors(beta, counts, expected):
    weights = normalise(effective_number(counts, beta), counts, "populations")
    assert weights.tolist() == pytest.approx(expected, abs=1e-6)


def test_effective_number_of_single_counts_and_its_limits():
    assert (1 / effective_number(torch.tensor([1, 2, 100]), 0.99)).tolist() == pytest.approx([1, 1.99, 63.39677])
    assert effective_number(torch.tensor([0, 3]), 0.99)[0] == 0 and inverse_frequency(torch.tensor([0, 3]))[0] == 0
    near = normalise(effective_number(WATERBIRDS, 1 - 1e-9), WATERBIRDS, "samples")
    assert near.tolist() == pytest.approx(
        normalise(inverse_frequency(WATERBIRDS), WATERBIRDS, "samples").tolist(), rel=1e-5
    )


def test_powers_make_one_family():
    assert inverse_frequency(WATERBIRDS, 0.0).tolist() == [1] * 4
    assert (inverse_frequency(WATERBIRDS, 0.5) ** 2).tolist() == pytest.approx(inverse_frequency(WATERBIRDS).tolist())


def test_weights_by_label_and_attribute_are_spread_over_groups():
    data = with_counts(6, 2, 1, 3)
    assert LossReweighting(by="label").weights(data).tolist() == pytest.approx([0.75, 0.75, 1.5, 1.5])
    assert LossReweighting(by="attribute").weights(data).tolist() == pytest.approx([12 / 14, 1.2, 12 / 14, 1.2])
    assert LossReweighting().weights(data).tolist() == pytest.approx([0.5, 1.5, 3.0, 1.0])


def test_full_batch_loss_is_the_mean_of_group_means():
    data = with_counts(6, 2, 1, 3)
    model, method = models.linear(data), LossReweighting()
    batch = data.batch(torch.arange(12))
    loss = method.loss(model, batch, method.start(model, data))
    means = [sample_losses(model, batch)[batch.groups == g].mean() for g in range(4)]
    assert loss.item() == pytest.approx(sum(means).item() / 4, rel=1e-6)


def test_gradient_is_that_of_the_repeated_data_set():
    """Groups of 4 and 2: weighting equals showing every sample of the second group twice."""
    data = with_counts(4, 2, attributes=1)
    repeated = data.subset(torch.tensor([0, 1, 2, 3, 4, 5, 4, 5]))
    model, method = models.linear(data), LossReweighting()
    gradients = []
    for part, how in (data, method), (repeated, ERM()):
        loss = how.loss(model, part.batch(torch.arange(len(part))), how.start(model, part))
        gradients.append(torch.autograd.grad(loss, model.head.weight)[0])
    torch.testing.assert_close(*gradients)


def test_the_mean_divides_by_the_batch_not_by_the_weights():
    logits, labels, weights = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]), torch.tensor([1.0, 3.0])
    losses = F.cross_entropy(logits, labels, reduction="none")
    assert losses.tolist() == pytest.approx([0.1269280, 0.3132617], abs=1e-6)
    state = State(weights=weights)
    ours = LossReweighting().loss(torch.nn.Identity(), Batch(logits, *[labels] * 4, torch.empty(len(labels), 0)), state)
    assert ours.item() == pytest.approx(0.5333566, abs=1e-6)
    assert F.cross_entropy(logits, labels, weight=weights).item() == pytest.approx(0.2666783, abs=1e-6)


@pytest.mark.parametrize(
    "method", [LossReweighting(by="label"), LossReweighting(power=0.0), EffectiveNumberWeighting(beta=0.0)]
)
def test_nothing_to_even_out_is_plain_training_to_the_bit(digits, method):
    """The classes of the coloured digits are alike in size, so weights by label are one; so are those of power 0."""
    part = digits.train.subset(torch.arange(0, 3000, 10))
    start = models.mlp(part, hidden=(8,), seed=3)
    if method.by == "label":
        assert part.counts_by("label")[0] == part.counts_by("label")[1]
    plain, weighted = (train(start, part, how, epochs=2, seed=5).model for how in (ERM(), method))
    for a, b in zip(plain.parameters(), weighted.parameters()):
        assert torch.equal(a, b)


def test_inverse_frequency_does_not_see_the_scale_of_counts():
    small, large = with_counts(3, 1, 1, 2), with_counts(30, 10, 10, 20)
    torch.testing.assert_close(LossReweighting().weights(small), LossReweighting().weights(large))
    effective = EffectiveNumberWeighting(beta=0.9)
    assert not torch.allclose(effective.weights(small), effective.weights(large), atol=1e-3)


def test_an_empty_population_is_refused_and_smoothing_helps():
    data = with_counts(3, 0, 1, 2)
    with pytest.raises(ValueError, match=r"group 'label 0, a1' has no example; weighting by group .* pass smooth=1"):
        LossReweighting().weights(data)
    assert torch.isfinite(LossReweighting(smooth=1).weights(data)).all()
    assert LossReweighting(by="label").weights(data).tolist() == pytest.approx([1, 1, 1, 1])


def test_extreme_weights_warn():
    with pytest.warns(UserWarning, match="the largest weight is 200 times the smallest"):
        LossReweighting().weights(with_counts(200, 200, 200, 1))
    with pytest.warns(UserWarning, match="a smaller beta or smooth > 0 evens this out"):
        EffectiveNumberWeighting().weights(with_counts(200, 200, 200, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        milder = LossReweighting(power=0.5).weights(with_counts(200, 200, 200, 1))
    assert milder.max() < 100 * milder.min()


@pytest.mark.parametrize(
    "setting, sentence",
    [
        (dict(by="colour"), r"LossReweighting.by is 'colour'; use one of 'group', 'label', 'attribute'"),
        (dict(power=-1), r"LossReweighting.power is -1; use a number from 0 to 2"),
        (dict(power=float("nan")), r"LossReweighting.power is nan; use a number"),
        (dict(power="much"), r"LossReweighting.power is 'much'; use a number"),
    ],
)
def test_knobs_refuse_values_out_of_range(setting, sentence):
    with pytest.raises(ValueError, match=sentence):
        LossReweighting(**setting)
    with pytest.raises(ValueError, match=r"EffectiveNumberWeighting.beta is 1.0; use a number from 0 to 0.9999"):
        EffectiveNumberWeighting(beta=1.0)


def test_over_populations_under_sgd_is_a_smaller_learning_rate(digits):
    """Weights that average 1 over populations average r < 1 over samples: SGD takes steps r times as long."""
    part = thin(digits.train, (0.2, 0.2))
    samples, populations = LossReweighting(), LossReweighting(normalize="populations")
    ratio = (populations.weights(part) / samples.weights(part))[0].item()
    assert ratio < 0.5
    start = models.linear(part)
    settings = dict(epochs=3, optimizer="sgd", batch_size=100)
    a = train(start, part, samples, lr=0.01 * ratio, **settings).model
    b = train(start, part, populations, lr=0.01, **settings).model
    torch.testing.assert_close(predict(a, part), predict(b, part), rtol=1e-4, atol=1e-5)


def test_weights_follow_the_declared_fields():
    for kind, own in (LossReweighting, "power"), (EffectiveNumberWeighting, "beta"):
        assert {f.name for f in dataclasses.fields(kind)} == {"by", "normalize", "smooth", own}
    assert [LossReweighting(by=by).needs for by in ("group", "label", "attribute")] == [
        "group labels",
        "nothing",
        "attribute labels",
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inverted(LossReweighting):
    """min (1/B) Σ_i ℓ_i / w: wrong, the large groups count more."""

    def weights(self, data):
        return 1 / super().weights(data)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DividedByWeights(LossReweighting):
    """min Σ_i w ℓ_i / Σ_i w: wrong, the mean that torch's cross-entropy takes."""

    def loss(self, model, batch, state):
        return super().loss(model, batch, state) / state.weights.index_select(0, batch.groups).mean()


@pytest.mark.parametrize(
    "wrong, claim, verdict",
    [
        (Inverted, "L01.1", "refuted"),
        (DividedByWeights, "B01.4", "open"),  # the scale makes no difference on any seed
    ],
)
def test_a_wrong_implementation_turns_a_claim(verdict_with, wrong, claim, verdict):
    assert verdict_with(LossReweightingLesson, wrong, claim, seeds=4) == verdict


def test_smoothing_keeps_the_mean_weight_of_a_sample_at_one():
    data = with_counts(60, 2, 1, 30)
    for smooth in (0, 1, 100):
        assert LossReweighting(smooth=smooth).weights(data)[data.groups].mean() == pytest.approx(1)
