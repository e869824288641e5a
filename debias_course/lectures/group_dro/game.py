"""The game of lecture 05: the controls of Group DRO, data to play on, and how it stands after so many steps."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ... import data, models
from ...data import Batch, GroupedData, Splits
from ...evaluation import evaluate
from ...method import State, sample_losses
from ...methods import GroupDRO, Method
from ...methods.group_dro import group_means
from ...training import train


@dataclass(frozen=True, kw_only=True)
class FrozenWeights(GroupDRO):
    """min_θ Σ_g L_g / G: the batches and the group means of Group DRO, with weights that stay as they start (η = 0)"""

    def weights(self, means: Tensor, counts: Tensor, state: State) -> Tensor:
        return state.log_q.exp()


@dataclass(frozen=True, kw_only=True)
class BlindAdjustment(GroupDRO):
    """min_θ Σ_g q_g L_g,   q_g ← q_g exp(η C / √n_g) / Σ_h ...: Group DRO that adjusts, and never looks at a loss"""

    def weights(self, means: Tensor, counts: Tensor, state: State) -> Tensor:
        return super().weights(torch.zeros_like(means), counts, state)


def shuffled_groups(seed: int) -> Splits:
    """Coloured digits whose training table has the colours in another order, so that a group is a class and a coin
    toss."""
    parts = data.colored_digits(seed=seed)
    order = torch.randperm(len(parts.train), generator=torch.Generator().manual_seed(seed))
    return parts._replace(train=replace(parts.train, attributes=parts.train.attributes[order]))


def unequally_hard(seed: int) -> Splits:
    """Coloured digits in four groups of equal size, of which the blue ones are under noise, in all three parts."""
    parts, draws = data.colored_digits(aligned_share=0.5, seed=seed), torch.Generator().manual_seed(seed)
    found = []
    for part in parts:
        inputs, blue = part.inputs.clone(), part.attributes == 1  # type: ignore[union-attr]  # no stream
        noise = 0.5 * 255 * torch.randn(inputs[blue].shape, generator=draws)
        inputs[blue] = (inputs[blue] + noise).clamp(0, 255).to(inputs.dtype)
        found.append(replace(part, inputs=inputs))
    return Splits(*found)


def group_losses(model: nn.Module, part: GroupedData) -> Tensor:
    """The mean loss of each group, [n_groups]."""
    with torch.no_grad():
        return group_means(sample_losses(model, part.batch(torch.arange(len(part)))), part.groups, part.n_groups)[0]


def play(method: Method, network: str, seed: int, lengths: Sequence[int]) -> dict[int, dict[str, float]]:
    """The game between a network and the weights q. After trainings of some lengths: the worst group on training and
    test data, the same two of the average of all parameters so far, the largest training loss of a group, and the
    largest weight."""
    parts = data.colored_digits(seed=seed)
    start = models.MODELS[network](parts.train, seed=seed)
    average, steps, found = copy.deepcopy(start), [0], {}
    last: list[Any] = [start, torch.zeros(1)]

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        steps[0] += 1
        last[:] = [model, getattr(state, "used", last[1])]  # plain training has no weights
        with torch.no_grad():
            for mean, now in zip(average.parameters(), model.parameters()):
                mean.lerp_(now, 1 / steps[0])

    def after(done: int, of: int) -> None:
        if done in lengths:
            worst = {
                f"{name}{on}": evaluate(model, part).worst_group.value
                for name, model in (("", last[0]), ("average, ", average))
                for on, part in (("training", parts.train), ("test", parts.test))
            }
            largest = dict(loss=group_losses(last[0], parts.train), weight=last[1])
            found[done] = worst | {name: float(each.max()) for name, each in largest.items()}

    train(start, parts.train, method, epochs=max(lengths), seed=seed, on_step=look, progress=after, device="cpu")
    return found
