"""The front page: what the lecture says and what was found, in the README; all that was measured, in CLAIMS.md."""

from __future__ import annotations

import textwrap

from ..cache import write_atomically
from .circumstances import words
from .findings import findings
from .receipts import alone, best, read_receipts, shipped
from .topics import lesson_of, notebooks_folder, topics
from .verdicts import Claim, brief

MARKS = "<!-- statements: made by `debias-course claims --save` -->\n", "<!-- end of statements -->"


def front_page() -> str:
    """Markdown: a row for each statement of the lecture that was measured in its circumstances, and five findings."""
    lines = ["| lecture | the lecture says | we found | effect, in the circumstances |", "|---|---|---|---|"]
    for topic, claims in _measured().items():
        for found in claims:
            if found.id.startswith("L") and found.central:
                row = f"[{topic[:2]}](notebooks/{topic}.ipynb)", found.sentence, f"**{found.answer}**", found.effect
                lines.append(f"| {' | '.join(row)} |")
    plain = [
        textwrap.fill(f"{number}. {each}", 118, subsequent_indent="   ") for number, each in enumerate(findings(), 1)
    ]
    return "\n".join([*lines, "", "### Five findings", "", *plain, ""])


def claims_page() -> str:
    """Markdown: for each lecture its claims on the shipped seeds, with verdicts and numbers from the receipts."""
    blocks = [
        "# Claims\n",
        "Made by `debias-course claims --save`; every number is from a receipt in `assets/claims`.\n",
    ]
    for topic, claims in _measured().items():
        others = best([each for each in read_receipts(topic) if each["seeds"][0] != 0])
        blocks.append(f"## {topic.replace('_', ' ')}\n")
        head = (
            "| | claim | claimed | we expected | we found | measured, 95 % interval | would repeat | on other seeds |"
        )
        lines = [head, "|---|---|---|---|---|---|---|---|"]
        for found in claims:
            again = others.get(found.id)
            row = (
                *(
                    found.id,
                    found.sentence,
                    found.claimed,
                    found.expected,
                    f"**{found.answer}**",
                    brief(found.at_middle.mean),
                ),
                *(f"{found.replication:.2f}", lesson_of(topic).of_receipt(again).answer if again else "not measured"),
            )
            lines.append(f"| {' | '.join(row)} |")
        blocks += ["\n".join(lines) + "\n", *(strip(found) for found in claims if len(found.cells) > 1)]
    return "\n".join(blocks)


def strip(found: Claim) -> str:
    """Markdown: what was measured in each circumstance."""
    axes = list(found.cells[0].where)
    lines = [
        f"| {' | '.join(map(words, axes))} | {found.id} | measured, 95 % interval |",
        "|" + "---|" * (len(axes) + 2),
    ]
    for cell in found.cells:
        lines.append(f"| {' | '.join(map(words, cell.where.values()))} | {cell.verdict} | {brief(cell.mean)} |")
    return f"<details><summary>{found.id} in each circumstance</summary>\n\n" + "\n".join(lines) + "\n\n</details>\n"


def _measured() -> dict[str, list[Claim]]:
    """By topic the claims of the shipped receipts, in the order of the lesson."""
    found = {}
    for topic in topics():
        lesson, kept = lesson_of(topic), shipped(topic)
        found[topic] = [lesson.of_receipt(kept[id]) for id in lesson.measures if id in kept]
    return found


def update_front_page() -> None:
    """Put `front_page` between its marks in the README, if there is one that has them, and `claims_page` beside it."""
    folder = notebooks_folder().parent
    path = folder / "README.md"
    with alone():
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        before, mark, rest = text.partition(MARKS[0])
        _, end, after = rest.partition(MARKS[1])
        if mark and end:
            write_atomically(path, (before + mark + front_page() + end + after).encode())
            write_atomically(folder / "CLAIMS.md", claims_page().encode())
