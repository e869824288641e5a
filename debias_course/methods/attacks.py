"""Attacks: the point within a small ball around an input where the loss is as large as it gets, or nearly.

PGD takes k steps of projected gradient ascent, FGSM one with the sign of the gradient.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import checks
from ..checks import Unsuitable, choice, number, numbers, shown
from ..contexts import evaluating

NORMS = ("max", "L2")
ROUNDING = 1e-6  # by which pixels may lie beyond the bounds


def attack(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    radius: float,
    steps: int = 1,
    step_size: float | None = None,
    norm: str = "max",
    random_start: bool = True,
    restarts: int = 1,
    targeted: bool = False,
    clip: bool | tuple[float, float] = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Inputs [B, ...] near `inputs` on which the model's loss is high: x ← Π(x + α u), k times (Madry et al. 2018).

    u is the steepest direction (`ascent`) and Π the projection (`project`) on the ball of `radius` ε in `norm`, and on
    the bounds of `clip`: True is [0, 1], False none, or give two numbers. One step from the inputs themselves with
    α = ε is FGSM (Goodfellow et al. 2015).

    step_size     α, in units of the inputs; 2.5 ε / k by default, so that any point of the ball can be reached
    random_start  from a random point of the ball, which `generator` (on the inputs' device) draws
    restarts      so many attacks; of each sample, the one that the model gets wrong is kept, and that of higher loss
    targeted      the labels are those that the model should be made to say: down the loss instead of up
    steps=0       is the start itself

    A network that wants normalised pixels is attacked together with what normalises them, so that radius and bounds are
    those of pixels: torch.nn.Sequential(torchvision.transforms.v2.Normalize(mean, std), network). The model is asked in
    evaluation mode. Its modes, its parameters' gradients and their `requires_grad` stay as they are. ValueError for
    settings that make no sense, TypeError for inputs that are not float. On a CPU (a GPU would have to be waited for)
    also ValueError for inputs out of bounds, which clipping would move by more than the radius, and for labels that the
    model does not know, and FloatingPointError for a gradient that is not finite.
    """
    _check(radius, steps, step_size, norm, restarts)
    _check_given(model, inputs, labels, clip)
    _check_start(random_start, generator, inputs)
    up = -1 if checks.flag("targeted", targeted) else 1
    if step_size is None:
        step_size = 2.5 * radius / max(steps, 1)
    clean = best = inputs.detach()
    ball: Any = (clean, radius, norm, clip)
    with evaluating(model), frozen(model), torch.enable_grad():
        for restart in range(restarts):
            x = project(clean + random_point(clean, radius, norm, generator), *ball) if random_start else clean
            for _ in range(steps):
                x = x + ascent(input_gradient(model, x, labels), norm).mul_(up * step_size)
                x = project(x, *ball)
            best = _worse(model, best, x, labels, up) if restart else x
    return best


def fgsm(
    model: nn.Module, inputs: Tensor, labels: Tensor, *, radius: float, clip: bool | tuple[float, float] = True
) -> Tensor:
    """x' = Π_[0,1](x + ε sign ∇_x L)   (Goodfellow et al. 2015, section 4)"""
    return attack(
        model, inputs, labels, radius=radius, steps=1, step_size=radius, norm="max", random_start=False, clip=clip
    )


def input_gradient(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """∇_x Σ_i ℓ_i, the shape of the inputs; of the sum, so that a sample's gradient knows nothing of the batch."""
    inputs = inputs.detach().requires_grad_()
    loss = F.cross_entropy(_answers(model, inputs, labels), labels.long(), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, inputs)
    if gradient.device.type == "cpu" and not torch.isfinite(gradient.sum()):
        raise FloatingPointError(
            "the gradient of the loss by the inputs is not finite, so there is no way up; lower lr, or look for "
            "extreme inputs"
        )
    return gradient


def ascent(gradient: Tensor, norm: str) -> Tensor:
    """The steepest direction of length 1: sign(g) in the max norm, g / ‖g‖ in L2; 0 where the gradient is 0."""
    if norm == "max":
        return gradient.sign().add_(gradient, alpha=0)  # NaN stays NaN: its sign would be 0, and pass unnoticed
    largest = _per_sample(gradient.abs().flatten(1).amax(1), gradient)  # first, so that no square underflows
    scaled = gradient / largest.clamp(min=torch.finfo(gradient.dtype).tiny)
    return scaled / _length(scaled).clamp(min=torch.finfo(gradient.dtype).tiny)


def project(moved: Tensor, inputs: Tensor, radius: float, norm: str, clip: bool | tuple[float, float]) -> Tensor:
    """The nearest point to `moved` in the ball around `inputs`, cut off at the bounds of `clip`, which leads out of no
    ball around an input within them."""
    change = moved - inputs
    if norm == "max":
        change.clamp_(-radius, radius)
    else:
        change *= (radius / _length(change).clamp(min=torch.finfo(change.dtype).tiny)).clamp(max=1)
    change += inputs
    limits = bounds(clip)
    return change.clamp_(*limits) if limits else change


def bounds(clip: bool | tuple[float, float]) -> tuple[float, ...] | None:
    """The lowest and the highest pixel: 0 and 1 for True, none for False, or the two numbers that are given."""
    if isinstance(clip, bool):
        return (0.0, 1.0) if clip else None
    limits = numbers("clip", clip, "end, or True for [0, 1], or False for none")
    if len(limits) != 2 or limits[0] >= limits[1]:
        raise ValueError(f"clip is {shown(clip)}; give two numbers, the lower one first, or True for [0, 1], or False")
    return limits


def random_point(inputs: Tensor, radius: float, norm: str, generator: torch.Generator | None) -> Tensor:
    """A point of the ball around 0 for each sample, all parts of the ball alike."""
    like: dict[str, Any] = dict(generator=generator, device=inputs.device, dtype=inputs.dtype)
    if norm == "max":
        return radius * (2 * torch.rand(inputs.shape, **like) - 1)
    direction = ascent(torch.randn(inputs.shape, **like), norm)
    share = torch.rand(len(inputs), **like) ** (1 / inputs[0].numel())
    return radius * _per_sample(share, inputs) * direction


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Inside, no parameter asks for a gradient, which saves a third of a pass; afterwards, those that did do again."""
    asked = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in asked:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)


def _length(change: Tensor) -> Tensor:
    """The L2 norm of each sample, [B, 1, ...]."""
    return _per_sample(change.flatten(1).norm(dim=1), change)


def _per_sample(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 1))


def _answers(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Logits [B, C], in which the labels can be looked up. The model sees a copy of the inputs: it may edit them, and
    they are used again."""
    logits = model(inputs.clone())
    if logits.ndim != 2:
        raise ValueError(f"the model returns {tuple(logits.shape)}; it should return logits [{len(inputs)}, n_labels]")
    if logits.device.type == "cpu" and ((labels < 0) | (labels >= logits.shape[1])).any():
        raise ValueError(
            f"labels range from {int(labels.min())} to {int(labels.max())}, and the model knows 0 to "
            f"{logits.shape[1] - 1}; give it an output for each label"
        )
    return logits


@torch.no_grad()
def _worse(model: nn.Module, first: Tensor, second: Tensor, labels: Tensor, up: int) -> Tensor:
    """Of each sample, the one that the model gets wrong; of two wrong or two right ones, that of higher loss. With -1
    for `up`, the one that it gets right, and of lower loss."""
    logits = [_answers(model, each, labels) for each in (first, second)]
    wrong = [(each.argmax(1) != labels) == (up > 0) for each in logits]
    losses = [up * F.cross_entropy(each, labels.long(), reduction="none") for each in logits]
    second_wins = (wrong[1] & ~wrong[0]) | ((wrong[1] == wrong[0]) & (losses[1] > losses[0]))
    return torch.where(_per_sample(second_wins, first), second, first)


def _check(radius: float, steps: int, step_size: float | None, norm: str, restarts: int) -> None:
    choice("norm", norm, NORMS)
    for name, value in dict(radius=radius, step_size=0.0 if step_size is None else step_size).items():
        number(name, value, 0, unit=", in units of the inputs")
    for name, value, low in ("steps", steps, 0), ("restarts", restarts, 1):
        number(name, value, low, whole=True)


def _check_given(model: nn.Module, inputs: Tensor, labels: Tensor, clip: bool | tuple[float, float]) -> None:
    checks.network(model)
    checks.tensor("inputs", inputs, "[B, ...]")
    checks.tensor("labels", labels, "[B]", whole=True)
    if len(inputs) != len(labels):
        raise ValueError(f"{len(inputs)} inputs with {len(labels)} labels; give one label for each")
    if not inputs.is_floating_point():
        raise TypeError(f"inputs are {inputs.dtype}; a step of part of a pixel needs float images: divide by 255 first")
    limits = bounds(clip)
    if limits and inputs.device.type == "cpu" and inputs.numel():
        low, high = (float(end) for end in inputs.detach().aminmax())
        if low < limits[0] - ROUNDING or high > limits[1] + ROUNDING:
            raise Unsuitable(
                f"inputs reach from {low:g} to {high:g}, and clipping to {list(limits)} would move them by more than "
                "the radius; let the model normalise pixels, or pass clip=False, or their bounds, clip=(low, high)"
            )


def _check_start(random_start: bool, generator: torch.Generator | None, inputs: Tensor) -> None:
    checks.isa("random_start", random_start, bool, "True or False")
    checks.generator(generator)
    if random_start and generator is None and inputs.device.type != "meta":
        raise ValueError("a random start draws; pass generator=torch.Generator(), or random_start=False")
