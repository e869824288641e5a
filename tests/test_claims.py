"""claims: bands, verdicts, receipts, and wrong code that has to turn them."""

import importlib
import math
import sys
from functools import cached_property

import pytest

from debias_course import claims, lectures
from debias_course.claims import (
    Band,
    Claim,
    Lesson,
    above,
    below,
    claim,
    front_page,
    golden_runs,
    receipts,
    topics,
    within,
)
from debias_course.study import Mean


@pytest.mark.parametrize(
    "band, low, high, verdict",
    [
        (above(0.1), 0.11, 0.3, "holds"),
        (above(0.1), 0.1, 0.3, "undecided"),
        (above(0.1), -0.2, 0.1, "fails"),
        (above(0.1), 0.05, 0.3, "undecided"),
        (below(0.6), 0.4, 0.5, "holds"),
        (below(0.6), 0.6, 0.7, "fails"),
        (within(-0.1, 0.1), -0.05, 0.05, "holds"),
        (within(-0.1, 0.1), -0.15, 0.05, "undecided"),
        (within(-0.1, 0.1), 0.1, 0.4, "fails"),
        (above(0.1), -math.inf, math.inf, "undecided"),
    ],
)
def test_a_verdict_needs_the_whole_interval(band, low, high, verdict):
    assert band.judge(Mean((low + high) / 2, low, high, 5)) == verdict


def test_bands_read_as_words():
    assert [str(band) for band in (above(0.1), below(0.6), within(-0.05, 0.05))] == [
        "above 0.1",
        "below 0.6",
        "between -0.05 and 0.05",
    ]
    assert Band().judge(Mean(0, -1, 1, 5)) == "holds"


def test_the_verdict_is_the_repr_and_the_digits_are_in_the_rich_form():
    claim = Claim("L99.1", "Water is <wet>", above(0.5), (0, 1, 2), (0.9, 1.0, 1.1))
    assert repr(claim) == "HOLDS: Water is <wet> [L99.1: above 0.5]"
    rich = claim._repr_html_()
    assert "Water is &lt;wet&gt;" in rich and "1.000 (95% 0.752 to 1.248, 3 seeds)" in rich and "seeds 0 to 2" in rich
    assert "<details>" not in rich


def double(value):
    return 2 * value


class Seeds(Lesson):
    topic = "97_seeds"

    @cached_property
    def asked(self):
        """Counted by the tests."""
        return []

    @claim("X", "Seeds are above six", holds=above(5.0))
    def above_six(self, seed):
        self.asked.append(seed)
        return double(seed) / 2

    @claim("Y", "Nothing", holds=above(0))
    def nothing(self, seed):
        return math.nan if seed == 7 else None


def test_a_lesson_measures_every_seed_once_and_shows_the_claim(capsys):
    here = Seeds(seeds="7:10")
    assert "seeds 7 to 9" in capsys.readouterr().out
    for _ in range(2):  # running a cell again does not measure again
        here.claim("X")
        assert "HOLDS: Seeds are above six [X: above 5]" in capsys.readouterr().out
    assert [claim.values for claim in here.claims.values()] == [(7.0, 8.0, 9.0)] and here.asked == [7, 8, 9]
    with pytest.raises(ValueError, match="claim Y measured no finite number on seed 7"):
        here.claim("Y")
    with pytest.raises(ValueError, match="97_seeds makes no claim 'Z'; there are X, Y"):
        here.claim("Z")
    with pytest.raises(ValueError, match="the band from 0.1 to -0.1 is empty"):
        within(0.1, -0.1)
    with pytest.raises(ValueError, match="budget is 'huge'; use 'quick' or 'full'"):
        Seeds(budget="huge")


def test_two_claims_with_one_id_are_refused_when_the_lesson_is_defined():
    with pytest.raises(ValueError, match="two claims of Twice are called X; give each its own id"):

        class Twice(Lesson):
            one = claim("X", "A sentence", holds=above(5.0))(lambda self, seed: seed)
            other = claim("X", "Another sentence", holds=above(5.0))(lambda self, seed: seed)


def test_a_claim_shows_how_it_is_measured():
    """The method, and what it names of the lesson and of the module, and nothing else."""
    how = Seeds.how("above_six")
    assert (
        all(words in how for words in ('@claim("X"', "def above_six", "def asked", "def double")) and "nan" not in how
    )
    rich = Seeds(seeds=[9]).measured("X")._repr_html_()
    assert "<details><summary>how it is measured</summary>" in rich and "@claim(&quot;X&quot;" in rich


LECTURE = """
from functools import cached_property
from debias_course.claims import Lesson, above, claim
from debias_course.data.biases import thin

class TestLesson(Lesson):
    topic = "98_test"

    @cached_property
    def part(self):
        return thin

    @claim("X1", "Seeds are large", holds=above(3.0))
    def large(self, seed):
        assert self.part
        return seed
"""
COSTLY = """
    @claim("X2", "It is costly", holds=above(3.0), costly=True)
    def expensive(self, seed):
        return seed
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A clone with one lecture, 98_test; course.write(text) writes what it measures."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "98_test.ipynb").write_text("not read")
    (tmp_path / "lectures" / "test").mkdir(parents=True)
    monkeypatch.setattr(topics, "notebooks_folder", lambda: tmp_path / "notebooks")
    monkeypatch.setattr(front_page, "notebooks_folder", lambda: tmp_path / "notebooks")
    monkeypatch.setattr(front_page, "topics", lambda: ["98_test"])
    monkeypatch.setattr(lectures, "__path__", [*lectures.__path__, str(tmp_path / "lectures")])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    write(tmp_path, LECTURE)
    yield tmp_path
    forget()


def forget():
    for name in [name for name in sys.modules if name.startswith("debias_course.lectures.test")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def write(course, text):
    (course / "lectures" / "test" / "measurements.py").write_text(text)
    forget()


@pytest.mark.slow
def test_a_topic_is_measured_from_its_lesson_with_the_seeds_asked_for(course):
    assert topics.topics() == ["98_test"]
    found, _ = claims.measure_topic("98_test")
    assert found[0].verdict == "undecided" and found[0].seeds == (0, 1, 2, 3, 4)
    (found,), (receipt,) = claims.measure_topic("98_test", seeds="1000:1005")
    assert found.verdict == "holds" and found.seeds == (1000, 1001, 1002, 1003, 1004)
    assert receipt["verdict"] == "holds" and receipt["value"] == 1002 and receipt["seeds"] == list(found.seeds)
    assert {"training adamw", "selection last", "evaluation", "thin"} <= set(receipt["behaviour"])
    assert "textured_digits 10" not in receipt["behaviour"]
    assert claims.measure_topic("98_test", budget="full")[0][0].seeds == tuple(range(20))


@pytest.mark.slow
def test_a_claim_rests_on_what_measures_it(course):
    """And not on what else its lesson holds: `part` is the first claim's alone."""
    write(course, LECTURE + COSTLY.replace(", costly=True", ""))
    behaviours = {receipt["id"]: set(receipt["behaviour"]) for receipt in claims.measure_topic("98_test")[1]}
    assert behaviours["X1"] - behaviours["X2"] == {"thin"} and "evaluation" in behaviours["X2"]


def test_receipts_are_kept_replaced_and_go_stale(course, monkeypatch):
    for seeds in (None, "10:15", "10:15"):
        _, found = claims.measure_topic("98_test", seeds=seeds)
        path = receipts.save_receipts("98_test", found)
    kept = receipts.read_receipts("98_test")
    assert [receipt["seeds"][0] for receipt in kept] == [0, 10] and not any(receipt["stale"] for receipt in kept)
    assert path == course / "assets" / "claims" / "98_test.json" and "stale" not in path.read_text()
    with monkeypatch.context() as edited:
        edited.setitem(golden_runs.GOLDEN, "thin", golden_runs.Golden(lambda: [1.0, 2.0]))
        assert [receipt["changed"] for receipt in receipts.read_receipts("98_test")] == [["thin"], ["thin"]]
    other = COSTLY.replace(", costly=True", "")
    for edit, changed in (("seed  # a remark\n", []), ("seed", []), ("seed + 0", ["statement"])):
        write(course, LECTURE.replace("return seed", f"return {edit}") + other)
        assert [receipt["changed"] for receipt in receipts.read_receipts("98_test")] == [changed, changed]
    write(course, LECTURE.replace("return thin", "return thin, thin"))  # what measures may use it
    assert [receipt["changed"] for receipt in receipts.read_receipts("98_test")] == [["statement"], ["statement"]]


@pytest.mark.slow
def test_a_costly_claim_is_measured_on_the_full_budget_and_shown_from_its_receipt_on_the_quick_one(course, monkeypatch):
    write(course, LECTURE + COSTLY)
    found, made = claims.measure_topic("98_test")
    assert found[1].verdict == "undecided" and "too costly for this budget" in found[1].numbers
    assert [each["id"] for each in made] == ["X1"]
    receipts.save_receipts("98_test", claims.measure_topic("98_test", seeds="10:13", budget="full")[1])
    (_, kept), made = claims.measure_topic("98_test")
    assert kept.verdict == "holds" and kept.values == (10, 11, 12) and "kept from" in kept.numbers
    receipts.save_receipts("98_test", made)
    assert [(r["id"], r["budget"]) for r in receipts.read_receipts("98_test")] == [
        ("X1", "quick"),
        ("X1", "full"),
        ("X2", "full"),
    ]
    receipts.save_receipts("98_test", claims.measure_topic("98_test", seeds="10:14", budget="full")[1])  # more seeds
    assert [len(r["seeds"]) for r in receipts.read_receipts("98_test")] == [5, 4, 4]
    receipts.save_receipts(
        "98_test", claims.measure_topic("98_test", seeds="10:12", budget="full")[1]
    )  # fewer: no gain
    kept = claims.measure_topic("98_test")[0][1]
    assert kept.values == (10, 11, 12, 13) and "--budget full --seeds 4 --save" in kept.numbers
    monkeypatch.setitem(golden_runs.GOLDEN, "statistics", golden_runs.Golden(lambda: [1.0]))
    assert "by code that has changed since" in claims.measure_topic("98_test")[0][1].numbers


def test_a_claim_that_became_costly_leaves_no_stale_receipt_behind(course):
    receipts.save_receipts("98_test", claims.measure_topic("98_test")[1])
    write(course, LECTURE.replace("holds=", "costly=True, holds="))
    receipts.save_receipts("98_test", claims.measure_topic("98_test", budget="full", seeds=4)[1])  # some, not all
    assert [(r["budget"], r["stale"]) for r in receipts.read_receipts("98_test")] == [("full", False), ("quick", True)]
    receipts.save_receipts("98_test", claims.measure_topic("98_test", budget="full", seeds=6)[1])
    assert [(r["budget"], len(r["seeds"])) for r in receipts.read_receipts("98_test")] == [("full", 6)]


def test_a_lesson_may_bring_the_seeds_of_its_quick_budget(course):
    write(course, LECTURE.replace('    topic = "98_test"', '    topic = "98_test"\n    quick_seeds = 8'))
    asked = [{}, dict(seeds="1000:1003"), dict(budget="full")]
    assert [len(claims.measure_topic("98_test", **each)[0][0].seeds) for each in asked] == [8, 3, 20]


def test_a_topic_without_claims_or_lesson_says_so(course):
    write(course, LECTURE.partition("    @claim")[0])
    with pytest.raises(ValueError, match="98_test makes no claim; put @claim over the methods of TestLesson"):
        claims.measure_topic("98_test")
    write(course, LECTURE.replace("98_test", "99_other"))
    with pytest.raises(ValueError, match=r'test.measurements has no lesson; define .* topic = "98_test"'):
        claims.measure_topic("98_test")


def test_the_front_page_shows_the_receipts_of_the_shipped_seeds(course):
    text = "# Title\n" + "".join(front_page.MARKS) + "\nend"
    (course / "README.md").write_text(text)
    for seeds in (None, "1000:1005"):
        receipts.save_receipts("98_test", claims.measure_topic("98_test", seeds=seeds)[1])
    front_page.update_front_page()
    page = (course / "README.md").read_text()
    assert page.startswith("# Title") and page.endswith("end") and "98 test: 0 of 1 claims hold" in page
    assert page.count("| X1 | Seeds are large | undecided | 2.000 (0.037 to 3.963) | above 3 |") == 1
    front_page.update_front_page()
    assert (course / "README.md").read_text() == page


@pytest.mark.slow
def test_the_readme_is_up_to_date():
    readme = (topics.notebooks_folder().parent / "README.md").read_text(encoding="utf-8")
    assert front_page.MARKS[0] + front_page.front_page() + front_page.MARKS[1] in readme, (
        "run: debias-course claims --save"
    )


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"behaviours": [], "receipts": [{"id": 3}]}'])
def test_a_damaged_receipt_is_named_with_its_remedy(course, damage):
    path = receipts.save_receipts("98_test", claims.measure_topic("98_test")[1])
    path.write_text(damage)
    with pytest.raises(ValueError, match=r"98_test.json is damaged .* take it from the repository again"):
        receipts.read_receipts("98_test")


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        (lambda self, seed: None, "claim X measured None on seed 0; return one number"),
        (lambda self, seed: "much", "claim X measured 'much' on seed 0"),
        (3.0, "claim X stands over 3.0; put it over a method that takes the seed"),
        (dict(holds=0.1), "holds of claim 'X' is 0.1; give a Band, as in above"),
        (dict(sentence=None), "sentence of claim 'X' is None; give a str"),
    ],
)
def test_what_cannot_be_a_claim_is_refused(wrong, sentence):
    told = dict(id="X", sentence="Seeds are large", holds=above(3.0)) | (wrong if isinstance(wrong, dict) else {})
    with pytest.raises(TypeError, match=sentence):

        class Refused(Lesson):
            topic = "97_refused"
            measure = claim(**told)(wrong)

        Refused().claim("X")


def test_equal_values_need_the_trials_behind_them():
    """None of 5 · 94 batches: at most 1 - 0.025^(1 / 470) with 95 %."""
    assert Claim("X", "s", below(0.01), (0, 1, 2, 3, 4), (0.0,) * 5).verdict == "undecided"
    claim = Claim("X", "s", below(0.01), (0, 1, 2, 3, 4), (0.0,) * 5, trials=94)
    assert claim.verdict == "holds" and claim.mean.high == pytest.approx(1 - 0.025 ** (1 / 470))
    assert Claim("X", "s", below(0.005), (0, 1, 2, 3, 4), (0.0,) * 5, trials=94).verdict == "undecided"


def test_an_installation_without_notebooks_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(topics, "__file__", str(tmp_path / "site" / "debias_course" / "claims" / "topics.py"))
    with pytest.raises(FileNotFoundError, match="clone the repository"):
        topics.notebooks_folder()
