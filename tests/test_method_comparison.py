"""Lecture 10: what is compared, how settings are chosen, and how differences are told."""

import math
from functools import partial

import pandas as pd
import pytest
import torch

from debias_course import figures, models
from debias_course.comparison import SEARCH_SEED, Trial
from debias_course.data import toys
from debias_course.evaluation import evaluate
from debias_course.lectures.method_comparison import measurements, pictures, search
from debias_course.lectures.method_comparison.measurements import CHOICES, MethodComparisonLesson, everywhere, where
from debias_course.methods import ERM, SMOTE, HardMining, LossReweighting
from debias_course.study import mean_over_seeds
from debias_course.training import train


def test_every_method_is_tried_in_as_many_settings_at_its_defaults_first():
    for epochs in (10, 30):
        for name, method in (search.others(epochs) | search.balancing()).items():
            tried = search.trials(name, epochs)
            assert len(tried) == len(set(tried)) == search.TRIALS and tried[0] == Trial(name, method, 1e-3, 0.0)
            assert any(t.lr > 1e-3 for t in tried) and any(t.weight_decay == 10 for t in tried)
    assert any(t.method == HardMining(keep=0.1) for t in search.trials("hard mining"))
    steps = {t.method.step_size for t in search.trials("Group DRO")}
    assert len(steps) > 1 and "subset=fixed" in {t.setting for t in search.trials("under-sampling")}


def test_who_takes_part_where():
    everyone = set(search.others()) | set(search.balancing())
    assert set(search.compared("four groups")) == set(search.compared("textures")) == everyone
    assert set(search.compared("long tail")) == everyone - {"DANN"}
    assert set(search.unaided()) == everyone - set(search.balancing()) - {"plain", "DANN"}
    assert search.compared("four groups", 10)["SMOTE"] == SMOTE(warm_up=5)  # ten epochs would leave it none


def test_a_run_is_as_long_for_all_and_holds_the_shorter_ones_unless_its_course_depends_on_the_length():
    for name in search.compared("four groups"):
        short = search.length(name, "four groups", 10)
        assert short == (10 if name in ("DANN", "adversarial training", "SMOTE") else 30)
        assert search.length(name, "four groups", 30) == 30
    assert search.longest("textures") == 15 and search.longest("long tail") == 30


def test_a_few_groups_are_judged_by_the_worst_and_many_by_their_mean():
    assert [search.metric(name) for name in search.DATA] == ["worst_group"] * 3 + ["group_balanced"] * 2
    assert [search.rule(name) for name in search.DATA] == ["worst group"] * 3 + ["mean"] * 2


def test_the_data_are_what_their_names_say():
    assert search.textures(0).train.n_groups == 100 and search.long_tail(0).train.n_attributes == 1
    right, wrong = search.four_groups(0), search.four_groups(0, wrong=0.2)
    assert set(search.WRONG) == {"wrong labels 0.1", "wrong labels 0.2"}
    changed = (right.train.labels != wrong.train.labels).double().mean()
    assert changed == pytest.approx(0.2, abs=0.01) and torch.equal(right.test.labels, wrong.test.labels)


@pytest.fixture
def small(monkeypatch):
    """Four methods on points in a plane, in two settings each."""
    monkeypatch.setitem(search.DATA, "four groups", partial(toys.shortcut, n=120))
    monkeypatch.setitem(search.NETWORKS, "four groups", models.linear)
    monkeypatch.setattr(search, "LONGEST", 4)
    monkeypatch.setattr(search, "TRIALS", 2)
    four = {"plain": ERM(), "hard mining": HardMining(), "re-weighting": LossReweighting()}
    monkeypatch.setattr(search, "compared", lambda *_: four)


@pytest.mark.slow
def test_a_search_looks_at_validation_on_its_own_seeds_only(small):
    found = search.search("four groups", 3)
    assert list(found) == ["plain", "hard mining", "re-weighting"] and all(len(runs) == 2 for runs in found.values())
    trial = search.trials("re-weighting")[1]
    scores = []
    for seed in range(SEARCH_SEED, SEARCH_SEED + 3):
        data = search.DATA["four groups"](seed=seed)
        start = models.linear(data.train, seed=seed)
        settings = dict(epochs=3, lr=trial.lr, validation=data.validation, select="validation-worst-group", seed=seed)
        model = train(start, data.train, trial.method, **settings).model
        scores.append(evaluate(model, data.validation).worst_group.value)
    assert search.score(found["re-weighting"][1], 3, "worst group") == pytest.approx(sum(scores) / 3)
    rows = {row["method"]: row for row in search.choice(found, 3, "worst group")}
    for name, runs in found.items():
        both = [search.score(each, 3, "worst group") for each in runs]
        assert rows[name]["score"] == max(both) and rows[name]["untried"] == both[0]
        assert both[rows[name]["trial"]] == max(both)


def test_a_favourite_is_the_one_that_validation_likes_best():
    rows = [
        dict(method="a", score=0.7, untried=0.2),
        dict(method="b", score=0.6, untried=0.5),
        dict(method="c", score=0.9, untried=0.9),
    ]
    assert search.favourite(rows, ("a", "b")) == "a" and search.favourite(rows, ("a", "b"), "defaults") == "b"


def test_ranks_agree_or_not():
    assert search.concordance([1, 2, 3], [10, 30, 90]) == pytest.approx(1)
    assert search.concordance([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert search.concordance([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(0.8)  # 1 - 6 * 2 / (4 * 15)
    assert search.concordance([1, 2, 2], [1, 2, 3]) == pytest.approx(1.5 / 3**0.5)
    assert search.concordance([1, 1, 1], [1, 2, 3]) == 0


ACCURACIES = {  # by method: at its defaults, and with the setting that a search would choose
    "plain": (0.4, 0.6),
    "hard mining": (0.5, 0.65),
    "SMOTE": (0.3, 0.4),
    "spectral decoupling": (0.45, 0.5),
    "adversarial training": (0.1, 0.3),
    "DANN": (0.4, 0.45),
    "re-weighting": (0.7, 0.8),
    "over-sampling": (0.68, 0.75),
    "under-sampling": (0.66, 0.78),
    "balanced batches": (0.69, 0.74),
    "Group DRO": (0.71, 0.72),
}


class Pretended:
    """A study whose accuracies are known."""

    def __init__(self, name, trial):
        self.name, self.trial = name, trial

    def at(self, epochs, rule):
        assert rule in search.RULES.values()
        return self

    def value(self, name, seed, metric="worst_group"):
        assert name == self.name
        return ACCURACIES[name][self.trial] + 0.001 * (seed * len(name) % 7)


@pytest.fixture
def pretended(monkeypatch):
    """A lesson that trains nothing: validation says what the test will say."""

    def chosen(runs, epochs, chosen_by, best=max):
        rows = []
        for name in runs:
            trial = best((0, 1), key=lambda i, of=ACCURACIES[name]: of[i])
            rows.append(dict(method=name, trial=trial, score=ACCURACIES[name][trial], untried=ACCURACIES[name][0]))
        return rows

    monkeypatch.setattr(measurements, "search", lambda data, epochs: search.compared(data))
    monkeypatch.setattr(measurements, "choice", chosen)

    def trained(of, data, epochs, seeds):
        ((name, trial),) = of
        return Pretended(name, search.trials(name, epochs).index(trial))

    monkeypatch.setattr(measurements, "trained", trained)
    return lambda **how: MethodComparisonLesson(seeds=4, budget="full", **how), chosen


def test_claims_compare_what_they_say(pretended):
    here = pretended[0]()
    at = dict(data="four groups", epochs=30)
    assert here.gain(0, method="DANN", against="plain", **at) == pytest.approx(-0.15)
    assert here.gain(0, method="Group DRO", against="balanced batches", **at) == pytest.approx(-0.02)
    assert here.gain_by_balancing(0, method="re-weighting", **at) == pytest.approx(0.2)
    assert here.lost_without_labels(0, **at) == pytest.approx(0.65 - 0.8)
    assert here.lost_without_labels(0, search="defaults", **at) == pytest.approx(0.5 - 0.71)
    assert here.plain_searched_over_others(0, **at) == pytest.approx(0.6 - 0.5)
    assert here.favourite_over_mean(0, **at) == pytest.approx(0.8 - (0.8 + 0.75 + 0.78 + 0.74 + 0.72) / 5)
    assert here.same_order(0, data="other seeds") == pytest.approx(1)
    assert here.worth_in_training(0) == pytest.approx(0.15) and here.worth_in_validation(0) == 0


@pytest.mark.parametrize("best, verdict", [(max, "holds"), (min, "fails")])
def test_choosing_the_worst_setting_turns_a_claim(pretended, monkeypatch, best, verdict):
    make, chosen = pretended
    monkeypatch.setattr(measurements, "choice", partial(chosen, best=best))
    found = make().measured("B10.4")
    assert found.alone(found.at_middle).at_middle.verdict == verdict


def test_choosing_on_the_test_would_flatter(pretended, monkeypatch):
    """A favourite that is chosen on validation may be the wrong one; then the claim says so."""
    make, chosen = pretended

    def misled(runs, epochs, chosen_by):
        return [row | (dict(score=0.99) if row["method"] == "SMOTE" else {}) for row in chosen(runs, epochs, chosen_by)]

    monkeypatch.setattr(measurements, "choice", misled)
    assert make().lost_without_labels(0) == pytest.approx(0.4 - 0.8)


def test_the_quick_budget_reads_what_was_chosen_in_the_table_that_is_kept(pretended, monkeypatch):
    table = pretended[0]().kept("T10.1")
    assert len(table) == sum(len(search.compared(at["data"])) for at in CHOICES)
    assert {tuple(row) for row in table[list(CHOICES[0])].to_numpy().tolist()} == {tuple(at.values()) for at in CHOICES}
    lesson = MethodComparisonLesson(seeds=2)
    monkeypatch.setattr(lesson, "kept", lambda id: table)
    monkeypatch.setattr(measurements, "search", lambda *_: pytest.fail("searched"))
    rows = lesson.chosen(**where("textures", 15))
    assert [row["method"] for row in rows] == list(search.compared("textures"))
    assert lesson.value(1, "hard mining", data="textures", epochs=15) == pytest.approx(0.654)


def test_every_choice_that_a_claim_asks_for_is_in_the_table(pretended):
    here, asked = pretended[0](), set()
    known = [tuple(at.values()) for at in CHOICES]
    assert len(set(known)) == len(known)
    real = MethodComparisonLesson.chosen
    here.chosen = lambda **at: (asked.add(tuple(at.values())), real(here, **at))[1]
    for id in here.measures:
        here.measured(id)
    assert asked <= set(known)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [False, True])
def test_weights_that_weigh_all_alike_turn_a_claim(monkeypatch, wrong):
    monkeypatch.setattr(search, "LONGEST", 10)
    method = LossReweighting(power=0.0) if wrong else LossReweighting()
    gains = []
    for seed in range(3):
        runs = [
            search.trained([(name, Trial(name, each, 3e-3, 0.0))], "wrong labels 0.1", 10, [seed])
            for name, each in {"plain": ERM(), "re-weighting": method}.items()
        ]
        plain, weighted = (each.at(10, "validation-worst-group").value(each.names[0], seed) for each in runs)
        gains.append(weighted - plain)
    gain = mean_over_seeds(gains)
    held = MethodComparisonLesson.measures["B10.8"].statement.holds.judge(gain, 0.02)
    assert held == "holds" if not wrong else gain.value == 0


ROWS = [
    dict(at, method=name, seed=seed, value=0.5 + 0.2 * (name in search.balancing()) + 0.013 * ((7 * seed + n) % 5))
    for at in everywhere()
    for n, name in enumerate(search.compared(at["data"]))
    for seed in range(4)
]
TABLE = pd.DataFrame(ROWS)


def test_a_kept_table_is_a_study_again():
    runs = pictures.kept(TABLE, "textures")
    assert runs.names == list(search.compared("textures")) and runs.seeds == [0, 1, 2, 3]
    value = {(r["method"], r["seed"]): r["value"] for r in ROWS if r["data"] == "textures"}
    assert runs.value("DANN", 2) == value["DANN", 2]
    gains = [value["DANN", seed] - value["plain", seed] for seed in range(4)]
    row = runs.differences("plain").set_index("method").loc["DANN"]
    wider = mean_over_seeds(gains, level=1 - 0.05 / (len(runs.names) - 1))
    assert (row["difference"], row["low"], row["high"]) == pytest.approx((wider.value, wider.low, wider.high))
    frame = pictures.ranked(TABLE, "textures")
    assert frame["mean"].is_monotonic_decreasing and frame.loc["plain", "difference"] == ""
    assert frame.loc["re-weighting", "ranks"].startswith("1 to")


def test_pairing_narrows_only_where_both_find_the_same_seeds_easy():
    same = {"a": [0.1, 0.2, 0.3, 0.4], "b": [0.21, 0.29, 0.41, 0.49]}
    paired, unpaired = pictures.half_widths(same)
    assert pictures.correlation(same) > 0.9 and paired < unpaired / 4
    against = {"a": [0.1, 0.2, 0.3, 0.4], "b": [0.49, 0.41, 0.29, 0.21]}
    paired, unpaired = pictures.half_widths(against)
    assert pictures.correlation(against) < -0.9 and paired > 1.3 * unpaired
    spread = sum(torch.tensor(each, dtype=torch.float64).var() for each in against.values())
    assert unpaired == pytest.approx(2.446912 * float(spread / 4) ** 0.5, rel=1e-5)  # t with six degrees of freedom
    assert pictures.half_widths({"a": [0.1], "b": [0.2]}) == (math.inf, math.inf)


def test_the_pictures_show_what_they_say():
    dots = pictures.pairing(TABLE).axes[0].lines[0].get_xydata()
    assert len(dots) == 55 and ((dots[:, 0] > 0.5) <= (dots[:, 1] < 1)).all()
    left, right = pictures.by_seeds(TABLE, "re-weighting", "plain").axes
    for axis in (left, right):
        assert axis.lines[0].get_xdata().tolist() == [2, 3, 4]
    ends = [axis.collections[0].get_paths()[0].vertices[:, 1] for axis in (left, right)]
    assert ends[0].max() - ends[0].min() < ends[1].max() - ends[1].min()
    columns = pictures.leads(TABLE).axes
    assert len(columns) == 5 and "DANN" in [text.get_text() for text in columns[0].get_yticklabels()]
    assert "re-weighting +0.2" in figures.alt_text(columns[0].figure)
    assert pictures.single_runs({"a": [0.5, 0.2], "b": [0.4, 0.5]}).splitlines() == [
        "student 1: a is better, by 0.10",
        "student 2: b is better, by 0.30",
        "correlation of the two over seeds: -1.00",
    ]
    rows = [
        at | dict(method=name, trial=1, setting="keep=0.1", lr=3e-3, weight_decay=10.0 * n, score=0.7, untried=0.4)
        for at in CHOICES
        for n, name in enumerate(("plain", "hard mining"))
    ]
    figure = pictures.searched(pd.DataFrame(rows))
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["rate 0.003, keep=0.1", "rate 0.003, weight decay 10"]
    assert "plain from 0.40 to 0.70" in figures.alt_text(figure)


def test_favourites_are_named_for_each_place():
    rows = [
        dict(CHOICES[i], method=n, score=s, untried=0) for i in (0, 1) for n, s in (("SMOTE", 0.3), ("Group DRO", 0.2))
    ]
    rows += [dict(CHOICES[1], method="hard mining", score=0.4, untried=0)]
    found = pictures.favourites(pd.DataFrame(rows))
    assert found["without group labels"].tolist() == ["SMOTE", "hard mining"]
    assert found["balancing"].tolist() == ["Group DRO"] * 2 and found["data"].tolist() == [
        at["data"] for at in CHOICES[:2]
    ]
