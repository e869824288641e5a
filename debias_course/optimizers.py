"""How far a step goes: optimisers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer

from .checks import number

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
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
