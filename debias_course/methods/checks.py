"""What was given: one sentence with a remedy for each kind of argument that cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from ..data import GroupedData

LARGEST = sys.float_info.max


def shown(value: Any) -> str:
    """The value itself where that is short, otherwise what it is."""
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"


def plain(value: Any) -> Any:
    """A number of NumPy, or a tensor or an array without dimensions, as Python's own; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def number(
    name: str, value: Any, low: float = -LARGEST, high: float = LARGEST, *, whole: bool = False, unit: str = ""
) -> Any:
    """`value` as a number of Python, from low to high; True and False are none."""
    given = plain(value)
    if isinstance(given, bool) or not isinstance(given, Integral if whole else Real) or not low <= given <= high:
        raise ValueError(f"{name} is {shown(value)}; use a {'whole ' * whole}number{_range(low, high)}{unit}")
    return int(given) if whole else float(given)


def numbers(name: str, values: Any, per: str, *, low: float = -LARGEST, whole: bool = False) -> tuple:
    """`values`, a sequence, an array or a tensor, as a tuple of such numbers; `per` says of what each is one."""
    given = values.tolist() if hasattr(values, "tolist") else values
    try:
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise ValueError
        return tuple(number(name, each, low, whole=whole) for each in given)
    except ValueError:
        raise ValueError(
            f"{name} are {shown(values)}; give one {'whole ' * whole}number{_range(low, LARGEST)} per {per}"
        ) from None


def _range(low: float, high: float) -> str:
    return f" from {low:g}" * (low > -LARGEST) + f" to {high:g}" * (high < LARGEST)


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """`value`, one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} is {shown(value)}; use one of {', '.join(map(repr, choices))}")
    return str(value)


def require(name: str, value: Any, kind: type | tuple[type, ...], remedy: str) -> None:
    """TypeError where `value` is not of that kind."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {shown(value)}; {remedy}")


def require_tensor(name: str, value: Any, shape: str, *, whole: bool | None = None) -> None:
    """That `value` is a tensor of as many dimensions as "[B, C]" has, or of one or more for "[B, ...]"; of integers
    where `whole` is True, of floating-point numbers where it is False. The values are not looked at."""
    require(name, value, Tensor, f"give a tensor {shape}, such as torch.as_tensor({name})")
    least = shape.replace(", ...", "").count(",") + 1
    if value.ndim < least or (value.ndim > least and "..." not in shape):
        raise ValueError(f"{name} has the shape {tuple(value.shape)}; give {shape}")
    integer = not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
    if whole is not None and not (integer if whole else value.is_floating_point()):
        wanted = f"integers, such as {name}.long()" if whole else f"floating-point numbers, such as {name}.float()"
        raise ValueError(f"{name} is of {value.dtype}; give {wanted}")


def require_model(model: Any) -> None:
    require("model", model, nn.Module, "pass a network, such as models.mlp(data.train)")


def require_data(data: Any, name: str = "data") -> None:
    require(name, data, GroupedData, "pass one part of a data set, such as splits.test")


def require_generator(generator: Any) -> None:
    remedy = "pass torch.Generator().manual_seed(0), on the device of what is drawn"
    require("generator", generator, (torch.Generator, type(None)), remedy)
