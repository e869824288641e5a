"""Hard example mining: forward many samples, learn from those with the highest loss.

Nobody says which group a sample belongs to; the loss is asked instead. The mean over the worst share α = B / N of the
samples is the conditional value at risk (CVaR) at level α, so mining minimises a robust risk without groups. It cannot
tell rare from wrong: a mislabelled sample has a high loss, too.

Differences from Katharopoulos and Fleuret 2018: they draw with replacement, with probabilities p in proportion to an
upper bound of the norm of each sample's gradient, and always divide the drawn losses by B p, with p the share of the
whole. Here the loss itself stands for the bound, no sample is drawn twice, and dividing is a choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .. import checks
from ..checks import number
from ..contexts import evaluating
from ..data import Batch
from ..method import Method, State, knob, sample_losses


def hardest(losses: Tensor, keep: int) -> Tensor:
    """Indices of the `keep` highest of the losses [N], int64 [keep]; among equals, the earlier ones."""
    _check(losses, keep)
    return torch.sort(losses, descending=True, stable=True).indices[:keep]


def drawn_by_loss(losses: Tensor, keep: int, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """`keep` different indices, int64 [keep], one after the other with a probability in proportion to the losses [N]
    that are left (where fewer than `keep` losses are positive, the rest is drawn evenly from the zeros), and the
    probability [keep] with which each came in, given the draw of the others: Σ over the drawn of L_i / probability is
    an unbiased estimate of Σ over all of L_i.

    Gumbel-top-k (Kool et al. 2019, sections 3 and 4.1): the largest of φ_i = log L_i + G_i, with G_i from the standard
    Gumbel distribution; with κ, the next largest, the probability is 1 - exp(-exp(log L_i - κ)).
    """
    _check(losses, keep)
    checks.generator(generator)
    uniform = torch.rand(losses.shape, generator=generator, device=losses.device)
    scores = losses.float().clamp(min=torch.finfo(torch.float32).tiny).log()
    perturbed, order = torch.sort(
        scores - torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7))), descending=True, stable=True
    )
    chosen = order[:keep]
    if keep == len(losses):
        return chosen, torch.ones_like(perturbed)
    return chosen, -torch.expm1(-torch.exp(scores.index_select(0, chosen) - perturbed[keep]))


def _check(losses: Tensor, keep: int) -> None:
    checks.tensor("losses", losses, "[N]")
    number("keep", keep, whole=True)
    if not 1 <= keep <= len(losses):
        raise ValueError(f"{keep} of {len(losses)} samples cannot be kept; keep at least one and at most all of them")
    if losses.device.type == "cpu" and not torch.isfinite(losses).all():  # a GPU would have to be waited for
        bad = (~torch.isfinite(losses)).nonzero().flatten().tolist()
        raise FloatingPointError(
            f"the losses of samples {bad[:5]} of the batch are not finite; lower lr, or look at them"
        )


def score(model: nn.Module, batch: Batch) -> Tensor:
    """Losses [N] in evaluation mode, without a graph; every submodule's mode is put back. The model sees a copy of the
    inputs, as it may edit them, and they are needed again."""
    with torch.no_grad(), evaluating(model):
        return sample_losses(model, batch._replace(inputs=batch.inputs.clone()))


@dataclass(frozen=True, kw_only=True)
class _Mining(Method):
    """min_θ (1/B) Σ_{i ∈ S} ℓ_i,   S = the B = keep · N samples of a batch of N that are `chosen`"""

    keep: float = knob(0.25, low=0.01, high=1.0, search=(0.1, 0.5), help="B/N: which share of the batch is learnt from")
    passes: str = knob("two", choices=("two", "one"), help="score first and forward the kept again, or forward once")
    warm_up: int = knob(0, low=0, high=20, search=(5,), help="epochs of plain training first")

    @property
    def first_epoch(self) -> int:
        return self.warm_up + 1

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        n = len(batch.labels)
        state.chosen = torch.arange(n, device=batch.labels.device)
        if self.keep == 1 or state.epoch <= self.warm_up:
            return sample_losses(model, batch).mean()
        losses = sample_losses(model, batch) if self.passes == "one" else score(model, batch)
        chosen, probability = self.chosen(losses.detach(), state)
        state.chosen = chosen
        if self.passes == "one":
            kept = losses.index_select(0, chosen)
        else:
            kept = sample_losses(model, Batch(*(part.index_select(0, chosen) for part in batch)))
        return kept.mean() if probability is None else (kept / probability).sum() / n

    def count(self, losses: Tensor) -> int:
        """B, how many samples of the batch are kept."""
        return max(1, round(self.keep * len(losses)))

    def chosen(self, losses: Tensor, state: State) -> tuple[Tensor, Tensor | None]:
        """The indices of the samples to learn from, given the losses of the batch [N], and what to divide by."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class HardMining(_Mining):
    """min_θ (1/B) Σ_{i ∈ S} ℓ_i,   S = the B = keep · N samples of a batch of N with the highest losses

    Online hard example mining (OHEM: Shrivastava et al. 2016) and Ordered SGD (Kawaguchi and Lu 2020); with all the
    data as the batch, CVaR at level B/N. The mean divides by B, not by N, which would be a smaller learning rate.

    passes="two"    score all without gradients in evaluation mode, then forward the kept ones again; "one" keeps the
                    graph of all N and takes the gradient of those that count
    warm_up         epochs of plain training first

    For onlookers, `state.chosen` are the places of S in the last batch, int64 [B].
    """

    def chosen(self, losses: Tensor, state: State) -> tuple[Tensor, Tensor | None]:
        return hardest(losses, self.count(losses)), None


@dataclass(frozen=True, kw_only=True)
class DrawnMining(_Mining):
    """min_θ (1/B) Σ_{i ∈ S} ℓ_i  or, corrected,  (1/N) Σ_{i ∈ S} ℓ_i / p_i,   S = the B = keep · N drawn of N samples

    A sample is drawn with a probability p_i that grows with its loss (after Katharopoulos and Fleuret 2018, but see the
    module's text). As it stands, that focuses on the hard ones; correct=True divides by the probability, which gives
    back the mean over the batch in expectation and changes its noise only. `passes` and `warm_up` are as in
    `HardMining`.

    For onlookers, `state.chosen` are the places of S in the last batch, int64 [B].
    """

    correct: bool = knob(False, help="divide drawn losses by their probability")

    def chosen(self, losses: Tensor, state: State) -> tuple[Tensor, Tensor | None]:
        chosen, probability = drawn_by_loss(losses, self.count(losses), generator=state.generator)
        return chosen, probability if self.correct else None
