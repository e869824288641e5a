"""Adversarial training: learn from inputs that are changed, within a small ball, to make the loss as large as it gets.

The inner problem has no exact solution for a network; k steps of projected gradient ascent (PGD) stand in for it, and
one step with the sign of the gradient (FGSM) for those. What comes out is an upper bound of the worst case: a stronger
attack may find more, so that a robust accuracy is worth nothing without the attack that it was measured with.
`robust_evaluate` names it. Robust to small changes is not the same as fair to groups: no group is looked at here.

Differences from the authors' code: the attack sees the model in evaluation mode, and every module's own mode is put
back; it takes gradients of the inputs alone, so that parameters keep theirs; the radius grows from 0 over the first
part of training, without which a large one ends in a network that always says the same; that is warned of. Inputs are
pixels in [0, 1]; a model that wants them normalised does so itself, otherwise radius and bounds would mean nothing.
"""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass, replace
from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data import Batch, GroupedData
from ..evaluation import GroupReport, evaluate, predict
from ..models import evaluating, threads_for
from .base import Method, knob

NORMS = ("max", "L2")


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
    clip: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Inputs [B, ...] near `inputs` on which the model's loss is high: x ← Π(x + α u), k times (Madry et al. 2018).

    u is the steepest direction (`ascent`) and Π the projection (`project`) on the ball of `radius` ε in `norm`, and on
    [0, 1] with `clip`. One step from the inputs themselves with α = ε is FGSM (Goodfellow et al. 2015).

    step_size     α, in units of the inputs; 2.5 ε / k by default, so that any point of the ball can be reached
    random_start  from a random point of the ball, which `generator` (on the inputs' device) draws
    restarts      so many attacks; of each sample, the one that the model gets wrong is kept, and that of higher loss
    steps=0       is the start itself

    The model is asked in evaluation mode. Its modes, its parameters' gradients and their `requires_grad` stay as they
    are. ValueError for settings that make no sense, TypeError for inputs that are not float, FloatingPointError for a
    gradient that is not finite (on a CPU; a GPU would have to be waited for, and shows it in the loss).
    """
    if not inputs.is_floating_point():
        raise TypeError(f"inputs are {inputs.dtype}; a step of part of a pixel needs float images: divide by 255 first")
    _check(radius, steps, step_size, norm, restarts)
    if random_start and generator is None and inputs.device.type != "meta":
        raise ValueError("a random start draws; pass generator=torch.Generator(), or random_start=False")
    if step_size is None:
        step_size = 2.5 * radius / max(steps, 1)
    clean, best = inputs.detach(), None
    with evaluating(model), frozen(model), torch.enable_grad():
        for _ in range(restarts):
            x = clean
            if random_start:
                x = project(clean + random_point(clean, radius, norm, generator), clean, radius, norm, clip)
            for _ in range(steps):
                x = x + ascent(input_gradient(model, x, labels), norm).mul_(step_size)
                x = project(x, clean, radius, norm, clip)
            best = x if best is None else _worse(model, best, x, labels)
    return best


def fgsm(model: nn.Module, inputs: Tensor, labels: Tensor, *, radius: float, clip: bool = True) -> Tensor:
    """x' = Π_[0,1](x + ε sign ∇_x L)   (Goodfellow et al. 2015, section 4)"""
    return attack(
        model, inputs, labels, radius=radius, steps=1, step_size=radius, norm="max", random_start=False, clip=clip
    )


def input_gradient(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """∇_x Σ_i ℓ_i, the shape of the inputs; of the sum, so that a sample's gradient knows nothing of the batch."""
    inputs = inputs.detach().requires_grad_()
    loss = F.cross_entropy(model(inputs), labels, reduction="sum")
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


def project(moved: Tensor, inputs: Tensor, radius: float, norm: str, clip: bool) -> Tensor:
    """The nearest point to `moved` in the ball around `inputs`; with `clip` cut off at 0 and 1, which leads nowhere out
    of the ball of an input in [0, 1]."""
    change = moved - inputs
    if norm == "max":
        change.clamp_(-radius, radius)
    else:
        change *= (radius / _length(change).clamp(min=torch.finfo(change.dtype).tiny)).clamp(max=1)
    change += inputs
    return change.clamp_(0, 1) if clip else change


def random_point(inputs: Tensor, radius: float, norm: str, generator: torch.Generator | None) -> Tensor:
    """A point of the ball around 0 for each sample, all parts of the ball alike."""
    like = dict(generator=generator, device=inputs.device, dtype=inputs.dtype)
    if norm == "max":
        return radius * (2 * torch.rand(inputs.shape, **like) - 1)
    direction = ascent(torch.randn(inputs.shape, **like), norm)
    share = torch.rand(len(inputs), **like) ** (1 / inputs[0].numel())
    return radius * _per_sample(share, inputs) * direction


@contextlib.contextmanager
def frozen(model: nn.Module):
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


@torch.no_grad()
def _worse(model: nn.Module, first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
    """Of each sample, the one that the model gets wrong; of two wrong or two right ones, that of higher loss."""
    logits = [model(each) for each in (first, second)]
    wrong = [each.argmax(1) != labels for each in logits]
    losses = [F.cross_entropy(each, labels, reduction="none") for each in logits]
    second_wins = (wrong[1] & ~wrong[0]) | ((wrong[1] == wrong[0]) & (losses[1] > losses[0]))
    return torch.where(_per_sample(second_wins, first), second, first)


def _check(radius: float, steps: int, step_size: float | None, norm: str, restarts: int) -> None:
    if norm not in NORMS:
        raise ValueError(f"norm is {norm!r}; use one of {', '.join(map(repr, NORMS))}")
    for name, value in dict(radius=radius, step_size=0.0 if step_size is None else step_size).items():
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} is {value!r}; use a number from 0, in units of the inputs")
    for name, value, low in ("steps", steps, 0), ("restarts", restarts, 1):
        if not isinstance(value, Integral) or value < low:
            raise ValueError(f"{name} is {value!r}; use a whole number from {low}")


@dataclass(frozen=True, repr=False)
class RobustReport(GroupReport):
    """A `GroupReport` of attacked samples, which says by what they were attacked."""

    attack: str = ""

    def __str__(self) -> str:
        return f"under {self.attack}: {super().__str__()}"

    __repr__ = __str__


def robust_evaluate(
    model: nn.Module,
    data: GroupedData,
    *,
    radius: float,
    steps: int,
    step_size: float | None = None,
    norm: str = "max",
    random_start: bool = True,
    restarts: int = 1,
    seed: int = 0,
    train: GroupedData | None = None,
    batch_size: int = 1024,
) -> RobustReport:
    """Group accuracies of `model` on `data` that `attack` has changed; images stay in [0, 1].

    A sample counts as right where it is right after all restarts. `seed` draws the starts. A model that predicts one
    class for everything is warned of: nothing changes its answer, so that it looks as robust as can be.
    """
    device = next((t.device for t in [*model.parameters(), *model.buffers()]), data.device)
    data, clip = data.to(device), data.inputs.dtype == torch.uint8
    how = dict(radius=radius, steps=steps, step_size=step_size, norm=norm, random_start=random_start, restarts=restarts)
    generator = torch.Generator(device).manual_seed(seed)
    with threads_for(model):
        parts = [
            attack(model, batch.inputs, batch.labels, clip=clip, generator=generator, **how)
            for batch in data.batches(torch.arange(len(data), device=device).split(batch_size))
        ]
    counts = torch.bincount(predict(model, data, batch_size=batch_size).argmax(1), minlength=data.n_labels)
    _warn_of_collapse(counts, data, "")
    report = evaluate(model, replace(data, inputs=torch.cat(parts)), train=train, batch_size=batch_size)
    return RobustReport(**vars(report), attack=describe(**how))


def describe(
    *, radius: float, steps: int, step_size: float | None, norm: str, random_start: bool, restarts: int
) -> str:
    """ "PGD-40 (max norm, radius 0.1, step 0.00625, best of 1 random start)"."""
    step_size = 2.5 * radius / max(steps, 1) if step_size is None else step_size
    one = norm == "max" and steps == 1 and not random_start
    starts = f"best of {restarts} random start{'s' * (restarts > 1)}" if random_start else "from the input"
    return f"{'FGSM' if one else f'PGD-{steps}'} ({norm} norm, radius {radius:g}, step {step_size:g}, {starts})"


def _warn_of_collapse(predicted: Tensor, data: GroupedData, when: str) -> None:
    """Warn where the counts of predicted labels [n_labels] hold one label only, of several in the data."""
    if int((predicted > 0).sum()) == 1 and int((data.counts_by("label") > 0).sum()) > 1:
        warnings.warn(
            f"the model predicts {data.label_names[int(predicted.argmax())]!r} for every sample{when}, which no attack "
            "can change; train with a longer ramp, a smaller radius or a smaller lr",
            stacklevel=3,
        )


@dataclass(frozen=True, kw_only=True)
class AdversarialTraining(Method):
    """min_θ (1/n) Σ_i max_{‖δ_i‖ ≤ ε} ℓ(f_θ(x_i + δ_i), y_i)   (Madry et al. 2018, eq. 2.1)

    The maximum is what `attack` finds in k `steps` of size α = `reach` · ε / k; nothing but the attacked batch is
    trained on. Known settings (`radius`, `steps`, `reach`, `random_start`), all in the max norm:

    0.3, 40, 1.33, "yes"   PGD for MNIST of Madry et al. 2018
    0.3, 1, 1.25, "yes"    one step from a random start, of Wong et al. 2020
    0.3, 1, 1.0, "no"      FGSM of Goodfellow et al. 2015: looks robust to itself, and need not be to more steps

    ramp    the share of training over which the radius grows from 0 to ε; large radii collapse without
    radius  in units of the inputs: pixels in [0, 1] for images (what is attacked stays there), features as they are
    """

    radius: float = knob(0.1, low=0.0, high=3.0, step=0.01, search=(0.03,), help="ε: how far an input may be moved")
    steps: int = knob(7, low=0, high=50, help="k: how many steps the attack takes; each costs as much as training")
    reach: float = knob(2.5, low=0.0, high=10.0, step=0.05, help="k α / ε: how far all steps lead together, in radii")
    norm: str = knob("max", choices=NORMS, help="every pixel a little, or a given length in all")
    random_start: str = knob("yes", choices=("yes", "no"), help="attack from a random point of the ball, or the input")
    ramp: float = knob(0.3, low=0.0, high=1.0, step=0.05, help="share of training over which the radius grows to ε")

    def start(self, model: nn.Module, data: GroupedData) -> nn.Module:
        state = nn.Module()
        state.clip = data.inputs.dtype == torch.uint8
        predicted = torch.zeros(data.n_labels, dtype=torch.int64, device=data.device)
        state.register_buffer("predicted", predicted)  # in this epoch, of each label
        return state

    def data(self, model: nn.Module, data: GroupedData, state: nn.Module) -> GroupedData:
        if state.epoch > 2:  # in its first epoch, a network may not have begun to tell classes apart
            _warn_of_collapse(state.predicted, data, f" of epoch {state.epoch - 1}")
        state.predicted.zero_()
        return data

    def loss(self, model: nn.Module, batch: Batch, state: nn.Module) -> Tensor:
        logits = model(self.attacked(model, batch, state))
        predicted = logits.detach().argmax(1)
        state.predicted.index_add_(0, predicted, torch.ones_like(predicted))
        return F.cross_entropy(logits, batch.labels, reduction="none").mean()

    def attacked(self, model: nn.Module, batch: Batch, state: nn.Module) -> Tensor:
        """The batch's inputs [B, ...], moved by as much as the ramp allows by now."""
        radius = self.radius * min(1.0, state.progress / self.ramp if self.ramp else 1.0)
        return attack(
            model,
            batch.inputs,
            batch.labels,
            radius=radius,
            steps=self.steps,
            step_size=self.reach * radius / max(self.steps, 1),
            norm=self.norm,
            random_start=self.random_start == "yes",
            clip=state.clip,
            generator=state.generator,
        )
