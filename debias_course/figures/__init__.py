"""The course's pictures: one palette, groups told apart by marker and line style too, alt text, a takeaway.

Every function returns a matplotlib figure; `picture` shows it in a notebook so that nobody is left out: with an
alternative text for those who cannot see it and one line that says what to take away.
"""

from .canvas import LINES, MARKERS, PALETTE, new_figure, picture, png, svg
from .charts import bands, bars, curves, heat
from .images import evidence, perturbations, repainted, sample_grid
from .planes import embedding, new_samples, principal, regions
from .results import differences, group_bars, over_epochs, study_bars
from .schematics import schematic
from .strips import strip
from .words import alt_text

__all__ = [
    "LINES",
    "MARKERS",
    "PALETTE",
    "alt_text",
    "bands",
    "bars",
    "curves",
    "differences",
    "embedding",
    "evidence",
    "group_bars",
    "heat",
    "new_figure",
    "new_samples",
    "over_epochs",
    "perturbations",
    "picture",
    "png",
    "principal",
    "regions",
    "repainted",
    "sample_grid",
    "schematic",
    "strip",
    "study_bars",
    "svg",
]
