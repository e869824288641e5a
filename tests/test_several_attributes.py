"""data/columns.py and `by_attribute`: several attributes as one, and groups that overlap."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from folders import SIDE, make, problems

from debias_course import cli, models, train
from debias_course.audit import Audit, count, report
from debias_course.audit.predictions import audit_predictions
from debias_course.comparison import compare
from debias_course.data import GroupedData, Splits, cross_attributes, from_dataset, image_folder, inspect_folder
from debias_course.data.columns import apart
from debias_course.data.folder import folder_source
from debias_course.evaluation import GroupReport, evaluate
from debias_course.methods import ERM, GroupDRO
from debias_course.study import study

SEX, AGE = ["male", "male", "female", "male"], [1, 10, 2, 1]
NAMES = ("sex=female & age=2", "sex=male & age=1", "sex=male & age=10")


@pytest.mark.parametrize("given", [dict, lambda **columns: pd.DataFrame(columns)])
def test_combinations_that_occur_are_the_values_of_one_attribute(given):
    numbers, names = cross_attributes(given(sex=SEX, age=AGE))
    assert names == NAMES and numbers.tolist() == [1, 2, 0, 1] and numbers.dtype == torch.int64
    assert cross_attributes({"sex": np.array(SEX), "age": torch.tensor(AGE)})[1] == NAMES


def test_the_names_are_taken_apart_again_after_json():
    names = tuple(json.loads(json.dumps(NAMES)))
    assert apart(names) == {
        "sex": (("sex=female", "sex=male"), [0, 1, 1]),
        "age": (("age=2", "age=1", "age=10"), [0, 1, 2]),
    }
    odd = cross_attributes(dict(a=["x=1", "R&D", "& y"], b=["1 &2"] * 3))[1]
    assert apart(odd) == {"a": (("a=& y", "a=R&D", "a=x=1"), [0, 1, 2]), "b": (("b=1 &2",), [0, 0, 0])}


@pytest.mark.parametrize(
    "names",
    [
        ("land", "water"),
        ("place=0", "place=1"),
        ("salt & pepper", "oil"),
        ("a=1 & b=2", "b=1 & a=2"),
        ("a=1 & a=2",),
        ("a=1 & b=2", "a=1 & b=2 & c"),
    ],
)
def test_names_of_one_attribute_are_not_taken_apart(names):
    assert apart(names) == {}
    grid = dict(correct=(1,) * 2 * len(names), n=(2,) * 2 * len(names))
    assert GroupReport(**grid, label_names=("a", "b"), attribute_names=names).by_attribute() == {}


@pytest.mark.parametrize(
    "columns, kind, said",
    [
        (dict(sex=SEX), TypeError, "give two or more, such as"),
        (SEX, TypeError, "columns are .*male.*; give two or more, such as"),
        (dict(sex=SEX, age=AGE[:3]), ValueError, "'age' has 3 values, and 'sex' 4; give one for each sample"),
        (dict(sex=SEX, age=5), TypeError, r"columns\['age'\] is an int; give a list with one value"),
        (dict(sex=SEX, age=[1, None, 2, 3]), TypeError, "an attribute is None; give a text or a number"),
        (dict(sex=SEX, age=["1", "", "2", "3"]), ValueError, "sample 1 lacks one of sex, age; give all of them"),
        ({"sex": SEX, "a & b": AGE}, ValueError, "'a & b' cannot be the name of one of several attributes; rename"),
        ({"sex": SEX, "a=b": AGE}, ValueError, "'a=b' cannot be the name of one of several attributes; rename it"),
        ({"sex": SEX, 3: AGE}, ValueError, "3 cannot be the name of one of several attributes"),
        (dict(sex=SEX, age=["a & b", *"cde"]), ValueError, "the value 'a & b' of 'age' holds ' & ', which joins"),
        (dict(sex=SEX, age=["a &", *"cde"]), ValueError, "the value 'a &' of 'age' holds ' & ', which joins"),
        (
            dict(a=range(1001), b=[0] * 1001),
            ValueError,
            "a, b have 1,001 different combinations, and 1,000 are allowed",
        ),
    ],
)
def test_what_cannot_be_crossed_is_refused(columns, kind, said):
    with pytest.raises(kind, match=said):
        cross_attributes(columns)


def test_groups_that_overlap_are_sums_over_the_other_attributes():
    found = GroupReport((1, 2, 3, 4, 5, 6), (10, 20, 30, 40, 50, 60), ("a", "b"), NAMES, (6, 5, 4, 3, 2, 1))
    parts = found.by_attribute()
    assert list(parts) == ["sex", "age"]
    assert parts["sex"] == GroupReport(
        (1, 5, 4, 11), (10, 50, 40, 110), ("a", "b"), ("sex=female", "sex=male"), (6, 9, 3, 3)
    )
    assert parts["age"].n == found.n and parts["age"].group_names[1] == "a, age=1"
    assert parts["sex"].overall == found.overall and parts["sex"].worst_class == found.worst_class
    unweighted = GroupReport(found.correct, found.n, ("a", "b"), NAMES, (15, 6)).by_attribute()["sex"]
    assert unweighted.train_n == (15, 6)


def people(n=64, seed=0):
    """Random features [n, 3] of two labels, of two sexes and two ages."""
    draw = torch.Generator().manual_seed(seed)
    inputs, labels = torch.randn(n, 3, generator=draw), torch.arange(n) % 2
    columns = dict(sex=[SEX[i // 2 % 4] for i in range(n)], age=[("young", "old")[i // 8 % 2] for i in range(n)])
    return inputs, labels, columns


@pytest.mark.slow
def test_an_audit_of_each_attribute_counts_as_if_it_were_the_only_one():
    _, labels, columns = people()
    crossed, names = cross_attributes(columns)
    answers, sure = (labels + (crossed == 3).long()) % 2, np.linspace(0.5, 1, len(labels))
    found = count(labels, crossed, answers, ("no", "yes"), names, confidence=sure)
    for column, values in columns.items():
        known = sorted(set(values))
        alone = count(
            labels,
            [known.index(v) for v in values],
            answers,
            ("no", "yes"),
            [f"{column}={v}" for v in known],
            confidence=sure,
        )
        part = found.by_attribute()[column]
        assert isinstance(part, Audit) and (part.counts == alone.counts).all()
        pd.testing.assert_frame_equal(part.gaps(), alone.gaps())
        pd.testing.assert_frame_equal(part.calibration, alone.calibration)
    assert "3 families of gaps" in report.intervals(found) and report.intervals(part) == report.INTERVALS


@pytest.mark.slow
def test_tensors_go_through_training_a_study_and_a_comparison():
    inputs, labels, columns = people(96)
    attributes, names = cross_attributes(columns)
    whole = GroupedData(inputs, labels, attributes, ("no", "yes"), names)
    splits = Splits(*(whole.subset(rows) for rows in torch.arange(96).split(32)))
    run = train(models.mlp(whole), splits.train, GroupDRO(), epochs=1, validation=splits.validation)
    found = evaluate(run.model, splits.test, train=splits.train)
    assert {name: sum(part.n) for name, part in found.by_attribute().items()} == dict(sex=32, age=32)
    how = dict(seeds=1, epochs=1, n_jobs=1, progress=False)
    methods = dict(plain=ERM(), dro=GroupDRO())
    kept = study(methods, splits, **how).report("dro", 0)
    assert kept.attribute_names == names and list(kept.by_attribute()) == ["sex", "age"]
    assert list(compare(methods, splits, trials=1, **how).table["method"]) == list(methods)


def items(kind, n=8):
    rows = [(np.full((4, 4), i, np.uint8), i % 2, SEX[i % 4], AGE[i % 4]) for i in range(n)]
    return [dict(zip(("image", "label", "sex", "age"), row)) for row in rows] if kind is dict else rows


def test_items_of_a_dataset_hold_several_attributes_or_they_come_beside():
    by_place = from_dataset(items(tuple), attribute=(2, 3)).attribute_names
    assert by_place == tuple(name.replace("sex", "attribute 2").replace("age", "attribute 3") for name in NAMES)
    named = from_dataset(items(dict), attribute=["sex", "age"])
    beside = from_dataset(items(tuple), attributes=dict(sex=SEX * 2, age=AGE * 2))
    frame = from_dataset(items(tuple), attributes=pd.DataFrame(dict(sex=SEX * 2, age=AGE * 2)))
    for data in named, beside, frame:
        assert data.attribute_names == NAMES and data.attributes.tolist() == [1, 2, 0, 1] * 2
    assert from_dataset(items(tuple), attribute=(2,)).attribute_names == ("female", "male")


@pytest.mark.parametrize(
    "how, kind, said",
    [
        (dict(attribute=()), ValueError, r"attribute is \(\); name each place or key once"),
        (dict(attribute=(2, 2)), ValueError, r"attribute is \(2, 2\); name each place or key once"),
        (dict(attribute=(1, 2)), ValueError, "label and attribute are both read from 1; name another"),
        (dict(attribute=(2, 7)), ValueError, "item 0 of dataset: it is a tuple of 4, in which there is no 7"),
        (dict(attribute=(2, 3), attribute_names=["a"]), ValueError, "names are those of one attribute; leave them out"),
        (dict(attributes={}), ValueError, "the attributes of dataset have no column; give one or more"),
        (dict(attributes=dict(sex=SEX)), ValueError, "dataset has 8 items and 4 attributes; name the"),
        (dict(attributes=dict(sex=SEX * 2, age=[0.5] * 8)), ValueError, "the age is measured, such as 0.5"),
        (dict(attributes=torch.zeros(8, 2)), TypeError, "attributes is a Tensor; give a list with one value"),
    ],
)
def test_bad_attributes_of_a_dataset_are_refused(how, kind, said):
    with pytest.raises(kind, match=said):
        from_dataset(items(tuple), **how)


@pytest.fixture
def faces(tmp_path):
    """80 images; the last age group has two of them in train, and one in each of the other splits."""
    n = 80
    ages = [("young", "old")[i // 2 % 2] if i % 20 else "very old" for i in range(n)]
    make(tmp_path, n=n, sex=[(0, 1)[i % 3 == 0] for i in range(n)], age=ages)
    return tmp_path


def test_a_folder_with_several_attributes(faces):
    data = image_folder(faces, size=SIDE, attribute=["sex", "age"])
    rows = pd.read_csv(faces / "metadata.csv").query("split == 0")
    assert data.train.attribute_names[0] == "sex=0 & age=old" and set(apart(data.test.attribute_names)) == {
        "sex",
        "age",
    }
    named = [data.train.attribute_names[i] for i in data.train.attributes]
    assert named == [f"sex={sex} & age={age}" for sex, age in zip(rows["sex"], rows["age"])]
    source = folder_source(faces, size=SIDE, attribute=["sex", "age"])
    same = source(seed=3).train
    assert same.attribute_names == data.train.attribute_names and torch.equal(same.attributes, data.train.attributes)
    assert image_folder(faces, size=SIDE, attribute=("age",)).train.attribute_names == ("old", "very old", "young")
    said = str(inspect_folder(faces, size=SIDE, columns=dict(attribute=("sex", "age"))))
    sizes = data.train.counts_by("attribute")
    tiny = f"6 combinations of sex & age: {int((sizes == 0).sum())} without a training sample, "
    assert f"{tiny}{int((sizes < 10).sum())} with fewer than 10: " in said and "--attribute sex,age" in said


@pytest.mark.parametrize(
    "attribute, kind, said",
    [
        ((), ValueError, r"attribute is \(\); name each column once"),
        (("sex", "sex"), ValueError, r"attribute is \('sex', 'sex'\); name each column once"),
        (("sex", ""), ValueError, r"attribute is \('sex', ''\); name each column once"),
        (("sex", 3), TypeError, "the column of the attribute is 3; give its name as a text"),
        (("sex", "y"), ValueError, "label and attribute are both read from column 'y'; name another"),
        (("sex", "agee"), ValueError, "no column 'agee' for the attribute; did you mean age?"),
        (("sex", "img_id"), ValueError, "attribute.*"),
    ],
)
def test_bad_columns_of_several_attributes_are_refused(faces, attribute, kind, said):
    if attribute == ("sex", "img_id"):
        rows = pd.read_csv(faces / "metadata.csv")
        rows["img_id"] = [f"{'a & b' if i == 5 else i % 2}" for i in range(len(rows))]
        rows.to_csv(faces / "metadata.csv", index=False)
        said = "the value 'a & b' of 'img_id' holds ' & ', which joins attributes"
    with pytest.raises(kind, match=said):
        image_folder(faces, size=SIDE, attribute=attribute)


def test_an_empty_cell_is_named_with_its_column(faces):
    rows = pd.read_csv(faces / "metadata.csv")
    rows.loc[3, "age"] = None
    rows.to_csv(faces / "metadata.csv", index=False)
    found = problems(faces, attribute=("sex", "age"))
    assert [str(each) for each in found.problems] == ["row 5: the attribute 'age' is empty"]


def predicted(folder):
    """Predictions for the test images, wrong for the old."""
    rows = pd.read_csv(folder / "metadata.csv").query("split == 2")
    wrong = rows["age"] == "old"
    answers = [f"y={y if not w else 1 - y}" for y, w in zip(rows["y"], wrong)]
    table = pd.DataFrame(dict(image=rows["img_filename"], prediction=answers, probability=0.9))
    table.to_csv(folder / "predictions.csv", index=False)
    return folder / "predictions.csv"


@pytest.mark.slow
def test_predictions_are_audited_by_combination_and_by_attribute(faces, capsys):
    found = audit_predictions(faces, predicted(faces), attribute=("sex", "age"))
    assert found.by_attribute()["age"].report.worst_group.value == 0
    command = ["evaluate", "--data", faces, "--predictions", faces / "predictions.csv", "--attribute", "sex,age"]
    assert cli.main([str(each) for each in [*command, "--out", faces / "out"]]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 labels × 6 combinations of sex & age" in printed and "There are 3 families of gaps" in printed
    assert "by sex: group n accuracy" in printed and "by age: group n accuracy" in printed
    gaps = pd.read_csv(faces / "out" / "gaps.csv")
    assert list(gaps["by"].unique()) == ["sex & age", "sex", "age"] and len(gaps) == 15
    of_age = gaps[(gaps["by"] == "age") & (gaps["measure"] == "accuracy")].iloc[0]
    assert of_age["gap"] == 1 and of_age["lowest"] == "age=old"
    groups = pd.read_csv(faces / "out" / "groups.csv")
    assert groups.groupby("by")["n"].sum().tolist() == [16] * 3
    assert set(pd.read_csv(faces / "out" / "calibration.csv")["by"]) == {"sex & age", "sex", "age"}
    page = (faces / "out" / "audit.html").read_text()
    assert "<th>by</th>" in page and "sex &amp; age" in page and "3 families" in page


@pytest.mark.slow
def test_the_command_line_trains_and_compares_with_several_attributes(faces, capsys):
    def run(*words):
        return cli.main([str(word) for word in words])

    assert run("inspect", faces, "--size", SIDE, "--attribute", "sex, age") == 0
    assert "6 combinations of sex & age" in capsys.readouterr().out
    how = ["--data", faces, "--size", SIDE, "--attribute", "sex,age", "--epochs", 1, "--model", "linear"]
    assert run("train", *how, "--out", faces / "one") == 0
    printed = capsys.readouterr().out
    assert "by sex: overall" in printed and "by age: overall" in printed
    facts = json.loads((faces / "one" / "settings.json").read_text())
    assert {"worst_group by sex", "worst_group by age"} < set(facts["test"])
    assert "attribute sex,age" in facts["configuration"]["data"]
    more = ["--methods", "erm,loss-reweighting(by=label)", "--seeds", 1, "--trials", 1, "--select", "validation-mean"]
    assert run("compare", *how, *more, "--out", faces / "both") == 0
    assert set(pd.read_csv(faces / "both" / "results.csv")["attribute"]) >= {"sex=0 & age=old"}
    assert run("compare", *how[:-6], "--columns", "attribute=sex,age") == 2
    assert "several attributes are --attribute NAME,NAME" in capsys.readouterr().err
