"""comparison: the same search for all, paired differences with corrected intervals, ranks that admit overlaps."""

import dataclasses
import sys
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import pytest
import torch

from debias_course import models, study
from debias_course.comparison import SEARCH_SEED, Trial, candidates, compare
from debias_course.data import toys
from debias_course.evaluation import evaluate
from debias_course.methods import ERM, SMOTE, HardMining, LossReweighting, Method, Unsuitable, knob
from debias_course.study import Study, mean_over_seeds
from debias_course.training import train

DATA = partial(toys.shortcut, n=120)
small = partial(compare, data=DATA, model=models.linear, epochs=3, lr=0.05, n_jobs=1, progress=False)


@dataclass(frozen=True, kw_only=True)
class Tuned(Method):
    """min: plain training with a factor on the loss, and a knob to search."""

    factor: float = knob(1.0, low=0.0, high=9.0, search=(2.0, 5.0), help="of the loss")
    other: int = knob(3, low=0, high=9, help="not searched")

    def loss(self, model, batch, state):
        return self.factor * super().loss(model, batch, state)


@dataclass(frozen=True, kw_only=True)
class Diverging(ERM):
    """min: plain training whose loss is no number where the factor is at least 1."""

    factor: float = knob(1.0, low=0.0, high=9.0, search=(0.5, 0.7), help="of the loss")

    def loss(self, model, batch, state):
        return super().loss(model, batch, state) * (torch.nan if self.factor >= 1 else self.factor)


@dataclass(frozen=True, kw_only=True)
class TwiceTuned(Tuned):
    """min: the same with a second knob to search."""

    second: float = knob(0.0, low=0.0, high=9.0, search=(7.0,), help="of nothing")


def test_every_method_is_tried_as_often_its_own_setting_first_and_then_at_a_larger_learning_rate():
    for method in (ERM(), Tuned(), TwiceTuned(), LossReweighting()):
        for n in (1, 2, 4, 12):
            tried = candidates(Trial("any", method, 0.1, 0.0), n)
            assert len(tried) == len(set(tried)) == n
            assert [(t.lr, t.weight_decay, t.method) for t in tried[:1]] == [(0.1, 0.0, method)]
            assert all((round(t.lr, 6), t.method) == (0.3, method) for t in tried[1:2])


def test_each_trial_varies_one_thing_the_methods_own_knobs_first():
    tuned = candidates(Trial("tuned", TwiceTuned(), 0.1, 0.0), 7)[1:]
    assert [(t.method.factor, t.method.second, t.weight_decay) for t in tuned] == [
        (1.0, 0.0, 0.0),
        (2.0, 0.0, 0.0),  # the first value of each,
        (1.0, 7.0, 0.0),
        (1.0, 0.0, 10.0),
        (5.0, 0.0, 0.0),  # and then the second
        (1.0, 0.0, 1.0),
    ]
    assert {round(t.lr, 6) for t in tuned} == {0.3} and {t.method.other for t in tuned} == {3}
    plain = candidates(Trial("plain", ERM(), 0.1, 0.0), 6)[1:]  # which has nothing but its weight decay
    rates_and_decays = [(round(t.lr, 6), t.weight_decay) for t in plain]
    assert rates_and_decays == [(0.3, 0.0), (0.3, 10.0), (0.3, 1.0), (0.3, 0.1), (0.1, 10.0)]
    by_hand = candidates(Trial("tuned", Tuned(factor=7.0), 0.1, 0.5), 5)
    assert {t.method.factor for t in by_hand} == {7.0} and by_hand[1].weight_decay == 0.5
    renamed = candidates(Trial("other", TwiceTuned(), 0.1, 0.0), 7)[1:]
    assert [t.method for t in renamed] == [t.method for t in tuned]  # a name is no setting


@pytest.mark.slow
def test_a_search_on_several_seeds_takes_the_best_on_average():
    one, other = (small({"tuned": Tuned()}, seeds=1, trials=3, search_seeds=n) for n in (1, 2))
    assert [t.method for t in one.trials] == [t.method for t in other.trials] and len(other.trials) == 3
    data = DATA(seed=SEARCH_SEED + 1)
    for first, both in zip(one.trials, other.trials):
        how = dict(lr=both.lr, weight_decay=both.weight_decay, select="validation-worst-group")
        start = models.linear(data.train, seed=SEARCH_SEED + 1)
        more = dict(epochs=3, seed=SEARCH_SEED + 1, validation=data.validation)
        second = evaluate(train(start, data.train, both.method, **how, **more).model, data.validation)
        assert both.score == pytest.approx((first.score + second.worst_group.value) / 2)
    assert other.chosen["tuned"].score == max(t.score for t in other.trials)


@pytest.mark.slow
def test_the_best_setting_on_validation_is_tested_with_every_seed():
    found = small({"ERM": ERM(), "weights": LossReweighting()}, seeds=2, trials=3)
    assert len(found.trials) == 6 and found.searched["chosen"].sum() == 2
    for name, trial in found.chosen.items():
        assert trial.score == max(t.score for t in found.trials if t.name == name)
    best = found.chosen["weights"]
    data = DATA(seed=1)
    how = dict(lr=best.lr, weight_decay=best.weight_decay, select="validation-worst-group", validation=data.validation)
    again = train(models.linear(data.train, seed=1), data.train, best.method, epochs=3, seed=1, **how)
    assert found.study.report("weights", 1) == evaluate(again.model, data.test, train=data.train)
    data = DATA(seed=SEARCH_SEED)
    how |= dict(validation=data.validation)
    searched = train(
        models.linear(data.train, seed=SEARCH_SEED), data.train, best.method, epochs=3, seed=SEARCH_SEED, **how
    )
    assert best.score == evaluate(searched.model, data.validation).worst_group.value


def test_the_table_says_what_a_reader_needs():
    found = small({"ERM": ERM(), "weights": LossReweighting()}, seeds=3, trials=2)
    table = found.table.set_index("method")
    assert table.loc["weights", "difference"] == pytest.approx(found.study.difference("weights", "ERM").value)
    assert table["difference"].isna().tolist() == [True, False]
    assert table.loc["weights", "needs"] == "group labels" and set(table["needs_in_validation"]) == {"group labels"}
    assert (table["search_seconds"] > 0).all() and (table["seconds"] > 0).all()
    assert (table["first_rank"] <= table["last_rank"]).all() and table.loc["ERM", "setting"] == ""
    assert dataclasses.replace(found.trials[0], method=Tuned(factor=2.0)).setting == "factor=2.0"


def test_without_a_search_methods_are_taken_as_they_are():
    found = small({"tuned": Tuned(factor=2.0)}, seeds=1, trials=1)
    assert found.chosen["tuned"].method == Tuned(factor=2.0) and len(found.trials) == 1


def test_a_setting_that_diverges_is_not_chosen_and_a_method_that_always_does_says_so():
    found = small({"by chance": Diverging()}, seeds=1, trials=6)
    scores = [trial.score for trial in found.trials]
    assert -torch.inf in scores and found.chosen["by chance"].score == max(scores) > -torch.inf
    for _ in range(2):
        with pytest.raises(FloatingPointError, match="every setting of diverging diverged; lower lr=0.05"):
            small({"diverging": Diverging(factor=2.0)}, seeds=1, trials=2)
    with pytest.raises(FloatingPointError, match="'diverging' with seed 0: the training loss is nan in epoch 1"):
        small({"diverging": Diverging(factor=2.0)}, seeds=1, trials=1)


def test_a_run_that_diverged_is_remembered(monkeypatch, tmp_path):
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path))
    room = sys.modules["debias_course.study.workers"]
    first = small({"by chance": Diverging()}, seeds=1, trials=6)
    monkeypatch.setattr(room, "run_and_keep", lambda *each: pytest.fail("ran again"))
    again = small({"by chance": Diverging()}, seeds=1, trials=6)
    assert [trial.score for trial in again.trials] == [trial.score for trial in first.trials]
    lost = next(trial for trial in first.trials if trial.score == -torch.inf)
    how = dict(epochs=3, batch_size=128, optimizer="adamw", select="validation-worst-group")
    how |= dict(lr=lost.lr, weight_decay=lost.weight_decay, model=models.linear, n_jobs=1, progress=False)
    with pytest.raises(FloatingPointError, match="'lost' with seed 990001: the training loss is nan in epoch 1"):
        study({"lost": lost.method}, DATA, seeds=[SEARCH_SEED], **how)


def study_of(**values):
    """A study with given worst-group test accuracies (of 1,000) per method and seed."""
    seeds = range(len(next(iter(values.values()))))
    grid = dict(label_names=("a", "b"), attribute_names=("x",), train_n=None)
    records = [
        dict(name=name, seed=seed, report=dict(correct=(row[seed], 1000), n=(1000, 1000), **grid), seconds=1.0)
        for name, row in values.items()
        for seed in seeds
    ]
    return Study(list(values), {name: ERM() for name in values}, list(seeds), records)


def test_intervals_are_wider_the_more_methods_there_are():
    rows = dict(base=(500, 510, 505), one=(600, 640, 610), two=(520, 500, 530))
    frame = study_of(**rows).differences("base").set_index("method")
    expected = mean_over_seeds([0.1, 0.13, 0.105], level=1 - 0.05 / 2)
    assert frame.loc["one", ["difference", "low", "high"]].tolist() == pytest.approx(list(expected[:3]))
    alone = study_of(base=rows["base"], one=rows["one"]).differences("base").iloc[0]
    assert alone["low"] == pytest.approx(mean_over_seeds([0.1, 0.13, 0.105]).low)
    assert alone["low"] > frame.loc["one", "low"] and alone["level"] == 0.95


def test_equal_differences_of_few_seeds_tell_nothing():
    found = study_of(base=(500, 600), above=(530, 630), same=(500, 600))
    assert found.difference("above", "base")[:3] == pytest.approx((0.03, -torch.inf, torch.inf))
    assert found.difference("same", "base")[:3] == (0, -torch.inf, torch.inf)
    assert found.ranks() == {"base": (1, 3), "above": (1, 3), "same": (1, 3)}


def test_ranks_are_ranges_where_methods_overlap():
    ranks = study_of(best=(900, 905, 902), same=(700, 720, 690), alike=(705, 700, 710), worst=(300, 302, 299)).ranks()
    assert ranks == {"best": (1, 1), "same": (2, 3), "alike": (2, 3), "worst": (4, 4)}
    assert study_of(one=(500,), two=(900,)).ranks() == {"one": (1, 2), "two": (1, 2)}  # one seed tells nothing
    rows = dict(a=(500, 500, 500), b=(519, 532, 526), c=(525, 500, 540))
    ahead = study_of(**rows).difference("b", "a", level=1 - 0.05 / 2)
    assert ahead.low > 0 > study_of(**rows).difference("b", "a", level=1 - 0.05 / 3).low  # three pairs, two others
    assert set(study_of(**rows).ranks().values()) == {(1, 3)}


@pytest.mark.parametrize(
    "how, sentence",
    [
        (dict(trials=0), "trials are 0; use a whole number of settings from 1 to 12"),
        (dict(trials=13), "trials are 13"),
        (dict(select="last"), "select is 'last'; use one of 'validation-worst-group', 'validation-worst-class'"),
        (dict(metric="accuracy"), "metric is 'accuracy'; use one of 'overall'"),
        (dict(baseline="plain"), "the baseline 'plain' is not one of the methods ERM"),
        (dict(seeds=[SEARCH_SEED]), "that of the search; test with others"),
        (dict(seeds=[SEARCH_SEED + 2], search_seeds=3), "that of the search; test with others"),
        (dict(search_seeds=0), "search_seeds are 0; use a whole number of seeds from 1"),
        (dict(metric="few_shot"), "no label is few-shot"),
        (dict(n_jobs=0), "0 runs at a time are none; use a whole number from 1"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused(how, sentence):
    with pytest.raises(ValueError, match=sentence):
        small({"ERM": ERM()}, **(dict(seeds=1) | how))
    with pytest.raises(TypeError, match="pass an instance"):
        small({"ERM": ERM}, seeds=1)


@dataclass(frozen=True, kw_only=True)
class Unwilling(ERM):
    """min: plain training, which is refused at the place that is named."""

    place: str = knob("loss", choices=("model", "start", "data", "loss"), help="where")
    error: ClassVar[type] = Unsuitable

    def refuse(self, place, otherwise):
        if place == self.place:
            raise self.error("there is no moon")
        return otherwise

    def model(self, model, data):
        return self.refuse("model", model)

    def start(self, model, data):
        return self.refuse("start", super().start(model, data))

    def data(self, model, data, state):
        return self.refuse("data", data)

    def loss(self, model, batch, state):
        return self.refuse("loss", super().loss(model, batch, state))


@pytest.mark.parametrize("place", ["model", "start", "data", "loss"])
def test_what_cannot_work_is_said_before_the_first_run_or_left_out(place, monkeypatch):
    methods = {"refused": Unwilling(place=place), "ERM": ERM(), "weights": LossReweighting()}
    with monkeypatch.context() as patch:
        patch.setattr("debias_course.comparison.run_all", lambda *_, **__: pytest.fail("something ran"))
        with pytest.raises(ValueError, match="refused cannot be compared here: there is no moon"):
            small(methods, seeds=1)
        with pytest.raises(ValueError, match="refused cannot be compared here"):
            small(methods, seeds=1, baseline="refused", leave_out=True)
        with pytest.raises(ValueError, match="^lr is nan; use a number"):  # which is no method's fault
            small(methods | {"refused": ERM()}, seeds=1, lr=float("nan"), leave_out=True)
    found = small(methods, seeds=1, trials=1, leave_out=True)
    assert found.left_out == {"refused": "there is no moon"} and found.study.names == ["ERM", "weights"]


@pytest.mark.parametrize("place", ["model", "start", "data", "loss"])
def test_a_fault_of_a_method_is_no_reason_to_leave_it_out(place, monkeypatch):
    """A ValueError that is not `Unsuitable`, such as one of torch or of a slip, is raised as it is."""
    monkeypatch.setattr(Unwilling, "error", ValueError)
    with pytest.raises(ValueError, match="^there is no moon"):
        small({"ERM": ERM(), "faulty": Unwilling(place=place)}, seeds=1, trials=1, leave_out=True)


def test_a_rehearsal_of_embeddings_takes_a_few_steps(monkeypatch):
    """One of the stage and one of the new head, whatever changes the images of the others."""
    steps, step = [], Method.step
    monkeypatch.setattr(Method, "step", lambda self, *each: (steps.append(type(self)), step(self, *each))[1])
    monkeypatch.setattr("debias_course.comparison.run_all", lambda *_, **__: sys.exit("enough"))
    with pytest.raises(SystemExit):
        small({"SMOTE": SMOTE(warm_up=2), "mining": HardMining(warm_up=2)}, seeds=1, model=models.mlp, epochs=6)
    assert steps == [ERM, SMOTE, HardMining, HardMining]


def test_the_baseline_is_plain_training_wherever_it_stands():
    found = small({"weights": LossReweighting(), "plain": ERM()}, seeds=1, trials=1)
    assert found.baseline == "plain" and found.left_out == {}
    assert small({"weights": LossReweighting(), "tuned": Tuned()}, seeds=1, trials=1).baseline == "weights"


def test_one_bar_counts_the_search_and_the_test(capsys):
    for _ in range(2):
        small({"ERM": ERM(), "weights": LossReweighting()}, seeds=2, trials=2, epochs=2, progress=True)
        printed = capsys.readouterr().err
        assert "search" in printed and "test: 100%" in printed and "8/8" in printed.splitlines()[-1]


def test_an_interrupted_comparison_goes_on_and_ends_with_the_same_table(monkeypatch):
    room = sys.modules["debias_course.study.workers"]
    calls = {"ERM": ERM(), "weights": LossReweighting()}
    how = dict(seeds=2, trials=2, epochs=4)
    run, done = room.run_and_keep, []

    def stopping(*arguments):
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(arguments[0].thing.job.name)
        return run(*arguments)

    monkeypatch.setattr(room, "run_and_keep", stopping)
    with pytest.raises(KeyboardInterrupt):
        small(calls, **how)
    monkeypatch.setattr(room, "run_and_keep", lambda *arguments: (done.append("again"), run(*arguments))[1])
    resumed = small(calls, **how)
    assert done.count("again") == 8 - 5
    assert dataclasses.asdict(resumed.study)["records"] == dataclasses.asdict(small(calls, **how).study)["records"]
