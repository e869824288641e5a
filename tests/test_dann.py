"""Lecture 09: domain-adversarial training. Vectors: worked by hand from section 4 of Ganin et al. 2016."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.gradcheck import GradcheckError

from debias_course import contexts, figures, models, train
from debias_course.data import Batch, GroupedData, toys
from debias_course.lectures.dann import pictures, readers
from debias_course.lectures.dann.measurements import DANNLesson, made
from debias_course.methods import DANN, ERM, METHODS, BatchSampling
from debias_course.methods.dann import fooled, frozen_features, per_domain, probe, ramp, reverse


def grad(function, x):
    return torch.autograd.grad(function(x), x)[0]


def vector(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def test_the_reversal_by_hand():
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    x = vector(0.1, -5.0, 1e-300)
    assert torch.equal(reverse(x, 0.7), x)
    gradient = grad(lambda x: (weights * reverse(x, 0.7)).sum(), x)
    assert gradient.tolist() == pytest.approx([-0.7, -1.4, -2.1], abs=1e-15)
    assert torch.equal(grad(lambda x: (weights * reverse(x, 0.0)).sum(), x), torch.zeros_like(x))


def test_two_reversals_multiply_and_the_second_derivative_keeps_the_factor():
    x = vector(1.0, -2.0)
    assert torch.equal(grad(lambda x: reverse(reverse(x, 0.5), 3.0).sum(), x), vector(1.5, 1.5))
    first = torch.autograd.grad(reverse(x, 0.5).pow(3).sum(), x, create_graph=True)[0]
    assert torch.equal(first, -0.5 * 3 * x**2)


@pytest.mark.parametrize("strength", [0.0, 0.7, 1.0])
def test_the_gradient_is_not_the_derivative_of_what_is_computed(strength):
    with pytest.raises(GradcheckError):
        torch.autograd.gradcheck(lambda x: reverse(x, strength), vector(1.0, 2.0))


def test_the_strength_is_read_on_the_way_forward_and_works_under_vmap_and_in_any_precision():
    x = vector(1.0, 2.0)
    losses = [reverse(x, strength).sum() for strength in (1.0, 2.0)]
    assert [torch.autograd.grad(each, x)[0].tolist() for each in losses] == [[-1, -1], [-2, -2]]
    rows = torch.arange(6.0).view(3, 2)
    each = torch.func.vmap(torch.func.grad(lambda row: (row * reverse(row, 0.5)).sum()))(rows)
    assert torch.equal(each, rows - 0.5 * rows)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        low = torch.ones(2, dtype=dtype, requires_grad=True)
        assert reverse(low, 0.5).dtype == dtype and grad(lambda x: reverse(x, 0.5).sum(), low).tolist() == [-0.5] * 2


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_a_second_minus_is_refused(wrong):
    with pytest.raises(ValueError, match="use a number from 0: the layer itself brings the minus"):
        reverse(torch.ones(1), wrong)
    with pytest.raises(ValueError, match="DANN.strength is"):
        DANN(strength=wrong)


def test_the_published_schedule_by_hand():
    for progress, wanted in {0.1: 0.4621172, 0.25: 0.8482836, 0.5: 0.9866143, 0.75: 0.9988944, 1: 0.9999092}.items():
        assert ramp(progress) == pytest.approx(wanted, abs=1e-7)
    assert ramp(0.0) == 0


def setting(method, data, *, progress=0.5, hidden=(8,)):
    model = models.mlp(data, hidden=hidden, seed=1)
    state = method.start(model, data)
    return model, state.begin(progress=progress), data.batch(torch.arange(0, len(data), 3))


def gradients(loss, *modules):
    parameters = [p for module in modules for p in module.parameters()]
    return torch.autograd.grad(loss, parameters, retain_graph=True)


def test_the_loss_is_a_sum_and_every_part_gets_the_gradient_that_is_due_to_it(toy):
    """Features: ∂L_y - λ ∂L_d. Head: ∂L_y. Discriminator: + ∂L_d, whatever λ is."""
    method = DANN(strength=0.7, schedule="constant")
    model, state, batch = setting(method, toy.train)
    logits = model(batch.inputs)
    label_loss = F.cross_entropy(logits, batch.labels)
    domain_loss = F.cross_entropy(state.discriminator(model.features(batch.inputs)), batch.attributes)
    loss = method.loss(model, batch, state)
    torch.testing.assert_close(loss, label_loss + domain_loss)
    ours = gradients(loss, model.features)
    parts = zip(gradients(label_loss, model.features), gradients(domain_loss, model.features))
    for mine, (helps, betrays) in zip(ours, parts):
        torch.testing.assert_close(mine, helps - 0.7 * betrays)
        assert not torch.allclose(mine, helps + 0.7 * betrays)
    torch.testing.assert_close(gradients(loss, model.head), gradients(label_loss, model.head))
    torch.testing.assert_close(gradients(loss, state.discriminator), gradients(domain_loss, state.discriminator))


def test_the_schedule_follows_the_progress_of_training(toy):
    at = {}
    for schedule, progress in (("published", 0.0), ("published", 0.1), ("constant", 0.0)):
        method = DANN(strength=2.0, schedule=schedule)
        model, state, batch = setting(method, toy.train, progress=progress)
        _, domain_loss = method.losses(model, batch, state)
        plain = F.cross_entropy(state.discriminator(model.features(batch.inputs)), batch.attributes)
        ours, true = (gradients(each, model.features)[0] for each in (domain_loss, plain))
        at[schedule, progress] = float((ours * true).sum() / true.square().sum())
    assert at == pytest.approx({("published", 0.0): 0, ("published", 0.1): -0.9242343, ("constant", 0.0): -2}, abs=1e-5)


def test_without_strength_the_model_is_trained_as_by_plain_training_and_the_discriminator_still_learns(toy):
    start = models.mlp(toy.train, hidden=(8,))
    start.features.append(nn.Dropout(0.2))  # draws of the discriminator's start must not shift those of dropout
    settings = dict(epochs=10, batch_size=50, lr=0.01)
    plain, ours = (train(start, toy.train, how, **settings) for how in (ERM(), DANN(strength=0.0)))
    for mine, theirs in zip(ours.model.parameters(), plain.model.parameters()):
        assert torch.equal(mine, theirs)
    assert fooled(DANN(strength=0.0), ours.model, ours.state, toy.test).value > 0.95


def test_the_discriminator_has_a_start_of_its_own_for_each_seed_and_leaves_the_generator_alone(toy):
    model = models.mlp(toy.train)
    first = {}
    for seed in (1, 2, 1):
        with contexts.isolated_randomness(seed):
            before = torch.get_rng_state()
            weight = DANN(width=7).start(model, toy.train).discriminator[0].weight
            assert torch.equal(torch.get_rng_state(), before) and weight.shape == (7, 128)
        assert torch.equal(first.setdefault(seed, weight), weight)
    assert not torch.equal(first[1], first[2])


def test_a_conditional_discriminator_sees_the_label(toy):
    for changes in (False, True):
        method = DANN(conditional=changes)
        model, state, batch = setting(method, toy.train)
        other = batch._replace(labels=1 - batch.labels)
        domain = [method.losses(model, each, state)[1] for each in (batch, other)]
        assert (domain[0] != domain[1]) == changes
        assert state.discriminator[0].in_features == 8 + 2 * changes


def test_another_layer_can_be_read(toy):
    method = DANN(layer="2")
    model, state, batch = setting(method, toy.train, hidden=(6, 8))
    assert state.discriminator[0].in_features == 6
    assert torch.equal(frozen_features(method, model, toy.train), model.features[:3](toy.train.inputs))
    behind = model.features[3]
    model.zero_grad()
    method.losses(model, batch, state)[1].backward()
    assert behind.weight.grad is None and model.features[1].weight.grad.abs().sum() > 0
    assert not model.features[2]._forward_hooks
    images = torch.rand(8, 3, 8, 8)
    data = GroupedData(images, torch.arange(8) % 2, torch.arange(8) // 4, ("a", "b"), ("c", "d"))
    state = DANN(layer="0").start(models.cnn(data, channels=(4,)), data)
    assert state.discriminator[0].in_features == 4 * 8 * 8


def test_what_follows_the_layer_may_edit_it_in_place(toy):
    seen = []
    for in_place in (True, False):
        model = models.mlp(toy.train, hidden=(6, 8), seed=1)
        model.features[2] = nn.ReLU(inplace=in_place)
        method = DANN(layer="1")
        batch = toy.train.batch(torch.arange(50))
        seen.append(method.look(model, batch.inputs)[0])
        assert torch.equal(seen[-1], model.features[:2](batch.inputs))
    assert torch.equal(*seen) and (seen[0] < 0).any()


class Bypassing(models.Classifier):
    """Has features and a head, but its forward calls something else."""

    def forward(self, inputs):
        return self.head(inputs)


class Pair(nn.Module):
    def forward(self, inputs):
        return inputs, inputs


def test_a_layer_that_is_not_called_or_returns_no_tensor_is_refused(toy):
    bypassing = Bypassing(nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(ValueError, match="the model's forward does not call its features, so the discriminator sees"):
        train(bypassing, toy.train, DANN(), epochs=1)
    two = models.Classifier(nn.Sequential(Pair()), models.Classifier(nn.Identity(), nn.Linear(2, 2)))
    with pytest.raises(TypeError, match=r"the output of features.0 is .*; give a `layer` that returns one tensor"):
        DANN(layer="0").start(two, toy.train)


def test_a_model_without_that_layer_is_refused(toy):
    with pytest.raises(ValueError, match="the model has no features.9; use layer=''"):
        DANN(layer="9").start(models.mlp(toy.train), toy.train)
    with pytest.raises(ValueError, match="a model with `features` and `head`"):
        DANN().start(nn.Linear(2, 2), toy.train)


def test_one_domain_is_refused():
    alone = toys.imbalanced(n=40).train
    with pytest.raises(ValueError, match="all samples are of one domain, 'any'; a discriminator needs two"):
        train(models.linear(alone), alone, DANN())
    both = toys.shortcut(n=40).train
    second = both.subset(both.attributes == 1)
    with pytest.raises(ValueError, match="all samples are of one domain, 'right'"):
        DANN().start(models.linear(second), second)
    third = dataclasses.replace(both, attributes=both.attributes + 1, attribute_names=("far", "left", "right"))
    with pytest.raises(ValueError, match="no sample is of 'far', the labelled domain"):
        DANN(labelled="first domain").start(models.linear(third), third)
    train(models.linear(third), third, DANN(sampling="domains"), epochs=1, batch_size=9)


@pytest.mark.parametrize("sampling", ["plain", "domains"])
def test_labels_of_the_target_change_nothing(toy, sampling):
    generator = torch.Generator().manual_seed(0)
    garbage = torch.randint(2, (len(toy.train),), generator=generator)
    labels = torch.where(toy.train.attributes == 0, toy.train.labels, garbage)
    spoilt = dataclasses.replace(toy.train, labels=labels)
    assert not torch.equal(spoilt.labels, toy.train.labels)
    method, start = DANN(labelled="first domain", sampling=sampling), models.mlp(toy.train, hidden=(8,))
    runs = [train(start, data, method, epochs=3, batch_size=40) for data in (toy.train, spoilt)]
    for part in ("model", "state"):
        for one, other in zip(*(getattr(run, part).parameters() for run in runs)):
            assert torch.equal(one, other)
    known = train(start, spoilt, DANN(sampling=sampling), epochs=3, batch_size=40).model
    assert not torch.equal(known.head.weight, runs[0].model.head.weight)


def test_unknown_labels_cannot_be_asked_for():
    with pytest.raises(ValueError, match="a conditional discriminator needs the labels of all domains"):
        DANN(labelled="first domain", conditional=True)
    with pytest.raises(ValueError, match="sampling by groups needs the labels of all domains"):
        DANN(labelled="first domain", sampling="groups")


def test_the_label_loss_is_a_mean_over_the_labelled_and_zero_where_there_is_none(toy):
    method = DANN(labelled="first domain")
    model, state, batch = setting(method, toy.train)
    source = (batch.attributes == 0).nonzero().flatten()
    logits = model(batch.inputs)
    wanted = F.cross_entropy(logits[source], batch.labels[source])
    torch.testing.assert_close(method.losses(model, batch, state)[0], wanted)
    target = Batch(*(part[batch.attributes == 1] for part in batch))
    label_loss, domain_loss = method.losses(model, target, state)
    assert label_loss == 0 and torch.isfinite(domain_loss)
    (label_loss + domain_loss).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("sampling, counts", [("groups", [5, 5, 5, 5]), ("domains", None)])
def test_batches_hold_all_groups_or_domains_alike(toy, sampling, counts):
    for rows in DANN(sampling=sampling).batches(toy.train, 20, seed=0, epoch=1):
        assert torch.bincount(toy.train.attributes[rows]).tolist() == [10, 10]
        assert counts is None or torch.bincount(toy.train.groups[rows]).tolist() == counts
    few = toy.train.subset(toy.train.groups != 1)
    batches = DANN(sampling="groups").batches(few, 30, seed=0, epoch=1)
    assert all(torch.bincount(few.groups[rows], minlength=4).tolist() == [10, 0, 10, 10] for rows in batches)


def test_a_saved_discriminator_goes_on_where_it_was(toy):
    method = DANN()
    model, state, batch = setting(method, toy.train)
    run = train(model, toy.train, method, epochs=1, batch_size=50)
    fresh = method.start(model, toy.train)
    fresh.load_state_dict(run.state.state_dict())
    fresh.progress = run.state.progress
    assert torch.equal(method.loss(model, batch, run.state), method.loss(model, batch, fresh))
    changed = [not torch.equal(a, b) for a, b in zip(state.parameters(), fresh.parameters())]
    assert changed and all(changed)


def test_forty_steps_equal_two_networks_with_two_losses_in_double_precision(toy):
    """Without a reversal: the features descend L_y - λ L_d, the head L_y and the discriminator L_d."""
    method, lr = DANN(strength=0.8, conditional=True), 0.1
    model, state, _ = setting(method, toy.train)
    model, state = model.double(), state.double()
    other, judge = models.mlp(toy.train, hidden=(8,), seed=1).double(), method.start(model.float(), toy.train).double()
    model.double()
    judge.load_state_dict(state.state_dict())
    generator = torch.Generator().manual_seed(5)
    for number in range(40):
        batch = toy.train.batch(torch.randint(len(toy.train), (16,), generator=generator))
        batch = batch._replace(inputs=batch.inputs.double())
        state.progress = number / 40
        ours = [*model.parameters(), *state.parameters()]
        step = torch.autograd.grad(method.loss(model, batch, state), ours)
        features = other.features(batch.inputs)
        told = torch.cat([features, torch.eye(2, dtype=torch.float64)[batch.labels]], 1)
        label_loss = F.cross_entropy(other.head(features), batch.labels)
        domain_loss = F.cross_entropy(judge.discriminator(told), batch.attributes)
        body, head, judges = (list(part.parameters()) for part in (other.features, other.head, judge))
        wanted = torch.autograd.grad(label_loss - 0.8 * ramp(number / 40) * domain_loss, body, retain_graph=True)
        wanted += torch.autograd.grad(label_loss, head, retain_graph=True)
        wanted += torch.autograd.grad(domain_loss, judges)
        with torch.no_grad():
            for parameters, moves in ((ours, step), ([*body, *head, *judges], wanted)):
                for parameter, move in zip(parameters, moves):
                    parameter -= lr * move
    for one, theirs in zip([*model.parameters(), *state.parameters()], [*other.parameters(), *judge.parameters()]):
        torch.testing.assert_close(one, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_a_probe_reads_what_is_there_and_nothing_else(toy):
    model = models.linear(toy.train)  # its features are the inputs, and the first of them shows the attribute
    assert probe(model, toy.validation, toy.test).value > 0.98
    blind = [dataclasses.replace(part, inputs=part.inputs * torch.tensor([0.0, 1.0])) for part in toy]
    assert probe(model, *blind[1:]).value == pytest.approx(0.5, abs=0.07)
    assert probe(model, *blind[1:]).n == len(toy.test)


def test_the_probe_leaves_the_model_as_it_was(toy):
    model = models.mlp(toy.train, hidden=(8,)).train()
    before = torch.get_rng_state(), [p.clone() for p in model.parameters()]
    first, again = (probe(model, toy.validation, toy.test) for _ in range(2))
    assert first == again and model.training and torch.equal(torch.get_rng_state(), before[0])
    assert all(torch.equal(p, w) and p.grad is None for p, w in zip(model.parameters(), before[1]))


def test_every_domain_counts_the_same_so_that_chance_is_known():
    x, domains = torch.zeros(10, 1), torch.tensor([0] * 8 + [1] * 2)
    data = GroupedData(x, domains * 0, domains, ("only",), ("often", "rare", "never"))
    assert per_domain(domains == 0, data).value == 0.5
    assert per_domain(torch.tensor([True] * 9 + [False]), data).value == 0.75


def test_an_onlooker_sees_both_losses_of_every_step_and_changes_nothing(toy):
    start, trace = models.mlp(toy.train, hidden=(4,)), []

    def look(model, batch, state, loss):
        trace.append(state.losses)

    runs = [train(start, toy.train, DANN(strength=0.5), epochs=2, batch_size=100, on_step=f) for f in (None, look)]
    assert torch.equal(runs[0].model.head.weight, runs[1].model.head.weight) and len(trace) == 8
    assert runs[1].records[-1]["loss"] == pytest.approx(float(sum(sum(both) for both in trace[4:])) / 4)


def test_its_name_on_the_command_line():
    assert METHODS["dann"] is DANN


class Helping(DANN):
    """min: wrong, the gradient is not turned round and the features help the discriminator."""

    def losses(self, model, batch, state):
        seen, logits = self.look(model, batch.inputs)
        guesses = self.guesses(seen, batch.labels, state)
        return self.label_loss(logits, batch), F.cross_entropy(guesses, batch.attributes)


class Subtracting(Helping):
    """min: wrong, L_y - λ L_d without a reversal: the discriminator is made bad, not the features."""

    def losses(self, model, batch, state):
        label_loss, domain_loss = super().losses(model, batch, state)
        return label_loss, -self.strength * ramp(state.progress) * domain_loss


@pytest.mark.slow
@pytest.mark.parametrize("wrong, claim", [(Helping, "B09.6"), (Subtracting, "B09.7")])
def test_a_wrong_implementation_turns_a_claim(verdict_with, wrong, claim):
    assert verdict_with(DANNLesson, wrong, claim, seeds=3) == "refuted"


class Answering(nn.Module):
    """A model that says what the first input tells it, and has no features to speak of."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs):
        return torch.stack([-inputs[:, 0], inputs[:, 0]], 1)


def test_the_gaps_between_two_colours_by_hand():
    """Colour 0 gets the answers 1, 0, 1, 0 and colour 1 gets 0, 0, 1, 0: a quarter apart. Where the label is 0 they are
    1, 0 and 0, 0: a half apart; where it is 1, they are 1, 0 and 1, 0: alike."""
    says = torch.tensor([1, 0, 1, 0, 0, 0, 1, 0])
    labels = torch.tensor([0, 0, 1, 1, 0, 0, 1, 1])
    attributes = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    part = GroupedData(says[:, None] * 2.0 - 1, labels, attributes, ("low", "high"), ("orange", "blue"))
    assert readers.gaps(Answering(), part) == pytest.approx((0.25, 0.5))


def test_a_circumstance_names_its_method():
    assert made("plain", 0.0) == ERM() and made("balanced", 0.0) == BatchSampling()
    assert made("domains", 0.2) == DANN(strength=0.2, labelled="first domain", sampling="domains")
    assert made("reversal, label told", 1.0).conditional and made("balanced reversal", 0.5).sampling == "groups"


def test_each_length_of_a_reversal_is_a_training_of_its_own_and_others_are_read_out_of_one(monkeypatch):
    asked = []

    def run(self, kind, data, optimizer, strength, epochs):
        asked.append(epochs)
        return [{epoch: dict(probe=epoch) for epoch in epochs} for _ in self.seeds]

    monkeypatch.setattr(DANNLesson, "run", run)
    for budget, wanted in (
        ("full", [(5, 20, 40), (20,), (5, 10, 20), (10,), (10,)]),
        ("quick", [(20,)] * 2 + [(10,)] * 3),
    ):
        here, asked[:] = DANNLesson(seeds=2, budget=budget), []
        here.colored(1, "balanced", "ten colours", 20)
        here.colored(1, "balanced reversal", "ten colours", 20)
        for optimizer, strength in ("sgd", 0.0), ("sgd", 0.2), ("adamw", 0.0):
            assert here.adapted(1, optimizer, strength, 10) == dict(probe=10)
        assert asked == wanted


@pytest.mark.slow
def test_one_training_is_read_at_several_lengths():
    found = readers.read(made("balanced reversal", 0.5), "two colours", "adamw", (1, 2), 0)
    names = {"accuracy", "target", "probe", "discriminator", "demographic parity", "equalised odds"}
    assert list(found) == [1, 2] and set(found[2]) == names and all(0 <= each <= 1 for each in found[2].values())
    shorter = readers.read(made("balanced", 0.0), "two colours", "adamw", (1,), 0)
    assert set(shorter[1]) == names - {"discriminator"}
    assert shorter[1] == readers.read(made("balanced", 0.0), "two colours", "adamw", (1, 2), 0)[1]


@pytest.mark.slow
def test_the_pictures_show_what_they_say(monkeypatch):
    monkeypatch.setitem(readers.ADAPTING, "epochs", 1)
    monkeypatch.setitem(readers.COLORING, "epochs", 1)
    pictures._adapted.cache_clear()
    both = pictures.both_domains((0.0, 0.2))
    assert [axis.get_xlabel() for axis in both.axes] == [
        "first principal component (no reversal)",
        "first principal component (λ = 0.2)",
    ]
    pictures._adapted.cache_clear()
    losses = pictures.two_losses((0.0, 1.0))
    assert [axis.get_ylabel() for axis in losses.axes] == ["loss of the label", "loss of the domain"]
    assert losses.axes[1].lines[-1].get_ydata()[0] == pytest.approx(2.302585)
    found = {
        "plain": [dict(accuracy=0.5, probe=0.9)] * 2,
        "reversal": [dict(accuracy=0.7, probe=0.8, discriminator=0.2)],
    }
    lines = {line.get_label(): line for line in pictures.three_readers(found, 0.1).axes[0].lines}
    assert lines["colour, by the discriminator"].get_xdata().tolist() == [0.2]
    assert lines["digit, by the head"].get_xdata().tolist() == [0.5, 0.5, 0.7]
    assert all(len(figures.alt_text(each)) > 40 for each in (both, losses))
