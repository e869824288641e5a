"""What lecture 09 trains, and who reads the features afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ... import data, models
from ...data import Batch, GroupedData, Splits
from ...evaluation import evaluate, predict
from ...method import State
from ...methods import DANN, Method
from ...methods.dann import fooled, probe
from ...training import train

ADAPTING: dict[str, Any] = dict(epochs=10, optimizer="sgd", lr=0.05)  # how the two domains are trained on,
ADAMW: dict[str, Any] = dict(epochs=10)  # for comparison,
COLORING: dict[str, Any] = dict(epochs=20, lr=0.003)  # and the colours
TARGET: dict[str, Any] = dict(labelled="first domain", sampling="domains")


def small_mlp(part: GroupedData, *, seed: int = 0) -> nn.Module:
    return models.mlp(part, hidden=(100, 100), seed=seed)


def two_domains(seed: int) -> Splits:
    return data.half_size(data.domain_digits(seed=seed))


def ten_colors(seed: int) -> Splits:
    return data.half_size(data.colored_digits(classes=10, aligned_share=0.95, seed=seed))


def two_colors(seed: int) -> Splits:
    return data.half_size(data.colored_digits(aligned_share=0.95, seed=seed))


def gaps(model: nn.Module, part: GroupedData) -> tuple[float, float]:
    """For two classes and two attributes: how far the shares of "class 1" among the answers lie apart between the
    attributes, over all samples (demographic parity) and within the true class where it is worse (equalised odds)."""
    says = predict(model, part).argmax(1).cpu() == 1
    labels, attributes = part.labels.cpu(), part.attributes.cpu()

    def apart(rows: Tensor) -> float:
        first, second = (says[rows & (attributes == a)].double().mean() for a in (0, 1))
        return abs(float(first - second))

    return apart(labels >= 0), max(apart(labels == y) for y in (0, 1))


def readings(method: Method, model: nn.Module, state: State, splits: Splits) -> dict[str, float]:
    """How often, on test, the label's head is right (and on the last attribute alone), the discriminator, and a fresh
    probe that was fitted to validation images; and the gaps between two colours."""
    test = splits.test
    assert isinstance(test, GroupedData)
    last = test.subset(test.attributes == test.n_attributes - 1)
    found = dict(accuracy=evaluate(model, test).overall.value, target=evaluate(model, last).overall.value)
    found["probe"] = probe(model, splits.validation, test).value
    if isinstance(method, DANN):
        found["discriminator"] = fooled(method, model, state, test).value
    if test.n_labels == test.n_attributes == 2:
        found["demographic parity"], found["equalised odds"] = gaps(model, test)
    return found


def read(method: Method, where: str, optimizer: str, epochs: Sequence[int], seed: int) -> dict[int, dict[str, float]]:
    """By epoch what `readings` tells of one training, as long as the last of `epochs`."""
    splits = {"two domains": two_domains, "ten colours": ten_colors, "two colours": two_colors}[where](seed)
    now: list[Any] = []
    found: dict[int, dict[str, float]] = {}

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        now[:] = [model, state]

    def note(done: int, of: int) -> None:
        if done in epochs:
            with torch.no_grad():
                found[done] = readings(method, now[0], now[1], splits)

    start = (models.cnn if where == "two domains" else small_mlp)(splits.train, seed=seed)
    how = (ADAPTING if optimizer == "sgd" else ADAMW) if where == "two domains" else COLORING
    train(start, splits.train, method, on_step=look, progress=note, seed=seed, **(how | dict(epochs=max(epochs))))
    return found
