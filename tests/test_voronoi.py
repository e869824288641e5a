"""Voronoi cells: where a plain model errs most deeply, its predictions are the bias that a second one unlearns."""

import math

import pytest
import torch
from torch import nn

from debias_course import contexts, models, train
from debias_course.data import toys
from debias_course.evaluation import predict
from debias_course.methods import ERM, Unsuitable, VoronoiAlignment
from debias_course.methods.partners import networks
from debias_course.methods.partners.voronoi import alignment_weights, centroids, distances, information

SPLITS = toys.shortcut(n=120, seed=1)
HOW = dict(epochs=3, batch_size=30, lr=0.02)
GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.tensor([0, 0, 0, 1, 1, 1])
PREDICTED = torch.tensor([0, 0, 1, 1, 1, 0])
FEATURES = torch.tensor([[1.0, 1], [1, -1], [4, 7], [3, 1], [3, -1], [0, 2]])


def test_centroids_by_hand():
    """Those who are right: (1, ±1) of class 0, (3, ±1) of class 1."""
    found = centroids(FEATURES, LABELS, LABELS == PREDICTED, 3)
    assert found[:2].tolist() == [[1.0, 0.0], [3.0, 0.0]] and found[2].isnan().all()


def test_distances_by_hand():
    """The bisector of (1, 0) and (3, 0) is x = 2; the centroids are 2 from 0 on average."""
    found = distances(FEATURES, LABELS, PREDICTED, torch.tensor([[1.0, 0], [3.0, 0]]))
    assert found[[2, 5]].tolist() == [2 / 2, 2 / 2] and found[[0, 1, 3, 4]].isnan().all()
    off = distances(FEATURES + 1, LABELS, PREDICTED, torch.tensor([[1.0, 0], [3.0, 0]]))
    assert off[[2, 5]].tolist() == [3 / 2, 1 / 2]


def test_a_distance_is_that_to_the_plane_between_two_centroids():
    """Whose points are equally far from both: going there and measuring is the same."""
    centers = torch.randn(3, 5, generator=GENERATOR, dtype=torch.float64)
    z = torch.randn(4, 5, generator=GENERATOR, dtype=torch.float64)
    labels, predicted = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 2, 0, 2])
    found = distances(z, labels, predicted, centers) * centers.norm(dim=1).mean()
    for i, (y, j) in enumerate(zip(labels, predicted)):
        direction = (centers[j] - centers[y]) / (centers[j] - centers[y]).norm()
        signed = (z[i] - (centers[j] + centers[y]) / 2) @ direction
        foot = z[i] - signed * direction
        assert float((foot - centers[j]).norm()) == pytest.approx(float((foot - centers[y]).norm()))
        assert float(found[i]) == pytest.approx(float((z[i] - foot).norm()))


def test_a_class_that_nobody_is_right_about_has_no_cell():
    centers = torch.tensor([[1.0, 0], [3.0, 0], [math.nan, math.nan]])
    found = distances(FEATURES, torch.tensor([0, 0, 0, 2, 1, 1]), torch.tensor([0, 2, 1, 1, 1, 0]), centers)
    assert found.isnan().tolist() == [True, True, False, True, True, False] and found[2] == found[5] == 1.0


def test_weights_by_hand():
    """Four of class 0, of whom one is taken for 1; two of class 1: half as many are taken for it."""
    labels, bias = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([0, 0, 0, 1, 1, 1])
    assert alignment_weights(labels, bias, 2).tolist() == [1, 1, 1, 2, 2, 2]


def test_weights_are_those_of_the_authors_where_theirs_are_not_all_one():
    """Per class, ρ_c = (n_c - taken for c) / n_c; one-hot sums as in their code."""
    labels = torch.arange(300) % 3
    bias = labels.where(torch.rand(300, generator=GENERATOR) < 0.8, torch.randint(3, (300,), generator=GENERATOR))
    taken = nn.functional.one_hot(torch.where(labels == bias, 3, bias), 4)[:, :3].sum(0)
    rho = (100 - taken) / 100
    expected = torch.where(labels == bias, (1 / rho)[labels], (1 / (1 - rho))[bias])
    torch.testing.assert_close(alignment_weights(labels, bias, 3), expected)
    misaligned = labels != bias
    assert float(expected[misaligned].sum()) == pytest.approx(300, rel=1e-5)  # as much as all of a class for each bias


def test_weights_are_finite_and_positive_whatever_the_bias():
    for labels, bias in ((0, 0, 1), (1, 1, 0)), ((0, 0, 0), (1, 1, 1)), ((0, 1, 2), (0, 1, 2)), ((0, 1), (2, 2)):
        found = alignment_weights(torch.tensor(labels), torch.tensor(bias), 3)
        assert torch.isfinite(found).all() and (found > 0).all()
    assert alignment_weights(LABELS, LABELS, 2).tolist() == [1.0] * 6


def test_information_by_hand():
    """Sure and always as the bias says: all of it. The same of everybody: none. In between, by the sum."""
    bias, everybody = torch.tensor([0, 1, 0, 1]), torch.ones(4, dtype=torch.bool)
    sure = torch.tensor([[99.0, 0], [0, 99], [99, 0], [0, 99]])
    assert float(information(sure, bias, everybody)) == pytest.approx(1.0)
    assert float(information(sure.flip(1), bias, everybody)) == pytest.approx(1.0)  # always wrong tells as much
    assert float(information(torch.ones(4, 2), bias, everybody)) == pytest.approx(0.0, abs=1e-6)
    half = torch.tensor([[0.75, 0.25], [0.25, 0.75]] * 2).log()
    by_hand = (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)) / math.log(2)
    assert float(information(half, bias, everybody)) == pytest.approx(by_hand)


def test_information_is_of_those_that_are_counted():
    logits, bias = torch.randn(8, 3, generator=GENERATOR), torch.arange(8) % 3
    some = torch.tensor([True, False] * 4)
    all_of_some = information(logits[some], bias[some], torch.ones(4, dtype=torch.bool))
    torch.testing.assert_close(information(logits, bias, some), all_of_some)
    for few in (torch.zeros(8, dtype=torch.bool), torch.arange(8) == 3):
        logits.grad = None
        told = information(logits.requires_grad_(), bias, few)
        told.backward()
        assert float(told.detach()) == pytest.approx(0, abs=1e-6) and float(logits.grad.abs().max()) < 1e-6


def ready(method):
    model = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    with contexts.isolated_randomness(0):
        state = method.start(model, SPLITS.train).begin(progress=0.5)
    state.bias.copy_(SPLITS.train.attributes)
    state.weights.copy_(alignment_weights(SPLITS.train.labels, state.bias, 2))
    return model, state, SPLITS.train.batch(torch.arange(40))


def test_the_first_training_is_watched_after_every_epoch():
    """By hand: plain trainings of one epoch more each, whose errors are measured; the deepest tells the bias."""
    method = VoronoiAlignment(first_epochs=5, watched_from=2)
    start, data = models.mlp(SPLITS.train, hidden=(8,), seed=1), SPLITS.train
    state = train(start, data, method, **HOW).state
    depth, said = [math.nan], [data.labels]
    for epochs in range(2, 6):
        model = train(start, data, ERM(), **HOW | dict(epochs=epochs)).model
        with torch.no_grad():
            z, predicted = model.features(data.inputs), predict(model, data).argmax(1)
        far = distances(z, data.labels, predicted, centroids(z, data.labels, predicted == data.labels, 2))
        depth.append(float(far[predicted != data.labels].mean()))
        said.append(predicted)
    assert state.depth.tolist() == pytest.approx(depth, rel=1e-4, nan_ok=True)
    best = max(range(1, 5), key=lambda place: depth[place])
    assert int(state.best) == best + 1 and torch.equal(state.bias, said[best])
    torch.testing.assert_close(state.weights, alignment_weights(data.labels, said[best], 2))


def test_a_kept_first_training_tells_the_same():
    start, method = models.mlp(SPLITS.train, hidden=(8,), seed=1), VoronoiAlignment(first_epochs=4)
    runs = [train(start, SPLITS.train, method, **HOW) for _ in "ab"]
    for kept in "bias", "weights", "depth", "best":
        assert torch.equal(*(getattr(run.state, kept).nan_to_num(-1) for run in runs))
    assert torch.equal(runs[0].model.head.weight, runs[1].model.head.weight)


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_a_first_model_without_errors_leaves_plain_training_to_the_bit(strength):
    class Faultless(VoronoiAlignment):
        """min: as if nobody had been misclassified."""

        def start(self, model, data):
            state = super().start(model, data)
            state.bias.copy_(data.labels)
            state.weights.copy_(alignment_weights(data.labels, state.bias, 2))
            return state

    start = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    told = train(start, SPLITS.train, Faultless(first_epochs=1, strength=strength), **HOW).model
    plain = train(start, SPLITS.train, ERM(), **HOW).model
    assert all(torch.equal(a, b) for a, b in zip(told.parameters(), plain.parameters()))


def test_the_loss_by_hand_and_whom_it_moves():
    """The head learns from features that stand still; the features unlearn what a head that stands still reads."""
    method = VoronoiAlignment(first_epochs=2, strength=3.0)
    model, state, batch = ready(method)
    bias, misaligned = state.bias[:40], state.bias[:40] != batch.labels
    assert 2 < int(misaligned.sum()) < 38
    z = model.features(batch.inputs)
    losses = nn.functional.cross_entropy(model.head(z), batch.labels, reduction="none")
    risk, read = (state.weights[:40] * losses).mean(), state.head(z)
    told, known = nn.functional.cross_entropy(state.head(z.detach()), bias), information(read, bias, misaligned)
    loss = method.loss(model, batch, state)
    torch.testing.assert_close(loss, risk + told + 3 * known)
    loss.backward()
    expected = torch.autograd.grad(told, list(state.head.parameters()))
    torch.testing.assert_close([p.grad for p in state.head.parameters()], list(expected))
    expected = torch.autograd.grad(risk + 3 * known, list(model.parameters()))
    torch.testing.assert_close([p.grad for p in model.parameters()], list(expected))


def test_a_batch_without_misaligned_samples_makes_its_weighted_step():
    method = VoronoiAlignment(first_epochs=2)
    model, state, batch = ready(method)
    aligned = SPLITS.train.batch((state.bias == SPLITS.train.labels).nonzero().flatten()[:20])
    method.loss(model, aligned, state).backward()
    losses = nn.functional.cross_entropy(model(aligned.inputs), aligned.labels, reduction="none")
    expected = torch.autograd.grad((state.weights[aligned.indices] * losses).mean(), list(model.parameters()))
    torch.testing.assert_close([p.grad for p in model.parameters()], list(expected))


def test_features_of_any_network_will_do_and_none_will_not():
    data = SPLITS.train
    assert networks.feature_width(models.mlp(data, hidden=(8, 5)), data) == 5
    with pytest.raises(Unsuitable, match="the distance from a cell reads the features of a model, and Linear has no"):
        train(nn.Linear(2, 2), data, VoronoiAlignment(), epochs=1)
