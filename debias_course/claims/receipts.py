"""Receipts: what was measured of each claim, when and on what, kept beside the notebooks and shown on the front page.

A receipt is fresh for as long as two things are as they were: the statement with the module that measures it, read
without comments, docstrings and white space; and the behaviour of the code that it rests on, as `golden` runs show it.
"""

from __future__ import annotations

import ast
import contextlib
import datetime
import functools
import hashlib
import io
import json
import math
import platform
import re
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock

from .. import __version__
from ..cache import write_atomically
from ..training import pick_device
from . import golden, topics
from .verdicts import Claim

if TYPE_CHECKING:
    import pandas as pd

SHOWS = tuple(
    f"debias_course.{name}" for name in ("claims", "figures", "report", "lectures.panels", "lectures.exercises")
)


def receipt(lesson: Any, claim: Claim, budget: str) -> dict[str, Any]:
    """What was measured of a claim of a lesson, and the behaviour of what it rests on."""
    cells = [
        dict(where=dict(cell.where), verdict=cell.verdict, value=cell.mean.value, values=list(cell.values))
        | dict(low=finite(cell.mean.low), high=finite(cell.mean.high))
        for cell in claim.cells
    ]
    said = dict(id=claim.id, sentence=claim.sentence, claimed=claim.claimed, verdict=claim.verdict)
    return said | dict(cells=cells, seeds=list(claim.seeds), budget=budget, **_made(lesson, claim.id))


def receipt_of_table(lesson: Any, id: str, made: pd.DataFrame, seeds: Sequence[int]) -> dict[str, Any]:
    """What was measured for a table of a lesson, column by column."""
    columns = {name: [finite(value) for value in values] for name, values in made.to_dict("list").items()}
    sentence = lesson.tables[id].statement.sentence
    return dict(id=id, sentence=sentence, table=columns, seeds=list(seeds), budget="full", **_made(lesson, id))


def finite(value: Any) -> Any:
    """A number as JSON knows it: with seven digits, and none for infinity."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _made(lesson: Any, id: str) -> dict[str, Any]:
    """When a measurement is made, on what, and by which code: as its statement reads, and as it behaves."""
    rests_on = golden.names_of(*lesson.parts((lesson.measures | lesson.tables)[id].__name__), but=SHOWS)
    return dict(
        device=str(pick_device()),
        versions=dict(debias_course=__version__, torch=torch.__version__, python=platform.python_version()),
        date=datetime.date.today().isoformat(),
        statement=statement(lesson.topic, id),
        behaviour=golden.behaviour(rests_on),
    )


def shipped(topic: str, made: Sequence[dict[str, Any]] = ()) -> dict[str, dict[str, Any]]:
    """By id the receipts on the shipped seeds; in place of them those on seeds and budget of `made`, where there are
    some."""
    known = read_receipts(topic)
    alike = {(each["id"], *each["seeds"], each["budget"]) for each in made}
    same = [each for each in known if (each["id"], *each["seeds"], each["budget"]) in alike]
    return best([each for each in known if each["seeds"][0] == 0]) | best(same)


def best(known: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By id the receipt of a claim that says most: fresh before stale, then by circumstances, then of the quick budget.
    None that says something else by now."""
    said = [each for each in known if "cells" in each and "statement" not in each["changed"]]
    said.sort(key=lambda each: (not each["stale"], len(each["cells"]), each["budget"] == "quick", len(each["seeds"])))
    return {each["id"]: each for each in said}


def kept_on_full(topic: str, id: str) -> dict[str, Any] | None:
    """The receipt of the full budget on the shipped seeds, or the first that there is."""
    return on_full(read_receipts(topic), id)


def on_full(known: Sequence[dict[str, Any]], id: str) -> dict[str, Any] | None:
    """The same among those that are known."""
    full = [each for each in known if each["id"] == id and each["budget"] == "full"]
    return min(full, key=lambda each: (each["seeds"][0], -len(each["seeds"])), default=None)


def table_of(kept: dict[str, Any] | None, topic: str, id: str) -> pd.DataFrame:
    """A table from its receipt; an interval that is not known is NaN."""
    import pandas as pd

    if kept is None:
        raise ValueError(
            f"table {id} has not been made; measure it: debias-course claims --topic {topic} --budget full --save"
        )
    return pd.DataFrame(kept["table"])


def statement(topic: str, id: str) -> str:
    """Hash of a claim and of the lecture's measurements, without the functions of the other claims; and of the modules
    of the lecture that these import."""
    path = Path(str(topics.measurements(topic).__file__))
    source = path.read_text(encoding="utf-8")
    imports = [each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.ImportFrom) and each.level == 1]
    beside = [path.with_name(f"{each.module}.py").read_text(encoding="utf-8") for each in imports]
    return hashlib.sha256("".join(bare(each, id) for each in (source, *beside)).encode()).hexdigest()


def stated(topic: str) -> list[str]:
    """The ids of a lecture's claims and tables, in order."""
    lesson = topics.lesson_of(topic)
    return [*lesson.measures, *lesson.tables]


@functools.cache
def bare(source: str, id: str) -> str:
    """Code in its logical lines, without comments, docstrings, blanks between words, and the claims that are not called
    `id`. Braces stand for what is indented."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for place, each in enumerate(body if isinstance(body, list) else ()):
            value = getattr(each, "value", None) if isinstance(each, ast.Expr) else None
            docstring = place == 0 and isinstance(value, ast.Constant) and isinstance(value.value, str)
            if docstring or any(_other_claim(call, id) for call in getattr(each, "decorator_list", ())):
                first = min(part.lineno for part in (each, *getattr(each, "decorator_list", ())))
                lines[first - 1 : each.end_lineno] = [""] * (each.end_lineno - first + 1)
    left_out, in_place = (tokenize.COMMENT, tokenize.NL), {tokenize.INDENT: "{", tokenize.DEDENT: "}"}
    tokens = tokenize.generate_tokens(io.StringIO("".join(lines)).readline)
    return "".join(in_place.get(each.type, each.string) for each in tokens if each.type not in left_out)


def _other_claim(call: Any, id: str) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", "")) if isinstance(call, ast.Call) else ""
    return (
        name in ("claim", "table")
        and bool(call.args)
        and isinstance(call.args[0], ast.Constant)
        and call.args[0].value != id
    )


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
        today = golden.today({name for each in kept["behaviours"] for name in each})
        changed = [golden.changed(each, today) for each in kept["behaviours"]]
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
        content = re.sub(r"(\[)\n\s+(-?[\d.e+-]+(?:,\n\s+-?[\d.e+-]+)*)\n\s+(\])", _on_one_line, content)
        content = re.sub(r"(\{)\n\s+([^{}\[\]]*?)\n\s+(\})", _on_one_line, content)
        write_atomically(path, (content + "\n").encode())
    return path


def _merged(topic: str, receipts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def replaced(old: dict[str, Any], new: dict[str, Any]) -> bool:
        covered = old["id"] == new["id"] and set(old["seeds"]) <= set(new["seeds"])
        whole = len(old.get("cells", ())) <= len(new.get("cells", ()))  # a middle does not stand for its strip
        return covered and (old["stale"] and whole or old["budget"] == new["budget"])

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


def _on_one_line(found: re.Match) -> str:
    """Numbers in brackets, or a small object in braces."""
    return found[1] + " ".join(found[2].split()) + found[3]


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Receipts and front page are changed by one process at a time."""
    folder = topics.notebooks_folder().parent / "assets" / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield
