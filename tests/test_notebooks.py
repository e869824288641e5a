"""The notebooks: paired, executed, compared, small, readable without a kernel."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

from debias_course.claims import receipts, topics

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
each = pytest.mark.parametrize("name", NAMES)
EXEMPT = {"nbval-ignore-output", "nbval-skip"}
CLAIM = r"""["']([BL]\d\d\.\w+)["']"""


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(name):
    return [cell for cell in read(name).cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", ()))


def test_there_are_notebooks_and_each_has_its_twin():
    assert NAMES and NAMES == sorted(path.stem for path in (FOLDER / "text").glob("*.py"))


@each
def test_notebook_and_twin_say_the_same(name):
    twin = jupytext.read(FOLDER / "text" / f"{name}.py")
    here, there = ([(c.cell_type, c.source, sorted(tags(c))) for c in book.cells] for book in (read(name), twin))
    assert here == there, f"run: python notebooks/execute.py {name}"


@each
def test_no_check_is_vacuous(name):
    """nbval runs a cell without a stored count but never compares it; claims must have a verdict to compare."""
    for number, cell in enumerate(code_cells(name), 1):
        assert cell.execution_count == number, f"code cell {number} was not executed in order"
        assert not any(output.output_type == "error" for output in cell.outputs)
        if "claim" in tags(cell):
            shown = [output.data["text/plain"] for output in cell.outputs if "data" in output]
            stated = len(re.findall(CLAIM, cell.source))
            assert len(shown) == stated >= 1 and all(
                re.match("(CONFIRMED|ONLY .*|REFUTED|OPEN.*): ", text) for text in shown
            )
        if {"claim", "exercise"} & tags(cell):
            assert not EXEMPT & tags(cell) and cell.outputs


@each
def test_most_cells_are_compared(name):
    cells = code_cells(name)
    assert sum(bool(EXEMPT & tags(cell)) for cell in cells) < len(cells) / 2
    for cell in cells:  # what is exempt is a time, a widget, or the digits of this machine
        if EXEMPT & tags(cell):
            assert {"setup", "measure", "widget"} & tags(cell) or re.match("run = train|report", cell.source)


@each
def test_no_result_is_typed_in_prose(name):
    """Results are printed by code. Numbers in formulas, in code and of the example by hand are no results."""
    for cell in read(name).cells:
        if cell.cell_type != "markdown" or cell.source.startswith("## By hand"):
            continue
        prose = re.sub(r"\$\$.*?\$\$|\$[^$\n]*\$|`[^`]*`|<code>.*?</code>|\]\([^)]*\)", "", cell.source, flags=re.S)
        prose = prose.replace("95 % interval", "")
        found = re.findall(r"\d+(?:\.\d+)?\s*%|\b\d+\.\d+\b|\bsignificant(?:ly)?\b", prose)
        assert not found, f"typed in prose: {found}"


@each
def test_the_ten_parts_are_there_in_order(name):
    text = "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")
    parts = ["**The question.**", "**What you will be able to claim", "## See the problem", "## The idea", "## By hand"]
    parts += ["## Turn the knob", "## Measure it", "## When it breaks", "## Exercises", "## Recap", "**Quiz**"]
    places = [text.find(part) for part in [*parts, "## References"]]
    assert -1 not in places and places == sorted(places)
    assert 25 <= len(read(name).cells) <= 55


@each
def test_a_static_picture_stands_before_the_first_widget(name):
    cells = code_cells(name)
    first = next(i for i, cell in enumerate(cells) if "widget" in tags(cell))
    assert "figures.picture(" in cells[first - 1].source


@each
def test_every_picture_has_an_alternative_text_and_a_takeaway(name):
    pages = ["".join(o.get("data", {}).get("text/html", "")) for cell in code_cells(name) for o in cell.outputs]
    pictures = [page for page in pages if page.startswith("<figure")]
    assert len(pictures) >= 3
    for page in pictures:
        assert (
            "<img" in page
            and len(re.search(r'alt="([^"]*)"', page)[1]) > 40
            and len(re.search(r"<em>(.*?)</em>", page)[1]) > 20
        )


@each
def test_nothing_personal_random_or_large_is_stored(name):
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert len(text) < 600_000
    book = json.loads(text)
    assert "widgets" not in book["metadata"] and "widget-view" not in text
    assert set(book["metadata"]) == {"kernelspec", "language_info"}
    assert all(set(cell["metadata"]) <= {"tags"} for cell in book["cells"])
    assert not re.search(r"/(home|Users|root|tmp)/", text)


@pytest.mark.slow
@each
def test_every_claim_has_its_receipts_and_the_notebook_shows_their_verdict(name):
    """Of the notebook's seeds and of others, all fresh, with all circumstances, which do not contradict each other."""
    lesson = topics.lesson_of(name)
    claimed = [cell for cell in code_cells(name) if "claim" in tags(cell)]
    shown = [id for cell in claimed for id in re.findall(CLAIM, cell.source)]
    assert sorted(shown) == sorted(set(shown)) and set(lesson.central) <= set(shown) <= set(lesson.measures)
    kept = {(r["id"], r["budget"], r["seeds"][0]): r for r in receipts.read_receipts(name)}
    outputs = "".join("".join(o.data["text/plain"]) for cell in claimed for o in cell.outputs if "data" in o)
    for id, measure in (lesson.measures | lesson.tables).items():
        stated = measure.statement
        budget = "full" if stated.costly or lesson.central else "quick"
        both = [kept.get((id, budget, first)) for first in (0, 1000)]
        fresh = all(both) and not any(r["stale"] for r in both)
        enough = all(both) and min(len(r["seeds"]) for r in both) >= (3 if stated.costly else 5)
        assert fresh and enough, f"run: debias-course claims --topic {name} --save, and --seeds 1000:1005; see --budget"
        if id in lesson.measures:
            ours, theirs = map(lesson.of_receipt, both)
            assert [cell.where for cell in ours.cells] == [cell.where for cell in theirs.cells] == list(stated.over)
            for here, there in zip(ours.cells, theirs.cells):
                assert {here.verdict, there.verdict} != {"holds", "fails"}, f"{id} {here.where}"
            assert id not in shown or f"{ours.answer.upper()}: {stated.sentence} [{id}: " in outputs


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if topics.lesson_of(name).central])
def test_central_claims_would_come_out_again(name):
    """As the receipts tell, and on the other block of seeds they did."""
    lesson, kept = topics.lesson_of(name), receipts.read_receipts(name)
    for id in lesson.central:
        ours, theirs = (
            max(
                (lesson.of_receipt(r) for r in kept if r["id"] == id and r["seeds"][0] == first),
                key=lambda claim: len(claim.cells),
            )
            for first in (0, 1000)
        )
        assert ours.verdict == theirs.verdict and (ours.verdict == "open" or ours.replication >= 0.95), id


def test_links_between_notebooks_lead_somewhere():
    for name in NAMES:
        for cell in read(name).cells:
            for target in re.findall(r"\]\((\w+\.ipynb)\)", cell.source):
                assert (FOLDER / target).exists()


@pytest.mark.parametrize("how", ["connect", "connect_ex", "getaddrinfo"])
def test_the_tests_and_their_kernels_are_offline(how):
    """192.0.2.1 belongs to nobody; a resolver would be asked for example.org."""
    with pytest.raises(OSError, match="the tests are offline"):
        if how == "getaddrinfo":
            socket.getaddrinfo("example.org", 80)
        else:
            with socket.socket() as outside:
                getattr(outside, how)(("192.0.2.1", 80))
    source = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    child = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert child.returncode == 1 and "the tests are offline: refused to reach 192.0.2.1" in child.stderr
