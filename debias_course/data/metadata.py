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
from .columns import AND, MOST, codes, crossed, missing
from .grouped import PARTS, UNKNOWN, group_names
from .paths import file_names
from .problems import FolderError, Problem, rows_with
from .tree import TREE, flat, read_tree

if TYPE_CHECKING:
    import pandas as pd

WEIGHT = "the weight {} is no number from 0"
SPLITS = {"0": 0, "1": 1, "2": 2, "train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
WATERBIRDS = dict(file="img_filename", label="y", attribute="place", split="split")
BALANCING = dict(file="filename", label="y", attribute="a", split="split")
LAYOUTS = (WATERBIRDS, BALANCING, celeba.LAYOUT, TREE)


class Table(NamedTuple):
    """The rows of a table that are in order, and what is wrong with the others.

    path, root  the folder, and the one in it from which file names count
    columns     which column was read as file, label, attribute and split ("" for an attribute that is not known, a
                tuple for several, which are crossed)
    rows        data frame, by line of the table: file, and label, attribute, split as whole numbers; an attribute that
                is known in validation and test only is -1 in train, as is the label of a domain without any; and
                weight, where a column was named for it
    """

    path: Path
    root: Path
    columns: dict[str, Any]
    rows: pd.DataFrame
    label_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    problems: list[Problem]

    @property
    def unknown_in_train(self) -> bool:
        """Whether the attribute is known in validation and test only."""
        return bool((self.rows["attribute"] < 0).any())

    def attributes(self, rows: pd.DataFrame) -> tuple[np.ndarray, tuple[str, ...]]:
        """The attributes of the rows of one split, from 0, and their names."""
        found = rows["attribute"].to_numpy()
        return (found + 1, (UNKNOWN,)) if (found < 0).any() else (found, self.attribute_names)


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


def _table(path: Path, chosen: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, Any], str, list[Problem]]:
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
    read = [(part, column) for part, named in columns.items() for column in _each(named)]
    for (part, column), (other, same) in itertools.combinations(read, 2):
        if column == same:
            what = f"{part} and {other} are both read from column {column!r}; name another one"
            raise FolderError(path, [Problem(None, f"{what} for one of them: columns=dict({other}=...)")])
    absent = [_missing(name, part, column, frame.columns) for part, column in read if column not in frame]
    if absent:
        raise FolderError(path, [Problem(None, what) for what in absent])
    return frame, columns, inside, problems


def _each(column: str | tuple[str, ...]) -> tuple[str, ...]:
    """The columns that are read as one thing: several, of attributes that are crossed."""
    return column if isinstance(column, tuple) else (column,)


def _missing(name: str, part: str, column: str, known: Sequence[str]) -> str:
    close = get_close_matches(column, known, n=3, cutoff=0.5)
    own = f"{part}=NAME, or --{part} NAME" if part in ("label", "attribute") else f"columns=dict({part}=NAME)"
    hint = f"did you mean {' or '.join(close)}? Name it with {own}" if close else f"name another one with {own}"
    there = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    none = ', or attribute="" (--no-attribute) where none is known' if part == "attribute" else ""
    return f"{name} has no column {column!r} for the {part}; {hint}; there are {there}{none}"


def _chosen(columns: Any, label: Any, attribute: Any) -> dict[str, Any]:
    """The columns that the caller names, by what they are read as: a text, or a tuple of several attributes."""
    try:
        chosen = dict(columns or {})
    except (TypeError, ValueError) as error:
        what = "name them as in columns=dict(label='diagnosis', split='fold')"
        raise TypeError(f"columns is {shown(columns)}; {what}") from error
    chosen |= {part: name for part, name in dict(label=label, attribute=attribute).items() if name is not None}
    for part, name in chosen.items():
        if part not in (*WATERBIRDS, "weight"):
            raise ValueError(f"columns names a {part!r}; name the columns of {', '.join(WATERBIRDS)}, or weight")
        several = part == "attribute" and isinstance(name, (list, tuple))
        for each in name if several else [name]:
            isa(f"the column of the {part}", each, str, "its name as a text")
        if several:
            chosen[part] = tuple(name) if len(name) > 1 else "".join(name)
            if not name or not all(name) or len(set(name)) < len(name):
                what = "name each column once, as in attribute=('sex', 'age')"
                raise ValueError(f'attribute is {shown(name)}; {what}, or attribute="" where none is known')
    return chosen


def read_table(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    label: str | None,
    attribute: str | Sequence[str] | None,
    needed: Collection[str] = PARTS,
) -> Table:
    """Read and check the table of a folder, which should have samples in the splits that are `needed`; FolderError
    where it cannot be understood."""
    import pandas as pd

    path = folder("path", path).absolute()
    frame, columns, inside, problems = _table(path, _chosen(columns, label, attribute))
    values = {part: frame[columns[part]].map(str.strip) for part in ("file", "label", "split")}
    kinds = {column: frame[column].map(str.strip) for column in _each(columns["attribute"])}
    files = file_names(values["file"], path / inside)
    known = {each: SPLITS.get(each.lower().removesuffix(".0")) for each in values["split"].unique()}
    splits = values["split"].map(known)
    labels, label_names = codes(values["label"], columns["label"])
    attributes, attribute_names, unknown = _attributes(path, kinds, splits == 0)
    what, weights = columns["label"], {}
    if "weight" in columns:
        weights["weight"] = pd.to_numeric(frame[columns["weight"]], errors="coerce").to_numpy(float)
    checks = [
        (values["file"], values["file"] == "", "the file name is empty"),
        (values["file"], files.str.match(r"/|[A-Za-z]:|\.\.(?:/|$)"), "{} leaves the folder"),
        (values["file"], files.duplicated() & (values["file"] != ""), "{} stands there twice"),
        (values["split"], splits.isna(), "split {} is none of 0 (train), 1 (validation), 2 (test)"),
        (values["label"], (labels < 0) & ~_unlabelled(labels, attributes, splits), f"the label {what!r} is empty"),
        *((each, missing(each) & ~unknown, f"the attribute {column!r} is empty") for column, each in kinds.items()),
        *((frame[columns[name]], (splits == 0) & ~(np.isfinite(w) & (w >= 0)), WEIGHT) for name, w in weights.items()),
    ]
    problems += [problem for column, mask, text in checks for problem in rows_with(column, mask, text)]
    problems += _empty(splits, needed)
    for part, names in ("label", label_names), ("attribute", attribute_names):
        if not (2 if part == "label" else 1) <= len(names) <= MOST:
            has = f"{len(names):,} different values" if len(names) != 1 else f"one value only ({names[0]})"
            what = f"column {AND.join(_each(columns[part]))!r} has {has}, which is no {part}; choose another one"
            raise FolderError(path, [Problem(None, what), *problems])
    try:
        group_names(label_names, (*attribute_names, *([UNKNOWN] if unknown.any() else ())))
    except ValueError as error:
        raise FolderError(path, [Problem(None, str(error)), *problems]) from error
    rows = pd.DataFrame(dict(file=files, label=labels, attribute=attributes, split=splits, **weights))
    rows = rows[~np.logical_or.reduce([np.asarray(mask) for _, mask, _ in checks])].astype(dict(split=int))
    return Table(path, path / inside, columns, rows, label_names, attribute_names, problems)


def _empty(splits: pd.Series, needed: Collection[str]) -> list[Problem]:
    """The splits that are needed and have no row, where each row names one."""
    why = "all three are needed" if len(needed) > 1 else "it is asked for"
    return [
        Problem(None, f"no sample is in split {split} ({name}); move some there, for {why}")
        for split, name in enumerate(() if splits.isna().any() else PARTS)
        if name in needed and not (splits == split).any()
    ]


def _unlabelled(labels: np.ndarray, attributes: np.ndarray, splits: pd.Series) -> np.ndarray:
    """Which rows need no label, bool [N]: those of train whose attribute is a domain without labels, as none of its
    rows in train has one. Only such rows lack one, and others of train have theirs; or else, no row."""
    train, empty = (splits == 0).to_numpy(), labels < 0
    domains = train & np.isin(attributes, np.unique(attributes[train & empty]))
    return domains & bool((empty == domains).all() and (train & ~empty).any())


def in_split(table: Table, split: str) -> pd.DataFrame:
    """The rows of one split, or of "all", to evaluate on; ValueError where they lack labels, or, in a part of them, the
    attribute."""
    rows = table.rows if split == "all" else table.rows[table.rows["split"] == PARTS.index(split)]
    lacking = "attribute is" if split == "all" and table.unknown_in_train else "label is"
    if lacking == "attribute is" or (rows["label"] < 0).any():
        raise ValueError(f"the {lacking} not known in train; audit one of the other splits, 'validation' or 'test'")
    return rows


def _attributes(
    path: Path, kinds: Mapping[str, pd.Series], train: pd.Series
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """The attribute of each row, of several columns the combination, from 0, or -1; their names; and the rows in which
    it need not be known, bool [N]: those of train, where all of them are empty and no row of the other splits is."""
    try:
        ((column, values), *others) = kinds.items()
        found, names = crossed(kinds) if others else codes(values, column)
    except ValueError as error:
        raise FolderError(path, [Problem(None, str(error))]) from error
    empty = np.stack([missing(each) for each in kinds.values()])
    known = ~np.asarray(empty.any(0))
    of_train = train.to_numpy()
    unknown = bool(empty[:, of_train].all() and known[~of_train].all() and known.any())
    return found, names, of_train & unknown
