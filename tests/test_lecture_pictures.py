"""The pictures that a lecture brings itself, and the source that it shows."""

import pytest
import torch

from debias_course import figures, models
from debias_course.data import GroupedData
from debias_course.lectures.loss_reweighting import pictures as margins
from debias_course.lectures.sampling import pictures as batches
from debias_course.lectures.sources import source
from debias_course.methods import BatchSampling, LossReweighting


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
