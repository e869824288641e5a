"""Pictures of any numbers: lines, bars, bands that sum to one, and a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .canvas import HATCHES, LINES, MARKERS, PALETTE, given, legend_above, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x: str,
    y: str,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    axis: Axes | None = None,
    **axes: Any,
) -> Figure | None:
    """Lines name -> (xs, ys), told apart by colour, marker and dash; `bands` name -> (low, high) shades an interval."""
    given("lines", lines)
    figure = None
    if axis is None:
        figure, axis = new_figure(6.4, 3.4)
    for i, (name, (xs, ys)) in enumerate(lines.items()):
        style: dict[str, Any] = dict(color=PALETTE[i % 7], linestyle=LINES[i % 7], marker=MARKERS[i % 7])
        axis.plot(xs, ys, label=name, markevery=max(1, len(xs) // 8), linewidth=2, **style)
        if bands and name in bands:
            axis.fill_between(xs, *bands[name], color=PALETTE[i % 7], alpha=0.15, linewidth=0)
    axis.set(xlabel=x, ylabel=y, **axes)
    legend_above(axis)
    return figure


def bars(
    values: Mapping[str, Sequence[float]], *, places: Sequence[str], y: str, axis: Axes | None = None, **axes: Any
) -> Figure | None:
    """Numbers side by side: one bar per name at each of the `places`, one colour and hatch per name."""
    given("values", values)
    given("places", places)
    figure = None
    if axis is None:
        figure, axis = new_figure(1.5 + 0.6 * len(places) * len(values), 3.4)
    width = 0.8 / len(values)
    for i, (name, heights) in enumerate(values.items()):
        at = [place + (i - (len(values) - 1) / 2) * width for place in range(len(places))]
        style: dict[str, Any] = dict(color=PALETTE[i % 7], hatch=HATCHES[i % 7], edgecolor="white")
        axis.bar(at, heights, width, label=name, **style)
    axis.set(xticks=range(len(places)), xticklabels=places, ylabel=y, **axes)
    legend_above(axis)
    return figure


def bands(
    shares: Mapping[str, Sequence[float]], *, x: str, y: str, start: int = 1, axis: Axes | None = None
) -> Figure | None:
    """What a whole is made of, step by step from `start`: one band per name, told apart by colour and hatch; at each
    step the shares of all names sum to 1."""
    given("shares", shares)
    given("the steps", next(iter(shares.values())))
    figure = None
    if axis is None:
        figure, axis = new_figure(6.0, 3.6)
    steps = range(start, start + len(next(iter(shares.values()))))
    areas = axis.stackplot(steps, list(shares.values()), labels=list(shares), edgecolor="white")
    for i, area in enumerate(areas):
        area.set(facecolor=PALETTE[i % 7], hatch=HATCHES[i % 7])
    axis.set(xlabel=x, ylabel=y, xlim=(steps[0], max(steps[-1], steps[0] + 1)), ylim=(0, 1))
    axis.locator_params("x", integer=True)
    legend_above(axis)
    return figure


def heat(
    values: Sequence[Sequence[float]], *, rows: Mapping[str, Sequence], columns: Mapping[str, Sequence], of: str
) -> Figure:
    """A map of numbers from 0 to 1 with the numbers in it; `rows` and `columns` are a name and its values each."""
    for name, things in ("values", values), ("rows", rows), ("columns", columns):
        given(name, things)
    (row_name, row_values), (column_name, column_values) = *rows.items(), *columns.items()
    figure, axis = new_figure(1.5 + 1.1 * len(column_values), 1.2 + 0.55 * len(row_values))
    shown = axis.imshow(values, vmin=0, vmax=1, cmap="cividis", aspect="auto")
    for i, line in enumerate(values):
        for j, value in enumerate(line):
            axis.text(j, i, f"{value:.2f}", ha="center", va="center", color="black" if value > 0.5 else "white")
    ticks = dict(xticks=range(len(column_values)), yticks=range(len(row_values)))
    axis.set(**ticks, xticklabels=column_values, yticklabels=row_values, xlabel=column_name, ylabel=row_name)
    figure.colorbar(shown, label=of)
    return figure
