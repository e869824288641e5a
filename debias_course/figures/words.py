"""What pictures say in words: an alternative text, which the function that draws also writes, from the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def describe(axis: Axes, sentence: str) -> None:
    """What `axis` shows, for `alt_text`."""
    axis.alt = " ".join(sentence.split())  # type: ignore[attr-defined]  # an attribute of ours


def alt_text(figure: Figure) -> str:
    """What the axes of a figure show, in their order and with their titles; empty where all were drawn by hand."""
    told = [(axis.get_title(), axis.alt) for axis in figure.axes if hasattr(axis, "alt")]
    return " ".join(f"{title}: {said}" if title and title not in said else said for title, said in told)


def number(value: float) -> str:
    """Two places for an accuracy, and none for a thousand."""
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.4g}"


def listed(values: Mapping[str, float]) -> str:
    """ "a 0.25, b 1.00"; of more than eight, the lowest and the highest."""
    if len(values) > 8:
        ends = {
            name: values[name] for name in (min(values, key=values.__getitem__), max(values, key=values.__getitem__))
        }
        return f"{len(values)} values, from {' to '.join(f'{number(v)} ({name})' for name, v in ends.items())}"
    return ", ".join(f"{name.replace(', ', ' ')} {number(value)}" for name, value in values.items())


def course(xs: Sequence[float], ys: Sequence[float], scale: float) -> str:
    """ "from 0.03 to 0.52" (of one point, "0.03 at 1"), and the highest and the lowest value where they stand out from
    the ends by a tenth of `scale`."""
    if len(ys) == 1:
        return f"{number(ys[0])} at {xs[0]:.4g}"
    ends, said = sorted([ys[0], ys[-1]]), f"from {number(ys[0])} to {number(ys[-1])}"
    high, low = max(range(len(ys)), key=ys.__getitem__), min(range(len(ys)), key=ys.__getitem__)
    if ys[high] > ends[1] + scale / 10:
        said += f", highest {number(ys[high])} at {xs[high]:.4g}"
    if ys[low] < ends[0] - scale / 10:
        said += f", lowest {number(ys[low])} at {xs[low]:.4g}"
    return said


def levels_in_words(levels: Mapping[str, float] | None) -> str:
    """A sentence on the lines that `draw_levels` draws."""
    return f" Lines mark {listed(levels)}." if levels else ""
