"""A toy whose features vary and tell the label independently of each other, and what a network makes of each
(lecture 06)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ...data import GroupedData
from ...methods.spectral_decoupling import penalty


def twelve_features(seed: int, n: int = 2000, k: int = 12) -> tuple[GroupedData, Tensor, Tensor]:
    """Data with `k` features, the variance of each, and the strength of each, its correlation with the label: both on
    a ladder (variances up to a hundred times apart), and each feature draws its two rungs independently."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    spread = torch.pow(10.0, torch.linspace(-0.5, 0.5, k))[torch.randperm(k, generator=generator)]
    strength = torch.linspace(0.1, 0.8, k)[torch.randperm(k, generator=generator)]
    noise = (1 - strength**2).sqrt() * torch.randn(n, k, generator=generator)
    inputs = spread * (strength * (labels * 2.0 - 1)[:, None] + noise)
    one = torch.zeros(n, dtype=torch.int64)
    return GroupedData(inputs, labels, one, ("class 0", "class 1"), ("any",)), spread**2, strength


def reliance(model: nn.Module, inputs: Tensor) -> Tensor:
    """For each of k features how far the margins of N samples [N, k] move, on average, when its values are shuffled."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    moved = []
    with torch.no_grad():
        margins = model(inputs).diff(dim=1)
        for j in range(inputs.shape[1]):
            shuffled = inputs.clone()
            shuffled[:, j] = inputs[order, j]
            moved.append((model(shuffled).diff(dim=1) - margins).abs().mean())
    return torch.stack(moved)


def pulls(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """For each feature how much reliance one step down the gradient of the penalty takes, a step so small that the
    penalty falls by a hundredth."""
    stepped = copy.deepcopy(model)
    squares = penalty(stepped(inputs), labels, variant="margin")
    gradients = torch.autograd.grad(squares, list(stepped.parameters()))
    length = 0.01 * squares.detach() / torch.stack([each.square().sum() for each in gradients]).sum()
    with torch.no_grad():
        for parameter, gradient in zip(stepped.parameters(), gradients):
            parameter.sub_(length * gradient)
    return reliance(model, inputs) - reliance(stepped, inputs)


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's: 1 if both grow together, 0 if they have nothing to do with each other; no two values may be equal."""
    ranks = torch.stack([each.argsort().argsort().double() for each in (first, second)])
    return float(torch.corrcoef(ranks)[0, 1])
