"""Hard example mining: forward many samples, learn from those with the highest loss.

Nobody says which group a sample belongs to; the loss is asked instead. The mean over the worst share α = B / N of the
samples is the conditional value at risk (CVaR) at level α, so mining minimises a robust risk without groups. It cannot
tell rare from wrong: a mislabelled sample has a high loss, too.

Differences from Katharopoulos and Fleuret 2018: they draw with replacement, with probabilities p in proportion to an
upper bound of the norm of each sample's gradient, and always divide the drawn losses by B p, with p the share of the
whole. Here the loss itself stands for the bound, no sample is drawn twice, and dividing is a choice.
"""

from __future__ import annotations

import collections
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .. import checks
from ..checks import number
from ..contexts import evaluating
from ..data import Batch, GroupedData
from ..method import Method, knob, sample_losses


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


@dataclass(frozen=True, kw_only=True)
class HardMining(Method):
    """min_θ (1/B) Σ_{i ∈ S} ℓ_i,   S = the B = keep · N samples of a batch of N with the highest losses

    choose="highest"  the B highest, as in online hard example mining (OHEM: Shrivastava et al. 2016) and Ordered SGD
                      (Kawaguchi and Lu 2020); with all the data as the batch, CVaR at level B/N
    choose="drawn"    B samples with a probability that grows with the loss (after Katharopoulos and Fleuret 2018, but
                      see the module's text). As it stands, that focuses on the hard ones; correct="yes" divides by the
                      probability, which gives back the mean over the batch in expectation and changes its noise only
    passes="two"      score all without gradients in evaluation mode, then forward the kept ones again; "one" keeps the
                      graph of all N and takes the gradient of those that count

    The mean divides by B, not by N, which would be a smaller learning rate. `warm_up` epochs train plainly.
    """

    keep: float = knob(0.25, low=0.01, high=1.0, search=(0.1, 0.5), help="B/N: which share of the batch is learnt from")
    choose: str = knob("highest", choices=("highest", "drawn"), help="the highest losses, or draws that prefer them")
    correct: str = knob("no", choices=("no", "yes"), help="divide drawn losses by their probability")
    passes: str = knob("two", choices=("two", "one"), help="score first and forward the kept again, or forward once")
    warm_up: int = knob(0, low=0, high=20, search=(5,), help="epochs of plain training first")

    def loss(self, model: nn.Module, batch: Batch, state: nn.Module) -> Tensor:
        n = len(batch.labels)
        if self.keep == 1 and self.choose == "highest" or getattr(state, "epoch", self.warm_up + 1) <= self.warm_up:
            return sample_losses(model, batch).mean()
        losses = sample_losses(model, batch) if self.passes == "one" else score(model, batch)
        chosen, probability = self.chosen(losses.detach(), batch, state)
        if self.passes == "one":
            kept = losses.index_select(0, chosen)
        else:
            kept = sample_losses(model, Batch(*(part.index_select(0, chosen) for part in batch)))
        return kept.mean() if probability is None else (kept / probability).sum() / n

    def chosen(self, losses: Tensor, batch: Batch, state: nn.Module) -> tuple[Tensor, Tensor | None]:
        """The indices of the samples to learn from, given the losses of the batch [N], and what to divide by."""
        count = max(1, round(self.keep * len(losses)))
        if self.choose == "highest":
            return hardest(losses, count), None
        chosen, probability = drawn_by_loss(losses, count, generator=getattr(state, "generator", None))
        return chosen, probability if self.correct == "yes" else None


@dataclass(frozen=True, kw_only=True)
class RecordedMining(HardMining):
    """HardMining for the onlooker: `state.kept` [n_groups] of each epoch tells which groups it learnt from. Training
    does not look at them."""

    def start(self, model: nn.Module, data: GroupedData) -> nn.Module:
        """How many samples of each group were kept, by epoch."""
        state = nn.Module()
        state.kept = collections.defaultdict(lambda: torch.zeros(data.n_groups, dtype=torch.int64, device=data.device))
        return state

    def chosen(self, losses: Tensor, batch: Batch, state: nn.Module) -> tuple[Tensor, Tensor | None]:
        """As in HardMining, and counted."""
        chosen, probability = super().chosen(losses, batch, state)
        counts = state.kept[state.epoch]
        counts += torch.bincount(batch.groups[chosen], minlength=len(counts))
        return chosen, probability


def score(model: nn.Module, batch: Batch) -> Tensor:
    """Losses [N] in evaluation mode, without a graph; every submodule's mode is put back. The model sees a copy of the
    inputs, as it may edit them, and they are needed again."""
    with torch.no_grad(), evaluating(model):
        return sample_losses(model, batch._replace(inputs=batch.inputs.clone()))
