"""What a comparison leaves behind: a table to read, a page that needs nothing else, and all numbers for a program.

    report.html      tables, pictures, what was left out, configuration, seeds, versions and hashes of the code
    results.csv      one row per method, seed and group
    search.csv       one row per method and setting that was tried
    comparison.json  the configuration, and the table with one row per method
    comparison.png   the picture of differences and ranks

A folder holds one comparison. It is taken before anything runs, for as long as that lasts and by one process at a time;
once it holds results it is refused to a comparison that is configured in another way. Files are written at the end,
each in one move. In CSV files, text that a spreadsheet would run as a formula begins with an apostrophe.
"""

from __future__ import annotations

import contextlib
import json
import math
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from . import __version__, figures, pages, training
from .cache import write_atomically
from .comparison import NEEDS, Comparison
from .evaluation import evaluate
from .fingerprints import fingerprint

if TYPE_CHECKING:
    import pandas as pd

FACTS, OTHERS = "comparison.json", ("report.html", "results.csv", "search.csv", "comparison.png")


@contextlib.contextmanager
def taken(folder: Path, configuration: Mapping[str, Any]) -> Iterator[None]:
    """Inside, `folder` is for this comparison and for this process. FileExistsError where another process holds it, or
    where it has the results of another comparison or of something else; OSError where it cannot be written. Who is
    killed holds it no longer."""
    from filelock import FileLock, Timeout

    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(folder / ".running", timeout=0))
        except Timeout:
            message = f"{folder} is being filled by another process; wait until it is done, or choose another folder"
            raise FileExistsError(message) from None
        except OSError as error:
            raise OSError(f"{folder} cannot be written ({error.strerror or error}); choose another folder") from error
        with alone_in(folder):
            held = _held(folder)
            for part in (part for name in (FACTS, *OTHERS) for part in folder.glob(f"{name}.*.part")):
                part.unlink()  # of a process that was killed while it wrote
            if held and held["finished"]:
                _refuse_another(folder, held["configuration"], configuration)
            else:
                write_atomically(folder / FACTS, pages.as_json(dict(configuration=configuration, finished=False)))
        yield


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """One process at a time, for as long as files are read or written; others wait."""
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield


def _held(folder: Path) -> dict[str, Any] | None:
    """What the folder says of its comparison, if it has one."""
    foreign = [name for name in (FACTS, *OTHERS) if (folder / name).exists()]
    if not foreign:
        return None
    try:
        held = json.loads((folder / FACTS).read_bytes())
        if isinstance(held["configuration"], dict) and isinstance(held["finished"], bool):
            return held
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    raise FileExistsError(
        f"{folder / foreign[0]} was not written by a comparison, or is damaged; choose another folder, or remove it"
    )


def _refuse_another(folder: Path, other: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
    changed = [name for name in {**configuration, **other} if other.get(name) != configuration.get(name)]
    if changed:
        was, now = (each.get(changed[0]) for each in (other, configuration))
        raise FileExistsError(
            f"{folder} is for another comparison ({changed[0]}: {was}, and now {now}); choose another folder, or "
            "delete that one: finished runs are kept elsewhere"
        )


def write(folder: Path, found: Comparison, configuration: Mapping[str, Any]) -> list[Path]:
    """Write the files of `found` into a folder that is `taken`; returns their paths."""
    differences = figures.png(figures.differences(found))
    facts = dict(
        configuration=configuration,
        finished=True,
        versions=dict(debias_course=__version__, torch=torch.__version__, python=platform.python_version()),
        code={name: fingerprint(training.train, evaluate, m)[:16] for name, m in found.study.methods.items()},
        seeds=found.study.seeds,
        baseline=found.baseline,
        left_out=dict(found.left_out),
        table=json.loads(found.table.to_json(orient="records")),
    )
    contents = {
        "report.html": page(found, facts, differences).encode(),
        "results.csv": pages.csv(found.study.table),
        "search.csv": pages.csv(found.searched),
        "comparison.png": differences,
        FACTS: pages.as_json(facts),
    }
    unfinished = pages.as_json(dict(configuration=configuration, finished=False))
    with alone_in(folder):
        held = _held(folder)
        if held:
            _refuse_another(folder, held["configuration"], configuration)
        write_atomically(folder / FACTS, unfinished)  # holds a part of them
        for name, content in contents.items():
            write_atomically(folder / name, content)
    return [folder / name for name in contents]


def readable(found: Comparison) -> pd.DataFrame:
    """`found.table` for a person: each mean with its interval in one column."""
    table, several = found.table, len(found.study.seeds) > 1
    words = dict(method=table["method"])
    for metric in dict.fromkeys([found.metric, "worst_group", "group_balanced", "train_weighted"]):
        columns = [metric, f"{metric}_low", f"{metric}_high"]
        words[in_text(metric)] = _intervals(table[columns].clip(0, 1), several, "{:.3f}", "{:.2f}")
        if metric == found.metric:
            columns = ["difference", "low", "high"]
            words[f"minus {found.baseline}"] = _intervals(table[columns].clip(-1, 1), several, "{:+.3f}", "{:+.2f}")
            ends = zip(table["first_rank"], table["last_rank"])
            words["rank"] = [f"{a}" if a == b else f"{a} to {b}" for a, b in ends]
    words["seconds"] = table["seconds"].map("{:.1f}".format)
    words["needs in training"] = table["needs"]
    return type(table)(words)


def _intervals(table: pd.DataFrame, several: bool, number: str, short: str) -> list[str]:
    """Three columns as text: a value and, where there are several seeds, its interval."""
    return [
        "" if math.isnan(v) else number.format(v) + f" ({short.format(low)} to {short.format(high)})" * several
        for v, low, high in table.itertuples(index=False)
    ]


def in_text(metric: str) -> str:
    """The name of an average as it stands in a sentence."""
    return metric.replace("_", " " if metric.startswith("worst") else "-")


def in_words(found: Comparison) -> str:
    """What the intervals allow to say, in sentences."""
    frame, seeds = found.study.differences(found.baseline, found.metric), len(found.study.seeds)
    better, worse = list(frame[frame["low"] > 0]["method"]), list(frame[frame["high"] < 0]["method"])
    others = [name for name in frame["method"] if name not in better + worse]
    said = []
    for names, how in (better, "Better than"), (worse, "Worse than"), (others, "Not told apart from"):
        if names:
            said.append(f"{how} {found.baseline} in {in_text(found.metric)} accuracy: {', '.join(names)}.")
    if seeds > 1:
        said.append(
            f"Means over {seeds} seeds with their 95 % interval, on the test set. Differences are paired by seed; "
            "their intervals, and the ranks, are wide enough to hold all at once, for the settings that were chosen. "
            "Methods whose ranks overlap are not told apart."
        )
    else:
        said.append("Accuracies of one seed, on the test set: there are no intervals, so nothing can be told apart.")
    said.append(f"Choosing the epoch and the setting needs {NEEDS[found.select]} in validation, of every method.")
    said += [f"{name} was left out: {why}." for name, why in found.left_out.items()]
    return "\n".join(said)


def in_one_line(facts: Mapping[str, Any]) -> str:
    """The facts as "name value", with semicolons between them."""
    return "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())


def page(found: Comparison, facts: Mapping[str, Any], differences: bytes) -> str:
    """The whole report as one HTML page, with its pictures inside."""
    table = found.table
    gains = [
        f"{row.method} {row.difference:+.3f}, rank {row.first_rank} to {row.last_rank}"
        for row in table[table["method"] != found.baseline].itertuples()
    ]
    means = [f"{row.method} {row.worst_group:.3f}" for row in table.itertuples()]
    sections = {
        "Result": f"<p>{pages.lines(in_words(found))}</p>{pages.table(readable(found))}",
        "Differences": pages.image(
            differences,
            f"Difference to {found.baseline}, with its interval: {'; '.join(gains) or 'there is no other method'}",
        ),
        "Accuracy": pages.image(
            figures.png(figures.study_bars(found.study)),
            f"A dot per seed, mean and interval for each method. Worst group: {'; '.join(means)}",
        ),
        "Groups": f"<p>Test accuracy of each group, as a mean over seeds.</p>{pages.table(by_group(found))}",
        "Search": f"<p>The settings of each method, and their score on validation where several were tried.</p>"
        f"{pages.table(found.searched.round(dict(score=3, seconds=1)))}",
        "Configuration": pages.facts(facts["configuration"]),
        "Versions and code": pages.facts(facts["versions"]) + pages.facts(facts["code"]),
    }
    return pages.page("Comparison of methods", sections)


def by_group(found: Comparison) -> pd.DataFrame:
    """Data frame: a row per method and a column per group; what has no test sample is empty."""
    import pandas as pd

    table = found.study.table
    ids = table.groupby(["method", "seed"]).cumcount()  # two groups may have one name, but not one id
    means = table["accuracy"].groupby([table["method"], ids]).mean().unstack().loc[found.study.names]
    shown = means.map(lambda share: "" if pd.isna(share) else f"{share:.3f}")
    shown.columns = found.study.group_names
    return shown.reset_index()
