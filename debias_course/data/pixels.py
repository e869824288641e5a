"""What becomes of the pixels of an image: how many there are, of how many channels, and of which values.

A screen shows 256 shades of grey, and an X-ray or a microscope tells thousands apart. A window, as radiologists call
it, says which value is shown as black and which as white:

    shade = 255 · (value - low) / (high - low)        below 0 it is black, above 255 white, and then it is rounded

An image is scaled to its size before it is cut off at the ends of the window and rounded. So a file that somebody made
smaller before gives the same pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ..checks import flag, number, numbers, shown, whole

Window = tuple[float, float]
NO_WINDOW = re.compile(r"its pixels are .*, from (\S+) to (\S+); say which values")
LARGEST = float(np.finfo(np.float32).max)
FEW_BITS = "it is read with 8 bits, and a window is for more; leave the window out, or give all images 16 bits and one "
FEW_BITS += "channel"


class Pixels(NamedTuple):
    """What an image file becomes: uint8 [3, size, size], or [1, size, size] where it is to be `grey`. A file with more
    than 8 bits per channel needs a `window`."""

    size: int
    window: Window | None = None
    grey: bool = False

    @classmethod
    def checked(cls, size: int, window: Sequence[float] | None, grey: bool) -> Pixels:
        """With a whole size from 1, a window as `checked_window` has it, and True or False."""
        return cls(whole("size", size, 1), checked_window(window), flag("grey", grey))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return (1 if self.grey else 3, self.size, self.size)


def checked_window(window: Sequence[float] | None) -> Window | None:
    """(low, high), the other way round where high values are black; ValueError for what is no pair of different finite
    numbers."""
    if window is None:
        return None
    try:
        low, high = (number("an end", each, -LARGEST, LARGEST) for each in numbers("window", window, "end"))
        if low != high:
            return low, high
    except ValueError:
        pass
    what = "give two different numbers, (low, high): the values of pixels that become black and white"
    raise ValueError(f"window is {shown(window)}; {what}")


def ends(window: Window) -> str:
    """The window as it is typed: "0,4095"."""
    return ",".join(repr(end).removesuffix(".0") for end in window)


def shades(values: np.ndarray, window: Window | None, kind: str, give: str = "window=(low, high)") -> np.ndarray:
    """Values [...] of any type as float32: 0 at the low end of the window, 255 at the high one, and linear also beyond.
    Without a window, a ValueError that says of which `kind` the values are, their range and what to `give`."""
    if not np.isfinite(values).all():
        raise ValueError(f"some of its pixels are NaN or infinite ({kind}); replace these, or leave the image out")
    if window is None:
        there = f"from {values.min():.7g} to {values.max():.7g}"
        raise ValueError(f"its pixels are {kind}, {there}; say which values are black and white: {give}")
    low, high = window
    with np.errstate(over="ignore"):
        exact = (values.astype(np.float64) - low) * 255 / (high - low)
    return exact.clip(-LARGEST, LARGEST).astype(np.float32)


def values_of(reasons: Iterable[str]) -> tuple[int, Window] | None:
    """How many images were refused for want of a window (`shades`), and the range of values of all of them together."""
    found = [tuple(map(float, said.groups())) for each in reasons if (said := NO_WINDOW.search(each))]
    return (len(found), (min(low for low, _ in found), max(high for _, high in found))) if found else None


def as_bytes(shades: np.ndarray) -> np.ndarray:
    """Shades [...], cut off at 0 and 255 and rounded, as uint8."""
    return np.rint(shades.clip(0, 255)).astype(np.uint8)
