"""A lecture as the source of an nbgrader assignment.

An exercise's cell becomes two: one to be solved, with the solution from the exercise's module where nbgrader takes it
out, and a locked one whose check is the test. The open experiment is graded by hand: its code, and an answer in words,
below a rubric. All other cells stay as they are in the lecture, and stay the student's to play with.
"""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.util
import inspect
import re
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

from debias_course.lectures.exercises import Exercise

Cell = dict[str, Any]
CHECK = re.compile(r"^exercises\.(\w+)\.check\((\w+)\)$", re.MULTILINE)
REVEAL = re.compile(r",?\s*`exercises\.\w+\.reveal\(\)`\s*shows a solution")
POINTS = 2  # of an exercise, of the code of an open experiment, and of the words about it
OFF = 'import os\n\nos.environ["DEBIAS_COURSE_REVEAL"] = "no"  # solutions come from your instructor\n\n'
RUBRIC = (Path(__file__).parent / "rubric.md").read_text(encoding="utf-8")
WORDS = """\
What did you try, what came out, and why? Name at least one attempt that did not work.
### BEGIN SOLUTION
Whatever was tried, with numbers; the reason names what the method changes (data, batch, loss, network or update), and
says which of the attempts would have told a wrong reason from the right one.
### END SOLUTION"""


def assignment(book: dict[str, Any], lecture: str, reveal: bool = False) -> dict[str, Any]:
    """The notebook of a lecture as nbgrader's source, without outputs; `reveal` leaves solutions open to students."""
    module = importlib.import_module(f"debias_course.lectures.{lecture[3:]}.exercises")
    bound = {name for cell in book["cells"] if "setup" in tags(cell) for name in binds(ast.parse(source(cell)))}
    cells: list[Cell] = []
    for cell in copy.deepcopy(book["cells"]):
        if cell["cell_type"] == "code":
            cell |= dict(outputs=[], execution_count=None)
            if "setup" in tags(cell) and not reveal:
                cell["source"] = OFF + source(cell)
        elif not reveal:
            cell["source"] = REVEAL.sub("", source(cell))
        found = CHECK.search(source(cell)) if cell["cell_type"] == "code" else None
        cells += exercise(cell, found, module, bound) if found else [cell]
    return book | dict(cells=cells)


def exercise(cell: Cell, found: re.Match[str], module: ModuleType, bound: set[str]) -> list[Cell]:
    """The cells that take the place of an exercise's."""
    name, function = found.groups()
    stub = source(cell)[: found.start()].rstrip()
    made = solved(stub, function, getattr(module, name), module, bound)
    words = f"### BEGIN HIDDEN TESTS\nassert exercises.{name}.verdict({function}) == 'solved'\n### END HIDDEN TESTS"
    id = name.replace("_", "-")
    if name != "open_experiment":
        return [
            new(cell, id, made, solution=True),
            new(cell, f"{id}-test", f"{found[0]}\n{words}", grade=True, locked=True),
        ]
    return [
        new(cell, id, made, solution=True, grade=True),
        new(cell, f"{id}-check", found[0], locked=True),
        text(f"{id}-rubric", RUBRIC, locked=True),
        text(f"{id}-words", WORDS, solution=True, grade=True),
    ]


def new(cell: Cell, id: str, words: str, **how: bool) -> Cell:
    """A code cell that nbgrader knows, with the tags of `cell`."""
    return cell | dict(id=id, source=words, metadata=cell["metadata"] | dict(nbgrader=about(id, **how)))


def text(id: str, words: str, **how: bool) -> Cell:
    return dict(cell_type="markdown", id=id, source=words, metadata=dict(nbgrader=about(id, **how)))


def about(id: str, *, grade: bool = False, solution: bool = False, locked: bool = False) -> dict[str, Any]:
    points = dict(points=POINTS) if grade else {}
    kinds = dict(grade=grade, solution=solution, locked=locked, task=False)
    return dict(grade_id=id, schema_version=3, **kinds, **points)


def solved(stub: str, function: str, exercise: Exercise, module: ModuleType, bound: set[str]) -> str:
    """The stub with the solution in it, between the marks at which nbgrader cuts."""
    head, _, rest = stub.rpartition(": ...")
    text = textwrap.dedent(inspect.getsource(exercise.solution))
    (made,) = ast.parse(text).body
    (asked,) = ast.parse(stub).body
    if rest or not isinstance(made, ast.FunctionDef) or not isinstance(asked, ast.FunctionDef):
        raise ValueError(f"{module.__name__}: {function} is no stub of the form def {function}(...): ...")
    if [each.arg for each in made.args.args] != [each.arg for each in asked.args.args]:
        raise ValueError(
            f"{module.__name__}: the stub {function}({ast.unparse(asked.args)}) and its solution "
            f"({ast.unparse(made.args)}) name their arguments differently; use the same names"
        )
    body = textwrap.dedent("\n".join(text.splitlines()[made.body[0].lineno - 1 :])).rstrip()
    lines = [*imports(made, module, bound), *body.splitlines()]
    marked = ["### BEGIN SOLUTION", *lines, "### END SOLUTION"]
    return f"{head}:\n" + textwrap.indent("\n".join(marked), "    ")


def imports(made: ast.FunctionDef, module: ModuleType, bound: set[str]) -> list[str]:
    """What a solution needs of its module and the notebook does not have: imports, and constants."""
    names = [each for each in ast.walk(made) if isinstance(each, ast.Name)]
    wanted = {each.id for each in names} - {each.id for each in names if isinstance(each.ctx, ast.Store)} - bound
    found = []
    for line in ast.parse(inspect.getsource(module)).body:
        if isinstance(line, ast.Import | ast.ImportFrom) and wanted & binds(ast.Module([line], [])):
            line.names = [each for each in line.names if (each.asname or each.name).split(".")[0] in wanted]
            if isinstance(line, ast.ImportFrom) and line.level:
                package = module.__package__ or ""
                line.module = importlib.util.resolve_name("." * line.level + (line.module or ""), package)
                line.level = 0
            found.append(ast.unparse(line))
        elif isinstance(line, ast.Assign) and wanted & {each.id for each in line.targets if isinstance(each, ast.Name)}:
            found.append(ast.unparse(line))
    return found


def binds(tree: ast.Module) -> set[str]:
    """The names that the imports of a module or a cell bind."""
    lines = [each for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
    return {(each.asname or each.name).split(".")[0] for line in lines for each in line.names}


def source(cell: Cell) -> str:
    return "".join(cell["source"])


def tags(cell: Cell) -> list[str]:
    return list(cell["metadata"].get("tags", []))
