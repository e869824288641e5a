"""The table of a folder of images: which file, label, attribute and split each row names, and all that is wrong in it.

`folder` describes the layouts. Whole columns are checked at a time, so that a million rows take seconds.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..checks import folder, isa, shown
from . import celeba
from .grouped import PARTS, UNKNOWN, group_names
from .paths import file_names
from .problems import FolderError, Problem, rows_with
from .tree import TREE, flat, read_tree

if TYPE_CHECKING:
    import pandas as pd

SPLITS = {"0": 0, "1": 1, "2": 2, "train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
WATERBIRDS = dict(file="img_filename", label="y", attribute="place", split="split")
BALANCING = dict(file="filename", label="y", attribute="a", split="split")
LAYOUTS = (WATERBIRDS, BALANCING, celeba.LAYOUT, TREE)
MOST = 1000  # different labels or attributes; a column with more is something else


class Table(NamedTuple):
    """The rows of a table that are in order, and what is wrong with the others.

    path, root  the folder, and the one in it from which file names count
    columns     which column was read as file, label, attribute and split ("" for an attribute that is not known)
    rows        data frame, by line of the table: file, and label, attribute, split as whole numbers
    """

    path: Path
    root: Path
    columns: dict[str, str]
    rows: pd.DataFrame
    label_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    problems: list[Problem]


def read_csv(path: Path) -> pd.DataFrame:
    """The table as text, indexed by the line on which a row stands; lines without content are left out."""
    import pandas as pd

    try:
        with path.open(encoding="utf-8-sig") as file, warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            header = re.sub(r'"[^"]*"', "", file.read(2**16)).partition("\n")[0]  # without what stands in quotes
            file.seek(0)
            how = dict(sep=max(",;\t", key=header.count), dtype=str, keep_default_na=False, index_col=False)
            named = pd.read_csv(file, header=None, nrows=1, **how).iloc[0].fillna("").str.strip()
            file.seek(0)
            frame = pd.read_csv(file, skip_blank_lines=False, **how).fillna("")
    except (ValueError, pd.errors.ParserWarning) as error:
        what = "it is not UTF-8; save it as such (in Excel: CSV UTF-8)"
        what = what if isinstance(error, UnicodeDecodeError) else str(error).strip()
        raise FolderError(path, [Problem(None, f"{path.name} cannot be read: {what}")]) from error
    frame.index += 2
    frame.columns = frame.columns.str.strip()
    if named.duplicated().any():  # pandas numbers them
        twice = named[named.duplicated()].iloc[0]
        raise FolderError(path, [Problem(None, f"{path.name} has two columns {twice!r}; rename one of them")])
    return frame[(frame != "").any(axis=1)].copy()


def _table(path: Path, chosen: dict[str, str]) -> tuple[pd.DataFrame, dict[str, str], str, list[Problem]]:
    """The data frame, which of its columns is what, the folder in it that holds the images, and problems."""
    if not path.is_dir():
        what = f"{path} is a file; name its folder" if path.exists() else f"there is no folder {path}"
        raise FileNotFoundError(what)
    if (path / "metadata.csv").is_file():
        frame, name, inside, problems = read_csv(path / "metadata.csv"), "metadata.csv", "", []
        columns = (BALANCING if "filename" in frame and "img_filename" not in frame else WATERBIRDS) | chosen
    elif found := next((pair for pair in celeba.tables(path) if all(each.is_file() for each in pair)), None):
        frame, partition = map(celeba.spaced if found[0].suffix == ".txt" else read_csv, found)
        columns, name = celeba.LAYOUT | chosen, " with ".join(each.name for each in found)
        inside = next((d for d in ("img_align_celeba/img_align_celeba", "img_align_celeba") if (path / d).is_dir()), "")
        problems = celeba.join(frame, partition, columns["file"], columns["split"])
    elif (tree := read_tree(path)) is not None:
        frame, name, inside, problems, columns = tree, "the tree of folders", "", [], TREE | chosen
    elif labels := flat(path):
        what = f"{path} has images in {', '.join(labels[:5])}, which look like labels, and no split"
        raise FileNotFoundError(f"{what}: put these folders into train, val and test, each with a part of the images")
    else:
        known = "metadata.csv, or list_attr_celeba.csv with list_eval_partition.csv, or folders such as train/cat"
        raise FileNotFoundError(f"{path} has no table of its images: put in {known} (see debias_course.data.folder)")
    if not columns["attribute"]:
        frame = frame.assign(**{"": UNKNOWN})
    for part, other in itertools.combinations(columns, 2):
        if columns[part] == columns[other]:
            what = f"{part} and {other} are both read from column {columns[part]!r}; name another one"
            raise FolderError(path, [Problem(None, f"{what} for one of them: columns=dict({other}=...)")])
    absent = [part for part in columns if columns[part] not in frame]
    if absent:
        raise FolderError(path, [Problem(None, _missing(name, part, columns[part], frame.columns)) for part in absent])
    return frame, columns, inside, problems


def _missing(name: str, part: str, column: str, known: Sequence[str]) -> str:
    close = get_close_matches(column, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "name another one with columns;"
    there = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    none = ', or attribute="" (--no-attribute) where none is known' if part == "attribute" else ""
    return f"{name} has no column {column!r} for the {part}; {hint} there are {there}{none}"




def codes(values: pd.Series, column: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Integers from 0 and the names they stand for, sorted: texts as they are, numbers as "column=number";
    -1 where nothing stands."""
    import pandas as pd

    rows, different = pd.factorize(values)
    texts = pd.Series(different)
    empty = texts.isin(("", "nan", "NaN")).to_numpy()
    numbers = pd.to_numeric(texts[~empty], errors="coerce")
    numeric = np.isfinite(numbers.to_numpy(dtype=float)).all()
    known, places = np.unique((numbers if numeric else texts[~empty]).to_numpy(), return_inverse=True)
    codes = np.full(len(texts), -1)
    codes[~empty] = places
    names = (f"{column}={int(v) if v == int(v) else v}" for v in known) if numeric else map(str, known)
    return codes[rows], tuple(names)


def _chosen(columns: Any, label: Any, attribute: Any) -> dict[str, str]:
    """The columns that the caller names, by what they are read as."""
    try:
        chosen = dict(columns or {})
    except (TypeError, ValueError) as error:
        what = "name them as in columns=dict(label='diagnosis', split='fold')"
        raise TypeError(f"columns is {shown(columns)}; {what}") from error
    chosen |= {part: name for part, name in dict(label=label, attribute=attribute).items() if name is not None}
    for part, name in chosen.items():
        if part not in WATERBIRDS:
            raise ValueError(f"columns names a {part!r}; name the columns of {', '.join(WATERBIRDS)}")
        isa(f"the column of the {part}", name, str, "its name as a text")
    return chosen


def read_table(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    label: str | None,
    attribute: str | None,
    needed: Collection[str] = PARTS,
) -> Table:
    """Read and check the table of a folder, which should have samples in the splits that are `needed`; FolderError
    where it cannot be understood."""
    import pandas as pd

    path = folder("path", path).absolute()
    frame, columns, inside, problems = _table(path, _chosen(columns, label, attribute))
    values = {part: frame[column].map(str.strip) for part, column in columns.items()}
    files = file_names(values["file"], path / inside)
    known = {each: SPLITS.get(each.lower().removesuffix(".0")) for each in values["split"].unique()}
    splits = values["split"].map(known)
    labels, label_names = codes(values["label"], columns["label"])
    attributes, attribute_names = codes(values["attribute"], columns["attribute"])
    checks = [
        (values["file"], values["file"] == "", "the file name is empty"),
        (values["file"], files.str.match(r"/|[A-Za-z]:|\.\.(?:/|$)"), "{} leaves the folder"),
        (values["file"], files.duplicated() & (values["file"] != ""), "{} stands there twice"),
        (values["split"], splits.isna(), "split {} is none of 0 (train), 1 (validation), 2 (test)"),
        (values["label"], labels < 0, f"the label {columns['label']!r} is empty"),
        (values["attribute"], attributes < 0, f"the attribute {columns['attribute']!r} is empty"),
    ]
    problems += [problem for column, mask, text in checks for problem in rows_with(column, mask, text)]
    for split, name in enumerate(() if splits.isna().any() else PARTS):
        if name in needed and not (splits == split).any():
            why = "all three are needed" if len(needed) > 1 else "it is asked for"
            what = f"no sample is in split {split} ({name}); move some there, for {why}"
            problems.append(Problem(None, what))
    for part, names in ("label", label_names), ("attribute", attribute_names):
        if not (2 if part == "label" else 1) <= len(names) <= MOST:
            has = f"{len(names):,} different values" if len(names) != 1 else f"one value only ({names[0]})"
            what = f"column {columns[part]!r} has {has}, which is no {part}; choose another one"
            raise FolderError(path, [Problem(None, what), *problems])
    try:
        group_names(label_names, attribute_names)
    except ValueError as error:
        raise FolderError(path, [Problem(None, str(error)), *problems]) from error
    rows = pd.DataFrame(dict(file=files, label=labels, attribute=attributes, split=splits))
    rows = rows[~np.logical_or.reduce([np.asarray(mask) for _, mask, _ in checks])].astype(dict(split=int))
    return Table(path, path / inside, columns, rows, label_names, attribute_names, problems)


def in_split(table: Table, split: str) -> pd.DataFrame:
    """The rows of one split, or of "all"."""
    return table.rows if split == "all" else table.rows[table.rows["split"] == PARTS.index(split)]
