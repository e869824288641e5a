"""Make an nbgrader course of the lectures: python assets/class/course.py [--reveal] FOLDER

    source/LECTURE/LECTURE.ipynb   the assignments, with solutions: nbgrader makes the students' from them
    nbgrader_config.py             nbgrader's settings
    grading/                       the grader, its hidden tests, and the seed of this course's inputs
    package/                       the course without its solutions: what runs beside a submission
    exam/                          exam questions with solutions

What you have edited there stays, and so does everything that nbgrader makes.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import inspect
import json
import secrets
import shutil
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]
import guide  # noqa: E402
import labs  # noqa: E402
from debias_course.claims.topics import notebooks_folder, topics  # noqa: E402
from debias_course.lectures.exercises import Exercise  # noqa: E402

MADE = ".made.json"  # the files that were written, each with its hash
SECRET = '    raise NotImplementedError("the solution is with your instructor")\n'


def files(reveal: bool) -> dict[str, bytes]:
    """What a course holds, by name."""
    made = {"nbgrader_config.py": (HERE / "nbgrader_config.py").read_bytes()}
    made["README.md"] = (HERE / "course_readme.md").read_bytes()
    made |= {f"grading/{path.name}": path.read_bytes() for path in (HERE / "grading").glob("*.py")}
    for lecture in topics():
        book = json.loads((notebooks_folder() / f"{lecture}.ipynb").read_text(encoding="utf-8"))
        text = json.dumps(labs.assignment(book, lecture, reveal), indent=1, ensure_ascii=False)
        made[f"source/{lecture}/{lecture}.ipynb"] = (text + "\n").encode()
        made[f"exam/{lecture}.md"] = guide.exam(lecture).encode()
    return made


def without_solutions(folder: Path) -> None:
    """Write the package, installable, with stand-ins for the solutions of all exercises."""
    made = folder / "debias_course"
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "debias_course", made, ignore=skipped, dirs_exist_ok=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for lecture in topics():
        module = importlib.import_module(f"debias_course.lectures.{lecture[3:]}.exercises")
        path = made / "lectures" / lecture[3:] / "exercises.py"
        text = path.read_text(encoding="utf-8")
        for each in vars(module).values():
            if isinstance(each, Exercise):
                solution = inspect.getsource(each.solution)
                head = solution.split(":\n", 1)[0]
                text = text.replace(solution, f"{head}:\n{SECRET}")
        path.write_text(text, encoding="utf-8")


def main(folder: Path, reveal: bool = False) -> None:
    """Write the course to `folder`, and say what to do with it."""
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / MADE
    known = json.loads(record.read_text()) if record.exists() else {}
    for name, content in files(reveal).items():
        path, new = folder / name, hashlib.sha256(content).hexdigest()
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() not in (known.get(name), new):
            print(f"{name}: you edited yours, so it stays; to get the course's, rename yours and run this again")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        known[name] = new
    record.write_text(json.dumps(known, indent=1))
    without_solutions(folder / "package")
    seed = folder / "grading" / "seed"
    if not seed.exists():
        seed.write_text(str(secrets.randbits(62)))
    print(
        textwrap.dedent(f"""\
        {len(topics())} assignments in {folder / "source"}; then, in {folder}:
          nbgrader generate_assignment "*"      the students' notebooks, in release/
          nbgrader autograde LECTURE            grade what lies in submitted/STUDENT/LECTURE/
          nbgrader generate_feedback LECTURE    what each student reads, in feedback/
        INSTRUCTORS.md says what a submission can do to your files: read it before you grade.""")
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make an nbgrader course of the lectures.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reveal", action="store_true", help="leave reveal() on: it prints an exercise's solution")
    given = parser.parse_args()
    main(given.folder.resolve(), given.reveal)
