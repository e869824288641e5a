"""Groups that are known in validation and test only: one chooses by them, and trains without."""

from dataclasses import replace

import pytest
import torch
from test_splits import noise, part

from debias_course import models, train
from debias_course.comparison import compare
from debias_course.data import Splits
from debias_course.evaluation import evaluate
from debias_course.methods import DANN, ERM, GroupDRO, HardMining, JustTrainTwice, LossReweighting, Unsuitable
from debias_course.report import in_words, readable
from debias_course.study import study

UNKNOWN = "the attribute is known in validation and test, and of no sample of train"


def without(known):
    """The samples with an attribute that nobody knows."""
    return replace(known, attributes=torch.zeros_like(known.attributes), attribute_names=("unknown",))


@pytest.fixture
def splits():
    return Splits(without(part(noise(40))), part(noise(16, 1)), part(noise(16, 2)))


def test_only_train_may_lack_the_attribute(splits):
    assert splits.train.counts.tolist() == [20, 20] and splits.test.counts.tolist() == [4] * 4
    assert splits._replace(train=splits.train) is not None
    with pytest.raises(ValueError, match=r"attribute_names are \('x', 'z'\) in test, but \('x', 'y'\) in validation"):
        splits._replace(test=replace(splits.test, attribute_names=("x", "z")))
    with pytest.raises(
        ValueError, match=r"attribute_names are \('unknown',\) in validation, but \('x', 'y'\) in train"
    ):
        Splits(part(noise(8)), without(part(noise(8, 1))), part(noise(8, 2)))
    with pytest.raises(ValueError, match=r"label_names are \('c', 'd'\) in test, but \('a', 'b'\) in train"):
        splits._replace(test=replace(splits.test, label_names=("c", "d")))
    copied = part(splits.train.inputs.clone())
    with pytest.raises(ValueError, match="40 of the 40 samples of test are in train, too"):
        splits._replace(test=copied)


def test_the_worst_group_of_validation_chooses(splits):
    model = models.mlp(splits.train)
    how = dict(epochs=4, validation=splits.validation, select="validation-worst-group")
    run = train(model, splits.train, ERM(), **how)
    seen = run.history.groupby("epoch")["accuracy"].min()
    assert run.epoch == seen.idxmax() and set(run.history["group"]) == {"a, x", "a, y", "b, x", "b, y"}
    of_a = splits.validation.subset(splits.validation.labels == 0)
    with pytest.raises(ValueError, match="worst label of the validation set, which has no sample of 'b'"):
        train(model, splits.train, **how | dict(validation=of_a))
    few = splits.validation.subset(splits.validation.groups != 3)
    assert train(model, splits.train, **how | dict(validation=few)).epoch >= 1


@pytest.mark.parametrize(
    "method, needs", [(GroupDRO(), "group labels"), (LossReweighting(), "group labels"), (DANN(), "attribute labels")]
)
def test_a_method_that_reads_groups_in_training_refuses(splits, method, needs):
    name = type(method).__name__
    with pytest.raises(Unsuitable, match=f"{name} reads {needs} in training, where the attribute is not known; use a"):
        train(models.mlp(splits.train), splits.train, method, validation=splits.validation)
    with pytest.raises(ValueError, match=f"dro cannot be compared here: {name} reads {needs} in training"):
        compare(dict(erm=ERM(), dro=method), splits, epochs=1, progress=False)


def test_weights_of_groups_in_training_are_not_known_and_sizes_of_labels_are(splits):
    run = train(models.mlp(splits.train), splits.train, epochs=1)
    found = evaluate(run.model, splits.test, train=splits.train)
    assert found.train_n == (20, 20) and "train-weighted" not in str(found)
    with pytest.raises(ValueError, match="the attribute is not known in training, so its groups have no sizes there"):
        _ = found.train_weighted
    known = evaluate(run.model, splits.test, train=part(noise(40)))
    assert found.medium_shot == known.medium_shot and found.worst_group == known.worst_group
    with pytest.raises(ValueError, match="no label is few-shot"):
        _ = found.few_shot
    with pytest.raises(ValueError, match="name labels or attributes differently"):
        evaluate(run.model, splits.test, train=replace(splits.train, label_names=("b", "a")))


@pytest.mark.slow
@pytest.mark.parametrize("where", [study, compare])
def test_a_study_and_a_comparison_leave_the_train_weighted_average_empty(splits, where):
    methods = {"plain": ERM(), "by label": LossReweighting(by="label"), "jtt": JustTrainTwice(first_epochs=1)}
    how = dict(seeds=2, epochs=2, n_jobs=1, progress=False, select="validation-worst-group")
    how |= dict(trials=1) if where is compare else {}
    found = where(methods, splits, **how)
    frame = found.table if where is compare else found.summary
    assert list(frame["method"]) == list(methods) and frame["worst_group"].notna().all()
    assert frame[["train_weighted", "train_weighted_low", "train_weighted_high"]].isna().all(axis=None)
    again = where(methods, splits, **how)  # from what was kept
    kept = again.study if where is compare else again
    seconds = [record["seconds"] for record in kept.records]
    assert seconds == [record["seconds"] for record in (found.study if where is compare else found).records]
    assert kept.report("jtt", 1).train_n == (20, 20)
    if where is compare:
        assert (readable(found)["train-weighted"] == "").all()
        with pytest.raises(ValueError, match="the attribute is not known in training, so its groups have no sizes"):
            compare(methods, splits, **how, metric="train_weighted")


def test_a_comparison_of_all_says_which_need_groups_in_training(splits):
    methods = {"erm": ERM(), "mining": HardMining(), "dro": GroupDRO(), "dann": DANN()}
    found = compare(methods, splits, seeds=1, epochs=1, trials=1, leave_out=True, n_jobs=1, progress=False)
    assert list(found.table["method"]) == ["erm", "mining"] and set(found.left_out) == {"dro", "dann"}
    assert "dann was left out: DANN reads attribute labels in training, where the attribute is not known" in in_words(
        found
    )
