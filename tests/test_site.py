"""The site: panels without a kernel, stored notebooks as pages, and the links below a title."""

import ast
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from debias_course import cache
from debias_course.claims.shown import COLORS
from debias_course.figures import new_figure
from debias_course.lectures import grids
from debias_course.lectures.grids import Grid
from debias_course.lectures.panels import drawing
from debias_course.methods import Knob, Method, knob

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
sys.path.insert(0, str(ROOT / "assets" / "site"))
import docstrings  # noqa: E402
import launch  # noqa: E402
import live  # noqa: E402
import make  # noqa: E402
import pages  # noqa: E402
import slides  # noqa: E402


@dataclass(frozen=True, kw_only=True)
class Example(Method):
    """min nothing"""

    step: float = knob(0.1, low=0.0, high=1.0, help="a <step>")
    kind: str = knob("a", choices=("a", "b", "c"), help="a kind")
    twice: bool = knob(False, help="a yes or no")


@drawing(
    idle=lambda method, **extra: {} if method.step else dict(kind="nothing moves.", twice=""),
    stops=dict(step=(0.0, 1.0), kind=("a", "c"), level=(9,)),
)
def line(method, *, level=1):
    """A line. Of some height."""
    if level == 9:
        raise ValueError("level 9 is <too high>")
    figure, axis = new_figure(2, 2, layout="none")
    axis.plot([0, 1], [method.step, level])
    return figure, f"{method.step} {method.kind} & {level}"


LEVEL = dict(level=Knob(1, low=0, high=9, help="a level"))


@pytest.fixture
def grid(monkeypatch, tmp_path):
    """Of an example, drawn in this process, with a cache of its own; counts what is drawn."""
    drawn = []
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path))
    monkeypatch.setattr(grids, "in_workers", lambda calls, what: [f(*g) for f, g, _ in calls if not drawn.append(g)])
    made = Grid(line, Example(), LEVEL)
    vars(made)["drawn"] = drawn
    return made


def test_a_knob_moves_over_its_stops_and_the_panels_first_value(grid):
    assert grid.stops == dict(step=(0.0, 0.1, 1.0), kind=("a", "c"), level=(1, 9)) and grid.middle == (1, 0, 0)
    assert grid.settings()[2, 1, 0] == dict(step=1.0, kind="c", twice=False, level=1)


def test_each_setting_shows_what_the_panel_shows(grid):
    shot = grid.shots()[2, 1, 0]
    assert shot.setting == "step 1 · kind c · twice no · level 1" and shot.alt == f"A line. {shot.setting}"
    assert shot.picture.sentence == "1.0 c & 1" and shot.picture.image[1:4] == b"PNG"


def test_a_knob_that_does_nothing_makes_no_picture_and_says_why(grid):
    shots = grid.shots()
    assert len(grid.drawn) == 10 and shots[0, 0, 0].picture == shots[0, 1, 0].picture
    assert shots[0, 1, 0].idle == dict(kind="nothing moves.", twice="") and shots[0, 1, 0].setting == "step 0 · level 1"


def test_a_setting_that_is_refused_says_so(grid):
    refused = grid.shots()[1, 0, 1].picture
    assert refused.refused == "level 9 is <too high>" and not refused.image


def test_pictures_are_kept_and_a_damaged_one_is_drawn_again(grid):
    before = grid.shots()
    assert grid.shots() == before and len(grid.drawn) == 10
    next((cache.cache_folder() / "panels").glob("*.json")).write_text("{")
    assert grid.shots() == before and len(grid.drawn) == 11


def test_a_panel_whose_stops_nobody_chose_has_few_pictures(monkeypatch):
    monkeypatch.setattr(grids, "chosen_for", lambda draw: {})
    stops = Grid(line, Example(), LEVEL).stops
    assert stops == dict(kind=("a", "b", "c"), twice=(True, False), level=(0, 1, 9))


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_every_panel_is_found_and_its_stops_are_those_that_were_chosen(path):
    """Without running anything but imports and what the panel names; a renamed knob or drawing is noticed."""
    sources = ["".join(each["source"]) for each in cells(path) if each["cell_type"] == "code"]
    found = [
        live.grid_of(each, sources[:i]) for i, each in enumerate(sources) if each.startswith(("panel(", "names ="))
    ]
    assert found
    for each in found:
        chosen = grids.chosen_for(each.draw)
        assert len(each.stops) >= 2 and set(each.stops) <= set(chosen)
        ours = {name for name in chosen if name in each.knobs or name not in ("by", "power")}
        assert set(each.stops) == ours and len(each.settings()) <= 81


def test_of_the_cells_before_only_what_a_panel_names_is_run():
    before = ast.parse("import math\ntrained = explode()\nlow = math.floor(2.5)\nlow.explode()\nrange = low, 3").body
    assert [ast.unparse(each) for each in live.needed(ast.parse("panel(range)"), before)] == [
        "import math",
        "low = math.floor(2.5)",
        "range = (low, 3)",
    ]


def test_a_panel_in_html_has_the_browsers_own_controls_with_labels(grid, tmp_path):
    text = live.panel(grid, "panel-1", tmp_path / "panels", "../panels/")
    assert '<label for="panel-1-step"><b>step</b> a &lt;step&gt;</label>' in text
    assert 'id="panel-1-step" min="0" max="2" value="1"' in text and 'aria-valuetext="0.1"' in text
    assert '<select id="panel-1-kind"><option value="0" selected>a<option value="1">c</select>' in text
    assert "Fixed on this page: twice no. All move in JupyterLab." in text and "<form" in text and " hidden " in text
    data = json.loads(text.split('<script type="application/json">')[1].split("</script>")[0])
    assert data["0,1,0"]["idle"] == {"kind": "<b>kind</b> <i>Does nothing here: nothing moves.</i>"}
    assert data["1,0,1"]["refused"] == "level 9 is <too high>"
    pictures = {each["src"] for each in data.values() if "src" in each}
    assert all((tmp_path / "page" / each).resolve().exists() for each in pictures) and "src" in data["0,1,0"]


def markdown(text):
    return dict(cell_type="markdown", id="m", metadata={}, source=text)


def code(source, html="", *tags):
    outputs = [dict(output_type="display_data", metadata={}, data={"text/html": html})] if html else []
    return dict(cell_type="code", id="c", metadata=dict(tags=list(tags)), source=source, outputs=outputs)


def paged(*given):
    book = dict(cells=[markdown("# The course\n\n---\n\n# 00 · A lecture\n\ntext"), *given], metadata={})
    return pages.page(book, "00_dataset_bias", "<bar>", Path("unused"), "")["cells"]


def test_a_page_has_one_title_with_the_bar_below_it():
    assert paged()[0]["source"] == "# 00 · A lecture\n\n<bar>\n\ntext"


def test_a_guess_folds_the_results_that_answer_it_and_no_others():
    made = paged(
        code('here.claim("B00.1")', "early", "claim"),
        code('here.guess("L00.1", "more?", "yes", "no")', "<p>more?</p>"),
        code('here.claim("L00.1", "B00.2")', "x", "claim"),
        code('figures.picture(figures.over_epochs(here.kept("T00.1")))', "x"),
        code('here.claim("B00.3")', "x", "claim"),
        code("here.answers()", "x", "answers"),
    )[1:]
    assert ["hide-output" in pages.tags(each) for each in made] == [False, False, True, True, False, False]
    assert "answers-L00-1" in pages.tags(made[2]) and made[2]["metadata"]["mystnb"]["code_prompt_show"].startswith(
        "Show"
    )
    assert made[1]["outputs"][0]["data"]["text/html"].startswith('<div class="course-guess" data-claim="L00.1">')


def test_code_that_measures_is_folded_and_code_that_teaches_is_not():
    teaches, measures, draws = paged(code("x = 1"), code("slow()", "x", "measure"), code("figures.picture(f())", "x"))[
        1:
    ]
    assert not pages.tags(teaches) and "hide-input" in pages.tags(measures) and "hide-input" in pages.tags(draws)


def test_an_exercise_has_its_hint_and_its_solution_folded_below():
    below = paged(code("def f(): ...\nexercises.worst_group.check(f)", "", "exercise"))[2]["source"]
    assert below.count("<details") == 2 and "<summary>Solution</summary>\n\n```python\ndef " in below


def test_colours_of_verdicts_have_names():
    (made,) = paged(code("x", "".join(f'<b style="color:{each}">' for each in COLORS.values())))[1:]
    text = made["outputs"][0]["data"]["text/html"]
    assert not any(each in text for each in COLORS.values()) and "var(--course-only-where)" in text
    style = (ROOT / "assets" / "site" / "static" / "course.css").read_text()
    assert all(style.count(f"--course-{name.replace(' ', '-')}: #") == 2 for name in COLORS)


@pytest.mark.parametrize(
    "origin, address",
    [
        ("git@github.com:o/r.git", "https://github.com/o/r"),
        ("https://token:x@gitlab.com/a/b/r.git", "https://gitlab.com/a/b/r"),
        ("ssh://git@host.example/o/r", "https://host.example/o/r"),
        ("/srv/git/r.git", ""),
        ("", ""),
    ],
)
def test_the_address_of_a_clone_is_that_of_its_origin_without_secrets(origin, address):
    assert launch.web_address(origin) == address


def test_a_page_links_to_what_its_host_offers():
    github, gitlab, none = (
        launch.bar("01_x", each) for each in ("https://github.com/o/r", "https://gitlab.com/a/r", "")
    )
    assert "colab.research.google.com/github/o/r/blob/gh-pages/notebooks/01_x.ipynb" in github
    assert "mybinder.org/v2/gh/o/r/HEAD?urlpath=lab/tree/notebooks/01_x.ipynb" in github
    assert "mybinder.org/v2/gl/a%2Fr/HEAD" in gitlab and "colab" not in gitlab
    assert "https" not in none and all("make lab" in each and "download" in each for each in (github, gitlab, none))


def test_the_downloaded_notebook_first_brings_the_course():
    book = json.loads(NOTEBOOKS[0].read_text(encoding="utf-8"))
    install, *rest = json.loads(launch.copy(book, "https://github.com/o/r"))["cells"]
    assert rest == book["cells"]
    tree = ast.parse(TransformerManager().transform_cell("".join(install["source"])))
    assert any(isinstance(each, ast.If) for each in tree.body) and "https://github.com/o/r" in ast.unparse(tree)


def test_docstrings_keep_their_words_and_their_columns():
    lines = [
        "Sums *all*, `a|b` and x_i.",
        "",
        "    call(x)",
        "",
        "data    one",
        "more    two,",
        "        on",
        "",
        "end",
    ]
    docstrings.as_rst(None, "", "", None, None, lines)
    assert lines == [
        *("Sums \\*all\\*, \\ ``a|b``\\  and x\\_i.", "", "::", "", "        call(x)", ""),
        *("data", "    one", "more", "    two,", "    on", "", "end", ""),
    ]


def test_the_menu_names_every_lecture_and_every_page_of_the_library():
    text = make.front_page(ROOT, [path.stem for path in NOTEBOOKS])
    listed = text.split("```{toctree}", 1)[1].split()
    assert {f"notebooks/{path.stem}" for path in NOTEBOOKS} | {"CLAIMS", "CHANGELOG", "CONTRIBUTING"} <= set(listed)
    assert {"INSTRUCTORS", "assets/class/SERVER"} <= set(listed)
    assert all(f"api/{path.stem}" in listed for path in (ROOT / "assets" / "site" / "api").glob("*.md"))


def test_a_deck_goes_from_the_question_over_guesses_and_results_to_the_recap():
    opening = "# 01 · A lecture\n\n**It happened.** Long ago.\n\n**The question.** Is $a\\,b$ <b>more</b>?\n\nmore"
    claim = "<div><small>L01.1 · measured</small><details>fine</details></div>"
    made = slides.deck(
        dict(
            cells=[
                markdown(opening),
                code("figures.picture(pictures.schematic())", "SCHEMATIC"),
                code('here.guess("L01.1", "q", "a")', "GUESS"),
                code('here.claim("L01.1")', claim),
                code('here.where("L01.1")', "STRIP"),
                markdown("## When it breaks\n\n**Always.** One. Two. Three. Four."),
                code("figures.picture(x())", "BROKEN"),
                code("here.answers()", "ANSWERS", "answers"),
                markdown("## Recap\n\n- kept\n\n**Quiz**\n\nno"),
            ]
        )
    )
    found = [each.split("</section>")[0] for each in made.split("<section ")[1:]]
    expected = ["Is ", "SCHEMATIC", "GUESS", "STRIP", "BROKEN", "ANSWERS", "kept"]
    assert len(found) == 7 and all(word in each for word, each in zip(expected, found))
    assert "\\(a\\,b\\)" in found[0] and "L01.1" in found[3] and "fine" not in made and "Quiz" not in made
    assert "Two." in found[4] and "Four." not in found[4]
