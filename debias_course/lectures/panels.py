"""The panel of a method: its own fields become widgets, and a picture follows them.

    panel(draw, LossReweighting(), aligned_share=Knob(0.95, low=0.5, high=1.0, help="..."))

`draw(method, **extra)` returns a matplotlib figure, `WIDTH` inches wide, and one sentence; a slow one also takes
`progress` (see `Progress`). It is a plain function: tests call it without a browser. `drawing` tells which knobs do
nothing at a setting. Picture, setting and sentence are the value of one HTML widget, so that they change together.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import inspect
import io
import re
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import ipywidgets as widgets

from .. import figures
from ..data import GroupedData
from ..evaluation import GroupReport
from ..figures import canvas
from ..methods import Knob, Method, knobs
from .controls import control, described, label, spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Called with (done, of), and where there is a picture so far with a function that draws it: figure and sentence.
Progress = Callable[..., None]
Draw = TypeVar("Draw", bound=Callable[..., tuple[Any, str]])

WIDTH = 6.2  # inches, or 546 pixels: beside its controls in a window of 1280 pixels, and below them in one of 1024
PIXELS = 88  # of the page for an inch, so that the smallest letters, of 10 points, are 12 pixels high
PAUSE = 0.3  # seconds between two pictures of one training, at least
# Labels stand above their widgets and may take several lines. The last child names the handles for screen readers, for
# which ipywidgets has no attribute: its picture cannot be loaded, and what it does then is the way to run a line.
STYLE = """<style>
.debias-panel {display: flex; flex-flow: row wrap; gap: 8px 20px; align-items: flex-start; overflow: visible}
.debias-panel-knobs {flex: 1 1 240px; display: grid; gap: 10px 20px; overflow: visible;
  grid-template-columns: repeat(auto-fill, minmax(230px, 1fr))}
.debias-panel-knobs > * {width: auto; height: auto; margin: 0; flex-flow: row wrap; align-content: start;
  overflow: visible}
.debias-panel-knobs select {height: 26px}
.debias-panel-knobs .widget-label, .debias-panel-knobs .widget-label-basic {width: 100%; height: auto; margin: 0;
  text-align: left; white-space: normal; overflow: visible; line-height: 1.35; font-size: 13px}
.debias-panel-knobs .slider-container {margin-left: 10px}
.debias-panel-right {flex: 1000 1 546px; overflow: visible}
.debias-panel-right > .widget-html {margin: 0; height: auto}
.debias-panel-right .widget-hprogress {height: 10px; margin: 0 0 4px}
.debias-panel-right .widget-html-content {line-height: 1.4; font-size: 13px}
.debias-panel-shown {transition: opacity 0.15s}
.debias-panel-old {opacity: 0.35; filter: grayscale(1)}
</style>"""
NAME_HANDLES = """<img hidden alt="" src="data:," onerror="const panel = this.closest('.debias-panel-knobs');
const name = tries => {for (const row of panel ? panel.querySelectorAll('.widget-slider') : []) for (const each of
row.querySelectorAll('.noUi-handle')) each.setAttribute('aria-label', row.querySelector('.widget-label b').textContent);
if (tries) setTimeout(name, 300, tries - 1)}; name(10)">"""


def drawing(
    idle: Callable[..., Mapping[str, str]] | None = None,
    stops: Mapping[str, Sequence[Any]] | None = None,
    **ranges: Knob,
) -> Callable[[Draw], Draw]:
    """For a drawing: `idle(method, **extra)` says which knobs do nothing at a setting, and why (an empty reason: the
    knob is not shown); `stops` are the values over which knobs move where there is no kernel (`grids`), () for all
    choices; `ranges` are of fields for which the method's own range is too wide here."""

    def told(draw: Draw) -> Draw:
        defaults = {name: each.default for name, each in inspect.signature(draw).parameters.items() if name != "method"}

        def of(method: Method, **extra: Any) -> Mapping[str, str]:
            return idle(method, **(defaults | extra)) if idle else {}

        vars(draw).update(idle=of, stops=stops or {}, ranges=ranges)
        return draw

    return told


class Panel(widgets.HBox):
    """Controls on the left, picture and sentence on the right.

    controls  the widgets by name: the method's fields first, then the extra knobs
    shown     HTML widget with the last setting, its picture and its sentence; dim while it is not the controls' setting
    note      HTML widget with what is wrong with the setting
    progress  bar that a slow drawing may move

    A slow drawing begins when the panel is displayed.
    """

    def __init__(self, draw: Callable[..., tuple[Any, str]], method: Method, **extra: Knob):
        self.draw, self.method, self.extra = draw, method, tuple(extra)
        self.slow = "progress" in inspect.signature(draw).parameters
        self.idle: Callable[..., Mapping[str, str]] = getattr(draw, "idle", None) or (lambda method, **extra: {})
        self.knobs = declared(draw, method, extra)
        self.controls = {name: control(name, knob) for name, knob in self.knobs.items()}
        self.shown, self.note = widgets.HTML(), widgets.HTML()
        self.shown.add_class("debias-panel-shown")
        self.progress = widgets.FloatProgress(min=0, max=1, layout={"width": "100%", "visibility": "hidden"})
        self.next, self.setting = 0.0, ""
        for each in self.controls.values():
            each.observe(self.update, names="value")
        if not self.slow:
            self.update()
        left = widgets.VBox([*self.controls.values(), widgets.HTML(NAME_HANDLES, layout={"display": "none"})])
        right = widgets.VBox([widgets.HTML(STYLE, layout={"display": "none"}), self.note, self.progress, self.shown])
        super().__init__([left.add_class("debias-panel-knobs"), right.add_class("debias-panel-right")])
        self.add_class("debias-panel")

    def update(self, _change: Any = None) -> None:
        """Draw the current setting; what the method refuses is explained above the last picture, which stays dim."""
        self.shown.add_class("debias-panel-old")
        self.note.value, self.next = "", monotonic() + PAUSE if self.shown.value else 0.0
        values = {name: each.value for name, each in self.controls.items()}
        extra = {name: values.pop(name) for name in self.extra}
        try:
            method = dataclasses.replace(self.method, **values)
            self.explain(self.idle(method, **extra))
            if self.slow:
                extra["progress"] = self.show_progress
            self.show(*self.draw(method, **extra))
        except (ValueError, FloatingPointError) as error:
            self.note.value = f'<div role="alert"><b>Not possible:</b> {html.escape(str(error))}</div>'
        self.progress.layout.visibility = "hidden"

    def explain(self, idle: Mapping[str, str]) -> None:
        """Grey the knobs that do nothing, with the reason, and note the setting of the others."""
        for name, each in self.controls.items():
            each.disabled = name in idle
            each.description = described(name, self.knobs[name], idle.get(name, ""))
            each.layout.display = "none" if idle.get(name) == "" else None
        values = {name: each.value for name, each in self.controls.items() if name not in idle}
        self.setting = in_words(self.knobs, values)

    def show(self, figure: Figure, sentence: str) -> None:
        """A picture with its setting and its sentence, no longer dim: all in one update of the page."""
        alt = f"{about(self.draw)} {self.setting}"
        with self.shown.hold_sync():
            self.shown.value = page(png(figure), figure.get_figwidth(), alt, self.setting, sentence)
            self.shown.remove_class("debias-panel-old")

    def show_progress(self, done: int, of: int, so_far: Callable[[], tuple[Any, str]] | None = None) -> None:
        """Move the bar, and draw what there is so far: the first picture of all at once, others every now and then, so
        that training goes on."""
        self.progress.value = done / of
        self.progress.layout.visibility = "visible"
        now = monotonic()
        if so_far is not None and now >= self.next:
            self.show(*so_far())
            self.next = monotonic() + max(PAUSE, 5 * (monotonic() - now))

    def _repr_mimebundle_(self, *args: Any, **options: Any) -> dict[str, Any]:
        """The widget, and for readers without a kernel the picture as it is now, in fewer colours."""
        bundle: dict[str, Any] = super()._repr_mimebundle_(*args, **options)
        if found := re.search(r"base64,([^\"]*)", self.shown.value):
            small = base64.b64encode(canvas._fewer_colors(base64.b64decode(found[1]))).decode()
            hint = "<p><small>Run this notebook to move the controls of the panel.</small></p>"
            bundle["text/html"] = self.shown.value.replace(found[1], small) + hint
        return bundle

    def _ipython_display_(self) -> None:
        from IPython.display import display

        shown = display(self._repr_mimebundle_(), raw=True, display_id=True)
        if not self.shown.value:
            self.update()
            shown.update(self._repr_mimebundle_(), raw=True)

    def __repr__(self) -> str:
        return f"Panel of {type(self.method).__name__}: {', '.join(self.controls)}"


def panel(draw: Callable[..., tuple[Any, str]], method: Method, **extra: Knob) -> Panel:
    """A panel of `method`'s fields and the `extra` knobs; see the module's text."""
    return Panel(draw, method, **extra)


def declared(draw: Callable[..., Any], method: Method, extra: Mapping[str, Knob]) -> dict[str, Knob]:
    """The knobs of a panel by name, at its first setting: the method's fields, and then the extra ones."""
    fields = knobs(method) | getattr(draw, "ranges", {})
    return {n: dataclasses.replace(each, default=getattr(method, n)) for n, each in fields.items()} | dict(extra)


def in_words(knobs: Mapping[str, Knob], values: Mapping[str, Any]) -> str:
    """A setting as a reader reads it."""
    return " · ".join(f"{label(name, knobs[name])} {spoken(value)}" for name, value in values.items())


def about(draw: Callable[..., Any]) -> str:
    """What a drawing shows: the first sentence of its text."""
    return " ".join((inspect.getdoc(draw) or "").replace("`", "").split()).split(". ")[0].removesuffix(".") + "."


def png(figure: Figure) -> bytes:
    """With two pixels for one of the page, which sharp screens show."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context(canvas.STYLE):
        figure.savefig(buffer, format="png", dpi=2 * PIXELS, metadata={"Software": None})
    return buffer.getvalue()


def page(image: bytes, inches: float, alt: str, setting: str, sentence: str) -> str:
    """Picture, setting and sentence in HTML that also stands alone; white behind the picture, for dark pages."""
    data, width = base64.b64encode(image).decode(), round(inches * PIXELS)
    style = "max-width:100%;background:#fff;border-radius:6px"
    return (
        f'<figure style="margin:0"><figcaption style="font-size:12px">Setting: {html.escape(setting)}</figcaption>'
        f'<img src="data:image/png;base64,{data}" width="{width}" style="{style}" alt="{html.escape(alt)}">'
        f"<figcaption><em>{html.escape(sentence)}</em></figcaption></figure>"
    )


def before_training(progress: Progress | None, data: GroupedData, of: int) -> None:
    """Show `progress` some of the images that are going to be trained on, of the largest groups."""
    groups = sorted(data.counts.topk(min(4, data.n_groups)).indices.tolist())
    if progress:
        sentence = "Some of the training images. Nothing is trained yet."
        progress(0, of, lambda: (figures.sample_grid(data, each=4, groups=groups), sentence))


def while_training(
    progress: Progress | None, figure: Callable[[], Any], data: GroupedData, epochs: int
) -> Callable[[int, int], None]:
    """For `train`: shows `progress` what is trained on, and after every epoch but the last the figure so far."""
    before_training(progress, data, epochs)

    def told(done: int, of: int) -> None:
        so_far = lambda: (figure(), f"Still training: this is after {done} of {of} epochs.")  # noqa: E731
        if progress:
            progress(done, of, so_far if done < of else None)

    return told


def one_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend above a figure with a constrained layout, in place of the axes' own, which say the same."""
    entries = axes[0].get_legend_handles_labels()
    for axis in axes:
        if (legend := axis.get_legend()) is not None:
            legend.remove()
    figure.legend(*entries, loc="outside upper center", ncols=4, fontsize=10, frameon=False, columnspacing=1.2)


def worst(name: str, report: GroupReport) -> str:
    """The sentence of one report."""
    return f"{name}: group-balanced {report.group_balanced.value:.2f}, worst group {report.worst_group.value:.2f}"
