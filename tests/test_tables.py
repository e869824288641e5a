"""data/metadata.py: which columns and files a table names, and what is said where it is ambiguous."""

import os

import pytest
import torch
from folders import SIDE, celeba, make, problems

from debias_course.data import FolderError, image_folder
from debias_course.data.folder import folder_source
from debias_course.data.paths import lead_out


def test_two_parts_are_not_read_from_one_column(tmp_path):
    celeba(tmp_path)
    sentence = (
        r"label and attribute are both read from column 'Male'; name another one .*columns=dict\(attribute=\.\.\.\)"
    )
    with pytest.raises(FolderError, match=sentence):
        image_folder(tmp_path, size=SIDE, label="Male")
    for part in ("file", "label", "attribute", "split"):
        for other in {"file", "label", "attribute", "split"} - {part}:
            with pytest.raises(
                FolderError, match=rf"({part} and {other}|{other} and {part}) are both read from column 'Young'"
            ):
                image_folder(tmp_path, size=SIDE, columns={part: "Young", other: "Young"})
    assert image_folder(tmp_path, size=SIDE, label="Male", attribute="Blond_Hair").train.n_groups == 4


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("odd", ['"a;b;c;d;e;f;g"', '"a,b,c,d,e,f,g"', '"two\nlines; and ""quotes"";;;;;;"'])
def test_a_separator_within_quotes_separates_nothing(tmp_path, separator, odd):
    make(tmp_path)
    text = (tmp_path / "metadata.csv").read_text().replace(",", separator).replace("place_filename", odd)
    (tmp_path / "metadata.csv").write_text(text)
    assert image_folder(tmp_path, size=SIDE).train.counts.tolist() == [9] * 4


def test_whole_paths_into_the_folder_are_taken_and_others_are_not(tmp_path):
    rows = make(tmp_path / "birds")
    as_they_are = image_folder(tmp_path / "birds", size=SIDE).train.inputs
    os.symlink(tmp_path / "birds", tmp_path / "link")
    for path in (tmp_path / "birds", tmp_path / "link"):
        whole = rows.assign(img_filename=[f"{path}/{file}" for file in rows["img_filename"]])
        whole.to_csv(tmp_path / "birds" / "metadata.csv", index=False)
        assert torch.equal(image_folder(path, size=SIDE).train.inputs, as_they_are)
    whole.loc[0, "img_filename"] = f"{tmp_path}/birds/../elsewhere.jpg"
    whole.loc[1, "img_filename"] = f"{tmp_path}/birds-too/images/1.jpg"
    whole.loc[2, "img_filename"] = "images/3.jpg"
    whole.to_csv(tmp_path / "birds" / "metadata.csv", index=False)
    said = [(p.row, p.what.rpartition("' ")[2]) for p in problems(tmp_path / "link").problems]
    assert said == [(2, "leaves the folder"), (3, "leaves the folder"), (5, "stands there twice")]


def test_groups_that_would_be_called_alike_are_a_problem_of_the_table(tmp_path):
    make(tmp_path, y=[("a", "a, b")[i % 2] for i in range(60)], place=[("c", "b, c")[i // 2 % 2] for i in range(60)])
    assert "two groups would be called 'a, b, c'; rename" in str(problems(tmp_path))


def test_two_columns_of_one_name_are_refused(tmp_path):
    rows = make(tmp_path).rename(columns=dict(place_filename=" y "))
    rows.to_csv(tmp_path / "metadata.csv", index=False)
    assert "metadata.csv has two columns 'y'; rename one of them" in str(problems(tmp_path))


def test_splits_that_cannot_be_understood_are_not_called_empty(tmp_path):
    make(tmp_path, split="fold 1")
    said = [str(p) for p in problems(tmp_path).problems]
    assert len(said) == 60 and all(
        "split 'fold 1' is none of 0 (train), 1 (validation), 2 (test)" in each for each in said
    )


def test_names_that_no_file_can_have_lead_nowhere(tmp_path):
    names = ["im\0ages/1.jpg", "1\0.jpg", "x" * 300 + "/1.jpg", "images/absent.jpg"]
    assert lead_out(tmp_path, tmp_path, names).tolist() == [False] * 4


def test_columns_may_be_pairs(tmp_path):
    make(tmp_path).rename(columns=dict(y="kind")).to_csv(tmp_path / "metadata.csv", index=False)
    for columns in dict(label="kind"), (("label", "kind"),):
        assert image_folder(tmp_path, size=SIDE, columns=columns).train.label_names == ("kind=0", "kind=1")
        assert folder_source(tmp_path, size=SIDE, columns=columns)(seed=1).train.label_names == ("kind=0", "kind=1")
