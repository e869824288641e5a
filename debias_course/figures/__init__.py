"""The course's pictures: one palette, groups told apart by marker and line style too, alt text, a takeaway.

Every function returns a matplotlib figure; `picture` shows it in a notebook so that nobody is left out: with an
alternative text for those who cannot see it and one line that says what to take away.
"""

from .canvas import LINES, MARKERS, PALETTE, new_figure, picture, png, svg
from .charts import bands, bars, curves, heat
from .images import evidence, perturbations, repainted, sample_grid
from .planes import embedding, new_samples, principal, regions
from .results import differences, group_bars, over_epochs, study_bars
from .schematics import (
    adversarial_schematic,
    choosing_schematic,
    dann_schematic,
    decoupling_schematic,
    fair_schematic,
    group_dro_schematic,
    mining_schematic,
    occam_schematic,
    sampling_schematic,
    schematic,
    shortcut_schematic,
    smote_schematic,
    weights_schematic,
)
from .strips import strip
from .words import alt_text

__all__ = [
    "LINES",
    "MARKERS",
    "PALETTE",
    "adversarial_schematic",
    "alt_text",
    "bands",
    "bars",
    "choosing_schematic",
    "curves",
    "dann_schematic",
    "decoupling_schematic",
    "differences",
    "embedding",
    "evidence",
    "fair_schematic",
    "group_bars",
    "group_dro_schematic",
    "heat",
    "mining_schematic",
    "new_figure",
    "new_samples",
    "occam_schematic",
    "over_epochs",
    "perturbations",
    "picture",
    "png",
    "principal",
    "regions",
    "repainted",
    "sample_grid",
    "sampling_schematic",
    "schematic",
    "shortcut_schematic",
    "smote_schematic",
    "strip",
    "study_bars",
    "svg",
    "weights_schematic",
]
