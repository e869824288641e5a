"""Receipts: what was measured of each claim, when and on what, kept beside the notebooks and shown on the front page.

A receipt is fresh for as long as two things are as they were: the statement with the cells that measure it, read
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from . import __version__, golden
from .cache import write_atomically
from .training import pick_device

CELLS = {"setup", "measure", "claim"}
SHOWS = tuple(
    f"debias_course.{name}" for name in ("claims", "receipts", "golden", "figures", "explore", "exercises", "report")
)


def notebooks_folder() -> Path:
    """The notebooks of this clone; FileNotFoundError with a remedy where the package was installed without them."""
    folder = Path(__file__).parents[1] / "notebooks"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there are no notebooks beside the package (looked in {folder}); "
            "clone the repository and install it with pip install -e ."
        )
    return folder


def topics() -> list[str]:
    """The lectures of the course, by number."""
    return sorted(path.stem for path in notebooks_folder().glob("[0-9][0-9]_*.ipynb"))


def claim_cells(topic: str) -> list[str]:
    """Sources of the notebook's cells that are tagged setup, measure or claim, in order."""
    book = json.loads((notebooks_folder() / f"{topic}.ipynb").read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in book["cells"] if CELLS & set(c["metadata"].get("tags", ()))]


def receipt(claim: Any, here: Any, cells: Sequence[str], code: Sequence[Any]) -> dict[str, Any]:
    """What was measured of a claim in a lesson, by the cells given as sources and as functions."""
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
        budget=here.budget,
        device=str(pick_device()),
        versions=dict(debias_course=__version__, torch=torch.__version__, python=platform.python_version()),
        date=datetime.date.today().isoformat(),
        statement=statement(cells, claim.id),
        behaviour=golden.behaviour(golden.names_of(*code, but=SHOWS)),
    )


def statement(cells: Sequence[str], id: str) -> str:
    """Hash of a claim and of the cells that measure it, without those of the other claims."""
    return hashlib.sha256("\n".join(bare(source, id) for source in cells).encode()).hexdigest()


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
            if docstring or _other_claim(value, id):
                lines[each.lineno - 1 : each.end_lineno] = [""] * (each.end_lineno - each.lineno + 1)
    return "".join("".join(lines).split())


def _other_claim(value: Any, id: str) -> bool:
    called = isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "claim"
    return called and bool(value.args) and isinstance(value.args[0], ast.Constant) and value.args[0].value != id


def receipts_path(topic: str) -> Path:
    """Where the receipts of a topic are kept."""
    return notebooks_folder().parent / "assets" / "claims" / f"{topic}.json"


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
        cells = claim_cells(topic)
        for each, row in zip(receipts, kept["receipts"]):
            each["changed"] = ["statement"] * (statement(cells, each["id"]) != each["statement"])
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
    budget, or any if they are stale (the claim may have become costly); in the order of the notebook. One process at a
    time; others wait."""
    path = receipts_path(topic)
    with _alone():
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
    stated = re.findall(r"""\.claim\(\s*["']([^"']+)""", "".join(claim_cells(topic)))
    rows = [r for r in kept.values() if r["id"] in stated]
    return sorted(rows, key=lambda r: (r["seeds"], r["budget"], stated.index(r["id"])))


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
def _alone():
    """Receipts and front page are changed by one process at a time."""
    folder = notebooks_folder().parent / "assets" / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield


def _interval(receipt: dict[str, Any]) -> str:
    return "no interval" if receipt["low"] is None else f"{receipt['low']:.3f} to {receipt['high']:.3f}"


MARKS = "<!-- claims: made by `debias-course claims --save` -->\n", "<!-- end of claims -->"


def front_page() -> str:
    """Markdown: for each lecture its claims on the shipped seeds, with verdicts and numbers from the receipts."""
    blocks = []
    for topic in topics():
        shipped = [r for r in read_receipts(topic) if r["seeds"][0] == 0]
        quick = {r["id"] for r in shipped if r["budget"] == "quick"}
        rows = [r for r in shipped if r["budget"] == "quick" or r["id"] not in quick]  # some are costly
        held = sum(r["verdict"] == "holds" for r in rows)
        lines = [
            f"| {r['id']} | {r['sentence']} | {r['verdict']} | {r['value']:.3f} ({_interval(r)}) | {r['claimed']} |"
            for r in rows
        ]
        name = topic.replace("_", " ")
        blocks.append(
            f"<details><summary>{name}: {held} of {len(rows)} claims hold</summary>\n\n"
            "| | claim | verdict | measured, 95 % interval | claimed |\n|---|---|---|---|---|\n"
            + "\n".join(lines)
            + "\n\n</details>\n"
        )
    return "\n".join(blocks)


def update_front_page() -> None:
    """Put `front_page` between its marks in the README, if there is one that has them."""
    path = notebooks_folder().parent / "README.md"
    with _alone():
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        before, mark, rest = text.partition(MARKS[0])
        _, end, after = rest.partition(MARKS[1])
        if mark and end:
            write_atomically(path, (before + mark + front_page() + end + after).encode())
