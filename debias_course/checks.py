"""Arguments that people get wrong: one small check per kind, which gives the value back in Python's own type or says in
a sentence what was given and what to give instead."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .data import GroupedData

LARGEST = sys.float_info.max
LAST_SEED = 2**63 - 1  # torch keeps 64 bits of a seed and reads no larger ones


class Unsuitable(ValueError):
    """These data, or this network, are none that a method can work with; the sentence says which would be."""


def shown(value: Any) -> str:
    """The value as a sentence can hold it, or what it is: "3.5", "None", "a dict"."""
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else kind_of(value)


def kind_of(value: Any) -> str:
    """What a value is: "None", "a dict", "an int"."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def plain(value: Any) -> Any:
    """A number of NumPy, or a tensor or an array without dimensions, as Python's own; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def isa(name: str, value: Any, kind: type | tuple[type, ...], give: str) -> Any:
    """A value of this type; TypeError otherwise."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {shown(value)}; give {give}")
    return value


def number(
    name: str,
    value: Any,
    low: float = -LARGEST,
    high: float = LARGEST,
    *,
    whole: bool = False,
    what: str = "",
    unit: str = "",
) -> Any:
    """A finite number from `low` to `high`, of Python's own type; True and False are none. `what` says what it is."""
    given = plain(value)
    real = isinstance(given, Integral if whole else Real) and not isinstance(given, bool)
    if not (real and low <= given <= high):
        raise ValueError(f"{name} is {shown(value)}; {what}use a {'whole ' * whole}number{_range(low, high)}{unit}")
    return int(given) if whole else float(given)


def _range(low: float, high: float) -> str:
    high_in_words = "2^63 - 1" if high == LAST_SEED else f"{high:g}"
    return f" from {low:g}" * (low > -LARGEST) + f" to {high_in_words}" * (high < LARGEST)


def whole(name: str, value: Any, low: int = 0, high: float = LARGEST) -> int:
    """A whole number from `low` to `high`."""
    return number(name, value, low, high, whole=True)


def flag(name: str, value: Any) -> bool:
    """True or False, of Python, NumPy or torch."""
    given = plain(value)
    if not isinstance(given, bool):
        raise ValueError(f"{name} is {shown(value)}; use True or False")
    return given


def share(name: str, value: Any) -> float:
    """A share of samples, 0 to 1."""
    return number(name, value, 0, 1, what="it is a share of samples: ")


def numbers(name: str, values: Any, per: str, *, low: float = -LARGEST, whole: bool = False) -> tuple:
    """A sequence, an array or a tensor as a tuple of numbers; `per` says of what each is one."""
    given = values.tolist() if hasattr(values, "tolist") else values
    try:
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise ValueError
        return tuple(number(name, each, low, whole=whole) for each in given)
    except ValueError:
        kind = "whole number" if whole else "number"
        raise ValueError(f"{name} are {shown(values)}; give one {kind}{_range(low, LARGEST)} per {per}") from None


def choice(name: str, value: Any, choices: Collection[str | int]) -> Any:
    """One of some words or whole numbers."""
    if not isinstance(value, (str, Integral)) or isinstance(value, bool) or value not in choices:
        raise ValueError(f"{name} is {shown(value)}; use one of {', '.join(map(repr, choices))}")
    return str(value) if isinstance(value, str) else value


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


def tensor(name: str, value: Any, shape: str, *, whole: bool | None = None) -> Tensor:
    """A tensor of as many dimensions as "[B, C]" has, or of one or more for "[B, ...]"; of integers where `whole` is
    True, of floating-point numbers where it is False. The values are not looked at."""
    isa(name, value, Tensor, f"a tensor {shape}, such as torch.as_tensor({name})")
    least = shape.replace(", ...", "").count(",") + 1
    if value.ndim < least or (value.ndim > least and "..." not in shape):
        raise ValueError(f"{name} has the shape {tuple(value.shape)}; give {shape}")
    integer = not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
    if whole is not None and not (integer if whole else value.is_floating_point()):
        wanted = f"integers, such as {name}.long()" if whole else f"floating-point numbers, such as {name}.float()"
        raise ValueError(f"{name} is of {value.dtype}; give {wanted}")
    return value


def network(model: Any) -> nn.Module:
    """`model`, where it is a network."""
    return isa("model", model, nn.Module, "a network, such as models.mlp(splits.train)")


def grouped(data: Any, name: str = "data") -> GroupedData:
    """`GroupedData`, and not a whole data set or a loader."""
    from .data import GroupedData

    return isa(name, data, GroupedData, "GroupedData, one part of a data set, such as splits.train or splits.test")


def generator(value: Any) -> torch.Generator | None:
    """`value`, where it is a generator or None."""
    return isa(
        "generator",
        value,
        (torch.Generator, type(None)),
        "torch.Generator().manual_seed(0), on the device of what is drawn",
    )
