"""Early stopping: a training ends where the score on validation has not risen for a while."""

import re
from dataclasses import dataclass

import pytest
import torch
from own_methods import WithPartner

from debias_course import comparison, large, models, study, train
from debias_course.data import toys
from debias_course.evaluation import GroupReport
from debias_course.methods import ERM, HardMining, LossReweighting
from debias_course.settings import SELECT

TOY = toys.shortcut(n=60, seed=1)
RULES = [rule for rule in SELECT if rule != "last"]
NOISY = dict(lr=0.3, batch_size=8, validation=TOY.validation)  # the score rises and falls


PLAIN = ERM()


def trained(method=PLAIN, **more):
    return train(models.linear(TOY.train), TOY.train, method, **(NOISY | more))


def scores(run, select):
    """What the rule says after each epoch."""
    rows = {}
    for row in run.records:
        rows.setdefault(row["epoch"], []).append(row)
    names = TOY.validation.label_names, TOY.validation.attribute_names
    counts = [[tuple(row[name] for row in each) for name in ("correct", "n")] for each in rows.values()]
    return [SELECT[select](GroupReport(*each, *names)) for each in counts]


@pytest.mark.parametrize("patience", [1, 2, 4])
@pytest.mark.parametrize("select", RULES)
def test_it_ends_where_a_whole_training_has_not_risen_with_the_best_model_until_then(select, patience):
    whole = trained(epochs=25, select=select)
    found = scores(whole, select)
    ends = next(n for n in range(patience + 1, 26) if max(found[n - patience : n]) <= max(found[: n - patience]))
    run = trained(epochs=25, select=select, patience=patience)
    assert run.stopped == ends < 25 and whole.stopped is None
    assert run.records == [row for row in whole.records if row["epoch"] <= ends]
    shorter = trained(epochs=ends, select=select)
    assert run.epoch == shorter.epoch == found.index(max(found[:ends])) + 1
    assert all(torch.equal(a, b) for a, b in zip(run.model.parameters(), shorter.model.parameters()))


@pytest.fixture
def told(monkeypatch):
    """told([0.5, 0.7]): let the rule "validation-mean" say this after the first epochs; what lets it know the epoch."""
    now = {}

    def tell(script):
        monkeypatch.setitem(SELECT, "validation-mean", lambda report: script[now["epoch"] - 1])
        return dict(select="validation-mean", on_step=lambda model, batch, state, loss: now.update(epoch=state.epoch))

    return tell


@dataclass(frozen=True, kw_only=True)
class Fourth(ERM):
    """min: plain training, which says that it is something else from the fourth epoch on."""

    @property
    def first_epoch(self):
        return 4


@pytest.mark.parametrize(
    "script, patience, method, ends, best",
    [
        ([0.5, 0.6, 0.6, 0.5, 0.9], 2, ERM(), 4, 2),  # a tie is no rise
        ([0.5, 0.6, 0.6, 0.7, 0.6, 0.6, 0.9], 2, ERM(), 6, 4),
        ([0.5, 0.4, 0.9], 1, ERM(), 2, 1),
        ([0.0, 0.0, 0.0, 0.0], 3, ERM(), 4, 1),
        ([0.5, 0.4, 0.6], 2, ERM(), None, 3),
        ([0.9, 0.1, 0.1, 0.2, 0.3, 1.0], 2, Fourth(), 5, 1),  # epochs 4 and 5 count, 2 and 3 do not
        ([0.9, 0.1, 0.1, 0.2, 1.0, 0.1, 0.1], 2, Fourth(), 7, 5),
    ],
)
def test_epochs_without_a_rise_are_counted(script, patience, method, ends, best, told):
    run = trained(method=method, epochs=len(script), patience=patience, **told(script))
    assert (run.stopped, run.epoch) == (ends if ends != len(script) else None, best)
    assert run.records[-1]["epoch"] == (ends or len(script))


def test_the_model_is_that_of_a_whole_training_where_its_best_epoch_comes_before_the_end(told):
    how = dict(epochs=8, **told([0.5, 0.4, 0.9, 0.1, 0.1, 0.3, 0.2, 0.1]))
    run, whole = trained(patience=2, **how), trained(**how)
    assert run.stopped == 5 and run.epoch == whole.epoch == 3
    assert all(torch.equal(a, b) for a, b in zip(run.model.parameters(), whole.model.parameters()))


def test_progress_ends_at_its_end(told, capsys):
    seen, how = [], told([0.5, 0.6, 0.5, 0.5])
    trained(epochs=9, patience=1, progress=lambda *done: seen.append(done), **how)
    assert seen == [(1, 9), (2, 9), (3, 3)]
    trained(epochs=9, patience=1, progress=True, **how)
    assert re.search(r"epochs: 100%.* 3/3 ", capsys.readouterr().err.splitlines()[-1].split("\r")[-1])


def test_the_bar_of_a_training_that_goes_on_begins_where_it_was(tmp_path, capsys):
    def stop(done, last):
        if done == 3:
            raise KeyboardInterrupt

    how = dict(model=models.linear(TOY.train), data=TOY.train, epochs=5, checkpoint=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        large.train(**how, progress=stop)
    for begins in ("epochs:  60%", "epochs: 100%"):  # on from the third epoch, and with nothing to do
        large.train(**how, progress=True)
        bars = capsys.readouterr().err.split("\r")
        assert begins in bars[1] and "5/5" in bars[-1]


def test_a_training_that_was_stopped_is_not_taken_up_again(tmp_path):
    how = dict(epochs=25, select="validation-mean", patience=2)
    whole, seen = trained(**how), []
    assert trained(checkpoint=tmp_path, **how).records == whole.records
    again = trained(checkpoint=tmp_path, on_step=lambda *_: seen.append(_), progress=lambda *_: seen.append(_), **how)
    assert (again.stopped, again.epoch, again.records, seen) == (whole.stopped, whole.epoch, whole.records, [])
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), whole.model.parameters()))


def test_a_stage_is_not_stopped():
    run = trained(method=WithPartner(epochs=6), epochs=20, select="validation-mean", patience=1)
    plain = trained(method=WithPartner(epochs=6), epochs=run.stopped)
    assert torch.equal(run.state.partner[1].weight, plain.state.partner[1].weight)


MANY = dict(data=toys.shortcut, model=models.linear, epochs=12, lr=0.3, batch_size=32, n_jobs=1, progress=False)


@pytest.mark.slow
def test_studies_and_comparisons_stop_early_too(tmp_path, monkeypatch):
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path))
    methods = {"plain": ERM(), "mined": HardMining(warm_up=2), "weights": LossReweighting()}
    found = comparison.compare(methods, seeds=3, trials=2, patience=1, schedule="cosine", **MANY).study
    ends = {(r["name"], r["seed"]): max(row["epoch"] for row in r["history"]) for r in found.records}
    assert max(ends.values()) < 12 and len(set(ends.values())) > 1
    for name, (epochs, values) in found.worst_by_epoch().items():  # a mean over all seeds
        assert epochs == list(range(1, 1 + min(ends[name, seed] for seed in found.seeds)))
        assert len(values) == len(epochs)
    how = dict(seeds=1, select="validation-mean", **MANY)
    one, other = (study({"plain": ERM()}, patience=patience, **how).records[0] for patience in (1, None))
    assert one["history"] == other["history"][: len(one["history"])] and len(one["history"]) < len(other["history"])
    assert one["key"] != other["key"]
