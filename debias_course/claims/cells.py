"""Until every lecture has `measurements`: claims that are written in a notebook's cells."""

from __future__ import annotations

import contextvars
import json
import math
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch

from .. import __version__
from ..study import parse_seeds
from ..training import pick_device
from . import golden, receipts
from .topics import notebooks_folder
from .verdicts import Band, Claim, seeds_in_words

CELLS = {"setup", "measure", "claim"}
SHIPPED = {"quick": range(5), "full": range(20)}


def claim_cells(topic: str) -> list[str]:
    """Sources of the notebook's cells that are tagged setup, measure or claim, in order."""
    book = json.loads((notebooks_folder() / f"{topic}.ipynb").read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in book["cells"] if CELLS & set(c["metadata"].get("tags", ()))]


class CellLesson:
    """Today's `Lesson`, whose claims bring their own `measure`."""

    def __init__(self, topic: str, seeds: Sequence[int], budget: str):
        self.topic, self.seeds, self.budget = topic, tuple(seeds), budget
        self.claims: list[Claim] = []

    def __str__(self) -> str:
        return (
            f"debias_course {__version__} | torch {torch.__version__} on {pick_device()} | "
            f"{self.budget} budget: seeds {seeds_in_words(self.seeds)}"
        )

    def claim(
        self,
        id: str,
        sentence: str,
        *,
        measure: Callable[[int], float],
        holds: Band,
        costly: bool = False,
        trials: int | None = None,
    ) -> None:
        """Measure on every seed of the lesson, remember the claim and show it.

        `measure` returns one number per seed, a paired difference mostly. Where it is a share that may be the same on
        all seeds, `trials` says of how many. A `costly` claim is measured on the full budget only, and shown from its
        receipt on the quick one."""
        for what, value, kind in ("id", id, str), ("sentence", sentence, str), ("holds", holds, Band):
            if not isinstance(value, kind):
                raise TypeError(f"{what} of claim {id!r} is {value!r}; give a {kind.__name__}, as in above(0.1)")
        if not callable(measure):
            raise TypeError(f"measure of claim {id} is {measure!r}; pass a function of the seed")
        if costly and self.budget == "quick":
            found = self.from_receipt(id, sentence, holds, trials)
        else:
            values = tuple(self._measured(id, measure, seed) for seed in self.seeds)
            found = Claim(id, sentence, holds, self.seeds, values, trials=trials)
        if any(claim.id == id and claim.sentence != sentence for claim in self.claims):
            raise ValueError(f"two claims are called {id}; give each statement its own id")
        self.claims = [claim for claim in self.claims if claim.id != id]  # the cell may be run again
        self.claims.append(found)
        if _asked.get() is None:
            from IPython.display import display

            display(self.claims[-1])

    def _measured(self, id: str, measure: Callable[[int], float], seed: int) -> float:
        value = measure(seed)
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"claim {id} measured {value!r:.80} on seed {seed}; return one number") from None
        if not math.isfinite(number):
            raise ValueError(f"claim {id} measured no finite number on seed {seed}; look at its `measure`")
        return number

    def from_receipt(self, id: str, sentence: str, holds: Band, trials: int | None) -> Claim:
        """The claim as measured on the full budget (on the shipped seeds, or the first that receipts have); undecided
        if never."""
        known = [each for each in receipts.read_receipts(self.topic) if each["id"] == id and each["budget"] == "full"]
        first = min(known, key=lambda each: (each["seeds"][0], -len(each["seeds"])), default=dict(seeds=range(5)))
        command = f"debias-course claims --topic {self.topic} --budget full --seeds {len(first['seeds'])} --save"
        if known:
            age = ", by code that has changed since" if first["stale"] else ""
            when = f"kept from {first['date']}{age}; measure it again: {command}"
            return Claim(id, sentence, holds, tuple(first["seeds"]), tuple(first["values"]), when, trials)
        return Claim(id, sentence, holds, (), (math.nan,), f"too costly for this budget; measure it: {command}")


_asked: contextvars.ContextVar[tuple[Sequence[int] | None, str] | None] = contextvars.ContextVar("asked", default=None)


def lesson(topic: str, *, seeds: int | str | Sequence[int] | None = None, budget: str = "quick") -> CellLesson:
    """Open a lesson and print its one line of versions, device and budget. `seeds` are those of its quick budget, where
    its claims need more than the five that are usual; whoever measures it again may ask for others."""
    if _asked.get() is not None:
        asked, budget = _asked.get()
        seeds = asked if asked is not None or budget != "quick" else seeds
    if budget not in SHIPPED:
        raise ValueError(f"budget is {budget!r}; use 'quick' or 'full'")
    opened = CellLesson(topic, SHIPPED[budget] if seeds is None else parse_seeds(seeds), budget)
    print(opened)
    return opened


def measure_cells(topic: str, seeds: int | str | Sequence[int] | None, budget: str) -> tuple[list[Claim], list[dict]]:
    cells = claim_cells(topic)
    space: dict[str, Any] = {"__name__": "__main__"}  # as in a notebook: what cells define reaches worker processes
    token = _asked.set((seeds, budget))
    try:
        for number, source in enumerate(cells):
            exec(compile(source, f"<{topic}, claim cell {number}>", "exec", dont_inherit=True), space)
    finally:
        _asked.reset(token)
    here = next((value for value in space.values() if isinstance(value, CellLesson)), None)
    if here is None or not here.claims:
        raise ValueError(f"{topic} makes no claim; tag the cells of its lesson and its claims setup, measure and claim")
    code = [types.FunctionType(compile(source, "<cell>", "exec", dont_inherit=True), space) for source in cells]
    rests_on = golden.behaviour(golden.names_of(*code, but=receipts.SHOWS))
    return here.claims, [receipts.receipt(topic, claim, budget, rests_on) for claim in here.claims if not claim.kept]
