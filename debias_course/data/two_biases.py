"""Digits with two biases at once, of which one is stronger than the other."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import choice, seeded, share, whole
from .biases import COLORS, paint
from .digits import load_digits, split_indices
from .grouped import GroupedData
from .splits import Splits

DIMMED = 0.6  # brightness of the ground beside that of COLORS, so that strokes of 255 stand out from white and yellow
# On which sides the colour is the label's own, in order of the attribute's numbers.
SIDES = ("both", "left only", "right only", "neither")


def sides_that_agree(labels: Tensor, left: float, right: float, *, generator: torch.Generator) -> Tensor:
    """For each label, which of SIDES agree with it, int64 [N]: of the n_y samples of each label y, round(left · n_y)
    agree on the left, round(right · n_y) on the right, and round((1 - left)(1 - right) n_y) on neither, as if the two
    were drawn apart.

    300 samples with shares of 0.99 and 0.95: 297 agree on the left, 285 on the right, 0 (of 0.15) on neither; so 282 on
    both, 15 on the left only and 3 on the right only.
    """
    left, right = share("left", left), share("right", right)
    sides = torch.empty_like(labels)
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero().flatten()
        rows, n = rows[torch.randperm(len(rows), generator=generator)], len(rows)
        by_left, by_right = round(left * n), round(right * n)
        neither = min(max(round((1 - left) * (1 - right) * n), n - by_left - by_right), n - max(by_left, by_right))
        counts = [by_left + by_right - n + neither, n - by_right - neither, n - by_left - neither, neither]
        sides[rows] = torch.arange(4).repeat_interleave(torch.tensor(counts))
    return sides


def colors_of_a_side(labels: Tensor, agrees: Tensor, n_colors: int, *, generator: torch.Generator) -> Tensor:
    """A colour for each label, int64 [N]: the label's own where it agrees, bool [N], and else the others, as evenly for
    each label as whole numbers allow."""
    colors = labels.clone()
    for label in labels.unique().tolist():
        rows = ((labels == label) & ~agrees).nonzero().flatten()
        rows = rows[torch.randperm(len(rows), generator=generator)]
        colors[rows] = (label + 1 + torch.arange(len(rows)) % (whole("n_colors", n_colors, 2) - 1)) % n_colors
    return colors


def two_sided_digits(
    *,
    classes: int = 10,
    left_share: float = 0.99,
    right_share: float = 0.95,
    validation_share: float = 0.5,
    test_share: float = 0.5,
    seed: int = 0,
    full: bool = False,
) -> Splits:
    """White digits on a ground whose left half has one colour and whose right half another, and both go along with the
    label: uint8 [N, 3, 20, 20] (after the two-colour digits of Nahon et al. 2023 and Li et al. 2023).

    left_share, right_share       the share of a label's training samples in which that half has the label's own colour;
                                  who breaks the one rule mostly keeps the other
    validation_share, test_share  the same of both halves in validation and test. By default half: then all four kinds
                                  of samples are alike in size, for ten classes as well, where colours that know nothing
                                  of the label would agree on both sides in a hundredth only

    The attribute is which halves agree with the label (`SIDES`), so that each kind of conflict is a group of its own:
    40 groups of ten classes, where the pairs of colours would make 1,000. Classes, colours, images and the seed are as
    in `colored_digits`.
    """
    classes, generator = choice("classes", classes, (2, 10)), seeded(seed)
    names = dict(left_share=left_share, right_share=right_share)
    names |= dict(validation_share=validation_share, test_share=test_share)
    left, right, of_validation, of_test = (share(name, value) for name, value in names.items())
    palette = (DIMMED * torch.tensor(list(COLORS.values()))).round().to(torch.uint8)
    images, numbers = load_digits(full=full)
    labels = numbers if classes == 10 else (numbers >= 5).long()
    label_names = tuple(f"digit {d}" for d in range(10)) if classes == 10 else ("digit<5", "digit≥5")
    parts, middle = [], images.shape[2] // 2
    for rows, shares in zip(split_indices(numbers), ((left, right), (of_validation,) * 2, (of_test,) * 2)):
        sides = sides_that_agree(labels[rows], *shares, generator=generator)
        halves = []
        for agrees in sides <= 1, (sides == 0) | (sides == 2):
            colors = colors_of_a_side(labels[rows], agrees, classes, generator=generator)
            halves.append(paint(images[rows], palette[colors], "background"))
        inputs = torch.cat([halves[0][..., :middle], halves[1][..., middle:]], 3)
        parts.append(GroupedData(inputs, labels[rows], sides, label_names, SIDES))
    return Splits(*parts)
