"""The controls of a panel: one widget for each knob, with a name that a reader can read and its help in sight."""

from __future__ import annotations

import html
import math
from typing import Any

import ipywidgets as widgets

from ..methods import Knob

LABELS = {  # of knobs, where the field's name would not do; the help goes on from here, with the symbol of the equation
    "at_once": "comparisons at once",
    "base": "starting samples",
    "by": "evened out by",
    "correct": "corrected",
    "digits": "data set",
    "done": "progress (share)",
    "exits": "kind of exits",
    "hidden": "hidden layer",
    "k": "neighbours k",
    "keep": "share kept",
    "labelled": "known labels",
    "ours": "first method",
    "per_class": "mean per class",
    "radius": "radius (pixels: 0 to 1)",
    "ramp": "ramp (share)",
    "rare": "rare samples",
    "reach": "reach (radii)",
    "smooth": "smoothing (samples)",
    "theirs": "second method",
    "variant": "squared logits",
    "warm_up": "warm-up (epochs)",
    "width": "width (units)",
    "wrong": "wrong labels (share)",
}


def label(name: str, knob: Knob) -> str:
    """What a reader calls a knob."""
    return knob.label or LABELS.get(name) or name.replace("_", " ")


def control(name: str, knob: Knob) -> widgets.Widget:
    """The widget of one knob: a check box for yes or no, a drop-down for choices, otherwise a slider over its range."""
    common: dict[str, Any] = dict(description=described(name, knob), description_allow_html=True)
    if isinstance(knob.default, bool):
        return widgets.Checkbox(value=knob.default, indent=False, **common)
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


def described(name: str, knob: Knob, idle: str = "") -> str:
    """Label and help of a knob, or why it does nothing, in HTML."""
    help = f"<i>Does nothing here: {html.escape(idle)}</i>" if idle else html.escape(knob.help)
    return f"<b>{html.escape(label(name, knob))}</b> {help}"


def spoken(value: Any) -> str:
    """A knob's value as the slider shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
