"""The class: lectures as assignments, hidden tests, the package without solutions, the instructor's guide."""

import ast
import builtins
import importlib
import json
import re
import sys
from pathlib import Path

import pytest
import torch

from debias_course.claims.topics import topics
from debias_course.lectures.exercises import Exercise

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "assets" / "class"), str(ROOT / "assets" / "class" / "grading")]
import course  # noqa: E402
import guide  # noqa: E402
import hidden  # noqa: E402
import labs  # noqa: E402
import submission  # noqa: E402

every = pytest.mark.parametrize("lecture", topics(), ids=lambda each: each[:2])


def source_of(lecture, reveal=False):
    book = json.loads((ROOT / "notebooks" / f"{lecture}.ipynb").read_text(encoding="utf-8"))
    return labs.assignment(book, lecture, reveal)["cells"]


def exercises_of(lecture):
    """The exercises of a lecture that are graded by their tests, by name."""
    module = importlib.import_module(f"debias_course.lectures.{lecture[3:]}.exercises")
    found = {name: each for name, each in vars(module).items() if isinstance(each, Exercise)}
    assert found.pop("open_experiment")
    return found


@every
def test_an_assignment_has_a_test_for_each_exercise_and_two_cells_graded_by_hand(lecture):
    about = [cell["metadata"]["nbgrader"] for cell in source_of(lecture) if "nbgrader" in cell["metadata"]]
    names = [name.replace("_", "-") for name in exercises_of(lecture)]
    tests = [each["grade_id"] for each in about if each["grade"] and each["locked"] and not each["solution"]]
    by_hand = [each["grade_id"] for each in about if each["grade"] and each["solution"] and not each["locked"]]
    assert sorted(tests) == sorted(f"{name}-test" for name in names)
    assert by_hand == ["open-experiment", "open-experiment-words"]
    assert {each["grade_id"] for each in about if each["solution"] and not each["grade"]} == set(names)
    assert all(each["points"] == labs.POINTS for each in about if each["grade"])
    assert len({each["grade_id"] for each in about}) == len(about)


def names_in(function):
    """The names that a function reads, and those that it defines."""
    nodes = list(ast.walk(function))
    read = {each.id for each in nodes if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}
    own = {each.id for each in nodes if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    own |= {each.arg for each in nodes if isinstance(each, ast.arg)}
    own |= {each.name for each in nodes if isinstance(each, ast.ClassDef | ast.FunctionDef)}
    lines = [each for each in nodes if isinstance(each, ast.Import | ast.ImportFrom)]
    return read, own | {(each.asname or each.name).split(".")[0] for line in lines for each in line.names}


@every
def test_the_solution_stands_where_nbgrader_cuts_and_needs_nothing_that_is_not_there(lecture):
    cells = [cell for cell in source_of(lecture) if cell["cell_type"] == "code"]
    setup = {name for cell in cells if "setup" in labs.tags(cell) for name in labs.binds(ast.parse(cell["source"]))}
    made = [labs.source(cell) for cell in cells if "### BEGIN SOLUTION" in labs.source(cell)]
    assert len(made) == len(exercises_of(lecture)) + 1
    for text in made:
        (function,) = ast.parse(text).body
        read, own = names_in(function)
        assert read - own - setup - set(dir(builtins)) == set()
        assert "return" in text and text.endswith("    ### END SOLUTION")


def test_stubs_and_solutions_that_name_arguments_differently_are_refused():
    module = importlib.import_module("debias_course.lectures.loss_reweighting.exercises")
    with pytest.raises(ValueError, match=r"the stub f\(n\) and its solution \(counts\) name their arguments diff"):
        labs.solved("def f(n): ...", "f", module.group_weights, module, set())
    with pytest.raises(ValueError, match=r"f is no stub of the form def f\(...\): ..."):
        labs.solved("f = None", "f", module.group_weights, module, set())


def test_solutions_are_revealed_only_where_the_instructor_wants_it(monkeypatch, capsys):
    module = importlib.import_module("debias_course.lectures.loss_reweighting.exercises")
    shut, open_ = (" ".join(map(labs.source, source_of(topics()[1], each))) for each in (False, True))
    assert "DEBIAS_COURSE_REVEAL" in shut and "reveal()" not in shut
    assert "DEBIAS_COURSE_REVEAL" not in open_ and "reveal()" in open_
    monkeypatch.setenv("DEBIAS_COURSE_REVEAL", "no")
    module.group_weights.reveal()
    assert capsys.readouterr().out == "In this class the solutions are with your instructor; hint() helps.\n"


@every
def test_hidden_inputs_are_the_courses_own_and_only_what_is_right_solves_them(lecture):
    """A lecture's exercise without a line in INPUTS is missing here."""
    for name, exercise in exercises_of(lecture).items():
        draw = hidden.INPUTS[f"{lecture[3:]}.{name}"]
        first, other = (repr(draw(torch.Generator().manual_seed(seed))) for seed in (1, 2))
        assert first != other
        for seed in range(20):
            assert hidden.wrong(lecture[3:], name, exercise, exercise.solution, seed) is None
        assert "wrong on another: given" in hidden.wrong(lecture[3:], name, exercise, nearly(exercise.solution), 0)


def nearly(solution):
    """Something that is a little wrong."""

    def answer(*given):
        got = solution(*given)
        if isinstance(got, tuple):
            return (got[0] * 1.1, *got[1:])
        return got * 1.1 + 0.1 if isinstance(got, float) or got.is_floating_point() else got + 1

    return answer


def test_what_is_sent_to_a_submission_and_back_is_the_same():
    values = [None, True, 3, 0.1, float("inf"), "words", (1, [2.5, None]), torch.tensor([[1.5, -2]]).double()]
    values += [torch.tensor(3), torch.tensor([True, False]), torch.tensor([])]
    for value in values:
        back = submission.decoded(json.loads(json.dumps(submission.encoded(value))))
        assert type(back) is type(value) and repr(back) == repr(value)
    back = submission.decoded(submission.encoded(torch.tensor([1.0, 2.0], requires_grad=True)))
    assert back.requires_grad and back.is_leaf
    assert repr(submission.decoded(submission.encoded({1: "a"}))) == "{1: 'a'}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    course.main(folder)
    return folder


def test_the_package_beside_a_submission_has_no_solution(made):
    for lecture in topics():
        path = made / "package" / "debias_course" / "lectures" / lecture[3:] / "exercises.py"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        bodies = {each.name: ast.unparse(each) for each in tree.body if isinstance(each, ast.FunctionDef)}
        module = importlib.import_module(f"debias_course.lectures.{lecture[3:]}.exercises")
        for each in vars(module).values():
            if isinstance(each, Exercise):
                assert "the solution is with your instructor" in bodies[each.solution.__name__]
                assert bodies[each.solution.__name__].count("\n") == 1


def test_making_it_again_keeps_what_was_edited_and_the_seed(made, capsys):
    edited, seed = made / "source" / topics()[0] / f"{topics()[0]}.ipynb", (made / "grading" / "seed").read_text()
    (made / "submitted").mkdir()
    edited.write_text("{}")
    (made / "nbgrader_config.py").unlink()
    course.main(made)
    said = capsys.readouterr().out
    assert f"{topics()[0]}.ipynb: you edited yours, so it stays" in said and said.count("edited") == 1
    assert edited.read_text() == "{}" and (made / "grading" / "seed").read_text() == seed
    assert (made / "nbgrader_config.py").exists() and (made / "submitted").exists()


def test_two_courses_have_other_seeds(made, tmp_path):
    course.main(tmp_path)
    assert (tmp_path / "grading" / "seed").read_text() != (made / "grading" / "seed").read_text()


@every
def test_every_lecture_has_its_entry_in_the_guide(lecture):
    """assets/class/lectures/LECTURE.md: what to discuss at each guess, wrong answers, exam questions with solutions."""
    entry = guide.entry(lecture)
    assert tuple(entry) == guide.SECTIONS
    cells = guide.cells_of(lecture)
    assert guide.guesses(cells).keys() <= guide.discussed(lecture).keys()
    assert entry["Usual wrong answers"].count("\n- *") >= 2
    questions, solutions = (re.findall(r"^(\d)\. ", entry[each], re.MULTILINE) for each in ("Exam", "Solutions"))
    assert len(questions) >= 2 and questions == solutions
    assert guide.goals(cells).count("\n- ") >= 2 and len(re.findall(r"^\d\. ", guide.exercises(cells), re.M)) == 3


def test_every_lecture_that_was_measured_fits_into_a_laptop():
    """python assets/class/memory.py measures them; the guide says which were not."""
    measured = json.loads((ROOT / "assets" / "class" / "memory.json").read_text())
    assert measured.keys() <= set(topics())
    assert all(100 < each["megabytes"] < 8000 for each in measured.values())


def test_the_guide_is_up_to_date_and_keeps_the_exam_to_itself():
    """python assets/class/guide.py"""
    text = (ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8")
    assert text == guide.guide() and not re.search(r"\{\w+\}", text)
    for lecture in topics():
        entry = guide.entry(lecture)
        assert entry["Exam"][:60] not in text and entry["Solutions"][:40] not in text
        assert entry["Exam"] in guide.exam(lecture) and entry["Solutions"] in guide.exam(lecture)


def test_the_guides_links_lead_somewhere():
    for page in (ROOT / "INSTRUCTORS.md", ROOT / "assets" / "class" / "SERVER.md"):
        links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
        assert links and all((page.parent / each).exists() for each in links)
