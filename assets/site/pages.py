"""A stored notebook as a page: what was executed stays as it is, and what a reader should not see at once is folded.

A guess folds the results that answer it, a cell that measures folds its code, hints and solutions stand folded below
their exercise, and a panel is alive (`live`). Nothing is executed.
"""

from __future__ import annotations

import html
import importlib
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import live
from debias_course.claims.shown import COLORS
from debias_course.workspace import RESULT

Cell = dict[str, Any]
FOLDED = {  # tags of cells whose code is folded, and what stands there instead
    "setup": "the imports of this notebook",
    "measure": "the code of this measurement",
    "widget": "the code of this panel",
}
RESULTS = {  # calls that show a result, and what it is
    "here.claim(": "what was measured",
    "here.where(": "in which circumstances",
    "here.kept(": "the picture",
}
GUESS = re.compile(r'\bhere\.guess\(\s*"([^"]+)"')
IDS = re.compile(r'"([A-Z]\d\d\.\d+)"')
EXERCISE = re.compile(r"\bexercises\.(\w+)\.check\(")


def page(book: dict[str, Any], name: str, bar: str, pictures: Path, address: str) -> dict[str, Any]:
    """The notebook `name` as MyST-NB should read it, with a `bar` of links below its title. Pictures of panels go to
    the folder `pictures`, which the page knows as `address`."""
    cells: list[Cell] = []
    guessed: set[str] = set()
    answering = False  # whether the results that we are among are an answer
    for cell in book["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            before = ["".join(each["source"]) for each in book["cells"][: book["cells"].index(cell)] if code(each)]
            if "widget" in tags(cell):
                made = live.panel(live.grid_of(source, before), f"panel-{cell['id']}", pictures, address)
                cell["outputs"] = [output(made)]
            if found := GUESS.search(source):
                guessed.add(found[1])
                ask(cell, found[1])
            elif RESULT.search(source) and "answers" not in tags(cell):
                ids = guessed.intersection(IDS.findall(source))
                answering = bool(ids) or (answering and "here.kept(" in source)
                if answering:
                    hide(cell, ids)
            if source.startswith("figures.picture(") and not tags(cell):
                fold(cell, "hide-input", "the code of this picture")
            for tag in FOLDED.keys() & set(tags(cell)):
                fold(cell, "hide-input", FOLDED[tag])
            if source.startswith("here."):
                fold(cell, "remove-input")
            colour(cell)
        cells.append(cell)
        if found := EXERCISE.search(source):
            cells.append(help_with(name, found[1]))
    first = cells[0]
    first["source"] = under_title("".join(first["source"]), bar)
    return book | dict(cells=cells)


def code(cell: Cell) -> bool:
    return bool(cell["cell_type"] == "code")


def tags(cell: Cell) -> list[str]:
    return cell["metadata"].get("tags", [])


def output(text: str) -> dict[str, Any]:
    return dict(output_type="display_data", metadata={}, data={"text/html": text})


def under_title(text: str, bar: str) -> str:
    """The last title of the first cell, as a page has one, with the bar below it."""
    *_, title = re.split(r"^# ", text, flags=re.MULTILINE)
    head, _, rest = title.partition("\n")
    return f"# {head}\n\n{bar}\n{rest}"


def ask(cell: Cell, id: str) -> None:
    """Mark a guess, so that `course.js` makes buttons of its answers."""
    for each in cell["outputs"]:
        inside = "".join(each["data"]["text/html"])
        each["data"]["text/html"] = f'<div class="course-guess" data-claim="{html.escape(id)}">{inside}</div>'
    fold(cell, "remove-input")


def hide(cell: Cell, ids: set[str]) -> None:
    """Fold the results that answer a guess."""
    source = "".join(cell["source"])
    fold(cell, "remove-input")
    fold(cell, "hide-output", next(what for call, what in RESULTS.items() if call in source))
    cell["metadata"]["tags"] += [f"answers-{id.replace('.', '-')}" for id in sorted(ids)]


def fold(cell: Cell, how: str, what: str = "") -> None:
    cell["metadata"]["tags"] = [*tags(cell), how]
    if what:
        prompts = dict(code_prompt_show=f"Show {what}", code_prompt_hide=f"Hide {what}")
        cell["metadata"]["mystnb"] = prompts


def colour(cell: Cell) -> None:
    """Colours of verdicts by name, so that a dark page has others."""
    for each in cell["outputs"]:
        if "text/html" in each.get("data", {}):
            text = "".join(each["data"]["text/html"])
            for verdict, color in COLORS.items():
                variable = f"var(--course-{verdict.replace(' ', '-')})"
                text = text.replace(f"color:{color}", f"color:{variable}").replace(
                    f"solid {color}", f"solid {variable}"
                )
            each["data"]["text/html"] = text


def help_with(name: str, exercise: str) -> Cell:
    """Hint and solution of an exercise, folded."""
    found = getattr(importlib.import_module(f"debias_course.lectures.{name[3:]}.exercises"), exercise)
    solution = textwrap.dedent(inspect.getsource(found.solution)).rstrip()
    text = f"""<details class="course-hint"><summary>Hint</summary>

{html.escape(found.clue, quote=False)}

</details>

<details class="course-solution"><summary>Solution</summary>

```python
{solution}
```

</details>"""
    return dict(cell_type="markdown", id=f"help-{exercise}".replace("_", "-"), metadata={}, source=text)
