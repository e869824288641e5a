"""What all pictures share: the palette, a figure that nobody else knows, and how it is shown."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Any

from ..checks import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), without yellow, which is too light for lines on white.
PALETTE = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
HATCHES = ("", "//", "..", "xx", "\\\\", "oo", "++")
STYLE: dict[Any, Any] = {
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 80,
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


def png(figure: Figure | None) -> bytes:
    """The figure as a PNG that is the same for the same figure: no date, no version inside."""
    import matplotlib as mpl

    if figure is None or not hasattr(figure, "savefig"):
        raise TypeError(f"figure is {shown(figure)}; what is drawn on axes that were given belongs to their figure")
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    return buffer.getvalue()


def _fewer_colors(image: bytes) -> bytes:
    """The same PNG at a third of the size, with 64 colours; for what is stored in a notebook."""
    from PIL import Image

    buffer = io.BytesIO()
    small = Image.open(io.BytesIO(image)).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def picture(figure: Figure | None, *, alt: str, takeaway: str) -> None:
    """Show a figure in a notebook with an alternative text and a takeaway below it."""
    from IPython.display import display

    data = base64.b64encode(_fewer_colors(png(figure))).decode()
    shown = (
        f'<figure style="margin:0"><img src="data:image/png;base64,{data}" alt="{html.escape(alt)}">'
        f"<figcaption><em>{html.escape(takeaway)}</em></figcaption></figure>"
    )
    # The PNG is for previews that show no HTML; text for those that show neither.
    bundle = {"text/html": shown, "image/png": data, "text/plain": f"[picture: {alt}] {takeaway}"}
    display(bundle, raw=True)


def given(name: str, things: Any) -> None:
    """ValueError where there is nothing to draw."""
    if not hasattr(things, "__len__") or not len(things):
        raise ValueError(f"{name}: {shown(things)} with nothing to draw; give at least one")


def legend_above(axis: Axes) -> None:
    """Above the axes, where it hides nothing."""
    entries = len(axis.get_legend_handles_labels()[0])
    columns = 2 if entries == 4 else min(entries, 3)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns, fontsize=10, frameon=False)
