"""claims: bands, verdicts, receipts, and wrong code that has to turn them."""

import importlib
import math
import sys
from functools import cached_property

import numpy as np
import pytest

from debias_course import claims, cli, lectures
from debias_course.claims import (
    Band,
    Claim,
    Lesson,
    above,
    below,
    claim,
    findings,
    front_page,
    golden_runs,
    grid,
    lessons,
    once,
    receipts,
    topics,
    within,
)
from debias_course.claims.circumstances import in_words
from debias_course.claims.verdicts import Cell
from debias_course.study import Mean


@pytest.mark.parametrize(
    "band, low, high, verdict",
    [
        (above(0.1), 0.11, 0.3, "holds"),
        (above(0.1), 0.1, 0.3, "open"),
        (above(0.1), -0.2, 0.1, "fails"),
        (above(0.1), 0.05, 0.3, "open"),
        (below(0.6), 0.4, 0.5, "holds"),
        (below(0.6), 0.6, 0.7, "fails"),
        (within(-0.1, 0.1), -0.05, 0.05, "holds"),
        (within(-0.1, 0.1), -0.15, 0.05, "open"),
        (within(-0.1, 0.1), 0.1, 0.4, "fails"),
        (above(0.1), -math.inf, math.inf, "open"),
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


POSITIVE = above(0.0)


def stated(*cells, holds=POSITIVE, middle=None, **fields):
    """A claim of circumstances (where, values)."""
    found = tuple(Cell(where, tuple(values), holds) for where, values in cells)
    seeds = tuple(range(len(found[0].values)))
    return Claim("L99.1", "Water is <wet>", holds, seeds, found, found[0].where if middle is None else middle, **fields)


def test_the_verdict_is_the_repr_and_the_digits_are_in_the_rich_form():
    claim = stated(({}, (0.9, 1.0, 1.1)), holds=above(0.5), expected="wet & cold")
    assert repr(claim) == "CONFIRMED: Water is <wet> [L99.1: above 0.5]"
    rich = claim._repr_html_()
    assert "Water is &lt;wet&gt;" in rich and "1.000 (95% 0.752 to 1.248, 3 seeds)" in rich and "seeds 0 to 2" in rich
    assert "<pre>" not in rich and "we expected: wet &amp; cold" in rich


HIGH, LOW, WIDE = (0.11, 0.12, 0.13), (-0.11, -0.12, -0.13), (-0.3, 0.1, 0.4)


@pytest.mark.parametrize(
    "band, low, high, verdict",
    [
        (above(0.0), 0.06, 0.2, "holds"),
        (above(0.0), 0.01, 0.2, "holds"),
        (above(0.0), 0.01, 0.08, "open"),  # on the stated side, but the middle would not matter
        (above(0.0), 0.01, 0.04, "fails"),  # on the stated side, by too little
        (above(0.0), -0.01, 0.04, "fails"),
        (above(0.0), -0.01, 0.06, "open"),
        (below(0.0), -0.2, -0.01, "holds"),
        (below(0.0), -0.04, -0.01, "fails"),
        (below(0.0), -0.06, 0.01, "open"),
    ],
)
def test_an_effect_that_is_too_small_to_matter_is_none(band, low, high, verdict):
    assert band.judge(Mean((low + high) / 2, low, high, 5), 0.05) == verdict


def test_an_open_claim_says_where_it_fails():
    claim = stated(({"epochs": 5}, WIDE), ({"epochs": 20}, LOW), ({"epochs": 60}, LOW))
    assert claim.verdict == "open" and claim.answer == "open; fails at 20 or 60 epochs"
    assert stated(({}, WIDE)).answer == "open"


@pytest.mark.parametrize(
    "values, verdict",
    [
        ([HIGH, HIGH], "confirmed"),
        ([LOW, LOW], "refuted"),
        ([WIDE, WIDE], "open"),
        ([HIGH, LOW], "only where"),
        ([HIGH, WIDE], "only where"),
        ([LOW, WIDE], "open"),
        ([], "open"),
    ],
)
def test_circumstances_make_a_verdict(values, verdict):
    cells = [({"epochs": 10 * i}, each) for i, each in enumerate(values)] or [({}, (0.1,))]
    assert stated(*cells).verdict == verdict


def test_where_a_claim_holds_is_said_by_one_axis_or_two_or_in_numbers():
    def answer(holds):
        over = grid(epochs=(5, 20), network=("mlp", "cnn"), share=(0.9,))
        return stated(*((where, HIGH if holds(**where) else LOW) for where in over)).answer

    assert answer(lambda epochs, network, share: epochs == 5) == "only at 5 epochs"
    both = answer(lambda epochs, network, share: epochs == 5 and network == "cnn")
    assert both == "only at 5 epochs and with the conv net"
    some = answer(lambda epochs, network, share: (epochs == 5) != (network == "cnn"))
    assert some == "only in 2 of 4 circumstances"
    three = stated(*(({"epochs": n}, LOW if n == 3 else HIGH) for n in (1, 2, 3, 4)))
    assert three.answer == "only at 1, 2 or 4 epochs"


def test_grids_are_added_and_say_what_was_measured_in_words():
    over = grid(epochs=(5, 20), network=("mlp",)) + grid(epochs=(5,), network=("cnn",))
    assert [in_words(where) for where in over] == ["epochs 5, MLP", "epochs 20, MLP", "epochs 5, conv net"]


@pytest.mark.slow
def test_replication_is_how_often_a_fresh_block_gives_the_verdict():
    """Against fresh blocks, where nothing was known of the true effect: of claims that are told to repeat with about
    the same probability, as many do."""
    draws = np.random.default_rng(5)
    told, came = [], []
    for true in draws.uniform(-3, 3, 1000):
        first, again = (stated(({}, true + draws.normal(size=8))) for _ in range(2))
        told.append(first.replication)
        came.append(first.verdict == again.verdict)
    order = np.argsort(told)
    for part in np.array_split(order, 5):
        assert np.mean(np.array(told)[part]) == pytest.approx(np.mean(np.array(came)[part]), abs=0.07)
    assert min(told) < 0.55 and max(told) == 1.0


HIGH_AND_LOW = np.array([-1.0, -0.5, -0.2, 0.0, 0.1, 0.3, 0.5, 0.8])


def test_replication_knows_that_circumstances_share_their_seeds():
    """Two circumstances that go together repeat together; two that do not, less often."""
    noise = HIGH_AND_LOW - HIGH_AND_LOW.mean()
    values, against = 0.8 + noise, 0.8 - noise
    one, together, apart = (
        stated(*[({"n": i}, each) for i, each in enumerate(cells)]).replication
        for cells in ([values], [values, values + 1e-3 * noise], [values, against])
    )
    assert 0.6 < one < 0.95 and together == pytest.approx(one, abs=0.03) and apart < one - 0.05


def test_a_central_claim_that_might_not_repeat_is_open():
    values = (0.05, 0.10, 0.16, 0.22)  # its interval is above zero, by little
    near, central = (stated(({}, values), central=central) for central in (False, True))
    assert near.verdict == "confirmed" and near.replication < 0.95
    assert central.verdict == "open" and central.replication == near.replication
    assert "a fresh block of seeds gives this verdict with probability 0." in central._repr_html_()
    assert stated(({}, (0.1,))).replication == 0.0


def test_of_a_central_claim_what_a_fresh_block_gives_again_is_left():
    near = (-0.13, -0.03, 0.02, 0.07, 0.10, 0.13, 0.19, 0.27)
    cells = ({"epochs": 5}, [0.5 + value / 10 for value in near]), ({"epochs": 20}, near)
    plain, central = (stated(*cells, central=central).settled() for central in (False, True))
    assert plain.replication < 0.95
    assert central.answer == "only at 5 epochs" and central.replication >= 0.95
    both = [value + 0.08 for value in near]
    unsure = stated(({"epochs": 5}, both), ({"epochs": 20}, both), central=True).settled()
    assert (
        unsure.answer == "open; holds in all 2 circumstances, but other seeds might say otherwise in some"
        and unsure.replication < 0.95
    )


@pytest.mark.slow
def test_a_steady_circumstance_repeats():
    """Where nothing was known of the true effect, nineteen of twenty do, or more."""
    draws = np.random.default_rng(7)
    came = []
    for true in draws.uniform(-4, 4, 2000):
        first = Cell({}, tuple(true + draws.normal(size=6)), POSITIVE, steady=True)
        if first.verdict != "open":
            came.append(Cell({}, tuple(true + draws.normal(size=6)), POSITIVE).verdict == first.verdict)
    assert 600 < len(came) < 1900 and np.mean(came) >= 0.95


def test_a_circumstance_without_spread_repeats():
    claim = Claim("X", "s", below(0.01), (0, 1), (Cell({}, (0.0, 0.0), below(0.01), trials=470),), {})
    assert claim.verdict == "confirmed" and claim.replication == 1.0


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
        assert "CONFIRMED: Seeds are above six [X: above 5]" in capsys.readouterr().out
    assert [claim.at_middle.values for claim in here.claims.values()] == [(7.0, 8.0, 9.0)] and here.asked == [7, 8, 9]
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
    assert "how it is measured</small></summary>" in rich and "@claim(&quot;X&quot;" in rich


LECTURE = """
from functools import cached_property
from debias_course.claims import Lesson, above, claim, grid, table
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
STRIP = """
    @claim("X3", "More is more", holds=above(3.0), over=grid(times=(1, 2, 3)), expected="only where times is 2 or 3")
    def product(self, seed, *, times=2):
        return times * (2 + seed / 10)

    @table("T1", "Products")
    def products(self):
        import pandas as pd

        return pd.DataFrame(dict(name=["a", "b"], value=[1.0, float("inf")]))
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
    monkeypatch.setattr(front_page, "findings", lambda: ["**Water is wet.** By far."])
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
    assert found[0].verdict == "open" and found[0].seeds == (0, 1, 2, 3, 4)
    (found,), (receipt,) = claims.measure_topic("98_test", seeds="1000:1005")
    assert found.verdict == "confirmed" and found.seeds == (1000, 1001, 1002, 1003, 1004)
    assert (
        receipt["verdict"] == "confirmed"
        and receipt["cells"][0]["value"] == 1002
        and receipt["seeds"] == list(found.seeds)
    )
    assert {"training adamw", "selection last", "evaluation", "thin"} <= set(receipt["behaviour"])
    assert "textured_digits 10" not in receipt["behaviour"]
    assert claims.measure_topic("98_test", budget="full")[0][0].seeds == tuple(range(20))


@pytest.mark.slow
def test_a_claim_rests_on_what_measures_it(course):
    """And not on what else its lesson holds: `part` is the first claim's alone."""
    write(course, LECTURE + COSTLY.replace(", costly=True", ""))
    behaviours = {receipt["id"]: set(receipt["behaviour"]) for receipt in claims.measure_topic("98_test")[1]}
    assert behaviours["X1"] - behaviours["X2"] == {"thin"} and "evaluation" in behaviours["X2"]


@pytest.mark.slow
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
def test_a_costly_claim_is_measured_on_the_full_budget_and_shown_from_its_receipt_on_the_quick_one(
    course, monkeypatch, capsys
):
    write(course, LECTURE + COSTLY)
    found, made = claims.measure_topic("98_test")
    assert found[1].verdict == "open" and "too costly for this budget" in found[1].numbers
    topics.lesson_of("98_test")().where("X2")  # no strip of nothing
    assert "X2: too costly for this budget; measure it: debias-course claims" in capsys.readouterr().out
    assert [each["id"] for each in made] == ["X1"]
    receipts.save_receipts("98_test", claims.measure_topic("98_test", seeds="10:13", budget="full")[1])
    (_, kept), made = claims.measure_topic("98_test")
    assert kept.verdict == "confirmed" and kept.at_middle.values == (10, 11, 12) and "kept from" in kept.numbers
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
    assert kept.at_middle.values == (10, 11, 12, 13) and "--budget full --seeds 4 --save" in kept.numbers
    monkeypatch.setitem(golden_runs.GOLDEN, "statistics", golden_runs.Golden(lambda: [1.0]))
    assert "by code that has changed since" in claims.measure_topic("98_test")[0][1].numbers


def test_a_lesson_asks_once_which_receipts_are_fresh(course, monkeypatch):
    """It takes a second, and a notebook shows twenty claims."""
    write(course, LECTURE + COSTLY + COSTLY.replace("X2", "X3").replace("def ", "def another_"))
    asked = []
    monkeypatch.setattr(lessons, "read_receipts", lambda topic: asked.append(topic) or [])
    here = topics.lesson_of("98_test")()
    assert here.measured("X2").verdict == here.measured("X3").verdict == "open" and asked == ["98_test"]


def test_a_claim_that_became_costly_leaves_no_stale_receipt_behind(course):
    receipts.save_receipts("98_test", claims.measure_topic("98_test")[1])
    write(course, LECTURE.replace("holds=", "costly=True, holds="))
    receipts.save_receipts("98_test", claims.measure_topic("98_test", budget="full", seeds=4)[1])  # some, not all
    assert [(r["budget"], r["stale"]) for r in receipts.read_receipts("98_test")] == [("full", False), ("quick", True)]
    receipts.save_receipts("98_test", claims.measure_topic("98_test", budget="full", seeds=6)[1])
    assert [(r["budget"], len(r["seeds"])) for r in receipts.read_receipts("98_test")] == [("full", 6)]


@pytest.mark.slow
def test_the_quick_budget_measures_the_middle_and_shows_the_strip_from_its_receipt(course):
    write(course, LECTURE.replace('    topic = "98_test"', '    topic = "98_test"\n    central = ("X3",)') + STRIP)
    (_, strip), made = claims.measure_topic("98_test")
    assert strip.verdict == "open" and strip.numbers.startswith("measured 4.400") and len(made[1]["cells"]) == 1
    assert "from" not in topics.lesson_of("98_test")().answers()._repr_html_()  # no receipt of the strip yet
    with pytest.raises(ValueError, match="table T1 has not been made; measure it: debias-course claims --topic 98"):
        topics.lesson_of("98_test")().kept("T1")
    (_, whole), made = claims.measure_topic("98_test", budget="full", seeds=5)
    assert [cell.verdict for cell in whole.cells] == ["fails", "holds", "holds"]
    assert whole.answer == "only where times is 2 or 3" and [each["id"] for each in made] == ["X1", "X3", "T1"]
    receipts.save_receipts("98_test", made)
    (_, strip), _ = claims.measure_topic("98_test", seeds="7:9")
    assert repr(strip).endswith("ONLY WHERE TIMES IS 2 OR 3: More is more [X3: above 3; here (times 2) it holds]")
    here = topics.lesson_of("98_test")()
    assert here.kept("T1")["name"].tolist() == ["a", "b"] and here.kept("T1")["value"].isna().tolist() == [False, True]
    guess = here.guess("X3", "Is more more?", "yes", "no")
    assert "no guess" in here.answers()._repr_html_() and "yes" not in here.answers()._repr_html_()
    guess.buttons.children[0].click()
    assert '<td style="text-align:left">yes<br><small>Is more more?</small></td>' in here.answers()._repr_html_()
    assert repr(here.answers()) == "X3 only where times is 2 or 3: More is more"
    here.guess("X1", "Are seeds large?", "yes", "no")  # not central, and guessed
    assert [line.split()[0] for line in repr(here.answers()).splitlines()] == ["X3", "X1"]
    bundle = guess._repr_mimebundle_()
    assert bundle["text/plain"] == "Your guess: Is more more? yes / no" and "<li>no</li>" in bundle["text/html"]
    with pytest.raises(ValueError, match="has 1 answers; give two to four"):
        here.guess("X3", "Well?", "yes")


def test_a_measurement_that_is_interrupted_is_one_sentence_and_ends_the_notebooks_run(course, capsys):
    from IPython.core.interactiveshell import InteractiveShell

    write(course, LECTURE.replace("assert self.part", "raise KeyboardInterrupt"))
    shell = InteractiveShell()
    shell.user_ns["here"] = topics.lesson_of("98_test")()
    capsys.readouterr()
    assert isinstance(shell.run_cell("here.claim('X1')").error_in_exec, KeyboardInterrupt)
    assert capsys.readouterr().out.splitlines() == [
        "stopped; run the cell again: it goes on with the runs that are finished"
    ]


@pytest.mark.slow
def test_the_command_says_where_a_verdict_is_not_the_shipped_one(course, capsys):
    write(course, LECTURE + STRIP)
    receipts.save_receipts("98_test", claims.measure_topic("98_test", budget="full", seeds=5)[1])
    assert cli.main(["claims", "--topic", "98_test", "--seeds", "0:5"]) == 0
    assert "no verdict differs from the shipped receipts" in capsys.readouterr().out
    assert cli.main(["claims", "--topic", "98_test", "--seeds", "1000:1005", "--budget", "full"]) == 1
    out = capsys.readouterr().out
    assert "the shipped receipt says open, and these seeds confirmed" in out and "2 verdicts differ from the" in out
    receipts.save_receipts("98_test", claims.measure_topic("98_test", budget="full", seeds="1000:1005")[1])
    assert (
        cli.main(["claims", "--topic", "98_test", "--seeds", "1000:1005", "--budget", "full"]) == 0
    )  # seeds have theirs
    capsys.readouterr()
    assert cli.main(["claims", "--topic", "98_test", "--seeds", "1000:1005"]) == 1  # and not of this budget
    write(course, LECTURE.replace("return seed", "return 9 + seed"))  # it says something else now
    assert cli.main(["claims", "--topic", "98_test"]) == 0


LOOP = """
class One(Lesson):
    @claim("X1", "One", holds=above(0))
    def one(self, seed):
        total = 0
        for each in "a b":
            last = each
            total += 1
        return total

    @claim("X2", "Two", holds=above(0))
    def two(self, seed):
        return 2
"""


@pytest.mark.parametrize(
    "old, new, same",
    {
        "a comment, a docstring": ("total = 0\n", '"""Text."""\n        total = 0  # none\n', True),
        "other blanks and lines": ("holds=above(0))\n    def one", "holds=above( 0 )\n    )\n\n    def one", True),
        "another claim": ("return 2", "return 3", True),
        "a line out of a loop": ("    total += 1", "total += 1", False),
        "blanks in a string": ("a b", "a  b", False),
        "the claim": ("return total", "return -total", False),
    }.values(),
)
def test_a_statement_is_its_code_as_it_is_indented(old, new, same):
    assert old in LOOP and (receipts.bare(LOOP.replace(old, new), "X1") == receipts.bare(LOOP, "X1")) == same


def test_the_middle_has_to_be_among_the_circumstances():
    with pytest.raises(ValueError, match="its middle is {'n': 3}; let one of the circumstances be what the method's"):

        class Elsewhere(Lesson):
            @claim("X", "Seeds are large", holds=above(3.0), over=grid(n=(1, 2)))
            def large(self, seed, *, n=3):
                return seed

    with pytest.raises(ValueError, match="Lost has no claim 'L99.1', which is said to be central"):

        class Lost(Lesson):
            central = ("L99.1",)


def test_a_lesson_computes_once_for_the_same_arguments():
    class Counting(Lesson):
        asked = 0

        @once
        def double(self, n, *, more=0):
            self.asked += 1
            return 2 * n + more

    here, other = Counting(seeds=1), Counting(seeds=1)
    assert [here.double(2), here.double(2), here.double(2, more=1), other.double(3)] == [4, 4, 5, 6]
    assert (here.asked, other.asked) == (2, 1) and "return 2 * n + more" in Counting.how("double")


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
    write(course, LECTURE.replace("X1", "L98.1").replace('98_test"', '98_test"\n    central = ("L98.1",)'))
    for seeds in (None, "1000:1005"):
        receipts.save_receipts("98_test", claims.measure_topic("98_test", seeds=seeds)[1])
    front_page.update_front_page()
    page, every = ((course / name).read_text() for name in ("README.md", "CLAIMS.md"))
    row = "| [98](notebooks/98_test.ipynb) | Seeds are large | **open** | 2.000 (0.037 to 3.963) |"
    assert page.startswith("# Title") and page.endswith("end") and page.count(row) == 1
    assert "\n1. **Water is wet.** By far.\n" in page
    assert "| L98.1 | Seeds are large | above 3 |  | **open** | 2.000 (0.037 to 3.963) | 0." in every
    assert every.count("| confirmed |") == 1  # on other seeds
    front_page.update_front_page()
    assert (course / "README.md").read_text() == page and (course / "CLAIMS.md").read_text() == every


@pytest.mark.slow
def test_readme_and_claims_page_are_up_to_date():
    folder = topics.notebooks_folder().parent
    readme, every = ((folder / name).read_text(encoding="utf-8") for name in ("README.md", "CLAIMS.md"))
    made = front_page.MARKS[0] + front_page.front_page() + front_page.MARKS[1]
    assert made in readme and every == front_page.claims_page(), "run: debias-course claims --save"


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
    never = (0.0,) * 5
    assert Cell({}, never, below(0.01)).verdict == "open"
    cell = Cell({}, never, below(0.01), trials=94)
    assert cell.verdict == "holds" and cell.mean.high == pytest.approx(1 - 0.025 ** (1 / 470))
    assert Cell({}, never, below(0.005), trials=94).verdict == "open"


def test_an_installation_without_notebooks_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(topics, "__file__", str(tmp_path / "site" / "debias_course" / "claims" / "topics.py"))
    with pytest.raises(FileNotFoundError, match="clone the repository"):
        topics.notebooks_folder()


@pytest.mark.slow
def test_a_finding_that_its_receipt_no_longer_bears_is_refused(course, monkeypatch):
    write(course, LECTURE + STRIP)
    receipts.save_receipts("98_test", claims.measure_topic("98_test", budget="full", seeds=5)[1])
    monkeypatch.setattr(findings, "topics", lambda: ["98_test"])
    assert findings.points("X3", "holds", 1, times=3) == "660"
    with pytest.raises(ValueError, match=r"built on X3, which holds at times 1, and has now 2.200 \(fails\); write"):
        findings.points("X3", "holds", 1, times=1)
