"""An audit to read: for whom the model fails, as text, as a picture, and as a page with tables beside it.

audit.html        the page, which needs nothing else
audit.json        what was audited: the folder is refused to another audit
groups.csv        a row per group: samples, right answers, accuracy with its interval
gaps.csv          a row per measure and label: the gap with its interval, and between which attributes
calibration.csv   a row per attribute, where the predictions came with probabilities
predictions.csv   what a model answered, a row per image, as `audit_predictions` reads it

Where several attributes were crossed, tables have rows for the combinations and for each attribute; their column `by`
says which.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping
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
FACTS, FILES = "audit.json", ("audit.html", "groups.csv", "gaps.csv", "calibration.csv")
ANSWERS = "predictions.csv"  # of a model
INTERVALS = """Brackets are 95 % intervals. A gap is between the attributes with the highest and the lowest rate, and
its interval holds for all pairs of attributes, and all labels, at once; where it begins at 0, there may be no gap at
all. Of many labels, the one whose gap is surest is shown. The interval of a group is its own: the worst of many looks
worse than it is."""
ALONE = "No attribute is known, or it is the same for all, so there are no gaps: add a column, such as place or sex."
MEASURES = {
    "accuracy": "how often the model is right",
    "selection rate": "how often it gives this label (demographic parity: as often to all)",
    "true positive rate": "of those with this label, how many get it (equal opportunity: as many of all)",
    "false positive rate": "of those with another label, how many get this one",
    "equalised odds": "the larger gap of the two before",
    "confidence - accuracy": "above 0, the model is surer than it is right",
    "calibration error": "how far confidence and accuracy lie apart, on average over samples that are as sure",
}


def text(found: Audit, positive: str | None = None) -> str:
    """The worst groups, the averages, the largest gap of each measure, and the calibration, for a terminal."""
    groups, report = worst_groups(found), found.report
    more = len(report.n) - report.n.count(0) - len(groups)
    gaps = found.gaps(positive)
    parts = [
        groups.to_string(index=False) + (f"\nand {more:,} more groups, none worse" if more else ""),
        lowest(found),
        averages(found),
        ALONE if gaps["gap"].isna().all() else largest(gaps).to_string(index=False),
    ]
    if found.confidence is not None:
        parts.append(calibration(found).to_string(index=False))
    for name, each in found.by_attribute().items():
        gaps = each.gaps(positive)
        alone = "It is the same for all, so there are no gaps."
        between = alone if gaps["gap"].isna().all() else largest(gaps).to_string(index=False)
        parts.append(f"by {name}:\n{worst_groups(each).to_string(index=False)}\n\n{between}")
    return "\n\n".join([*parts, textwrap.fill(intervals(found), 110)])


def intervals(found: Audit) -> str:
    """What the intervals hold for."""
    several = list(found.by_attribute())
    if not several:
        return INTERVALS
    return f"""{INTERVALS} There are {len(several) + 1} families of gaps: those of combinations, and those of each of
{", ".join(several)}. The intervals of one family hold at once with 95 %, and not those of all: the more families, the
likelier that one of them misses its gap. Every sample counts in each family, so they tell the same in part."""


def by_family(found: Audit, table: Callable[[Audit], pd.DataFrame]) -> pd.DataFrame:
    """The tables of combinations and of each attribute below each other, with a first column `by` that says which;
    where there is one attribute, its table."""
    import pandas as pd

    several = found.by_attribute()
    if not several:
        return table(found)
    families = {" & ".join(several): table(found), **{name: table(each) for name, each in several.items()}}
    return pd.concat(families, names=["by"]).reset_index("by").reset_index(drop=True)


def averages(found: Audit) -> str:
    """Accuracy on all samples, and as a mean over groups."""
    report = found.report
    return f"overall {report.overall} | group-balanced {report.group_balanced}"


def lowest(found: Audit) -> str:
    """For whom the model fails most, as a sentence."""
    report = found.report
    worst, rest = report.worst_group, report.overall
    if worst.value == rest.value:
        return f"It is right as often in all groups: in {worst.value:.1%} of the samples"
    name = report.group_names[report.worst]
    whole = f"and in {rest.value:.1%} of all {rest.n:,}"
    return f"It fails most for {name}: right in {worst.value:.1%} of {worst.n:,} samples, {whole}"


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
    """Of each measure the label whose gap is surely largest, to read."""
    return readable(surest(gaps))


def surest(gaps: pd.DataFrame) -> pd.DataFrame:
    """Of each measure the label whose gap has the largest lower end, or else the largest gap."""
    ordered = gaps.sort_values(["low", "gap"], ascending=False, kind="stable")
    return ordered.drop_duplicates("measure").sort_index()


def readable(gaps: pd.DataFrame) -> pd.DataFrame:
    """Gaps with their interval in one column."""
    asked = {"selection rate": "demographic parity", "true positive rate": "equal opportunity"}
    named = [f"{each} ({asked[each]})" if each in asked else each for each in gaps["measure"]]
    shown = gaps[["measure", "label"]].assign(measure=named, gap=bracketed(gaps[["gap", "low", "high"]]))
    for end in ("highest", "lowest"):
        whole = zip(gaps[end], gaps[f"{end}_rate"], gaps[f"{end}_n"])
        shown[end] = [f"{name} {rate:.3f} (n={n})".strip() if n else "" for name, rate, n in whole]
    return shown


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
    gaps = surest(gaps)
    named = [f"{m}: {y}" if y else m for m, y in zip(gaps["measure"], gaps["label"])]
    both = len(gaps) > 0
    figure, axes = figures.new_figure(9.5 if both else 5.5, 1.3 + 0.34 * max(len(groups), len(gaps)), 1, 1 + both)
    axes = axes if both else [axes]
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
    note = f"<p>{pages.lines(intervals(found))}</p>"
    gaps = found.gaps(positive)
    shown_gaps = by_family(found, lambda each: readable(each.gaps(positive)))
    words = pages.facts(MEASURES)
    sections = {
        "For whom it fails": f"<p>{pages.lines(lowest(found))}</p><p>{pages.lines(averages(found))}</p>{shown}{note}",
        "Groups, the worst first": pages.table(by_family(found, lambda each: worst_groups(each, None))),
        "Gaps": f"<p>{ALONE}</p>" if gaps["gap"].isna().all() else pages.table(shown_gaps) + words,
    }
    if found.confidence is not None:
        sections["Calibration"] = pages.table(by_family(found, calibration))
    sections["What was audited"] = pages.facts({**configuration, "debias_course": __version__})
    return pages.page("Audit of predictions", sections)


def check(folder: Path, configuration: Mapping[str, Any]) -> None:
    """FileExistsError where the folder has something else in it, or another audit; OSError where it is a file."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; name a folder")
    there = [each.name for each in folder.iterdir()] if folder.is_dir() else []
    if not there:
        return
    try:
        other = json.loads((folder / FACTS).read_bytes())
        strange = [name for name in there if name not in (FACTS, *FILES, *([ANSWERS] if "model" in other else []))]
    except (OSError, ValueError):
        other, strange = None, there
    if strange or not isinstance(other, dict):
        raise FileExistsError(
            f"{folder} has files of something else in it, such as {sorted(strange)[0]}; choose another folder"
        )
    changed = [name for name in {**configuration, **other} if other.get(name) != configuration.get(name)]
    if changed:
        was, now = (each.get(changed[0]) for each in (other, configuration))
        what = f"{folder} holds another audit ({changed[0]}: {was}, and now {now})"
        raise FileExistsError(f"{what}; choose another folder, or delete that one")


def write(
    folder: Path,
    found: Audit,
    configuration: Mapping[str, str],
    positive: str | None = None,
    predictions: pd.DataFrame | None = None,
) -> list[Path]:
    """Write the files, each in one move, into a folder that is new or holds the same audit; returns their paths. Raises
    what `check` raises, and OSError where it cannot be written. `predictions` are those of a model."""
    check(folder, configuration)
    contents = {
        FACTS: pages.as_json(configuration),
        "groups.csv": pages.csv(by_family(found, lambda each: each.report.table())),
        "gaps.csv": pages.csv(by_family(found, lambda each: each.gaps(positive))),
        "audit.html": page(found, configuration, positive).encode(),
    }
    if found.confidence is not None:
        contents["calibration.csv"] = pages.csv(by_family(found, lambda each: each.calibration))
    if predictions is not None:
        contents[ANSWERS] = predictions.to_csv(index=False).encode()  # to be read again, as it is
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if name not in contents:
            (folder / name).unlink(missing_ok=True)  # of the same audit, before the probabilities went
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]
