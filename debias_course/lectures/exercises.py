"""Exercises with a check that never raises, a hint, and a solution that the tests run.

    exercises.worst_group.check(my_function)   prints "solved" or "not yet: ..."
    exercises.worst_group.hint()
    exercises.worst_group.reveal()

One module per topic. An unsolved stub returns None, so that a notebook runs from top to bottom at any time.

`debias-course lab` names a folder in the environment variable DEBIAS_COURSE_SOLVED, in which solved exercises are
remembered, each as an empty file: nothing that two kernels could write at once, or that could be damaged. The notebooks
of a class set DEBIAS_COURSE_REVEAL to "no" where its instructor keeps the solutions.
"""

from __future__ import annotations

import importlib
import inspect
import os
import textwrap
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from ..methods import Method

RECORD = "DEBIAS_COURSE_SOLVED"
REVEAL = "DEBIAS_COURSE_REVEAL"


@dataclass(frozen=True, repr=False)
class Exercise:
    """A function to write. `trial` calls the reader's function and returns what is wrong with it, or None."""

    clue: str
    solution: Callable[..., Any]
    trial: Callable[[Callable[..., Any]], str | None]

    def check(self, answer: Callable[..., Any]) -> None:
        """Print whether `answer` solves the exercise, and otherwise what to look at."""
        verdict = self.verdict(answer)
        if verdict == "solved" and (record := self.record()):
            with suppress(OSError):  # a full disk costs the record, not the exercise
                record.parent.mkdir(parents=True, exist_ok=True)
                record.touch()
        print(verdict)

    def record(self) -> Path | None:
        """The file that stands for this exercise when it is solved; None where nothing is remembered."""
        folder = os.environ.get(RECORD)
        return Path(folder, f"{self.solution.__module__}.{self.solution.__name__}") if folder else None

    def verdict(self, answer: Callable[..., Any]) -> str:
        try:
            wrong = self.trial(answer)
        except Exception as error:  # whatever the reader's code does, the notebook goes on
            wrong = f"it raised {type(error).__name__}: {error}"
        return f"not yet: {wrong}" if wrong else "solved"

    def hint(self) -> None:
        print(textwrap.fill(self.clue, 100))

    def reveal(self) -> None:
        """Print the solution, or where it is."""
        if os.environ.get(REVEAL) == "no":
            print("In this class the solutions are with your instructor; hint() helps.")
            return
        print(textwrap.dedent(inspect.getsource(self.solution)))


def solved() -> pd.DataFrame:
    """How many exercises of each lecture were solved in the JupyterLab of `debias-course lab`."""
    import pandas as pd

    from ..claims.topics import topics

    rows = {}
    for topic in topics():
        module = importlib.import_module(f"{__package__}.{topic[3:]}.exercises")
        records = [each.record() for each in vars(module).values() if isinstance(each, Exercise)]
        rows[topic] = {"solved": sum(bool(each and each.exists()) for each in records), "exercises": len(records)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("lecture")


def differs(got: Any, wanted: Any, tolerance: float = 1e-5) -> bool:
    """Whether `got` is something else than `wanted`: None, another shape, other numbers."""
    import torch

    if got is None:
        return True
    got, wanted = torch.as_tensor(got, dtype=torch.float64), torch.as_tensor(wanted, dtype=torch.float64)
    return got.shape != wanted.shape or not torch.allclose(got, wanted, atol=tolerance, rtol=0)


def no_pair(got: Any, example: str) -> str | None:
    """What is wrong with what should be two things, such as `example`."""
    if got is None:
        return f"your function returns None; return two things, such as {example}"
    if not isinstance(got, tuple) or len(got) != 2:
        return f"your function returns {got!r}; return two things, such as {example}"
    return None


def no_method(method: Any) -> str | None:
    """What is wrong with what should be a Method."""
    from ..method import Method

    if isinstance(method, Method):
        return None
    kind = isinstance(method, type) and issubclass(method, Method)
    return f"{method.__name__} is a class; write {method.__name__}()" if kind else f"{method!r} is no Method"


def no_settings(settings: Any) -> str | None:
    """What is wrong with what should be settings of a training."""
    return None if isinstance(settings, dict) else f"{settings!r} are no settings; write such as dict(epochs=6)"


def falls_short(least: float, method: Method | None = None, seeds: int = 1, **settings: Any) -> str | None:
    """Train the MLP on the coloured digits, with each of so many seeds: what is wrong with its worst group on test if
    it is not above `least`."""
    from .. import data, models
    from ..evaluation import evaluate
    from ..training import PLAIN, train

    if method is not None and (wrong := no_method(method)):
        return wrong
    print("training ...", flush=True)
    lowest = 1.0
    for seed in range(seeds):
        splits = data.colored_digits(seed=seed)
        start = models.mlp(splits.train, seed=seed)
        worst = evaluate(train(start, splits.train, method or PLAIN, seed=seed, **settings).model, splits.test)
        print(f"the worst group is {worst.worst_group}{f' with seed {seed}' * (seeds > 1)}", flush=True)
        lowest = min(lowest, worst.worst_group.value)
    return None if lowest > least else f"it should be above {least:.2g}{' with each seed' * (seeds > 1)}"
