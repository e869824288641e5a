"""Where a method intervenes, in one hand for all lectures: the pipeline of training, and a look into one of its stages.

Everything is drawn on axes in inches from the top left corner of the picture, eight inches wide."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .canvas import PALETTE, new_page
from .words import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("data", "batch", "model", "loss", "update")
WIDTH = 8.0
INK, QUIET, LINE = "#222222", "#555555", "#888888"
COMMON, RARE, ACCENT = PALETTE[1], PALETTE[0], PALETTE[2]
Glyph = Callable[["Axes", float], None]  # draws what a method does, 1.3 inches high from there; its docstring says it


def schematic(where: str | Sequence[str], *, how: str, title: str = "", glyph: Glyph | None = None) -> Figure:
    """The pipeline data → batch → model → loss → update, with the stage (or stages side by side) where a method
    intervenes in colour, and below it how, in a sentence or two; `glyph` draws the mechanism under it."""
    stages = [where] if isinstance(where, str) else list(where)
    if not stages or not set(stages) <= set(STAGES):
        raise ValueError(f"where is {where!r}; use one or more of {', '.join(STAGES)}")
    lines = textwrap.wrap(how, 86)
    top = 0.45 + 0.4 * bool(title)
    below = top + 0.95
    bottom = below + 0.2 + 0.26 * len(lines) + 1.4 * bool(glyph)
    axis = new_page(WIDTH, bottom + 0.1)
    axis.text(0.1, 0.25, title, fontsize=13, fontweight="bold", color=INK, va="center")
    places = [STAGES.index(stage) for stage in stages]
    left, right = _place(min(places)), _place(max(places)) + 1.16
    corners = [(left, top + 0.5), (right, top + 0.5), (WIDTH - 0.1, below + 0.1), (0.1, below + 0.1)]
    axis.fill(*zip(*corners), color=ACCENT, alpha=0.08, linewidth=0)
    box(axis, 0.1, below, WIDTH - 0.2, bottom - below, color=ACCENT)
    _pipeline(axis, top, stages)
    for i, line in enumerate(lines):
        axis.text(0.3, below + 0.27 + 0.26 * i, line, fontsize=12, va="center", color=INK)
    if glyph:
        _key(axis, 0.25)
        glyph(axis, below + 0.2 + 0.26 * len(lines))
    at, drawn = " and the ".join(stages), (glyph and glyph.__doc__) or ""
    said = f"{title}. The stages of training are {', '.join(STAGES)}. This one changes the {at}. {how} {drawn}"
    describe(axis, said.lstrip(". "))
    return axis.figure  # type: ignore[return-value]  # new_page made no part of one


def _place(stage: int) -> float:
    """The left end of a stage's box, which is 1.16 wide."""
    return 0.1 + 1.66 * stage


def _pipeline(axis: Axes, top: float, stages: Sequence[str]) -> None:
    for i, stage in enumerate(STAGES):
        chosen = stage in stages
        box(axis, _place(i), top, 1.16, 0.5, stage, color=ACCENT if chosen else LINE, strong=chosen)
        if i:
            arrow(axis, (_place(i) - 0.47, top + 0.25), (_place(i) - 0.03, top + 0.25))
    start, end, height = _place(4) + 0.58, _place(2) + 0.58, top - 0.25
    axis.plot([start, start, end], [top - 0.02, height, height], color=LINE, linewidth=1.2)
    arrow(axis, (end, height), (end, top - 0.02))
    style: dict[str, Any] = dict(ha="center", va="center", color=QUIET, backgroundcolor="white")
    axis.text(_place(3) + 0.58, height, "new parameters", fontsize=11, **style)


def box(
    axis: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    text: str = "",
    *,
    color: str = LINE,
    strong: bool = False,
) -> None:
    """A box with rounded corners and its top left corner at (x, y); a strong one has a tint of its colour."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import FancyBboxPatch

    face = [1 - 0.2 * (1 - part) for part in to_rgb(color)] if strong else "white"
    shape: dict[str, Any] = dict(boxstyle="round,pad=0,rounding_size=0.08", facecolor=face, edgecolor=color)
    axis.add_patch(FancyBboxPatch((x, y), width, height, linewidth=2 if strong else 1.2, **shape))
    weight = "bold" if strong else "normal"
    style: dict[str, Any] = dict(ha="center", va="center", fontsize=12, color=INK)
    axis.text(x + width / 2, y + height / 2, text, fontweight=weight, **style)


def arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], **look: Any) -> None:
    """An arrow, grey and thin unless `look` says otherwise."""
    style = dict(arrowstyle="-|>", mutation_scale=12, color=LINE, linewidth=1.2, shrinkA=0, shrinkB=0) | look
    axis.annotate("", xy=end, xytext=start, arrowprops=style)


def samples(axis: Axes, xs: Sequence[float], y: float, *, rare: bool = False, faint: bool = False) -> None:
    """Samples in a row: blue dots for a common group, orange squares for a rare one; faint ones are outlines."""
    color, marker = (RARE, "s") if rare else (COMMON, "o")
    look: dict[str, Any] = dict(marker=marker, markersize=9, linestyle="none", markeredgecolor=color, color=color)
    if faint:
        look |= dict(markerfacecolor="white", markeredgewidth=1.2, alpha=0.55)
    axis.plot(xs, [y] * len(xs), **look)


def _key(axis: Axes, y: float) -> None:
    """What the marks of the samples mean, at the right end of the line that holds the title."""
    for x, name, rare in (5.5, "common group", False), (6.95, "rare group", True):
        samples(axis, [x], y, rare=rare)
        axis.text(x + 0.12, y, name, fontsize=11, va="center", color=QUIET)


def caption(axis: Axes, x: float, y: float, text: str, **look: Any) -> None:
    style: dict[str, Any] = dict(ha="center", va="center", fontsize=11, color=QUIET)
    axis.text(x, y, text, **(style | look))


def digit(axis: Axes, x: float, y: float, color: str, *, side: float = 0.8) -> None:
    """A painted seven on black, with its middle at (x, y)."""
    from matplotlib.patches import Rectangle

    axis.add_patch(Rectangle((x - side / 2, y - side / 2), side, side, color="black"))
    caption(axis, x, y, "7", color=color, fontweight="bold", fontsize=46 * side, va="center_baseline")
