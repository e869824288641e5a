"""The pictures that a lecture brings itself, and the source that it shows."""

import dataclasses

import pytest
import torch

from debias_course import figures, models
from debias_course.data import GroupedData
from debias_course.lectures.hard_example_mining import pictures as mining
from debias_course.lectures.loss_reweighting import pictures as margins
from debias_course.lectures.sampling import pictures as batches
from debias_course.lectures.sources import source
from debias_course.lectures.spectral_decoupling import pictures as decoupled
from debias_course.methods import ERM, BatchSampling, HardMining, LossReweighting


def test_a_margin_is_how_far_the_right_logit_lies_above_the_other():
    class Given(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, inputs):
            return inputs

    none = torch.zeros(2, dtype=torch.int64)
    data = GroupedData(torch.tensor([[1.0, 4.0], [1.0, 4.0]]), torch.tensor([1, 0]), none, ("a", "b"), ("any",))
    assert margins.margins(Given(), data).tolist() == [3.0, -3.0]


def test_a_weight_of_nineteen_shifts_the_tail_of_the_loss_by_its_logarithm():
    lines = {line.get_label(): line.get_xydata() for line in margins.weighted_losses().axes[0].lines}
    light, heavy = lines["weight 1"], lines["weight 19"]
    at_6 = heavy[:, 1][abs(heavy[:, 0] - 6).argmin()]
    at_3 = light[:, 1][abs(light[:, 0] - (6 - 2.944)).argmin()]
    assert at_6 == pytest.approx(at_3, rel=0.15)


@pytest.mark.slow
def test_margins_grow_with_training(digits):
    """The histograms sum to one, and later ones lie further to the right."""
    axis = margins.reached(digits, (1, 10)).axes[0]
    means = {}
    for line in axis.lines:
        x, share = line.get_xydata().T
        assert share.sum() == pytest.approx(1, abs=1e-5)
        means[line.get_label()] = (x * share).sum()
    assert means["common groups, epoch 10"] > means["common groups, epoch 1"] + 1


def test_a_picture_of_places_shows_every_batch(digits):
    drawn = {"batch level": BatchSampling().batches(digits.train, 32, seed=0, epoch=1)[:10]}
    axes = batches.seats(digits.train, {"one": drawn["batch level"], "two": drawn["batch level"]}).axes
    assert all(line.get_ydata().tolist() == [8] * 10 for axis in axes for line in axis.lines)


def test_one_digit_is_shown_as_it_is_and_ten_times_moved(digits):
    figure = batches.ten_ways(digits.train)
    shown = [torch.as_tensor(axis.images[0].get_array()) for axis in figure.axes]
    assert len(shown) == 11 and not any(torch.equal(shown[0], other) for other in shown[1:])
    assert "ten times" in figures.alt_text(figure)
    before = torch.get_rng_state()
    batches.ten_ways(digits.train)
    assert torch.equal(before, torch.get_rng_state())


def test_source_shows_code_without_its_indentation():
    shown = source(LossReweighting.loss, models.mlp)
    assert shown.language == "python" and shown.data.startswith("def loss(") and "\n\ndef mlp(" in shown.data


@pytest.mark.slow
def test_half_circles_are_shown_on_the_split_that_is_asked_for():
    figure = decoupled.half_circles({"trained": (ERM(), "train"), "tested": (ERM(), "test")})
    drawn = [axis.collections[-1].get_offsets()[:, 1] for axis in figure.axes]
    assert [axis.get_title() for axis in figure.axes] == ["trained", "tested"]
    assert drawn[0].max() < drawn[1].max()  # the lower half circle reaches up only where they interlock


@pytest.mark.slow
def test_the_penalty_draws_the_margins_of_training_together(digits):
    spreads = []
    for axis in decoupled.reached(digits, epochs=5).axes:
        x, share = axis.lines[1].get_xydata().T
        assert share.sum() == pytest.approx(1, abs=1e-5)
        spreads.append(((share * x**2).sum() - (share * x).sum() ** 2) ** 0.5)
    assert spreads[1] < spreads[0] / 2


@pytest.mark.slow
def test_the_pull_on_features_is_drawn_over_their_variance():
    figure = decoupled.pull_by_feature(steps=30)
    assert all(len(axis.collections[0].get_offsets()) == 12 for axis in figure.axes)
    assert "Rank correlation with the variance" in figures.alt_text(figure)


def test_a_sample_is_rare_by_its_true_label_and_wrong_whatever_its_colour(digits):
    clean = digits.train
    labels = torch.where(torch.arange(len(clean)) % 2 == 0, 1 - clean.labels, clean.labels)
    of = mining.kinds(dataclasses.replace(clean, labels=labels), clean)
    assert (of[::2] == 2).all() and torch.equal(of[1::2], (clean.labels != clean.attributes)[1::2].long())


def test_every_one_of_the_hardest_is_shown_and_the_wrong_ones_have_a_frame():
    figure = mining.highest(epochs=1)
    (axis,) = figure.axes
    sheet = torch.as_tensor(axis.images[0].get_array())
    lines = [patch.get_linewidth() for patch in axis.patches]
    wrong, rare = lines.count(2.5), lines.count(1.8)
    assert sheet.shape == (12 * 24, 25 * 24, 3) and wrong > 100 and rare > 20 and wrong + rare <= 300
    assert f"{wrong} have a frame as wrong label and {rare} " in figures.alt_text(figure)
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["wrong label", "against the pattern"]


@pytest.mark.slow
def test_the_kept_are_counted_in_each_epoch():
    shares = mining.kept_by_epoch(HardMining(keep=0.1), wrong=0.1)
    assert shares.shape == (20, 3) and torch.allclose(shares.sum(1), torch.ones(20, dtype=torch.float64))
    assert (shares[:, 2] > 0.2).all()
    assert mining.kept_by_epoch(HardMining(keep=1.0), wrong=0.1)[0, 2] == pytest.approx(0.1, abs=0.01)
    axes = mining.kept(HardMining(keep=0.1)).axes
    assert [axis.get_xlabel() for axis in axes] == ["epoch, clean labels", "epoch, one label in ten wrong"]
