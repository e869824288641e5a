"""Claims: every statement of the lecture, measured over seeds, with an interval and a verdict.

A notebook opens with `here = lesson("01_loss_reweighting")` and states each claim as

    here.claim("L01.1", "Weighting by group lifts the worst group over plain training",
               measure=lambda seed: runs.value("weighted", seed) - runs.value("ERM", seed), holds=above(0.10))

The verdict is *holds* when the whole 95 % interval of the mean over seeds lies on the claimed side, *fails* when all
of it lies on the other, *undecided* otherwise. A claim's `repr` is its verdict, which is stable and is compared when
the notebooks are tested; its numbers are in the rich form, which is not.

The notebook is the only place where a claim is written. `measure_topic` runs its cells tagged setup, measure and
claim again, with other seeds where asked: that is what `debias-course claims` does.
"""

from __future__ import annotations

import contextvars
import datetime
import hashlib
import html
import inspect
import json
import math
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from . import __version__
from .cache import write_atomically
from .fingerprints import module_hash
from .study import Mean, mean_over_seeds, parse_seeds
from .training import pick_device

SHIPPED_SEEDS = {"quick": range(5), "full": range(20)}
CELLS = {"setup", "measure", "claim"}
ENGINE = [
    "study",
    "jobs",
    "training",
    "evaluation",
    "models",
    "methods.base",
    "data.grouped",
]  # what every claim rests on


@dataclass(frozen=True)
class Band:
    """The open interval in which a claim says that a mean lies."""

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self):
        if not self.low < self.high:
            raise ValueError(f"the band from {self.low} to {self.high} is empty; give the lower end first")

    def judge(self, mean: Mean) -> str:
        """ "holds", "fails" or "undecided" for the whole interval of `mean`."""
        if not (math.isfinite(mean.low) and math.isfinite(mean.high)):
            return "undecided"
        if self.low < mean.low and mean.high < self.high:
            return "holds"
        return "fails" if mean.high <= self.low or mean.low >= self.high else "undecided"

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"above {self.low:g}"
        return f"below {self.high:g}" if math.isinf(self.low) else f"between {self.low:g} and {self.high:g}"


def above(threshold: float) -> Band:
    return Band(low=threshold)


def below(threshold: float) -> Band:
    return Band(high=threshold)


def within(low: float, high: float) -> Band:
    """An equivalence band: "no difference" has to be shown, a missed threshold does not show it."""
    return Band(low, high)


@dataclass(frozen=True, repr=False)
class Claim:
    """A measured statement; `kept` says when, where it was not measured now but is known from its receipt."""

    id: str
    sentence: str
    holds: Band
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    kept: str = ""

    @property
    def mean(self) -> Mean:
        return mean_over_seeds(self.values)

    @property
    def verdict(self) -> str:
        return self.holds.judge(self.mean)

    def __repr__(self) -> str:
        return f"{self.verdict.upper()}: {self.sentence} [{self.id}: {self.holds}]"

    @property
    def numbers(self) -> str:
        if not self.seeds:
            return self.kept
        when = f" · {self.kept}" if self.kept else ""
        return f"measured {self.mean} · claimed {self.holds} · seeds {seeds_in_words(self.seeds)}{when}"

    def _repr_html_(self) -> str:
        mark = {"holds": "✔", "fails": "✘", "undecided": "?"}[self.verdict]
        color = {"holds": "#009E73", "fails": "#D55E00", "undecided": "#6b6b6b"}[self.verdict]
        return (
            f'<div style="border-left:4px solid {color};padding:4px 12px;margin:4px 0">'
            f'<strong style="color:{color}">{mark} {self.verdict}</strong> '
            f"<strong>{html.escape(self.sentence)}</strong><br>"
            f"<small>{self.id} · {html.escape(self.numbers)}</small></div>"
        )


def seeds_in_words(seeds: Sequence[int]) -> str:
    seeds = list(seeds)
    if len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


class Lesson:
    """The setting in which a notebook measures: topic, seeds, budget, and the claims made so far."""

    def __init__(self, topic: str, seeds: Sequence[int], budget: str):
        self.topic, self.seeds, self.budget = topic, tuple(seeds), budget
        self.claims: list[Claim] = []

    def __str__(self) -> str:
        return (
            f"debias_course {__version__} | torch {torch.__version__} on {pick_device()} | "
            f"{self.budget} budget: seeds {seeds_in_words(self.seeds)}"
        )

    def claim(
        self, id: str, sentence: str, *, measure: Callable[[int], float], holds: Band, costly: bool = False
    ) -> None:
        """Measure on every seed of the lesson, remember the claim and show it.

        `measure` returns one number per seed, a paired difference mostly. A `costly` claim is measured on the full
        budget only, and shown from its receipt on the quick one."""
        if costly and self.budget == "quick":
            found = self.from_receipt(id, sentence, holds)
        else:
            values = tuple(float(measure(seed)) for seed in self.seeds)
            broken = [seed for seed, value in zip(self.seeds, values) if not math.isfinite(value)]
            if broken:
                raise ValueError(f"claim {id} measured no finite number on seed {broken[0]}; look at its `measure`")
            found = Claim(id, sentence, holds, self.seeds, values)
        if any(claim.id == id and claim.sentence != sentence for claim in self.claims):
            raise ValueError(f"two claims are called {id}; give each statement its own id")
        self.claims = [claim for claim in self.claims if claim.id != id]  # the cell may be run again
        self.claims.append(found)
        if _asked.get() is None:
            from IPython.display import display

            display(self.claims[-1])

    def from_receipt(self, id: str, sentence: str, holds: Band) -> Claim:
        """The claim as measured on the full budget (on the shipped seeds, or the first that receipts have); undecided
        if never."""
        known = [each for each in read_receipts(self.topic) if each["id"] == id and each["budget"] == "full"]
        first = min(known, key=lambda each: (each["seeds"][0], -len(each["seeds"])), default=dict(seeds=range(5)))
        command = f"debias-course claims --topic {self.topic} --budget full --seeds {len(first['seeds'])} --save"
        if known:
            age = ", by code that has changed since" if first["stale"] else ""
            when = f"kept from {first['date']}{age}; measure it again: {command}"
            return Claim(id, sentence, holds, tuple(first["seeds"]), tuple(first["values"]), when)
        return Claim(id, sentence, holds, (), (math.nan,), f"too costly for this budget; measure it: {command}")


_asked: contextvars.ContextVar[tuple[Sequence[int] | None, str] | None] = contextvars.ContextVar("asked", default=None)


def lesson(topic: str, *, seeds: int | str | Sequence[int] | None = None, budget: str = "quick") -> Lesson:
    """Open a lesson and print its one line of versions, device and budget. `seeds` are those of its quick budget, where
    its claims need more than the five that are usual; whoever measures it again may ask for others."""
    if _asked.get() is not None:
        asked, budget = _asked.get()
        seeds = asked if asked is not None or budget != "quick" else seeds
    if budget not in SHIPPED_SEEDS:
        raise ValueError(f"budget is {budget!r}; use 'quick' or 'full'")
    opened = Lesson(topic, SHIPPED_SEEDS[budget] if seeds is None else parse_seeds(seeds), budget)
    print(opened)
    return opened


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


def measure_topic(
    topic: str, *, seeds: int | str | Sequence[int] | None = None, budget: str = "quick"
) -> tuple[list[Claim], list[dict]]:
    """Measure a lecture's claims again; returns them with the receipts of those that were measured now."""
    cells = claim_cells(topic)
    space: dict[str, Any] = {"__name__": "__main__"}  # as in a notebook: what cells define reaches worker processes
    token = _asked.set((seeds, budget))
    try:
        for number, source in enumerate(cells):
            exec(compile(source, f"<{topic}, claim cell {number}>", "exec", dont_inherit=True), space)
    finally:
        _asked.reset(token)
    here = next((value for value in space.values() if isinstance(value, Lesson)), None)
    if here is None or not here.claims:
        raise ValueError(f"{topic} makes no claim; tag the cells of its lesson and its claims setup, measure and claim")
    modules = {inspect.getmodule(value) for value in space.values() if not isinstance(value, Lesson)}
    used = {
        *(f"debias_course.{name}" for name in ENGINE),
        *(m.__name__ for m in modules if m and m.__name__.startswith("debias_course.")),
    }
    used -= {f"debias_course.{name}" for name in ("figures", "explore", "report", "claims")}  # they show, not compute
    used = {name for name in used if not name.startswith("debias_course.exercises")}
    code = {name: module_hash(import_module(name)) for name in sorted(used)}
    return here.claims, [receipt(claim, here, code, cells) for claim in here.claims if not claim.kept]


def receipt(claim: Claim, here: Lesson, code: dict[str, str], cells: list[str]) -> dict[str, Any]:
    """What was measured, on what, and by which code."""
    return dict(
        id=claim.id,
        sentence=claim.sentence,
        claimed=str(claim.holds),
        verdict=claim.verdict,
        value=claim.mean.value,
        low=claim.mean.low if len(claim.values) > 1 else None,
        high=claim.mean.high if len(claim.values) > 1 else None,
        values=list(claim.values),
        seeds=list(claim.seeds),
        budget=here.budget,
        device=str(pick_device()),
        versions=dict(debias_course=__version__, torch=torch.__version__, python=platform.python_version()),
        date=datetime.date.today().isoformat(),
        code=code,
        cells=_hash(cells),
    )


def _hash(cells: list[str]) -> str:
    return hashlib.sha256("\0".join(cells).encode()).hexdigest()


def receipts_path(topic: str) -> Path:
    return notebooks_folder().parent / "assets" / "claims" / f"{topic}.json"


def read_receipts(topic: str) -> list[dict[str, Any]]:
    """The kept receipts of a topic, each with `stale`: True where the code or the claim has changed since."""
    path = receipts_path(topic)
    if not path.exists():
        return []
    receipts = json.loads(path.read_text(encoding="utf-8"))
    cells = _hash(claim_cells(topic))
    for each in receipts:
        now = {name: _hash_of(name) for name in each["code"]}
        each["stale"] = now != each["code"] or cells != each["cells"]
    return receipts


def _hash_of(module: str) -> str | None:
    try:
        return module_hash(import_module(module))
    except ModuleNotFoundError:
        return None


def save_receipts(topic: str, receipts: list[dict[str, Any]]) -> Path:
    """Put receipts in the place of older ones of the same claim that have the same seeds or some of them, and the same
    budget, or any if they are stale (the claim may have become costly); in the order of the notebook."""

    def replaced(old: dict[str, Any], new: dict[str, Any]) -> bool:
        covered = old["id"] == new["id"] and set(old["seeds"]) <= set(new["seeds"])
        return covered and (old["stale"] or old["budget"] == new["budget"])

    both = [old for old in read_receipts(topic) if not any(replaced(old, new) for new in receipts)]
    both += receipts
    kept = {(r["id"], *r["seeds"], r["budget"]): {k: v for k, v in r.items() if k != "stale"} for r in both}
    stated = re.findall(r"""\.claim\(\s*["']([^"']+)""", "".join(claim_cells(topic)))
    rows = [r for r in kept.values() if r["id"] in stated]
    rows.sort(key=lambda r: (r["seeds"], r["budget"], stated.index(r["id"])))
    path = receipts_path(topic)
    write_atomically(path, (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode())
    return path


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
            f"| {r['id']} | {r['sentence']} | {r['verdict']} | {r['value']:.3f} ({r['low']:.3f} to {r['high']:.3f}) | "
            f"{r['claimed']} |"
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
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    before, mark, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if mark and end:
        write_atomically(path, (before + mark + front_page() + end + after).encode())
