"""The trainings of lecture 06 that are looked at along the way, and the label smoothing that it compares with."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ... import data, models
from ...data import Batch, GroupedData, toys
from ...evaluation import evaluate, predict
from ...method import State
from ...methods import Method, SpectralDecoupling, knob
from ...training import train
from .features import pulls, reliance, twelve_features

LENGTHS = (1, 2, 3, 5, 7, 10, 14, 20, 30, 40, 60)
TURNS = (150, 450)  # steps with all samples of the half circles at once
ROUNDS = (20, 100, 300)  # and with all samples of the twelve features
SHARES = {"digits 95 %": 0.95, "digits 99 %": 0.99, "digits 100 %": 1.0, "no bias": 0.5}  # by name, what is aligned


@dataclass(frozen=True, kw_only=True)
class LabelSmoothing(Method):
    """min_θ (1/B) Σ_i ((1 - ε) ℓ_i + ε · mean over classes of the loss that each would have)   (Szegedy et al. 2016)"""

    strength: float = knob(0.1, low=0.0, high=0.9, step=0.05, help="ε: the part of the label that all classes share")

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        how: dict[str, Any] = dict(label_smoothing=self.strength, reduction="none")
        return F.cross_entropy(model(batch.inputs), batch.labels, **how).mean()


def noted(
    start: nn.Module,
    part: GroupedData,
    method: Method,
    note: Callable[[nn.Module], Any],
    at: Collection[int],
    **how: Any,
) -> dict[int, Any]:
    """By epoch, of those `at` which one training is looked at, what `note` says of the network."""
    now: list[nn.Module] = []
    found: dict[int, Any] = {}

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        now[:] = [model]

    def after(done: int, of: int) -> None:
        if done in at:
            found[done] = note(now[0])

    train(start, part, method, on_step=look, progress=after, **how)
    return found


def parts(model: nn.Module, own: GroupedData, other: GroupedData) -> tuple[Tensor, Tensor]:
    """How much of the right class's margin comes from the shape and how much from the colour, for each of N digits that
    are painted in their `own` class's colour and in the `other`'s: half of the sum and half of the difference."""
    sign = (own.labels * 2.0 - 1).cpu()
    first, second = (sign * predict(model, each).diff(dim=1)[:, 0].cpu() for each in (own, other))
    return (first + second) / 2, (first - second) / 2


def followed(
    method: Method, where: str, network: str, weight_decay: float, epochs: int, seed: int
) -> dict[int, dict[str, float]]:
    """By epoch what one training on coloured digits has reached: on test the worst group and the digits that the shape
    alone gets right, and on validation what a search may look at."""
    splits, own, other = (
        data.colored_digits(aligned_share=SHARES[where], test_aligned_share=share, seed=seed)
        for share in (None, 1.0, 0.0)
    )

    def note(model: nn.Module) -> dict[str, float]:
        test, validation = (evaluate(model, part) for part in (splits.test, splits.validation))
        return dict(
            shape=float((parts(model, own.test, other.test)[0] > 0).float().mean()),
            worst=test.worst_group.value,
            validation_worst=validation.worst_group.value,
            validation_mean=validation.group_balanced.value,
        )

    start = models.MODELS[network](splits.train, seed=seed)
    return noted(start, splits.train, method, note, LENGTHS, epochs=epochs, weight_decay=weight_decay, seed=seed)


def bent(method: Method, gap: float, steps: int, seed: int) -> dict[int, tuple[float, float]]:
    """By step how many test samples of the interlocking half circles are right, and the mean size of the margins in
    training, of a network of 64 hidden units that is trained with all samples at once."""
    splits = toys.moons(gap=gap, seed=seed)

    def note(model: nn.Module) -> tuple[float, float]:
        return evaluate(model, splits.test).overall.value, float(predict(model, splits.train).diff(dim=1).abs().mean())

    start = models.mlp(splits.train, hidden=(64,), seed=seed)
    how: dict[str, Any] = dict(epochs=steps, batch_size=len(splits.train), lr=0.02, seed=seed, device="cpu")
    return noted(start, splits.train, method, note, TURNS, **how)


def learned(
    strength: float, network: str, optimizer: str, steps: int, seed: int
) -> dict[int, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """By step of one training on the twelve features: how much the network relies on each, how hard the penalty pulls
    on each, and their variances and strengths."""
    part, variances, strengths = twelve_features(seed)
    inputs = part.batch(torch.arange(len(part))).inputs

    def note(model: nn.Module) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return reliance(model, inputs), pulls(model, inputs, part.labels), variances, strengths

    start = models.linear(part, seed=seed) if network == "linear" else models.mlp(part, hidden=(64,), seed=seed)
    method = SpectralDecoupling(strength=strength, variant="margin")
    how: dict[str, Any] = dict(batch_size=len(part), lr=0.01, optimizer=optimizer, seed=seed, device="cpu")
    return noted(start, part, method, note, ROUNDS, epochs=steps, **how)
