"""Pairs of runs, what pairing is worth, what a search adds, and who is ahead where (lecture 10)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ... import figures
from ...figures.canvas import new_page
from ...figures.marks import legend_above
from ...figures.schematics import ACCENT, COMMON, INK, LINE, RARE, WIDTH, arrow, box, caption
from ...figures.words import describe
from ...study import Mean, Study, mean_over_seeds
from .search import balancing, favourite, rule, unaided

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = {  # how a method is drawn: colour, marker
    "balances groups": (1, 1),
    "needs the attribute": (3, 3),
    "needs no group label": (0, 0),
    "plain training": (6, 6),
}


def kind(name: str) -> str:
    if name in balancing():
        return "balances groups"
    if name == "plain":
        return "plain training"
    return "needs no group label" if name in unaided() else "needs the attribute"


class Kept(Study):
    """A study of which only the test accuracies are known, from rows of table T10.2 of one place."""

    def value(self, name: str, seed: int, metric: str = "") -> float:
        return next(row["value"] for row in self.records if (row["method"], row["seed"]) == (name, seed))


def kept(table: pd.DataFrame, data: str = "four groups") -> Kept:
    rows = table[table["data"] == data]
    names, seeds = (list(dict.fromkeys(rows[each])) for each in ("method", "seed"))
    return Kept(names, {}, seeds, rows.to_dict("records"))


def correlation(values: Mapping[str, Sequence[float]]) -> float:
    """Of two methods over seeds: Pearson's."""
    return float(torch.corrcoef(torch.tensor(list(values.values()), dtype=torch.float64))[0, 1])


def single_runs(values: Mapping[str, Sequence[float]]) -> str:
    """Who is better by how much in each pair of runs, a line for each seed, and the correlation of the two methods."""
    (one, ours), (other, theirs) = values.items()
    lines = [
        f"student {i}: {one if a > b else other} is better, by {abs(a - b):.2f}"
        for i, (a, b) in enumerate(zip(ours, theirs), 1)
    ]
    return "\n".join([*lines, f"correlation of the two over seeds: {correlation(values):.2f}"])


def half_widths(values: Mapping[str, Sequence[float]], level: float = 0.95) -> tuple[float, float]:
    """Half of the interval of the mean difference of two methods: paired by seed, and as if unpaired (pooled t)."""
    from scipy.special import stdtrit

    one, other = (torch.tensor(each, dtype=torch.float64) for each in values.values())
    n, wanted = len(one), (1 + level) / 2
    if n < 2:
        return math.inf, math.inf
    paired, spread = float((one - other).std()), math.hypot(float(one.std()), float(other.std()))
    return float(stdtrit(n - 1, wanted)) * paired / math.sqrt(n), float(
        stdtrit(2 * n - 2, wanted)
    ) * spread / math.sqrt(n)


def duel(values: Mapping[str, Sequence[float]], gain: Mean, y: str = "test, worst group") -> Figure:
    """Two methods, name -> one number per seed, joined by seed; and the second one's lead with its interval, paired and
    as if unpaired."""
    figure, axes = figures.new_figure(9.0, 3.4, 1, 2, width_ratios=(3, 4))
    theirs, ours = values
    for pair in zip(*values.values()):
        axes[0].plot([0, 1], pair, color=figures.PALETTE[6], marker="o", alpha=0.6)
    axes[0].set(xticks=[0, 1], xticklabels=[theirs, ours], xlim=(-0.3, 1.3), ylim=(0, 1), ylabel=y)
    paired, unpaired = gain.high - gain.value, half_widths(values, gain.level)[1]
    for i, half in enumerate((paired, unpaired)):
        style = dict(color=figures.PALETTE[i], marker=figures.MARKERS[i], markersize=8, capsize=5)
        axes[1].errorbar([gain.value], [-i], xerr=[half] if half < math.inf else None, **style)
    axes[1].axvline(0, color="black", linewidth=1)
    axes[1].set(yticks=[0, -1], yticklabels=["paired\nby seed", "as if\nunpaired"], ylim=(-1.6, 0.6))
    axes[1].set_xlabel(f"{ours} minus {theirs},\n{100 * gain.level:.3g} % interval")
    pairs = ", ".join(f"{a:.2f} and {b:.2f}" for a, b in zip(*values.values()))
    describe(
        axes[0],
        f"""Left: {theirs} and {ours}, joined by seed: {pairs}. Right: the mean difference is {gain.value:.2f}, plus or
        minus {paired:.2f} where seeds are paired and {unpaired:.2f} where they are not.""",
    )
    return figure


def pairing(table: pd.DataFrame) -> Figure:
    """For all pairs of methods with four groups: the width of the paired interval, relative to that of the unpaired
    one, over their correlation over seeds."""
    runs = kept(table)
    points = []
    for names in itertools.combinations(runs.names, 2):
        values = {name: [runs.value(name, seed) for seed in runs.seeds] for name in names}
        if all(max(each) > min(each) for each in values.values()):
            paired, unpaired = half_widths(values)
            points.append((correlation(values), paired / unpaired))
    figure, axis = figures.new_figure(6.4, 3.6)
    xs, ys = zip(*points)
    axis.plot(xs, ys, color=figures.PALETTE[1], marker="o", linestyle="none", alpha=0.6)
    axis.axhline(1, color="black", linewidth=1)
    axis.axvline(0, color="black", linewidth=1, linestyle=":")
    axis.set(xlabel="correlation of the two methods over seeds", ylabel="paired / unpaired width", xlim=(-1, 1))
    axis.set_ylim(0, None)
    narrower = sum(y < 1 for y in ys)
    describe(
        axis,
        f"""{len(points)} pairs of methods, a dot each. To the right, where both find the same seeds easy, paired
        intervals are narrower than unpaired ones; {narrower} of the dots lie below one.""",
    )
    return figure


def by_seeds(table: pd.DataFrame, ours: str, theirs: str) -> Figure:
    """The lead of one method over another after two seeds, three, and so on: where it is the only comparison, and where
    it is one of many."""
    runs = kept(table)
    leads = [runs.value(ours, seed) - runs.value(theirs, seed) for seed in runs.seeds]
    counts, others = range(2, len(leads) + 1), len(runs.names) - 1
    figure, axes = figures.new_figure(9.0, 3.4, 1, 2, sharey=True)
    for axis, m, name in (axes[0], 1, "alone"), (axes[1], others, f"one of {others}"):
        means = [mean_over_seeds(leads[:n], level=1 - 0.05 / m) for n in counts]
        shaded = {name: ([each.low for each in means], [each.high for each in means])}
        lines = {name: (counts, [each.value for each in means])}
        figures.curves(lines, x="seeds", y=f"{ours} minus {theirs}", bands=shaded, axis=axis, ylim=(-0.4, 0.6))
        axis.axhline(0, color="black", linewidth=1)
        axis.locator_params("x", integer=True)
    return figure


def searched(table: pd.DataFrame, data: str = "four groups", epochs: int = 30) -> Figure:
    """What validation says of each method's defaults, and of its best setting: a line for each."""
    chosen_by = rule(data)
    rows = table[(table["data"] == data) & (table["epochs"] == epochs)]
    rows = rows[rows["chosen_by"] == chosen_by].sort_values("score", ascending=False)
    figure, axis = figures.new_figure(8.0, 1.4 + 0.36 * len(rows))
    for i, row in enumerate(rows.itertuples()):
        color = figures.PALETTE[KINDS[kind(row.method)][0]]
        axis.plot([row.untried, row.score], [-i, -i], color=color, linewidth=2)
        first, last = ({}, {}) if i else (dict(label="defaults"), dict(label="best of the trials"))
        axis.plot([row.untried], [-i], marker="o", color=color, markerfacecolor="white", linestyle="none", **first)
        axis.plot([row.score], [-i], marker="o", color=color, linestyle="none", **last)
        axis.text(1.02, -i, f"rate {row.lr:g}, {_setting(row)}", fontsize=10, va="center")
    axis.set(yticks=[-i for i in range(len(rows))], yticklabels=rows["method"].tolist(), xlim=(0, 1))
    axis.set_xlabel(f"validation, {chosen_by}; at the right the best learning rate and setting")
    legend_above(axis)
    said = "; ".join(f"{row.method} from {row.untried:.2f} to {row.score:.2f}" for row in rows.itertuples())
    describe(axis, f"From the defaults to the best of the trials on validation: {said}.")
    return figure


def favourites(table: pd.DataFrame) -> pd.DataFrame:
    """Of table T10.1: in each place, whom validation likes best without group labels, and of those that balance."""
    import pandas as pd

    rows = [
        [*at, *(favourite(each.to_dict("records"), names) for names in (unaided(), balancing()))]
        for at, each in table.groupby(["data", "epochs", "chosen_by"], sort=False)
    ]
    return pd.DataFrame(rows, columns=["data", "epochs", "chosen by", "without group labels", "balancing"])


def _setting(row: Any) -> str:
    return f"weight decay {row.weight_decay:g}" if row.weight_decay else row.setting.replace("_", " ")


def leads(table: pd.DataFrame) -> Figure:
    """Each method's difference to plain training on test, with intervals that hold all at once: a column for each
    place, the methods in the order of the first."""
    places = list(dict.fromkeys(table["data"]))
    found = {place: kept(table, place).differences("plain").set_index("method") for place in places}
    order = found[places[0]]["difference"].sort_values(ascending=False).index.tolist()
    figure, axes = figures.new_figure(9.0, 1.6 + 0.36 * len(order), 1, len(places), sharey=True, sharex=True)
    told = []
    for axis, data in zip(axes, places):
        rows = found[data]
        for i, name in enumerate(order):
            if name in rows.index:
                color, marker = KINDS[kind(name)]
                row = rows.loc[name]
                ends = [[row["difference"] - max(row["low"], -1)], [min(row["high"], 1) - row["difference"]]]
                style: dict[str, Any] = dict(color=figures.PALETTE[color], marker=figures.MARKERS[marker], capsize=3)
                axis.errorbar([row["difference"]], [-i], xerr=ends, linestyle="none", **style)
        axis.axvline(0, color="black", linewidth=1)
        axis.set_title(data.replace(", ", "\n"), fontsize=12)
        axis.set(yticks=[-i for i in range(len(order))], yticklabels=order)
        told.append(f"{data}: " + ", ".join(f"{n} {rows.loc[n, 'difference']:+.2f}" for n in rows.index))
    axes[len(places) // 2].set_xlabel("test accuracy minus plain training's")
    handles = [
        axes[0].plot([], [], color=figures.PALETTE[c], marker=figures.MARKERS[m], linestyle="none", label=name)[0]
        for name, (c, m) in list(KINDS.items())[:3]
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=11, frameon=False)
    describe(axes[0], f"Differences to plain training, with intervals. {'; '.join(told)}.")
    return figure


def ranked(table: pd.DataFrame, data: str = "four groups") -> pd.DataFrame:
    """Data frame: each method's mean, its difference to plain training with the interval that holds for all at once,
    and the first and last rank that it may have."""
    import pandas as pd

    runs = kept(table, data)
    frame = runs.differences("plain").set_index("method").drop(columns="level")
    ranks = runs.ranks()
    rows = []
    for name in runs.names:
        mean = sum(runs.value(name, seed) for seed in runs.seeds) / len(runs.seeds)
        more = frame.loc[name].to_dict() if name in frame.index else {}
        rows.append(dict(method=name, mean=mean, **more, ranks="{} to {}".format(*ranks[name])))
    columns = ["method", "mean", "difference", "low", "high", "ranks"]
    table = pd.DataFrame(rows, columns=columns).sort_values("mean", ascending=False).set_index("method")
    return table.round(3).astype(object).fillna("")


MARKS = {"plain": (COMMON, "o"), "A": (RARE, "s"), "B": (ACCENT, "^")}


def schematic() -> Figure:
    """The same search for all, other seeds for the test, differences seed by seed, and their interval."""
    axis = new_page(WIDTH, 3.4)
    parts = (
        (1.75, "1. search, alike for all", "equally many settings; validation\nchooses one, on seeds of its own"),
        (4.5, "2. test, other seeds", "one seed, one line: the same\ndata, start and order for all"),
        (6.85, "3. differences", "intervals, the wider,\nthe more methods there are"),
    )
    for x, name, said in parts:
        caption(axis, x, 0.22, name, fontweight="bold", color=INK, fontsize=12)
        caption(axis, x, 2.6, said)
    _search(axis)
    _test(axis)
    _differences(axis)
    last = "Nothing of the test is seen before the settings stand."
    caption(axis, 0.1, 3.15, last, ha="left", color=INK, fontsize=12)
    describe(
        axis,
        """Three steps. First, plain training and the methods A and B are tried in equally many settings, and
        validation chooses one of them, on seeds of its own. Second, the chosen ones are tested on other seeds; on each
        seed all have the same data, start and order of samples. Third, the differences to plain training have an
        interval each: that of A lies above zero, so A is ahead; that of B contains zero, so B is not told apart from
        plain training.""",
    )
    return axis.figure  # type: ignore[return-value]  # new_page made no part of one


def _search(axis: Axes) -> None:
    for i, (name, best) in enumerate(zip(MARKS, (1, 3, 0))):
        y = 0.75 + 0.6 * i
        caption(axis, 0.1, y, name, ha="left", color=INK, fontsize=12)
        for j in range(4):
            box(axis, 0.8 + 0.52 * j, y - 0.17, 0.4, 0.34, color=ACCENT if j == best else LINE, strong=j == best)
        arrow(axis, (2.9, y), (3.45, y))


def _test(axis: Axes) -> None:
    heights = ((2.0, 1.75, 2.1, 1.85, 1.95), (1.35, 1.15, 1.5, 1.2, 1.4), (1.9, 1.45, 2.2, 1.95, 1.6))
    for s in range(5):
        x = 3.75 + 0.36 * s
        axis.plot([x, x], [0.95, 2.2], color=LINE, linewidth=0.8)
        for (color, marker), each in zip(MARKS.values(), heights):
            axis.plot([x], [each[s]], marker, color=color, markersize=8)
    for x, (name, (color, marker)) in zip((3.7, 4.45, 4.85), MARKS.items()):
        axis.plot([x], [0.62], marker, color=color, markersize=8)
        caption(axis, x + 0.12, 0.62, name, ha="left")


def _differences(axis: Axes) -> None:
    axis.plot([6.3, 6.3], [0.6, 2.15], color=INK, linewidth=1)
    caption(axis, 6.3, 2.25, "0", color=INK)
    for y, name, ends, said in (
        (0.95, "A", (6.65, 7.25), "ahead of plain"),
        (1.65, "B", (6.05, 6.75), "not told apart"),
    ):
        color, marker = MARKS[name]
        axis.plot(ends, [y, y], color=color, linewidth=2)
        axis.plot([sum(ends) / 2], [y], marker, color=color, markersize=8)
        caption(axis, 6.9, y + 0.28, said)
