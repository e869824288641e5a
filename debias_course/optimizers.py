"""How far a step goes: optimisers, and schedules of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer

from .checks import number, shown

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}
# What the learning rate is multiplied by, when a share `progress` of all steps is done.
SCHEDULES: dict[str, Callable[[float], float] | None] = {
    "constant": None,
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,  # Loshchilov and Hutter 2017, eq. 5, down to 0
    "linear": lambda progress: 1 - progress,
}


def make_optimizer(name: str, groups: list[dict[str, Any]], lr: float, weight_decay: float) -> Optimizer:
    """Over groups as `Method.parameters` returns them; fused, which saves a third of a small model's step."""
    made = []
    for group in groups:
        if not isinstance(group, Mapping) or not {"params"} <= set(group) <= {"params", "lr"}:
            raise ValueError(f"a group of parameters is {group!r:.80}; give dict(params=[...]), and lr=0.1 with it")
        made.append(dict(params=list(group["params"]), lr=lr * number("lr", group.get("lr", 1.0), 0.0)))
    parameters = [each for group in made for each in group["params"]]
    if not any(parameter.requires_grad for parameter in parameters):
        which = "all parameters of the model are frozen" if parameters else "the model has no parameters"
        raise ValueError(f"{which}, so there is nothing to train; evaluate it as it is, or let some require a gradient")
    fused = parameters[0].device.type != "meta"
    return OPTIMIZERS[name](made, lr=lr, weight_decay=weight_decay, fused=fused)


def checked_schedule(schedule: Any) -> None:
    """TypeError or ValueError for what is no schedule, or a function of progress that returns no factor."""
    if isinstance(schedule, str) and schedule in SCHEDULES:
        return
    if not callable(schedule) or isinstance(schedule, type):
        raise ValueError(
            f"schedule is {shown(schedule)}; use one of {', '.join(map(repr, SCHEDULES))}, or a function of progress, "
            "the share of all steps that are done, that returns a factor of the learning rate"
        )
    try:
        for percent in range(100):  # now, and not after hours
            factor(schedule, percent / 100)
    except TypeError as error:
        raise TypeError(f"schedule fails ({error}); pass a function of one number, progress from 0 to 1") from error


def factor(schedule: Callable[[float], float], progress: float) -> float:
    """What a schedule multiplies the learning rate by; ValueError where that is no finite number from 0."""
    return number(f"schedule({progress:g})", schedule(progress), 0.0, what="it is a factor of the learning rate: ")


def scheduled(optimizer: Optimizer, schedule: Callable[[float], float], progress: float) -> None:
    """Give each group of parameters its own learning rate times the schedule's factor."""
    now = factor(schedule, progress)
    for group in optimizer.param_groups:  # torch's own schedulers remember the first rate in the same place
        group["lr"] = now * group.setdefault("initial_lr", group["lr"])
