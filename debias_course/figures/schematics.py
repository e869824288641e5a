"""Where a method intervenes, in one hand for all lectures: the pipeline of training, and a look into one of its stages.

Everything is drawn on axes in inches from the top left corner of the picture, eight inches wide."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .canvas import PALETTE, new_page
from .words import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("data", "batch", "model", "loss", "update")
WIDTH = 8.0
INK, QUIET, LINE = "#222222", "#555555", "#888888"
COMMON, RARE, ACCENT = PALETTE[1], PALETTE[0], PALETTE[2]
Glyph = Callable[["Axes", float], None]  # draws what a method does, 1.3 inches high from there; its docstring says it


def schematic(where: str | Sequence[str], *, how: str, title: str = "", glyph: Glyph | None = None) -> Figure:
    """The pipeline data → batch → model → loss → update, with the stage (or stages side by side) where a method
    intervenes in colour, and below it how, in a sentence or two; `glyph` draws the mechanism under it."""
    stages = [where] if isinstance(where, str) else list(where)
    if not stages or not set(stages) <= set(STAGES):
        raise ValueError(f"where is {where!r}; use one or more of {', '.join(STAGES)}")
    lines = textwrap.wrap(how, 86)
    top = 0.45 + 0.4 * bool(title)
    below = top + 0.95
    bottom = below + 0.2 + 0.26 * len(lines) + 1.4 * bool(glyph)
    axis = new_page(WIDTH, bottom + 0.1)
    axis.text(0.1, 0.25, title, fontsize=13, fontweight="bold", color=INK, va="center")
    places = [STAGES.index(stage) for stage in stages]
    left, right = _place(min(places)), _place(max(places)) + 1.16
    corners = [(left, top + 0.5), (right, top + 0.5), (WIDTH - 0.1, below + 0.1), (0.1, below + 0.1)]
    axis.fill(*zip(*corners), color=ACCENT, alpha=0.08, linewidth=0)
    box(axis, 0.1, below, WIDTH - 0.2, bottom - below, color=ACCENT)
    _pipeline(axis, top, stages)
    for i, line in enumerate(lines):
        axis.text(0.3, below + 0.27 + 0.26 * i, line, fontsize=12, va="center", color=INK)
    if glyph:
        _key(axis, 0.25)
        glyph(axis, below + 0.2 + 0.26 * len(lines))
    at, drawn = " and the ".join(stages), (glyph and glyph.__doc__) or ""
    said = f"{title}. The stages of training are {', '.join(STAGES)}. This one changes the {at}. {how} {drawn}"
    describe(axis, said.lstrip(". "))
    return axis.figure  # type: ignore[return-value]  # new_page made no part of one


def _place(stage: int) -> float:
    """The left end of a stage's box, which is 1.16 wide."""
    return 0.1 + 1.66 * stage


def _pipeline(axis: Axes, top: float, stages: Sequence[str]) -> None:
    for i, stage in enumerate(STAGES):
        chosen = stage in stages
        box(axis, _place(i), top, 1.16, 0.5, stage, color=ACCENT if chosen else LINE, strong=chosen)
        if i:
            arrow(axis, (_place(i) - 0.47, top + 0.25), (_place(i) - 0.03, top + 0.25))
    start, end, height = _place(4) + 0.58, _place(2) + 0.58, top - 0.25
    axis.plot([start, start, end], [top - 0.02, height, height], color=LINE, linewidth=1.2)
    arrow(axis, (end, height), (end, top - 0.02))
    style: dict[str, Any] = dict(ha="center", va="center", color=QUIET, backgroundcolor="white")
    axis.text(_place(3) + 0.58, height, "new parameters", fontsize=11, **style)


def box(
    axis: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    text: str = "",
    *,
    color: str = LINE,
    strong: bool = False,
) -> None:
    """A box with rounded corners and its top left corner at (x, y); a strong one has a tint of its colour."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import FancyBboxPatch

    face = [1 - 0.2 * (1 - part) for part in to_rgb(color)] if strong else "white"
    shape: dict[str, Any] = dict(boxstyle="round,pad=0,rounding_size=0.08", facecolor=face, edgecolor=color)
    axis.add_patch(FancyBboxPatch((x, y), width, height, linewidth=2 if strong else 1.2, **shape))
    weight = "bold" if strong else "normal"
    style: dict[str, Any] = dict(ha="center", va="center", fontsize=12, color=INK)
    axis.text(x + width / 2, y + height / 2, text, fontweight=weight, **style)


def arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], **look: Any) -> None:
    """An arrow, grey and thin unless `look` says otherwise."""
    style = dict(arrowstyle="-|>", mutation_scale=12, color=LINE, linewidth=1.2, shrinkA=0, shrinkB=0) | look
    axis.annotate("", xy=end, xytext=start, arrowprops=style)


def samples(axis: Axes, xs: Sequence[float], y: float, *, rare: bool = False, faint: bool = False) -> None:
    """Samples in a row: blue dots for a common group, orange squares for a rare one; faint ones are outlines."""
    color, marker = (RARE, "s") if rare else (COMMON, "o")
    look: dict[str, Any] = dict(marker=marker, markersize=9, linestyle="none", markeredgecolor=color, color=color)
    if faint:
        look |= dict(markerfacecolor="white", markeredgewidth=1.2, alpha=0.55)
    axis.plot(xs, [y] * len(xs), **look)


def _key(axis: Axes, y: float) -> None:
    """What the marks of the samples mean, at the right end of the line that holds the title."""
    for x, name, rare in (5.5, "common group", False), (6.95, "rare group", True):
        samples(axis, [x], y, rare=rare)
        axis.text(x + 0.12, y, name, fontsize=11, va="center", color=QUIET)


def _caption(axis: Axes, x: float, y: float, text: str, **look: Any) -> None:
    style: dict[str, Any] = dict(ha="center", va="center", fontsize=11, color=QUIET)
    axis.text(x, y, text, **(style | look))


def weights_schematic() -> Figure:
    """Lecture 01: the rarer its group, the more the loss of a sample counts."""

    def glyph(axis: Axes, top: float) -> None:
        """Six common samples and two rare ones: their weights are 6 to 2 in all, and then 6 · 2/3 = 4 to 2 · 2 = 4."""
        base = top + 0.88
        for left, common, rare, name in (0.6, 1.0, 1.0, "plain: 6 to 2 in all"), (4.5, 2 / 3, 2.0, "weighted: 4 to 4"):
            xs = [left + 0.36 * i for i in range(8)]
            heights = [-0.36 * each for each in [common] * 6 + [rare] * 2]
            axis.bar(xs, heights, 0.24, bottom=base - 0.12, color=[COMMON] * 6 + [RARE] * 2, alpha=0.45)
            samples(axis, xs[:6], base)
            samples(axis, xs[6:], base, rare=True)
            _caption(axis, left + 1.26, base + 0.27, name)
        arrow(axis, (3.5, base - 0.2), (4.1, base - 0.2))

    how = "Multiply the loss of each sample by a weight (the bars): the rarer the group, the larger."
    return schematic("loss", how=how, title="Loss re-weighting", glyph=glyph)


def sampling_schematic() -> Figure:
    """Lecture 02: three ways of evening out who is seen, an epoch or a batch at a time."""

    def glyph(axis: Axes, top: float) -> None:
        """Of six common samples and two rare ones, over-sampling shows the same two rare ones three times, while
        under-sampling leaves four common ones out, and batch sampling gives each group two seats in every batch."""
        common, rare = top + 0.49, top + 0.81
        for middle, name, caption in (
            (1.4, "over-sampling", "the same two, three times"),
            (4.0, "under-sampling", "four of six left out"),
            (6.6, "batch sampling", "two seats each, every time"),
        ):
            _caption(axis, middle, top + 0.16, name, fontweight="bold", color=INK, fontsize=12)
            _caption(axis, middle, top + 1.17, caption)
        samples(axis, [0.5 + 0.36 * i for i in range(6)], common)
        for copy in range(3):
            box(axis, 0.48 + 0.68 * copy, rare - 0.14, 0.5, 0.28)
            samples(axis, [0.62 + 0.68 * copy, 0.85 + 0.68 * copy], rare, rare=True)
        xs = [3.1 + 0.36 * i for i in range(6)]
        samples(axis, xs[:2], common)
        samples(axis, xs[2:], common, faint=True)
        samples(axis, xs[:2], rare, rare=True)
        for left in (5.5, 6.29, 7.08):
            box(axis, left, top + 0.31, 0.62, 0.68)
            samples(axis, [left + 0.18, left + 0.44], common)
            samples(axis, [left + 0.18, left + 0.44], rare, rare=True)

    how = "Change who is seen, and how often: when an epoch is put together, or in every batch."
    return schematic(("data", "batch"), how=how, title="Sampling", glyph=glyph)


def shortcut_schematic(aligned: float = 0.95) -> Figure:
    """Lecture 00: label and colour both make the image, and the network takes the colour's way back; `aligned` is the
    share of training images in which the two agree."""
    axis = new_page(WIDTH, 3.5)
    for x, name in (0.75, "in the world"), (3.0, "image"), (5.2, "network"), (7.175, "answer"):
        _caption(axis, x, 0.2, name)
    box(axis, 0.1, 0.45, 1.3, 0.5, "label: high")
    box(axis, 0.1, 1.75, 1.3, 0.5, "colour: blue", color=ACCENT, strong=True)
    arrow(axis, (0.4, 0.98), (0.4, 1.72), arrowstyle="<|-|>", linestyle=(0, (4, 2)), shrinkA=0)
    axis.text(0.55, 1.35, f"agree in {aligned:.0%} of\ntraining images", fontsize=11, va="center", color=QUIET)
    arrow(axis, (1.45, 0.7), (2.55, 1.15))
    arrow(axis, (1.45, 2.0), (2.55, 1.55), color=ACCENT, linewidth=3, mutation_scale=18)
    _caption(axis, 2.1, 0.75, "shape")
    _caption(axis, 2.1, 1.97, "paint")
    _digit(axis, 3.0, 1.35, COMMON)
    box(axis, 4.1, 0.45, 2.2, 1.8)
    arrow(axis, (3.45, 1.15), (6.6, 1.15), linestyle=(0, (4, 2)))
    arrow(axis, (3.45, 1.6), (6.6, 1.6), color=ACCENT, linewidth=3, mutation_scale=18)
    _caption(axis, 5.2, 0.95, "read the shape: hard")
    _caption(axis, 5.2, 1.82, "see the colour: easy", color=INK, fontweight="bold")
    box(axis, 6.65, 1.1, 1.05, 0.55, "high ✓")
    box(axis, 0.1, 2.55, WIDTH - 0.2, 0.85, color=RARE)
    _digit(axis, 0.65, 2.975, RARE, side=0.6)
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


def _digit(axis: Axes, x: float, y: float, color: str, *, side: float = 0.8) -> None:
    """A painted seven on black, with its middle at (x, y)."""
    from matplotlib.patches import Rectangle

    axis.add_patch(Rectangle((x - side / 2, y - side / 2), side, side, color="black"))
    _caption(axis, x, y, "7", color=color, fontweight="bold", fontsize=46 * side, va="center_baseline")


def smote_schematic() -> Figure:
    """Lecture 04: what fills up a rare population, where its samples are or on the way between neighbours."""

    def glyph(axis: Axes, top: float) -> None:
        """Three rare samples with a common one beside them. Copies lie where the three are; random points lie anywhere
        on the way between two neighbours; averages lie half-way. The common sample is ignored."""
        places = [(-0.7, 0.78), (0.1, 0.44), (0.75, 0.86)]
        for middle, name, caption, shares in (
            (1.4, "copies", "u = 0: the same three places", ()),
            (4.0, "random points", "u between 0 and 1", (0.2, 0.35, 0.55, 0.7, 0.85)),
            (6.6, "averages", "u = ½", (0.5,)),
        ):
            _caption(axis, middle, top + 0.16, name, fontweight="bold", color=INK, fontsize=12)
            _caption(axis, middle, top + 1.17, caption)
            points = [(middle + x, top + y) for x, y in places]
            samples(axis, [middle - 0.05], top + 0.86)
            for (x, y), (to_x, to_y) in (points[:2], points[1:]) if shares else ():
                axis.plot([x, to_x], [y, to_y], color=LINE, linewidth=1, zorder=1)
                for u in shares:
                    cross = x + u * (to_x - x), y + u * (to_y - y)
                    axis.plot(*cross, "+", color=INK, markersize=8, markeredgewidth=1.6)
            for x, y in points:
                samples(axis, [x], y, rare=True)
                if not shares:
                    axis.plot([x], [y], "+", color=INK, markersize=8, markeredgewidth=1.6)

    how = "Fill up the rare population with new samples (crosses): on the way from one of its samples to a neighbour."
    return schematic("data", how=how, title="SMOTE", glyph=glyph)


def decoupling_schematic() -> Figure:
    """Lecture 06: plain training leaves sure samples alone, and the penalty draws all to one margin."""

    def glyph(axis: Axes, top: float) -> None:
        """Left, plain training: six common samples lie far right on a line of margins and hardly move, two rare ones
        lie left and are pulled to the right. Right, with the penalty: all are pulled to one point in the middle, the
        common ones from the right and the rare ones from the left."""
        line = top + 0.75
        for left, name in (0.5, "plain: the sure ones rest"), (4.5, "penalty: one margin for all"):
            _caption(axis, left + 1.5, top + 0.16, name, fontweight="bold", color=INK, fontsize=12)
            arrow(axis, (left, line + 0.2), (left + 3.0, line + 0.2))
            _caption(axis, left + 1.5, top + 1.17, "margin: how sure")
            common, rare = [left + 1.55 + 0.25 * i for i in range(6)], [left + 0.15, left + 0.45]
            samples(axis, common, line)
            samples(axis, rare, line, rare=True)
            pull: dict[str, Any] = dict(color=ACCENT, linewidth=2)
            for x in rare:
                arrow(axis, (x, line - 0.2), (x + 0.26, line - 0.2), **pull)
            if left > 1:
                axis.plot([left + 1.25] * 2, [line - 0.35, line + 0.25], color=ACCENT, linewidth=2, linestyle=":")
                for i, x in enumerate(common):
                    arrow(axis, (x, line - 0.2), (x - 0.1 - 0.02 * i, line - 0.2), **(pull | dict(mutation_scale=9)))

    how = "Add λ/2 times the squared margin of each sample to the loss: too sure a sample is pulled back."
    return schematic("loss", how=how, title="Spectral decoupling", glyph=glyph)


def mining_schematic() -> Figure:
    """Lecture 03: all are scored, and the hardest are learned from."""

    def glyph(axis: Axes, top: float) -> None:
        """Of eight samples, six common ones and two rare ones, the three with the highest losses are kept: both rare
        ones, and a common one, which may have a wrong label."""
        base, losses = top + 0.88, (0.06, 0.3, 0.1, 0.05, 0.12, 0.08, 0.5, 0.4)
        for left, kept, name in (0.6, range(8), "1. score all N"), (4.5, (1, 6, 7), "2. learn from the B highest"):
            for i, loss in enumerate(losses):
                x, rare = left + 0.36 * i, i >= 6
                chosen = i in kept
                axis.bar([x], [-loss], 0.24, bottom=base - 0.12, color=RARE if rare else COMMON, alpha=0.45 * chosen)
                samples(axis, [x], base, rare=rare, faint=not chosen)
            _caption(axis, left + 1.26, base + 0.27, name)
        arrow(axis, (3.5, base - 0.2), (4.1, base - 0.2))

    how = "Look at the loss of every sample (the bars), and learn from the highest only."
    return schematic("loss", how=how, title="Hard example mining", glyph=glyph)


def group_dro_schematic() -> Figure:
    """Lecture 05: after every batch, the weights of the groups with the higher losses grow."""

    def glyph(axis: Axes, top: float) -> None:
        """Three groups with a weight of a third each and mean losses 0.5, 1 and 2: at a step size of 1, their weights
        become 0.14, 0.23 and 0.63. The new weights multiply the losses of this batch, and the next one starts with
        them."""
        base, losses = top + 0.8, (0.5, 1.0, 2.0)
        raised = [math.exp(each) for each in losses]
        after = [each / sum(raised) for each in raised]
        for left, heights, name in (
            (0.75, [0.9 * each for each in (1 / 3, 1 / 3, 1 / 3)], "weights q"),
            (3.4, [0.28 * each for each in losses], "losses of this batch"),
            (6.05, [0.9 * each for each in after], "new weights"),
        ):
            xs = [left + 0.45 * i for i in range(3)]
            axis.bar(
                xs, [-each for each in heights], 0.28, bottom=base - 0.12, color=[COMMON, COMMON, RARE], alpha=0.45
            )
            samples(axis, xs[:2], base)
            samples(axis, xs[2:], base, rare=True)
            _caption(axis, left + 0.45, base + 0.26, name)
        _caption(axis, 2.5, base - 0.22, "×", fontsize=16, color=INK)
        _caption(axis, 2.5, base + 0.02, "exp(η · loss)")
        arrow(axis, (4.75, base - 0.1), (5.65, base - 0.1))
        _caption(axis, 5.2, base - 0.25, "divide by sum")

    how = "Each group's mean loss counts with a weight. After every batch, the weights of groups with high losses grow."
    return schematic("loss", how=how, title="Group DRO", glyph=glyph)


def occam_schematic() -> Figure:
    """Lecture 07: an exit after each stage, and gates that weigh the samples of the next exit."""

    def glyph(axis: Axes, top: float) -> None:
        """Three stages of a network in a row, with an exit below each. Exit 0 takes the map of its stage, but sends no
        gradient back. Between the exits stand two gates, 0 and 1: how shut a gate is becomes the weight of a sample in
        the next exit. An answer leaves exit 1 and exit 2; exit 0 never answers."""
        for i in range(3):
            left = 0.45 + 2.5 * i
            box(axis, left, top + 0.05, 1.3, 0.36, f"stage {i}")
            box(axis, left, top + 0.72, 1.3, 0.36, f"exit {i}", color=ACCENT, strong=bool(i))
            arrow(axis, (left + 0.65, top + 0.43), (left + 0.65, top + 0.7))
            if i == 0:
                _caption(axis, left + 1.2, top + 0.57, "no gradient")
                _caption(axis, left + 0.65, top + 1.22, "never answers")
            else:
                arrow(axis, (left - 1.18, top + 0.23), (left - 0.02, top + 0.23))
                arrow(axis, (left - 1.18, top + 0.9), (left - 0.02, top + 0.9), color=ACCENT, linewidth=2)
                _caption(axis, left - 0.6, top + 0.74, f"gate {i - 1}")
                _caption(
                    axis, left + 0.65, top + 1.22, "answers, if its gate is open" if i == 1 else "answers the rest"
                )

    how = "An exit after each stage answers. Its gate tells whether it is right; the next exit learns the rest."
    return schematic(("model", "loss"), how=how, title="OccamNets", glyph=glyph)


def adversarial_schematic() -> Figure:
    """Lecture 08: one step to a corner of the square, several steps that come back into it, and what is learned."""

    def glyph(axis: Axes, top: float) -> None:
        """A sample in the middle of a square, the points that an attack may reach. FGSM takes one step to a corner. PGD
        starts from a random point and takes several steps; one leads out of the square, and is drawn back to its edge.
        Training then moves the boundary between two classes from inside the square to outside of it."""
        square: dict[str, Any] = dict(color=COMMON, linewidth=1.4)
        names = ("FGSM: one step", "PGD: k steps, and back", "learn from the moved one")
        for middle, name in zip((1.4, 4.0, 6.6), names):
            _caption(axis, middle, top + 0.16, name, fontweight="bold", color=INK, fontsize=12)
            xs, ys = [middle + 0.4 * x for x in (-1, 1, 1, -1, -1)], [top + 0.78 + 0.4 * y for y in (-1, -1, 1, 1, -1)]
            axis.plot(xs, ys, linestyle="--", **square)
            samples(axis, [middle], top + 0.78)
        step: dict[str, Any] = dict(color=ACCENT, linewidth=2, mutation_scale=11)
        arrow(axis, (1.4, top + 0.78), (1.8, top + 0.38), **step)
        path = [(3.75, 0.98), (3.98, 1.06), (4.25, 0.9), (4.72, 0.7), (4.4, 0.7), (4.4, 0.4)]
        path = [(x, top + y) for x, y in path]
        for i in (0, 1, 2, 4):
            arrow(axis, path[i], path[i + 1], **step)
        arrow(axis, path[3], path[4], **(step | dict(linestyle=":")))
        axis.plot(*path[0], "x", color=ACCENT, markersize=7, markeredgewidth=2)
        for x, color, line in (6.74, LINE, ":"), (7.24, INK, "-"):
            axis.plot([x - 0.1, x + 0.1], [top + 1.2, top + 0.34], color=color, linestyle=line, linewidth=2)
        axis.plot([7.0], [top + 0.38], "o", color=COMMON, markersize=9)
        _caption(axis, 6.6, top + 1.3, "before")
        _caption(axis, 7.25, top + 1.3, "after")

    how = "Before each step, move every image as far up the loss as a small change can, and train on what comes out."
    return schematic("batch", how=how, title="Adversarial training", glyph=glyph)


def dann_schematic() -> Figure:
    """Lecture 09: two heads on the same features, and the layer that turns one gradient round."""
    axis = new_page(WIDTH, 3.1)
    for x, name in (0.6, "image"), (2.3, "features"), (5.75, "two readers"), (7.35, "losses, added"):
        _caption(axis, x, 0.2, name)
    _digit(axis, 0.6, 1.45, COMMON)
    box(axis, 1.6, 1.05, 1.4, 0.8, "f", strong=True)
    box(axis, 4.9, 0.55, 1.7, 0.55, "head: which digit?")
    box(axis, 4.9, 1.85, 1.7, 0.55, "discriminator", color=RARE)
    _caption(axis, 5.75, 2.58, "which domain?")
    box(axis, 3.6, 1.8, 0.75, 0.65, "R", color=ACCENT, strong=True)
    for y, name in (0.82, "L_y"), (2.12, "L_d"):
        axis.text(7.35, y, f"${name}$", fontsize=14, ha="center", va="center", color=INK)
        arrow(axis, (6.65, y - 0.1), (7.05, y - 0.1))
        arrow(axis, (7.05, y + 0.1), (6.65, y + 0.1), color=COMMON, linewidth=2)
    arrow(axis, (1.05, 1.45), (1.55, 1.45))
    arrow(axis, (3.05, 1.2), (4.85, 0.72))
    arrow(axis, (4.85, 0.95), (3.05, 1.43), color=COMMON, linewidth=2)
    arrow(axis, (3.05, 1.55), (3.55, 1.9))
    arrow(axis, (4.4, 2.02), (4.85, 2.02))
    arrow(axis, (4.85, 2.24), (4.4, 2.24), color=COMMON, linewidth=2)
    arrow(axis, (3.55, 2.25), (3.0, 1.9), color=PALETTE[5], linewidth=2.5, linestyle=(0, (4, 2)))
    _caption(axis, 2.85, 2.3, "× (-λ)", color=PALETTE[5], fontsize=13, fontweight="bold")
    _caption(axis, 0.1, 2.9, "grey: forward     blue: gradient     dashed: gradient, turned round", ha="left")
    describe(
        axis,
        """An image becomes features. Two readers look at them: the head says which digit it is, and the discriminator
        which domain the image is from. Their losses are added. The gradient of the head's loss goes back to the
        features as it is; that of the discriminator's loss reaches the discriminator as it is, and is multiplied by
        minus lambda in the layer R before it reaches the features.""",
    )
    return axis.figure  # type: ignore[return-value]  # new_page made no part of one


def fair_schematic() -> Figure:
    """Lecture 10: the same search for all, other seeds for the test, differences seed by seed, and their interval."""
    axis = new_page(WIDTH, 3.4)
    names = ("1. search, alike for all", "2. test, other seeds", "3. differences")
    for x, name in zip((1.75, 4.5, 6.85), names):
        _caption(axis, x, 0.22, name, fontweight="bold", color=INK, fontsize=12)
    rows, chosen = ("plain", "A", "B"), (1, 3, 0)
    for i, (name, best) in enumerate(zip(rows, chosen)):
        y = 0.75 + 0.6 * i
        _caption(axis, 0.1, y, name, ha="left", color=INK, fontsize=12)
        for j in range(4):
            box(axis, 0.8 + 0.52 * j, y - 0.17, 0.4, 0.34, color=ACCENT if j == best else LINE, strong=j == best)
        arrow(axis, (2.9, y), (3.45, y))
    _caption(axis, 1.75, 2.6, "equally many settings; validation\nchooses one, on seeds of its own")
    marks = {"plain": (COMMON, "o"), "A": (RARE, "s"), "B": (ACCENT, "^")}
    heights = {
        "plain": (2.0, 1.75, 2.1, 1.85, 1.95),
        "A": (1.35, 1.15, 1.5, 1.2, 1.4),
        "B": (1.9, 1.45, 2.2, 1.95, 1.6),
    }
    for s in range(5):
        x = 3.75 + 0.36 * s
        axis.plot([x, x], [0.95, 2.2], color=LINE, linewidth=0.8)
        for name, (color, marker) in marks.items():
            axis.plot([x], [heights[name][s]], marker, color=color, markersize=8)
    for x, (name, (color, marker)) in zip((3.7, 4.45, 4.85), marks.items()):
        axis.plot([x], [0.62], marker, color=color, markersize=8)
        _caption(axis, x + 0.12, 0.62, name, ha="left")
    _caption(axis, 4.5, 2.6, "one seed, one line: the same\ndata, start and order for all")
    axis.plot([6.3, 6.3], [0.6, 2.15], color=INK, linewidth=1)
    for y, name, low, high, said in (
        (0.95, "A", 6.65, 7.25, "ahead of plain"),
        (1.65, "B", 6.05, 6.75, "not told apart"),
    ):
        color, marker = marks[name]
        axis.plot([low, high], [y, y], color=color, linewidth=2)
        axis.plot([(low + high) / 2], [y], marker, color=color, markersize=8)
        _caption(axis, 6.9, y + 0.28, said)
    _caption(axis, 6.85, 2.6, "intervals, the wider,\nthe more methods there are")
    _caption(axis, 6.3, 2.25, "0", color=INK)
    _caption(
        axis, 0.1, 3.15, "Nothing of the test is seen before the settings stand.", ha="left", color=INK, fontsize=12
    )
    describe(
        axis,
        """Three steps. First, plain training and the methods A and B are tried in equally many settings, and
        validation chooses one of them, on seeds of its own. Second, the chosen ones are tested on other seeds; on each
        seed all have the same data, start and order of samples. Third, the differences to plain training have an
        interval each: that of A lies above zero, so A is ahead; that of B contains zero, so B is not told apart from
        plain training.""",
    )
    return axis.figure  # type: ignore[return-value]  # new_page made no part of one


def choosing_schematic() -> Figure:
    """Lecture 10: what to try first, by what is known; the leaves name the claims that they rest on."""
    axis = new_page(WIDTH, 5.3)
    _caption(axis, 0.1, 0.2, "Always: the worst group, over several seeds, beside searched plain training.", ha="left")
    questions = {
        "what is\nrare?": (0.1, 2.0),
        "groups known\nin training?": (1.75, 2.75),
        "how\nmany?": (3.55, 1.75),
        "known in\nvalidation?": (3.55, 3.85),
    }
    for text, (x, y) in questions.items():
        box(axis, x, y, 1.2, 0.62, text, color=COMMON)
    ways = (
        ("classes", (0.7, 2.0), (5.25, 0.85), (2.5, 1.28)),
        ("groups", (1.3, 2.4), (1.73, 2.95), (1.25, 2.78)),
        ("yes", (2.95, 2.9), (3.53, 2.15), (3.0, 2.4)),
        ("no", (2.95, 3.2), (3.53, 4.05), (3.05, 3.8)),
        ("few", (4.75, 1.95), (5.25, 1.85), (5.0, 1.72)),
        ("many", (4.75, 2.2), (5.25, 2.75), (4.85, 2.65)),
        ("yes", (4.75, 4.05), (5.25, 3.75), (4.95, 3.72)),
        ("no", (4.75, 4.3), (5.25, 4.7), (4.9, 4.65)),
    )
    for text, start, end, at in ways:
        arrow(axis, start, end)
        _caption(axis, *at, text)
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
        _caption(axis, 6.6, y + 0.25, text, color=INK)
        _caption(axis, 6.6, y + 0.52, claims)
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
