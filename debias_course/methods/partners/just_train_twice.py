"""Just train twice: whom plain training gets wrong early counts more in the next training.

A model is trained plainly for a few epochs. The samples that it gets wrong by then, of those that it was trained on,
are the error set E; a second training, from the same start, counts each of them λ times. Nobody says who conflicts
with the bias; the hope is that an early model errs on little else. Two numbers decide: too few epochs and the easy are
in E, too many and nobody is. A wrong label is an error as well.

Two ways to count: as copies, an epoch has each of E λ times, and is longer; as weights, the loss of each is multiplied,
and the epoch is as long as before. The first is what the authors do, and both minimise the same sum.

Differences from the authors' code: λ is how often a sample counts, where their `up_weight` is the number of its copies
beside itself, λ - 1; the first training has the rate and the decay of the second, where theirs are searched apart; the
weights are divided by their mean, so that the scale of the loss, and with it the learning rate, is that of ERM.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ... import checks
from ...checks import number
from ...data import Batch, GroupedData
from ...evaluation import predict
from ...method import Method, State, knob, sample_losses
from ...stages import stage


def with_copies(errors: Tensor, times: int) -> Tensor:
    """Rows int64 [N + (times - 1) |E|]: all N samples in order, and then the errors, bool [N], times - 1 times more."""
    number("times", times, 1, whole=True)
    rows = torch.arange(len(_checked(errors)), device=errors.device)
    return torch.cat([rows, rows[errors].repeat(times - 1)])


def error_weights(errors: Tensor, times: float) -> Tensor:
    """Weights [N] with mean 1, of which those of the errors, bool [N], are `times` those of the others."""
    number("times", times, 1)
    weights = torch.where(_checked(errors), times, 1.0)
    return weights / weights.mean()


def _checked(errors: Tensor) -> Tensor:
    checks.tensor("errors", errors, "[N]")
    if errors.dtype != torch.bool:
        raise ValueError(f"errors is of {errors.dtype}; give True for a sample that is got wrong, such as errors > 0")
    return errors


@dataclass(frozen=True, kw_only=True)
class JustTrainTwice(Method):
    """min_θ Σ_{i ∉ E} ℓ_i(θ) + λ Σ_{i ∈ E} ℓ_i(θ),   E: the samples that a first model gets wrong after T epochs
    (Liu et al. 2021, algorithm 1)

    first_epochs  T, of plain training from the same start, which comes first; all else is as in the run
    upweight      λ: how often an error counts; 1 is ERM, to the bit
    counted       "copies", as published: an epoch has each error λ times, which takes more steps; or "weights"

    `state.errors` is E, bool [N].
    """

    first_epochs: int = knob(5, low=1, high=100, search=(2, 10), help="T: epochs of the first, plain training")
    upweight: int = knob(20, low=1, high=500, search=(5, 50), help="λ: how often a sample counts that it gets wrong")
    counted: str = knob("copies", choices=("copies", "weights"), help="as copies in the epoch, or as weights of losses")

    takes = ("targets",)

    def start(self, model: nn.Module, data: GroupedData) -> State:
        first = stage(model, data, epochs=self.first_epochs)
        errors = predict(first, data).argmax(1) != data.labels
        state = State(errors=errors, weights=error_weights(errors, self.upweight))
        state.enlarged = None  # made when it is first asked for
        return state

    def data(self, model: nn.Module, data: GroupedData, state: State) -> GroupedData:
        if self.counted == "weights":
            return data
        if state.enlarged is None:
            state.enlarged = data.subset(with_copies(state.errors, self.upweight))
        return state.enlarged

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        losses = sample_losses(model, batch)
        if self.counted == "copies":
            return losses.mean()
        return (state.weights[batch.indices] * losses).mean()
