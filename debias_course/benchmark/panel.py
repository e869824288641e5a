"""What a reader waits for who moves a slider."""

from __future__ import annotations

import itertools

from ..figures import new_figure
from ..lectures.dataset_bias.panel import draw_shortcut
from ..lectures.panels import WIDTH, panel, png
from ..methods import LossReweighting
from .turns import row, take_turns


def measure_panel(*, repeats: int) -> dict:
    """What a moved slider of the shortcut panel costs, a model trained and three axes drawn, relative to the drawing of
    four empty axes of that size."""
    powers = itertools.count(1)
    shown = panel(draw_shortcut, LossReweighting())
    shown.update()

    def move() -> None:
        shown.controls["power"].value = next(powers) / 1000  # a setting that was not drawn yet

    spent = take_turns({"move": move, "empty": lambda: png(new_figure(WIDTH, 5.4, 2, 2)[0])}, repeats)
    return row(
        "panel of the shortcut: moved slider / empty figure", [turn["move"] / turn["empty"] for turn in spent], 2.0
    )
