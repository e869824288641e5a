"""What lecture 11 trains, and on what: digits on coloured ground, the methods with a partner, and their references."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ... import data
from ...claims import grid
from ...contexts import isolated_randomness
from ...data import Batch, GroupedData, Splits
from ...evaluation import predict
from ...method import State
from ...methods import (
    ERM,
    GroupDRO,
    HardMining,
    JustTrainTwice,
    LearnedMixin,
    LearningFromFailure,
    Method,
    OccamNets,
    ProductOfExperts,
    ReBias,
    VoronoiAlignment,
)
from ...methods.partners.learning_from_failure import LossMemory, relative_difficulty
from ...methods.partners.networks import frozen, weak
from ...methods.partners.voronoi import Watched
from ...models import staged
from ...stages import stage
from ...training import train

SETTINGS: dict[str, Any] = dict(batch_size=128, lr=0.01, device="cpu")  # on small digits: faster there than on a GPU
WIDTH, PARTNER_EPOCHS = 8, 10
LONG, MIDDLE = 15, 10  # epochs
LEVELS = (0.95, 0.99, 0.997)


@dataclass(frozen=True, kw_only=True)
class TwinPartner(ProductOfExperts):
    """min_θ (1/B) Σ_i ℓ(log p_θ(x_i) + log p_φ(x_i), y_i), with a partner φ that is no weaker than the model: the same
    network, trained plainly"""

    def start(self, model: nn.Module, data: GroupedData) -> State:
        state = State()
        state.partner = frozen(stage(model, data, epochs=self.partner_epochs)).to(data.device)
        state.register_buffer("told", predict(state.partner, data).clone())
        return state


PARTNERED: dict[str, Method] = {
    "product of experts": ProductOfExperts(width=WIDTH, partner_epochs=PARTNER_EPOCHS),
    "product + own loss": ProductOfExperts(width=WIDTH, partner_epochs=PARTNER_EPOCHS, alone=1.0),
    "learned mixin": LearnedMixin(width=WIDTH, partner_epochs=PARTNER_EPOCHS),
    "ReBias": ReBias(),
    "ReBias, median": ReBias(bandwidth="median"),
    "learning from failure": LearningFromFailure(),
    "just train twice": JustTrainTwice(counted="weights"),  # as many steps as the others have
    "Voronoi cells": VoronoiAlignment(),
}
REFERENCES: dict[str, Method] = {
    "plain": ERM(),
    "hard mining": HardMining(),
    "OccamNet": OccamNets(live_epochs=5),
    "Group DRO": GroupDRO(step_size=0.1),  # which is told who conflicts
}
SIZES: dict[str, Method] = {
    "1×1, one channel": ProductOfExperts(width=1),
    "squares, 256 units, 100 epochs": ProductOfExperts(partner="coarse", width=256, partner_epochs=100),
    "its twin": TwinPartner(partner_epochs=20),
}
METHODS = PARTNERED | REFERENCES | SIZES
KINDS = ("own colour", "another colour")


def ground_digits(seed: int, aligned_share: float = 0.99, wrong: float = 0.0) -> Splits:
    """White digits of ten classes on ground of ten colours, at half the resolution. The attribute is whether the ground
    has another colour than the label's own; a share `wrong` of the training labels is wrong."""
    whole = data.colored_digits(classes=10, aligned_share=aligned_share, where="background", seed=seed)
    parts = [
        replace(part, attributes=(part.labels != part.attributes).long(), attribute_names=KINDS)
        for part in data.half_size(whole)
    ]
    splits = Splits(*parts)
    return splits._replace(train=data.mislabel(splits.train, wrong, seed=seed)) if wrong else splits


def two_grounds(seed: int) -> Splits:
    """The same with two biases, a colour on either side: 99 % aligned on the left, and 95 % on the right."""
    return data.half_size(data.two_sided_digits(seed=seed))


def shares(record: Mapping[str, Any], split: str, epoch: int) -> list[float]:
    """Of a record of a study, for each value of the attribute the share that is right after an epoch."""
    rows = [row for row in record["history"] if row["split"] == split and row["epoch"] == epoch]
    kinds = len(record["report"]["attribute_names"])
    parts = [rows[kind::kinds] for kind in range(kinds)]
    return [sum(row["correct"] for row in part) / sum(row["n"] for row in part) for part in parts]


RULES = "the conflicting", "digits as in training"


def score(record: Mapping[str, Any], epoch: int, judged_by: str, aligned_share: float) -> float:
    """How good a run looks on validation after an epoch: by its conflicting digits, which takes to know them; or by
    all, if as many were aligned as in training."""
    aligned, conflicting = shares(record, "validation", epoch)
    if judged_by == RULES[0]:
        return conflicting
    return aligned_share * aligned + (1 - aligned_share) * conflicting


def chosen(record: Mapping[str, Any], epochs: int, judged_by: str, aligned_share: float) -> int:
    """Which of so many epochs looks best on validation, the first of equal ones; the last, if nobody judges."""
    if judged_by not in RULES:
        return epochs
    return max(range(1, epochs + 1), key=lambda epoch: score(record, epoch, judged_by, aligned_share))


def met(pointed_at: Tensor, conflicting: Tensor) -> tuple[float, float]:
    """Precision, the share of those pointed at, bool [N], that are conflicting, bool [N]; and recall, the share of the
    conflicting that are pointed at. Both are 0 where nobody is pointed at."""
    both = float((pointed_at & conflicting).sum())
    return both / max(int(pointed_at.sum()), 1), both / max(int(conflicting.sum()), 1)


def pointed_at(finder: str, seed: int, aligned_share: float, lengths: Sequence[int]) -> dict[int, tuple[float, float]]:
    """By epochs, precision and recall of those whom a finder would count more if its partner stopped there:

    "product of experts"     whom its partner gets wrong
    "just train twice"       whom plain training gets wrong
    "Voronoi cells"          whom plain training got wrong when errors lay deepest so far
    "learning from failure"  who is harder for the twin than for the model
    """
    part = ground_digits(seed, aligned_share).train
    start: nn.Module = staged(part, seed=seed)
    if finder == "product of experts":
        with isolated_randomness(seed):
            start = weak(part, "pointwise", width=WIDTH)
    method = LearningFromFailure() if finder == "learning from failure" else ERM()
    now: list[Any] = []
    found: dict[int, tuple[float, float]] = {}

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        now[:] = [model, state, *(now[2:] or [Watched(model, part, max(lengths))])]

    def after(done: int, of: int) -> None:
        model, state, watched = now
        if finder == "Voronoi cells" and done > 1:
            watched.look(part, done)
        if done in lengths:
            found[done] = met(_pointed_at(finder, model, state, watched, part), part.attributes.bool())

    train(start, part, method, epochs=max(lengths), seed=seed, on_step=look, progress=after, **SETTINGS)
    return found


def _pointed_at(finder: str, model: nn.Module, state: State, watched: Watched, part: GroupedData) -> Tensor:
    if finder == "Voronoi cells":
        return watched.predicted != part.labels
    if finder == "learning from failure":
        return difficulties(state.memory) > 0.5
    return predict(model, part).argmax(1) != part.labels


def difficulties(memory: LossMemory) -> Tensor:
    """W of all samples [N], as the memory has their losses."""
    largest = memory.largest().gather(1, memory.labels.expand_as(memory.average))
    return relative_difficulty(*(memory.average / largest.clamp(min=torch.finfo(torch.float32).tiny)))


@dataclass(frozen=True)
class Trial:
    """A setting that a search tries."""

    name: str
    method: Method
    lr: float = SETTINGS["lr"]
    weight_decay: float = 0.0


def trials(name: str) -> list[Trial]:
    """As many for each of three methods, the lecture's own setting first; of plain training, which has no knob of its
    own, learning rates and weight decays."""
    if name == "plain":
        return [
            Trial("as it is", ERM()),
            Trial("lr 0.003", ERM(), 3e-3),
            Trial("weight decay 1", ERM(), weight_decay=1),
        ]
    others: dict[str, dict[str, dict[str, Any]]] = {
        "product of experts": {"width 32": dict(width=32), "own loss": dict(alone=1.0)},
        "ReBias": {"strength 10": dict(strength=10.0), "strength 100": dict(strength=100.0)},
    }
    base = copy.copy(METHODS[name])
    return [Trial("as it is", base)] + [Trial(words, replace(base, **how)) for words, how in others[name].items()]


def cells(methods: Sequence[str], **where: tuple) -> list[dict[str, Any]]:
    """Methods that are followed, in the middle at all lengths, and elsewhere after ten epochs."""
    elsewhere = tuple(each for each in LEVELS if each != 0.99)
    return grid(method=methods, aligned_share=(0.99,), epochs=(5, MIDDLE, LONG), **where) + grid(
        method=methods, aligned_share=elsewhere, epochs=(MIDDLE,), **where
    )
