"""Loss re-weighting: let the smaller populations count more.

Four things go by this name in the literature: weights on the loss (this module), drawing samples with replacement
with probability 1/n_g (Sagawa et al. 2020 and Idrissi et al. 2022, "RWG"), repeating samples in the data set, and
mini-batches with fixed shares. Their gradients agree on average; their noise, and what they do with augmentation, do
not. The last three belong to sampling.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from .. import checks
from ..checks import choice, number
from ..data import Batch, GroupedData
from ..method import Method, State, knob, sample_losses

OVER = ("samples", "populations", "none")


def inverse_frequency(counts: Tensor, power: float = 1.0) -> Tensor:
    """w_c = n_c^-power in float64, [C]; power 0 is ERM, ½ the square root, 1 the inverse frequency. Empty: 0."""
    counts, power = _checked(counts), number("power", power)
    return torch.where(counts > 0, counts.clamp(min=torch.finfo(torch.float64).tiny) ** -power, 0.0)


def effective_number(counts: Tensor, beta: float) -> Tensor:
    """w_c = (1 - β) / (1 - β^n_c) in float64, [C]  (Cui et al. 2019, "Class-balanced loss", eq. 2).

    1 - β^n is the expected number of distinct prototypes that n samples cover, times (1 - β). β = 0 weighs all
    classes the same; β = 1, the limit, is the inverse frequency. Empty: 0.
    """
    counts, beta = _checked(counts), number("beta", beta, 0, 1)
    if beta == 0:
        return (counts > 0).double()
    if beta == 1:
        return inverse_frequency(counts)
    covered = -torch.expm1(counts * torch.log(torch.tensor(beta, dtype=torch.float64, device=counts.device)))
    return torch.where(counts > 0, (1 - beta) / covered, 0.0)


def _checked(counts: Tensor) -> Tensor:
    """The counts in float64; ValueError where they are none."""
    checks.tensor("counts", counts, "[C]")
    if (counts < 0).any():
        raise ValueError(f"counts are {counts.tolist()}; give numbers of samples, from 0")
    return counts.double()


def normalise(weights: Tensor, counts: Tensor, over: str) -> Tensor:
    """Scale weights [C] to a mean of 1 over "samples" (Σ n_c w_c = n, the size of ERM's loss), over "populations"
    (Σ w_c = C, as in Cui et al.'s code), or leave them ("none"). The choice multiplies the learning rate."""
    choice("over", over, OVER)
    if over == "samples":
        return weights * (counts.sum() / (counts * weights).sum())
    if over == "populations":
        return weights * (len(weights) / weights.sum())
    return weights


@dataclass(frozen=True, kw_only=True)
class _Reweighting(Method):
    """min_θ (1/B) Σ_i w_{c(i)} ℓ_i,   w_c ∝ `raw`"""

    milder: ClassVar[str]  # a setting that makes weights less extreme

    by: str = knob("group", choices=("group", "label", "attribute"), help="which populations get the same total weight")
    normalize: str = knob("samples", choices=OVER, help="mean weight 1 over what")
    smooth: float = knob(0.0, low=0.0, high=100.0, help="added to every count, so that tiny populations weigh less")

    @property
    def needs(self) -> str:
        """The labels by which weights differ."""
        return {"group": "group labels", "label": "nothing", "attribute": "attribute labels"}[self.by]

    def raw(self, counts: Tensor) -> Tensor:
        """Weights before they are normalised, from the sizes of the populations, both float64 [C]."""
        raise NotImplementedError

    takes = ("targets",)

    def weights(self, data: GroupedData) -> Tensor:
        """The weight of each group, float32 [n_groups], on the device of `data`."""
        present = data.counts_by(self.by).cpu()  # float64, which not every device has
        counts = present + self.smooth
        if (counts == 0).any():
            data.require_every_group(
                f"weighting by {self.by} needs one of each; merge populations, weight by another, or pass smooth=1"
            )
        weights = normalise(self.raw(counts), present, self.normalize)
        if weights.max() > 100 * weights.min():
            warnings.warn(
                f"the largest weight is {weights.max() / weights.min():.0f} times the smallest, so single samples "
                f"steer the gradient; {self.milder} or smooth > 0 evens this out",
                stacklevel=2,
            )
        shape = {"group": (-1, data.n_attributes), "label": (-1, 1), "attribute": (1, -1)}[self.by]
        return weights.view(shape).expand(data.n_labels, data.n_attributes).reshape(-1).float().to(data.device)

    def start(self, model: nn.Module, data: GroupedData) -> State:
        state = State()
        state.register_buffer("weights", self.weights(data))
        return state

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        weights = state.weights.index_select(0, batch.groups)  # refuses unknown groups; -1 does not wrap around
        return (weights * sample_losses(model, batch)).mean()


@dataclass(frozen=True, kw_only=True)
class LossReweighting(_Reweighting):
    """min_θ (1/B) Σ_i w_{c(i)} ℓ_i,   w_c ∝ n_c^-power   (inverse frequency: King and Zeng 2001)

    c(i) is the population of sample i: its group, its label, or its attribute; n_c its size in training. The weights
    are normalised over samples, so that the loss keeps ERM's scale. The mean divides by B, not by the batch's sum of
    weights as torch's `F.cross_entropy(weight=...)` does (there a batch with one class ignores the weight).

    By group, this is the "upweighting" of Sagawa et al. 2020, section 3.3 (whose code draws samples instead of
    weighting losses). Raises ValueError where a population that is to be weighted has no training example.
    """

    milder = "a smaller power"

    power: float = knob(
        1.0, low=0.0, high=2.0, search=(0.5, 1.5), help="of the inverse frequency: 0 is ERM, 0.5 its square root"
    )

    def raw(self, counts: Tensor) -> Tensor:
        return inverse_frequency(counts, self.power)


@dataclass(frozen=True, kw_only=True)
class EffectiveNumberWeighting(_Reweighting):
    """min_θ (1/B) Σ_i w_{c(i)} ℓ_i,   w_c ∝ (1 - β) / (1 - β^n_c)   (Cui et al. 2019, eq. 2)

    c(i) is the population of sample i: its group, its label (as published), or its attribute; n_c its size in training.
    The weights are normalised over samples, so that the loss keeps ERM's scale; in the authors' code, over populations.
    See `LossReweighting` for the rest.
    """

    milder = "a smaller beta"

    beta: float = knob(0.999, low=0.0, high=0.9999, step=0.001, help="β of the effective number: 0 is ERM")

    def raw(self, counts: Tensor) -> Tensor:
        return effective_number(counts, self.beta)
