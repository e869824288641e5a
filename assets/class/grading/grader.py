"""How a submission is run and graded: by nbgrader, whose `Execute` this replaces.

The submission runs in a kernel of its own, in an empty folder, with a copy of the course that has no solutions. What is
right is decided here, in the process of the grader: it sends inputs to the kernel, and compares what comes back with
the solution, which the kernel never sees. So nothing that a submission does in its kernel (a `check` of its own, an
edited test, a changed library) makes a wrong answer right. Whatever is not reached counts as not solved.

It is no sandbox: what a process of this user may do to files, the submission may do.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbformat import v4
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from traitlets import Bool, Integer, Unicode

import hidden
import submission

HERE = Path(__file__).parent
CHECK = re.compile(r"\bexercises\.(\w+)\.check\((\w+)\)")
SHOWS = re.compile(r"\bhere\.(claim|where|kept|answers|guess)\(|^(figures\.picture|panel|source)\(")
MEASURES = {"claim", "measure", "widget", "answers"}  # tags of cells that no exercise needs
LONGEST = 1_000_000  # characters of an answer
DEEP = ("empty", "empty", "empty")  # folders around that of a kernel, so that ".." of it is nobody's


class Grader(Execute):
    """Runs the cells that a student's functions may need, and asks those functions what the hidden tests ask."""

    timeout = Integer(120, help="Seconds for a cell.").tag(config=True)
    call_timeout = Integer(20, help="Seconds for each call of a student's function by a test.").tag(config=True)
    open_experiments = Bool(True, help="Whether to train what an open experiment returns, and to show how it did.").tag(
        config=True
    )
    package = Unicode(
        str(HERE.parent / "package"),
        help="Where the course without solutions is, for the kernel; '' where the kernel's container has it installed.",
    ).tag(config=True)

    def preprocess(self, nb: Any, resources: Any, km: Any = None) -> tuple[Any, Any]:
        for cell in nb.cells:
            if is_test(cell):
                cell.outputs = [failure("the submission ended before this cell")]
        NotebookClient.__init__(self, nb, km)
        self.reset_execution_trackers()
        with tempfile.TemporaryDirectory(prefix="submission-", ignore_cleanup_errors=True) as outside:
            folder = Path(outside, *DEEP)
            folder.mkdir(parents=True)
            resources["metadata"] = {**resources.get("metadata", {}), "path": str(folder)}
            self._check_assign_resources(resources)
            try:
                with self.setup_kernel(env=environment(self.package, str(folder))):
                    for number, cell in enumerate(nb.cells):
                        self.grade(cell, number, resources["nbgrader"]["notebook"])
            except Exception as error:  # its kernel is gone: what was reached counts, and the next submission is run
                self.log.warning("the submission ended its kernel: %s", error)
        return nb, self.resources

    def grade(self, cell: Any, number: int, lecture: str) -> None:
        """Run a cell, or decide on a test."""
        if is_test(cell):
            found = CHECK.search(cell.source)
            verdict = self.verdict(lecture, found[1], found[2]) if found else "not yet: this cell checks no exercise"
            solved = verdict == "solved"
            cell.outputs = [v4.new_output("stream", name="stdout", text="solved\n") if solved else failure(verdict)]
        elif cell.cell_type == "code" and self.is_needed(cell):
            self.run_cell(cell, number)

    def is_needed(self, cell: Any) -> bool:
        """Whether a student's function may need what a cell defines: not where it shows or measures something."""
        if CHECK.search(cell.source):
            return self.open_experiments
        return not MEASURES.intersection(cell.metadata.get("tags", [])) and not SHOWS.search(cell.source)

    def run_cell(self, cell: Any, number: int) -> None:
        """Run a cell; where it is stopped for its time and the kernel is still busy, the kernel is ended."""
        self.execute_cell(cell, number)
        if any(each.get("ename") == self.error_on_timeout["ename"] for each in cell.outputs):
            if any(each.output_type == "error" for each in self.run_code("pass", 5)):
                run_sync(self.km.shutdown_kernel)(now=True)
                raise TimeoutError("it could not be stopped")

    def run_code(self, code: str, seconds: int) -> list[Any]:
        """The outputs of code that is no cell of the submission."""
        cell, before = v4.new_code_cell(code), self.timeout
        self.nb.cells.append(cell)
        try:
            self.timeout = seconds
            (self.execute_cell if code == "pass" else self.run_cell)(cell, len(self.nb.cells) - 1)
        finally:
            self.timeout = before
            self.nb.cells.pop()
        return list(cell.outputs)

    def verdict(self, lecture: str, name: str, function: str) -> str:
        """ "solved", or what is wrong: the check that the student has, and then the hidden tests."""
        exercise = getattr(importlib.import_module(f"debias_course.lectures.{lecture[3:]}.exercises"), name)
        answer = Answer(self, function)
        said = exercise.verdict(answer)
        if said != "solved":
            return said
        seed = int((HERE / "seed").read_text())
        tests = replace(exercise, trial=lambda each: hidden.wrong(lecture[3:], name, exercise, each, seed))
        return tests.verdict(answer)


class Answer:
    """The student's function, called where it is: in the kernel of the submission."""

    def __init__(self, grader: Grader, name: str):
        self.grader, self.name = grader, name

    def __call__(self, *given: Any) -> Any:
        got = self.ask(given)
        if isinstance(got, torch.Tensor) and got.requires_grad:
            return Through.apply(self, got.detach(), *given)
        return got

    def ask(self, given: tuple[Any, ...], slope: torch.Tensor | None = None) -> Any:
        """What the function returns, or raises; as data, so that nothing of the student's runs here."""
        request = {"given": submission.encoded(given), "slope": submission.encoded(slope)}
        code = f"exec({(HERE / 'submission.py').read_text()!r}, _ := {{}})\n"
        code += f"_['answer']({self.name}, _['json'].loads({json.dumps(request)!r}))"
        outputs = self.grader.run_code(code, self.grader.call_timeout)
        for each in reversed(outputs):
            if text := each.get("data", {}).get(submission.MIME):
                return read(text)
        ended = [f"{each.ename} {each.evalue}" for each in outputs if each.output_type == "error"]
        if any(each.startswith(self.grader.error_on_timeout["ename"]) for each in ended):
            raise TimeoutError(f"no answer after {self.grader.call_timeout} seconds")
        raise RuntimeError(ended[0] if ended else "no answer")


class Through(torch.autograd.Function):
    """A value from the kernel, whose gradient the kernel computes, too."""

    @staticmethod
    def forward(ctx: Any, answer: Answer, value: torch.Tensor, *given: Any) -> torch.Tensor:
        ctx.answer, ctx.given = answer, given
        return value.clone()

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> Any:
        first, *rest = ctx.given
        gradient = ctx.answer.ask((first.detach().requires_grad_(), *rest), slope)
        return (None, None, torch.as_tensor(gradient), *(None for _ in rest))


def read(text: Any) -> Any:
    """An answer of the kernel, which may have said anything."""
    if not isinstance(text, str) or len(text) > LONGEST:
        raise RuntimeError("its answer is too long")
    said = json.loads(text)
    if "raised" in said:
        raise type(str(said["raised"]), (Exception,), {})(str(said["words"]))
    return submission.decoded(said["returned"])


def is_test(cell: Any) -> bool:
    about = cell.metadata.get("nbgrader", {})
    return cell.cell_type == "code" and bool(about.get("grade")) and not about.get("solution")


def failure(words: str) -> Any:
    return v4.new_output("error", ename="NotSolved", evalue=words, traceback=[words])


def environment(package: str, folder: str) -> dict[str, str]:
    """Of a kernel: the course without solutions comes first, the home is an empty folder, and secrets stay here."""
    kept = ("PATH", "LANG", "SYSTEMROOT", "CUDA_VISIBLE_DEVICES", "DEBIAS_COURSE_SHARED_CACHE")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "HOME": folder,
        "TMPDIR": folder,
        "PYTHONPATH": package,
        "PYTHONDONTWRITEBYTECODE": "1",
        "DEBIAS_COURSE_CACHE": str(Path(folder, "cache")),
        "DEBIAS_COURSE_REVEAL": "no",
        "OMP_NUM_THREADS": "1",
    }


class Restore(NbGraderPreprocessor):
    """Gives each cell the kind and the points that the gradebook knows, whatever the submission says of it."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        about = resources["nbgrader"]
        with Gradebook(about["db_url"]) as book:
            for cell in nb.cells:
                kept = cell.metadata.get("nbgrader", {})
                where = kept.get("grade_id"), about["notebook"], about["assignment"]
                if known(book.find_source_cell, where):
                    graded = known(book.find_graded_cell, where)
                    kept |= dict(grade=bool(graded), solution=bool(known(book.find_solution_cell, where)), task=False)
                    kept |= dict(points=graded.max_score) if graded else {}
        return nb, resources


def known(find: Any, where: tuple[Any, ...]) -> Any:
    try:
        return find(*where)
    except MissingEntry:
        return None
