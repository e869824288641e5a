"""Lecture 07: OccamNets. Vectors: worked by hand from the formulas of the paper and of its code."""

import math

import joblib
import pytest
import torch
import torch.nn.functional as F

from debias_course import contexts, data, evaluate, figures, models, train
from debias_course.data import GroupedData, Splits, biases, toys
from debias_course.data.scenes import PLACES, drawn
from debias_course.evaluation import predict
from debias_course.lectures.occam_nets import exits, pictures
from debias_course.lectures.occam_nets.exits import WeightedOccamNets, moved, told_apart
from debias_course.lectures.occam_nets.measurements import METHODS, OccamNetsLesson
from debias_course.lectures.occam_nets.panel import fit_occam
from debias_course.methods import OccamNets, UngatedOccamNets
from debias_course.methods.occam_nets import (
    Exit,
    OccamNet,
    activation_map,
    ask_exits,
    exit_weights,
    gate_loss,
    leave_by,
    suppression,
)

IMAGES = torch.randn(24, 1, 8, 8, generator=torch.Generator().manual_seed(0))
DATA = GroupedData(IMAGES, torch.arange(24) % 3, torch.arange(24) % 2, ("a", "b", "c"), ("x", "y"))


def logit(*probabilities):
    return torch.logit(torch.tensor(probabilities, dtype=torch.float64))


def opened(method, epoch=1):
    with contexts.isolated_randomness(0):
        model = method.model(models.staged(DATA, widths=(4, 8, 8)), DATA).train()
    state = method.start(model, DATA)
    state.epoch = epoch
    return model, state


def test_weights_by_hand():
    """p_y = (.9, .5, .2) to the third, one minus the gates (.9, .5, .2), both over their largest plus 1e-5, plus .1."""
    own, gates = torch.tensor([0.9, 0.5, 0.2]), torch.stack([logit(0.9, 0.5, 0.2), logit(0.1, 0.1, 0.1)])
    weights = exit_weights(own, gates, 3.0, 1.0)
    scaled = weights / (weights.amax(1, keepdim=True) + 1e-5) + 0.1
    assert scaled[0].tolist() == pytest.approx((1.099986, 0.271465, 0.110974), abs=1e-6)
    assert scaled[1].tolist() == pytest.approx((0.224998, 0.724992, 1.099988), abs=1e-6)
    state = opened(OccamNets())[1]
    both = torch.stack([logit(0.9, 0.5, 0.2), *[logit(0.5, 0.5, 0.5)] * 2]).float()
    again = OccamNets().weights(-own.log().expand(3, -1), both, state) + 0.1
    torch.testing.assert_close(again[:2], scaled.float(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("exits", ["published", "light"])
def test_a_stage_may_edit_what_the_one_before_gives_it(exits):
    """Stages that begin with an activation in place, as those of pre-activation networks do."""
    seen = []
    for in_place in (True, False):
        with contexts.isolated_randomness(0):
            stages = [
                torch.nn.Sequential(torch.nn.LeakyReLU(inplace=in_place), torch.nn.Conv2d(1, 1, 3)) for _ in "abc"
            ]
            model = OccamNet(models.Staged(stages, (1, 1, 1), 3), 3, exits=exits)
        said = model.exits(IMAGES.clone())
        gradients = torch.autograd.grad(said.logits.square().sum(), list(model.features.parameters())[2:])
        seen.append([said.logits, said.gates, *gradients])
    assert all(torch.equal(a, b) for a, b in zip(*seen))


def test_exponents_of_zero_make_all_weights_alike_even_for_saturated_gates():
    gates = torch.tensor([[-500.0, 0.0, 500.0]] * 2)
    assert torch.equal(exit_weights(torch.tensor([0.0, 0.5, 1.0]), gates, 0.0, 0.0), torch.ones(2, 3))
    assert exit_weights(torch.tensor([0.0, 0.5, 1.0]), gates, 3.0, 1.0)[1].tolist() == [1.0, 0.5, 0.0]


def test_weights_are_divided_by_the_largest_of_the_epoch_so_far():
    method = OccamNets()
    model, state = opened(method)

    def first_weight(own, epoch):
        state.epoch = epoch
        method._open_epoch(state)
        return float(method.weights(-torch.tensor([[own]] * 3).log(), torch.zeros(3, 1), state)[0])

    assert first_weight(0.8, 1) == pytest.approx(1.0, abs=1e-4)
    assert first_weight(0.4, 1) == pytest.approx(0.125, abs=1e-4)
    assert first_weight(0.4, 2) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("label, expected", [(0, 0.3523339), (1, 0.9296660)])
def test_suppression_by_hand(label, expected):
    """Of the first class's map only the last place is above its mean; the second is constant, so nothing is spared."""
    maps = torch.stack([torch.tensor([[1.0, 2.0], [3.0, 6.0]]), torch.zeros(2, 2)])[None].double()
    cells = (0.120114, 0.433781, 0.855440, 2.309329)
    assert float(suppression(maps, torch.tensor([label]))) == pytest.approx(expected, abs=1e-7)
    spared = cells[:3] if label == 0 else cells
    assert sum(spared) / 4 == pytest.approx(expected, abs=1e-6)


def test_a_map_that_favours_no_class_is_not_suppressed():
    maps = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    assert float(suppression(maps, torch.tensor([0, 1, 2, 0, 1]))) == pytest.approx(0.0, abs=1e-6)


def test_gate_loss_by_hand_and_with_all_answers_alike():
    gates, right = logit(0.9, 0.6, 0.3, 0.5), torch.tensor([True, True, False, True])
    assert float(gate_loss(gates, right)) == pytest.approx(0.4817742, abs=1e-7)
    assert float(gate_loss(gates, torch.zeros(4, dtype=torch.bool))) == pytest.approx(1.0671692, abs=1e-5)
    plain = F.binary_cross_entropy_with_logits(gates, right.double())
    assert float(gate_loss(gates, right, balance=0.0)) == pytest.approx(float(plain), abs=1e-7)


def test_a_saturated_gate_has_a_finite_loss_and_gradient():
    gates = torch.tensor([200.0, -200.0], requires_grad=True)
    loss = gate_loss(gates, torch.tensor([False, True]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(200.0, rel=1e-4) and gates.grad.tolist() == pytest.approx(
        [0.5, -0.5], rel=1e-4
    )


@pytest.mark.parametrize(
    "gates, threshold, chosen",
    [
        ((0.9, 0.1, 0.1, 0.1), 0.5, 3),  # the first exit does not count, nor does the last gate
        ((0.1, 0.1, 0.1, 0.9), 0.5, 3),
        ((0.1, 0.6, 0.9, 0.9), 0.5, 1),
        ((0.1, 0.4, 0.5, 0.1), 0.5, 2),
        ((0.9, 0.9, 0.9, 0.9), 0.5, 1),
        ((0.9, 0.9, 0.9, 0.9), math.inf, 3),
        ((0.1, 0.1, 0.1, 0.1), 0.0, 1),
    ],
)
def test_a_sample_leaves_by_the_first_open_gate(gates, threshold, chosen):
    assert leave_by(logit(*gates)[:, None], threshold).tolist() == [chosen]


@pytest.mark.parametrize("kind", ["published", "light"])
def test_the_mean_of_a_map_is_the_logits(kind):
    model, _ = opened(OccamNets(exits=kind))
    said = model.exits(IMAGES)
    assert said.logits.shape == (3, 24, 3) and said.gates.shape == (3, 24)
    assert [tuple(maps.shape) for maps in said.maps] == [(24, 3, size, size) for size in (8, 4, 2)]
    for logits, maps in zip(said.logits, said.maps):
        torch.testing.assert_close(maps.mean((2, 3)), logits)
    plain = models.staged(DATA, widths=(4, 8, 8)).eval()
    torch.testing.assert_close(activation_map(plain, IMAGES).mean((2, 3)), plain(IMAGES))


def gradients(loss, model):
    named = dict(model.named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name for name, each in zip(named, found) if each is not None and each.abs().sum() > 0}


@pytest.mark.parametrize("kind", ["published", "light"])
def test_the_first_exit_leaves_the_trunk_alone_and_gates_all_but_themselves(kind):
    model, _ = opened(OccamNets(exits=kind))
    said, labels = model.exits(IMAGES), DATA.labels
    first = gradients(F.cross_entropy(said.logits[0], labels) + suppression(said.maps[0], labels), model)
    assert first and all(name.startswith("doors.0.") and "gate" not in name for name in first)
    second = gradients(F.cross_entropy(model.exits(IMAGES).logits[1], labels), model)
    assert any(name.startswith("features.0.") for name in second)
    gates = gradients(gate_loss(model.exits(IMAGES).gates[2], labels == 0), model)
    assert gates and all(name.startswith("doors.2.gate.") for name in gates)


def test_weights_carry_no_gradient_so_the_loss_moves_gates_by_their_own_loss_only():
    method = OccamNets(suppression=0.0)
    model, state = opened(method)
    whole = gradients(method.loss(model, DATA.batch(torch.arange(24)), state), model)
    assert {name for name in whole if name.startswith("features.")} >= {"features.0.0.weight", "features.2.1.weight"}
    said = model.exits(IMAGES)
    weights = method.weights(torch.ones(3, 24, requires_grad=True), said.gates, state)
    assert not weights.requires_grad


@pytest.mark.parametrize(
    "method", [UngatedOccamNets(suppression=0.0), OccamNets(suppression=0.0, first_exponent=0.0, exponent=0.0)]
)
def test_without_gates_and_suppression_it_is_the_sum_of_the_exits_mean_losses(method):
    """Times 1.1; with exponents of zero instead, the gates' own loss comes on top."""
    batch = DATA.batch(torch.arange(24))
    model, state = opened(method)
    said = model.exits(batch.inputs)
    expected = 1.1 * sum(F.cross_entropy(logits, batch.labels) for logits in said.logits)
    if isinstance(method, OccamNets):
        expected += sum(gate_loss(g, each.argmax(1) == batch.labels) for g, each in zip(said.gates, said.logits))
    torch.testing.assert_close(method.loss(model, batch, state), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", [OccamNets, UngatedOccamNets])
def test_suppression_is_added_per_exit(kind):
    batch = DATA.batch(torch.arange(24))
    losses = []
    for weight in (0.0, 1.0, 2.0):
        model, state = opened(kind(suppression=weight))
        losses.append(kind(suppression=weight).loss(model, batch, state))
    small = sum(suppression(maps, batch.labels) for maps in model.exits(batch.inputs).maps)
    torch.testing.assert_close(losses[1] - losses[0], small)
    torch.testing.assert_close(losses[2] - losses[0], 2 * small)


def test_gates_follow_their_exit_until_it_is_accurate_and_then_remember():
    method = OccamNets(first_accuracy=0.5, last_accuracy=1.0)
    _, state = opened(method)

    def told(right, rows, epoch):
        state.epoch = epoch
        method._open_epoch(state)
        right = torch.tensor([right] * 3)
        return method.targets(right, DATA.batch(torch.tensor(rows)), state).tolist()

    assert told([True, True, False], [0, 1, 2], 1) == [[True, True, False]] * 3  # the first epoch is live
    later = told([True, True, True], [0, 1, 2], 2)  # accuracy 1: above .5 and .75, not above 1
    assert later == [[True, True, False], [True, True, False], [True, True, True]]
    assert told([False, True], [5, 2], 2)[0] == [False, False]  # 5 was not seen before, so it counts as it is now
    assert state.known.nonzero().flatten().tolist() == [0, 1, 2, 5]
    assert told([False, False, True], [0, 1, 2], 3)[0] == [False, False, True]  # accuracy 1/3: live again


def test_accuracy_is_the_mean_over_classes_of_the_epoch_so_far():
    method = OccamNets(first_accuracy=0.7, last_accuracy=0.7)
    _, state = opened(method, epoch=2)
    method._open_epoch(state)
    state.remembered.fill_(True)
    state.known.fill_(True)
    rows = torch.tensor([0, 3, 6, 9, 1])  # four of class a and one of class b; of class c none was seen
    told = method.targets(torch.tensor([[True] * 4 + [False]] * 3), DATA.batch(rows), state)
    assert told.tolist() == [[True] * 4 + [False]] * 3  # (1 + 0) / 2 = 0.5, live, though four in five are right
    told = method.targets(torch.tensor([[True] * 4 + [True]] * 3), DATA.batch(rows), state)
    assert told.tolist() == [[True] * 4 + [False]] * 3  # (1 + 0.5) / 2 = 0.75: remembers
    assert state.seen.tolist() == [8, 2, 0]
    method.targets(torch.tensor([[False]] * 3), DATA.batch(torch.tensor([12])), state)
    assert state.right[0].tolist() == [8, 1, 0]


def test_accuracy_thresholds_of_four_exits_are_the_published_ones():
    model = OccamNets().model(models.resnet18(DATA, width=8, stem="small"), DATA)
    assert OccamNets().start(model, DATA).accuracy.tolist() == pytest.approx([0.5, 0.6, 0.7, 0.8])


def test_the_published_network_has_the_published_number_of_parameters():
    images = torch.zeros(10, 3, 64, 64)
    ten = GroupedData(images, torch.arange(10), torch.arange(10), tuple("0123456789"), tuple("0123456789"))
    model = OccamNets().model(models.resnet18(ten, width=58), ten)
    count = sum(each.numel() for each in model.parameters())
    assert count == pytest.approx(10.49e6, rel=0.005)
    assert [sum(each.numel() for each in door.parameters()) for door in model.doors] == [16299, 63846, 248721, 981783]
    assert model(images).shape == (10, 10)


def test_what_it_predicts_is_what_the_chosen_exit_says():
    run = train(models.staged(DATA, widths=(4, 8, 8, 8)), DATA, OccamNets(), epochs=3, batch_size=8)
    said = ask_exits(run.model, DATA, batch_size=7)
    run.model.threshold = float(torch.sigmoid(said.gates[1]).median())
    chosen = leave_by(said.gates, run.model.threshold)
    assert {1, 3} <= set(chosen.tolist()) <= {1, 2, 3}
    expected = torch.stack([said.logits[exit, row] for row, exit in enumerate(chosen.tolist())])
    torch.testing.assert_close(predict(run.model, DATA), expected)
    run.model.threshold = math.inf
    torch.testing.assert_close(predict(run.model, DATA), said.logits[-1])
    ungated = UngatedOccamNets().model(models.staged(DATA), DATA)
    assert ungated.threshold == math.inf and not any("gate" in name for name, _ in ungated.named_parameters())


def test_a_batch_of_one_works_with_light_exits_and_is_refused_by_published_ones():
    start = models.staged(DATA, widths=(4, 8))
    run = train(start, DATA, OccamNets(exits="light"), epochs=1, batch_size=1)
    assert len(run.state.known) == 24 and run.state.known.all() and evaluate(run.model, DATA).overall.n == 24
    with pytest.raises(
        ValueError, match=r"a batch of one does not allow in training; use a larger batch_size, or exits='light'"
    ):
        train(start, DATA, OccamNets(), epochs=1, batch_size=1)
    one = Exit(8, 3, "published").eval()(torch.zeros(1, 8, 4, 4))
    assert [tuple(each.shape) for each in one] == [(1, 3), (1,), (1, 3, 4, 4)]


@pytest.mark.parametrize("trunk", [models.mlp, models.cnn, lambda data: models.staged(data, widths=(4,))])
def test_a_trunk_without_stages_is_refused_with_a_remedy(trunk):
    with pytest.raises(ValueError, match=r"has no such stages; use models.staged or models.resnet18"):
        train(trunk(DATA), DATA, OccamNets(), epochs=1)


def test_the_trunk_is_shared_and_its_head_is_dropped():
    trunk = models.staged(DATA, widths=(4, 8))
    model = OccamNet(trunk, 3)
    assert model.stages[0] is trunk.stages[0] and not hasattr(model, "head")


def test_ten_steps_equal_a_reference_in_double_precision():
    """The loss again, in loops over exits and samples, with a dictionary for a memory, over two epochs."""
    method = OccamNets(first_accuracy=0.2, last_accuracy=0.4)
    model, state = opened(method)
    model, state = model.double(), state.double()
    memory, generator = {}, torch.Generator().manual_seed(1)
    for number in range(10):
        state.epoch = 1 + number // 5
        if number % 5 == 0:
            peak, hits, met = [0.0] * 3, [[0] * 3 for _ in range(3)], [0] * 3
        rows = torch.randperm(24, generator=generator)[:9]
        batch = DATA.batch(rows)._replace(inputs=IMAGES[rows].double())
        said, expected = model.exits(batch.inputs), 0.0
        for label in batch.labels.tolist():
            met[label] += 1
        for j in range(3):
            answers, losses = said.logits[j].argmax(1), F.cross_entropy(said.logits[j], batch.labels, reduction="none")
            gate = torch.sigmoid(said.gates).detach()
            raw = (said.logits[0].softmax(1)[range(9), batch.labels] ** 3 if j == 0 else 1 - gate[j - 1]).detach()
            peak[j] = max(peak[j], float(raw.max()))
            expected += ((raw / (peak[j] + 1e-5) + 0.1) * losses).mean() + 0.1 * suppression(said.maps[j], batch.labels)
            right = (answers == batch.labels).tolist()
            for label, hit in zip(batch.labels.tolist(), right):
                hits[j][label] += hit
            shares = [hits[j][label] / met[label] for label in range(3) if met[label]]
            if state.epoch > 1 and sum(shares) / len(shares) > float(state.accuracy[j]):
                right = [memory.get((j, row), now) for row, now in zip(rows.tolist(), right)]
            memory |= {(j, row): now for row, now in zip(rows.tolist(), right)}
            count = {answer: right.count(answer) for answer in (True, False)}
            for b, answer in enumerate(right):
                weight = (1 / (count[answer] / max(count.values()) + 1e-5)) ** 0.5
                p = torch.sigmoid(said.gates[j, b])
                expected -= weight * torch.log(p if answer else 1 - p) / 9
        loss = method.loss(model, batch, state)
        torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-9)
        (first,), (second,) = (torch.autograd.grad(each, model.features[0][0].weight) for each in (loss, expected))
        torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-9)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    assert len(memory) == 3 * int(state.known.sum())
    assert all(bool(state.remembered[j, row]) == value for (j, row), value in memory.items())


def test_training_on_a_plane_says_what_to_use():
    plane = toys.shortcut(n=40).train
    with pytest.raises(ValueError, match="Classifier has no such stages; use models.staged"):
        train(models.mlp(plane), plane, OccamNets(), epochs=1)


class Flipped(OccamNets):
    """min: wrong, gates learn when their exit is mistaken."""

    def targets(self, right, batch, state):
        return ~super().targets(right, batch, state)


@pytest.mark.slow
def test_a_wrong_implementation_turns_a_claim(monkeypatch):
    """Gates that open for the wrong ones send aligned digits deeper."""
    monkeypatch.setitem(METHODS, "OccamNet", Flipped(live_epochs=5))
    with joblib.parallel_config(backend="sequential"):
        found = OccamNetsLesson(seeds=3).measured("B07.6")
    assert found.alone(found.at_middle).verdict == "refuted"


def test_pairs_told_apart_and_weights_moved_by_hand():
    scores, yes = torch.tensor([1.0, 2.0, 3.0, 2.0]), torch.tensor([False, True, True, False])
    assert told_apart(scores, yes) == (1 + 0.5 + 1 + 1) / 4  # the tie counts half
    assert math.isnan(told_apart(scores, torch.ones(4).bool()))
    assert moved(torch.tensor([0.5, 1.0, 1.0]), torch.tensor([True, False, False])) == pytest.approx(1.1 / 1.3)


def test_weights_by_group_multiply_the_losses_of_all_exits():
    weighted, plain = WeightedOccamNets(suppression=0.0), OccamNets(suppression=0.0)
    model, state = opened(weighted)
    state.by_sample = torch.tensor([0.5, 2.0])
    losses, gates = torch.ones(3, 2), torch.zeros(3, 2)
    expected = (plain.weights(losses, gates, opened(plain)[1]) + 0.1) * state.by_sample - 0.1
    torch.testing.assert_close(weighted.weights(losses, gates, state), expected)
    batch = DATA.batch(torch.arange(24))
    model, state = opened(weighted)
    assert weighted.loss(model, batch, state).isfinite() and len(state.by_sample) == 24


@pytest.mark.slow
def test_scenes_have_exact_counts_and_a_digit_in_its_place():
    splits = data.scenes(aligned_share=0.9, copies=1, seed=3)
    train = splits.train
    assert train.inputs.shape == (3000, 3, 40, 40) and train.inputs.dtype == torch.uint8
    aligned = torch.tensor([4 - n for n in range(5)]).double() @ train.counts_by("attribute").double().cpu()
    assert float(aligned) == pytest.approx(0.9 * 4 * 3000)
    assert torch.equal(train.inputs, data.scenes(aligned_share=0.9, copies=1, seed=3).train.inputs)
    assert len(data.scenes(copies=2).train) == 6000 and len(splits.test) == 1000


def test_a_scene_is_drawn_as_it_is_told():
    ink, choice = torch.full((1, 20, 20), 255, dtype=torch.uint8), torch.tensor([2])
    scene = drawn(ink, *[choice] * 4, generator=torch.Generator().manual_seed(0))[0]
    color = torch.tensor(list(biases.COLORS.values())[2])
    at = PLACES[2]
    cell = scene[:, 8 * (at // 5) :, 8 * (at % 5) :][:, :8, :8]
    assert (cell == color[:, None, None]).all() and (scene == color[:, None, None]).all(0).sum() > 64 + 16


def test_an_occam_net_is_followed_in_scenes(monkeypatch):
    small = data.scenes(copies=1)
    few = Splits(*(part.subset(torch.arange(64)) for part in small))
    monkeypatch.setattr(exits.data, "scenes", lambda **_: few)
    monkeypatch.setattr(exits.models, "resnet18", lambda part, **how: models.staged(part))
    found = exits.followed(OccamNets(), "scenes", 0.75, 1, (1,), 0)
    assert 0 <= found[1]["threshold 0.5, all"] <= 1


@pytest.mark.slow
def test_every_picture_of_the_lecture_is_drawn():
    here = OccamNetsLesson(seeds=2)
    model, test, said = fit_occam(OccamNets(), epochs=1, every=4)
    rows = torch.tensor([0, 1])
    drawings = pictures.scenes(), pictures.by_threshold(test, said), pictures.evidence(model, test, rows)
    assert all(figures.alt_text(each) for each in (*drawings, pictures.gates(here.kept("T07.2"))))
