"""What is written around the data and never on it: legends, and levels with their names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .canvas import SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVEL: dict[str, Any] = dict(color="#555555", linewidth=1, linestyle=(0, (4, 2)), zorder=0.5)


def legend_above(axis: Axes) -> None:
    """Above the axes, where it hides nothing; axes of one figure that would show the same share one above all."""
    handles, names = axis.get_legend_handles_labels()
    figure = axis.figure
    if any(names == [text.get_text() for text in legend.get_texts()] for legend in figure.legends):
        return
    shown = [(each, legend) for each in figure.axes if each is not axis and (legend := each.get_legend())]
    twins = [(each, legend) for each, legend in shown if each.get_legend_handles_labels()[1] == names]
    room = (figure if twins else axis).bbox.width / figure.dpi  # inches
    columns = min(4, max(1, int(room / (0.6 + 0.09 * max(map(len, names), default=0)))))
    rows = math.ceil(len(names) / columns)
    style: dict[str, Any] = dict(fontsize=SMALL, frameon=False, ncols=math.ceil(len(names) / max(rows, 1)))
    for twin, legend in twins:
        legend.remove()
        twin.set_title(twin.get_title())  # back down
    if twins:
        figure.legend(handles, names, loc="outside upper center", **style)
    else:
        axis.legend(handles, names, loc="lower center", bbox_to_anchor=(0.5, 1), **style)
        if axis.get_title():
            axis.set_title(axis.get_title(), pad=12 + 1.6 * SMALL * rows)


def draw_levels(axis: Axes, levels: Mapping[str, float] | None) -> None:
    """Thin lines across at these heights, named at the right margin; of axes side by side that share their heights,
    only the last names them. Call it when the limits are set."""
    heights = dict(sorted((levels or {}).items(), key=lambda each: each[1]))
    axis.get_ylim()  # the data may still have to set them
    shares = [float(axis.transLimits.transform(axis.transScale.transform((1, v)))[1]) for v in heights.values()]
    inches = axis.bbox.height / axis.figure.dpi
    place_in_grid, shared = axis.get_subplotspec(), axis.get_shared_y_axes().get_siblings(axis)
    named = len(shared) == 1 or place_in_grid is None or place_in_grid.is_last_col()
    for (name, value), place in zip(heights.items(), spread(shares, 1.5 * SMALL / 72 / inches)):
        axis.axhline(value, **LEVEL)
        if named:
            axis.text(1.015, place, name, transform=axis.transAxes, va="center", fontsize=SMALL, color="#444444")


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Sorted places, moved until they are `gap` apart and none lies above 1, unless one did: with a gap of 0.1, those
    at 0.2, 0.9 and 0.95 move to 0.2, 0.9 and 1."""
    moved = list(places)
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    top = max(1.0, *places) if places else 1.0
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], top)
        top = moved[i] - gap
    return moved
