"""Spectral decoupling: keep the logits small, so that no feature starves the others.

Gradient starvation (Pezeshki et al. 2021): once the easiest feature separates the classes, the loss is small, so are
its gradients, and the other features are hardly learnt. A penalty on the logits keeps the loss from vanishing. It takes
the place of weight decay and needs no group label.

Four things go by the name, and they differ by constants. With z the logits [B, C] and a factor ½ on all of them:

    margin  mean over B of (z_1 - z_0)²          two classes, one logit: the paper's ŷ
    all     mean over B and C of z²              DomainBed (its `sd_reg` is λ/2)
    sum     mean over B of Σ_c z_c²              C times "all"
    true    mean over B of (z_y - γ_y)²          the logit of the right class: Shrestha et al. 2022

The offsets γ_y are the paper's for CelebA, where the means are taken per class, and then summed. The authors' code has
no ½ there: its 0.1 is our strength of 0.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import checks
from ..checks import Unsuitable, choice, numbers
from ..data import Batch, GroupedData
from ..method import Method, State, knob, several

VARIANTS = ("margin", "all", "sum", "true")
SWITCH, SCALE = 450, 2e-5  # of the authors' Colored-MNIST recipe


def penalty(
    logits: Tensor, labels: Tensor, *, variant: str = "all", offsets: Sequence[float] = (), per_class: bool = False
) -> Tensor:
    """What λ/2 multiplies, a scalar: one of the four of the module's text for logits [B, C] and labels [B].

    offsets    γ_c, one per class, taken off the logit of a sample of class c; () is zero
    per_class  the sum over classes of the mean over their samples, instead of the mean over all; a class that is not
               in the batch counts as 0
    """
    checks.tensor("logits", logits, "[B, C]", whole=False)
    checks.tensor("labels", labels, "[B]", whole=True)
    choice("variant", variant, VARIANTS)
    offsets = numbers("offsets", offsets, "class")
    checks.isa("per_class", per_class, bool, "True or False")
    n_labels = logits.shape[1]
    if len(logits) != len(labels):
        raise ValueError(f"{len(logits)} rows of logits with {len(labels)} labels; give one label for each")
    if variant == "margin" and n_labels != 2:
        raise Unsuitable(f"the margin z_1 - z_0 is for two classes, not {n_labels}; use variant 'all' or 'true'")
    if offsets and len(offsets) != n_labels:
        raise Unsuitable(f"offsets are {offsets}; give one number for each of the {n_labels} classes")
    if variant == "margin":
        z = logits.diff(dim=1)
    else:
        z = logits.gather(1, labels[:, None].long()) if variant == "true" else logits
    if offsets:
        z = z - torch.as_tensor(offsets, dtype=z.dtype, device=z.device).index_select(0, labels)[:, None]
    squares = z.square().sum(1) if variant == "sum" else z.square().mean(1)
    if not per_class:
        return squares.mean()
    sums = torch.zeros(n_labels, dtype=z.dtype, device=z.device).index_add(0, labels, squares)
    counts = torch.zeros_like(sums).index_add(0, labels, torch.ones_like(squares))
    return (sums / counts.clamp(min=1)).sum()


@dataclass(frozen=True, kw_only=True)
class SpectralDecoupling(Method):
    """min_θ (1/B) Σ_i ℓ_i + (λ/2) mean_i ẑ_i²   (Pezeshki et al. 2021, eq. 16; ½ included in all variants)

    strength   λ; 0 is ERM, to the bit
    variant, offsets, per_class    see `penalty`
    """

    strength: float = knob(
        0.1, low=0.0, high=10.0, step=0.05, search=(0.01, 1.0), help="λ: how strongly logits are kept small"
    )
    variant: str = knob("all", choices=("all", "margin", "sum", "true"), help="which logits are squared")
    per_class: bool = knob(False, help="average within each class, so that all count alike")
    offsets: tuple[float, ...] = several("class")

    takes = ("targets",)

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        logits = model(batch.inputs)
        risk = F.cross_entropy(logits, batch.targets, reduction="none").mean()
        if self.strength == 0:
            return risk
        how: dict[str, Any] = dict(variant=self.variant, offsets=self.offsets, per_class=self.per_class)
        return risk + self.strength / 2 * penalty(logits, batch.labels, **how)


@dataclass(frozen=True, kw_only=True)
class ColoredMNISTDecoupling(Method):
    """min_θ ℓ + c ẑ²  for 450 steps, then  min_θ c (ℓ + ẑ²),   c = 2e-5, ℓ and ẑ² means over the batch, ẑ = z_1 - z_0

    What the authors' code does for Colored MNIST (table 1 of Pezeshki et al. 2021), which their text does not say. The
    factor c on *both* terms looks harmless and is not: Adam's memory of earlier gradients makes the later steps tiny.
    Two classes, as their network has one logit (`single_logit`). A recipe for one table, so it is not in `METHODS`:
    with fewer than 450 steps it is next to ERM.

    last_factor    False: ℓ + ẑ² after the 450 steps
    penalised      False: the same without ẑ², as a control of the factor; without both it is plain training
    """

    last_factor: bool = knob(True, help="multiply the loss of the later steps by 2e-5, as the authors' code does")
    penalised: bool = knob(True, help="add the squared margins to the loss, as the authors' code does")

    def start(self, model: nn.Module, data: GroupedData) -> State:
        state = State()
        state.register_buffer("steps", torch.zeros((), dtype=torch.int64, device=data.device))
        return state

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        logits = model(batch.inputs)
        if logits.shape[1] != 2:
            raise ValueError(f"the recipe is for two classes, not {logits.shape[1]}; use SpectralDecoupling")
        risk = F.cross_entropy(logits, batch.labels, reduction="none").mean()
        squares = penalty(logits, batch.labels, variant="margin") if self.penalised else torch.zeros_like(risk)
        early = (state.steps < SWITCH).to(risk.dtype)
        state.steps.add_(1)
        factor = SCALE if self.last_factor else 1.0
        return early * (risk + SCALE * squares) + (1 - early) * factor * (risk + squares)


def single_logit(data: GroupedData, *, hidden: int = 300, seed: int = 0) -> nn.Module:
    """The network of the Colored-MNIST experiments (Arjovsky et al. 2019): two hidden ReLU layers, Xavier start, biases
    zero, and one logit z, returned as (0, z), so that the cross-entropy is the logistic loss of z. 300 wide as in
    Pezeshki et al. 2021."""
    from ..contexts import isolated_randomness
    from ..models import Classifier

    checks.grouped(data)
    with isolated_randomness(seed):
        width = data.inputs.shape[1:].numel()
        layers = [nn.Linear(width, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 1)]
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        features = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU())
        return Classifier(features, nn.Sequential(layers[2], nn.ConstantPad1d((1, 0), 0.0)))
