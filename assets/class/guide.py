"""The instructor's guide, INSTRUCTORS.md, and the exam questions: python assets/class/guide.py writes the guide.

What can be known from a lecture is taken from it: its goals, its guesses, its exercises. What only a teacher knows
is in `lectures/LECTURE.md`, a file for each; its exam questions go into the instructor's course and not into the guide.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]
import labs  # noqa: E402
from debias_course.claims.topics import notebooks_folder, topics  # noqa: E402

GUIDE = ROOT / "INSTRUCTORS.md"
SECTIONS = ("At the guesses", "Usual wrong answers", "Exam", "Solutions")  # of a lecture's entry
NOTE = "<!-- made by `python assets/class/guide.py` from assets/class: edit there -->\n\n"


def entry(lecture: str) -> dict[str, str]:
    """What a teacher knows of a lecture, by section; {} where nobody has written it."""
    path = HERE / "lectures" / f"{lecture}.md"
    if not path.exists():
        return {}
    parts = re.split(r"^## (.+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {title: words.strip() for title, words in zip(parts[1::2], parts[2::2])}


def exam(lecture: str) -> str:
    """The exam questions of a lecture, with their solutions."""
    found = entry(lecture)
    questions, solutions = (found.get(each, "None has been written yet.") for each in SECTIONS[2:])
    return f"# Exam questions on lecture {lecture[:2]}\n\n{questions}\n\n## Solutions\n\n{solutions}\n"


def cells_of(lecture: str) -> list[dict[str, Any]]:
    text = (notebooks_folder() / f"{lecture}.ipynb").read_text(encoding="utf-8")
    return list(json.loads(text)["cells"])


def title(cells: list[dict[str, Any]]) -> str:
    return str(re.findall(r"^# (.+)", labs.source(cells[0]), flags=re.MULTILINE)[-1])


def goals(cells: list[dict[str, Any]]) -> str:
    """The list below "What you will be able to claim"."""
    for cell in cells:
        _, found, after = labs.source(cell).partition("**What you will be able to claim")
        if found and (listed := re.search(r"^- .*?(?=\n\n|\Z)", after, flags=re.MULTILINE | re.DOTALL)):
            return listed[0]
    return ""


def guesses(cells: list[dict[str, Any]]) -> dict[str, tuple[str, list[str]]]:
    """Each guess by its claim: the question and the answers."""
    found = {}
    for cell in cells:
        if cell["cell_type"] == "code" and labs.source(cell).startswith("here.guess("):
            call = ast.parse(labs.source(cell), mode="eval").body
            assert isinstance(call, ast.Call)
            id, question, *answers = (ast.literal_eval(each) for each in call.args)
            found[id] = question, answers
    return found


def discussed(lecture: str) -> dict[str, str]:
    """What to discuss at each guess, by its claim."""
    items = re.split(r"^(?=- )", entry(lecture).get(SECTIONS[0], ""), flags=re.MULTILINE)
    return {found[1]: each.strip() for each in items if (found := re.match(r"- \*\*([LB][\d.]+)\*\*", each))}


def exercises(cells: list[dict[str, Any]]) -> str:
    """What the exercises ask, as a list."""
    found = []
    for cell in cells:
        if cell["cell_type"] == "code" and labs.CHECK.search(labs.source(cell)):
            lines = [each[1:].strip() for each in labs.source(cell).splitlines() if each.startswith("#")]
            found.append(" ".join(lines))
    return "\n".join(found)


def section(lecture: str) -> str:
    """A lecture's part of the guide."""
    cells, found = cells_of(lecture), entry(lecture)
    asked, said = guesses(cells), discussed(lecture)
    rows = "\n".join(f"| {id} | {words} | {' · '.join(answers)} |" for id, (words, answers) in asked.items())
    talk = "\n".join(said[id] for id in asked if id in said)
    return f"""## {title(cells)}

[The lecture](notebooks/{lecture}.ipynb){minutes(lecture)}. Afterwards students can say:

{goals(cells)}

**Guesses**, each before its result. What was measured stands in [CLAIMS.md](CLAIMS.md) under the same number.

| claim | question | answers |
|---|---|---|
{rows}

{talk or "Nobody has written yet what to discuss at them."}

**Exercises**

{exercises(cells)}

**Usual wrong answers, and what they reveal**

{found.get(SECTIONS[1], "Nobody has written them down yet.")}
"""


def minutes(lecture: str) -> str:
    """How long a lecture takes alone, as the README says."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"\(notebooks/{lecture}\.ipynb\)[^|]*\| (\d+) min", readme)
    return f", {found[1]} minutes to read and play alone" if found else ""


def memory() -> str:
    """What each lecture needs, as measured."""
    kept = json.loads((HERE / "memory.json").read_text())
    lines = [f"| {each[:2]} | not measured yet | |" for each in topics()]
    for number, each in enumerate(topics()):
        if each in kept:
            memory, seconds = kept[each]["megabytes"] / 1000, kept[each]["seconds"]
            lines[number] = f"| {each[:2]} | {memory:.1f} GB | {seconds} s |"
    return "\n".join(["| lecture | memory at the peak | from top to bottom |", "|---|---|---|", *lines])


def semester() -> str:
    """A week for each lecture, and the end."""
    weeks = [f"[{title(cells_of(each))}](notebooks/{each}.ipynb)" for each in topics()]
    weeks.append("a project: your own data, or one claim of the course where nobody has measured it")
    weeks.append("presentations and exam")
    return "\n".join(["| week | |", "|---|---|", *(f"| {number} | {name} |" for number, name in enumerate(weeks, 1))])


def guide() -> str:
    """The whole guide."""
    text = (HERE / "guide.md").read_text(encoding="utf-8")
    parts = dict(semester=semester(), memory=memory(), lectures="\n".join(section(each) for each in topics()))
    for name, words in parts.items():
        text = text.replace(f"{{{name}}}", words.rstrip("\n"))
    return NOTE + text


if __name__ == "__main__":
    GUIDE.write_text(guide(), encoding="utf-8")
    print(f"wrote {GUIDE}")
