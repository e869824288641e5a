"""A tree of folders as a table: train/cat/1.jpg is an image for training with the label "cat"."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .streaming import FORMATS

if TYPE_CHECKING:
    import pandas as pd

TREE = dict(file="file", label="label", attribute="", split="split")
TOPS = ("train", "training", "val", "valid", "validation", "test")
ENDINGS = tuple(f".{name.lower()}" for name in (*FORMATS, "JPG", "TIF"))


def read_tree(path: Path) -> pd.DataFrame | None:
    """The images below split/label/, however deep, in the order of their names; None where there are none. Files with
    other endings are not looked at, nor is what is hidden, with a dot before its name; folders behind links below a
    label are not entered. Rows count from below 0, as no line of a table belongs to them."""
    import pandas as pd

    files: list[str] = []
    labels: list[str] = []
    splits: list[str] = []
    for split in sorted(
        (name for name in folders(path) if name.lower() in TOPS), key=lambda each: TOPS.index(each.lower())
    ):
        for label in folders(path / split):
            before = len(files)
            for folder, inner, names in os.walk(path / split / label):
                inner[:] = sorted(name for name in inner if not name.startswith("."))
                inside = Path(folder).relative_to(path).as_posix()
                files += [f"{inside}/{name}" for name in sorted(names) if is_image(name)]
            labels += [label] * (len(files) - before)
            splits += [split] * (len(files) - before)
    if not files:
        return None
    return pd.DataFrame(dict(file=files, label=labels, split=splits), index=range(-len(files), 0))


def folders(path: Path) -> list[str]:
    """The folders in a folder, sorted, without hidden ones."""
    return sorted(each.name for each in os.scandir(path) if each.is_dir() and not each.name.startswith("."))


def is_image(name: str) -> bool:
    """Whether a file is looked at."""
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def flat(path: Path) -> list[str]:
    """The folders that hold images themselves, and may be meant as labels: of a tree that has no splits."""
    return [name for name in folders(path) if any(map(is_image, os.listdir(path / name)))]
