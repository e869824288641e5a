"""Adversarial training: learn from inputs that are changed, within a small ball, to make the loss as large as it gets.

The inner problem has no exact solution for a network; k steps of projected gradient ascent (PGD) stand in for it, and
one step with the sign of the gradient (FGSM) for those. What comes out is an upper bound of the worst case: a stronger
attack may find more, so that a robust accuracy is worth nothing without the attack that it was measured with.
`robust_evaluate` names it. Robust to small changes is not the same as fair to groups: no group is looked at here.

Differences from the authors' code: the attack sees the model in evaluation mode, and every module's own mode is put
back; it takes gradients of the inputs alone, so that parameters keep theirs; the radius grows from 0 over the first
part of training, without which a large one ends in a network that always says the same; that is warned of. A step in
L2 has its full length however small the gradient, where reference codes divide by ‖g‖ + 1e-10. Inputs are pixels in
[0, 1]; a model that wants them normalised does so itself, otherwise radius and bounds would mean nothing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import checks
from ..checks import number
from ..contexts import threads_for
from ..data import Batch, GroupedData
from ..evaluation import GroupReport, evaluate, predict
from ..method import Method, State, knob
from .attacks import NORMS, attack
from .attacks import ascent as ascent
from .attacks import fgsm as fgsm
from .attacks import project as project


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
    checks.network(model)
    checks.grouped(data)
    number("batch_size", batch_size, 1, whole=True)
    number("seed", seed, 0, whole=True)
    device = next((t.device for t in [*model.parameters(), *model.buffers()]), data.device)
    data, clip = data.to(device), data.inputs.dtype == torch.uint8
    how: dict[str, Any] = dict(
        radius=radius, steps=steps, step_size=step_size, norm=norm, random_start=random_start, restarts=restarts
    )
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

    The maximum is what `attack` finds in k `steps` of size α = `reach` · ε / k. By default nothing but the attacked
    batch is trained on. With a `share` c below 1, attacked samples are added to clean ones: the loss of a sample is
    c ℓ(f_θ(x + δ), y) + (1 - c) ℓ(f_θ(x), y) (Goodfellow et al. 2015, section 6, with c = 0.5). Known settings
    (`radius`, `steps`, `reach`, `random_start`), all in the max norm:

    0.3, 40, 1.33, True   PGD for MNIST of Madry et al. 2018
    0.3, 1, 1.25, True    one step from a random start, of Wong et al. 2020
    0.3, 1, 1.0, False    FGSM of Goodfellow et al. 2015: looks robust to itself, and need not be to more steps

    ramp    the part of training over which the radius grows from 0 to ε; large radii collapse without
    radius  in units of the inputs: pixels in [0, 1] for images (what is attacked stays there), features as they are
    """

    radius: float = knob(0.1, low=0.0, high=3.0, step=0.01, search=(0.03,), help="ε: how far an input may be moved")
    steps: int = knob(7, low=0, high=50, help="k: how many steps the attack takes; each costs as much as training")
    reach: float = knob(2.5, low=0.0, high=10.0, step=0.05, help="k α / ε: how far all steps lead together, in radii")
    norm: str = knob("max", choices=NORMS, help="every pixel a little, or a given length in all")
    random_start: bool = knob(True, help="attack from a random point of the ball, or the input")
    ramp: float = knob(0.3, low=0.0, high=1.0, step=0.05, help="share of training over which the radius grows to ε")
    share: float = knob(1.0, low=0.0, high=1.0, step=0.05, help="of the loss, for attacked samples; the rest for clean")

    def start(self, model: nn.Module, data: GroupedData) -> State:
        state = State()
        state.clip = data.inputs.dtype == torch.uint8
        predicted = torch.zeros(data.n_labels, dtype=torch.int64, device=data.device)
        state.register_buffer("predicted", predicted)  # in this epoch, of each label
        return state

    def data(self, model: nn.Module, data: GroupedData, state: State) -> GroupedData:
        if state.epoch > 2:  # in its first epoch, a network may not have begun to tell classes apart
            _warn_of_collapse(state.predicted, data, f" of epoch {state.epoch - 1}")
        state.predicted.zero_()
        return data

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        logits = model(self.attacked(model, batch, state) if self.share else batch.inputs)
        predicted = logits.detach().argmax(1)
        state.predicted.index_add_(0, predicted, torch.ones_like(predicted))
        losses = F.cross_entropy(logits, batch.labels, reduction="none")
        if 0 < self.share < 1:
            clean = F.cross_entropy(model(batch.inputs), batch.labels, reduction="none")
            losses = self.share * losses + (1 - self.share) * clean
        return losses.mean()

    def attacked(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
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
            random_start=self.random_start,
            clip=state.clip,
            generator=state.generator,
        )
