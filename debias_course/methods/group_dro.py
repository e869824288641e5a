"""Group DRO: minimise the risk of the worst group.

Every group has a weight q_g, which grows with the group's loss from step to step; the model follows the weighted sum.
Minimising the worst *training* risk is not yet a good worst group on test: a network that fits every sample has no
worst group in training. Strong regularisation or early stopping belong to the method (Sagawa et al. 2020, section 3).

Differences from the authors' code: the weights are kept as logarithms, so that no loss overflows them; an adjustment
may be zero for some groups; the weights are state, and saved as such; a loss that is not finite stops training instead
of turning all weights into NaN; batches hold every group by default; the weights start evenly over the groups that have
a training example, and not over all. The loss that is returned, and so reported, is Σ_g q_g L_g; theirs is
Σ_g q_g (L_g + C / √n_g), which differs by a number without a gradient.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..checks import Unsuitable
from ..data import Batch, GroupedData
from ..method import Method, State, knob, sample_losses, several
from .sampling import BatchSampling


def group_means(losses: Tensor, groups: Tensor, n_groups: int) -> tuple[Tensor, Tensor]:
    """Mean of the losses [B] in each group and samples of each group, both [n_groups]; 0 where there is none."""
    sums = torch.zeros(n_groups, device=losses.device, dtype=losses.dtype).index_add(0, groups, losses)
    counts = torch.zeros_like(sums).index_add(0, groups, torch.ones_like(losses))
    return sums / counts.clamp(min=1), counts


def exponentiated(log_q: Tensor, losses: Tensor, step_size: float) -> Tensor:
    """log q' with q'_g ∝ q_g exp(η L_g), [G]: the update of Sagawa et al. 2020, Algorithm 1, which cannot overflow."""
    return torch.log_softmax(log_q + step_size * losses, 0)


def greedy(losses: Tensor, shares: Tensor, alpha: float) -> Tensor:
    """The weights [G] that put the most on high losses [G] with no q_g above p_g / α, where p_g are the groups'
    `shares` [G] of the training data: the conditional value at risk over groups ("greedy" in the authors' code)."""
    order = torch.sort(losses, descending=True, stable=True).indices
    filled = (shares[order].cumsum(0) / alpha).clamp(max=1)
    return torch.zeros_like(shares).index_copy(0, order, filled.diff(prepend=filled.new_zeros(1)))


@dataclass(frozen=True, kw_only=True)
class _WorstGroups(Method):
    """min_θ Σ_g q_g L_g, with q from `weights`"""

    adjustment: float = knob(
        0.0, low=0.0, high=10.0, search=(1.0, 5.0), help="C of C/√n: how much worse small groups are taken to be"
    )
    sampling: str = knob("balanced", choices=("balanced", "plain"), help="batches with all groups alike, or as drawn")
    adjustments: tuple[float, ...] = several("group, or a single `adjustment`", low=0)

    needs = "group labels"
    takes = ("targets",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.adjustments and self.adjustment:
            raise ValueError(f"adjustments are {self.adjustments}; give these, or a single `adjustment`, not both")

    def start(self, model: nn.Module, data: GroupedData) -> State:
        counts = data.counts.cpu().double()
        adjustments = torch.tensor(self.adjustments or [self.adjustment] * len(counts), dtype=torch.float64)
        if len(adjustments) != len(counts):
            raise Unsuitable(f"adjustments are {self.adjustments}; give one for each of the {len(counts)} groups")
        state = State()
        state.names = data.group_names
        present = counts > 0
        adjustment = torch.where(present, adjustments / counts.clamp(min=1).sqrt(), 0.0)
        for name, values in dict(adjustment=adjustment, **self.buffers(counts)).items():
            state.register_buffer(name, values.float().to(data.device))
        return state

    def buffers(self, counts: Tensor) -> dict[str, Tensor]:
        """What `weights` remembers, by name and [G] each, at the start; from the groups' sizes, float64 [G]."""
        raise NotImplementedError

    def batches(self, data: GroupedData, batch_size: int, *, seed: int, epoch: int) -> Sequence[Tensor]:
        """Batches with equal shares of groups, or plain ones; warns where those miss a rare group."""
        if self.sampling == "balanced":
            return BatchSampling(shares=self._even(data)).batches(data, batch_size, seed=seed, epoch=epoch)
        rare = int(data.counts[data.counts > 0].min())
        if rare * batch_size < len(data):
            warnings.warn(
                f"the smallest group has {rare} of {len(data)} samples, so many batches of {batch_size} hold none of "
                "it, and its weight falls behind; use sampling='balanced'",
                stacklevel=2,
            )
        return super().batches(data, batch_size, seed=seed, epoch=epoch)

    def _even(self, data: GroupedData) -> tuple[float, ...]:
        present = (data.counts > 0).tolist()
        return tuple(each / sum(present) for each in present)

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        means, counts = group_means(sample_losses(model, batch), batch.groups, len(state.adjustment))
        _refuse_infinite(means.detach(), state.names)
        q = self.weights(means.detach(), counts, state)
        state.used, state.means = q, means.detach()
        return (q * means).sum()

    def weights(self, means: Tensor, counts: Tensor, state: State) -> Tensor:
        """Update the state with the group means [G] of a batch that holds `counts` [G] of each; the weights q [G]."""
        raise NotImplementedError


def _refuse_infinite(means: Tensor, names: Sequence[str]) -> None:
    """FloatingPointError where the mean loss of a group is not finite."""
    if means.device.type == "cpu" and not torch.isfinite(means).all():  # a GPU would have to be waited for
        bad = [name for name, mean in zip(names, means.tolist()) if not abs(mean) < torch.inf]
        raise FloatingPointError(f"the loss of {' and '.join(bad)} is not finite; lower lr, or look at those samples")


@dataclass(frozen=True, kw_only=True)
class GroupDRO(_WorstGroups):
    """min_θ max_{q ∈ Δ} Σ_g q_g L_g,   q_g ← q_g exp(η (L_g + C / √n_g)) / Σ_h ...   (Sagawa et al. 2020, eq. 4 and 5)

    L_g is the mean loss of the batch's samples of group g (0 where it has none, so that the weight of an absent group
    falls behind), n_g the group's size in training, η the step size. The updated weights are used, and no gradient
    flows through them.

    adjustment C     makes small groups look worse, as their training loss says less about test; `adjustments` gives
                     one number per group instead
    normalize        divides the adjusted losses by their sum before they update q
    sampling         "balanced" batches hold the same number of each group, so that all weights are updated alike;
                     "plain" ones are those of ERM

    For onlookers, `state.used` are the weights q [G] of the last batch, and `state.means` its L_g [G].
    """

    step_size: float = knob(
        0.01, low=1e-4, high=1.0, log=True, search=(0.1, 1.0), help="η: how fast the weights follow the losses"
    )
    normalize: bool = knob(False, help="divide losses by their sum before the update")

    def buffers(self, counts: Tensor) -> dict[str, Tensor]:
        present = counts > 0
        return dict(log_q=torch.where(present, -present.sum().double().log(), -torch.inf))

    def weights(self, means: Tensor, counts: Tensor, state: State) -> Tensor:
        adjusted = means + state.adjustment
        if self.normalize:
            adjusted = adjusted / adjusted.sum().clamp(min=torch.finfo(adjusted.dtype).tiny)
        state.log_q.copy_(exponentiated(state.log_q, adjusted, self.step_size))
        return state.log_q.exp()


@dataclass(frozen=True, kw_only=True)
class GreedyGroupDRO(_WorstGroups):
    """min_θ Σ_g q_g L_g,   q = argmax Σ_g q_g (M_g + C / √n_g) over the q ∈ Δ with q_g ≤ p_g / α
    (the conditional value at risk over groups; "greedy" in the code of Sagawa et al. 2020)

    L_g is the mean loss of the batch's samples of group g; M_g ← 0.9 M_g + 0.1 L_g its running mean, which starts at
    the first L_g and stands still where a batch holds none of g; p_g and n_g are the group's share of the training data
    and its size. So the worst groups have all the weight, none more than its share over α; with α = 1 each has its
    share. No gradient flows through q. The other fields are as in `GroupDRO`.

    For onlookers, `state.used` are the weights q [G] of the last batch, and `state.means` its L_g [G].
    """

    alpha: float = knob(0.2, low=0.01, high=1.0, help="which share of the data has all the weight")

    def buffers(self, counts: Tensor) -> dict[str, Tensor]:
        """The shares p, the running means M, and in how many batches each group was."""
        return dict(shares=counts / counts.sum(), average=torch.zeros_like(counts), seen=torch.zeros_like(counts))

    def weights(self, means: Tensor, counts: Tensor, state: State) -> Tensor:
        first = (state.seen == 0) & (counts > 0)
        moved = torch.where(counts > 0, torch.where(first, means, 0.9 * state.average + 0.1 * means), state.average)
        state.average.copy_(moved)
        state.seen.add_(counts > 0)
        return greedy(state.average + state.adjustment, state.shares, self.alpha)
