"""Lecture 08: adversarial training. Vectors: the closed form of logistic regression, worked by hand."""

import warnings
from dataclasses import replace

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.transforms.v2 import Normalize

from debias_course import evaluate, figures, models, train
from debias_course.data import GroupedData, colored_digits, toys
from debias_course.lectures.adversarial_training import attacked, measurements, pictures
from debias_course.lectures.adversarial_training.measurements import AdversarialTrainingLesson
from debias_course.lectures.adversarial_training.panel import fit_digits
from debias_course.methods import ERM, AdversarialTraining, BatchSampling
from debias_course.methods.adversarial_training import RobustReport, describe, robust_evaluate
from debias_course.methods.attacks import ascent, attack, fgsm, frozen, input_gradient, project, random_point

W, X = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([[0.2, 0.5, 0.9]])
ONE = torch.tensor([1])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def logistic(w=W):
    """Two logits, 0 and w · x: the cross-entropy is that of logistic regression."""
    layer = nn.Linear(len(w), 2, bias=False)
    layer.weight.data = torch.stack([torch.zeros_like(w), w])
    return layer


def losses(model, x, labels):
    return F.cross_entropy(model(x), labels, reduction="none")


def noisy_images(n=12, seed=0):
    """Images with plenty of pixels at 0 and at 1, and a network that is not linear in them."""
    x = (torch.rand(n, 1, 8, 8, generator=generator(seed)) * 2 - 0.5).clamp(0, 1)
    labels = torch.arange(n) % 3
    data = GroupedData(x, labels, labels * 0, ("a", "b", "c"), ("any",))
    return models.cnn(data, channels=(4,), seed=seed), x, labels


def test_fgsm_of_logistic_regression_by_hand():
    """x' = x - ε sign(w) for label 1: the margin falls by ε ‖w‖₁ = 0.35."""
    moved = fgsm(logistic(), X, ONE, radius=0.1)
    torch.testing.assert_close(moved, torch.tensor([[0.1, 0.6, 0.8]]))
    assert losses(logistic(), X, ONE).item() == pytest.approx(0.8833822, abs=1e-6)
    assert losses(logistic(), moved, ONE).item() == pytest.approx(1.1031861, abs=1e-6)
    assert (X @ W).item() == pytest.approx(-0.35) and (moved @ W).item() == pytest.approx(-0.70)
    other = fgsm(logistic(), X, 1 - ONE, radius=0.1)
    torch.testing.assert_close(other, torch.tensor([[0.3, 0.4, 1.0]]))


def test_pixels_are_cut_off_at_black_and_white():
    torch.testing.assert_close(fgsm(logistic(), X, 1 - ONE, radius=0.3), torch.tensor([[0.5, 0.2, 1.0]]))
    free = fgsm(logistic(), X, 1 - ONE, radius=0.3, clip=False)
    torch.testing.assert_close(free, torch.tensor([[0.5, 0.2, 1.2]]))


@pytest.mark.parametrize("steps, step_size", [(1, 0.1), (4, 0.025), (7, None), (40, 0.01), (3, 5.0)])
@pytest.mark.parametrize("random_start", [False, True])
def test_pgd_reaches_the_same_point_where_its_steps_reach_far_enough(steps, step_size, random_start):
    step_size = 2 * step_size if step_size and random_start else step_size  # from the other end of the ball
    how = dict(radius=0.1, steps=steps, step_size=step_size, random_start=random_start, generator=generator())
    torch.testing.assert_close(attack(logistic(), X, ONE, **how), torch.tensor([[0.1, 0.6, 0.8]]))


def test_a_targeted_attack_goes_down_the_loss_of_another_label():
    how = dict(radius=0.1, steps=4, random_start=False)
    moved = attack(logistic(), X, 1 - ONE, targeted=True, **how)
    assert torch.equal(moved, attack(logistic(), X, ONE, **how))  # of two, away from one is towards the other
    model, x, labels = noisy_images()
    wanted = (labels + 1) % 3
    how = dict(radius=0.5, steps=20, targeted=True, generator=generator())
    reached = [(model(attack(model, x, wanted, restarts=n, **how)).argmax(1) == wanted).sum() for n in (1, 5)]
    assert (model(x).argmax(1) == wanted).sum() < reached[0] <= reached[1]
    with pytest.raises(ValueError, match="targeted is 'yes'; use True or False"):
        attack(model, x, wanted, radius=0.1, targeted="yes", random_start=False)


def test_a_network_that_wants_normalised_pixels_is_attacked_with_what_normalises_them():
    """The same point as by an attack in its own space, whose radius and bounds belong to each channel."""
    mean, std, w = torch.tensor([[0.2, 0.6], [0.5, 0.1], [2.0, -3.0]])
    x = torch.tensor([[0.3, 0.95]]).view(1, 2, 1, 1)
    own = nn.Sequential(nn.Flatten(), logistic(w))
    moved = attack(
        nn.Sequential(Normalize(mean.tolist(), std.tolist()), own), x, ONE, radius=0.1, steps=3, random_start=False
    )
    by_hand = (x.flatten(1) - mean) / std - 0.1 / std * w.sign()
    highest = (1 - mean) / std
    torch.testing.assert_close((moved.flatten(1) - mean) / std, by_hand.minimum(highest))


def test_steps_that_are_too_short_do_not_get_there():
    moved = attack(logistic(), X, ONE, radius=0.1, steps=3, step_size=0.01, random_start=False)
    torch.testing.assert_close(moved, X - 0.03 * W.sign())


def test_an_attack_in_l2_of_logistic_regression_by_hand():
    """x' = x - ε w / ‖w‖: the margin falls by ε ‖w‖ = 0.1 · 2.2912878."""
    how = dict(radius=0.1, norm="L2", random_start=False, clip=False)
    for steps, step_size in ((1, 0.1), (5, 0.02), (5, 1.0)):
        moved = attack(logistic(), X, ONE, steps=steps, step_size=step_size, **how)
        torch.testing.assert_close(moved, X - 0.1 * W / 5.25**0.5)
    assert ((X - moved) @ W).item() == pytest.approx(0.22912878)


@pytest.mark.parametrize("norm, radius", [("max", 0.1), ("max", 0.6), ("L2", 0.5), ("L2", 4.0)])
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_no_attack_leaves_the_ball_or_the_pixels(norm, radius, steps):
    model, x, labels = noisy_images()
    moved = attack(model, x, labels, radius=radius, steps=steps, norm=norm, restarts=2, generator=generator())
    change = (moved - x).flatten(1)
    reached = change.abs().amax(1) if norm == "max" else change.norm(dim=1)
    assert (reached <= radius + 1e-6).all() and (reached > 0.1 * radius).all()
    assert moved.min() == 0 and moved.max() == 1 and not moved.requires_grad and moved.dtype == x.dtype


@pytest.mark.parametrize("norm", ["max", "L2"])
def test_more_steps_make_the_loss_larger(norm):
    model, x, labels = noisy_images()
    radius = 0.1 if norm == "max" else 1.0
    how = dict(radius=radius, norm=norm, random_start=False)
    got = [losses(model, attack(model, x, labels, steps=k, **how), labels).sum() for k in (0, 1, 10)]
    assert got[0] < got[1] < got[2] + 1e-4 and got[2] > got[0] + 0.1


@pytest.mark.parametrize("norm", ["max", "L2"])
@pytest.mark.parametrize("start", [False, True])
def test_radius_zero_moves_nothing_to_the_bit(norm, start):
    model, x, labels = noisy_images()
    moved = attack(
        model, x, labels, radius=0.0, steps=3, step_size=0.1, norm=norm, random_start=start, generator=generator()
    )
    assert torch.equal(moved, x)
    moved = attack(model, x, labels, radius=0.0, steps=3, norm=norm, random_start=start, generator=generator())
    assert torch.equal(moved, x)


def test_no_steps_and_steps_of_no_length_leave_the_start():
    model, x, labels = noisy_images()
    for how in (dict(steps=0), dict(steps=0, step_size=0.1), dict(steps=3, step_size=0.0)):
        assert torch.equal(attack(model, x, labels, radius=0.2, random_start=False, **how), x)
        drawn = attack(model, x, labels, radius=0.2, generator=generator(3), **how)
        noise = random_point(x, 0.2, "max", generator(3))
        torch.testing.assert_close(drawn, (x + noise).clamp(0, 1))


def test_one_step_of_full_length_from_the_input_is_fgsm():
    model, x, labels = noisy_images()
    one = attack(model, x, labels, radius=0.1, steps=1, step_size=0.1, random_start=False)
    assert torch.equal(one, fgsm(model, x, labels, radius=0.1))
    gradient = input_gradient(model, x, labels)
    torch.testing.assert_close(one, (x + 0.1 * gradient.sign()).clamp(0, 1))


def test_no_gradient_means_no_move():
    flat = logistic(torch.zeros(3))
    for norm in ("max", "L2"):
        assert torch.equal(attack(flat, X, ONE, radius=0.1, steps=5, norm=norm, random_start=False), X)
        assert torch.equal(ascent(torch.zeros(2, 3), norm), torch.zeros(2, 3))
    one_dead = ascent(torch.tensor([[0.0, -3.0]]), "max")
    assert one_dead.tolist() == [[0, -1]]


@pytest.mark.parametrize("size", [1e-40, 1e-30, 1.0, 1e30])
def test_the_direction_has_length_one_however_small_or_large_the_gradient(size):
    direction = ascent(torch.tensor([[3.0, -4.0]]) * size, "L2")
    torch.testing.assert_close(direction, torch.tensor([[0.6, -0.8]]), rtol=1e-3, atol=1e-3)


def test_the_projection_is_the_nearest_point():
    x, far = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.8, 0.9]])
    torch.testing.assert_close(project(far, x, 0.1, "max", True), torch.tensor([[0.6, 0.6]]))
    torch.testing.assert_close(project(far, x, 0.1, "L2", True), torch.tensor([[0.56, 0.58]]))
    for norm in ("max", "L2"):
        torch.testing.assert_close(project(x + 0.01, x, 0.1, norm, True), x + 0.01)
        assert torch.equal(project(x, x, 0.0, norm, True), x)


def test_random_points_fill_the_ball():
    x = torch.zeros(4000, 2)
    inside = random_point(x, 0.5, "max", generator())
    assert inside.abs().max() <= 0.5 and inside.mean(0).abs().max() < 0.02
    assert (inside.abs() < 0.25).float().mean() == pytest.approx(0.5, abs=0.03)
    lengths = random_point(x, 0.5, "L2", generator()).norm(dim=1)
    assert lengths.max() <= 0.5 + 1e-6 and (lengths < 0.25).float().mean() == pytest.approx(0.25, abs=0.03)


def test_the_start_is_drawn_by_the_generator_alone():
    model, x, labels = noisy_images()
    how = dict(radius=0.2, steps=1, step_size=0.05)
    before = torch.get_rng_state()
    first, again, other = (attack(model, x, labels, generator=generator(s), **how) for s in (4, 4, 5))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match=r"pass generator=torch.Generator\(\), or random_start=False"):
        attack(model, x, labels, **how)


@pytest.mark.slow
def test_sixty_attacks_equal_a_reference_in_double_precision():
    """Coordinate by coordinate in the max norm, as the papers write it."""
    draws = generator(7)
    for _ in range(60):
        w = torch.randn(5, 3, generator=draws, dtype=torch.float64)
        model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3, bias=False)).double()
        model[2].weight.data = w.T.contiguous()
        x, labels = torch.rand(4, 5, generator=draws, dtype=torch.float64), torch.randint(3, (4,), generator=draws)
        moved = attack(model, x, labels, radius=0.2, steps=6, step_size=0.07, random_start=False)
        for i in range(4):
            point = x[i].clone()
            for _step in range(6):
                point.requires_grad_()
                loss = -torch.log_softmax(model(point), 0)[labels[i]]
                (slope,) = torch.autograd.grad(loss, point)
                steps = zip(point.tolist(), x[i].tolist(), slope.tolist())
                signs = [(p + 0.07 * ((s > 0) - (s < 0)), o) for p, o, s in steps]
                point = torch.tensor([min(max(p, o - 0.2, 0.0), o + 0.2, 1.0) for p, o in signs], dtype=torch.float64)
            torch.testing.assert_close(moved[i], point)


class Watched(nn.Module):
    """Batch norm and dropout, which differ in training, and one batch norm that is frozen."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.BatchNorm1d(8))
        self.head = nn.Linear(8, 2)
        self.modes = []
        self.features[3].eval()
        self.features[0].bias.requires_grad_(False)

    def forward(self, x):
        self.modes.append((self.features[1].training, any(p.requires_grad for p in self.parameters())))
        if len(self.modes) > 2 and getattr(self, "fails", False):
            raise RuntimeError("out of order")
        return self.head(self.features(x))


@pytest.mark.parametrize("fails", [False, True])
def test_the_attack_leaves_no_trace_in_the_model(fails):
    model, x, labels = Watched(), torch.rand(6, 3, generator=generator()), torch.arange(6) % 2
    losses(model, x, labels).sum().backward()
    model.modes.clear()
    model.fails = fails
    modes = [module.training for module in model.modules()]
    asked = [parameter.requires_grad for parameter in model.parameters()]
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    buffers = [each.clone() for each in model.buffers()]
    if fails:
        with pytest.raises(RuntimeError, match="out of order"):
            attack(model, x, labels, radius=0.1, steps=4, random_start=False)
    else:
        attack(model, x, labels, radius=0.1, steps=4, restarts=2, generator=generator())
    assert model.modes and set(model.modes) == {(False, False)}  # evaluation mode, no parameter in the graph
    assert [module.training for module in model.modules()] == modes and modes[0] and not all(modes)
    assert [parameter.requires_grad for parameter in model.parameters()] == asked and not all(asked)
    for parameter, gradient in zip(model.parameters(), gradients):
        assert parameter.grad is gradient is None or torch.equal(parameter.grad, gradient)
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), buffers))


def test_frozen_restores_what_was_asked_before():
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    with frozen(model):
        assert not model.weight.requires_grad
    assert model.weight.requires_grad and not model.bias.requires_grad


def test_an_attack_works_where_gradients_are_switched_off():
    with torch.no_grad():
        torch.testing.assert_close(fgsm(logistic(), X, ONE, radius=0.1), torch.tensor([[0.1, 0.6, 0.8]]))


def test_a_model_may_edit_its_inputs_in_place():
    class Editing(nn.Linear):
        def forward(self, x):
            return super().forward(x.sub_(0.5).div_(0.25))

    class Apart(nn.Linear):
        def forward(self, x):
            return super().forward((x - 0.5) / 0.25)

    x, labels = torch.rand(6, 3, generator=generator()), torch.arange(6) % 2
    moved = []
    for kind in (Editing, Apart):
        model, given = kind(3, 2), x.clone()
        model.load_state_dict(dict(weight=torch.stack([-W, W]), bias=torch.zeros(2)))
        moved.append(attack(model, given, labels, radius=0.1, steps=3, restarts=3, generator=generator()))
        moved.append(fgsm(model, given, labels, radius=0.1))
        assert torch.equal(given, x)
    assert torch.equal(moved[0], moved[2]) and torch.equal(moved[1], moved[3])


@pytest.mark.parametrize("clip", [True, (0.0, 1.0), (-1.0, 1.0)])
def test_inputs_out_of_bounds_are_refused_instead_of_moved_by_more_than_the_radius(clip):
    x, labels = torch.randn(50, 3, generator=generator()), torch.zeros(50, dtype=torch.int64)
    words = (
        r"reach from -2\.\d+ to 3\.\d+, and clipping to \[.*\] would move them by more than the radius; .* clip=False"
    )
    for given in (fgsm, attack):
        how = dict(generator=generator()) if given is attack else {}
        with pytest.raises(ValueError, match=words):
            given(logistic(), x, labels, radius=0.1, clip=clip, **how)
    for free in (False, (-4.0, 4.0)):
        assert (fgsm(logistic(), x, labels, radius=0.1, clip=free) - x).abs().max().item() == pytest.approx(0.1)
    cut = fgsm(logistic(), x, labels, radius=0.5, clip=(float(x.min()), float(x.max())))
    assert (cut - x).abs().max() <= 0.5 + 1e-6 and cut.min() == x.min() and cut.max() == x.max()


@pytest.mark.slow
def test_images_that_an_augmentation_moves_out_of_bounds_are_refused(digits):
    part = digits.train.subset(torch.arange(64))
    with pytest.raises(ValueError, match="inputs reach from -2 to 1.6.*, .* let the model normalise pixels"):
        train(models.linear(part), part, AdversarialTraining(), epochs=1, augment=lambda x: (x - 0.5) / 0.25)


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(norm="L1"), "norm is 'L1'; use one of 'max', 'L2'"),
        (dict(radius=-0.1), "radius is -0.1; use a number from 0, in units of the inputs"),
        (dict(radius=float("nan")), "radius is nan; use a number from 0"),
        (dict(step_size=-1.0), "step_size is -1.0; use a number from 0"),
        (dict(steps=1.5), "steps is 1.5; use a whole number from 0"),
        (dict(steps=-1), "steps is -1; use a whole number from 0"),
        (dict(restarts=0), "restarts is 0; use a whole number from 1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        attack(logistic(), X, ONE, **(dict(radius=0.1, random_start=False) | change))


def test_whole_pixels_and_broken_gradients_are_refused():
    with pytest.raises(TypeError, match="inputs are torch.uint8; .* divide by 255 first"):
        fgsm(logistic(), torch.zeros(1, 3, dtype=torch.uint8), ONE, radius=0.1)
    with pytest.raises(FloatingPointError, match="the gradient of the loss by the inputs is not finite"):
        fgsm(logistic(W * torch.nan), X, ONE, radius=0.1)
    for norm in ("max", "L2"):  # on a GPU nobody looks: it has to reach the loss
        assert torch.isnan(ascent(torch.tensor([[torch.nan, 1.0]]), norm)[0, 0])
        assert torch.isnan(project(X * torch.nan, X, 0.1, norm, True)).all()


def test_a_restart_keeps_what_is_wrong_before_what_has_a_high_loss():
    """Three classes: a wrong answer may have a lower loss than a right one, and is the worse of the two."""

    class Table(nn.Module):
        def forward(self, x):
            right_unsure, wrong = torch.tensor([1.0, 0.99, 0.98]), torch.tensor([3.0, 3.1, -9.0])
            return torch.where(x > 0.5, wrong, right_unsure)

    from debias_course.methods.attacks import _worse

    unsure, wrong, label = torch.tensor([[0.0]]), torch.tensor([[1.0]]), torch.tensor([0])
    assert losses(Table(), unsure, label) > losses(Table(), wrong, label)
    for pair in ((unsure, wrong), (wrong, unsure)):
        assert torch.equal(_worse(Table(), *pair, label, 1), wrong)
        assert torch.equal(_worse(Table(), *pair, label, -1), unsure)  # it should be said, and is


@pytest.fixture(scope="module")
def trained():
    """Plain and adversarial training of a linear model on few coloured digits."""
    parts = colored_digits(seed=0)
    part = parts.train.subset(torch.arange(0, len(parts.train), 5))
    start = models.linear(part)
    how = dict(epochs=8, lr=0.01)
    runs = {name: train(start, part, m, **how).model for name, m in dict(plain=ERM(), robust=SHORT).items()}
    return runs, parts.test


SHORT = AdversarialTraining(radius=0.05, steps=2)


@pytest.mark.slow
def test_the_report_names_the_attack_and_only_loses_to_a_stronger_one(trained):
    models_, test = trained
    model = models_["plain"]
    clean = evaluate(model, test)
    report = robust_evaluate(model, test, radius=0.03, steps=5)
    assert isinstance(report, RobustReport) and report.n == clean.n and report.group_names == clean.group_names
    assert str(report).startswith("under PGD-5 (max norm, radius 0.03, step 0.015, best of 1 random start): overall ")
    zero = robust_evaluate(model, test, radius=0.0, steps=2, random_start=False)
    assert zero.correct == clean.correct and repr(zero).startswith("under PGD-2 (max norm, radius 0, ")
    weak = robust_evaluate(model, test, radius=0.03, steps=1, step_size=0.0)
    four = robust_evaluate(model, test, radius=0.03, steps=1, step_size=0.0, restarts=4)
    assert all(b <= a for a, b in zip(weak.correct, four.correct)) and sum(four.correct) < sum(weak.correct)
    assert sum(report.correct) < min(sum(weak.correct), sum(clean.correct)) - 100
    assert "best of 4 random starts" in four.attack
    assert robust_evaluate(model, test, radius=0.03, steps=1, step_size=0.0).correct == weak.correct
    assert describe(radius=0.1, steps=1, step_size=0.1, norm="max", random_start=False, restarts=1) == (
        "FGSM (max norm, radius 0.1, step 0.1, from the input)"
    )


def test_a_linear_model_loses_exactly_what_the_closed_form_says(trained):
    """Two classes: the margin of each sample falls by ε ‖w₁ - w₀‖₁, where no pixel is cut off."""
    model, test = trained[0]["plain"], trained[1]
    floats = replace(test, inputs=test.batch(torch.arange(len(test))).inputs)  # features, which are not clipped
    margins = (model(floats.inputs).diff(dim=1)[:, 0] * (2 * floats.labels - 1)).detach()
    reach = 0.01 * float(model.head.weight.detach().diff(dim=0).abs().sum())
    report = robust_evaluate(model, floats, radius=0.01, steps=3)
    assert sum(report.correct) == int((margins > reach).sum())
    assert robust_evaluate(model, test, radius=0.01, steps=3).overall.value >= report.overall.value


def test_training_on_attacks_makes_robust_to_them(trained):
    robust = {n: robust_evaluate(m, trained[1], radius=0.05, steps=10).overall.value for n, m in trained[0].items()}
    assert robust["robust"] > robust["plain"] + 0.1


def test_batches_of_the_evaluation_do_not_matter_without_a_random_start(trained):
    model, test = trained[0]["robust"], trained[1]
    how = dict(radius=0.05, steps=3, random_start=False)
    assert robust_evaluate(model, test, **how, batch_size=77).correct == robust_evaluate(model, test, **how).correct


def opened(method, model, data, progress=1.0):
    state = method.start(model, data)
    return state.begin(progress=progress)


def test_without_a_radius_it_is_plain_training_to_the_bit(digits):
    part = digits.train.subset(torch.arange(0, 3000, 30))
    start = models.cnn(part, channels=(2, 4))
    plain = train(start, part, ERM(), epochs=2, batch_size=32).model
    for method in (
        AdversarialTraining(radius=0.0, steps=2),
        AdversarialTraining(radius=0.0, steps=2, norm="L2"),
        AdversarialTraining(steps=0, random_start=False),
        AdversarialTraining(reach=0.0, steps=2, random_start=False),
        AdversarialTraining(share=0.0),
    ):
        same = train(start, part, method, epochs=2, batch_size=32).model
        assert all(torch.equal(a, b) for a, b in zip(same.parameters(), plain.parameters()))


def test_the_loss_is_that_of_the_attacked_batch(digits):
    model, part = models.mlp(digits.train, hidden=(8,)), digits.train
    batch = part.batch(torch.arange(20))
    method = AdversarialTraining(radius=0.1, steps=3, random_start=False)
    moved = attack(model, batch.inputs, batch.labels, radius=0.1, steps=3, random_start=False)
    loss = method.loss(model, batch, opened(method, model, part))
    torch.testing.assert_close(loss, losses(model, moved, batch.labels).mean())
    assert loss > losses(model, batch.inputs, batch.labels).mean() + 0.05
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    reference = torch.autograd.grad(losses(model, moved, batch.labels).mean(), list(model.parameters()))
    torch.testing.assert_close(gradients, reference)  # none flows through the attack


def test_attacked_samples_are_added_to_clean_ones_by_their_share(digits):
    """c ℓ(x + δ) + (1 - c) ℓ(x), and with c = 1 the loss of the attacked batch to the bit."""
    model, part = models.mlp(digits.train, hidden=(8,)), digits.train
    batch, how = part.batch(torch.arange(20)), dict(radius=0.1, steps=3, random_start=False)
    moved = attack(model, batch.inputs, batch.labels, **how)
    worst, clean = (losses(model, inputs, batch.labels).mean() for inputs in (moved, batch.inputs))
    for share, expected in ((0.0, clean), (0.25, 0.25 * worst + 0.75 * clean), (1.0, worst)):
        method = AdversarialTraining(**how, share=share)
        torch.testing.assert_close(method.loss(model, batch, opened(method, model, part)), expected)
    assert torch.equal(AdversarialTraining(**how).loss(model, batch, opened(method, model, part)), worst)


@pytest.mark.parametrize(
    "ramp, progress, share", [(0.3, 0.0, 0.0), (0.3, 0.15, 0.5), (0.3, 0.3, 1.0), (0.3, 0.9, 1.0), (0.0, 0.0, 1.0)]
)
def test_the_radius_grows_over_the_ramp(digits, ramp, progress, share):
    model, part = models.linear(digits.train), digits.train
    batch, method = part.batch(torch.arange(20)), AdversarialTraining(radius=0.2, steps=2, ramp=ramp)
    moved = method.attacked(model, batch, opened(method, model, part, progress))
    assert (moved - batch.inputs).abs().max().item() == pytest.approx(0.2 * share, abs=1e-6)


def test_images_are_clipped_and_features_are_not(digits, toy):
    method = AdversarialTraining(radius=3.0, steps=1)
    assert method.start(None, digits.train).clip is True and method.start(None, toy.train).clip is False
    model, batch = models.linear(toy.train), toy.train.batch(torch.arange(50))
    change = method.attacked(model, batch, opened(method, model, toy.train)) - batch.inputs
    assert change.abs().max().item() == pytest.approx(3.0, abs=1e-5) and change.abs().min() > 1


class Constant(nn.Module):
    """Says the second class, whatever it sees."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return torch.stack([x.flatten(1).sum(1) * 0, x.flatten(1).sum(1) * 0 + 1], 1) + self.weight


def test_a_model_that_always_says_the_same_is_warned_of(toy):
    words = "the model predicts 'class 1' for every sample, which no attack can change; train with a longer ramp"
    with pytest.warns(UserWarning, match=words):
        report = robust_evaluate(Constant(), toy.test, radius=0.1, steps=2)
    assert report.overall.value == 0.5
    with pytest.warns(UserWarning, match="for every sample of epoch 2, which no attack"):
        train(Constant(), toy.train, AdversarialTraining(steps=1), epochs=3)
    one = toy.test.subset(toy.test.labels == 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        robust_evaluate(Constant(), one, radius=0.1, steps=2)  # there is but one thing to say
        train(Constant(), toy.train, AdversarialTraining(steps=1), epochs=2)
        train(models.linear(toy.train), toy.train, AdversarialTraining(steps=1), epochs=3)


def test_the_epochs_predictions_are_counted_and_saved(toy):
    run = train(models.linear(toy.train), toy.train, SHORT, epochs=2, batch_size=64)
    assert int(run.state.predicted.sum()) == len(toy.train) and (run.state.predicted > 0).all()
    assert set(run.state.state_dict()) == {"predicted", "_extra_state"}


class Descending(AdversarialTraining):
    """min: wrong, the inputs go the other way, to where the loss is low."""

    def attacked(self, model, batch, state):
        return (2 * batch.inputs - super().attacked(model, batch, state)).clamp(0, 1)


class Unused(AdversarialTraining):
    """min: wrong, the attack is made and forgotten."""

    def attacked(self, model, batch, state):
        super().attacked(model, batch, state)
        return batch.inputs


class Forgotten(AdversarialTraining):
    """c ℓ(x) + (1 - c) ℓ(x): wrong, nothing is added."""

    def loss(self, model, batch, state):
        return ERM().loss(model, batch, state)


def one_step_whatever_is_asked(model, part, *, steps, **how):
    return robust_evaluate(model, part, steps=1, step_size=how["radius"], random_start=False, radius=how["radius"])


@pytest.fixture
def verdict(monkeypatch):
    """verdict(claim, name=wrong): of a claim at the middle of its circumstances, with something wrong in the module
    that trains and attacks."""

    def found(claim, seeds=3, **wrong):
        for name, value in wrong.items():
            monkeypatch.setattr(attacked, name, value)
        monkeypatch.setattr(measurements, "in_workers", lambda calls, what: [f(*a, **k) for f, a, k in calls])
        lesson = AdversarialTrainingLesson(seeds=seeds)
        stated = lesson.measures[claim].statement
        return lesson._measured(stated, [stated.middle]).cells[0].verdict

    return found


@pytest.mark.slow
@pytest.mark.parametrize("wrong, found", [(Descending, "fails"), (Unused, "open"), (Forgotten, "open")])
def test_a_wrong_training_turns_a_claim(verdict, wrong, found):
    """Open: not a bit of difference to plain training on any seed, which three seeds are no proof of."""
    assert verdict("L08.1", AdversarialTraining=wrong) == found


@pytest.mark.slow
def test_an_attack_that_does_not_try_turns_a_claim(verdict):
    assert verdict("B08.1", robust_evaluate=one_step_whatever_is_asked) == "open"  # no difference, on any seed


@pytest.mark.slow
def test_batches_that_are_not_balanced_turn_a_claim(verdict):
    assert verdict("B08.2", BalancedAdversarialTraining=AdversarialTraining) == "open"  # no difference, on any seed


def test_balanced_batches_under_attack_are_those_of_batch_sampling_with_the_loss_of_the_attack(digits):
    part, model = digits.train, models.linear(digits.train)
    method, alone = attacked.way("balanced, replaced", 0.1), attacked.way("replaced", 0.1)
    batches, same = (each.batches(part, 64, seed=3, epoch=1) for each in (method, BatchSampling()))
    assert all(torch.equal(a, b) for a, b in zip(batches, same))
    assert torch.bincount(part.groups[batches[0]]).tolist() == [16] * 4
    batch = part.batch(batches[0])
    found = [each.loss(model, batch, opened(each, model, part)) for each in (method, alone)]
    assert torch.equal(*found)


def test_each_way_to_train_is_what_it_is_called():
    added, replaced, single = (attacked.way(name, 0.2) for name in ("added", "replaced", "single steps"))
    assert added == replace(replaced, share=0.5) and replaced.share == 1 and replaced.steps == 2
    assert single.steps == 1 and single.reach == 1 and not single.random_start and single.radius == 0.2
    assert attacked.way("plain", 0.2) == ERM()
    one, many = attacked.settings_of("FGSM", 0.3), attacked.settings_of("PGD-40", 0.3)
    assert describe(**(dict(norm="max", restarts=1) | one)).startswith("FGSM (max norm, radius 0.3, step 0.3")
    assert many == dict(steps=40, restarts=2, radius=0.3)


def test_a_spread_is_the_best_class_minus_the_worst():
    report = evaluate(models.linear(attacked.grey_digits(0).test), attacked.grey_digits(0).test)
    shares = [share.value for share in report.groups]
    assert attacked.spread(report) == max(shares) - min(shares) > 0


def test_the_convolutional_network_is_decided_by_its_seed_alone(digits):
    before = torch.get_rng_state()
    first, again, other = (attacked.strided(digits.train, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    pairs = zip(first.parameters(), again.parameters(), other.parameters())
    assert all(torch.equal(a, b) and not torch.equal(a, c) for a, b, c in pairs)
    assert first(digits.train.batch(torch.arange(3)).inputs).shape == (3, 2)


@pytest.mark.slow
def test_what_a_training_withstands_is_told_by_attack():
    found = attacked.withstood("plain", "grey", "mlp", 0.1, 1, ("FGSM", "PGD-10"), 0)
    assert list(found) == ["clean", "FGSM", "PGD-10"] and sum(found["clean"].n) == 2 * sum(found["FGSM"].n) == 1000
    assert found["clean"].overall.value > found["FGSM"].overall.value > found["PGD-10"].overall.value - 0.02
    none, far = attacked.over_radii(0.0, (0.0, 0.3), 1, 0)
    assert none > 0.7 and far < 0.1


@pytest.mark.parametrize("seed", [0, 2])
def test_a_path_stays_in_its_square_and_goes_up(seed):
    part, model = toys.moons(gap=-0.5).train, models.mlp(toys.moons(gap=-0.5).train, hidden=(8,))
    sample = part.batch(torch.tensor([3]))
    walked = pictures.path(model, sample.inputs, sample.labels, 0.3, 5, seed)
    assert len(walked) == 6 and all((now - sample.inputs).abs().max() <= 0.3 + 1e-6 for _, now in walked)
    assert losses(model, walked[-1][1], sample.labels) > losses(model, walked[0][1], sample.labels)
    for (_, before), (gone, now) in zip(walked, walked[1:]):
        torch.testing.assert_close((gone - before).abs(), torch.full((1, 2), 0.15))
        torch.testing.assert_close(now, project(gone, sample.inputs, 0.3, "max", False))


@pytest.mark.slow
def test_pictures_of_the_lecture():
    figure = pictures.square_and_path()
    assert len(figure.axes) == 2 and "on a map of the loss" in figures.alt_text(figure)
    grey, model = fit_digits(ERM())
    random, attacked_ = pictures.noise_and_attack(model, grey.test, (0.0, 0.1)).axes[0].lines
    assert random.get_ydata()[0] == attacked_.get_ydata()[0] > attacked_.get_ydata()[1] + 0.3
    assert random.get_ydata()[1] > random.get_ydata()[0] - 0.05
    changes = [axis.get_title() for axis in pictures.one_digit(model, grey.test).axes[1::3]]
    assert changes == [f"change, at most {radius:.2f}" for radius in (0.02, 0.05, 0.1)]


def test_bars_by_group_stand_in_the_order_of_the_table():
    rows = [
        dict(method=method, tested=tested, group=group, value=value, low=value, high=value)
        for method, value in (("one", 0.25), ("two", 0.75))
        for tested in ("clean", "PGD-10")
        for group in ("a, b", "a, c")
    ]
    figure = pictures.groups(pd.DataFrame(rows), {"clean": "clean", "PGD-10": "under PGD-10"})
    for axis in figure.axes:
        assert [bar.get_height() for bar in axis.patches] == [0.25, 0.25, 0.75, 0.75]
        assert [text.get_text() for text in axis.get_xticklabels()] == ["a\nb", "a\nc"]
