"""Learning from failure: a twin learns what is easy, and what it fails on counts.

Two networks of one kind learn side by side. The twin minimises a loss that turns away from what it cannot fit, so that
it becomes a specialist of the shortcut; the model weighs each sample by how much harder it is for the twin than for
itself. Nobody says which samples conflict with the bias; that the bias is learnt first is the assumption.

The twin's loss is the generalised cross-entropy (Zhang and Sabuncu 2018), GCE = (1 - p_y^q) / q, whose gradient is that
of the cross-entropy times p_y^q: what it thinks unlikely hardly counts. q → 0 is the cross-entropy. The model's weights
are relative difficulties,

    W_i = ℓ_i(twin) / (ℓ_i(twin) + ℓ_i(model)),

with both cross-entropies averaged over the times that the sample was seen, and divided by the largest of its class.

Differences from the authors' code: the value of the GCE is the formula's, where theirs is the cross-entropy times
q p_y^q with p_y as a number, whose gradient is q times as large; the twin starts from the weights of the model, as it
would where they are pretrained, and not from others; a class whose largest loss is 0 has weights of 1/2, and no 0/0.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ... import checks
from ...checks import number
from ...data import Batch, GroupedData
from ...method import Method, State, knob

NOTHING = 1e-8  # of the authors' code, where weights are divided


def generalised_cross_entropy(losses: Tensor, q: float) -> Tensor:
    """(1 - p_y^q) / q of each sample, [B, ...], from its cross-entropy -log p_y in nats, [B, ...]; q from 0, which is
    the cross-entropy itself, to 1, the probability of being wrong."""
    checks.tensor("losses", losses, "[B, ...]", whole=False)
    if number("q", q, 0, 1) == 0:
        return losses
    return -torch.expm1(-q * losses) / q


def relative_difficulty(twin: Tensor, model: Tensor) -> Tensor:
    """W = twin / (twin + model) [...], of losses from 0; 1/2 where both are 0."""
    return (twin + NOTHING) / (twin + model + 2 * NOTHING)


class LossMemory(nn.Module):
    """The running mean of K losses of each of N samples, in their classes' largest.

    average  float [K, N], 0 where a sample was not seen yet;  seen  bool [N]
    """

    average: Tensor
    seen: Tensor
    labels: Tensor

    def __init__(self, data: GroupedData, losses: int, decay: float):
        super().__init__()
        self.decay, self.n_labels = decay, data.n_labels
        self.register_buffer("average", torch.zeros(losses, len(data), device=data.device))
        self.register_buffer("seen", torch.zeros(len(data), dtype=torch.bool, device=data.device))
        self.register_buffer("labels", data.labels.clone())

    def update(self, losses: Tensor, indices: Tensor) -> Tensor:
        """Remember the losses [K, B] of the samples `indices` [B]; returns what is remembered of them then, divided by
        the largest of each one's class, [K, B], 0 to 1. A sample that is seen for the first time counts as it is."""
        old = self.average[:, indices]
        decay = self.decay * self.seen[indices]
        now = decay * old + (1 - decay) * losses.detach()
        self.average.index_copy_(1, indices, now)
        self.seen.index_fill_(0, indices, True)
        largest = self.largest().gather(1, self.labels[indices].expand(len(now), -1))
        return now / largest.clamp(min=torch.finfo(now.dtype).tiny)

    def largest(self) -> Tensor:
        """The largest running mean of each class, [K, C]."""
        empty = self.average.new_zeros(len(self.average), self.n_labels)
        return empty.scatter_reduce(1, self.labels.expand_as(self.average), self.average, "amax")


@dataclass(frozen=True, kw_only=True)
class LearningFromFailure(Method):
    """min_θ,φ (1/B) Σ_i W_i ℓ_i(θ) + GCE_i(φ),   W_i = L_i(φ) / (L_i(φ) + L_i(θ)),   GCE_i = (1 - p_φ(y_i | x_i)^q) / q
    (Nam et al. 2020, algorithm 1)

    ℓ is the cross-entropy; θ the model, φ its twin, a copy of the start. L are running means of the cross-entropies
    ℓ_i, divided by the largest of the sample's class. The weights are numbers: no gradient flows through them.

    q       how much the twin turns away from what it cannot fit; 0 is plain training of the twin
    decay   of the running means: the share that stays at each time that a sample is seen

    For onlookers, `state.partner` is the twin, and `state.weights` are W in the last batch, [B].
    """

    q: float = knob(0.7, low=0.0, high=1.0, search=(0.5,), help="how much the twin leaves out what it cannot fit")
    decay: float = knob(0.7, low=0.0, high=0.99, search=(0.9,), help="share of its running mean that a loss keeps")

    def start(self, model: nn.Module, data: GroupedData) -> State:
        state = State()
        state.partner, state.memory = copy.deepcopy(model), LossMemory(data, 2, self.decay)
        return state

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        said = [each(batch.inputs.clone()) for each in (state.partner, model)]
        twin, own = (F.cross_entropy(logits, batch.labels, reduction="none") for logits in said)
        weights = relative_difficulty(*state.memory.update(torch.stack([twin, own]), batch.indices))
        state.weights = weights
        return (weights * own).mean() + generalised_cross_entropy(twin, self.q).mean()
