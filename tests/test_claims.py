"""claims: bands, verdicts, receipts, and wrong code that has to turn them."""

import json
import math

import pytest

from debias_course import claims, golden_runs, receipts
from debias_course.claims import Band, Claim, above, below, lesson, within
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


def test_a_lesson_measures_every_seed_once_and_shows_the_claim(capsys):
    here = lesson("00_dataset_bias", seeds="7:10")
    assert "seeds 7 to 9" in capsys.readouterr().out
    for _ in range(2):  # running a cell again does not make a second claim
        here.claim("X", "Seeds are above six", measure=lambda seed: seed, holds=above(5.0))
    assert "HOLDS: Seeds are above six [X: above 5]" in capsys.readouterr().out
    assert [claim.values for claim in here.claims] == [(7.0, 8.0, 9.0)]
    with pytest.raises(ValueError, match="claim Y measured no finite number on seed 7"):
        here.claim("Y", "Nothing", measure=lambda seed: math.nan, holds=above(0))
    with pytest.raises(ValueError, match="two claims are called X; give each statement its own id"):
        here.claim("X", "Another sentence", measure=lambda seed: seed, holds=above(5.0))
    with pytest.raises(ValueError, match="the band from 0.1 to -0.1 is empty"):
        within(0.1, -0.1)
    with pytest.raises(ValueError, match="budget is 'huge'; use 'quick' or 'full'"):
        lesson("00_dataset_bias", budget="huge")


NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "metadata": {}, "source": ["# not run"]},
        {
            "cell_type": "code",
            "metadata": {"tags": ["setup"]},
            "source": [
                "from debias_course.claims import above, lesson\n",
                "from debias_course.data.biases import thin\n",
                "here = lesson('98_test')",
            ],
        },
        {"cell_type": "code", "metadata": {}, "source": ["raise RuntimeError('a picture, not a claim')"]},
        {
            "cell_type": "code",
            "metadata": {"tags": ["claim"]},
            "source": ["here.claim('X1', 'Seeds are large', measure=lambda seed: seed, holds=above(3.0))"],
        },
    ]
}


@pytest.fixture
def course(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "98_test.ipynb").write_text(json.dumps(NOTEBOOK))
    monkeypatch.setattr(receipts, "notebooks_folder", lambda: tmp_path / "notebooks")
    return tmp_path


@pytest.mark.slow
def test_a_topic_is_measured_from_its_notebook_with_the_seeds_asked_for(course):
    assert receipts.topics() == ["98_test"]
    found, _ = claims.measure_topic("98_test")
    assert found[0].verdict == "undecided" and found[0].seeds == (0, 1, 2, 3, 4)
    (found,), (receipt,) = claims.measure_topic("98_test", seeds="1000:1005")
    assert found.verdict == "holds" and found.seeds == (1000, 1001, 1002, 1003, 1004)
    assert receipt["verdict"] == "holds" and receipt["value"] == 1002 and receipt["seeds"] == list(found.seeds)
    assert {"training adamw", "selection last", "evaluation", "thin"} <= set(receipt["behaviour"])
    assert "textured_digits 10" not in receipt["behaviour"]
    assert claims.measure_topic("98_test", budget="full")[0][0].seeds == tuple(range(20))


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
    other = "\nhere.claim('X2', 'Another', measure=lambda seed: seed, holds=above(3.0))"
    for edit, changed in (("seed  # a remark\n", []), ("seed", []), ("seed + 0", ["statement"])):
        text = NOTEBOOK["cells"][3]["source"][0].replace("lambda seed: seed", f"lambda seed: {edit}")
        cells = [*NOTEBOOK["cells"][:3], NOTEBOOK["cells"][3] | {"source": [text, other]}]
        (course / "notebooks" / "98_test.ipynb").write_text(json.dumps({"cells": cells}))
        assert [receipt["changed"] for receipt in receipts.read_receipts("98_test")] == [changed, changed]


@pytest.mark.slow
def test_a_costly_claim_is_measured_on_the_full_budget_and_shown_from_its_receipt_on_the_quick_one(course, monkeypatch):
    cells = [dict(cell) for cell in NOTEBOOK["cells"]]
    costly = "here.claim('X2', 'It is costly', measure=lambda seed: seed, holds=above(3.0), costly=True)"
    (course / "notebooks" / "98_test.ipynb").write_text(
        json.dumps({"cells": [*cells, cells[3] | {"source": [costly]}]})
    )
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
    path = course / "notebooks" / "98_test.ipynb"
    path.write_text(json.dumps(NOTEBOOK))
    receipts.save_receipts("98_test", claims.measure_topic("98_test")[1])
    path.write_text(json.dumps(NOTEBOOK).replace("holds=", "costly=True, holds="))
    receipts.save_receipts("98_test", claims.measure_topic("98_test", budget="full", seeds=4)[1])  # some, not all
    assert [(r["budget"], r["stale"]) for r in receipts.read_receipts("98_test")] == [("full", False), ("quick", True)]
    receipts.save_receipts("98_test", claims.measure_topic("98_test", budget="full", seeds=6)[1])
    assert [(r["budget"], len(r["seeds"])) for r in receipts.read_receipts("98_test")] == [("full", 6)]


def test_a_notebook_may_bring_the_seeds_of_its_quick_budget(course):
    path = course / "notebooks" / "98_test.ipynb"
    path.write_text(json.dumps(NOTEBOOK).replace("lesson('98_test')", "lesson('98_test', seeds=8)"))
    asked = [{}, dict(seeds="1000:1003"), dict(budget="full")]
    assert [len(claims.measure_topic("98_test", **each)[0][0].seeds) for each in asked] == [8, 3, 20]


def test_cells_may_define_classes_and_a_topic_without_claims_says_so(course):
    cells = [dict(cell) for cell in NOTEBOOK["cells"]]
    defined = "from dataclasses import dataclass\n@dataclass(frozen=True, kw_only=True)\nclass A:\n    x: int = 1\n"
    cells[3] = cells[3] | {"source": [defined, *cells[3]["source"]]}
    path = course / "notebooks" / "98_test.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    assert claims.measure_topic("98_test", seeds="1000:1002")[0][0].verdict == "holds"
    path.write_text(json.dumps({"cells": cells[:2]}))
    with pytest.raises(ValueError, match="98_test makes no claim"):
        claims.measure_topic("98_test")


def test_the_front_page_shows_the_receipts_of_the_shipped_seeds(course):
    text = "# Title\n" + "".join(receipts.MARKS) + "\nend"
    (course / "README.md").write_text(text)
    for seeds in (None, "1000:1005"):
        receipts.save_receipts("98_test", claims.measure_topic("98_test", seeds=seeds)[1])
    receipts.update_front_page()
    page = (course / "README.md").read_text()
    assert page.startswith("# Title") and page.endswith("end") and "98 test: 0 of 1 claims hold" in page
    assert page.count("| X1 | Seeds are large | undecided | 2.000 (0.037 to 3.963) | above 3 |") == 1
    receipts.update_front_page()
    assert (course / "README.md").read_text() == page


@pytest.mark.slow
def test_the_readme_is_up_to_date():
    readme = (receipts.notebooks_folder().parent / "README.md").read_text(encoding="utf-8")
    assert receipts.MARKS[0] + receipts.front_page() + receipts.MARKS[1] in readme, "run: debias-course claims --save"


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"behaviours": [], "receipts": [{"id": 3}]}'])
def test_a_damaged_receipt_is_named_with_its_remedy(course, damage):
    path = receipts.save_receipts("98_test", claims.measure_topic("98_test")[1])
    path.write_text(damage)
    with pytest.raises(ValueError, match=r"98_test.json is damaged .* take it from the repository again"):
        receipts.read_receipts("98_test")


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        (dict(measure=lambda seed: None), "claim X measured None on seed 0; return one number"),
        (dict(measure=lambda seed: "much"), "claim X measured 'much' on seed 0"),
        (dict(measure=3.0), "measure of claim X is 3.0; pass a function of the seed"),
        (dict(holds=0.1), "holds of claim 'X' is 0.1; give a Band, as in above"),
        (dict(sentence=None), "sentence of claim 'X' is None; give a str"),
    ],
)
def test_what_cannot_be_a_claim_is_refused(wrong, sentence):
    right = dict(id="X", sentence="Seeds are large", measure=lambda seed: seed, holds=above(3.0))
    with pytest.raises(TypeError, match=sentence):
        lesson("00_dataset_bias").claim(**(right | wrong))


def test_equal_values_need_the_trials_behind_them():
    """None of 5 · 94 batches: at most 1 - 0.025^(1 / 470) with 95 %."""
    assert Claim("X", "s", below(0.01), (0, 1, 2, 3, 4), (0.0,) * 5).verdict == "undecided"
    claim = Claim("X", "s", below(0.01), (0, 1, 2, 3, 4), (0.0,) * 5, trials=94)
    assert claim.verdict == "holds" and claim.mean.high == pytest.approx(1 - 0.025 ** (1 / 470))
    assert Claim("X", "s", below(0.005), (0, 1, 2, 3, 4), (0.0,) * 5, trials=94).verdict == "undecided"


def test_an_installation_without_notebooks_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(receipts, "__file__", str(tmp_path / "site" / "debias_course" / "receipts.py"))
    with pytest.raises(FileNotFoundError, match="clone the repository"):
        receipts.notebooks_folder()
