"""The front page: the README shows each lecture's claims with their receipts."""

from __future__ import annotations

from typing import Any

from ..cache import write_atomically
from .receipts import alone, read_receipts
from .topics import notebooks_folder, topics


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
    with alone():
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        before, mark, rest = text.partition(MARKS[0])
        _, end, after = rest.partition(MARKS[1])
        if mark and end:
            write_atomically(path, (before + mark + front_page() + end + after).encode())
