"""ReBias: the independence criterion, and a near-sighted partner that learns in turns with the model."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from debias_course import models, train
from debias_course.data import colored_digits, toys
from debias_course.methods import ERM, ReBias, Unsuitable
from debias_course.methods.partners import networks
from debias_course.methods.partners.rebias import gaussian, hsic, median_distance, squared_distances
from debias_course.training import make_optimizer

GENERATOR = torch.Generator().manual_seed(0)
DIGITS = colored_digits(classes=10, aligned_share=0.9, seed=0).train.subset(torch.arange(64))
HOW = dict(epochs=2, batch_size=32, seed=3)


def draw(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


def by_loops(one, other):
    """The means over different i, j, q and r of K_ij L_ij - 2 K_ij L_iq + K_ij L_qr (Song et al. 2012)."""
    n, pairs, threes, fours = len(one), 0.0, 0.0, 0.0
    for i in range(n):
        for j in range(n):
            if j == i:
                continue
            pairs += one[i, j] * other[i, j]
            for q in range(n):
                if q in (i, j):
                    continue
                threes += one[i, j] * other[i, q]
                for r in range(n):
                    if r not in (i, j, q):
                        fours += one[i, j] * other[q, r]
    choose = [math.prod(range(n - k + 1, n + 1)) for k in (2, 3, 4)]
    return pairs / choose[0] - 2 * threes / choose[1] + fours / choose[2]


KERNELS = {
    "gaussian": (lambda x: gaussian(x), lambda x: gaussian(x, 0.7)),
    "linear": (lambda x: x @ x.T, lambda x: x @ x.T),
    "one of each": (lambda x: gaussian(x), lambda x: x @ x.T),
}


@pytest.mark.parametrize("first, second", KERNELS.values(), ids=KERNELS)
def test_it_is_the_sum_over_different_samples(first, second):
    """Whatever stands in the diagonals, such as a linear kernel's squares."""
    x, y = draw(7, 3), draw(7, 2)
    one, other = first(x), second(y)
    expected = float(by_loops(one, other))
    assert float(hsic(one, other)) == pytest.approx(expected, rel=1e-10)
    assert float(hsic(other, one)) == pytest.approx(expected, rel=1e-10)
    assert float(hsic(one + 5 * torch.eye(7), other)) == pytest.approx(expected, rel=1e-10)


def test_what_is_added_to_all_pairs_does_not_count():
    """So the authors' code, which takes 1 off all of a kernel whose diagonal is 1, computes the same for those."""
    one, other = gaussian(draw(9, 2)), gaussian(draw(9, 3))
    assert float(hsic(one - 1, other - 1)) == pytest.approx(float(hsic(one, other)), rel=1e-9)


def test_four_samples_by_hand():
    """K has ones between 0 and 1, L between 2 and 3: pairs 0; threes 0; fours 2 · 2 of 24 give 1/6."""
    one, other = torch.zeros(4, 4), torch.zeros(4, 4)
    one[0, 1] = one[1, 0] = other[2, 3] = other[3, 2] = 1
    assert float(hsic(one, other)) == pytest.approx(4 / 24)
    assert float(hsic(one, one)) == pytest.approx(2 / 12 - 2 * 0 / 24 + 0 / 24)


@pytest.mark.parametrize("kernel", [gaussian, lambda x: x @ x.T], ids=["gaussian", "linear"])
def test_it_is_zero_on_average_for_independent_features(kernel):
    """2,000 batches are within four standard errors; the estimate with a bias, of the same, is far above."""
    found = torch.stack([hsic(kernel(draw(12, 2)), kernel(draw(12, 3))) for _ in range(2_000)])
    error = float(found.std()) / math.sqrt(len(found))
    assert abs(float(found.mean())) < 4 * error
    centred = torch.eye(12, dtype=torch.float64) - 1 / 12
    biased = [((centred @ kernel(draw(12, 2)) @ centred) * kernel(draw(12, 3))).sum() / 121 for _ in range(200)]
    assert float(torch.stack(biased).mean()) > 20 * error


def test_it_is_large_for_features_that_depend():
    """The same, turned and shifted, is as dependent as it gets; without the sign, a little less."""
    x = draw(200, 2)
    turned = x @ torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64) + 3
    same, apart = hsic(gaussian(x), gaussian(turned)), hsic(gaussian(x), gaussian(draw(200, 2)))
    assert float(same) == pytest.approx(float(hsic(gaussian(x), gaussian(x)))) and float(same) > 20 * abs(float(apart))
    assert float(apart) < float(hsic(gaussian(x), gaussian(x.abs()))) < float(same)


def test_the_kernel_by_hand():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    torch.testing.assert_close(squared_distances(x), torch.tensor([[0.0, 25, 1], [25, 0, 18], [1, 18, 0]]))
    torch.testing.assert_close(gaussian(x, 2.0)[0], torch.tensor([1.0, math.exp(-25 / 8), math.exp(-1 / 8)]))
    assert float(median_distance(x)) == pytest.approx(math.sqrt(18))  # of 1, √18 and 5


def test_the_median_follows_the_scale_where_one_does_not():
    """Features a hundred times as large are all unlike to σ = 1, whose kernel is the identity: HSIC sees nothing."""
    x = draw(40, 3)
    y = x + 0.1 * draw(40, 3)
    by_median = [hsic(gaussian(c * x, median_distance(c * x)), gaussian(y)) for c in (1, 100)]
    assert float(by_median[0]) == pytest.approx(float(by_median[1]), rel=1e-6) and float(by_median[0]) > 0.01
    assert abs(float(hsic(gaussian(100 * x), gaussian(y)))) < 1e-3


def test_equal_features_have_a_kernel_of_ones_and_no_broken_gradient():
    x = torch.ones(5, 3, requires_grad=True)
    kernel = gaussian(x, median_distance(x))
    hsic(kernel, gaussian(draw(5, 2).float())).backward()
    assert torch.equal(kernel.detach(), torch.ones(5, 5)) and torch.isfinite(x.grad).all()


def ready(method):
    model = models.cnn(DIGITS, channels=(4,), seed=1).train()
    state = method.start(method.model(model, DIGITS), DIGITS).begin(progress=0.5)
    return model, state, DIGITS.batch(torch.arange(32))


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_without_strength_it_is_plain_training_to_the_bit():
    """With dropout and batch norm, too: one forward pass of the model serves both steps."""
    trunk = models.staged(DIGITS, widths=(4, 6), seed=1)
    trunk.features.append(nn.Dropout(0.3))
    plain, alone, told = (train(trunk, DIGITS, m, **HOW).model for m in (ERM(), ReBias(strength=0), ReBias()))
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), alone.state_dict().values()))
    assert not torch.equal(weights(plain), weights(told))


def test_a_step_is_the_partners_and_then_the_models_who_meets_the_new_partner():
    """By hand, with SGD: g down ℓ_g - λ_g HSIC at the old f, then f down ℓ_f + λ HSIC at the new g."""
    method = ReBias(strength=2.0, partner_strength=0.5)
    model, state, batch = ready(method)
    twin, other, _ = ready(method)
    optimizer = make_optimizer("sgd", method.parameters(model, state), 0.1, 0.0)
    loss = method.step(model, batch, state, optimizer)

    f = twin.features(batch.inputs).detach()
    g = other.partner.features(batch.inputs)
    told = F.cross_entropy(other.partner.head(g), batch.labels) - 0.5 * hsic(gaussian(f), gaussian(g))
    moves = torch.autograd.grad(told, list(other.partner.parameters()))
    with torch.no_grad():
        for p, move in zip(other.partner.parameters(), moves):
            p.sub_(0.1 * move)
    torch.testing.assert_close(weights(state.partner), weights(other.partner))

    f, g = twin.features(batch.inputs), other.partner.features(batch.inputs).detach()
    told = F.cross_entropy(twin.head(f), batch.labels) + 2.0 * hsic(gaussian(f), gaussian(g))
    torch.testing.assert_close(loss, told.detach())
    moves = torch.autograd.grad(told, list(twin.parameters()))
    with torch.no_grad():
        for p, move in zip(twin.parameters(), moves):
            p.sub_(0.1 * move)
    torch.testing.assert_close(weights(model), weights(twin))


def test_the_models_step_leaves_no_gradient_with_the_partner():
    method = ReBias()
    model, state, batch = ready(method)
    optimizer = make_optimizer("adamw", method.parameters(model, state), 1e-3, 0.1)
    method.step(model, batch, state, optimizer)
    assert all(p.grad is None for p in state.partner.parameters()) and all(
        p.grad is not None for p in model.parameters()
    )
    assert {int(kept["step"]) for kept in optimizer.state.values()} == {1}


def test_each_loss_moves_its_own_network_only():
    method = ReBias()
    model, state, batch = ready(method)
    features, logits = networks.features_and_logits(model, batch.inputs)
    kernel = method.kernel(features)
    method.partner_loss(kernel.detach(), batch, state).backward(retain_graph=True)
    assert all(p.grad is None for p in model.parameters())
    state.partner.zero_grad()
    method.model_loss(logits, kernel, batch, state).backward()
    assert all(p.grad is None for p in state.partner.parameters())


def test_the_model_grows_independent_of_its_partner():
    """After eight epochs on digits of one colour each, HSIC with the partner is below plain training's."""

    def dependence(strength):
        seen = []
        look = lambda model, batch, state, loss: seen.append(float(look_at(model, batch, state)))  # noqa: E731
        train(
            models.cnn(DIGITS, channels=(8,), seed=1),
            DIGITS,
            ReBias(strength=strength),
            lr=0.01,
            on_step=look,
            **HOW | dict(epochs=8),
        )
        return sum(seen[-4:]) / 4

    def look_at(model, batch, state):
        with torch.no_grad():
            return hsic(*(gaussian(each.features(batch.inputs)) for each in (model, state.partner)))

    assert dependence(5.0) < 0.5 * dependence(0.0)


def test_what_it_cannot_work_with_is_refused():
    points = toys.shortcut(n=40).train
    with pytest.raises(Unsuitable, match=r"convolutions need images \[N, C, H, W\], not inputs \(40, 2\)"):
        train(models.mlp(points), points, ReBias(), epochs=1)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(1200, 10))
    with pytest.raises(Unsuitable, match="HSIC reads the features of a model, and Sequential has no features and head"):
        train(flat, DIGITS, ReBias(), epochs=1)
    with pytest.raises(
        Unsuitable, match="HSIC without bias needs four samples in a batch, not 3; use a larger batch_size"
    ):
        train(models.cnn(DIGITS, channels=(4,)), DIGITS, ReBias(), epochs=1, batch_size=3)
    with pytest.raises(Unsuitable, match="1 samples have no distances, and no median of them; use a larger batch_size"):
        train(models.cnn(DIGITS, channels=(4,)), DIGITS, ReBias(bandwidth="median"), epochs=1, batch_size=1)
