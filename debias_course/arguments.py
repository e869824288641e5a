"""What one types after `debias-course`: values with their ranges, lists of methods, names that are nearly right."""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from .data.pixels import checked_window
from .methods import LECTURE, METHODS, Method, knobs

Number = TypeVar("Number", int, float)


class UsageError(ValueError):
    """A sentence for the person who typed the command."""


class Parser(argparse.ArgumentParser):
    """Says in one sentence what is wrong, and where the help is."""

    def error(self, message: str) -> NoReturn:
        """Raises UsageError instead of leaving the process."""
        message = message.removeprefix("argument ").replace(": is ", " is ", 1)
        raise UsageError(f"{message.rstrip('.')}; see {self.prog} --help")


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """The type of an option: a whole number from `low` to `high`."""
    return _number(int, low, high, "a whole number")


def number(low: float, high: float | None = None) -> Callable[[str], float]:
    """The type of an option: a finite number from `low` to `high`."""
    return _number(float, low, high, "a number")


def _number(kind: type[Number], low: float, high: float | None, what: str) -> Callable[[str], Number]:
    def read(text: str) -> Number:
        with suppress(ValueError, OverflowError):  # an integer of 400 digits is too large to compare with infinity
            value = kind(text)
            if math.isfinite(value) and low <= value <= (math.inf if high is None else high):
                return value
        to = "" if high is None else f" to {high}"
        raise argparse.ArgumentTypeError(f"is {text!r}; use {what} from {low}{to}")

    return read


def window(given: str) -> tuple[float, float]:
    """The type of an option: the two ends of a window."""
    with suppress(ValueError):
        if found := checked_window([float(end) for end in given.split(",")]):
            return found
    what = "write LOW,HIGH, two different numbers: the values of pixels that become black and white"
    raise argparse.ArgumentTypeError(f"is {given!r}; {what}")


def text(given: str) -> str:
    """The type of an option: not nothing, as of a shell variable that is not set."""
    if not given.strip():
        raise argparse.ArgumentTypeError("is empty; give it a value, or leave it out")
    return given


def path(given: str) -> Path:
    """The type of an option: a path, in which ~ is somebody's home."""
    try:
        return Path(text(given)).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"is {given!r}, and there is no such home; write the whole path") from None


def name_or_path(given: str) -> str:
    """The type of an option: a name, or else a path."""
    path(given)
    return given


def with_signs(arguments: Sequence[str]) -> list[str]:
    """`--seeds -1:3` as `--seeds=-1:3`: what begins with a minus is an option to argparse, and not one to us."""
    joined: list[str] = []
    for word in arguments:
        if joined and re.fullmatch(r"--[a-z-]+", joined[-1]) and re.match(r"-(\d|\.\d|inf|nan)", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def nearest(name: str, known: Iterable[str], what: str, otherwise: str = "") -> str:
    """`name` if it is known; UsageError with the nearest known names otherwise."""
    known = list(known)
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known) or 'none'}"
    raise UsageError(f"unknown {what} {name!r}; {hint}{otherwise and f' {otherwise}'}")


def parse_methods(text: str) -> dict[str, Method]:
    """ "erm,loss-reweighting(by=label,power=0.5)" -> methods by the name that was typed.

    "all" stands for the twelve methods of the lecture with their defaults."""
    if text == "all":
        text = ",".join(LECTURE)
    chosen: dict[str, Method] = {}
    for part in re.split(r",(?![^(]*\))", re.sub(r"""[ '"]""", "", text)):
        match = re.fullmatch(r"([^()]*)(?:\((.*)\))?", part)
        if not match or not match[1]:
            raise UsageError(f"cannot read the method {part!r}; write a name, or name(knob=value,knob=value)")
        kind = METHODS[nearest(match[1], METHODS, "method")]
        values: dict[str, Any] = {}
        for setting in filter(None, (match[2] or "").split(",")):
            name, _, value = setting.partition("=")
            if name in values:
                raise UsageError(f"{part} sets {name} twice; set it once")
            knob = knobs(kind)[nearest(name, knobs(kind), f"knob of {match[1]}")]
            words = {str(each).replace(" ", ""): each for each in knob.choices}  # as blanks were taken out
            text_ = isinstance(knob.default, str)
            values[name] = words.get(value, value) if text_ else _as(type(knob.default), name, value)
        if part in chosen:
            raise UsageError(f"{part} is there twice; name it once, or with other knobs")
        chosen[part] = kind(**values)
    return chosen


def _as(kind: type, name: str, text: str) -> float | bool:
    try:
        return {"true": True, "yes": True, "false": False, "no": False}[text.lower()] if kind is bool else float(text)
    except (KeyError, ValueError):
        give = "true or false, or yes or no" if kind is bool else "a number"
        raise UsageError(f"{name} is {text!r}; give {give}") from None
