"""Small problems whose answer is known: two to look at, one to do theory on."""

from __future__ import annotations

import torch

from ..checks import number, seeded, share, whole
from .biases import correlated_attributes
from .grouped import GroupedData
from .splits import Splits


def _labels(n: int, ones: float = 0.5) -> torch.Tensor:
    labels = torch.zeros(n, dtype=torch.int64)
    labels[: round(ones * n)] = 1
    return labels


def shortcut(*, n: int = 400, aligned_share: float = 0.95, core_noise: float = 0.55, seed: int = 0) -> Splits:
    """A plane with a wide road and a shortcut: float [n, 2], two labels by two attributes.

    The first coordinate shows the attribute with little noise, the second the label with more (`core_noise`), both
    around -1 and +1. In training the attribute agrees with the label in a share `aligned_share` of the samples, so the
    first coordinate is the easier way to a low loss; in validation and test it says nothing about the label.
    """
    n, aligned_share, generator = whole("n", n, 2), share("aligned_share", aligned_share), seeded(seed)
    core_noise = number("core_noise", core_noise, 0)
    parts = []
    for agreeing in (aligned_share, 0.5, 0.5):
        labels = _labels(n)
        attributes = correlated_attributes(labels, 2, agreeing, generator=generator)
        centers = torch.stack([attributes, labels], 1).float() * 2 - 1
        noise = torch.randn(n, 2, generator=generator) * torch.tensor([0.25, core_noise])
        parts.append(GroupedData(centers + noise, labels, attributes, ("class 0", "class 1"), ("left", "right")))
    return Splits(*parts)


def imbalanced(*, n: int = 400, minority: float = 0.05, seed: int = 0) -> Splits:
    """Class imbalance without any attribute to blame: float [n, 2], two overlapping round clusters, of which class 1
    holds a share `minority` in training and one half in validation and test. The one attribute is "any"."""
    n, minority, generator = whole("n", n, 2), share("minority", minority), seeded(seed)
    if minority in (0, 1):
        raise ValueError(f"minority is {minority:g}; both classes need samples: use a share between 0 and 1")
    parts = []
    for ones in (minority, 0.5, 0.5):
        labels = _labels(n, ones)
        points = torch.randn(n, 2, generator=generator)
        points[:, 1] += labels * 2.0 - 1.0
        parts.append(GroupedData(points, labels, torch.zeros_like(labels), ("class 0", "class 1"), ("any",)))
    return Splits(*parts)


def islands(*, n: int = 200, rare: int = 20, seed: int = 0) -> Splits:
    """A population in two places: float [n + rare, 2]. Class 1 lives on two small islands, left and right (its
    attribute), with class 0 between them. It has `rare` samples in training, and as many as class 0 otherwise."""
    n, rare, generator = whole("n", n, 2), whole("rare", rare, 2), seeded(seed)  # 2: each island has a sample
    parts = []
    for size in (rare, n, n):
        labels = _labels(n + size, size / (n + size))
        attributes = torch.arange(n + size) % 2
        points = torch.randn(n + size, 2, generator=generator) * torch.where(labels == 1, 0.25, 0.6)[:, None]
        points[:, 0] += labels * (attributes * 2.0 - 1.0) * 2.0
        parts.append(GroupedData(points, labels, attributes, ("common", "rare"), ("left", "right")))
    return Splits(*parts)


def moons(*, n: int = 300, gap: float = 0.1, noise: float = 0.1, seed: int = 0) -> Splits:
    """Two interlocking half circles, pulled apart: float [n, 2], two labels; the one attribute is "any".

    In training and validation the second coordinate separates the classes, with `gap` between them before the noise is
    added, and so does the way along the half circles. In test they interlock as usual (gap -0.5), so that only who has
    learnt the half circles is right everywhere (after Pezeshki et al. 2021, figures 1 and 2)."""
    n, gap, noise, generator = whole("n", n, 2), number("gap", gap), number("noise", noise, 0), seeded(seed)
    parts = []
    for apart in (gap, gap, -0.5):
        labels = _labels(n)
        angle = torch.pi * torch.rand(n, generator=generator)
        upper = torch.stack([angle.cos() - 0.5, angle.sin() + apart / 2], 1)
        lower = torch.stack([0.5 - angle.cos(), -angle.sin() - apart / 2], 1)
        points = torch.where(labels[:, None] == 1, lower, upper) + noise * torch.randn(n, 2, generator=generator)
        parts.append(GroupedData(points, labels, torch.zeros_like(labels), ("upper", "lower"), ("any",)))
    return Splits(*parts)


def core_and_spurious(*, n: int = 3000, aligned_share: float = 0.9, dimensions: int = 100, seed: int = 0) -> Splits:
    """The Gaussian problem on which Sagawa et al. (2020, "An investigation of why overparameterization exacerbates
    spurious correlations", section 5) explain why re-weighting stops working: float [n, 2 · dimensions].

    Half of the coordinates are core, N(±1, 100) by label; the others spurious, N(±1, 1) by attribute.
    """
    n, aligned_share, generator = whole("n", n, 2), share("aligned_share", aligned_share), seeded(seed)
    dimensions = whole("dimensions", dimensions, 1)
    parts = []
    for agreeing in (aligned_share, 0.5, 0.5):
        labels = _labels(n)
        attributes = correlated_attributes(labels, 2, agreeing, generator=generator)
        core = (labels * 2.0 - 1)[:, None] + 10 * torch.randn(n, dimensions, generator=generator)
        spurious = (attributes * 2.0 - 1)[:, None] + torch.randn(n, dimensions, generator=generator)
        inputs = torch.cat([core, spurious], 1)
        parts.append(GroupedData(inputs, labels, attributes, ("class 0", "class 1"), ("attribute 0", "attribute 1")))
    return Splits(*parts)
