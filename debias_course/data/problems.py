"""What is wrong with a folder of images, row by row, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 20  # problems that a message lists


class Problem(NamedTuple):
    """Something wrong with the row of a table (its line in an editor; below 0: of a tree of folders, which has none;
    None: with the table), and what."""

    row: int | None
    what: str
    file: str = ""  # the image that is missing or broken, where that is the problem

    def __str__(self) -> str:
        return self.what if self.row is None or self.row < 0 else f"row {self.row}: {self.what}"


class TableError(ValueError):
    """All that is wrong with a table: `problems` has everything, the message the first 20."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        self.path, self.problems = path, problems
        count = f"{len(problems):,} problem{'s' * (len(problems) > 1)}"
        super().__init__(f"{path} cannot be used as it is, {count}:\n{listed(problems)}{self.remedy()}")

    def __reduce__(self) -> tuple[type[TableError], tuple[Path, list[Problem]]]:
        return type(self), (self.path, self.problems)

    def remedy(self) -> str:
        """What to do about it."""
        return "\nmend it, and try again"


class FolderError(TableError):
    """All that is wrong with a folder, its table and its images."""

    def remedy(self) -> str:
        """See `remedy`."""
        return remedy(self.problems)


def listed(problems: list[Problem], most: int | None = SHOWN) -> str:
    """The problems, one a line, and how many more there are than `most`."""
    more = len(problems) - (most or len(problems))
    return "\n".join(f"  {problem}" for problem in problems[:most]) + (f"\n  and {more:,} more" if more > 0 else "")


def remedy(problems: list[Problem]) -> str:
    """What to do about the problems."""
    if not can_be_left_out(problems):
        what = "these files" if all(problem.file for problem in problems) else "the table"
        return f"\nmend {what}, and look again with: debias-course inspect"
    return '\nmend these files, or go on without them: broken="leave out", or --leave-out-broken'


def can_be_left_out(problems: list[Problem]) -> bool:
    """Whether all are single files, without which the others can be used."""
    return all(problem.file and problem.row is not None for problem in problems)


def rows_with(values: pd.Series, mask: pd.Series, text: str) -> list[Problem]:
    """The rows that the mask names, each with its value in place of {} in the text."""
    return [Problem(row, text.replace("{}", repr(value))) for row, value in values[mask].items()]
