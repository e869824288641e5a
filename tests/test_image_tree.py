"""Trees of folders as ImageFolder of torchvision reads them, and data whose attribute nobody knows."""

import math
import shlex

import pandas as pd
import pytest
from folders import SIDE, make, picture, problems

from debias_course import cli
from debias_course.audit.predictions import audit_predictions
from debias_course.data import image_folder, inspect_folder, load_digits
from debias_course.methods import DANN, ERM, GroupDRO, HardMining
from debias_course.models import linear
from debias_course.training import train

ALONE = "no attribute tells samples apart, so groups are labels"


@pytest.fixture
def tree(tmp_path):
    """40 digits: 24 to train on, and 8 each to validate and test; half of them one class, one in a folder deeper."""
    images, _ = load_digits()
    for i in range(40):
        part = ("train", "train", "train", "val", "test")[i // 2 % 5]
        picture(tmp_path / "my photos" / part / ("cat", "dog")[i % 2] / ("old/" * (i == 1) + f"{i}.png"), images[i])
    (tmp_path / "my photos" / "train" / "notes.txt").write_text("not an image")
    (tmp_path / "my photos" / "train" / "cat" / "Thumbs.db").write_text("not an image")
    return tmp_path / "my photos"


def test_a_tree_gives_classes_and_splits_and_one_attribute(tree):
    with pytest.warns(UserWarning, match=ALONE):
        data = image_folder(tree, size=SIDE)
    assert [len(part) for part in data] == [24, 8, 8]
    for part in data:
        assert part.label_names == ("cat", "dog") and part.attribute_names == ("unknown",)
        assert part.counts.tolist() == [len(part) // 2] * 2


@pytest.mark.parametrize("method", [ERM(), HardMining(), GroupDRO()])
def test_what_needs_no_attribute_trains_on_a_tree(tree, method):
    with pytest.warns(UserWarning, match=ALONE):
        data = image_folder(tree, size=SIDE)
    run = train(linear(data.train), data.train, method, epochs=1, validation=data.validation)
    assert all(parameter.isfinite().all() for parameter in run.model.parameters())


def test_what_needs_an_attribute_says_so(tree):
    with pytest.warns(UserWarning, match=ALONE):
        data = image_folder(tree, size=SIDE)
    with pytest.raises(ValueError, match="all samples are of one domain, .unknown"):
        train(linear(data.train), data.train, DANN(), epochs=1)


def test_the_report_of_a_tree_says_nothing_of_a_correlation(tree):
    report = inspect_folder(tree, size=SIDE)
    text = str(report)
    assert math.isnan(report.cramers_v) and "nan" not in text and "goes with" not in text and "Cramér" not in text
    assert ALONE in text and "every file was decoded" in text and "group-dro" not in text
    assert shlex.split(report.command)[-7:-5] == ["erm,loss-reweighting(by=label),hard-mining", "--model"]


def test_a_broken_image_of_a_tree_is_named_without_a_row(tree):
    (tree / "train" / "dog" / "11.png").write_text("broken")
    error = problems(tree)
    assert "  'train/dog/11.png': it is no image that Pillow knows" in str(error) and "row" not in str(error)
    with pytest.warns(UserWarning) as said:
        assert len(image_folder(tree, size=SIDE, broken="leave out").train) == 23
    assert any("1 of 40 images are left out" in str(each.message) for each in said)


def test_a_tree_without_a_split_says_which(tree):
    (tree / "val").rename(tree / "aside")
    assert "no sample is in split 1 (validation); move some there" in str(problems(tree))
    with pytest.raises(ValueError, match="column 'label' has one value only"):
        (tree / "aside").rename(tree / "valid")
        for part in ("train", "valid", "test"):
            (tree / part / "dog").rename(tree.parent / f"dogs of {part}")
        image_folder(tree, size=SIDE)


@pytest.mark.parametrize("how", [dict(attribute=""), dict(columns=dict(attribute=""))])
def test_a_table_may_know_no_attribute(tmp_path, how):
    make(tmp_path).drop(columns="place").to_csv(tmp_path / "metadata.csv", index=False)
    said = "no column 'place' for the attribute"
    assert said in str(problems(tmp_path)) and 'attribute="" (--no-attribute) where none is known' in str(
        problems(tmp_path)
    )
    with pytest.warns(UserWarning, match=ALONE):
        data = image_folder(tmp_path, size=SIDE, **how)
    assert data.train.attribute_names == ("unknown",) and data.train.counts.tolist() == [18, 18]


@pytest.mark.slow
def test_a_tree_on_the_command_line(tree, capsys):
    def run(*words):
        return cli.main([str(word) for word in words])

    assert run("inspect", tree, "--size", SIDE) == 0
    words = shlex.split(capsys.readouterr().out.strip().splitlines()[-1])
    replaced = {"resnet18": "linear", "5": "1", "3": "1"}
    assert run(*(replaced.get(word, word) for word in words[1:])) == 0
    printed = capsys.readouterr()
    assert "hard-mining" in printed.out and ALONE in printed.err
    make(tree.parent).drop(columns="place").to_csv(tree.parent / "metadata.csv", index=False)
    assert run("inspect", tree.parent, "--no-attribute") == 0
    words = shlex.split(capsys.readouterr().out.strip().splitlines()[-1])
    assert "--no-attribute" in words
    assert run(*(replaced.get(word, word) for word in words[1:])) == 0


def test_predictions_for_a_tree(tree):
    files = sorted(each.relative_to(tree).as_posix() for each in (tree / "test").rglob("*.png"))
    table = pd.DataFrame(dict(image=files, prediction=[name.split("/")[1] for name in files]))
    table.loc[0, "prediction"] = "dog"
    table.to_csv(tree.parent / "predictions.csv", index=False)
    found = audit_predictions(tree, tree.parent / "predictions.csv")
    assert found.report.overall.value == 7 / 8 and found.gaps()["gap"].isna().all()


def test_what_is_hidden_is_no_class_and_splits_may_have_capitals(tree):
    (tree / "train").rename(tree / "TRAIN")
    for name in (".ipynb_checkpoints/0.png", "cat/._1.png", ".hidden/1.png", "dog/.thumbs/2.png"):
        (tree / "TRAIN" / name).parent.mkdir(exist_ok=True)
        (tree / "TRAIN" / name).write_text("no image")
    with pytest.warns(UserWarning, match=ALONE):
        data = image_folder(tree, size=SIDE)
    assert data.train.label_names == ("cat", "dog") and len(data.train) == 24


def test_a_tree_without_splits_and_a_file_instead_of_a_folder_say_what_to_do(tree):
    with pytest.raises(
        FileNotFoundError, match="has images in cat, dog, which look like labels, and no split: put these"
    ):
        image_folder(tree / "train")
    with pytest.raises(FileNotFoundError, match="notes.txt is a file; name its folder"):
        image_folder(tree / "train" / "notes.txt")
