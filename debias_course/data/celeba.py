"""CelebA's two tables, attributes and partition, as Kaggle gives them or as its authors do (Liu et al. 2015)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .problems import FolderError, Problem, rows_with

if TYPE_CHECKING:
    import pandas as pd

LAYOUT = dict(file="image_id", label="Blond_Hair", attribute="Male", split="partition")


def tables(path: Path) -> list[tuple[Path, Path]]:
    """Where CelebA's two tables may be, as Kaggle gives them, or as its authors do."""
    return [(path / f"list_attr_celeba{end}", path / f"list_eval_partition{end}") for end in (".csv", ".txt")]


def spaced(path: Path) -> pd.DataFrame:
    """One of the tables of CelebA's authors, with spaces between columns: the attributes have a count and a line of
    names before them, and the partition has none."""
    import pandas as pd

    with path.open(encoding="utf-8") as file:
        first = file.readline().split()
        names, above = (file.readline().split(), 2) if len(first) == 1 else (["partition"], 0)
    how: dict[str, Any] = dict(sep=r"\s+", header=None, dtype=str, keep_default_na=False, index_col=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of a line that is longer
            frame = pd.read_csv(path, skiprows=above, names=["image_id", *names], **how)
        short = (frame.isna() | (frame == "")).any(axis=1)
        if short.any():
            row = int(short.idxmax()) + above + 1
            raise ValueError(f"line {row} is shorter than the names of its columns")
    except (ValueError, pd.errors.ParserWarning) as error:
        raise FolderError(path, [Problem(None, f"{path.name} cannot be read: {str(error).strip()}")]) from error
    frame.index += above + 1
    return frame


def join(frame: pd.DataFrame, partition: pd.DataFrame, file: str, split: str) -> list[Problem]:
    """Put the split of CelebA's second table into the first, by file name."""
    if file not in frame or file not in partition or split not in partition:
        return []  # a missing column, which is said later
    repeated = partition[file].duplicated()
    frame[split] = frame[file].map(partition[~repeated].set_index(file)[split]).fillna("")
    alone = ~partition[file].isin(frame[file])
    sentences = (repeated, "{} stands twice in the partition"), (alone, "{} of the partition has no attributes")
    return [p for mask, text in sentences for p in rows_with(partition[file], mask, text)]
