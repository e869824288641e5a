"""Trees of folders, and tables of very many images."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from folders import SIDE, make, picture, problems

from debias_course import cli, models, train
from debias_course.data import folder, image_folder, inspect_folder, load_digits


def tree(root, splits=("train", "val", "test"), n=6):
    """Twos and sevens, some of them in a folder within."""
    images, _ = load_digits()
    for i in range(n):
        for place, split in enumerate(splits, 3 * len(root.name)):
            for label, digit in ("seven", 3500), ("two", 1000):
                within = "old/" if i % 2 else ""
                name = f"{within}{i}.{'JPG' if i else 'png'}"
                picture(root / split / label / name, images[digit + 7 * place + i])
    return root


@pytest.mark.parametrize("words", [("train", "val", "test"), ("training", "validation", "test")])
def test_a_tree_of_folders_is_a_table(words, tmp_path):
    tree(tmp_path, words)
    (tmp_path / words[0] / "two" / "Thumbs.db").write_text("no image")
    (tmp_path / "readme.txt").write_text("")
    with pytest.warns(UserWarning, match="no attribute tells samples apart"):
        splits = image_folder(tmp_path, size=SIDE)
        streamed = image_folder(tmp_path, size=SIDE, memory=0).train
    assert [len(part) for part in splits] == [12, 12, 12] and splits.train.labels.tolist() == [0] * 6 + [1] * 6
    assert (splits.train.label_names, splits.train.attribute_names) == (("seven", "two"), ("unknown",))
    assert [*streamed.inputs.files[:2]] == [f"{words[0]}/seven/0.png", f"{words[0]}/seven/2.JPG"]
    assert torch.equal(streamed.batch(torch.arange(12)).inputs, splits.train.batch(torch.arange(12)).inputs)
    assert "--columns" not in str(inspect_folder(tmp_path))


def test_a_table_goes_before_a_tree(tmp_path):
    tree(tmp_path)
    make(tmp_path)
    assert image_folder(tmp_path, size=SIDE).train.attribute_names == ("place=0", "place=1")


def test_what_is_wrong_with_a_tree_is_said(tmp_path):
    inside, outside = tree(tmp_path / "inside", ("train", "val")), tree(tmp_path / "outside", ("test",))
    assert "no sample is in split 2 (test); move some there" in str(problems(inside))
    (inside / "test").symlink_to(outside / "test")
    assert "a link leads out of the folder; copy the image into it" in str(problems(inside))
    with pytest.raises(FileNotFoundError, match="has images in seven, two, which look like labels, and no split"):
        image_folder(outside / "test")


def test_images_on_demand_are_not_tried_before(tmp_path, monkeypatch):
    make(tmp_path)
    (tmp_path / "images" / "3.jpg").write_bytes(b"no image")
    assert "'images/3.jpg': it is no image" in str(problems(tmp_path, memory=0))
    monkeypatch.setattr(folder, "decode_all", None)
    data = image_folder(tmp_path, size=SIDE, memory=0, broken="on demand").train
    assert len(data) == 36
    with pytest.raises(ValueError, match=r"images/3.jpg could be used, or was not tried, .* it is no image"):
        train(models.mlp(data), data, epochs=1, batch_size=8)
    monkeypatch.undo()
    assert "'images/3.jpg': it is no image" in str(problems(tmp_path, broken="on demand"))  # those in memory are read


def test_the_command_line_does_not_try_them_either(tmp_path, monkeypatch, capsys):
    make(tmp_path / "birds")
    monkeypatch.setattr(folder, "decode_all", None)
    call = ["train", "--data", str(tmp_path / "birds"), "--size", "8", "--model", "mlp", "--epochs", "1"]
    call += ["--memory", "0"]
    assert cli.main([*call, "--untried", "--out", str(tmp_path / "out")]) == 0
    assert cli.main(["train", "--untried", "--out", str(tmp_path)]) == 2
    assert "--untried is for a folder of images" in capsys.readouterr().err
    assert cli.main([*call, "--untried", "--leave-out-broken", "--out", str(tmp_path)]) == 2
    assert "not allowed with" in capsys.readouterr().err


def test_names_are_kept_without_an_object_for_each():
    names = np.array([f"train/ä/{i}.jpg" for i in range(1000)], dtype=object)
    kept = folder.compact(names)
    if kept.dtype == object:
        pytest.skip("this NumPy has no such arrays")
    assert kept.nbytes < 20 * 1000 and [*pickle.loads(pickle.dumps(kept))] == [*names]
    assert type(kept[3]) is str and [*kept[np.array([5, 2])]] == [names[5], names[2]]


MANY = """
import resource, sys, warnings
from debias_course.data import image_folder
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = image_folder(sys.argv[1], memory=0, broken="on demand")
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(sum(map(len, data)), 1024 * grown)
"""


@pytest.mark.slow
def test_a_million_rows_take_less_than_a_gigabyte(tmp_path):
    n = 1_000_000
    rows = pd.DataFrame(dict(filename=[f"class_{i % 500:04d}/image_{i:08d}.jpg" for i in range(n)]))
    rows["y"], rows["a"], rows["split"] = np.arange(n) % 500, np.arange(n) // 500 % 2, np.arange(n) // 1000 % 3
    rows.to_csv(tmp_path / "metadata.csv", index=False)
    done = subprocess.run([sys.executable, "-c", MANY, tmp_path], check=True, capture_output=True, text=True)
    read, grown = map(int, done.stdout.split())
    assert read == n and grown < 1e9
