"""Label, colour, image and answer (lecture 00)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...figures.canvas import PALETTE, new_page
from ...figures.schematics import ACCENT, COMMON, INK, QUIET, RARE, WIDTH, arrow, box, caption, digit
from ...figures.words import describe

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def schematic(aligned: float = 0.95) -> Figure:
    """Label and colour both make the image, and the network takes the colour's way back; `aligned` is the
    share of training images in which the two agree."""
    axis = new_page(WIDTH, 3.5)
    for x, name in (0.75, "in the world"), (3.0, "image"), (5.2, "network"), (7.175, "answer"):
        caption(axis, x, 0.2, name)
    box(axis, 0.1, 0.45, 1.3, 0.5, "label: high")
    box(axis, 0.1, 1.75, 1.3, 0.5, "colour: blue", color=ACCENT, strong=True)
    arrow(axis, (0.4, 0.98), (0.4, 1.72), arrowstyle="<|-|>", linestyle=(0, (4, 2)), shrinkA=0)
    axis.text(0.55, 1.35, f"agree in {aligned:.0%} of\ntraining images", fontsize=11, va="center", color=QUIET)
    arrow(axis, (1.45, 0.7), (2.55, 1.15))
    arrow(axis, (1.45, 2.0), (2.55, 1.55), color=ACCENT, linewidth=3, mutation_scale=18)
    caption(axis, 2.1, 0.75, "shape")
    caption(axis, 2.1, 1.97, "paint")
    digit(axis, 3.0, 1.35, COMMON)
    box(axis, 4.1, 0.45, 2.2, 1.8)
    arrow(axis, (3.45, 1.15), (6.6, 1.15), linestyle=(0, (4, 2)))
    arrow(axis, (3.45, 1.6), (6.6, 1.6), color=ACCENT, linewidth=3, mutation_scale=18)
    caption(axis, 5.2, 0.95, "read the shape: hard")
    caption(axis, 5.2, 1.82, "see the colour: easy", color=INK, fontweight="bold")
    box(axis, 6.65, 1.1, 1.05, 0.55, "high ✓")
    box(axis, 0.1, 2.55, WIDTH - 0.2, 0.85, color=RARE)
    digit(axis, 0.65, 2.975, RARE, side=0.6)
    said = "A rare image: label high, colour orange.\nThe network goes by the colour, as it did in training."
    axis.text(1.15, 2.975, said, fontsize=12, va="center", color=INK, linespacing=1.5)
    box(axis, 6.65, 2.7, 1.05, 0.55, "low ✗", color=PALETTE[5], strong=True)
    describe(
        axis,
        f"""Label and colour both make the image of a digit, one by its shape, the other by its paint, and agree in
        {aligned:.0%} of the training images. Two ways lead through the network to the answer: reading the shape, which
        is hard, and seeing the colour, which is easy and drawn in bold. Of a high digit in orange, which is rare, the
        network says low.""",
    )
    return axis.figure  # type: ignore[return-value]  # new_page made no part of one
