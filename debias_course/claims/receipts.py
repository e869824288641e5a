"""Receipts: what was measured of each claim, when and on what, kept beside the notebooks and shown on the front page.

A receipt is fresh for as long as two things are as they were: the statement with the module that measures it, read
without comments, docstrings and white space; and the behaviour of the code that it rests on, as `golden` runs show it.
"""

from __future__ import annotations

import ast
import contextlib
import datetime
import hashlib
import io
import json
import math
import platform
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from .. import __version__
from ..cache import write_atomically
from ..training import pick_device
from . import golden, topics
from .verdicts import Claim

SHOWS = tuple(
    f"debias_course.{name}" for name in ("claims", "figures", "report", "lectures.panels", "lectures.exercises")
)


def receipt(topic: str, claim: Claim, budget: str, behaviour: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """What was measured of a claim, and the `behaviour` of what it rests on."""
    return dict(
        id=claim.id,
        sentence=claim.sentence,
        claimed=str(claim.holds),
        verdict=claim.verdict,
        value=claim.mean.value,
        low=claim.mean.low if math.isfinite(claim.mean.low) else None,
        high=claim.mean.high if math.isfinite(claim.mean.high) else None,
        values=list(claim.values),
        seeds=list(claim.seeds),
        budget=budget,
        device=str(pick_device()),
        versions=dict(debias_course=__version__, torch=torch.__version__, python=platform.python_version()),
        date=datetime.date.today().isoformat(),
        statement=statement(topic, claim.id),
        behaviour=dict(behaviour),
    )


def statement(topic: str, id: str) -> str:
    """Hash of a claim and of the lecture's measurements, without the functions of the other claims."""
    source = Path(str(topics.measurements(topic).__file__)).read_text(encoding="utf-8")
    return hashlib.sha256(bare(source, id).encode()).hexdigest()


def stated(topic: str) -> list[str]:
    """The ids of a lecture's claims, in order."""
    return list(topics.lesson_of(topic).measures)


def bare(source: str, id: str) -> str:
    """Code without comments, docstrings, white space, and the claims that are not called `id`."""
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for place, each in enumerate(body if isinstance(body, list) else ()):
            value = getattr(each, "value", None) if isinstance(each, ast.Expr) else None
            docstring = place == 0 and isinstance(value, ast.Constant) and isinstance(value.value, str)
            if docstring or any(_other_claim(call, id) for call in getattr(each, "decorator_list", ())):
                first = min(part.lineno for part in (each, *getattr(each, "decorator_list", ())))
                lines[first - 1 : each.end_lineno] = [""] * (each.end_lineno - first + 1)
    return "".join("".join(lines).split())


def _other_claim(call: Any, id: str) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", "")) if isinstance(call, ast.Call) else ""
    return name == "claim" and bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value != id


def receipts_path(topic: str) -> Path:
    """Where the receipts of a topic are kept."""
    return topics.notebooks_folder().parent / "assets" / "claims" / f"{topic}.json"


def read_receipts(topic: str) -> list[dict[str, Any]]:
    """The kept receipts of a topic. Each has `changed`, what is no longer as it was measured: "statement" or golden
    runs; `stale` says whether there is something. ValueError for a file that is damaged."""
    path = receipts_path(topic)
    if not path.exists():
        return []
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        changed = [golden.changed(each) for each in kept["behaviours"]]
        receipts = [dict(each, behaviour=kept["behaviours"][each["behaviour"]]) for each in kept["receipts"]]
        for each, row in zip(receipts, kept["receipts"]):
            each["changed"] = ["statement"] * (statement(topic, each["id"]) != each["statement"])
            each["changed"] += changed[row["behaviour"]]
            each["stale"] = bool(each["changed"])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {error}); take it from the repository again (git checkout), "
            f"or delete it and measure: debias-course claims --topic {topic} --save"
        ) from error
    return receipts


def save_receipts(topic: str, receipts: list[dict[str, Any]]) -> Path:
    """Put receipts in the place of older ones of the same claim that have the same seeds or some of them, and the same
    budget, or any if they are stale (the claim may have become costly); in the order of the lesson. One process at a
    time; others wait."""
    path = receipts_path(topic)
    with alone():
        rows = _merged(topic, receipts)
        behaviours: list[dict] = []
        for row in rows:
            row["behaviour"] = _place(row["behaviour"], behaviours)
        content = json.dumps(dict(behaviours=behaviours, receipts=rows), indent=1, ensure_ascii=False)
        content = re.sub(r"\[\n\s+(-?[\d.e+-]+(?:,\n\s+-?[\d.e+-]+)*)\n\s+\]", _on_one_line, content)
        write_atomically(path, (content + "\n").encode())
    return path


def _merged(topic: str, receipts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def replaced(old: dict[str, Any], new: dict[str, Any]) -> bool:
        covered = old["id"] == new["id"] and set(old["seeds"]) <= set(new["seeds"])
        return covered and (old["stale"] or old["budget"] == new["budget"])

    both = [old for old in read_receipts(topic) if not any(replaced(old, new) for new in receipts)]
    both += receipts
    shown = {"stale", "changed"}
    kept = {(r["id"], *r["seeds"], r["budget"]): {k: v for k, v in r.items() if k not in shown} for r in both}
    order = stated(topic)
    rows = [r for r in kept.values() if r["id"] in order]
    return sorted(rows, key=lambda r: (r["seeds"], r["budget"], order.index(r["id"])))


def _place(behaviour: dict[str, list[float]], among: list[dict[str, list[float]]]) -> int:
    """Where a behaviour stands among others; it is put there if it is new."""
    for place, known in enumerate(among):
        if set(known) == set(behaviour) and all(golden.agree(known[name], behaviour[name]) for name in known):
            return place
    among.append(behaviour)
    return len(among) - 1


def _on_one_line(numbers: re.Match) -> str:
    return f"[{' '.join(numbers[1].split())}]"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Receipts and front page are changed by one process at a time."""
    folder = topics.notebooks_folder().parent / "assets" / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield
