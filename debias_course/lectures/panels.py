"""The panel of a method: its own fields become widgets, and a picture follows them.

    panel(draw, LossReweighting(), correlation=Knob(0.95, low=0.5, high=1.0, help="..."))

`draw(method, **extra)` returns a matplotlib figure and one sentence; a slow one also takes `progress`, which it calls
with (done, of), and with the figure so far if it likes. It is a plain function: tests call it without a browser.
Pictures go to an Image widget and text to HTML, which work in every front end; there is no Output widget.
"""

from __future__ import annotations

import dataclasses
import html
import inspect
import math
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from .. import figures
from ..evaluation import GroupReport
from ..methods import Knob, Method, knobs

Progress = Callable[..., None]  # called with (done, of), and with the figure so far


def control(name: str, knob: Knob) -> widgets.Widget:
    """The widget of one knob: a check box for yes or no, a drop-down for choices, otherwise a slider over its range."""
    common: dict[str, Any] = dict(
        description=name, style={"description_width": "7em"}, layout={"width": "22em"}, tooltip=knob.help
    )
    if isinstance(knob.default, bool):
        return widgets.Checkbox(value=knob.default, **common)
    if knob.choices:
        return widgets.Dropdown(options=knob.choices, value=knob.default, **common)
    assert knob.low is not None and knob.high is not None  # or it would be no knob: it has no choices
    common |= dict(continuous_update=False, readout_format=".3g")
    if isinstance(knob.default, int):
        common["readout_format"] = "d"
        return widgets.IntSlider(value=knob.default, min=int(knob.low), max=int(knob.high), **common)
    if knob.log:
        low, high = math.log10(knob.low), math.log10(knob.high)
        return widgets.FloatLogSlider(value=knob.default, min=low, max=high, step=(high - low) / 40, **common)
    step = knob.step or 10 ** math.floor(math.log10((knob.high - knob.low) / 20))
    return widgets.FloatSlider(value=knob.default, min=knob.low, max=knob.high, step=step, **common)


class Panel(widgets.HBox):
    """Controls on the left, picture and sentence on the right.

    controls  the widgets by name: the method's fields first, then the extra knobs
    picture   Image widget with the last drawing
    text      HTML widget with its sentence, or with what is wrong with the setting
    progress  bar that a slow drawing may move
    """

    def __init__(self, draw: Callable[..., tuple[Any, str]], method: Method, **extra: Knob):
        declared = {n: dataclasses.replace(k, default=getattr(method, n)) for n, k in knobs(method).items()}
        self.controls = {name: control(name, knob) for name, knob in (declared | extra).items()}
        self.draw, self.method, self.extra = draw, method, tuple(extra)
        self.slow = "progress" in inspect.signature(draw).parameters
        self.picture = widgets.Image(format="png", layout={"width": "100%", "max_width": "820px"})
        self.text = widgets.HTML()
        self.progress = widgets.FloatProgress(min=0, max=1, layout={"width": "22em", "visibility": "hidden"})
        for each in self.controls.values():
            each.observe(self.update, names="value")
        self.update()
        left = widgets.VBox([*self.controls.values(), self.progress], layout={"flex": "0 0 auto"})
        right = widgets.VBox([self.picture, self.text], layout={"flex": "1 1 24em", "overflow": "hidden"})
        super().__init__([left, right], layout={"flex_flow": "row wrap"})

    def update(self, _change: Any = None) -> None:
        """Draw the current setting; a setting that the method refuses is explained below the last picture."""
        values = {name: each.value for name, each in self.controls.items()}
        extra = {name: values.pop(name) for name in self.extra}
        if self.slow:
            extra["progress"] = self.show_progress
        try:
            figure, sentence = self.draw(dataclasses.replace(self.method, **values), **extra)
        except (ValueError, FloatingPointError) as error:
            self.text.value = f"<b>Not possible:</b> {html.escape(str(error))}"
            return
        self.picture.value = figures.png(figure)
        self.text.value = html.escape(sentence)

    def show_progress(self, done: int, of: int, figure: Any = None) -> None:
        """Move the bar, which is visible while something is going on, and show the drawing so far if there is one."""
        if figure is not None:
            self.picture.value = figures.png(figure)
        self.progress.value = done / of
        self.progress.layout.visibility = "visible" if done < of else "hidden"

    def __repr__(self) -> str:
        return f"Panel of {type(self.method).__name__}: {', '.join(self.controls)}"


def panel(draw: Callable[..., tuple[Any, str]], method: Method, **extra: Knob) -> Panel:
    """A panel of `method`'s fields and the `extra` knobs; see the module's text."""
    return Panel(draw, method, **extra)


def while_training(progress: Progress | None, figure: Callable[[], Any]) -> Callable[[int, int], None]:
    """For `train`: tell `progress` of every epoch, and show it the figure so far until the last is done."""

    def told(done: int, of: int) -> None:
        if progress:
            progress(done, of, figure() if done < of else None)

    return told


def worst(name: str, report: GroupReport) -> str:
    """The sentence of one report."""
    return f"{name}: group-balanced {report.group_balanced.value:.2f}, worst group {report.worst_group.value:.2f}"
