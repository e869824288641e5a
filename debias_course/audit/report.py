"""An audit to read: for whom the model fails, as text, as a picture, and as a page with tables beside it.

audit.html        the page, which needs nothing else
groups.csv        a row per group: samples, right answers, accuracy with its interval
gaps.csv          a row per measure and label: the gap with its interval, and between which attributes
calibration.csv   a row per attribute, where the predictions came with probabilities
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__, figures, pages
from ..cache import write_atomically
from ..figures.words import describe
from . import Audit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SHOWN = 12  # groups of a text or a picture: the worst
FILES = ("audit.html", "groups.csv", "gaps.csv", "calibration.csv")
INTERVALS = """Brackets are 95 % intervals. A gap is between the attributes with the highest and the lowest rate, and
its interval holds for all pairs of attributes at once; where it begins at 0, there may be no gap at all. The interval
of a group is its own: the worst of many looks worse than it is."""


def text(found: Audit, positive: str | None = None) -> str:
    """The worst groups, the averages, the largest gap of each measure, and the calibration, for a terminal."""
    groups, report = worst_groups(found), found.report
    more = len(report.n) - report.n.count(0) - len(groups)
    parts = [
        groups.to_string(index=False) + (f"\nand {more:,} groups that are better" if more else ""),
        f"overall {report.overall} | group-balanced {report.group_balanced}",
        largest(found.gaps(positive)).to_string(index=False),
    ]
    if found.confidence is not None:
        parts.append(calibration(found).to_string(index=False))
    return "\n\n".join([*parts, textwrap.fill(INTERVALS, 110)])


def bracketed(columns: pd.DataFrame, form: str = "{:.3f}") -> list[str]:
    """Three columns, value and ends, as "0.912 (0.88 to 0.94)"; nothing for what is not known."""
    short = form.replace("3f", "2f")
    said = []
    for value, low, high in columns.astype(float).itertuples(index=False):
        ends = f" ({short.format(low)} to {short.format(high)})" if low == low else ""
        said.append(form.format(value) + ends if value == value else "")
    return said


def worst_groups(found: Audit, most: int | None = SHOWN) -> pd.DataFrame:
    """Groups with samples, the worst first: group, n, accuracy."""
    frame = found.report.table()
    frame = frame[frame["n"] > 0].sort_values("accuracy", kind="stable")[:most]
    return frame[["group", "n"]].assign(accuracy=bracketed(frame[["accuracy", "low", "high"]]))


def largest(gaps: pd.DataFrame) -> pd.DataFrame:
    """Of each measure the label with the largest gap, to read."""
    first = gaps.sort_values("gap", ascending=False, kind="stable").drop_duplicates("measure").sort_index()
    return readable(first)


def readable(gaps: pd.DataFrame) -> pd.DataFrame:
    """Gaps with their interval in one column."""
    asked = {"selection rate": "demographic parity", "true positive rate": "equal opportunity"}
    named = [f"{each} ({asked[each]})" if each in asked else each for each in gaps["measure"]]
    shown = gaps[["measure", "label"]].assign(measure=named, gap=bracketed(gaps[["gap", "low", "high"]]))
    return shown.assign(highest=gaps["highest"], lowest=gaps["lowest"])


def calibration(found: Audit) -> pd.DataFrame:
    """Confidence and accuracy of each attribute, to read."""
    frame = found.calibration
    over = bracketed(frame[["over_confidence", "low", "high"]], "{:+.3f}")
    shown = frame[["attribute", "n", "confidence", "accuracy"]].round(3)
    return shown.assign(**{"confidence - accuracy": over, "calibration error": frame["ece"].round(3)})


def picture(found: Audit, positive: str | None = None) -> Figure:
    """Left the accuracy of the worst groups, right the largest gap of each measure, with their intervals."""
    table, gaps = found.report.table(), found.gaps(positive).dropna(subset="gap")
    groups = table[table["n"] > 0].sort_values("accuracy", kind="stable")[:SHOWN]
    gaps = gaps.sort_values("gap", ascending=False, kind="stable").drop_duplicates("measure").sort_index()
    named = [f"{m}: {y}" if y else m for m, y in zip(gaps["measure"], gaps["label"])]
    figure, axes = figures.new_figure(9.5, 1.3 + 0.34 * max(len(groups), len(gaps)), 1, 2)
    sides = (
        (groups["accuracy"], groups, groups["group"], "accuracy", "The worst groups"),
        (gaps["gap"], gaps, named, "highest minus lowest", "Gaps between attributes"),
    )
    for i, (axis, (values, ends, names, x, title)) in enumerate(zip(axes, sides)):
        down, up = (values - ends["low"]).astype(float), (ends["high"] - values).astype(float)
        style: dict[str, Any] = dict(color=figures.PALETTE[i], marker=figures.MARKERS[i], capsize=3, linestyle="none")
        axis.errorbar(values.astype(float), range(len(values)), xerr=[down, up], **style)
        wrapped = [textwrap.shorten(str(name), 36, placeholder=" ...") for name in names]
        axis.set(yticks=range(len(values)), yticklabels=wrapped, xlim=(-0.02, 1.02), xlabel=x, title=title)
        axis.invert_yaxis()
    said = [f"{g} {float(v):.2f}" for g, v in zip(groups["group"], groups["accuracy"])]
    between = [f"{name} {v:.2f}" for name, v in zip(named, gaps["gap"])]
    describe(axes[0], f"Accuracy of the worst groups: {'; '.join(said)}. Gaps: {'; '.join(between) or 'none known'}.")
    return figure


def page(found: Audit, configuration: Mapping[str, Any], positive: str | None = None) -> str:
    """The whole audit as one page."""
    figure = picture(found, positive)
    shown = pages.image(figures.png(figure), figures.alt_text(figure))
    note = f"<p>{pages.lines(INTERVALS)}</p>"
    sections = {
        "For whom it fails": shown + note,
        "Groups, the worst first": pages.table(worst_groups(found, None)),
        "Gaps": pages.table(readable(found.gaps(positive))),
    }
    if found.confidence is not None:
        sections["Calibration"] = pages.table(calibration(found))
    sections["What was audited"] = pages.facts({**configuration, "debias_course": __version__})
    return pages.page("Audit of predictions", sections)


def write(folder: Path, found: Audit, configuration: Mapping[str, Any], positive: str | None = None) -> list[Path]:
    """Write the files, each in one move; returns their paths. FileExistsError for a folder with something else in it,
    OSError where it cannot be written."""
    strange = [each for each in (folder.iterdir() if folder.is_dir() else ()) if each.name not in FILES]
    if strange:
        raise FileExistsError(f"{folder} has other files in it, such as {strange[0].name}; choose another folder")
    contents = {
        "groups.csv": pages.csv(found.report.table()),
        "gaps.csv": pages.csv(found.gaps(positive)),
        "audit.html": page(found, configuration, positive).encode(),
    }
    if found.confidence is not None:
        contents["calibration.csv"] = pages.csv(found.calibration)
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if name not in contents:
            (folder / name).unlink(missing_ok=True)  # of an audit with probabilities
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]
