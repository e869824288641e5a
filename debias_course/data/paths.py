"""The paths in a table of images: as they are compared, and whether links lead them out of their folder."""

from __future__ import annotations

import functools
import os
import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def lead_out(path: Path, root: Path, files: Iterable[str]) -> np.ndarray:
    """Which of the files symbolic links lead out of the folder `path`, bool [N]."""
    inside, base = os.path.join(os.path.realpath(path), ""), os.path.join(root, "")

    def leads_out(name: str) -> bool:
        try:
            return not os.path.join(os.path.realpath(name), "").startswith(inside)
        except ValueError:  # no file can have this name
            return False

    @functools.cache  # few folders hold many files
    def known(folder: str) -> bool | None:
        """Whether all in it lead out, or none; None where it holds a link, and each file has to be asked."""
        try:
            with os.scandir(folder) as entries:
                if any(entry.is_symlink() for entry in entries):
                    return None
        except (OSError, ValueError):  # there is none
            pass
        return leads_out(folder)

    found = []
    for name in map(base.__add__, files):
        one_for_all = known(name.rpartition("/")[0])
        found.append(leads_out(name) if one_for_all is None else one_for_all)
    return np.array(found, bool)


def file_names(given: pd.Series, root: Path) -> pd.Series:
    """Paths as they are compared: from the folder `root`, into which a whole path may point, too, with / between."""
    whole, real = (f"{each.as_posix()}/" for each in (root, root.resolve()))

    def clean(name: str) -> str:  # in one go: half the time of a column after the other
        return posixpath.normpath(name.strip().replace("\\", "/")).removeprefix(whole).removeprefix(real)

    return given.map(clean)
