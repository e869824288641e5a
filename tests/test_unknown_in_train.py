"""Groups that are known in validation and test only: one chooses by them, and trains without."""

import shlex
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from folders import SIDE, make, problems
from test_splits import noise, part

from debias_course import cli, models, train
from debias_course.audit.predictions import audit_predictions
from debias_course.comparison import compare
from debias_course.data import Splits, from_datasets, image_folder, inspect_folder
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


def items(seed, attributes):
    rows = noise(len(attributes), seed).numpy()
    given = [each if isinstance(each, tuple) else (each,) for each in attributes]
    return [(row, i % 2, *each) for i, (row, each) in enumerate(zip(rows, given))]


PLACES = ["sea", "sea", "land", "land"] * 4
NONE = [None] * 16


def test_a_dataset_for_training_may_have_none_for_every_attribute():
    inside = from_datasets(items(0, NONE), items(1, PLACES), items(2, PLACES), attribute=2)
    beside = from_datasets(items(0, PLACES), items(1, NONE), items(2, NONE), attributes=(None, PLACES, PLACES))
    listed = from_datasets(items(0, PLACES), items(1, NONE), items(2, NONE), attributes=(NONE, PLACES, PLACES))
    both = [(place, i % 3) for i, place in enumerate(PLACES)]
    several = from_datasets(items(0, [(None, None)] * 16), items(1, both), items(2, both), attribute=(2, 3))
    for splits in inside, beside, listed, several:
        assert splits.train.attribute_names == ("unknown",) and splits.train.counts.tolist() == [8, 8]
    assert inside.test.attribute_names == beside.test.attribute_names == listed.test.attribute_names == ("land", "sea")
    assert inside.test.attributes.tolist() == beside.test.attributes.tolist() == [1, 1, 0, 0] * 4
    assert len(several.test.attribute_names) == 6


@pytest.mark.parametrize(
    "parts, how, said",
    [
        (
            (["sea", None, "sea", "sea"], PLACES, PLACES),
            dict(attribute=2),
            "item 1 of train has no attribute, and others",
        ),
        ((PLACES, NONE, PLACES), dict(attribute=2), "item 0 of validation: a label or an attribute is None; give a"),
        ((NONE, NONE, NONE), dict(attribute=2), "item 0 of validation: a label or an attribute is None; give a"),
        (
            ([(None, "x"), (None, "x")], [("a", "x")] * 4, [("a", "x")] * 4),
            dict(attribute=(2, 3)),
            "item 0 of train has no attribute, and others do",
        ),
        (
            (NONE, NONE, NONE),
            dict(attributes=(None, None, PLACES)),
            "the attribute is not known in validation; give it",
        ),
        ((NONE, NONE, NONE), dict(attributes=(PLACES, PLACES, None)), "the attribute is not known in test; give it th"),
        (
            (NONE, NONE, NONE),
            dict(attributes=(None, dict(a=PLACES, b=PLACES), dict(a=PLACES, c=PLACES))),
            "the attributes have different columns in validation, test; give the same",
        ),
    ],
)
def test_other_parts_without_an_attribute_are_refused(parts, how, said):
    with pytest.raises((TypeError, ValueError), match=said):
        from_datasets(*(items(seed, values) for seed, values in enumerate(parts)), **how)


@pytest.fixture
def birds(tmp_path):
    """A folder whose column is empty in train."""
    rows = make(tmp_path)
    rows["place"] = [("sea", "land")[place] if split else "" for place, split in zip(rows["place"], rows["split"])]
    rows.to_csv(tmp_path / "metadata.csv", index=False)
    return tmp_path


@pytest.mark.parametrize("attribute", [None, ("place", "place2")])
def test_a_column_that_is_empty_in_train_and_nowhere_else(birds, attribute):
    rows = pd.read_csv(birds / "metadata.csv", keep_default_na=False)
    rows.assign(place2=rows["place"]).to_csv(birds / "metadata.csv", index=False)
    report = inspect_folder(birds, size=SIDE, attribute=attribute)
    assert not report.table.problems and UNKNOWN in str(report) and "in training," not in str(report)
    assert report.groups.loc["y=0, unknown"].tolist() == [18, 0, 0]
    assert report.groups["train"].sum() == 36 and np.isnan(report.cramers_v)
    assert len(report.notes) == 1 and "just-train-twice" in report.command
    with pytest.warns(UserWarning, match=UNKNOWN):
        data = image_folder(birds, size=SIDE, attribute=attribute)
    assert data.train.attribute_names == ("unknown",) and data.train.counts.tolist() == [18, 18]
    assert data.test.n_attributes == 2 and data.test.counts.tolist() == [3] * 4


def test_a_group_of_validation_that_is_not_tested_is_said(birds):
    rows = pd.read_csv(birds / "metadata.csv", keep_default_na=False)
    rows.loc[(rows["split"] == 2) & (rows["y"] == 1), "place"] = "sea"
    rows.to_csv(birds / "metadata.csv", index=False)
    notes = inspect_folder(birds, size=SIDE).notes
    assert notes[0] == "1 of 4 groups are not tested: y=1, land" and len(notes) == 2


@pytest.mark.parametrize("row, place, wrong", [(0, "sea", 35), (16, "", 37)])
def test_a_column_that_is_empty_here_and_there_stays_a_problem(birds, row, place, wrong):
    rows = pd.read_csv(birds / "metadata.csv", keep_default_na=False)
    rows.loc[row, "place"] = place
    rows.to_csv(birds / "metadata.csv", index=False)
    found = problems(birds).problems
    assert len(found) == wrong and all(each.what == "the attribute 'place' is empty" for each in found)


def test_a_value_that_is_called_unknown_is_refused_there(birds):
    rows = pd.read_csv(birds / "metadata.csv", keep_default_na=False)
    rows["place"] = rows["place"].replace("sea", "unknown")
    rows.to_csv(birds / "metadata.csv", index=False)
    assert "two groups would be called 'y=0, unknown'" in str(problems(birds))


def test_predictions_are_audited_where_the_attribute_is_known(birds):
    rows = pd.read_csv(birds / "metadata.csv")
    pd.DataFrame(dict(image=rows["img_filename"], prediction=[f"y={y}" for y in rows["y"]])).to_csv(
        birds / "predictions.csv", index=False
    )
    assert audit_predictions(birds, birds / "predictions.csv").attribute_names == ("land", "sea")
    of_train = audit_predictions(birds, birds / "predictions.csv", split="train")
    assert of_train.attribute_names == ("unknown",) and of_train.counts.sum() == 36
    with pytest.raises(ValueError, match="the attribute is not known in train; audit one of the other splits"):
        audit_predictions(birds, birds / "predictions.csv", split="all")


@pytest.mark.slow
def test_the_command_line_needs_no_option(birds, capsys):
    def run(*words):
        return cli.main([str(word) for word in words])

    how = ["--data", birds, "--size", SIDE, "--model", "mlp"]
    assert run("train", *how, "--epochs", 2, "--select", "validation-worst-group", "--out", birds / "one") == 0
    printed = capsys.readouterr()
    assert UNKNOWN in printed.err and "worst" in printed.out
    assert run("train", *how, "--method", "group-dro", "--out", birds / "two") == 2
    assert "GroupDRO reads group labels in training" in capsys.readouterr().err
    more = ["--methods", "all", "--seeds", 1, "--trials", 1, "--epochs", 2, "--out", birds / "both"]
    assert run("compare", *how, *more) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for name in "loss-reweighting", "over-sampling", "under-sampling", "batch-sampling", "group-dro", "dann":
        assert f"{name} was left out: " in printed
    assert set(pd.read_csv(birds / "both" / "results.csv")["method"]) >= {"erm", "hard-mining", "spectral-decoupling"}
    assert run("inspect", birds, "--size", SIDE) == 0
    replaced = {"resnet18": "linear", "5": "3", "3": "1"}
    words = shlex.split(capsys.readouterr().out.strip().splitlines()[-1])
    assert run(*(replaced.get(word, word) for word in words[1:])) == 0
