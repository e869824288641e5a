"""What a lesson states: a claim over the method that measures it, or a table that is kept."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .verdicts import Band


@dataclass(frozen=True)
class Statement:
    """What a claim says before it is measured, see `claim`; or what a table shows (then it has no band)."""

    id: str
    sentence: str
    holds: Band | None = None
    over: tuple[Mapping[str, Any], ...] = ({},)
    middle: Mapping[str, Any] = field(default_factory=dict)
    expected: str = ""
    costly: bool = False
    trials: int | None = None
    matters: float = 0.0


def claim(
    id: str,
    sentence: str,
    *,
    holds: Band,
    matters: float = 0.0,
    expected: str = "",
    over: Sequence[Mapping[str, Any]] = ({},),
    costly: bool = False,
    trials: int | None = None,
) -> Callable[[Callable], Callable]:
    """Over a method of a `Lesson`: the method measures this claim.

    It takes the seed and the circumstances `over` which it is measured, as keywords; their defaults are the middle, the
    one circumstance that a quick budget measures. It returns one number, a paired difference mostly. `holds` is the
    side that the statement says, and `matters` the smallest effect there that would matter: where the interval leaves
    room for smaller ones only, the claim fails. `expected` is what we thought before the run. Where the number is a
    share that may be the same on all seeds, `trials` says of how many. A `costly` claim is measured on the full budget
    only, and shown from its receipt on the quick one."""
    for what, value, kind in ("id", id, str), ("sentence", sentence, str), ("holds", holds, Band):
        if not isinstance(value, kind):
            raise TypeError(f"{what} of claim {id!r} is {value!r}; give a {kind.__name__}, as in above(0.1)")

    if not 0 <= 2 * matters < holds.high - holds.low:
        raise ValueError(f"an effect of {matters} cannot matter in a claim {holds}; give a size that leaves room in it")

    def stated(measure: Any) -> Any:
        if not isinstance(measure, types.FunctionType):
            raise TypeError(f"claim {id} stands over {measure!r}; put it over a method that takes the seed")
        defaults = measure.__kwdefaults__ or {}
        middle = {name: defaults.get(name) for name in (over[0] if over else {})}
        if middle not in [dict(where) for where in over] or any(set(where) != set(middle) for where in over):
            raise ValueError(
                f"claim {id} is measured over {list(map(dict, over))!r:.80}, and its middle is {middle}; let one of "
                "the circumstances be what the method's keywords default to, and all have the same names"
            )
        circumstances = tuple(map(dict, over))
        measure.statement = Statement(id, sentence, holds, circumstances, middle, expected, costly, trials, matters)  # type: ignore[attr-defined]
        return measure

    return stated


def table(id: str, sentence: str) -> Callable[[Callable], Callable]:
    """Over a method of a `Lesson` that returns a data frame for a picture, too costly for the quick budget: it is made
    on the full one, kept with the receipts and shown from there."""

    def stated(measure: Any) -> Any:
        measure.statement = Statement(id, sentence, costly=True)
        return measure

    return stated


def once(method: Callable) -> Callable:
    """Over a method of a `Lesson` that several claims ask: it is computed once for the same arguments, and the lesson
    remembers it."""

    @functools.wraps(method)
    def remembered(self: Any, *given: Any, **named: Any) -> Any:
        known = vars(self).setdefault("_once", {})
        key = method.__name__, given, tuple(sorted(named.items()))
        if key not in known:
            known[key] = method(self, *given, **named)
        return known[key]

    return remembered
