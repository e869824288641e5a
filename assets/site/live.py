"""Panels on a page: the pictures of a grid, with the panel's own controls, for readers without a kernel.

The controls are the browser's (sliders, lists, boxes), so keys and screen readers work them; `course.js` only shows the
picture of the setting. Where there is no JavaScript, the panel's first picture stands there, as in the notebook.
"""

from __future__ import annotations

import ast
import hashlib
import html
import json
from pathlib import Path
from typing import Any

from debias_course.lectures import panels
from debias_course.lectures.controls import described, spoken
from debias_course.lectures.grids import Grid, Shot


def grid_of(cell: str, before: list[str]) -> Grid:
    """The grid of the panel that a cell shows. Of the cells `before`, only what it names is run: imports, and the
    assignments that those names need; nothing is measured or trained."""
    made: list[Grid] = []
    space: dict[str, Any] = {}
    lines = needed(ast.parse(cell), [each for source in before for each in ast.parse(source).body])
    exec(compile(ast.Module(lines, []), "notebook", "exec"), space)
    space["panel"] = lambda draw, method, **extra: made.append(Grid(draw, method, extra))
    exec(compile(cell, "notebook", "exec"), space)
    (grid,) = made
    return grid


def needed(tree: ast.AST, before: list[ast.stmt]) -> list[ast.stmt]:
    """The imports and assignments among the statements `before` that bind what `tree` names, and what those name."""
    wanted = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
    found = []
    for line in reversed(before):
        if isinstance(line, ast.Import | ast.ImportFrom):
            bound = {(each.asname or each.name).split(".")[0] for each in line.names}
        elif isinstance(line, ast.Assign):
            bound = {each.id for target in line.targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        else:
            continue
        if bound & wanted:
            found.append(line)
            wanted = (wanted - bound) | {each.id for each in ast.walk(line) if isinstance(each, ast.Name)}
    return found[::-1]


def panel(grid: Grid, name: str, folder: Path, address: str) -> str:
    """The panel in HTML; its pictures are written to `folder`, which the page knows as `address`."""
    shots = grid.shots()
    files = {at: address + write(shot, folder) for at, shot in shots.items() if shot.picture.image}
    said = {",".join(map(str, at)): entry(shot, files.get(at), grid) for at, shot in shots.items()}
    data = json.dumps(said, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    fixed = {n: each.default for n, each in grid.knobs.items() if n not in (*grid.stops, *grid.idle(grid.first))}
    rest = panels.in_words(grid.knobs, fixed)
    rest = (
        f'<p class="course-fixed">Fixed on this page: {html.escape(rest)}. All move in JupyterLab.</p>' if rest else ""
    )
    knobs = "\n".join(control(grid, knob, f"{name}-{knob}") for knob in grid.stops)
    return f"""<section class="course-panel" id="{name}" aria-label="Panel: {html.escape(panels.about(grid.draw))}">
<form class="course-knobs" hidden onsubmit="return false">
{knobs}
{rest}</form>
<div class="course-shown"><p class="course-refused" role="alert" hidden></p>
{figure(shots[grid.middle], files[grid.middle])}</div>
<script type="application/json">{data}</script>
</section>"""


def write(shot: Shot, folder: Path) -> str:
    """Write a picture under a name made from what it shows; the name."""
    name = f"{hashlib.sha256(shot.picture.image).hexdigest()[:16]}.png"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / name).exists():
        (folder / name).write_bytes(shot.picture.image)
    return name


def entry(shot: Shot, file: str | None, grid: Grid) -> dict[str, Any]:
    """What `course.js` needs to show a setting; the knobs that move and do nothing there with their texts."""
    idle = {name: described(name, grid.knobs[name], shot.idle[name]) for name in grid.stops if name in shot.idle}
    if file is None:
        return dict(refused=shot.picture.refused, idle=idle)
    return dict(src=file, alt=shot.alt, setting=shot.setting, sentence=shot.picture.sentence, idle=idle)


def figure(shot: Shot, file: str) -> str:
    setting, alt, sentence = map(html.escape, (shot.setting, shot.alt, shot.picture.sentence))
    return (
        f'<figure><figcaption class="course-setting">Setting: {setting}</figcaption>'
        f'<img src="{file}" width="{shot.picture.width}" alt="{alt}">'
        f'<figcaption class="course-sentence" aria-live="polite">{sentence}</figcaption></figure>'
    )


def control(grid: Grid, name: str, id: str) -> str:
    """One control: its values are the numbers of the knob's stops."""
    knob, stops, first = grid.knobs[name], grid.stops[name], grid.stops[name].index(grid.first[name])
    text = described(name, knob)
    if isinstance(knob.default, bool):
        checked = " checked" * grid.first[name]
        values = f'data-values="{stops.index(False)},{stops.index(True)}"'
        made = f'<input type="checkbox" id="{id}" {values}{checked}>'
        return f'<div class="course-knob course-box">{made}<label for="{id}">{text}</label></div>'
    if knob.choices:
        options = (
            f'<option value="{i}"{" selected" * (i == first)}>{html.escape(str(v))}' for i, v in enumerate(stops)
        )
        made = f'<select id="{id}">{"".join(options)}</select>'
    else:
        values = html.escape(json.dumps([spoken(each) for each in stops]))
        made = (
            f'<input type="range" id="{id}" min="0" max="{len(stops) - 1}" value="{first}" data-stops="{values}" '
            f'aria-valuetext="{spoken(stops[first])}">'
            f'<output for="{id}">{spoken(stops[first])}</output>'
        )
    return f'<div class="course-knob"><label for="{id}">{text}</label><span>{made}</span></div>'
