"""Noise and attacks, paths in a square, one digit at three radii, and accuracies by group (lecture 08)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ... import figures
from ...data import GroupedData, toys
from ...figures.schematics import ACCENT, COMMON, INK, LINE, arrow, caption, samples
from ...figures.words import describe
from ...methods import ERM
from ...methods.adversarial_training import robust_evaluate
from ...methods.attacks import ascent, attack, input_gradient, project, random_point
from ..spectral_decoupling.panel import fit_moons

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def noise_and_attack(
    model: nn.Module, test: GroupedData, radii: Sequence[float] = (0.0, 0.025, 0.05, 0.1, 0.15)
) -> Figure:
    """Accuracy over the radius, of random changes and of those that ten steps of an attack find."""
    lines = {}
    for name, steps in ("random noise", 0), ("attack", 10):  # no step: a random point of the ball
        reports = [robust_evaluate(model, test, radius=radius, steps=steps) for radius in radii]
        lines[name] = (radii, [report.overall.value for report in reports])
    drawn = figures.curves(lines, x="radius: most that a pixel may change", y="test accuracy", ylim=(0, 1.02))
    assert drawn is not None  # no axes were given
    return drawn


def one_digit(
    model: nn.Module, test: GroupedData, radii: Sequence[float] = (0.02, 0.05, 0.1), digit: int = 7
) -> Figure:
    """The first test image of a digit, what an attack of ten steps adds at each radius, and what the network says."""
    sample = test.batch((test.labels == digit).nonzero()[0])
    rows: dict[str, tuple[Tensor, Tensor, str, str]] = {}
    for radius in radii:
        how: dict[str, Any] = dict(radius=radius, steps=10, random_start=False)
        moved = attack(model, sample.inputs, sample.labels, **how)
        before, after = says(model, torch.cat([sample.inputs, moved]))
        rows[f"radius\n{radius:g}"] = (sample.inputs[0], moved[0], before, after)
    return figures.perturbations(rows)


def says(model: nn.Module, images: Tensor) -> list[str]:
    """ "says 7 (98%)" for each image."""
    with torch.no_grad():
        shares = torch.softmax(model(images), 1).max(1)
    return [f"says {label} ({share:.0%})" for share, label in zip(shares.values.tolist(), shares.indices.tolist())]


def path(
    model: nn.Module, x: Tensor, label: Tensor, radius: float, steps: int, seed: int
) -> list[tuple[Tensor, Tensor]]:
    """Of an attack on one sample [1, 2]: where each step led, and where it was drawn back to; the start first."""
    draws = torch.Generator().manual_seed(seed)
    now = x + random_point(x, radius, "max", draws)
    found = [(now, now)]
    for _ in range(steps):
        gone = now + 2.5 * radius / steps * ascent(input_gradient(model, now, label), "max")
        now = project(gone, x, radius, "max", False)
        found.append((gone, now))
    return found


def square_and_path(radius: float = 0.3, steps: int = 5, row: int = 147) -> Figure:
    """A sample of the half circles of lecture 06, the loss of a trained network around it (dark is high), the square of
    the radius, and the paths of attacks in it: one step from the sample, and several from two random points. The sample
    of the `row` is one that a single step leaves on the right side, and several do not."""
    part = toys.moons(gap=-0.5).train
    model, sample = fit_moons(ERM(), -0.5), part.batch(torch.tensor([row]))
    x, label = sample.inputs, sample.labels
    figure, axes = figures.new_figure(8.6, 4.4, 1, 2, sharey=True)
    for axis, name in zip(axes, ("FGSM: one step", f"PGD: {steps} steps, two starts")):
        _landscape(axis, model, x, label, radius)
        axis.set(title=name, xlabel="first coordinate")
    axes[0].set_ylabel("second coordinate")
    end = x + radius * ascent(input_gradient(model, x, label), "max")
    _walk(axes[0], [(x, x), (end, end)], figures.PALETTE[0], "o")
    losses = [_loss(model, each, label) for each in (x, end)]
    for seed, color in (0, figures.PALETTE[0]), (2, figures.PALETTE[1]):
        walked = path(model, x, label, radius, steps, seed)
        _walk(axes[1], walked, color, "osD"[seed])
        losses.append(_loss(model, walked[-1][1], label))
    told = ("{:.2f} at the sample and {:.2f} after one step", "{:.2f} and {:.2f} at the ends of two paths")
    for axis, words, these in zip(axes, told, (losses[:2], losses[2:])):
        describe(axis, f"A square around a sample, on a map of the loss, which is {words.format(*these)}.")
    return figure


def _loss(model: nn.Module, points: Tensor, label: Tensor) -> float:
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(points), label))


def _landscape(axis: Axes, model: nn.Module, x: Tensor, label: Tensor, radius: float) -> None:
    """The loss of the label on a plane around x [1, 2], the boundary between the classes, and the square."""
    reach = torch.linspace(-1.7 * radius, 1.7 * radius, 60)
    across, up = torch.meshgrid(reach + x[0, 0], reach + x[0, 1], indexing="xy")
    points = torch.stack([across.flatten(), up.flatten()], 1)
    with torch.no_grad():
        losses = nn.functional.cross_entropy(model(points), label.expand(len(points)), reduction="none")
    losses = losses.view(across.shape)
    axis.contourf(across, up, losses, levels=12, cmap="Greys", alpha=0.6)
    axis.contour(across, up, losses, levels=[torch.tensor(2.0).log().item()], colors="black", linewidths=2)
    left, bottom = (x[0] - radius).tolist()
    corners = [(left, bottom), (left + 2 * radius, bottom), (left + 2 * radius, bottom + 2 * radius)]
    corners += [(left, bottom + 2 * radius), (left, bottom)]
    axis.plot(*zip(*corners), color="black", linestyle="--", linewidth=1.2)
    axis.plot(*x[0].tolist(), "k*", markersize=14)


def _walk(axis: Axes, steps: Sequence[tuple[Tensor, Tensor]], color: str, marker: str) -> None:
    """Each step where it led, and dotted where it was drawn back."""
    axis.plot(*steps[0][1][0].tolist(), marker, color=color, markersize=8)
    for (_, before), (gone, now) in zip(steps, steps[1:]):
        look: dict[str, Any] = dict(arrowstyle="-|>", color=color, linewidth=2, shrinkA=0, shrinkB=0, mutation_scale=13)
        start, end = (float(before[0, 0]), float(before[0, 1])), (float(gone[0, 0]), float(gone[0, 1]))
        axis.annotate("", xy=end, xytext=start, arrowprops=look)
        if not torch.equal(gone, now):
            axis.plot(*zip(gone[0].tolist(), now[0].tolist()), color=color, linestyle=":", linewidth=2)


def groups(table: pd.DataFrame, tested: Mapping[str, str]) -> Figure:
    """Bars of table T08.2: each training's accuracy by group, clean and under attack, with its interval."""
    figure, axes = figures.new_figure(10.0, 7.0, len(tested), 1)
    for axis, (part, name) in zip(axes, tested.items()):
        rows = table[table["tested"] == part]
        names = list(dict.fromkeys(rows["group"]))
        values = {n: each["value"].tolist() for n, each in rows.groupby("method", sort=False)}
        places = [name.replace(", ", "\n") for name in names]
        figures.bars(values, places=places, y=f"test accuracy, {name}", axis=axis, ylim=(0, 1.02))
    return figure


def schematic() -> Figure:
    """One step to a corner of the square, several steps that come back into it, and what is learned."""

    def glyph(axis: Axes, top: float) -> None:
        """A sample in the middle of a square, the points that an attack may reach. FGSM takes one step to a corner. PGD
        starts from a random point and takes several steps; one leads out of the square, and is drawn back to its edge.
        Training then moves the boundary between two classes from inside the square to outside of it."""
        square: dict[str, Any] = dict(color=COMMON, linewidth=1.4)
        names = ("FGSM: one step", "PGD: k steps, and back", "learn from the moved one")
        for middle, name in zip((1.4, 4.0, 6.6), names):
            caption(axis, middle, top + 0.16, name, fontweight="bold", color=INK, fontsize=12)
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
        caption(axis, 6.6, top + 1.3, "before")
        caption(axis, 7.25, top + 1.3, "after")

    how = "Before each step, move every image as far up the loss as a small change can, and train on what comes out."
    return figures.schematic("batch", how=how, title="Adversarial training", glyph=glyph)
