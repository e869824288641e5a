"""Predictions of any model, of any framework, as a table: one row for each image of a folder.

image        path of the image, as the folder's own table has it, or the name of its file alone
prediction   the predicted label: its name, as the folder's table has it
probability  of the prediction, where it is known; instead, one column for each label, named after it

The first column may have the name that it has in the folder's table, too, or be called file, filename or path; the
second predicted, pred or y_pred; the third confidence. Where there is a column for each label, the most probable one is
the prediction, unless there is a column that says another. Other columns are not read.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..checks import choice
from ..data.grouped import PARTS
from ..data.metadata import Table, in_split, read_csv, read_table
from ..data.paths import file_names
from ..data.problems import FolderError, Problem, TableError
from . import Audit, count

if TYPE_CHECKING:
    import pandas as pd

FEW = 5  # rows with the same fault that are named one by one
NAMES = {
    "image": ("image", "file", "filename", "path"),
    "prediction": ("prediction", "predicted", "pred", "y_pred"),
    "probability": ("probability", "confidence"),
}


class PredictionsError(TableError):
    """All that is wrong with a table of predictions."""


def audit_predictions(
    folder: str | Path,
    predictions: str | Path,
    *,
    split: str = "test",
    columns: Mapping[str, str] | None = None,
    label: str | None = None,
    attribute: str | Sequence[str] | None = None,
) -> Audit:
    """Count the predictions for the images of one split ("train", "validation", "test", or "all"). Only the two tables
    are read, and no image. `columns`, `label` and `attribute` are those of `image_folder`. FolderError and
    PredictionsError say all that is wrong with the one table or the other."""
    choice("split", split, (*PARTS, "all"))
    path = Path(predictions).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; give a table with the columns image and prediction")
    needed = () if split == "all" else (split,)
    table = read_table(folder, columns=columns, label=label, attribute=attribute, needed=needed)
    if table.problems:
        raise FolderError(table.path, table.problems)
    rows = in_split(table, split)
    try:
        frame = read_csv(path)
    except FolderError as error:
        raise PredictionsError(path, error.problems) from error
    given, problems = _of_images(frame, table, rows, "the folder" if split == "all" else split)
    if not problems:
        predicted, sure, problems = _answers(given, table)
    if problems:
        raise PredictionsError(path, problems)
    attributes, names = table.attributes(rows)
    return count(rows["label"].to_numpy(), attributes, predicted, table.label_names, names, confidence=sure)


def _column(frame: pd.DataFrame, what: str, *first: str) -> str | None:
    """The name of the column with the images, the predictions or their probabilities, if there is one."""
    there = {name.lower(): name for name in reversed(frame.columns)}
    return next((there[name.lower()] for name in (*first, *NAMES[what]) if name.lower() in there), None)


def _of_images(frame: pd.DataFrame, table: Table, rows: pd.DataFrame, where: str) -> tuple[pd.DataFrame, list[Problem]]:
    """The rows of the predictions in the order of those of the folder, and what is wrong with them."""
    column = _column(frame, "image", table.columns["file"])
    if column is None:
        there = f"there are {', '.join(frame.columns[:12])}"
        return frame, [Problem(None, f"no column says which image a row is for; call one image; {there}")]
    if not len(frame):
        return frame, [Problem(None, f"there is no row; give one for each image of {where}")]
    known, wanted = table.rows["file"], rows["file"]
    given, problems = _matched(file_names(frame[column], table.root), known)
    if problems:
        return frame, problems
    for mask, what, remedy in (
        (given.duplicated() & given.isin(wanted), "stands there twice", "leave one of the rows out"),
        (given == "", "is no image of the folder", "write paths as the folder's table does"),
    ):
        problems += _few_or_all(frame[column][mask].map(repr), what, remedy)
    missing = rows.loc[~wanted.isin(given), "file"]
    if len(missing):
        what = f"{len(missing):,} of {len(rows):,} images of {where} have no prediction, such as {missing.iloc[0]!r}"
        problems.append(Problem(None, f"{what}; predict them, too, or name another split"))
    if problems:
        return frame, problems
    lines = frame.index.to_series().set_axis(given)
    return frame.loc[lines[wanted]], []


def _matched(given: pd.Series, known: pd.Series) -> tuple[pd.Series, list[Problem]]:
    """For each path the one of the folder's table that it means, "" where there is none, and the paths that might be
    several. One is the end of the other: /mnt/photos/test/1.jpg or 1.jpg for test/1.jpg."""
    others = given[~given.isin(known)]  # not written as the table has them
    if others.empty:
        return given, []
    files, asked, ends = set(known), set(others), defaultdict(list)
    for file in known:
        for end in asked.intersection(_ends(file)):
            ends[end].append(file)
    found, problems = given.to_dict(), []
    for row, path in others.items():
        whole = next((end for end in _ends(path) if end in files), None)
        candidates = [whole] if whole else ends.get(path, [])
        found[row] = candidates[0] if len(candidates) == 1 else ""
        if len(candidates) > 1:
            one, other, *_ = candidates
            what = f"{path!r} could be {one} or {other}; write paths as the folder's table does"
            problems.append(Problem(int(row), what))
    return type(given)(found, index=given.index), problems


def _ends(path: str) -> list[str]:
    """a/b/c.jpg, b/c.jpg and c.jpg."""
    parts = path.split("/")
    return ["/".join(parts[i:]) for i in range(len(parts))]


def _few_or_all(shown: pd.Series, what: str, remedy: str) -> list[Problem]:
    """A problem for each row, or one for all of them where they are many."""
    rows = sorted((int(row), text) for row, text in shown.items())
    if len(rows) <= FEW:
        return [Problem(row, f"{text} {what}; {remedy}") for row, text in rows]
    row, text = rows[0]
    return [Problem(None, f"in {len(rows):,} rows, such as row {row}, {text} {what}; {remedy}")]


def _answers(frame: pd.DataFrame, table: Table) -> tuple[np.ndarray, np.ndarray | None, list[Problem]]:
    """Predicted label and probability of it for each row, and what is wrong with them."""
    codes = _codes(table)
    column, sure = _column(frame, "prediction"), _column(frame, "probability")
    of_labels = {code: name for name, code in codes.items() if name in frame}
    every = len(of_labels) == len(table.label_names)
    if column is None and not every:
        what = "no column says what is predicted; call one prediction, or give one for each label, named after it"
        return np.zeros(0), None, [Problem(None, f"{what}; there are {', '.join(frame.columns[:12])}")]
    read = [of_labels[code] for code in range(len(of_labels))] if every else [sure] if sure else []
    numbers, problems = _probabilities(frame[read], total=every)
    if column is None:
        predicted = numbers.argmax(1)
    else:
        meant = {each: codes.get(each.strip(), _number(each, codes)) for each in frame[column].unique()}
        predicted = frame[column].map(meant).to_numpy()
        what = f"is none of the labels {', '.join(table.label_names[:12])}"
        unknown = frame[column][predicted < 0]
        index = ", not its number" if unknown.str.strip().str.isdigit().all() else ""
        problems += _few_or_all(
            unknown.map(lambda each: f"the prediction {each!r}"), what, f"write the label's name{index}"
        )
    if problems or not read:
        return predicted, None, problems
    sure_of = numbers[np.arange(len(numbers)), predicted if every else 0]
    if every and column is not None and (others := int((numbers.argmax(1) != predicted).sum())):
        what = f"in {others:,} of {len(frame):,} rows the prediction is not the most probable label"
        warnings.warn(f"{what}; what the column {column} says is taken", stacklevel=4)
    return predicted, sure_of, [] if every else _unlikely(frame[read[0]], sure_of, len(table.label_names))


def _unlikely(column: pd.Series, sure: np.ndarray, labels: int) -> list[Problem]:
    """What is wrong with probabilities that cannot be those of the prediction, but may be those of one label."""
    low = column[sure < 1 / labels - 1e-6].map(lambda each: f"the prediction has the probability {each},")
    what = f"and the most probable of {labels} labels has at least {1 / labels:.3g}"
    remedy = "the column is that of the prediction, not of one label: give 1 minus it, or a column for each label"
    return _few_or_all(low, what, remedy)


def _probabilities(frame: pd.DataFrame, total: bool) -> tuple[np.ndarray, list[Problem]]:
    """The columns as numbers, and what is wrong with them: with a `total`, those of a row add up to 1."""
    import pandas as pd

    comma = frame.map(lambda each: each.replace(",", ".", 1))  # where a German Excel wrote the table
    numbers = comma.apply(pd.to_numeric, errors="coerce")
    bad = ~((numbers >= 0) & (numbers <= 1))
    problems = [
        problem
        for name in frame
        for problem in _few_or_all(
            frame[name][bad[name]].map(lambda each, name=name: f"{name} is {each!r}, which"),
            "is no probability",
            "give numbers from 0 to 1: softmax of logits, percents divided by 100",
        )
    ]
    sums = numbers.sum(axis="columns")
    if total and not problems:
        what = "the probabilities of the labels add up to {:g}, not to 1; give probabilities, not scores"
        problems = [Problem(int(row), what.format(each)) for row, each in sums[(sums - 1).abs() > 0.01].items()]
    return numbers.to_numpy(), problems


def _codes(table: Table) -> dict[str, int]:
    """The number of each label, by its name and by how the folder's table writes it."""
    codes = {name: code for code, name in enumerate(table.label_names)}
    column = f"{table.columns['label']}="
    return codes | {name.removeprefix(column): code for name, code in codes.items() if name.startswith(column)}


def _number(text: str, codes: Mapping[str, int]) -> int:
    """The label of a number that is written in another way, such as 1.0 for 1; -1 for none."""
    try:
        return codes.get(f"{float(text):g}", -1)
    except ValueError:
        return -1
