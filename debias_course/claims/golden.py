"""Golden runs: what each part of the course does, in a few numbers, so that a change of behaviour is seen.

A receipt of a measurement vouches for code of today as long as the golden runs of the parts that it rests on come out
as they did on the day (`agree`). So a function that is moved, renamed or written better needs no new measurement, and a
colour that changes does. What a golden run (`golden_runs`) does not look at it cannot see.

    behaviour(names_of(study, data.colored_digits, GroupDRO))
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..fingerprints import fingerprint, reached
from .golden_runs import GOLDEN

RELATIVE, ABSOLUTE = 4e-4, 1e-5  # ten times what AVX-512 and SSE differ by; a change that matters is larger


def names_of(*things: Any, but: Iterable[str] = ()) -> list[str]:
    """The golden runs that show the behaviour of what the things reach; see `fingerprints.reached`."""
    there = {id(each) for each in reached(*things, but=but)}
    return [name for name, golden in GOLDEN.items() if not golden.of or there & {id(each) for each in golden.of}]


_known: dict[str, list[float]] = {}  # by the fingerprint of the run


def behaviour(names: Iterable[str]) -> dict[str, list[float]]:
    """The numbers of golden runs by name; those that there are none of any more are left out."""
    found = {}
    for name in names:
        if name in GOLDEN:
            run = GOLDEN[name].run
            key = fingerprint(run)
            if key not in _known:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # they are for those who train
                    _known[key] = [float(f"{value:.7g}") for value in run()]
            found[name] = _known[key]
    return found


def agree(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two machines may have made these numbers of one golden run."""
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE) for a, b in zip(one, other)
    )


def today(names: Iterable[str]) -> dict[str, list[float]]:
    """The `behaviour` of those golden runs that still come to an end."""
    found: dict[str, list[float]] = {}
    for name in names:
        with contextlib.suppress(Exception):
            found |= behaviour([name])
    return found


def changed(then: Mapping[str, Sequence[float]], now: Mapping[str, Sequence[float]]) -> list[str]:
    """The golden runs of then that come out differently now, or no longer come to an end."""
    return [name for name, numbers in then.items() if name not in now or not agree(numbers, now[name])]
