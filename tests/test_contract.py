"""What every method promises, whichever it is. A new method in `methods.METHODS` is tested without being named; recipes
that are not there are named in `RECIPES`."""

import copy
import dataclasses
import functools
import io

import pytest
import torch
from own_methods import OWN

from debias_course import contexts, models
from debias_course.data import Batch, smooth_labels, toys, weigh
from debias_course.method import taken
from debias_course.methods import METHODS, ColoredMNISTDecoupling, Method, Unsuitable, knobs, method_name
from debias_course.training import make_optimizer, train

RECIPES = {"colored-mnist-decoupling": ColoredMNISTDecoupling}
PLANE = toys.shortcut(n=64, aligned_share=0.75, seed=3)
# The same as images, a channel for each coordinate, with noise: for methods that need a network with stages.
IMAGES = PLANE._replace(
    **{
        name: dataclasses.replace(
            part,
            inputs=part.inputs[:, :, None, None] + torch.randn(64, 2, 4, 4, generator=torch.Generator().manual_seed(0)),
        )
        for name, part in zip(PLANE._fields, PLANE)
    }
)


def variants():
    """Each method with its defaults, and once for every other choice of every knob that offers choices; and small ones
    that show what the other hooks are for."""
    for name, kind in (METHODS | RECIPES).items():
        yield pytest.param(kind(), id=name)
        for knob, declared in knobs(kind).items():
            for choice in declared.choices:
                if choice != declared.default:
                    yield pytest.param(kind(**{knob: choice}), id=f"{name}-{knob}-{choice}", marks=pytest.mark.slow)
    for kind in OWN:
        yield pytest.param(kind(), id=f"own-{method_name(kind)}")


each_method = pytest.mark.parametrize("method", list(variants()))


@functools.cache
def ground(method):
    """A data set and a network that the method can be tried on: points of a plane, or else images."""
    start = models.mlp(PLANE.train, hidden=(8,), seed=1)
    try:
        method.model(copy.deepcopy(start), PLANE.train)
        return PLANE, start
    except ValueError:
        return IMAGES, models.staged(IMAGES.train, widths=(4, 6), seed=1)


def setting(method):
    """A model, a state in the first epoch in which the method does what it is for, and a batch."""
    data, start = ground(method)
    with contexts.isolated_randomness(0):
        model = method.model(copy.deepcopy(start), data.train).train()
        state = opened(method.start(model, data.train), method)
        seen = method.data(model, data.train, state)
    return model, state, seen.batch(torch.arange(32))


def opened(state, method):
    """As the training loop hands it to the loss, half-way."""
    state.epoch = max(state.epoch, method.first_epoch)
    return state.begin(progress=0.5)


def run(method, seed=4, data=None, **how):
    """Two epochs of what the method is for."""
    known, start = ground(method)
    epochs = setting(method)[1].epoch + 1
    return train(start, data or known.train, method, epochs=epochs, batch_size=16, seed=seed, **how)


def same(first, second):
    """Whether two runs ended with the same weights."""
    return all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters()))


def moved(method, model, state):
    """The parameters that the run's optimiser moves."""
    groups = method.parameters(model, state)
    return [each for group in groups for each in group["params"] if each.requires_grad]


@each_method
def test_loss_is_a_finite_scalar_and_its_gradient_reaches_all_that_is_trained(method):
    model, state, batch = setting(method)
    loss = method.loss(model, batch, state)
    assert loss.shape == () and torch.isfinite(loss)
    loss.backward()
    trained = moved(method, model, state)
    assert trained and all(p.grad.abs().sum() > 0 for p in trained)


def draws(method):
    """Whether its loss draws at random. Draws belong to places in the batch: it is invariant on average only."""
    model, state, batch = setting(method)
    before = state.generator.get_state()
    method.loss(model, batch, state)
    return not torch.equal(state.generator.get_state(), before)


@pytest.mark.parametrize("method", [case for case in variants() if not draws(case.values[0])])
def test_loss_does_not_depend_on_the_order_of_samples(method):
    model, state, batch = setting(method)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    again = setting(method)[1]
    shuffled = Batch(*(part[order] for part in batch))
    torch.testing.assert_close(method.loss(model, batch, state), method.loss(model, shuffled, again))


@each_method
def test_int32_and_int64_groups_agree(method):
    model, state, batch = setting(method)
    short = batch._replace(groups=batch.groups.int(), attributes=batch.attributes.int())
    assert torch.equal(method.loss(model, batch, state), method.loss(model, short, setting(method)[1]))


@each_method
def test_a_model_may_edit_its_inputs_in_place(method):
    """Whoever needs them again hands it a copy: an update is that of a model that leaves them alone."""
    edits = dict(
        in_place=lambda module, given: (given[0].sub_(0.5).div_(0.25),),
        apart=lambda module, given: (given[0].sub(0.5).div(0.25),),
    )
    seen = []
    for edit in edits.values():
        model, state, batch = setting(method)
        model.features[0].register_forward_pre_hook(edit)
        optimizer = make_optimizer("sgd", method.parameters(model, state), 0.1, 0.0)
        loss = method.step(model, batch, state, optimizer)
        seen.append([loss, *moved(method, model, state)])
    assert all(torch.equal(a, b) for a, b in zip(*seen))


@each_method
def test_a_whole_step_runs_on_the_meta_device(method):
    """No data exist there: whatever looks at a value or brings a tensor from elsewhere fails. So the step never waits
    for the device, and everything follows the device of its input."""
    model, state, batch = setting(method)
    model, state = model.to("meta"), state.to("meta")
    state.generator = None  # there is none for this device
    optimizer = make_optimizer("adamw", method.parameters(model, state), 1e-3, 0.1)
    loss = method.step(model, Batch(*(part.to("meta") for part in batch)), state, optimizer)
    assert loss.device.type == "meta" and loss.shape == ()


@each_method
def test_training_leaves_the_global_random_state_and_the_model_alone(method):
    data, model = ground(method)
    before, weights = torch.get_rng_state(), [p.clone() for p in model.parameters()]
    run(method, validation=data.validation)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(p, w) and p.grad is None for p, w in zip(model.parameters(), weights))


@each_method
def test_training_is_the_same_for_the_same_seed_only(method):
    first, again, other = (run(method, seed) for seed in (4, 4, 5))
    same = [torch.equal(a, b) for a, b in zip(first.model.parameters(), again.model.parameters())]
    changed = [torch.equal(a, b) for a, b in zip(first.model.parameters(), other.model.parameters())]
    assert all(same) and not any(changed)


@each_method
def test_weights_and_soft_labels_are_looked_at_or_refused(method):
    """Targets that are the labels change nothing, and others do."""
    given = ground(method)[0].train
    ones = torch.ones(len(given))
    if "targets" not in taken(method):
        with pytest.raises(Unsuitable, match=f"weights or soft labels, which {type(method).__name__} does not look at"):
            run(method, data=weigh(given, ones))
        return
    plain = run(method)
    assert same(run(method, data=weigh(given, ones)), plain)
    assert not same(run(method, data=weigh(given, ones.scatter(0, torch.arange(20), 3.0))), plain)
    assert not same(run(method, data=smooth_labels(given, 0.2)), plain)


@each_method
def test_samples_without_a_label_are_used_or_refused(method):
    given = ground(method)[0].train
    some = dataclasses.replace(given, labels=given.labels.where(given.attributes == 0, -1))
    if "unlabelled" not in taken(method):
        with pytest.raises(Unsuitable, match=r"\d+ of 64 training samples have no label, and"):
            run(method, data=some)
        return
    swapped = dataclasses.replace(given, labels=given.labels.where(given.attributes == 0, 1 - given.labels))
    labels_are_read = getattr(method, "labelled", "all") == "all"
    assert same(run(method, data=some), run(method, data=swapped)) != labels_are_read


@each_method
def test_a_schedule_holds_for_all_that_the_optimiser_moves(method):
    """A factor of 0 moves nothing, and others do."""
    for schedule, still in (lambda progress: 0.0, True), ("cosine", False):
        seen = []

        def look(model, batch, state, loss, seen=seen):
            seen.append([each.detach().clone() for each in moved(method, model, state)])

        run(method, schedule=schedule, weight_decay=0.1, on_step=look)
        assert len(seen) > 2 and all(torch.equal(a, b) for a, b in zip(seen[0], seen[-1])) == still


@each_method
def test_state_survives_saving_and_loading(method):
    model, state, batch = setting(method)
    method.loss(model, batch, state)
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    file.seek(0)
    fresh = method.start(model, ground(method)[0].train)
    fresh.load_state_dict(torch.load(file))
    assert (fresh.epoch, fresh.progress) == (state.epoch, 0.5)
    again, loaded = (method.loss(model, batch, each) for each in (state, fresh))
    assert torch.equal(again, loaded)


def reads_groups(method):
    """Whether it keeps a number per group; others take a mean loss, whoever is in the batch."""
    return any(each.ndim and len(each) == PLANE.train.n_groups for each in setting(method)[1].buffers())


# Data with an unknown group cannot be built (test_data).
@pytest.mark.parametrize("method", [case for case in variants() if reads_groups(case.values[0])])
@pytest.mark.parametrize("unknown", [-1, PLANE.train.n_groups])
def test_a_loss_that_reads_groups_refuses_an_unknown_one(method, unknown):
    model, state, batch = setting(method)
    with pytest.raises((IndexError, RuntimeError)):
        method.loss(model, batch._replace(groups=torch.full_like(batch.groups, unknown)), state)


@each_method
def test_a_method_is_frozen_described_and_rebuilt_from_its_fields(method):
    assert isinstance(method, Method) and dataclasses.replace(method) == method
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.anything = 1
    assert METHODS.get(method_name(method), type(method)) is type(method)
    first = type(method).__doc__.strip().splitlines()[0]
    assert "min" in first, f"the docstring of {type(method).__name__} should open with its equation"
    for name, declared in knobs(method).items():
        assert declared.help
        for value in (declared.default, *declared.search):
            assert declared.check(name, value) == value
