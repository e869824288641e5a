"""The record of a run: how it is made where the job is sent, kept, and read again."""

from __future__ import annotations

import json
import math
import os
import pickle
from collections.abc import Iterable
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import cloudpickle

from ..cache import keep, keeping_in
from ..evaluation import GroupReport
from .jobs import Keyed, keyed


class Sent:
    """Something on its way to a worker, as bytes, which are read where it is asked for; none if it cannot be sent."""

    def __init__(self, thing: Any = None, content: bytes = b""):
        self.known, self.content = thing, content

    @property
    def thing(self) -> Any:
        return pickle.loads(self.content) if self.content else self.known

    def __reduce__(self) -> tuple[Any, ...]:
        if self.content:
            return Sent, (None, self.content)
        try:
            return Sent, (None, cloudpickle.dumps(self.known))
        except Exception:
            return Sent, (None, b"")


def run_and_keep(sent: Sent, path: Path, index: int, process: int) -> tuple[int, dict[str, Any] | None]:
    """Run a `Keyed` job and keep its record at `path`: (index, record). Another process than that which made it returns
    None for the record where the job is something else there: what was defined in a notebook may lose something on its
    way, and a file may have been edited after it was imported."""
    here = os.getpid() == process
    try:
        expected: Keyed = sent.thing
        (found,) = keyed([expected.job])
    except Exception:
        if here:
            raise
        return index, None
    if found.key != expected.key:
        if not here:
            return index, None
        raise RuntimeError(
            f"{found.job.name!r} is something else than a moment ago: another run has changed what it uses, such as "
            "a table, a generator or the data themselves; let every run make its own, or run each in a fresh process"
        )
    with keeping_in(path.parent.parent):  # its stages, too
        record = json.loads(json.dumps(dict(found.job.run(), key=path.stem)))
    keep(path, json.dumps(record).encode())
    return index, record


def run_elsewhere(sent: Sent, data: Sent) -> dict[str, Any] | None:
    """The record of a `Keyed` job, whose data come apart, on a worker that shares no disk with who asks and keeps its
    stages in a cache folder of its own; None where the job is something else there."""
    try:
        expected: Keyed = sent.thing
        (found,) = keyed([replace(expected.job, data=data.thing)])
    except Exception:
        return None
    return json.loads(json.dumps(dict(found.job.run(), key=found.key))) if found.key == expected.key else None


def read(path: Path) -> dict[str, Any] | None:
    """The record that is kept at `path`; None where there is none, or one that is damaged or of another run. That of a
    run that diverged has `diverged`, a sentence, and no report."""
    try:
        record = json.loads(path.read_bytes())
        if isinstance(record.get("diverged"), str) and record["key"] == path.stem:
            return record
        report = GroupReport(**{name: tuple(value) for name, value in record["report"].items()})
        groups = len(report.label_names) * len(report.attribute_names)
        counts = (report.correct, report.n), *(((row["correct"],), (row["n"],)) for row in record["history"])
        intact = (
            record["key"] == path.stem
            and all(_counts(right) and _counts(n) and all(c <= m for c, m in zip(right, n)) for right, n in counts)
            and [len(each) for each in (report.correct, report.n)] == [groups] * 2
            and len(report.train_n or ()) in (groups, len(report.label_names))
            and _counts(report.train_n or ())
            and all(isinstance(name, str) for name in (*report.label_names, *report.attribute_names))
            and _counts((record["seed"], record["epoch"]))
            and all(
                _counts((row["epoch"],)) and isinstance(row["split"] + row["group"], str) for row in record["history"]
            )
            and all(_finite(each) for each in (record["seconds"], *(row["loss"] for row in record["history"])))
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return record if intact else None


def _counts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values)


def _finite(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
