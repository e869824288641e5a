"""Networks that are weak on purpose: too small, or too near-sighted, for more than a shortcut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import Unsuitable, choice, grouped, shown, whole
from ...contexts import evaluating, fresh_layers, isolated_randomness
from ...data import GroupedData
from ...models import Classifier, Staged

KINDS = ("pointwise", "coarse")  # of weak networks
POOLED = 4  # pixels of a side of the squares that "coarse" averages
KERNELS = (1, 3, 5, 7)


def weak(data: GroupedData, kind: str, *, width: int) -> Classifier:
    """A new weak network for `data`, on their device, whose layers start from the run's seed.

    "pointwise"  1×1 convolutions of `width` and of twice as many channels, averaged over all places: it sees which
                 colours there are, and no shape. Raises Unsuitable for what is no image
    "coarse"     one hidden layer of `width` ReLUs on squares of 4×4 pixels, averaged; of what is no image, on the
                 inputs as they are
    """
    choice("kind", kind, KINDS)
    whole("width", width, 1)
    if kind == "pointwise":
        refuse_all_but_images(data)
        with fresh_layers():
            return _stacked(data, 1, (width, 2 * width), 1)
    shape = tuple(grouped(data).inputs.shape[1:])
    pool: list[nn.Module] = []
    if len(shape) == 3:
        shape = (shape[0], max(shape[1] // POOLED, 1), max(shape[2] // POOLED, 1))
        pool = [nn.AdaptiveAvgPool2d(shape[1:])]
    with fresh_layers():
        hidden, head = nn.Linear(math.prod(shape), width), nn.Linear(width, data.n_labels)
    return Classifier(nn.Sequential(*pool, nn.Flatten(), hidden, nn.ReLU()), head).to(data.device)


def stacked(
    data: GroupedData,
    *,
    kernel: int = 7,
    widths: tuple[int, ...] = (16, 32, 64, 128),
    stride: int = 2,
    seed: int = 0,
) -> Staged:
    """Convolutions of one kernel size, each with batch norm and ReLU, averaged over all places: the network of ReBias
    (Bahng et al. 2020), whose partner has `kernel` 1 and is the same otherwise.

    stride  of all but the first convolution. Theirs is 1: every layer sees all pixels, which takes about 30 times as
            long. With 1×1 kernels, anything but 1 leaves out pixels.
    """
    choice("kernel", kernel, KERNELS)
    whole("stride", stride, 1)
    if not isinstance(widths, (tuple, list)) or not widths:
        raise ValueError(f"widths is {shown(widths)}; use a tuple of whole numbers, such as (16, 32)")
    for number, width in enumerate(widths):
        whole(f"widths[{number}]", width, 1)
    refuse_all_but_images(data)
    with isolated_randomness(seed):
        return _stacked(data, kernel, widths, stride)


def _stacked(data: GroupedData, kernel: int, widths: Sequence[int], stride: int) -> Staged:
    stages, depth = [], data.inputs.shape[1]
    for number, width in enumerate(widths):
        how: dict[str, Any] = dict(stride=stride if number else 1, padding=kernel // 2)
        convolution = nn.Conv2d(depth, width, kernel, bias=False, **how)
        stages.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU()))
        depth = width
    made = Staged(stages, widths, data.n_labels).to(data.device)
    return made.to(memory_format=torch.channels_last)


def refuse_all_but_images(data: GroupedData) -> None:
    """Unsuitable where a network of convolutions would have nothing to look at."""
    if grouped(data).inputs.ndim != 4:
        raise Unsuitable(
            f"convolutions need images [N, C, H, W], not inputs {tuple(data.inputs.shape)}; "
            "use a partner that is 'coarse'"
        )


def refuse_without_features(model: nn.Module, what: str) -> None:
    """Unsuitable where a model has no features that `what` could read."""
    if not (hasattr(model, "features") and hasattr(model, "head")):
        raise Unsuitable(
            f"{what} reads the features of a model, and {type(model).__name__} has no features and head; wrap it in "
            "models.Classifier(features, head)"
        )


def frozen(model: nn.Module) -> nn.Module:
    """`model`, which no optimiser moves from now on, and which keeps no gradients of its training."""
    model.zero_grad(set_to_none=True)
    return model.requires_grad_(False)


def features_and_logits(model: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Features [B, d] and logits [B, n_labels] in one forward pass."""
    features = model.get_submodule("features")(inputs)
    return features.flatten(1), model.get_submodule("head")(features.clone())  # a head may edit what it is given


def feature_width(model: nn.Module, data: GroupedData) -> int:
    """d, how many features a model has for each sample."""
    with torch.no_grad(), evaluating(model):
        one = data.batch(torch.zeros(1, dtype=torch.int64, device=data.device)).inputs
        return features_and_logits(model, one)[0].shape[1]
