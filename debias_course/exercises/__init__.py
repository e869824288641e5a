"""Exercises with a check that never raises, a hint, and a solution that the tests run.

    exercises.group_id.check(my_function)   prints "solved" or "not yet: ..."
    exercises.group_id.hint()
    exercises.group_id.reveal()

One module per topic. An unsolved stub returns None, so that a notebook runs from top to bottom at any time.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, repr=False)
class Exercise:
    """A function to write. `trial` calls the reader's function and returns what is wrong with it, or None."""

    clue: str
    solution: Callable[..., Any]
    trial: Callable[[Callable[..., Any]], str | None]

    def check(self, answer: Callable[..., Any]) -> None:
        """Print whether `answer` solves the exercise, and otherwise what to look at."""
        print(self.verdict(answer))

    def verdict(self, answer: Callable[..., Any]) -> str:
        """ "solved", or "not yet" and what is wrong with the answer; it never raises."""
        try:
            wrong = self.trial(answer)
        except Exception as error:  # whatever the reader's code does, the notebook goes on
            wrong = f"it raised {type(error).__name__}: {error}"
        return f"not yet: {wrong}" if wrong else "solved"

    def hint(self) -> None:
        """Print a clue."""
        print(textwrap.fill(self.clue, 100))

    def reveal(self) -> None:
        """Print the solution."""
        print(textwrap.dedent(inspect.getsource(self.solution)))


def differs(got: Any, wanted: Any, tolerance: float = 1e-5) -> bool:
    """Whether `got` is something else than `wanted`: None, another shape, other numbers."""
    import torch

    if got is None:
        return True
    got, wanted = torch.as_tensor(got, dtype=torch.float64), torch.as_tensor(wanted, dtype=torch.float64)
    return got.shape != wanted.shape or not torch.allclose(got, wanted, atol=tolerance, rtol=0)
