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
UNKNOWN = "unknown"  # the attribute of all, where none is known


def read_tree(path: Path) -> pd.DataFrame | None:
    """The images below split/label/, however deep, in the order of their names; None where there are none. Files with
    other endings are not looked at, and folders behind links below a label are not entered. Rows count from below 0, as
    no line of a table belongs to them."""
    import pandas as pd

    files: list[str] = []
    labels: list[str] = []
    splits: list[str] = []
    for split in (name for name in TOPS if (path / name).is_dir()):
        for label in sorted(each.name for each in os.scandir(path / split) if each.is_dir()):
            before = len(files)
            for folder, inner, names in os.walk(path / split / label):
                inner.sort()
                inside = Path(folder).relative_to(path).as_posix()
                files += [f"{inside}/{name}" for name in sorted(names) if name.lower().endswith(ENDINGS)]
            labels += [label] * (len(files) - before)
            splits += [split] * (len(files) - before)
    if not files:
        return None
    return pd.DataFrame(dict(file=files, label=labels, split=splits), index=range(-len(files), 0))
