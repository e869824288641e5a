"""The lesson of a notebook: what it measures, over which seeds, and the claims that it makes of it.

    class GroupDROLesson(Lesson):
        topic = "05_group_dro"

        @cached_property
        def runs(self) -> Study:
            return study(..., seeds=self.seeds)

        @claim("L05.1b", "Group DRO lifts the worst group by more than ten points", holds=above(0.10))
        def gain_over_erm(self, seed):
            return self.runs.value("Group DRO", seed) - self.runs.value("ERM", seed)

`here = GroupDROLesson()` opens it in a notebook, and `here.claim("L05.1b")` measures that claim and shows it. What is
measured for several claims is a cached property: it is computed once, and only if a claim asks for it.
"""

from __future__ import annotations

import inspect
import math
import textwrap
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch

from .. import __version__
from ..fingerprints.instructions import described
from ..study import parse_seeds
from ..training import pick_device
from . import golden, topics
from .receipts import SHOWS, read_receipts, receipt
from .verdicts import Band, Claim, seeds_in_words


@dataclass(frozen=True)
class Statement:
    """What a claim says before it is measured; see `claim`."""

    id: str
    sentence: str
    holds: Band
    costly: bool = False
    trials: int | None = None


def claim(
    id: str, sentence: str, *, holds: Band, costly: bool = False, trials: int | None = None
) -> Callable[[Callable], Callable]:
    """Over a method of a `Lesson`: the method measures this claim.

    It takes the seed and returns one number, a paired difference mostly. Where it is a share that may be the same on
    all seeds, `trials` says of how many. A `costly` claim is measured on the full budget only, and shown from its
    receipt on the quick one."""
    for what, value, kind in ("id", id, str), ("sentence", sentence, str), ("holds", holds, Band):
        if not isinstance(value, kind):
            raise TypeError(f"{what} of claim {id!r} is {value!r}; give a {kind.__name__}, as in above(0.1)")

    def stated(measure: Any) -> Any:
        if not isinstance(measure, types.FunctionType):
            raise TypeError(f"claim {id} stands over {measure!r}; put it over a method that takes the seed")
        measure.statement = Statement(id, sentence, holds, costly, trials)  # type: ignore[attr-defined]
        return measure

    return stated


class Lesson:
    """What a lecture measures; a class for each.

    topic       the name of its notebook
    quick_seeds, full_seeds  those of its budgets, where its claims need others than is usual
    measures    the methods that measure its claims, by id, in the order in which they are written
    claims      those measured so far, by id
    """

    topic: ClassVar[str]
    quick_seeds: ClassVar[int] = 5
    full_seeds: ClassVar[int] = 20
    measures: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        cls.measures = {}
        for member in vars(cls).values():
            stated = getattr(member, "statement", None)
            if isinstance(stated, Statement):
                if stated.id in cls.measures:
                    raise ValueError(f"two claims of {cls.__name__} are called {stated.id}; give each its own id")
                cls.measures[stated.id] = member

    def __init__(self, *, seeds: int | str | Sequence[int] | None = None, budget: str = "quick") -> None:
        """Opens the lesson and prints its one line of versions, device and budget."""
        usual = {"quick": self.quick_seeds, "full": self.full_seeds}
        if budget not in usual:
            raise ValueError(f"budget is {budget!r}; use 'quick' or 'full'")
        self.seeds, self.budget = tuple(parse_seeds(usual[budget] if seeds is None else seeds)), budget
        self.claims: dict[str, Claim] = {}
        print(self)

    def __str__(self) -> str:
        return (
            f"debias_course {__version__} | torch {torch.__version__} on {pick_device()} | "
            f"{self.budget} budget: seeds {seeds_in_words(self.seeds)}"
        )

    def claim(self, *ids: str) -> None:
        """Measure the claims on every seed of the lesson, remember them and show them."""
        from IPython.display import display

        for id in ids:
            display(self.measured(id))

    def measured(self, id: str) -> Claim:
        """A claim, measured now if it was not before."""
        if id not in self.measures:
            raise ValueError(f"{self.topic} makes no claim {id!r}; there are {', '.join(self.measures)}")
        if id not in self.claims:
            measure = self.measures[id]
            stated = measure.statement
            if stated.costly and self.budget == "quick":
                self.claims[id] = self._from_receipt(stated)
            else:
                values = tuple(self._value(id, seed) for seed in self.seeds)
                how = self.how(measure.__name__)
                self.claims[id] = Claim(id, stated.sentence, stated.holds, self.seeds, values, "", stated.trials, how)
        return self.claims[id]

    def _value(self, id: str, seed: int) -> float:
        value = self.measures[id](self, seed)
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"claim {id} measured {value!r:.80} on seed {seed}; return one number") from None
        if not math.isfinite(number):
            raise ValueError(f"claim {id} measured no finite number on seed {seed}; look at what measures it")
        return number

    def _from_receipt(self, stated: Statement) -> Claim:
        """The claim as measured on the full budget (on the shipped seeds, or the first that receipts have); undecided
        if never."""
        known = [each for each in read_receipts(self.topic) if each["id"] == stated.id and each["budget"] == "full"]
        first = min(known, key=lambda each: (each["seeds"][0], -len(each["seeds"])), default=dict(seeds=range(5)))
        command = f"debias-course claims --topic {self.topic} --budget full --seeds {len(first['seeds'])} --save"
        seeds: tuple[int, ...] = ()
        values: tuple[float, ...] = (math.nan,)
        when = f"too costly for this budget; measure it: {command}"
        if known:
            age = ", by code that has changed since" if first["stale"] else ""
            when = f"kept from {first['date']}{age}; measure it again: {command}"
            seeds, values = tuple(first["seeds"]), tuple(first["values"])
        how = self.how(self.measures[stated.id].__name__)
        return Claim(stated.id, stated.sentence, stated.holds, seeds, values, when, stated.trials, how)

    @classmethod
    def how(cls, *names: str) -> str:
        """Source of the `parts` of methods or cached properties."""
        return "\n".join(textwrap.dedent(inspect.getsource(part)) for part in cls.parts(*names))

    @classmethod
    def parts(cls, *names: str) -> list[types.FunctionType]:
        """The functions of methods or cached properties, and of what they name of the lesson and of its module, each
        once."""
        found: list[types.FunctionType] = []
        waiting = [vars(cls)[name] for name in names]
        while waiting:
            each = waiting.pop(0)
            each = each.func if isinstance(each, cached_property) else inspect.unwrap(each) if callable(each) else each
            if not isinstance(each, types.FunctionType) or each.__module__ != cls.__module__ or each in found:
                continue
            found.append(each)
            _, used, attributes, *_ = described(each.__code__)
            waiting += [each.__globals__.get(name) for name in used]
            waiting += [vars(cls).get(name) for name in attributes]
        return found


def measure_topic(
    topic: str, *, seeds: int | str | Sequence[int] | None = None, budget: str = "quick"
) -> tuple[list[Claim], list[dict]]:
    """Measure a lecture's claims again; returns them with the receipts of those that were measured now."""
    lesson = topics.lesson_of(topic)
    here = lesson(seeds=seeds, budget=budget)
    found = [here.measured(id) for id in lesson.measures]
    if not found:
        raise ValueError(f"{topic} makes no claim; put @claim over the methods of {lesson.__name__} that measure one")
    receipts = []
    for each in found:
        if not each.kept:
            rests_on = golden.names_of(*lesson.parts(lesson.measures[each.id].__name__), but=SHOWS)
            receipts.append(receipt(topic, each, here.budget, golden.behaviour(rests_on)))
    return found, receipts
