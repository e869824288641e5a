"""Data of the lecture on partners: shares near 1, and digits with two biases at once."""

import pytest
import torch

from debias_course.data import DATASETS, colored_digits, two_sided_digits
from debias_course.data.biases import COLORS
from debias_course.data.two_biases import DIMMED, SIDES, colors_of_a_side, sides_that_agree

LABELS = torch.arange(3_000) % 10
PALETTE = (DIMMED * torch.tensor(list(COLORS.values()))).round().to(torch.uint8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def digits():
    return two_sided_digits(seed=1)


@pytest.mark.parametrize("aligned_share, conflicting", [(0.99, 3), (0.995, 2), (0.997, 1), (0.999, 0)])
def test_colored_digits_take_shares_near_one(aligned_share, conflicting):
    """Of 300 training images of each digit; at 0.999 nobody is left who conflicts, but of the 60,000."""
    data = colored_digits(classes=10, aligned_share=aligned_share).train
    wrong = data.labels[data.labels != data.attributes]
    assert torch.bincount(wrong, minlength=10).tolist() == [conflicting] * 10


def test_counts_of_sides_by_hand():
    """300 of each: 297 on the left, 285 on the right, and 0.15 on neither, which is nobody."""
    sides = sides_that_agree(LABELS, 0.99, 0.95, generator=seeded())
    for label in range(10):
        assert torch.bincount(sides[LABELS == label], minlength=4).tolist() == [282, 15, 3, 0]
    quarters = sides_that_agree(LABELS[:100], 0.5, 0.5, generator=seeded())
    assert torch.bincount(quarters[LABELS[:100] == 3], minlength=4).tolist() == [2, 3, 3, 2]


@pytest.mark.parametrize("shares", [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.37, 0.81), (0.999, 0.5), (0.05, 0.02)])
@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_each_sides_share_is_exact_whatever_the_other(shares, n):
    sides = sides_that_agree(torch.zeros(n, dtype=torch.int64), *shares, generator=seeded())
    assert [int((sides <= 1).sum()), int((sides % 2 == 0).sum())] == [round(each * n) for each in shares]


def test_colours_of_a_side_are_the_labels_own_or_all_others_alike():
    agrees = torch.arange(3_000) % 3 > 0
    colors = colors_of_a_side(LABELS, agrees, 10, generator=seeded())
    assert torch.equal(colors[agrees], LABELS[agrees])
    others = torch.bincount(colors[~agrees & (LABELS == 4)], minlength=10)
    assert others[4] == 0 and 11 <= others[[0, 1, 2, 3, 5, 6, 7, 8, 9]].min() <= others.max() <= 12


def test_halves_have_the_colours_that_the_attribute_says(digits):
    """Where there is no ink, the ground is the palette's; its agreement with the label is the attribute."""
    for part in digits:
        corners = part.inputs[:, :, 0, 0], part.inputs[:, :, 0, -1]
        found = [(each[:, None] == PALETTE).all(2) for each in corners]
        assert part.inputs.shape[1:] == (3, 20, 20) and all((each.sum(1) <= 1).all() for each in found)
        clean = torch.stack([each.any(1) for each in found]).all(0)  # without ink in the corners
        assert float(clean.float().mean()) > 0.6
        agrees = [(each.int().argmax(1) == part.labels)[clean] for each in found]
        expected = torch.where(agrees[0], torch.where(agrees[1], 0, 1), torch.where(agrees[1], 2, 3))
        assert torch.equal(part.attributes[clean], expected)


def test_each_half_is_of_one_colour(digits):
    """Ink is white and ground of the palette, so that a pixel is a mixture of the two, the same on all of a half."""
    images = digits.train.inputs
    assert (images.amax((1, 2, 3)) == 255).float().mean() > 0.9
    for half in images[..., :10], images[..., 10:]:
        darkest = half.flatten(2).amin(2)  # the ground, where a pixel has no ink at all
        assert ((darkest[:, None] == PALETTE).all(2).sum(1) == 1).float().mean() > 0.99


def test_groups_are_those_of_both_biases(digits):
    assert digits.train.attribute_names == SIDES and digits.train.n_groups == 40
    assert digits.train.counts.view(10, 4).tolist() == [[282, 15, 3, 0]] * 10
    for part in digits.validation, digits.test:
        assert part.counts.view(10, 4).tolist() == [[25] * 4] * 10
    two = two_sided_digits(classes=2, left_share=0.9, right_share=0.8, test_share=1.0)
    assert two.train.group_names[1] == "digit<5, left only" and two.train.n_groups == 8
    assert two.train.counts.view(2, 4).tolist() == [[1080, 270, 120, 30]] * 2
    assert two.test.counts.view(2, 4)[:, 1:].sum() == 0


def test_the_same_seed_is_the_same_and_another_is_not(digits):
    assert digits.train.fingerprint() == two_sided_digits(seed=1).train.fingerprint()
    other = two_sided_digits(seed=2).train
    assert torch.equal(other.labels, digits.train.labels) and not torch.equal(other.attributes, digits.train.attributes)


def test_the_command_line_knows_them():
    assert DATASETS["two-sided-digits-10"](seed=1).train.n_groups == 40
