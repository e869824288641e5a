"""A strip of circumstances: one statement, measured at several training lengths, networks, strengths of the bias."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from .canvas import PALETTE, SMALL, given, new_page
from .words import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERDICTS = {"holds": ("✓", PALETTE[2]), "fails": ("✗", PALETTE[5]), "open": ("?", "#999999")}
WIDTH, HEIGHT, LETTER, LINE = 8.0, 0.52, 0.095, 0.24  # inches: of the picture, a cell, a letter, and a line of text
QUIET: dict[str, Any] = dict(fontsize=SMALL, color="#444444")
Cell = Mapping[str, Any]


def strip(
    cells: Sequence[Cell],
    *,
    title: str = "",
    middle: Cell | None = None,
    frame: str = "",
    points: bool = True,
    fails: str = "",
) -> Figure:
    """Where a statement holds, with the measured effect. A cell has `where`, a dict of circumstances such as
    {"epochs": 20, "network": "MLP"}, `value`, `low` and `high`, and its `verdict`: "holds", "fails" or "open".

    The circumstance with most values runs from left to right, and each combination of the others that occurs has a row;
    what was not measured stays empty. `middle` is a `where`, which gets a frame; `frame` says below what it means.
    Effects are differences of accuracies, in points, unless `points` is False. `fails` says when a cell does."""
    values = _circumstances(cells)
    across = max(values, key=lambda name: len(values[name]))
    down = [name for name in values if name != across and len(values[name]) > 1]
    rows = sorted({tuple(values[name].index(cell["where"][name]) for name in down) for cell in cells})
    texts = [[str(values[name][i]) for name, i in zip(down, row)] for row in rows]
    widths = [0.25 + LETTER * max(map(len, column)) for column in zip(down, *texts)]
    titles = textwrap.wrap(title, 72)
    left = 0.1 + sum(widths)
    width = min(1.4, (WIDTH - left - 0.1) / len(values[across]))
    heads = [textwrap.wrap(str(value), max(4, int(width / LETTER)), break_long_words=False) for value in values[across]]
    most = LINE * (max(map(len, heads)) - 1)  # inches above the last line of a column's head
    top = 0.75 + 0.28 * len(titles) + most
    intervals = width > (1.0 if points else 1.25)  # or there is no room for them
    same = {name: values[name][0] for name in values if name not in (across, *down)}
    notes = textwrap.wrap(_note(points, intervals, same, fails, frame), int(1.1 * WIDTH / LETTER))
    bottom = top + HEIGHT * len(rows)
    axis = new_page(WIDTH, bottom + 0.15 + LINE * len(notes))
    axis.set(xticks=[], yticks=[], frame_on=False)
    axis.set_axis_on()  # it is a chart: in pixels it takes half as many bytes
    axis.text(0.1, 0.12, "\n".join(titles), fontsize=13, fontweight="bold", va="top")
    for i, name in enumerate(down):
        axis.text(0.1 + sum(widths[:i]), top - 0.12, name, **QUIET)
        for j, text in enumerate(texts):
            axis.text(0.1 + sum(widths[:i]), top + HEIGHT * (j + 0.5), text[i], va="center", fontsize=12)
    axis.text(left, top - 0.4 - most, across, **QUIET)
    for i, head in enumerate(heads):
        axis.text(left + (i + 0.5) * width, top - 0.05, "\n".join(head), ha="center", va="bottom", fontsize=12)
    for cell in cells:
        row = rows.index(tuple(values[name].index(cell["where"][name]) for name in down))
        x, y = left + values[across].index(cell["where"][across]) * width, top + row * HEIGHT
        _draw(axis, cell, (x, y, width), points=points, intervals=intervals, framed=cell["where"] == middle)
    axis.text(0.1, bottom + 0.12, "\n".join(notes), va="top", **QUIET)
    told = [f"{_listed(cell['where'])}: {_effect(cell, 'value', points)}, {cell['verdict']}" for cell in cells]
    describe(axis, f"{title or 'Where it holds'}. {'; '.join(told)}.")
    return axis.figure  # type: ignore[return-value]  # new_page made no part of one


def _circumstances(cells: Sequence[Cell]) -> dict[str, list[Any]]:
    """The values of each, once: numbers by size, anything else as it comes. ValueError where a cell makes no sense."""
    given("cells", cells)
    names = list(cells[0]["where"])
    for cell in cells:
        if cell["verdict"] not in VERDICTS:
            raise ValueError(f"verdict is {cell['verdict']!r}; use one of {', '.join(VERDICTS)}")
        if not names or set(cell["where"]) != set(names):
            raise ValueError(f"where is {dict(cell['where'])}; give every cell the same circumstances, {names}")
    found = {name: list(dict.fromkeys(cell["where"][name] for cell in cells)) for name in names}
    return {n: sorted(each) if all(isinstance(v, Real) for v in each) else each for n, each in found.items()}


def _listed(where: Cell) -> str:
    return ", ".join(f"{name} {value}" for name, value in where.items())


def _note(points: bool, intervals: bool, same: Cell, fails: str, frame: str) -> str:
    """What the marks and numbers mean, and what is the same in all cells."""
    marks = "  ".join(f"{mark} {verdict}" for verdict, (mark, _) in VERDICTS.items())
    marks = marks.replace("fails", f"fails: {fails}" if fails else "fails") + ", or other seeds might say otherwise"
    numbers = ("points" if points else "effect") + " with interval" * intervals
    here = f" · framed: {frame}" * bool(frame)
    return f"{marks} · {numbers}{here}" + f" · everywhere: {_listed(same)}" * bool(same)


def _effect(cell: Cell, of: str, points: bool) -> str:
    """ "+12" for 0.12 in points, "+0.3" for 0.003, and "+0.12" as a number, with a minus sign as wide as the plus; ""
    where there is none."""
    value = cell.get(of, math.nan)
    if not math.isfinite(value):
        return ""
    in_points = f"{100 * value:+.0f}" if abs(value) >= 0.01 else f"{100 * value:+.1f}"
    as_number = f"{value:+.2f}" if abs(value) < 1 else f"{value:+.2g}"
    return (in_points if points else as_number).replace("-", "−")


def _draw(
    axis: Axes, cell: Cell, at: tuple[float, float, float], *, points: bool, intervals: bool, framed: bool
) -> None:
    """One cell `at` (left, top, width): colour and mark of its verdict, its value and interval."""
    from matplotlib.patches import Rectangle

    (mark, color), (x, y, width) = VERDICTS[cell["verdict"]], at
    place: dict[str, Any] = dict(xy=(x + 0.03, y + 0.03), width=width - 0.06, height=HEIGHT - 0.06)
    axis.add_patch(Rectangle(**place, color=color, alpha=0.4, linewidth=0))
    if framed:
        axis.add_patch(Rectangle(**place, fill=False, edgecolor="black", linewidth=2))
    low, high = (_effect(cell, end, points) for end in ("low", "high"))
    ends = f"{low} to {high}" if low and high and intervals else ""
    style: dict[str, Any] = dict(ha="center", va="center")
    value = _effect(cell, "value", points)
    value, below = (f"{value} {mark}", ends) if intervals else (value, mark)  # where there is room for it
    axis.text(x + width / 2, y + HEIGHT * (0.33 if below else 0.5), value, fontweight="bold", fontsize=12, **style)
    axis.text(x + width / 2, y + HEIGHT * 0.72, below, fontsize=SMALL, **style)
