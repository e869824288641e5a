"""The course's pictures: one palette, groups told apart by marker and line style too, alt text, a takeaway.

Every function returns a matplotlib figure; `picture` shows it in a notebook so that nobody is left out: with an
alternative text for those who cannot see it and one line that says what to take away.
"""

from __future__ import annotations

import base64
import html
import io
import textwrap
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from .checks import grouped, shown, whole
from .data import GroupedData
from .evaluation import GroupReport, predict

# Okabe and Ito (2008), without yellow, which is too light for lines on white.
PALETTE = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
STYLE = {
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 80,
}


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, *, layout: str = "constrained", **options):
    """A figure and its axes in the course's style, known to nobody else: pyplot neither keeps nor shows it.

    layout "none" leaves the margins as they are, which halves the time to draw."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout=layout)
        FigureCanvasAgg(figure)
        return figure, figure.subplots(rows, columns, **options)


def _given(name: str, things) -> None:
    """ValueError where there is nothing to draw."""
    if not hasattr(things, "__len__") or not len(things):
        raise ValueError(f"{name}: {shown(things)} with nothing to draw; give at least one")


def png(figure) -> bytes:
    """The figure as a PNG that is the same for the same figure: no date, no version inside."""
    import matplotlib as mpl

    if not hasattr(figure, "savefig"):
        raise TypeError(f"figure is {shown(figure)}; what is drawn on axes that were given belongs to their figure")
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    return buffer.getvalue()


def _fewer_colors(image: bytes) -> bytes:
    """The same PNG at a third of the size, with 64 colours; for what is stored in a notebook."""
    from PIL import Image

    buffer = io.BytesIO()
    small = Image.open(io.BytesIO(image)).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def picture(figure, *, alt: str, takeaway: str) -> None:
    """Show a figure in a notebook with an alternative text and a takeaway below it."""
    from IPython.display import display

    data = base64.b64encode(_fewer_colors(png(figure))).decode()
    shown = (
        f'<figure style="margin:0"><img src="data:image/png;base64,{data}" alt="{html.escape(alt)}">'
        f"<figcaption><em>{html.escape(takeaway)}</em></figcaption></figure>"
    )
    # The PNG is for previews that show no HTML; text for those that show neither.
    bundle = {"text/html": shown, "image/png": data, "text/plain": f"[picture: {alt}] {takeaway}"}
    display(bundle, raw=True)


def sample_grid(data: GroupedData, *, each: int = 8, groups: Sequence[int] | None = None):
    """Images of each group, taken at even distances, one group per row, with the group's share of the data."""
    groups = list(range(grouped(data).n_groups)) if groups is None else list(groups)
    _given("groups", groups)
    for group in groups:
        whole("a group", group, 0, data.n_groups - 1)
    whole("each", each, 1)
    figure, axes = new_figure(1.0 + 0.62 * each + 2.3, 0.68 * len(groups), len(groups), 1, squeeze=False)
    for axis, group in zip(axes[:, 0], groups):
        rows = (data.groups == group).nonzero().flatten()
        rows = rows[torch.arange(0, len(rows), max(1, len(rows) // each))[:each]]
        images = data.batch(rows).inputs.cpu()
        strip = torch.cat(list(images), -1).permute(1, 2, 0) if len(rows) else torch.ones(28, 28, 3)
        axis.imshow(strip.expand(-1, -1, 3).numpy(), extent=(0, len(rows) or 1, 0, 1))
        axis.set(xticks=[], yticks=[], xlim=(0, each))
        axis.spines[:].set_visible(False)
        share = int(data.counts[group]) / len(data)
        label = f"{data.group_names[group]}\n{int(data.counts[group])} images ({share:.1%})"
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=11)
    return figure


def group_bars(reports: Mapping[str, GroupReport], *, title: str = "", axis=None):
    """Accuracy per group with its 95 % interval, one colour and hatch per report."""
    _given("reports", reports)
    figure = None
    if axis is None:
        count = len(next(iter(reports.values())).n)
        figure, axis = new_figure(max(5.0, 1.5 * count * max(1, 0.4 * len(reports))), 3.4)
    width = 0.8 / len(reports)
    for i, (name, report) in enumerate(reports.items()):
        present = [(g, share) for g, share in enumerate(report.groups) if share]
        at = [g + (i - (len(reports) - 1) / 2) * width for g, _ in present]
        value = [share.value for _, share in present]
        error = [[s.value - s.low for _, s in present], [s.high - s.value for _, s in present]]
        style = dict(color=PALETTE[i % 7], hatch=("", "//", "..", "xx", "\\\\", "oo", "++")[i % 7], edgecolor="white")
        axis.bar(at, value, width, yerr=error, label=name, ecolor="black", capsize=3, **style)
    names = [name.replace(", ", "\n") for name in next(iter(reports.values())).group_names]
    axis.set(xticks=range(len(names)), xticklabels=names, ylim=(0, 1.02), ylabel="test accuracy", title=title)
    if len(reports) > 1:
        _legend_above(axis)
    return figure


def study_bars(study, metrics: Sequence[str] = ("worst_group", "group_balanced", "train_weighted")):
    """For each method of a `study.Study` and each average: one dot per seed, and the mean with its 95 % interval."""
    _given("study", getattr(study, "names", study))
    _given("metrics", metrics)
    figure, axis = new_figure(7.2, 1.4 + 0.22 * len(study.names) * len(metrics))
    for i, name in enumerate(study.names):
        for j, metric in enumerate(metrics):
            at = -(i + (j - (len(metrics) - 1) / 2) * 0.26)
            try:
                mean = study.mean(name, metric)
            except ValueError:  # an average that the test set cannot tell
                continue
            values = [study.value(name, seed, metric) for seed in study.seeds]
            axis.plot(values, [at] * len(values), ".", color=PALETTE[j], alpha=0.5)
            error = [[mean.value - mean.low], [mean.high - mean.value]] if mean.n > 1 else None
            label = metric.replace("_", " ") if i == 0 else None
            style = dict(color=PALETTE[j], marker=MARKERS[j], markersize=8, capsize=4, linestyle="none")
            axis.errorbar([mean.value], [at], xerr=error, label=label, **style)
    labels = [_name(name) for name in study.names]
    axis.set(yticks=[-i for i in range(len(labels))], yticklabels=labels, xlabel="test accuracy", xlim=(0, 1))
    _legend_above(axis)
    return figure


def differences(found, *, axis=None):
    """The methods of a `comparison.Comparison`, best first: the difference of each to the baseline with its interval,
    and the ranks that it may have; colour and marker say which labels it needs in training."""
    _given("found", getattr(found, "chosen", found))
    figure = None
    table = found.table.sort_values(found.metric, ascending=False)
    names = [_name(name) for name in table["method"]]
    if axis is None:
        figure, axis = new_figure(7.2, 1.5 + 0.33 * sum(1 + name.count("\n") for name in names))
    axis.axvline(0, color="black", linewidth=1)
    needs = list(dict.fromkeys(["nothing", "group labels", "attribute labels", *table["needs"]]))
    shown = set()
    for i, row in enumerate(table.itertuples()):
        value, kind = (0.0, 6) if row.method == found.baseline else (row.difference, needs.index(row.needs))
        low, high = max(row.low, -1), min(row.high, 1)  # no difference of two accuracies is larger
        error = [[value - low], [high - value]] if len(found.study.seeds) > 1 and kind < 6 else None
        label = f"needs {row.needs}" if kind < 6 and row.needs not in shown else None
        shown |= {row.needs} if kind < 6 else set()
        style = dict(color=PALETTE[kind], marker=MARKERS[kind], markersize=8, capsize=4, linestyle="none", label=label)
        axis.errorbar([value], [-i], xerr=error, **style)
        ranks = f"{row.first_rank}" if row.first_rank == row.last_rank else f"{row.first_rank} to {row.last_rank}"
        axis.text(1.03, -i, ranks, transform=axis.get_yaxis_transform(), va="center", fontsize=11)
    axis.text(1.03, 0, "rank", transform=axis.transAxes, va="top", fontsize=11)
    axis.set(yticks=[-i for i in range(len(table))], yticklabels=names, ylim=(-len(table) + 0.4, 0.6))
    baseline = names[list(table["method"]).index(found.baseline)]
    line = " " if len(baseline) < 15 else "\n"
    axis.set_xlabel(f"test accuracy, {found.metric.replace('_', ' ')}, minus that of{line}{baseline}")
    if shown:
        _legend_above(axis)
    return figure


def heat(values: Sequence[Sequence[float]], *, rows: Mapping[str, Sequence], columns: Mapping[str, Sequence], of: str):
    """A map of numbers from 0 to 1 with the numbers in it; `rows` and `columns` are a name and its values each."""
    for name, things in ("values", values), ("rows", rows), ("columns", columns):
        _given(name, things)
    (row_name, row_values), (column_name, column_values) = *rows.items(), *columns.items()
    figure, axis = new_figure(1.5 + 1.1 * len(column_values), 1.2 + 0.55 * len(row_values))
    shown = axis.imshow(values, vmin=0, vmax=1, cmap="cividis", aspect="auto")
    for i, line in enumerate(values):
        for j, value in enumerate(line):
            axis.text(j, i, f"{value:.2f}", ha="center", va="center", color="black" if value > 0.5 else "white")
    ticks = dict(xticks=range(len(column_values)), yticks=range(len(row_values)))
    axis.set(**ticks, xticklabels=column_values, yticklabels=row_values, xlabel=column_name, ylabel=row_name)
    figure.colorbar(shown, label=of)
    return figure


def new_samples(enlarged: GroupedData, n: int, wrong: torch.Tensor, *, axis=None):
    """Samples of a plane by label, the first n of them given and the others made; `wrong` marks made ones [m]."""
    grouped(enlarged, "enlarged")
    figure = None
    if axis is None:
        figure, axis = new_figure(4.0, 4.0)
    old, new = enlarged.inputs[:n].cpu(), enlarged.inputs[n:].cpu()
    for label, name in enumerate(enlarged.label_names):
        rows = enlarged.labels[:n].cpu() == label
        style = dict(
            color=(PALETTE[2], PALETTE[3])[label % 2], marker=MARKERS[label % 7], markersize=6, linestyle="none"
        )
        axis.plot(old[rows, 0], old[rows, 1], label=name, alpha=0.8, **style)
    for rows, name, marker in (~wrong.cpu(), "new", "+"), (wrong.cpu(), "new, among others", "x"):
        axis.plot(new[rows, 0], new[rows, 1], marker, color="black", markersize=7, label=name if rows.any() else None)
    axis.set(xlabel="first coordinate", ylabel="second coordinate")
    _legend_above(axis)
    return figure


def perturbations(rows: Mapping[str, tuple[torch.Tensor, torch.Tensor, str, str]]):
    """One row per name: an image [C, H, W] in [0, 1], what was added to it (grey is nothing) and the sum; the two texts
    say what a model makes of the image and of the sum."""
    _given("rows", rows)
    figure, axes = new_figure(7.4, 0.1 + 2.15 * len(rows), len(rows), 3, layout="none", squeeze=False)
    margins = 2.15 * len(rows) + 0.1
    figure.subplots_adjust(left=0.16, right=0.99, top=1 - 0.35 / margins, bottom=0.02, wspace=0.15, hspace=0.2)
    for line, (name, (image, moved, before, after)) in zip(axes, rows.items()):
        change = (moved - image).cpu()
        largest = float(change.abs().max()) or 1.0
        shown = image.cpu(), change / (2 * largest) + 0.5, moved.cpu()
        titles = before, f"change, at most {float(change.abs().max()):.2f}", after
        for axis, picture, title in zip(line, shown, titles):
            pixels = picture.clamp(0, 1).permute(1, 2, 0).expand(-1, -1, 3)
            axis.imshow(pixels.numpy(), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.set_title(title, fontsize=12)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=12)
    return figure


def embedding(features: Mapping[str, torch.Tensor], data: GroupedData, *, axes=None):
    """Features [N, d] of the samples of `data` in their first two principal components, one panel per name: a dot for a
    sample, told apart by attribute, and at the mean of each group the number of its label."""
    _given("features", features)
    grouped(data)
    figure = None
    if axes is None:
        figure, axes = new_figure(4.6 * len(features), 4.6, 1, len(features), squeeze=False)
        axes = axes[0]
    labels, attributes, groups = (each.cpu() for each in (data.labels, data.attributes, data.groups))
    for axis, (name, values) in zip(axes, features.items()):
        points = principal(values.cpu())
        for attribute, title in enumerate(data.attribute_names):
            rows = attributes == attribute
            style = dict(color=PALETTE[attribute % 7], marker=MARKERS[attribute % 7], linewidths=0)
            axis.scatter(*points[rows].T, s=9, alpha=0.5, label=title, **style)
        for group in groups.unique().tolist():
            place = points[groups == group].mean(0).tolist()
            attribute = group % data.n_attributes
            box = dict(boxstyle=("circle", "square")[attribute % 2] + ",pad=0.15", facecolor="white")
            box |= dict(edgecolor=PALETTE[attribute % 7], linewidth=1.8)
            number = data.label_names[group // data.n_attributes].split()[-1]
            axis.text(*place, number, ha="center", va="center", fontsize=10, bbox=box)
        axis.set(xlabel=f"first principal component ({name})", ylabel="second principal component")
        _legend_above(axis)
    return figure


def principal(values: torch.Tensor) -> torch.Tensor:
    """The first two principal components of [N, d], as [N, 2]; of either sign, the one with the longer tail above 0."""
    centered = (values - values.mean(0)).double()
    points = centered @ torch.linalg.eigh(centered.T @ centered).eigenvectors[:, -2:].flip(1)
    return points * points.pow(3).sum(0).sign()


def regions(models: Mapping[str, nn.Module], data: GroupedData, *, axes=None):
    """Where each model of a 2-D problem decides for which class, with the samples of `data` on top."""
    _given("models", models)
    grouped(data)
    figure = None
    if axes is None:
        figure, axes = new_figure(3.6 * len(models), 4.0, 1, len(models), squeeze=False, sharey=True)
        axes = axes[0]
    x, y = torch.meshgrid(torch.linspace(-2.6, 2.6, 80), torch.linspace(-2.8, 2.8, 80), indexing="xy")
    points = torch.stack([x.flatten(), y.flatten()], 1)
    zeros = torch.zeros(len(points), dtype=torch.int64)
    plane = GroupedData(points, zeros, zeros, data.label_names, data.attribute_names)
    for axis, (name, model) in zip(axes, models.items()):
        logits = predict(model, plane).cpu()
        margin = (logits[:, 1] - logits[:, 0]).view(x.shape)
        axis.contourf(x, y, margin, levels=[-1e9, 0, 1e9], colors=[PALETTE[2], PALETTE[3]], alpha=0.2)
        axis.contour(x, y, margin, levels=[0], colors="black", linewidths=2)
        for group in range(data.n_groups):
            rows = data.groups == group
            style = dict(color=(PALETTE[2], PALETTE[3])[group // data.n_attributes], marker=MARKERS[group])
            axis.scatter(*data.inputs[rows].T, s=22, label=data.group_names[group], linewidths=0, alpha=0.8, **style)
        axis.set(title=name, xlim=(-2.6, 2.6), ylim=(-2.8, 2.8), xlabel="first coordinate (shortcut)")
    axes[0].set_ylabel("second coordinate (core)")
    if figure is not None:
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=10, frameon=False
        )
    return figure


def bars(values: Mapping[str, Sequence[float]], *, places: Sequence[str], y: str, axis=None, **axes):
    """Numbers side by side: one bar per name at each of the `places`, one colour and hatch per name."""
    _given("values", values)
    _given("places", places)
    figure = None
    if axis is None:
        figure, axis = new_figure(1.5 + 0.6 * len(places) * len(values), 3.4)
    width = 0.8 / len(values)
    for i, (name, heights) in enumerate(values.items()):
        at = [place + (i - (len(values) - 1) / 2) * width for place in range(len(places))]
        style = dict(color=PALETTE[i % 7], hatch=("", "//", "..", "xx", "\\\\", "oo", "++")[i % 7], edgecolor="white")
        axis.bar(at, heights, width, label=name, **style)
    axis.set(xticks=range(len(places)), xticklabels=places, ylabel=y, **axes)
    _legend_above(axis)
    return figure


def evidence(images: torch.Tensor, maps: Mapping[str, torch.Tensor], *, rows: Sequence[str]):
    """Images [N, C, H, W] in [0, 1], one per row with its name, and maps name -> [N, h, w] beside them, from their
    lowest (dark) to their highest (light) value, with the outline of the image's brightest parts."""
    _given("images", images)
    figure, axes = new_figure(1.5 + 1.35 * (len(maps) + 1), 0.5 + 1.35 * len(images), len(images), len(maps) + 1)
    axes = [axes] if len(images) == 1 else axes
    for i, (image, line) in enumerate(zip(images.cpu(), axes)):
        height, width = image.shape[1:]
        line[0].imshow(image.permute(1, 2, 0).expand(-1, -1, 3).numpy(), extent=(0, width, height, 0))
        line[0].set_ylabel(rows[i], rotation=0, ha="right", va="center", fontsize=11)
        for axis, values in zip(line[1:], maps.values()):
            axis.imshow(values[i].cpu().numpy(), cmap="cividis", extent=(0, width, height, 0))
            ink = image.amax(0).numpy()
            x, y = ((torch.arange(side) + 0.5).numpy() for side in (width, height))
            axis.contour(x, y, ink, levels=[ink.max() / 2], colors="white", linewidths=1)
        for axis, name in zip(line, ["image", *maps]):
            axis.set(xticks=[], yticks=[], title=name if i == 0 else "")
            axis.title.set_fontsize(11)
    return figure


def bands(shares: Mapping[str, Sequence[float]], *, x: str, y: str, start: int = 1, axis=None):
    """What a whole is made of, step by step from `start`: one band per name, told apart by colour and hatch; at each
    step the shares of all names sum to 1."""
    _given("shares", shares)
    _given("the steps", next(iter(shares.values())))
    figure = None
    if axis is None:
        figure, axis = new_figure(6.0, 3.6)
    steps = range(start, start + len(next(iter(shares.values()))))
    areas = axis.stackplot(steps, list(shares.values()), labels=list(shares), edgecolor="white")
    for i, area in enumerate(areas):
        area.set(facecolor=PALETTE[i % 7], hatch=("", "//", "..", "xx", "\\\\", "oo", "++")[i % 7])
    axis.set(xlabel=x, ylabel=y, xlim=(steps[0], max(steps[-1], steps[0] + 1)), ylim=(0, 1))
    axis.xaxis.get_major_locator().set_params(integer=True)
    _legend_above(axis)
    return figure


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, x: str, y: str, bands=None, axis=None, **axes
):
    """Lines name -> (xs, ys), told apart by colour, marker and dash; `bands` name -> (low, high) shades an interval."""
    _given("lines", lines)
    figure = None
    if axis is None:
        figure, axis = new_figure(6.4, 3.4)
    for i, (name, (xs, ys)) in enumerate(lines.items()):
        style = dict(color=PALETTE[i % 7], linestyle=LINES[i % 7], marker=MARKERS[i % 7])
        axis.plot(xs, ys, label=name, markevery=max(1, len(xs) // 8), linewidth=2, **style)
        if bands and name in bands:
            axis.fill_between(xs, *bands[name], color=PALETTE[i % 7], alpha=0.15, linewidth=0)
    axis.set(xlabel=x, ylabel=y, **axes)
    _legend_above(axis)
    return figure


def _name(name: str) -> str:
    """A method's name, in lines of a fair length and without mathematics."""
    return textwrap.fill(name.replace(",", ", "), 36).replace("$", r"\$")


def _legend_above(axis) -> None:
    """Above the axes, where it hides nothing."""
    entries = len(axis.get_legend_handles_labels()[0])
    columns = 2 if entries == 4 else min(entries, 3)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns, fontsize=10, frameon=False)
