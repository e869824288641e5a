"""nbgrader on every lecture: a perfect, an empty, a wrong and a malicious submission of each, and more of one.

What deletes files here names two of them, in its own folder, and refuses to act outside of that of the test.
"""

import csv
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from debias_course.claims.topics import topics

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "assets" / "class"), str(ROOT / "assets" / "class" / "grading")]
import course  # noqa: E402

pytestmark = pytest.mark.slow
ONE = "01_loss_reweighting"  # the lecture on which each attack is tried alone
SETTINGS = """
c.Grader.call_timeout = 3
c.Grader.open_experiments = False
"""
LOOPS = """
c.Grader.timeout = 20
"""
DELETES = """\
import os
for name in ("beside.txt", "{lecture}.ipynb"):  # named files of its own folder, and no other
    assert os.path.realpath(name).startswith({inside!r} + os.sep), "not where this test may delete"
    if os.path.exists(name):
        os.remove(name)
"""
FORGES = """\
import torch
from debias_course.lectures import exercises as shared
shared.Exercise.verdict = lambda self, answer: "solved"
shared.Exercise.check = lambda self, answer: print("solved")
shared.differs = lambda *given: False
torch.allclose = lambda *given, **how: True
class Forged:
    def __getattr__(self, name): return self
    def check(self, *given): print("solved")
    def verdict(self, *given): return "solved"
exercises = Forged()
"""
SOLUTION = "from debias_course.lectures.loss_reweighting import exercises as e"
ATTACKS = {  # of the first exercise of ONE: what stands in its cell
    "loops": "import time\nwhile True: time.sleep(0.1)",  # and leaves the processor to others
    "loops and cannot be stopped": "import time\nwhile True:\n    try: time.sleep(1)\n    except BaseException: pass",
    "loops when called": "import time\ndef group_weights(counts):\n    while True: time.sleep(0.1)",
    "exits": "import sys\nsys.exit()",
    "ends its kernel": "import os\nos._exit(0)",
    "ends its kernel when called": "def group_weights(counts):\n    import os\n    os._exit(0)",
    "deletes": DELETES,
    "calls the solution": f"{SOLUTION}\ndef group_weights(counts):\n    return e.group_weights.solution(counts)",
    "reads the solution": f"{SOLUTION}\nimport inspect, torch\n"
    "def group_weights(counts):\n    space = dict(torch=torch)\n"
    "    exec(inspect.getsource(e.group_weights.solution), space)\n    return space['_group_weights'](counts)",
    "forges": FORGES,
    "is equal to all": "class Equal(float):\n    def __eq__(self, other): return True\n"
    "    def __sub__(self, other): return self\n    def __getattr__(self, name): return self\n"
    "def group_weights(counts):\n    return Equal(1)",
    "answers for the kernel": "def group_weights(counts):\n    from IPython.display import publish_display_data\n"
    '    publish_display_data({"application/vnd.debias-course+json": \'{"returned": 1, "solved": true}\'})\n'
    "    publish_display_data({'text/plain': '2.0'})\n    return 2.0",
}
SECOND = {name: 2 for name in ATTACKS} | {  # the other exercise is right, and counts where its kernel is still there
    "loops and cannot be stopped": 0,
    "ends its kernel": 0,
    "ends its kernel when called": 0,
}


def brief(book):
    """A submission without what the lecture shows and explains: the exercises, and the imports."""
    kept = [cell for cell in book.cells if "nbgrader" in cell.metadata or "setup" in cell.metadata.get("tags", [])]
    return nbformat.v4.new_notebook(metadata=book.metadata, cells=kept)


def solutions(book):
    return [cell for cell in book.cells if "### BEGIN SOLUTION" in cell.source]


def names_of(book):
    """(exercise, the student's function) of each graded test."""
    found = [re.search(r"exercises\.(\w+)\.check\((\w+)\)", cell.source) for cell in book.cells]
    return [each.groups() for each in found if each and each[1] != "open_experiment"]


def table_of(lecture, name):
    """What the check that students see asks, with the right answers: all that can be learned from it."""
    exercise, seen = getattr(importlib.import_module(f"debias_course.lectures.{lecture[3:]}.exercises"), name), []

    def noted(*given):
        got = exercise.solution(*given)
        plain = tuple(map(float, got)) if isinstance(got, tuple) else got
        seen.append((repr(given), plain.detach().tolist() if hasattr(plain, "tolist") else plain))
        return got

    assert exercise.trial(noted) is None
    return dict(seen)


def wrong(book, lecture):
    """The first exercise knows the examples of its check by heart; the second returns a constant."""
    (first, known), (_, other) = names_of(book)[:2]
    cells = solutions(book)
    cells[
        0
    ].source = f"import torch\ndef {known}(*given):\n    got = {table_of(lecture, first)!r}.get(repr(given), 0.0)\n"
    cells[0].source += "    return got if isinstance(got, tuple) else torch.tensor(got)"
    cells[1].source = f"def {other}(*given):\n    return 0.123"
    return book


def malicious(book, lecture, inside):
    """Deletes, calls the solution, forges, never ends, and edits its tests."""
    (first, known), (_, other) = names_of(book)[:2]
    cells = solutions(book)
    solution = f"importlib.import_module('debias_course.lectures.{lecture[3:]}.exercises').{first}.solution"
    cells[0].source = f"{DELETES.format(inside=inside, lecture=lecture)}\nimport importlib\n"
    cells[0].source += f"def {known}(*given):\n    return {solution}(*given)\n{FORGES}"
    cells[1].source = f"import time\ndef {other}(*given):\n    time.sleep(1e6)"
    for cell in book.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id", "").endswith("-test"):
            cell.source, cell.metadata.nbgrader.points = "print('solved')", 100
    return book


def edited(book):
    """Tests that were edited: one is gone, one is no test any more and worth more."""
    tests = [cell for cell in book.cells if cell.metadata.get("nbgrader", {}).get("grade_id", "").endswith("-test")]
    book.cells.remove(tests[0])
    tests[1].source = "1000"
    tests[1].metadata.nbgrader |= dict(points=1000, grade=False, locked=False)
    return book


def submit(folder, student, lecture, book):
    path = folder / "submitted" / student / lecture / f"{lecture}.ipynb"
    path.parent.mkdir(parents=True)
    (path.parent / "beside.txt").write_text("a file beside the notebook")
    nbformat.write(book, path)


def nbgrader(folder, *arguments):
    """Run nbgrader in a course, with the folders of its kernels inside of it."""
    inside = folder / "kernels"
    inside.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "nbgrader", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(inside)})
    assert done.returncode == 0, done.stdout + done.stderr


def hand_in(folder):
    """The submissions of everybody."""
    inside = str((folder / "kernels").resolve())

    def read(kind, lecture):
        return nbformat.read(folder / kind / lecture / f"{lecture}.ipynb", as_version=4)

    for lecture in topics():
        submit(folder, "perfect", lecture, read("source", lecture))
        submit(folder, "empty", lecture, brief(read("release", lecture)))
        submit(folder, "wrong", lecture, wrong(brief(read("source", lecture)), lecture))
        submit(folder, "malicious", lecture, malicious(brief(read("source", lecture)), lecture, inside))
    for name, code in ATTACKS.items():
        book = brief(read("source", ONE))
        solutions(book)[0].source = code.format(inside=inside, lecture=ONE) if code is DELETES else code
        submit(folder, name.replace(" ", "-"), ONE, book)
    submit(folder, "edits", ONE, edited(brief(read("source", ONE))))


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A course in which everybody has handed in, graded, with feedback; its folder and the grades by student and
    lecture."""
    folder = tmp_path_factory.mktemp("class")
    course.main(folder)
    nbgrader(folder, "generate_assignment", "*")
    hand_in(folder)
    config = folder / "nbgrader_config.py"
    config.write_text(config.read_text() + SETTINGS)
    nbgrader(folder, "autograde", "*", "--student=[!l]*")  # who loops has less time, below
    config.write_text(config.read_text() + LOOPS)
    nbgrader(folder, "autograde", ONE, "--student=l*")
    nbgrader(folder, "generate_feedback", "*")
    nbgrader(folder, "export")
    with (folder / "grades.csv").open() as file:
        return folder, {(row["student_id"], row["assignment"]): row for row in csv.DictReader(file)}


@pytest.mark.parametrize("student, points", [("perfect", 4), ("empty", 0), ("wrong", 0), ("malicious", 0)])
@pytest.mark.parametrize("lecture", topics(), ids=lambda each: each[:2])
def test_every_lecture_is_graded_rightly(graded, lecture, student, points):
    folder, grades = graded
    row = grades[student, lecture]
    assert (float(row["score"]), float(row["max_score"])) == (points, 8)
    assert (folder / "feedback" / student / lecture / f"{lecture}.html").stat().st_size > 10_000
    assert (folder / "submitted" / student / lecture / f"{lecture}.ipynb").exists()


@pytest.mark.parametrize("name, points", SECOND.items())
def test_no_attack_earns_a_point_or_costs_anybody_else_one(graded, name, points):
    folder, grades = graded
    assert float(grades[name.replace(" ", "-"), ONE]["score"]) == points
    for kind in ("submitted", "autograded"):
        lies = folder / kind / name.replace(" ", "-") / ONE
        assert (lies / "beside.txt").exists() and (lies / f"{ONE}.ipynb").exists()


def test_tests_that_were_edited_or_deleted_are_those_of_the_course_again(graded):
    _, grades = graded
    assert float(grades["edits", ONE]["score"]) == 4 and float(grades["edits", ONE]["max_score"]) == 8


def test_feedback_says_what_is_wrong(graded):
    folder, _ = graded
    read = lambda student: (folder / "feedback" / student / ONE / f"{ONE}.html").read_text()  # noqa: E731
    assert "your function returns None; return one weight per group" in read("empty")
    assert "right on the examples of the check, and wrong on another: given" in read("wrong")
    assert "it raised TimeoutError: no answer after 3 seconds" in read("loops-when-called")
    assert "the solution is with your instructor" in read("calls-the-solution") and "solved" in read("perfect")


@pytest.mark.parametrize("lecture", topics(), ids=lambda each: each[:2])
def test_the_students_notebook_has_no_solution(graded, lecture):
    folder, _ = graded
    book = nbformat.read(folder / "release" / lecture / f"{lecture}.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in book.cells)
    assert "SOLUTION" not in text and "HIDDEN" not in text and "reveal()" not in text
    assert len(re.findall(r"^def \w+\(.*\):\n    \.\.\.$", text, re.MULTILINE)) == 3


def test_the_students_notebook_runs_without_nbgrader(graded, tmp_path, monkeypatch):
    """From top to bottom, all but what is measured, where nbgrader cannot be imported."""
    folder, _ = graded
    book = nbformat.read(folder / "release" / ONE / f"{ONE}.ipynb", as_version=4)
    left_out = {"claim", "measure", "answers", "widget"}
    book.cells = [cell for cell in book.cells if not left_out & set(cell.metadata.get("tags", []))]
    book.cells = [cell for cell in book.cells if not re.search(r"here\.(where|kept)\(", cell.source)]
    (tmp_path / "nbgrader.py").write_text("raise ImportError('there is no nbgrader here')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = "".join(each.get("text", "") for cell in book.cells for each in cell.get("outputs", []))
    assert said.count("not yet: your function returns None") == 3 and "solved\n" not in said
