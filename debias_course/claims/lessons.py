"""The lesson of a notebook: what it measures, over which seeds and circumstances, and the claims that it makes of it.

    class GroupDROLesson(Lesson):
        topic = "05_group_dro"
        central = ("L05.1",)

        @once
        def runs(self, network: str) -> Study: ...

        @claim(
            "L05.1",
            "Group DRO minimises the worst group's risk",
            holds=above(0.02),
            expected="confirmed",
            over=grid(epochs=(5, 20, 60), network=("MLP", "conv net")),
        )
        def gain_over_erm(self, seed, *, epochs=20, network="MLP"):
            runs = self.runs(network).at(epochs)
            return runs.value("Group DRO", seed) - runs.value("ERM", seed)

`here = GroupDROLesson()` opens it in a notebook, and `here.claim("L05.1")` measures that claim and shows it: on the
quick budget in the middle of its circumstances, which its method has as defaults, beside the receipt of them all. What
is measured for several claims is a cached property, or a method that is computed `once`, and only if a claim asks.
"""

from __future__ import annotations

import inspect
import math
import textwrap
import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from .. import __version__
from ..fingerprints.instructions import described
from ..study import parse_seeds
from ..training import pick_device
from . import topics
from .circumstances import said
from .receipts import on_full, read_receipts, receipt, receipt_of_table, table_of
from .statements import Statement
from .verdicts import Cell, Claim, seeds_in_words

if TYPE_CHECKING:
    import pandas as pd

    from .guesses import Answers, Guess


class Stopped(KeyboardInterrupt):
    """A measurement that was interrupted; a notebook shows one sentence of it, and goes no further."""

    def _render_traceback_(self) -> list[str]:
        return ["stopped; run the cell again: it goes on with the runs that are finished"]


class Lesson:
    """What a lecture measures; a class for each.

    topic       the name of its notebook
    central     the claims that its final table answers, by id
    quick_seeds, full_seeds  those of its budgets, where its claims need others than is usual
    measures    the methods that measure its claims, by id, in the order in which they are written
    tables      the methods that make its tables, by id
    claims      those measured so far, by id
    """

    topic: ClassVar[str]
    central: ClassVar[tuple[str, ...]] = ()
    quick_seeds: ClassVar[int] = 5
    full_seeds: ClassVar[int] = 20
    measures: ClassVar[dict[str, Any]] = {}
    tables: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        cls.measures, cls.tables = {}, {}
        for member in vars(cls).values():
            stated = getattr(member, "statement", None)
            if isinstance(stated, Statement):
                if stated.id in cls.measures | cls.tables:
                    raise ValueError(f"two claims of {cls.__name__} are called {stated.id}; give each its own id")
                (cls.tables if stated.holds is None else cls.measures)[stated.id] = member
        if missing := [id for id in cls.central if id not in cls.measures]:
            raise ValueError(f"{cls.__name__} has no claim {missing[0]!r}, which is said to be central")

    def __init__(self, *, seeds: int | str | Sequence[int] | None = None, budget: str = "quick") -> None:
        """Opens the lesson and prints its one line of versions, device and budget."""
        usual = {"quick": self.quick_seeds, "full": self.full_seeds}
        if budget not in usual:
            raise ValueError(f"budget is {budget!r}; use 'quick' or 'full'")
        self.seeds, self.budget = tuple(parse_seeds(usual[budget] if seeds is None else seeds)), budget
        self.claims: dict[str, Claim] = {}
        self.guesses: dict[str, Guess] = {}
        print(self)

    def __str__(self) -> str:
        return (
            f"debias_course {__version__} | torch {torch.__version__} on {pick_device()} | "
            f"{self.budget} budget: seeds {seeds_in_words(self.seeds)}"
        )

    def claim(self, *ids: str) -> None:
        """Measure the claims on every seed of the lesson, remember them and show them, each with its circumstances, in
        the place of the progress bars."""
        from IPython import get_ipython
        from IPython.display import clear_output, display

        try:
            found = [self.measured(id) for id in ids]
        except KeyboardInterrupt:
            raise Stopped from None
        if get_ipython() is not None:
            clear_output(wait=True)
        for each in found:
            display(each)

    def where(self, id: str, *, points: bool = True) -> None:
        """Show in which circumstances a claim holds; effects are accuracies, said in `points`, or other numbers."""
        from ..figures import picture, strip

        found = self.measured(id)
        found = found.whole if found.whole and found.whole.cells else found
        if not found.cells:
            print(f"{id}: {found.numbers}")  # how to measure it
            return
        cells = [
            dict(where=said(c.where), value=c.mean.value, low=c.mean.low, high=c.mean.high, verdict=c.verdict)
            for c in found.cells
        ]
        how: dict[str, Any] = dict(points=points, fails=found.cells[0].fails(points))
        picture(
            strip(cells, middle=said(found.middle), frame=self._frame(id), **how),
            takeaway=f"{id}, circumstance by circumstance: {found.answer}.",
        )

    def _frame(self, id: str) -> str:
        """What it means that a circumstance is framed."""
        if self.measures[id].statement.costly:
            return "the number that the claim gives"
        return "measured by the quick budget, too" + ", on fewer seeds" * (self.quick_seeds < self.full_seeds)

    def measured(self, id: str) -> Claim:
        """A claim, measured now if it was not before."""
        self._known(id, self.measures)
        if id not in self.claims:
            stated = self.measures[id].statement
            if self.budget == "full":
                self.claims[id] = self._measured(stated, stated.over)
            elif stated.costly:
                self.claims[id] = self._from_receipt(stated)
            else:
                here = self._measured(stated, [stated.middle])
                whole = self._from_receipt(stated) if len(stated.over) > 1 else None
                self.claims[id] = replace(here, whole=whole)
        return self.claims[id]

    def kept(self, id: str) -> pd.DataFrame:
        """A table, made now on the full budget, and from its receipt on the quick one."""
        self._known(id, self.tables)
        if self.budget == "full":
            return self.tables[id](self)
        return table_of(on_full(self.receipts, id), self.topic, id)

    @cached_property
    def receipts(self) -> list[dict[str, Any]]:
        """Those of the topic, as they were when the lesson first asked: to tell which are fresh takes a second."""
        return read_receipts(self.topic)

    def guess(self, id: str, question: str, *answers: str) -> Guess:
        """A question before its answer, with the answers as buttons; the table at the end shows what was guessed."""
        from .guesses import Guess

        self._known(id, self.measures)
        self.guesses[id] = Guess(question, answers)
        return self.guesses[id]

    def answers(self) -> Answers:
        """The central claims, and others that were guessed: what the lecture says, your guess, what was measured."""
        from .guesses import Answers

        ids = dict.fromkeys([*self.central, *self.guesses])
        return Answers([(self.measured(id), self.guesses.get(id)) for id in ids])

    def _known(self, id: str, among: Mapping[str, Any]) -> None:
        if id not in among:
            raise ValueError(f"{self.topic} makes no claim {id!r}; there are {', '.join(among)}")

    def _measured(self, stated: Statement, over: Sequence[Mapping[str, Any]]) -> Claim:
        cells = [(where, tuple(self._value(stated.id, seed, where) for seed in self.seeds)) for where in over]
        return self._claim(stated.id, self.seeds, cells)

    @classmethod
    def _claim(cls, id: str, seeds: Sequence[int], cells: Sequence[tuple], kept: str = "") -> Claim:
        stated: Statement = cls.measures[id].statement
        assert stated.holds is not None  # tables are no claims
        how = stated.holds, stated.trials, stated.matters
        measured = tuple(Cell(where, tuple(values), *how) for where, values in cells)
        about = stated.id, stated.sentence, stated.holds, tuple(seeds), measured, stated.middle, stated.expected
        return Claim(*about, id in cls.central, kept, cls.how(cls.measures[id].__name__)).settled()

    @classmethod
    def of_receipt(cls, kept: Mapping[str, Any], when: str = "") -> Claim:
        """The claim as it was measured then."""
        return cls._claim(kept["id"], kept["seeds"], [(each["where"], each["values"]) for each in kept["cells"]], when)

    def _value(self, id: str, seed: int, where: Mapping[str, Any]) -> float:
        value = self.measures[id](self, seed, **where)
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"claim {id} measured {value!r:.80} on seed {seed}; return one number") from None
        if not math.isfinite(number):
            raise ValueError(f"claim {id} measured no finite number on seed {seed}; look at what measures it")
        return number

    def _from_receipt(self, stated: Statement) -> Claim:
        """The claim as measured on the full budget (on the shipped seeds, or the first that receipts have); open if
        never."""
        first = on_full(self.receipts, stated.id)
        seeds = len(first["seeds"]) if first else self.full_seeds
        command = f"debias-course claims --topic {self.topic} --budget full --seeds {seeds} --save"
        if not first:
            return self._claim(stated.id, (), (), f"too costly for this budget; measure it: {command}")
        age = ", by code that has changed since" if first["stale"] else ""
        return self.of_receipt(first, f"kept from {first['date']}{age}; measure it again: {command}")

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
    """Measure a lecture's claims again; returns them with the receipts of those, and of the tables, that were measured
    now."""
    lesson = topics.lesson_of(topic)
    here = lesson(seeds=seeds, budget=budget)
    found = [here.measured(id) for id in lesson.measures]
    if not found:
        raise ValueError(f"{topic} makes no claim; put @claim over the methods of {lesson.__name__} that measure one")
    receipts = [receipt(lesson, each, here.budget) for each in found if not each.kept]
    if budget == "full":
        receipts += [receipt_of_table(lesson, id, here.kept(id), here.seeds) for id in lesson.tables]
    return found, receipts
