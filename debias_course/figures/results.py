"""Pictures of results: a report by group, a study by seed, a comparison by difference and rank."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..evaluation import GroupReport
from .canvas import HATCHES, MARKERS, PALETTE, given, legend_above, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..comparison import Comparison
    from ..study import Study


def group_bars(reports: Mapping[str, GroupReport], *, title: str = "", axis: Axes | None = None) -> Figure | None:
    """Accuracy per group with its 95 % interval, one colour and hatch per report."""
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
    if len(reports) > 1:
        legend_above(axis)
    return figure


def study_bars(study: Study, metrics: Sequence[str] = ("worst_group", "group_balanced", "train_weighted")) -> Figure:
    """For each method of a `study.Study` and each average: one dot per seed, and the mean with its 95 % interval."""
    given("study", getattr(study, "names", study))
    given("metrics", metrics)
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
            style: dict[str, Any] = dict(color=PALETTE[j], marker=MARKERS[j], markersize=8, capsize=4, linestyle="none")
            axis.errorbar([mean.value], [at], xerr=error, label=label, **style)
    labels = [_name(name) for name in study.names]
    axis.set(yticks=[-i for i in range(len(labels))], yticklabels=labels, xlabel="test accuracy", xlim=(0, 1))
    legend_above(axis)
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
        axis.text(1.03, -i, ranks, transform=axis.get_yaxis_transform(), va="center", fontsize=11)
    axis.text(1.03, 0, "rank", transform=axis.transAxes, va="top", fontsize=11)
    axis.set(yticks=[-i for i in range(len(table))], yticklabels=names, ylim=(-len(table) + 0.4, 0.6))
    baseline = names[list(table["method"]).index(found.baseline)]
    line = " " if len(baseline) < 15 else "\n"
    axis.set_xlabel(f"test accuracy, {found.metric.replace('_', ' ')}, minus that of{line}{baseline}")
    if shown:
        legend_above(axis)
    return figure


def _name(name: str) -> str:
    """A method's name, in lines of a fair length and without mathematics."""
    return textwrap.fill(name.replace(",", ", "), 36).replace("$", r"\$")
