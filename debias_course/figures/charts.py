"""Pictures of any numbers: lines, bars, bands that sum to one, and a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .canvas import HATCHES, LINES, MARKERS, PALETTE, given, new_figure
from .marks import draw_levels, legend_above
from .words import course, describe, levels_in_words, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x: str,
    y: str,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    levels: Mapping[str, float] | None = None,
    axis: Axes | None = None,
    **axes: Any,
) -> Figure | None:
    """Lines name -> (xs, ys), told apart by colour, marker and dash; `bands` name -> (low, high) shades an interval;
    `levels` name -> y draws thin lines across, such as chance."""
    given("lines", lines)
    figure = None
    if axis is None:
        figure, axis = new_figure(6.4, 3.4)
    log = axes.get("xscale") == "log"
    for i, (name, (xs, ys)) in enumerate(lines.items()):
        style: dict[str, Any] = dict(color=PALETTE[i % 7], linestyle=LINES[i % 7], marker=MARKERS[i % 7], linewidth=2)
        # Of many points, some have a marker: on a logarithmic axis by the distance between them.
        style["markevery"] = None if len(xs) < 9 else 0.08 if log else len(xs) // 8
        axis.plot(xs, ys, label=name, **style)
        if bands and name in bands:
            axis.fill_between(xs, *bands[name], color=PALETTE[i % 7], alpha=0.15, linewidth=0)
    axis.set(xlabel=x, ylabel=y, **axes)
    if log:
        from matplotlib.ticker import LogLocator

        axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
    draw_levels(axis, levels)
    legend_above(axis)
    every = [value for _, ys in lines.values() for value in ys]
    said = "; ".join(f"{name} {course(xs, ys, max(every) - min(every))}" for name, (xs, ys) in lines.items() if len(xs))
    ends = [end for xs, _ in lines.values() for end in xs]
    over = f"over {x} {min(ends):.4g} to {max(ends):.4g}" if ends else f"over {x}"
    describe(axis, f"{y[:1].upper()}{y[1:]} {over}: {said}.{levels_in_words(levels)}")
    return figure
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
    said = "; ".join(f"{name}: {listed(dict(zip(places, heights)))}" for name, heights in values.items())
    describe(axis, f"Bars of {y}. {said}.")
    return figure


def bands(
    shares: Mapping[str, Sequence[float]],
    *,
    x: str,
    y: str,
    start: int = 1,
    color: int = 0,
    axis: Axes | None = None,
) -> Figure | None:
    """What a whole is made of, step by step from `start`: one band per name, told apart by colour and hatch (from place
    `color` of the palette on); at each step the shares of all names sum to 1."""
    given("shares", shares)
    given("the steps", next(iter(shares.values())))
    figure = None
    if axis is None:
        figure, axis = new_figure(6.0, 3.6)
    steps = range(start, start + len(next(iter(shares.values()))))
    areas = axis.stackplot(steps, list(shares.values()), labels=list(shares), edgecolor="white")
    for i, area in enumerate(areas, color):
        area.set(facecolor=PALETTE[i % 7], hatch=HATCHES[i % 7])
    axis.set(xlabel=x, ylabel=y, xlim=(steps[0], max(steps[-1], steps[0] + 1)), ylim=(0, 1))
    axis.locator_params("x", integer=True)
    legend_above(axis)
    said = "; ".join(f"{name} {course(steps, each, 1)}" for name, each in shares.items())
    describe(axis, f"Bands of {y} over {x} {steps[0]} to {steps[-1]}: {said}.")
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
            color = "black" if value > 0.5 else "white"
            axis.text(j, i, f"{value:.2f}", ha="center", va="center", color=color, fontsize=12)
    ticks = dict(xticks=range(len(column_values)), yticks=range(len(row_values)))
    axis.set(**ticks, xticklabels=column_values, yticklabels=row_values, xlabel=column_name, ylabel=row_name)
    scale = figure.colorbar(shown)
    scale.set_label(of, fontsize=12)
    scale.ax.tick_params(labelsize=12)
    cells = {f"{row}, {column}": v for row, line in zip(row_values, values) for column, v in zip(column_values, line)}
    names = " by ".join(filter(None, [row_name, column_name]))
    describe(axis, f"Map of {of} by {names}: {listed(cells)}.")
    return figure
