"""What the exits and gates of an OccamNet do, epoch by epoch, and weights by group on top of it (lecture 07)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ... import data, models
from ...data import Batch, GroupedData, Splits
from ...evaluation import predict
from ...method import State
from ...methods import LossReweighting, Method, OccamNets
from ...methods.occam_nets import OccamNet, ask_exits, leave_by
from ...training import train

THRESHOLDS = (0.5, 0.95)  # the paper's, and one that a search found on the digits
SMALL: dict[str, Any] = dict(batch_size=64, lr=0.01, device="cpu")  # on digits: faster there than on a GPU
IN_SCENES: dict[str, Any] = dict(batch_size=64, lr=1e-3, weight_decay=5e-4)  # the paper's, but half its batch, no decay
BY_GROUP = LossReweighting(smooth=2.0)  # of a hundred groups, some have a single sample


@dataclass(frozen=True, kw_only=True)
class WeightedOccamNets(OccamNets):
    """min_θ Σ_j mean_i [ v_i (w_ij + 0.1) CE_ij + λ S_ij + BCE(g_ij, r_ij) ],   v_i ∝ 1 / n_{group of i}

    `OccamNets` with weights by group on top, as in lecture 01: their mean over the samples is 1."""

    def start(self, model: OccamNet, data: GroupedData) -> State:
        state = super().start(model, data)
        state.register_buffer("by_group", BY_GROUP.weights(data))
        state.register_buffer("by_sample", torch.ones(1, device=data.device))
        return state

    def loss(self, model: OccamNet, batch: Batch, state: State) -> Tensor:
        state.by_sample = state.by_group[batch.groups]
        return super().loss(model, batch, state)

    def weights(self, losses: Tensor, gates: Tensor, state: State) -> Tensor:
        return (super().weights(losses, gates, state) + 0.1) * state.by_sample - 0.1  # 0.1 is added again


def digits(seed: int, aligned_share: float = 0.95) -> Splits:
    return data.half_size(data.colored_digits(classes=10, aligned_share=aligned_share, seed=seed))


def told_apart(scores: Tensor, yes: Tensor) -> float:
    """The probability that a score [N] of a `yes`, bool [N], is above one of a no (the area under the ROC curve); ties
    count half. NaN where all are alike."""
    above, below = scores[yes].double().sort().values, scores[~yes].double().sort().values
    if not len(above) or not len(below):
        return math.nan
    wins = torch.searchsorted(below, above) + torch.searchsorted(below, above, right=True)
    return float(wins.double().sum() / (2 * len(above) * len(below)))


def moved(gates: Tensor, conflicting: Tensor) -> float:
    """The share of the next exit's weights that conflicting samples get from gates (probabilities [N])."""
    closed = 1 - gates
    weights = closed / closed.max().clamp(min=1e-5) + 0.1
    return float(weights[conflicting].sum() / weights.sum())


def seen(model: nn.Module, part: GroupedData) -> dict[str, float]:
    """Shares of right answers, of all, of aligned and of conflicting samples, by name of what answers; of an OccamNet
    also by each exit and threshold, the exit by which they leave on average, and how well gates tell right from
    wrong."""
    kinds = {"all": torch.ones(len(part)).bool(), "aligned": part.labels == part.attributes}
    kinds["conflicting"] = ~kinds["aligned"]
    if not isinstance(model, OccamNet):
        right = {"plain": predict(model, part).argmax(1).cpu() == part.labels}
        return shares(right, kinds)
    said = ask_exits(model, part)
    hits = said.logits.argmax(2) == part.labels
    right = {f"exit {e}": hit for e, hit in enumerate(hits)}
    found = {f"told apart by gate {e}": told_apart(-said.gates[e], ~hit) for e, hit in enumerate(hits)}
    for threshold in THRESHOLDS:
        chosen = leave_by(said.gates, threshold)
        right[f"threshold {threshold:g}"] = hits.gather(0, chosen[None])[0]
        found |= {f"depth {threshold:g}, {kind}": float(chosen[rows].float().mean()) for kind, rows in kinds.items()}
    return found | shares(right, kinds)


def shares(right: Mapping[str, Tensor], kinds: Mapping[str, Tensor]) -> dict[str, float]:
    """By name and kind the share of samples, bool [N], that is right."""
    return {f"{n}, {kind}": float(hit[rows].float().mean()) for n, hit in right.items() for kind, rows in kinds.items()}


def asked(model: nn.Module, part: GroupedData) -> dict[str, float]:
    """Of each gate but the last, on the training data: how often its exit is wrong on conflicting samples, how well it
    tells that, the share of the next exit's weights that it moves to them, and the most that a gate could move, which
    is shut where its exit is wrong, and nowhere else."""
    if not isinstance(model, OccamNet):
        return {}
    said, conflicting = ask_exits(model, part), part.labels != part.attributes
    found = {}  # type: ignore[var-annotated]
    for e, hit in enumerate(said.logits.argmax(2)[:-1] == part.labels):
        gates = torch.sigmoid(said.gates[e])
        found |= {f"wrong {e}": float((~hit[conflicting]).float().mean()), f"moved {e}": moved(gates, conflicting)}
        found |= {f"most {e}": moved(hit.float(), conflicting), f"trained {e}": told_apart(-gates, ~hit)}
    return found


def followed(
    method: Method, where: str, aligned_share: float, epochs: int, lengths: Sequence[int], seed: int
) -> dict[int, dict[str, float]]:
    """By epoch what one training on "digits" or "scenes" has reached (after those of `lengths` that it passes)."""
    if where == "scenes":
        part, settings = data.scenes(aligned_share=aligned_share, copies=2, seed=seed), IN_SCENES
        start = models.resnet18(part.train, width=8, stem="small", seed=seed)
    else:
        part, settings = digits(seed, aligned_share), SMALL
        start = models.staged(part.train, seed=seed)
    now: list[nn.Module] = []
    found: dict[int, dict[str, float]] = {}

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        now[:] = [model]

    def note(done: int, of: int) -> None:
        if done in lengths:
            found[done] = seen(now[0], part.test) | (asked(now[0], part.train) if where == "digits" else {})

    train(start, part.train, method, epochs=epochs, seed=seed, on_step=look, progress=note, **settings)
    return found
