"""Predictions of any model, of any framework, as a table: one row for each image of a folder.

image        path of the image, as the folder's own table has it, or the name of its file alone
prediction   the predicted label: its name, as the folder's table has it
probability  of the prediction, where it is known; instead, one column for each label, named after it

The first column may have the name that it has in the folder's table, too, or be called file, filename or path; the
second predicted, pred or y_pred; the third confidence. Where there is a column for each label, the most probable one is
the prediction, unless there is a column that says another. Other columns are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..checks import choice
from ..data.grouped import PARTS
from ..data.metadata import FolderError, Problem, Table, file_names, listed, read_csv, read_table
from . import Audit, count

if TYPE_CHECKING:
    import pandas as pd

NAMES = {
    "image": ("image", "file", "filename", "path"),
    "prediction": ("prediction", "predicted", "pred", "y_pred"),
    "probability": ("probability", "confidence"),
}


class PredictionsError(ValueError):
    """All that is wrong with a table of predictions: `problems` has everything, the message the first 20."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        self.path, self.problems = path, problems
        count = f"{len(problems):,} problem{'s' * (len(problems) > 1)}"
        super().__init__(f"{path} cannot be used as it is, {count}:\n{listed(problems)}\nmend it, and try again")

    def __reduce__(self) -> tuple[type[PredictionsError], tuple[Path, list[Problem]]]:
        return type(self), (self.path, self.problems)


def audit_predictions(
    folder: str | Path,
    predictions: str | Path,
    *,
    split: str = "test",
    columns: Mapping[str, str] | None = None,
    label: str | None = None,
    attribute: str | None = None,
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
    rows = table.rows if split == "all" else table.rows[table.rows["split"] == PARTS.index(split)]
    try:
        frame = read_csv(path)
    except FolderError as error:
        raise PredictionsError(path, error.problems) from error
    given, problems = _of_images(frame, table, rows, "the folder" if split == "all" else split)
    if not problems:
        predicted, sure, problems = _answers(given, table)
    if problems:
        raise PredictionsError(path, problems)
    labels, attributes = (rows[name].to_numpy() for name in ("label", "attribute"))
    return count(labels, attributes, predicted, table.label_names, table.attribute_names, confidence=sure)


def _column(frame: pd.DataFrame, what: str, *first: str) -> str | None:
    """The name of the column with the images, the predictions or their probabilities, if there is one."""
    return next((name for name in (*first, *NAMES[what]) if name in frame), None)


def _of_images(frame: pd.DataFrame, table: Table, rows: pd.DataFrame, where: str) -> tuple[pd.DataFrame, list[Problem]]:
    """The rows of the predictions in the order of those of the folder, and what is wrong with them."""
    column = _column(frame, "image", table.columns["file"])
    if column is None:
        there = f"there are {', '.join(frame.columns[:12])}"
        return frame, [Problem(None, f"no column says which image a row is for; call one image; {there}")]
    given, known = file_names(frame[column], table.root), table.rows["file"]
    if not given.isin(known).any():  # names without their folder will do where they are unique
        given, known = (files.str.rpartition("/")[2] for files in (given, known))
    wanted = known[rows.index]
    checks = [
        (given.duplicated() & given.isin(wanted), "{} stands there twice"),
        (~given.isin(known), "{} is no image of the folder"),
    ]
    shown = frame[column].map(repr)
    problems = [Problem(int(row), text.format(shown[row])) for mask, text in checks for row in given[mask].index]
    if wanted.duplicated().any():
        name = wanted[wanted.duplicated()].iloc[0]
        problems.append(Problem(None, f"two images are called {name!r}; write their paths as the folder's table does"))
    missing = rows.loc[~wanted.isin(given), "file"]
    if len(missing):
        what = f"{len(missing):,} of {len(rows):,} images of {where} have no prediction, such as {missing.iloc[0]!r}"
        problems.append(Problem(None, f"{what}; predict them, too, or name another split"))
    if problems:
        return frame, problems
    lines = frame.index.to_series().set_axis(given)
    return frame.loc[lines[wanted]], []


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
        predicted = np.array([codes.get(each.strip(), _number(each, codes)) for each in frame[column]])
        what = f"is none of the labels {', '.join(table.label_names[:12])}; write the label's name"
        unknown = frame[column][predicted < 0]
        problems += [Problem(int(row), f"the prediction {each!r} {what}") for row, each in unknown.items()]
    if problems or not read:
        return predicted, None, problems
    return predicted, numbers[np.arange(len(numbers)), predicted if every else 0], []


def _probabilities(frame: pd.DataFrame, total: bool) -> tuple[np.ndarray, list[Problem]]:
    """The columns as numbers, and what is wrong with them: with a `total`, those of a row add up to 1."""
    import pandas as pd

    numbers = frame.apply(pd.to_numeric, errors="coerce")
    bad = ~((numbers >= 0) & (numbers <= 1))
    problems = [
        Problem(int(row), f"{name} is {frame.loc[row, name]!r}; give a probability from 0 to 1")
        for name in frame
        for row in frame.index[bad[name]]
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
