"""Circumstances in which a claim is measured, such as {"epochs": 20, "network": "mlp"}, and how people say them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any


def grid(**axes: Sequence[Any]) -> list[dict[str, Any]]:
    """Circumstances: every combination of the values; grids are added where not every combination is measured."""
    return [dict(zip(axes, values)) for values in itertools.product(*axes.values())]


def in_words(where: Mapping[str, Any]) -> str:
    """A circumstance: {"epochs": 20, "network": "mlp"} -> "epochs 20, MLP"."""
    return ", ".join(each if isinstance(each, str) else f"{name} {words(each)}" for name, each in said(where).items())


def said(where: Mapping[str, Any]) -> dict[str, Any]:
    """A circumstance with names and words as people say them, and its numbers."""
    return {words(name): words(each) if isinstance(each, str) else each for name, each in where.items()}


SAID = {
    "mlp": "MLP",
    "cnn": "conv net",
    "linear": "linear model",
    "last": "last epoch",
    "validation-worst-group": "best epoch on validation",
    "select": "tested",
    "sgd": "SGD",
    "adamw": "AdamW",
    "redrawn subset": "a redrawn subset",
    "fixed subset": "a fixed subset",
    "reversal, label told": "label told",
}
PHRASES = {
    "epochs": "at {} epochs",
    "network": "with the {}",
    "aligned_share": "at an aligned share of {}",
    "select": "when the {} is tested",
    "features": "with {} features",
    "sampler": "with {}",
    "batch_size": "in batches of {}",
    "rare_class_kept": "when a share of {} is kept of the rare class",
    "optimizer": "under {}",
    "data": "on {}",
    "strength": "at a strength of {}",
    "judged_by": "when judged by {}",
    "against": "against {}",
    "steps": "after {} steps",
    "labels": "where the labels are {}",
    "on": "on {} data",
    "step_size": "with a step size of {}",
    "learning_rate": "with a learning rate of {}",
    "weight_decay": "with a weight decay of {}",
    "penalty": "{} the penalty",
    "factor": "{} the factor",
    "trained_on": "when trained on {}",
    "start": "where steps start from {}",
    "radius": "at a radius of {}",
    "tested": "when tested {}",
    "gate": "by {}",
    "threshold": "at a threshold of {}",
    "without": "against {}",
    "method": "with {}",
    "search": "with {}",
    "wrong_labels": "where a share of {} of the labels is wrong",
}


def words(value: Any) -> str:
    """A name or a value of a circumstance, as people say it."""
    return SAID.get(value, value.replace("_", " ")) if isinstance(value, str) else f"{value:g}"


def some_of(name: str, values: Sequence[Any]) -> str:
    """ "at 5, 20 or 60 epochs": some values of an axis, as people say it."""
    said = [words(value) for value in values]
    these = " or ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)
    return PHRASES.get(name, f"where {words(name)} is {{}}").format(these)
