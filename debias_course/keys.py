"""What goes into the key of a kept result beside the code and the method: the data, and how torch computes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import torch

from .data import GroupedData
from .fingerprints import fingerprint


def content(parts: Iterable[GroupedData]) -> str:
    """Hash of all that the parts of a data set hold."""
    return fingerprint([(part.fingerprint(), _more(part)) for part in parts])


def _more(part: GroupedData) -> dict[str, Any]:
    """The fields that a class of somebody else's has beyond those of ours."""
    ours = {each.name for each in fields(GroupedData)}
    return {each.name: getattr(part, each.name) for each in fields(part) if each.name not in ours}


def numerics(device: str) -> list[Any]:
    """Where torch computes, and the switches that change what comes out."""
    how = [torch.__version__, torch.get_default_dtype(), torch.get_float32_matmul_precision()]
    how += [torch.are_deterministic_algorithms_enabled(), str(torch.get_default_device())]
    return [device, *how, torch.is_autocast_enabled(torch.device(device).type)]
