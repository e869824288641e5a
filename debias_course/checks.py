"""Arguments that people get wrong: one small check per kind, which gives the value back in Python's own type or says in
a sentence what was given and what to give instead."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch

LAST_SEED = 2**63 - 1  # torch keeps 64 bits of a seed and reads no larger ones


def shown(value: Any) -> str:
    """The value as a sentence can hold it."""
    text = repr(value)
    return text if len(text) <= 80 and "\n" not in text else f"of type {type(value).__name__}"


def isa(name: str, value: Any, kind: type | tuple[type, ...], give: str) -> Any:
    """A value of this type; TypeError otherwise."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {shown(value)}; give {give}")
    return value


def whole(name: str, value: Any, low: int = 0, high: int | None = None) -> int:
    """A whole number from `low` to `high`; NumPy's are as good as Python's, and True is none."""
    good = isinstance(value, Integral) and not isinstance(value, bool)
    if not good or int(value) < low or (high is not None and int(value) > high):
        to = "" if high is None else f" to {high}"
        raise ValueError(f"{name} is {shown(value)}; use a whole number from {low}{to}")
    return int(value)


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, what: str = "") -> float:
    """A finite number from `low` to `high`; `what` says what it is."""
    try:
        given = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:
        given = math.inf
    if not (math.isfinite(given) and low <= given <= high):
        bounds = f" from {low:g}" * (low > -math.inf) + f" to {high:g}" * (high < math.inf)
        kind = "number" if high < math.inf else "finite number"
        raise ValueError(f"{name} is {shown(value)}; {what}use a {kind}{bounds}")
    return given


def share(name: str, value: Any) -> float:
    """A share of samples, 0 to 1."""
    return number(name, value, 0, 1, what="it is a share of samples: ")


def choice(name: str, value: Any, choices: Collection[str | int]) -> Any:
    """One of some words or whole numbers."""
    if not isinstance(value, (str, Integral)) or isinstance(value, bool) or value not in choices:
        raise ValueError(f"{name} is {shown(value)}; use {' or '.join(map(repr, choices))}")
    return value


def seeded(seed: Any) -> torch.Generator:
    """A generator that starts from `seed`, a whole number from 0 to `LAST_SEED`."""
    return torch.Generator().manual_seed(whole("seed", seed, 0, LAST_SEED))


def folder(name: str, value: Any) -> Path:
    """The path of a folder, be it there or not, with ~ replaced."""
    isa(name, value, (str, os.PathLike), "the path of a folder")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"{name} is {str(value)!r}, but no home folder is known here; give its path in full"
        ) from error
