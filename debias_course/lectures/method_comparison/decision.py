"""The decision tree at the end of lecture 10."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...figures.canvas import new_page
from ...figures.schematics import ACCENT, COMMON, INK, WIDTH, arrow, box, caption
from ...figures.words import describe

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def tree() -> Figure:
    """What to try first, by what is known; the leaves name the claims that they rest on."""
    axis = new_page(WIDTH, 5.3)
    caption(axis, 0.1, 0.2, "Always: the worst group, over several seeds, beside searched plain training.", ha="left")
    questions = {
        "what is\nrare?": (0.1, 2.0, 1.2),
        "groups known\nin training?": (1.65, 2.75, 1.4),
        "how\nmany?": (3.55, 1.75, 1.2),
        "known in\nvalidation?": (3.55, 3.85, 1.2),
    }
    for text, (x, y, width) in questions.items():
        box(axis, x, y, width, 0.62, text, color=COMMON)
    ways = (
        ("classes", (0.7, 2.0), (5.25, 0.85), (2.5, 1.28)),
        ("groups", (1.3, 2.4), (1.63, 2.9), (1.25, 2.78)),
        ("yes", (3.07, 2.9), (3.53, 2.15), (3.0, 2.4)),
        ("no", (3.07, 3.2), (3.53, 4.05), (3.05, 3.8)),
        ("few", (4.75, 1.95), (5.25, 1.85), (5.0, 1.72)),
        ("many", (4.75, 2.2), (5.25, 2.75), (4.85, 2.65)),
        ("yes", (4.75, 4.05), (5.25, 3.75), (4.95, 3.72)),
        ("no", (4.75, 4.3), (5.25, 4.7), (4.9, 4.65)),
    )
    for text, start, end, at in ways:
        arrow(axis, start, end)
        caption(axis, *at, text)
    leaves = (
        ("balance the classes", "L01.3, B10.1"),
        ("balance the groups, in any way", "L01.1, B10.1, B10.7"),
        ("plain first; leave nothing out", "B10.1, B10.2"),
        ("mine few, if labels are right", "L03.2, B10.2, B10.8"),
        ("first label a validation set", "L00.1, B00.7"),
    )
    for i, (text, claims) in enumerate(leaves):
        y = 0.55 + 0.95 * i
        box(axis, 5.27, y, 2.65, 0.72, color=ACCENT, strong=True)
        caption(axis, 6.6, y + 0.25, text, color=INK)
        caption(axis, 6.6, y + 0.52, claims)
    describe(
        axis,
        """A tree of four questions. What is rare? If classes are, balance the classes (claims L01.3 and B10.1). If
        groups are: are they known in training? If yes, how many are there? With few, balance them, in any way (L01.1,
        B10.1 and B10.7); with many, start from plain training, and leave nothing out (B10.1 and B10.2). If they are not
        known in training, are they in validation? If yes, learn from few hard samples, if labels are right (L03.2,
        B10.2 and B10.8); if no, first label a validation set (L00.1 and B00.7). Always measure the worst group, over
        several seeds, beside searched plain training.""",
    )
    return axis.figure  # type: ignore[return-value]  # new_page made no part of one
