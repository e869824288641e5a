"""What all pictures share: the palette, a figure that nobody else knows, and how it is shown."""

from __future__ import annotations

import base64
import html
import io
import re
from typing import TYPE_CHECKING, Any

from ..checks import shown
from .words import alt_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), without yellow, which is too light for lines on white.
PALETTE = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
HATCHES = ("", "//", "..", "xx", "\\\\", "oo", "++")
DPI = 80  # pixels of a page per inch of a figure, so that 10.8 points are 12 of them
SMALL = 11  # points, of the smallest text
VECTOR = 60_000  # bytes of the largest drawing that a notebook stores as such
STYLE: dict[Any, Any] = {
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.dpi": DPI,
    "svg.hashsalt": "debias_course",
}


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, *, layout: str = "constrained", **options: Any
) -> tuple[Figure, Any]:
    """A figure and its axes in the course's style, known to nobody else: pyplot neither keeps nor shows it.

    layout "none" leaves the margins as they are, which halves the time to draw."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout=layout)  # type: ignore[arg-type]  # its types leave out "none"
        FigureCanvasAgg(figure)
        return figure, figure.subplots(rows, columns, **options)


def new_page(width: float, height: float) -> Axes:
    """Axes over a whole figure, in inches from its top left corner, for what is placed by hand."""
    figure, axis = new_figure(width, height, layout="none")
    axis.set(xlim=(0, width), ylim=(height, 0), position=(0, 0, 1, 1))
    axis.set_axis_off()
    return axis


def _saved(figure: Figure | None, **how: Any) -> bytes:
    import matplotlib as mpl

    if figure is None or not hasattr(figure, "savefig"):
        raise TypeError(f"figure is {shown(figure)}; what is drawn on axes that were given belongs to their figure")
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, **how)
    return buffer.getvalue()


def png(figure: Figure | None, *, dpi: int = DPI) -> bytes:
    """The figure as a PNG that is the same for the same figure: no date, no version inside."""
    return _saved(figure, format="png", dpi=dpi, metadata={"Software": None})


def svg(figure: Figure | None) -> bytes:
    """The figure as an SVG that is the same for the same figure and looks alike everywhere: letters are outlines."""
    drawing = _saved(figure, format="svg", metadata=dict.fromkeys(["Creator", "Date", "Format", "Type"]))
    return re.sub(rb"\s+", b" ", drawing)


def _fewer_colors(image: bytes) -> bytes:
    """The same PNG at a third of the size, with 64 colours, spread so that rare ones are met as well; for what is
    stored in a notebook."""
    from PIL import Image

    buffer, how = io.BytesIO(), dict(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small = Image.open(io.BytesIO(image)).convert("RGB").quantize(64, **how)  # type: ignore[arg-type]
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _stored(figure: Figure | None) -> tuple[str, bytes]:
    """A schematic as a drawing, sharp at every size; a chart in pixels, two to one of the page, which take half as many
    bytes, or a tenth where it has thousands of dots."""
    data = png(figure, dpi=2 * DPI)
    if figure is not None and not any(axis.axison for axis in figure.axes) and len(drawing := svg(figure)) < VECTOR:
        return "svg+xml", drawing
    return "png", _fewer_colors(data)


def picture(figure: Figure | None, *, takeaway: str, alt: str = "") -> None:
    """Show a figure in a notebook, sharp on every screen, with a takeaway below it and an alternative text for those
    who cannot see it: what the functions that drew it say, unless one is given."""
    from IPython.display import display

    kind, data = _stored(figure)
    assert figure is not None  # or it would not have been saved
    said, width = alt or alt_text(figure), round(figure.get_figwidth() * DPI)
    if not said:
        raise ValueError("this figure says nothing of itself, as it was drawn by hand; give alt=, a sentence or two")
    # A white card, for dark pages. Where a page allows no style, it has square corners.
    page = (
        f'<figure style="margin:0"><img src="data:image/{kind};base64,{base64.b64encode(data).decode()}" '
        f'width="{width}" alt="{html.escape(said)}" style="background:#fff;border-radius:8px">'
        f"<figcaption><em>{html.escape(takeaway)}</em></figcaption></figure>"
    )
    # Text for those who see no HTML. It is compared between machines, so it has no numbers that were measured on one.
    display({"text/html": page, "text/plain": f"[picture{': ' * bool(alt)}{alt}] {takeaway}"}, raw=True)


def given(name: str, things: Any) -> None:
    """ValueError where there is nothing to draw."""
    if not hasattr(things, "__len__") or not len(things):
        raise ValueError(f"{name}: {shown(things)} with nothing to draw; give at least one")
