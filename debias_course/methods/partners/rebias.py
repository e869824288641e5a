"""ReBias: features that are independent of those of a near-sighted network.

Two networks learn side by side. The partner g sees single pixels only, so that it can use nothing but what shows in
them; the model f is to be right, and to have features that say nothing about g's. How much they say is measured by the
Hilbert-Schmidt independence criterion (HSIC): two samples that are alike in the one should not be alike in the other
more often than others are. While f makes it small, g makes it large, so that it covers what f uses of its own sort.

Of the kernels K_ij = k(f_i, f_j) and L of a batch of n, with diagonals of zero, the unbiased estimate is
(HSIC_1 of Song et al. 2012)

    HSIC = [ tr(K L) + (1ᵀK1)(1ᵀL1) / ((n-1)(n-2)) - 2 (1ᵀK L1) / (n-2) ] / (n (n-3))

It is 0 on average where the two are independent, and may be below. n = 4 is the least; below a hundred it is noise.

Differences from the authors' code: the diagonals are set to zero, where theirs has a row of diagonal values subtracted
from each row, which is the same for kernels with a diagonal of ones only; g's step and f's use one forward pass of f,
whose weights have not moved in between, so that statistics of batch norm count a batch once; both learn by the run's
optimiser. The model may be any with features, and the partner is smaller: `networks.stacked` is their pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from ... import checks
from ...checks import Unsuitable, number
from ...data import Batch, GroupedData
from ...method import Method, State, knob
from .networks import features_and_logits, refuse_all_but_images, refuse_without_features, weak


def squared_distances(x: Tensor) -> Tensor:
    """|x_i - x_j|² of all pairs of x [n, d], [n, n]."""
    x = x - x.detach().mean(0)  # close to 0, so that little is lost in the differences below
    squares = x.square().sum(1)
    return (squares[:, None] + squares - 2 * x @ x.T).clamp(min=0)


def median_distance(x: Tensor) -> Tensor:
    """The median of |x_i - x_j| over all pairs of different samples of x [n, d], a scalar without a gradient; of an
    even number of pairs the lower of the two in the middle. Raises Unsuitable for a single sample."""
    n = len(checks.tensor("x", x, "[n, d]", whole=False))
    if n < 2:
        raise Unsuitable(f"{n} samples have no distances, and no median of them; use a larger batch_size")
    rows, columns = torch.triu_indices(n, n, 1, device=x.device)
    between = squared_distances(x.detach())[rows, columns]
    return between.sort().values[(len(between) - 1) // 2].sqrt()


def gaussian(x: Tensor, sigma: float | Tensor = 1.0) -> Tensor:
    """exp(-|x_i - x_j|² / (2 σ²)) of all pairs of x [n, d], [n, n]."""
    checks.tensor("x", x, "[n, d]", whole=False)
    if not isinstance(sigma, Tensor):
        number("sigma", sigma, 1e-12, unit=", in units of the features")
        return torch.exp(-squared_distances(x) / (2 * sigma**2))
    return torch.exp(-squared_distances(x) / (2 * sigma.square()).clamp(min=torch.finfo(x.dtype).tiny))


def hsic(one: Tensor, other: Tensor) -> Tensor:
    """The unbiased estimate of the dependence of two things of which a batch has the kernels [n, n], a scalar; their
    diagonals do not count. Raises Unsuitable for fewer than four samples."""
    for name, kernel in ("one", one), ("other", other):
        checks.tensor(name, kernel, "[n, n]", whole=False)
    n = len(one)
    if not one.shape == other.shape == (n, n):
        raise ValueError(f"kernels {tuple(one.shape)} and {tuple(other.shape)}; give two of [n, n]")
    if n < 4:
        raise Unsuitable(f"HSIC without bias needs four samples in a batch, not {n}; use a larger batch_size")
    off = 1 - torch.eye(n, dtype=one.dtype, device=one.device)
    one, other = one * off, other * off
    rows, columns = one.sum(0), other.sum(0)
    together = (one * other).sum()  # tr(K L), as both are symmetric
    apart = rows.sum() * columns.sum() / ((n - 1) * (n - 2))
    return (together + apart - 2 * (rows @ columns) / (n - 2)) / (n * (n - 3))


@dataclass(frozen=True, kw_only=True)
class ReBias(Method):
    """min_θ (1/B) Σ_i ℓ(f_θ(x_i), y_i) + λ HSIC(f_θ, g_φ),   φ: min_φ (1/B) Σ_i ℓ(g_φ(x_i), y_i) - λ_g HSIC(f_θ, g_φ)
    (Bahng et al. 2020, section 3)

    HSIC compares the features of the model f_θ and of its partner g_φ of 1×1 convolutions, both as they stand behind
    the head, by Gaussian kernels. In each batch the partner makes a step, then the model.

    strength          λ; 0 is ERM, to the bit
    partner_strength  λ_g: how much the partner follows the model
    bandwidth         σ of both kernels: "one", as published, or "median", of the distances in the batch, which grows
                      with the features, where σ = 1 comes to see all samples as unlike all others
    width             channels of the partner's first layer; its second has twice as many

    Batches of 128 or more tell something; theirs are of 256. For onlookers, `state.dependence` is HSIC in the last
    batch. Raises Unsuitable for inputs that are no images, for a model without features and head, and for batches of
    fewer than four.
    """

    strength: float = knob(
        1.0, low=0.0, high=100.0, search=(0.1, 10.0), help="λ: how much the model avoids the partner"
    )
    partner_strength: float = knob(1.0, low=0.0, high=100.0, search=(0.1,), help="λ_g: how much the partner follows")
    bandwidth: str = knob("one", choices=("one", "median"), help="σ of the kernels: 1, or the median distance")
    width: int = knob(16, low=1, high=128, search=(8, 32), help="channels of the partner's first 1×1 convolution")

    def model(self, model: nn.Module, data: GroupedData) -> nn.Module:
        refuse_all_but_images(data)
        refuse_without_features(model, "HSIC")
        return model

    def start(self, model: nn.Module, data: GroupedData) -> State:
        state = State()
        state.partner = weak(data, "pointwise", width=self.width)
        return state

    def kernel(self, features: Tensor) -> Tensor:
        """Of features [B, d], [B, B]."""
        return gaussian(features, 1.0 if self.bandwidth == "one" else median_distance(features))

    def partner_loss(self, kernel: Tensor, batch: Batch, state: State) -> Tensor:
        """What the partner minimises, given the model's kernel [B, B] as numbers."""
        features, logits = features_and_logits(state.partner, batch.inputs)
        risk = F.cross_entropy(logits, batch.labels, reduction="none").mean()
        if self.partner_strength == 0:
            return risk
        return risk - self.partner_strength * hsic(kernel, self.kernel(features))

    def model_loss(self, logits: Tensor, kernel: Tensor, batch: Batch, state: State) -> Tensor:
        """What the model minimises, given its own logits [B, C] and kernel [B, B]."""
        risk = F.cross_entropy(logits, batch.labels, reduction="none").mean()
        if self.strength == 0:
            return risk
        with torch.no_grad():
            other = self.kernel(state.partner.features(batch.inputs).flatten(1))
        dependence = hsic(kernel, other)
        state.dependence = dependence.detach()
        return risk + self.strength * dependence

    def step(self, model: nn.Module, batch: Batch, state: State, optimizer: Optimizer) -> Tensor:
        """The partner's, then the model's, which meets the new partner; returns the model's loss."""
        features, logits = features_and_logits(model, batch.inputs.clone())
        kernel = self.kernel(features)
        optimizer.zero_grad(set_to_none=True)
        self.partner_loss(kernel.detach(), batch, state).backward()
        optimizer.step()  # nothing but the partner has a gradient, and moves
        optimizer.zero_grad(set_to_none=True)
        loss = self.model_loss(logits, kernel, batch, state)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        """Both losses at once, before either moves; each moves its own network only."""
        features, logits = features_and_logits(model, batch.inputs.clone())
        kernel = self.kernel(features)
        partner = self.partner_loss(kernel.detach(), batch, state)
        return self.model_loss(logits, kernel, batch, state) + partner
