"""The hooks beyond the loss: the update, groups of parameters, stages, layers of one's own, and looking on."""

import copy
import io
from dataclasses import dataclass

import pytest
import torch
from own_methods import SAM, Alternating, FineTuned, SAMInLoss, WithPartner
from torch import nn

from debias_course import contexts, models, stages, study, train, training
from debias_course.cache import keeping_in
from debias_course.data import toys
from debias_course.methods import ERM, SMOTE, GroupDRO
from debias_course.stages import stage

SPLITS = toys.shortcut(n=120, seed=1)
HOW = dict(epochs=2, batch_size=30, lr=0.02)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path))
    return tmp_path


def weights(method, *, hidden=(8,), **how):
    """All weights of a small network that the method has trained."""
    model = models.mlp(SPLITS.train, hidden=hidden, seed=1)
    run = train(model, SPLITS.train, method, **(HOW | how))
    return torch.cat([p.flatten() for p in run.model.parameters()])


def test_sam_by_the_update_is_sam_in_the_loss():
    by_step, in_loss = weights(SAM(radius=0.5)), weights(SAMInLoss(radius=0.5))
    torch.testing.assert_close(by_step, in_loss, rtol=1e-6, atol=1e-7)
    assert (by_step - weights(ERM())).abs().max() > 1e-3


def test_without_a_radius_sam_is_plain_training_to_the_bit():
    assert torch.equal(weights(SAM(radius=0.0)), weights(ERM()))


def test_a_step_of_sam_by_hand():
    """f = w x, one sample: the gradient is taken at w + ρ g/|g|, and the step is made from w."""
    part = SPLITS.train.subset(torch.tensor([0]))
    start = models.linear(part, seed=1)
    run = train(start, part, SAM(radius=0.5), epochs=1, lr=0.1, optimizer="sgd")
    named = dict(start.named_parameters())
    loss = nn.functional.cross_entropy(start(part.inputs), part.labels)
    gradient = torch.autograd.grad(loss, list(named.values()))
    length = torch.cat([g.flatten() for g in gradient]).norm()
    moved = {name: (p + 0.5 * g / length).detach().requires_grad_() for (name, p), g in zip(named.items(), gradient)}
    torch.func.functional_call(start, moved, part.inputs)
    there = nn.functional.cross_entropy(torch.func.functional_call(start, moved, part.inputs), part.labels)
    for (name, p), g in zip(named.items(), torch.autograd.grad(there, list(moved.values()))):
        torch.testing.assert_close(run.model.get_parameter(name), p - 0.1 * g)


def test_partners_beside_that_do_not_count_are_plain_training_to_the_bit():
    """With dropout, too: layers of a method's own take nothing from what the run draws."""
    start = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    alone, beside, told = (
        train(start, SPLITS.train, m, **HOW) for m in (ERM(), Alternating(strength=0), Alternating())
    )
    assert all(torch.equal(a, b) for a, b in zip(alone.model.parameters(), beside.model.parameters()))
    assert not any(torch.equal(a, b) for a, b in zip(alone.model.parameters(), told.model.parameters()))


def test_a_partner_beside_learns_by_its_own_optimiser_only():
    start = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    run = train(start, SPLITS.train, Alternating(), **HOW)
    assert len(run.state.inner.state) == 2 and not any(p in run.state.inner.state for p in run.model.parameters())
    assert all(int(kept["step"]) == 8 for kept in run.state.inner.state.values())


@dataclass(frozen=True, kw_only=True)
class Grouped(ERM):
    """min: the head learns at a tenth of the rate, the rest at ten times it."""

    def parameters(self, model, state):
        return [dict(params=model.features.parameters(), lr=10.0), dict(params=model.head.parameters(), lr=0.1)]


def test_groups_of_parameters_have_rates_relative_to_the_runs():
    """SGD with momentum, one step: the update is the rate times the gradient."""
    start = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    how = dict(epochs=1, batch_size=len(SPLITS.train), lr=0.02, optimizer="sgd")
    plain, grouped = (train(start, SPLITS.train, method, **how).model for method in (ERM(), Grouped()))
    for name, factor in ("features.1.weight", 10.0), ("head.weight", 0.1):
        was = start.get_parameter(name)
        torch.testing.assert_close(grouped.get_parameter(name) - was, factor * (plain.get_parameter(name) - was))


@pytest.mark.parametrize(
    "group, sentence",
    [
        (dict(lr=1.0), r"a group of parameters is {'lr': 1.0}; give dict\(params="),
        (dict(params=[], weight_decay=0.1), "a group of parameters is"),
        ([1, 2], "a group of parameters is"),
        (dict(params=[], lr=-1.0), "lr is -1.0; use a number from 0"),
        (dict(params=[]), "the model has no parameters, so there is nothing to train"),
    ],
)
def test_what_is_no_group_of_parameters_is_refused(group, sentence):
    class Wrong(ERM):
        def parameters(self, model, state):
            return [group]

    with pytest.raises(ValueError, match=sentence):
        train(models.linear(SPLITS.train), SPLITS.train, Wrong())


def test_what_start_returns_is_a_state():
    class Old(ERM):
        def start(self, model, data):
            return nn.Module()

    with pytest.raises(TypeError, match="what Old.start returns is .*; give a methods.State"):
        train(models.linear(SPLITS.train), SPLITS.train, Old())


def test_a_state_is_saved_with_what_it_draws_from_and_with_its_optimisers():
    method, start = Alternating(), models.mlp(SPLITS.train, hidden=(8,), seed=1)
    state = train(start, SPLITS.train, method, **HOW).state
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    file.seek(0)
    fresh = method.start(start, SPLITS.train).begin(seed=77)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert (fresh.epoch, fresh.progress) == (2, 7 / 8)
    assert torch.equal(fresh.generator.get_state(), state.generator.get_state())
    moments = [[kept["exp_avg"] for kept in each.inner.state.values()] for each in (state, fresh)]
    assert moments[0] and all(torch.equal(a, b) for a, b in zip(*moments))
    assert [id(p) for p in fresh.inner.state] == [id(p) for p in fresh.partner.parameters()]


def count(monkeypatch):
    """The stages that are trained and kept from now on. (The loop itself is part of the key.)"""
    ran, keep = [], stages.keep
    monkeypatch.setattr(stages, "keep", lambda path, content: (ran.append(path), keep(path, content)))
    return ran


def test_a_stage_is_trained_once_and_kept(monkeypatch, cache):
    ran = count(monkeypatch)
    start, how = models.linear(SPLITS.train, seed=1), dict(epochs=2, batch_size=30)
    first, again, other = (stage(start, SPLITS.train, **how, seed=seed) for seed in (3, 3, 4))
    assert len(ran) == 2 and torch.equal(first.head.weight, again.head.weight) and not again.training
    assert not torch.equal(first.head.weight, other.head.weight)
    assert torch.equal(first.head.weight, train(start, SPLITS.train, **how, seed=3).model.head.weight)
    ran.clear()
    for change in (dict(epochs=3), dict(lr=0.1), dict(batch_size=7), dict(optimizer="sgd"), dict(method=GroupDRO())):
        stage(start, SPLITS.train, **(dict(**how, seed=3) | change))
    stage(models.linear(SPLITS.train, seed=2), SPLITS.train, **how, seed=3)
    stage(start, SPLITS.validation, **how, seed=3)
    assert len(ran) == 7
    assert len(list((cache / "stages").glob("*.pt"))) == 9


def test_a_stage_may_have_a_stage(cache):
    """Each is trained once, with the settings of the one that asks for it, whether that is trained or read."""
    start = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    runs = [stage(start, SPLITS.train, FineTuned(epochs=3), epochs=2, batch_size=30, lr=0.5) for _ in "ab"]
    assert len(list((cache / "stages").glob("*.pt"))) == 2
    assert all(torch.equal(a, b) for a, b in zip(*(run.parameters() for run in runs)))


@pytest.mark.parametrize("damage", [b"", b"no zip file", None])
def test_a_damaged_stage_is_trained_again(damage, monkeypatch, cache):
    start = models.linear(SPLITS.train, seed=1)
    first = stage(start, SPLITS.train, epochs=2)
    (path,) = (cache / "stages").glob("*.pt")
    if damage is None:
        torch.save(dict(torch.load(path), weights={}), path)
    else:
        path.write_bytes(damage)
    ran = count(monkeypatch)
    assert torch.equal(stage(start, SPLITS.train, epochs=2).head.weight, first.head.weight) and len(ran) == 1
    stage(start, SPLITS.train, epochs=2)
    assert len(ran) == 1


def test_what_cannot_be_known_is_trained_and_not_kept(cache):
    generator = torch.Generator().manual_seed(0)
    noise = lambda x: x + torch.rand(x.shape, generator=generator) + (lambda lock: 0)(__import__("threading").Lock())  # noqa: E731
    stage(models.linear(SPLITS.train), SPLITS.train, epochs=1, augment=noise)
    assert not (cache / "stages").exists()


def test_a_stage_takes_the_settings_of_the_run_that_asks_and_tells_its_time(cache):
    start = models.mlp(SPLITS.train, hidden=(8,), seed=1)
    first = train(start, SPLITS.train, FineTuned(epochs=2), epochs=1, seed=3, batch_size=30, lr=0.2)
    by_hand = train(start, SPLITS.train, epochs=2, seed=3, batch_size=30, lr=0.05).model
    assert torch.equal(first.model.features[1].weight, by_hand.features[1].weight)
    assert not torch.equal(first.model.head.weight, by_hand.head.weight)
    (path,) = (cache / "stages").glob("*.pt")
    torch.save(dict(torch.load(path), seconds=1000.0), path)
    again = train(start, SPLITS.train, FineTuned(epochs=2), epochs=1, seed=3, batch_size=30, lr=0.2)
    assert torch.equal(first.model.head.weight, again.model.head.weight) and 1000 < again.seconds < 1060


def test_a_kept_stage_draws_nothing_from_the_run():
    """The first time it is trained, the second time read: dropout afterwards is the same."""
    start = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    runs = [train(start, SPLITS.train, FineTuned(epochs=2), **HOW).model for _ in "ab"]
    assert all(torch.equal(a, b) for a, b in zip(*(run.parameters() for run in runs)))


@pytest.mark.slow
def test_a_study_shares_the_stage_of_its_methods(cache):
    """Six runs of two seeds, and one stage for each seed; kept where this process keeps, however old its workers."""
    with keeping_in(cache / "another"):
        study({"erm": ERM()}, toys.shortcut, seeds=2, epochs=1, n_jobs=2, progress=False)
    methods = {each: SMOTE(warm_up=2, interpolation=each) for each in ("random", "middle", "repeat")}
    found = study(methods, toys.shortcut, seeds=2, epochs=3, n_jobs=2, progress=False)
    assert len(list((cache / "stages").glob("*.pt"))) == 2 and len(found.records) == 6


def trained_start(data, *, seed):
    return stage(models.linear(data, seed=seed), data, epochs=2, seed=seed, lr=0.05)


def test_each_method_may_have_its_own_start_and_a_trained_one_is_trained_once(cache):
    methods = {"fresh": ERM(), "trained": ERM(), "trained, mining": SAM()}
    starts = {name: trained_start if "trained" in name else models.linear for name in methods}
    found = study(methods, SPLITS, seeds=2, model=starts, epochs=1, n_jobs=1, progress=False)
    assert len(list((cache / "stages").glob("*.pt"))) == 2
    losses = {(r["name"], r["seed"]): r["history"][0]["loss"] for r in found.records}
    assert all(losses["fresh", seed] > losses["trained", seed] for seed in (0, 1))
    with pytest.raises(TypeError, match="model has starts for fresh; give one for each of fresh, trained"):
        study(methods, SPLITS, model={"fresh": models.linear})


def test_a_stage_that_leaves_no_epoch_is_refused():
    start = models.mlp(SPLITS.train)
    with pytest.raises(
        ValueError, match="SMOTE begins with epoch 6, after what comes first, and there are 5; train for"
    ):
        train(start, SPLITS.train, SMOTE(warm_up=5), epochs=5)
    assert len(train(start, SPLITS.train, SMOTE(warm_up=5), epochs=7).records) == 2


def test_fresh_layers_depend_on_the_seed_of_the_run_only():
    def hidden(seed, dropout):
        with contexts.isolated_randomness(seed):
            torch.rand(3 * dropout)
            with contexts.fresh_layers():
                layer = nn.Linear(2, 2)
            return layer.weight, torch.rand(1)

    (a, drawn), (b, later), (c, _) = hidden(5, 0), hidden(5, 1), hidden(6, 0)
    assert torch.equal(a, b) and not torch.equal(a, c) and drawn != later
    with contexts.isolated_randomness(5):
        assert torch.rand(1) == drawn


def test_the_onlooker_is_told_of_every_update_after_it(toy):
    seen = []

    def look(model, batch, state, loss):
        seen.append((state.epoch, state.progress, len(batch.labels), float(loss), copy.deepcopy(model.head.weight)))

    start = models.linear(toy.train, seed=1)
    run = train(start, toy.train, epochs=2, batch_size=200, on_step=look)
    assert [each[:3] for each in seen] == [(1, 0.0, 200), (1, 0.25, 200), (2, 0.5, 200), (2, 0.75, 200)]
    assert torch.equal(seen[-1][4], run.model.head.weight) and not torch.equal(seen[0][4], start.head.weight)
    assert run.records[-1]["loss"] == pytest.approx((seen[2][3] + seen[3][3]) / 2)


def test_a_rehearsal_takes_one_step_of_each_part(cache):
    """Of the plain epochs and of what comes after them, of a stage too; and keeps nothing."""
    seen = []

    @dataclass(frozen=True, kw_only=True)
    class Later(WithPartner):
        """min: begins in its third epoch."""

        first_epoch = 3

        def loss(self, model, batch, state):
            seen.append(state.epoch)
            return super().loss(model, batch, state)

    settings = training.checked_settings(training.DEFAULTS | dict(batch_size=10))
    loop = training.Loop(Later(), settings, torch.device("cpu"), rehearsal=True)
    loop.run(models.linear(SPLITS.train), SPLITS.train, {})
    assert seen == [1, 3] and not (cache / "stages").exists()
