"""Product of experts: a weak partner that is trained first, and the product with it."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from debias_course import models, train
from debias_course.data import Batch, colored_digits, toys
from debias_course.evaluation import predict
from debias_course.method import State
from debias_course.methods import ERM, LearnedMixin, ProductOfExperts, Unsuitable
from debias_course.methods.partners import networks
from debias_course.methods.partners.product_of_experts import product_losses

SPLITS = toys.shortcut(n=120, seed=1)
HOW = dict(epochs=2, batch_size=30, lr=0.02)
GENERATOR = torch.Generator().manual_seed(0)
M, W = (2 * torch.randn(6, 3, generator=GENERATOR) for _ in "mw")
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])


class Says(nn.Module):
    """A partner that says the same of every sample, or of each its own."""

    def __init__(self, *logits):
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, inputs):
        return self.logits.expand(len(inputs), -1)


def with_partner(kind, partner):
    """The method with this partner instead of a trained one."""

    class Told(kind):
        """min: as the method."""

        def start(self, model, data):
            state = State() if kind is ProductOfExperts else super().start(model, data)
            state.partner = partner.requires_grad_(False)
            state.told = predict(partner, data)
            return state

    return Told


def weights(run):
    return torch.cat([p.flatten() for p in run.model.parameters()])


def test_the_product_by_hand():
    """Experts (0.8, 0.2) and (0.4, 0.6): 0.32 : 0.12, so 8/11 and 3/11."""
    one, other = torch.tensor([[0.8, 0.2]] * 2).log(), torch.tensor([[0.4, 0.6]] * 2).log()
    told = product_losses(one, other, torch.tensor([0, 1]))
    torch.testing.assert_close(told, torch.tensor([-math.log(8 / 11), -math.log(3 / 11)]))


def test_adding_logits_is_adding_log_probabilities():
    together = product_losses(M.log_softmax(1), W.log_softmax(1), LABELS)
    torch.testing.assert_close(product_losses(M, W, LABELS), together)
    probabilities = M.softmax(1) * W.softmax(1)
    probabilities = probabilities / probabilities.sum(1, keepdim=True)
    torch.testing.assert_close(together, -probabilities.gather(1, LABELS[:, None])[:, 0].log())


# The partner's margin for class 1, its σ(m + w) - y at m = 0 by hand, and what is left of plain training's -1/2.
CURVE = {
    "sure and right": (4.0, 1 / (1 + math.exp(-4)) - 1),
    "unsure": (0.0, -0.5),
    "sure and wrong": (-4.0, 1 / (1 + math.exp(4)) - 1),
}


@pytest.mark.parametrize("margin, gradient", CURVE.values(), ids=CURVE)
def test_the_gradient_on_the_model_where_the_partner_is(margin, gradient):
    """Two classes, one logit each: m = z_1 - z_0; the label is 1."""
    m = torch.zeros(1, requires_grad=True)
    logits = torch.stack([torch.zeros(1), m], 1)
    product_losses(logits, torch.tensor([[0.0, margin]]), torch.tensor([1])).sum().backward()
    assert float(m.grad) == pytest.approx(gradient, abs=1e-7)
    assert {4.0: abs(gradient) < 0.02, 0.0: gradient == -0.5, -4.0: gradient < -0.98}[margin]


def test_the_gradient_is_the_product_minus_the_label():
    m = M.clone().requires_grad_()
    product_losses(m, W, LABELS).sum().backward()
    torch.testing.assert_close(m.grad, (M + W).softmax(1) - F.one_hot(LABELS, 3))


@pytest.mark.parametrize("alone", [0.0, 1.0])
@pytest.mark.parametrize("kind", [ProductOfExperts, LearnedMixin])
def test_a_uniform_partner_is_plain_training_to_the_bit(kind, alone):
    """With α = 1 the same loss counts twice, which a step of SGD at half the rate makes up for."""
    start = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    if kind is LearnedMixin:
        method, rate = with_partner(kind, Says(0.0, 0.0))(partner="coarse", entropy=alone), 0.02
    else:
        method, rate = with_partner(kind, Says(0.0, 0.0))(partner="coarse", alone=alone), 0.02 / (1 + alone)
    told = train(start, SPLITS.train, method, **HOW | dict(optimizer="sgd", lr=rate))
    plain = train(start, SPLITS.train, ERM(), **HOW | dict(optimizer="sgd"))
    assert torch.equal(weights(told), weights(plain))


def test_a_uniform_partner_that_is_not_zero_is_plain_training_but_for_rounding():
    start = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    told = train(start, SPLITS.train, with_partner(ProductOfExperts, Says(0.7, 0.7))(partner="coarse"), **HOW)
    torch.testing.assert_close(weights(told), weights(train(start, SPLITS.train, ERM(), **HOW)))


def ready(method, data=SPLITS.train):
    start = models.mlp(data, hidden=(8,), seed=1)
    return start, method.start(start, data).begin(progress=0.5), data.batch(torch.arange(40))


@pytest.mark.parametrize("kind", [ProductOfExperts, LearnedMixin])
def test_the_partner_is_trained_first_stands_still_and_gets_no_gradient(kind):
    method = kind(partner="coarse", partner_epochs=5)
    model, state, batch = ready(method)
    before = [p.clone() for p in state.partner.parameters()]
    optimizer = torch.optim.SGD(method.parameters(model, state)[0]["params"], lr=1.0)
    method.step(model, batch, state, optimizer)
    assert all(p.grad is None and not p.requires_grad for p in state.partner.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, state.partner.parameters())) and not state.partner.training
    start = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    assert not torch.equal(model.head.weight, start.head.weight)


@pytest.mark.parametrize("kind", [ProductOfExperts, LearnedMixin])
def test_the_partner_is_asked_once_about_each_sample(kind):
    """No step needs it any more, and a step is told what belongs to its own samples."""
    method = kind(partner="coarse")
    model, state, batch = ready(method)
    torch.testing.assert_close(state.told, predict(state.partner, SPLITS.train))
    state.partner = None
    others = batch._replace(indices=batch.indices.flip(0))
    losses = [float(method.loss(model, each, state).detach()) for each in (batch, others)]
    assert losses[0] != losses[1]


def test_a_partner_is_shared_by_all_who_ask_for_the_same():
    """Whatever their other knobs and their learning rate; trained by plain cross-entropy, as by hand."""
    model = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    methods = [ProductOfExperts(partner="coarse", partner_epochs=3, alone=alone) for alone in (0.0, 1.0)]
    runs = [train(model, SPLITS.train, method, **HOW | dict(lr=lr)) for method, lr in zip(methods, (0.02, 0.1))]
    partners = [run.state.partner for run in runs]
    assert all(torch.equal(a, b) for a, b in zip(*(each.parameters() for each in partners)))
    fresh = networks.weak(SPLITS.train, "coarse", width=8)
    by_hand = train(fresh, SPLITS.train, ERM(), epochs=3, batch_size=30, lr=0.01).model
    assert all(torch.equal(a, b) for a, b in zip(partners[0].parameters(), by_hand.parameters()))


def test_a_partner_starts_from_the_seed_of_the_run():
    model = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    runs = [train(model, SPLITS.train, ProductOfExperts(partner="coarse"), **HOW, seed=seed) for seed in (0, 1)]
    first, other = (run.state.partner for run in runs)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_the_model_is_used_alone():
    model = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    run = train(model, SPLITS.train, ProductOfExperts(partner="coarse"), **HOW)
    inputs = SPLITS.test.inputs[:5]
    torch.testing.assert_close(run.model(inputs), run.model.head(run.model.features(inputs)))


def test_the_own_loss_beside_is_added():
    model, state, batch = ready(ProductOfExperts(partner="coarse"))
    product, alone = (method.loss(model, batch, state) for method in (ProductOfExperts(), ERM()))
    torch.testing.assert_close(ProductOfExperts(alone=0.5).loss(model, batch, state), product + 0.5 * alone)


def test_the_learned_mixin_by_hand():
    """f = 1 and v = 0, v_0 = log(e^2 - 1): the gate is 2; the partner says (0.8, 0.2), so (16, 1) / 17 after it."""
    features = nn.Sequential(nn.Flatten())
    model = models.Classifier(features, nn.Linear(1, 2, bias=False))
    nn.init.zeros_(model.head.weight)
    state = State()
    state.told, state.gate = torch.tensor([[math.log(0.8), math.log(0.2)]]), nn.Linear(1, 1)
    nn.init.zeros_(state.gate.weight)
    nn.init.constant_(state.gate.bias, math.log(math.e**2 - 1))
    ids = torch.zeros(1, dtype=torch.int64)
    batch = Batch(torch.ones(1, 1), ids, ids, ids, ids, torch.empty(1, 0))
    entropy = -(16 / 17 * math.log(16 / 17) + 1 / 17 * math.log(1 / 17))
    for eta in (0.0, 0.5):
        loss = LearnedMixin(entropy=eta).loss(model, batch, state)
        assert float(loss.detach()) == pytest.approx(-math.log(16 / 17) + eta * entropy, abs=1e-6)
    assert state.trust.tolist() == pytest.approx([2.0])


def test_a_gate_of_one_is_the_product_of_experts():
    model, state, batch = ready(LearnedMixin(partner="coarse", entropy=0.0))
    nn.init.zeros_(state.gate.weight)
    nn.init.constant_(state.gate.bias, math.log(math.e - 1))
    torch.testing.assert_close(
        LearnedMixin(entropy=0.0).loss(model, batch, state), ProductOfExperts().loss(model, batch, state)
    )


def test_the_entropy_keeps_the_gate_open():
    """It pulls against the cross-entropy, which would rather have no partner where that is sure and wrong."""
    state = ready(LearnedMixin(partner="coarse"))[1]
    state.told = torch.tensor([[2.0, -2.0]]).expand(len(SPLITS.train), -1)
    model, _, batch = ready(ERM())
    batch = batch._replace(labels=torch.ones_like(batch.labels))  # the partner is wrong throughout
    gradients = []
    for eta in (0.0, 10.0):
        state.gate.zero_grad()
        LearnedMixin(entropy=eta).loss(model, batch, state).backward()
        gradients.append(float(state.gate.bias.grad))
    assert gradients[1] < gradients[0] and gradients[0] > 0


def test_pointwise_partners_see_colours_and_no_places():
    """All pixels in another order are the same to one of 1×1 convolutions, and not to a coarse one."""
    data = colored_digits(classes=10, seed=0).train.subset(torch.arange(20))
    images = data.batch(torch.arange(20)).inputs
    shuffled = images.flatten(2)[:, :, torch.randperm(400, generator=GENERATOR)].view_as(images)
    for kind, same in ("pointwise", True), ("coarse", False):
        partner = networks.weak(data, kind, width=8).eval()
        with torch.no_grad():
            assert torch.allclose(partner(images), partner(shuffled), atol=1e-5) == same


def test_coarse_partners_see_squares_of_pixels():
    data = colored_digits(classes=10, seed=0).train.subset(torch.arange(20))
    partner = networks.weak(data, "coarse", width=8)
    assert partner.features[2].in_features == 3 * 5 * 5 and partner.features[2].out_features == 8
    images = data.batch(torch.arange(20)).inputs
    squares = F.avg_pool2d(images, 4)
    torch.testing.assert_close(partner(images), partner.head(partner.features[1:](squares)))


def test_stacked_networks_have_the_published_layers():
    """16, 32, 64 and 128 channels of 7×7, with batch norm; the partner is the same with 1×1 (Bahng et al. 2020)."""
    data = colored_digits(classes=10, seed=0).train.subset(torch.arange(2))
    for kernel in (7, 1):
        made = networks.stacked(data, kernel=kernel, seed=3)
        assert [(stage[0].out_channels, stage[0].kernel_size) for stage in made.stages] == [
            (width, (kernel, kernel)) for width in (16, 32, 64, 128)
        ]
        again = networks.stacked(data, kernel=kernel, seed=3)
        assert all(torch.equal(a, b) for a, b in zip(made.parameters(), again.parameters()))
        assert made(data.batch(torch.arange(2)).inputs).shape == (2, 10)


def test_what_has_no_colours_or_no_features_is_refused():
    model = models.linear(SPLITS.train)
    with pytest.raises(Unsuitable, match=r"need images \[N, C, H, W\], not inputs \(120, 2\); use a partner that is"):
        train(model, SPLITS.train, ProductOfExperts(partner="pointwise"), epochs=1)
    with pytest.raises(Unsuitable, match="the gate reads the features of a model, and Linear has no features and head"):
        train(nn.Linear(2, 2), SPLITS.train, LearnedMixin(partner="coarse"), epochs=1)
