"""Pictures of results: a report by group, a study by seed, a comparison by difference and rank."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..evaluation import GroupReport
from .canvas import HATCHES, MARKERS, PALETTE, SMALL, given, new_figure
from .charts import curves
from .marks import LEVEL, draw_levels, legend_above
from .words import describe, levels_in_words, listed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..comparison import Comparison
    from ..study import Study


def group_bars(
    reports: Mapping[str, GroupReport],
    *,
    title: str = "",
    levels: Mapping[str, float] | None = None,
    axis: Axes | None = None,
) -> Figure | None:
    """Accuracy per group with its 95 % interval, one colour and hatch per report, and thin lines at the `levels`."""
    given("reports", reports)
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
        style: dict[str, Any] = dict(color=PALETTE[i % 7], hatch=HATCHES[i % 7], edgecolor="white")
        axis.bar(at, value, width, yerr=error, label=name, ecolor="black", capsize=3, **style)
    names = [name.replace(", ", "\n") for name in next(iter(reports.values())).group_names]
    axis.set(xticks=range(len(names)), xticklabels=names, ylim=(0, 1.02), ylabel="test accuracy", title=title)
    draw_levels(axis, levels)
    if len(reports) > 1:
        legend_above(axis)
    said = [f"{name}: {listed(_accuracies(report))}" for name, report in reports.items()]
    describe(axis, f"Test accuracy per group. {'; '.join(said)}.{levels_in_words(levels)}")
    return figure


def _accuracies(report: GroupReport) -> dict[str, float]:
    return {name: share.value for name, share in zip(report.group_names, report.groups) if share}


def over_epochs(
    table: pd.DataFrame,
    *,
    levels: Mapping[str, float] | None = None,
    x: str = "epoch",
    y: str = "worst group",
    axis: Axes | None = None,
    log: bool = False,
    **axes: Any,
) -> Figure | None:
    """One line with its band per method of a table with the columns method, epoch, value, low and high (accuracies):
    what `study.Study.by_epoch` makes. `log` for many epochs, of which the first ones matter too."""
    given("table", table)
    lines, bands = {}, {}
    for name, rows in table.groupby("method", sort=False):
        rows = rows.sort_values("epoch").replace([math.inf, -math.inf], math.nan)  # of one seed there is no interval
        lines[name] = (rows["epoch"].tolist(), rows["value"].tolist())
        bands[name] = tuple(rows[end].clip(0, 1).tolist() for end in ("low", "high"))
    axes = dict(ylim=(0, 1.02), xscale="log" if log else "linear") | axes
    return curves(lines, bands=bands, levels=levels, x=x, y=y, axis=axis, **axes)


def study_bars(
    study: Study,
    metrics: Sequence[str] = ("worst_group", "group_balanced", "train_weighted"),
    *,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """For each method of a `study.Study` and each average: one dot per seed, and the mean with its 95 % interval; thin
    lines at the `levels`, with their names below."""
    given("study", getattr(study, "names", study))
    given("metrics", metrics)
    levels = levels or {}
    figure, axis = new_figure(7.2, 1.4 + 0.22 * (len(study.names) * len(metrics) + len(levels)))
    means: dict[str, dict[str, float]] = {metric: {} for metric in metrics}
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
            label = None if means[metric] else metric.replace("_", " ")
            style: dict[str, Any] = dict(color=PALETTE[j], marker=MARKERS[j], markersize=8, capsize=4, linestyle="none")
            axis.errorbar([mean.value], [at], xerr=error, label=label, **style)
            means[metric][name] = mean.value
    for i, (name, value) in enumerate(levels.items()):
        axis.axvline(value, **LEVEL)
        side: dict[str, Any] = dict(ha="left", xytext=(5, 0)) if value < 0.6 else dict(ha="right", xytext=(-5, 0))
        place = value, 0.35 - len(study.names) - 0.3 * (i + 1)
        axis.annotate(name, place, textcoords="offset points", va="center", fontsize=SMALL, **side)
    labels = [_name(name) for name in study.names]
    bottom = 0.4 - len(labels) - 0.3 * len(levels) - 0.2 * bool(levels)
    axis.set(yticks=[-i for i in range(len(labels))], yticklabels=labels, xlabel="test accuracy", xlim=(0, 1))
    axis.set_ylim(bottom, 0.6)
    legend_above(axis)
    said = "; ".join(f"{metric.replace('_', ' ')}: {listed(found)}" for metric, found in means.items() if found)
    describe(axis, f"Test accuracy, mean over {len(study.seeds)} seeds. {said}.{levels_in_words(levels)}")
    return figure


def differences(found: Comparison, *, axis: Axes | None = None) -> Figure | None:
    """The methods of a `comparison.Comparison`, best first: the difference of each to the baseline with its interval,
    and the ranks that it may have; colour and marker say which labels it needs in training."""
    given("found", getattr(found, "chosen", found))
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
        style: dict[str, Any] = dict(
            color=PALETTE[kind], marker=MARKERS[kind], markersize=8, capsize=4, linestyle="none", label=label
        )
        axis.errorbar([value], [-i], xerr=error, **style)
        ranks = f"{row.first_rank}" if row.first_rank == row.last_rank else f"{row.first_rank} to {row.last_rank}"
        axis.text(1.03, -i, ranks, transform=axis.get_yaxis_transform(), va="center", fontsize=SMALL)
    axis.text(1.03, 0, "rank", transform=axis.transAxes, va="top", fontsize=SMALL)
    axis.set(yticks=[-i for i in range(len(table))], yticklabels=names, ylim=(-len(table) + 0.4, 0.6))
    baseline = names[list(table["method"]).index(found.baseline)]
    line = " " if len(baseline) < 15 else "\n"
    axis.set_xlabel(f"test accuracy, {found.metric.replace('_', ' ')}, minus that of{line}{baseline}")
    if shown:
        legend_above(axis)
    gains = {row.method: row.difference for row in table.itertuples() if row.method != found.baseline}
    said = ", ".join(f"{name} {gain:+.2f}" for name, gain in gains.items()) or "there is no other method"
    describe(
        axis, f"Test accuracy, {found.metric.replace('_', ' ')}, minus that of {found.baseline}, best first: {said}."
    )
    return figure


def _name(name: str) -> str:
    """A method's name, in lines of a fair length and without mathematics."""
    return textwrap.fill(name.replace(",", ", "), 36).replace("$", r"\$")
