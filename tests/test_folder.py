"""data/folder.py and what it reads with, streaming.py: one's own images, small ones made from the digits."""

import os
import pickle
import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch
from folders import SIDE, as_text, celeba, make, problems
from PIL import Image

from debias_course import evaluate, models, train
from debias_course.data import ImageFiles, half_size, image_folder, inspect_folder
from debias_course.data.folder import folder_source
from debias_course.data.streaming import AHEAD, decode
from debias_course.evaluation import predict
from debias_course.methods import METHODS, SMOTE, BatchSampling, GroupDRO, InputSMOTE
from debias_course.study import study


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("birds")
    make(folder)
    return folder


@pytest.fixture(scope="module")
def both(birds):
    """The same folder kept in memory, and streamed."""
    return image_folder(birds, size=SIDE), image_folder(birds, size=SIDE, memory=0)


def test_the_waterbirds_layout(birds):
    splits = image_folder(birds, size=SIDE)
    assert [len(part) for part in splits] == [36, 12, 12] and [part.split for part in splits][1] == "validation"
    assert splits.train.inputs.shape == (36, 3, SIDE, SIDE) and splits.train.inputs.dtype == torch.uint8
    assert splits.train.group_names == ("y=0, place=0", "y=0, place=1", "y=1, place=0", "y=1, place=1")
    assert splits.train.counts.tolist() == [9] * 4 and splits.test.labels.tolist() == [0, 1] * 6
    third = decode(str(birds / "images/20.jpg"), SIDE)  # rows 0 to 11 train, 12 to 15 validate, 16 to 19 test
    assert torch.equal(splits.train.inputs[12], torch.from_numpy(third.copy()))


def test_the_balancing_layout_with_texts(tmp_path):
    rows = make(tmp_path).rename(columns=dict(img_filename="filename", place="a"))
    rows["y"] = rows["y"].map({0: "landbird", 1: "waterbird"})
    rows["split"] = rows["split"].map({0: "train", 1: "val", 2: "test"})
    rows[["filename", "split", "y", "a"]].to_csv(tmp_path / "metadata.csv", index=False)
    train_part = image_folder(tmp_path, size=SIDE).train
    assert train_part.group_names[:2] == ("landbird, a=0", "landbird, a=1") and train_part.counts.tolist() == [9] * 4


def test_the_celeba_layout(tmp_path):
    partition = celeba(tmp_path)
    data = image_folder(tmp_path, size=SIDE)
    assert data.train.label_names == ("Blond_Hair=-1", "Blond_Hair=1") and data.train.attribute_names[1] == "Male=1"
    assert [len(part) for part in data] == [24, 8, 8]
    other = image_folder(tmp_path, size=SIDE, label="Male", attribute="Blond_Hair").train
    assert other.label_names == ("Male=-1", "Male=1") and torch.equal(other.labels, data.train.attributes)
    partition[1:].to_csv(tmp_path / "list_eval_partition.csv", index=False)
    assert [str(p) for p in problems(tmp_path).problems] == [
        "row 2: split '' is none of 0 (train), 1 (validation), 2 (test)"
    ]


def test_the_tables_of_celebas_authors(tmp_path):
    celeba(tmp_path)
    before = image_folder(tmp_path, size=SIDE)
    as_text(tmp_path)
    after = image_folder(tmp_path, size=SIDE)
    for old, new in zip(before, after):
        assert old.group_names == new.group_names
        assert torch.equal(old.groups, new.groups) and torch.equal(old.inputs, new.inputs)
    table = tmp_path / "list_attr_celeba.txt"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:4], lines[4].replace("-1", "  ", 1), *lines[5:]]))
    assert "list_attr_celeba.txt cannot be read: line 5 is shorter than the names" in str(problems(tmp_path))
    table.write_text("\n".join([*lines[:4], lines[4] + " 1", *lines[5:]]))
    assert "list_attr_celeba.txt cannot be read: " in str(problems(tmp_path))
    table.write_text("\n".join(lines))
    (tmp_path / "list_eval_partition.txt").write_text("000001.jpg 7\n")
    said = str(problems(tmp_path))
    assert "row 3: split '7' is none of" in said and "row 4: split '' is none of" in said


def test_other_names_of_columns(tmp_path):
    rows = make(tmp_path).rename(columns=dict(img_filename="path", y="diagnosis", place="scanner", split="fold"))
    rows.to_csv(tmp_path / "metadata.csv", index=False)
    names = dict(file="path", label="diagnosis", attribute="scanner", split="fold")
    assert image_folder(tmp_path, size=SIDE, columns=names).train.label_names == ("diagnosis=0", "diagnosis=1")
    with pytest.raises(ValueError, match="columns names a 'lable'; name the columns of file, label, attribute, split"):
        image_folder(tmp_path, columns=dict(lable="diagnosis"))
    message = str(problems(tmp_path, columns=dict(label="diagnosi"), attribute="skanner"))
    assert "no column 'diagnosi' for the label; did you mean diagnosis?" in message
    assert "no column 'skanner' for the attribute; did you mean scanner?" in message
    assert "no column 'img_filename' for the file" in message and "no column 'split'" in message


@pytest.mark.parametrize("values, names", [((2, 10), ("y=2", "y=10")), (("10 mm", "2 mm"), ("10 mm", "2 mm"))])
def test_numbers_are_sorted_as_numbers_and_texts_as_texts(tmp_path, values, names):
    make(tmp_path, y=[values[i % 2] for i in range(60)])
    assert image_folder(tmp_path, size=SIDE).train.label_names == names
    make(tmp_path, y=[("0.0", "1.0")[i % 2] if i % 3 else i % 2 for i in range(60)])
    assert image_folder(tmp_path, size=SIDE).train.label_names == ("y=0", "y=1")


def test_unicode_spaces_windows_line_ends_and_a_byte_order_mark(tmp_path):
    make(tmp_path, name="Vögel 鳥/ein Bild {}.jpg")
    text = (tmp_path / "metadata.csv").read_text(encoding="utf-8").replace("/", "\\").replace(",", ";")
    (tmp_path / "metadata.csv").write_bytes(("\ufeff" + text).replace("\n", "\r\n").encode())
    assert image_folder(tmp_path, size=SIDE).train.counts.tolist() == [9] * 4
    (tmp_path / "metadata.csv").write_bytes(text.encode("latin-1", "replace"))
    assert "is not UTF-8" in str(problems(tmp_path))


def test_everything_that_is_wrong_is_said_at_once_with_its_row(tmp_path):
    rows = make(tmp_path).astype(str)
    rows.loc[0, "img_filename"] = "../elsewhere.jpg"
    rows.loc[1, "img_filename"] = "/etc/hostname"
    rows.loc[2, "img_filename"] = "images/../images/3.jpg"
    rows.loc[4, "split"] = "7"
    rows.loc[5, "y"] = " "
    rows.loc[6, "place"] = ""
    rows.loc[7, "img_filename"] = ""
    rows.to_csv(tmp_path / "metadata.csv", index=False)
    whole = (tmp_path / "images/8.jpg").read_bytes()
    (tmp_path / "images/8.jpg").write_bytes(whole[:-60])
    (tmp_path / "images/9.jpg").write_text("no image")
    (tmp_path / "images/10.jpg").unlink()
    Image.fromarray(np.zeros((20, 20), np.uint16)).save(tmp_path / "images/11.jpg", format="png")
    error = problems(tmp_path)
    assert [p.row for p in error.problems] == [2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    for sentence in (
        "row 2: '../elsewhere.jpg' leaves the folder",
        "row 3: '/etc/hostname' leaves the folder",
        "row 5: 'images/3.jpg' stands there twice",
        "row 6: split '7' is none of 0 (train), 1 (validation), 2 (test)",
        "row 7: the label 'y' is empty",
        "row 8: the attribute 'place' is empty",
        "row 9: the file name is empty",
        "row 10: 'images/8.jpg': image file is truncated",
        "row 11: 'images/9.jpg': it is no image that Pillow knows",
        "row 12: 'images/10.jpg': there is no such file",
        "row 13: 'images/11.jpg': its pixels are I;16, from 0 to 0; say which values are black and white: "
        "window=(low, high), or --window LOW,HIGH",
    ):
        assert sentence in str(error), sentence
    assert "mend the table" in str(error) and len(pickle.loads(pickle.dumps(error)).problems) == 11
    report = inspect_folder(tmp_path, size=SIDE)
    assert report.table.problems == error.problems and report.counts.sum() == 49
    assert "leave out" not in str(error) and problems(tmp_path, broken="leave out").problems == error.problems


def test_broken_files_are_left_out_only_on_demand_and_never_silently(tmp_path):
    make(tmp_path)
    for i in (0, 17, 40):
        (tmp_path / f"images/{i}.jpg").write_bytes(b"")
    assert 'broken="leave out"' in str(problems(tmp_path))
    for memory in (2**30, 0, 0):  # the second time streams from what was found the first time
        with pytest.warns(UserWarning, match=r"3 of 60 images are left out:\n.*row 2: 'images/0.jpg'"):
            data = image_folder(tmp_path, size=SIDE, memory=memory, broken="leave out")
        assert [len(part) for part in data] == [34, 12, 11]
        assert all(part.batch(torch.arange(len(part))).inputs.flatten(1).any(1).all() for part in data)
    with pytest.raises(ValueError, match="broken is 'skip'; use one of 'refuse', 'leave out'"):
        image_folder(tmp_path, broken="skip")


def test_a_file_that_was_mended_is_tried_again(tmp_path):
    make(tmp_path)
    good = (tmp_path / "images/0.jpg").read_bytes()
    (tmp_path / "images/0.jpg").write_bytes(good[:200])
    assert len(problems(tmp_path, memory=0).problems) == 1
    (tmp_path / "images/0.jpg").write_bytes(good)
    assert len(image_folder(tmp_path, size=SIDE, memory=0).train) == 36


@pytest.mark.slow
def test_a_hundred_thousand_rows_without_files(tmp_path):
    n = 100_000
    numbers = np.arange(n)
    rows = pd.DataFrame(
        dict(filename=[f"{i}.jpg" for i in numbers], split=numbers % 3, y=numbers % 2, a=numbers // 2 % 2)
    )
    rows.to_csv(tmp_path / "metadata.csv", index=False)
    error = problems(tmp_path)
    assert len([p for p in error.problems if p.row]) == n and len(error.problems) == n + 3
    shown = str(error).splitlines()
    assert shown[1] == "  all 33,334 images of train are unusable; the first, '0.jpg': there is no such file"
    assert len([line for line in shown if "no such file" in line]) == 20
    assert any("and 99,983 more" in line for line in shown)


def test_a_missing_split_a_constant_label_and_a_column_of_names(tmp_path):
    make(tmp_path, split=[(0, 2)[i % 4 == 0] for i in range(60)])
    assert "no sample is in split 1 (validation); move some there" in str(problems(tmp_path))
    make(tmp_path, y=1)
    assert "column 'y' has one value only (y=1), which is no label" in str(problems(tmp_path))
    rows = make(tmp_path)
    many = pd.concat([rows.assign(img_filename=rows["img_filename"] + str(k)) for k in range(20)])
    many.assign(img_id=range(1200)).to_csv(tmp_path / "metadata.csv", index=False)
    assert "column 'img_id' has 1,200 different values" in str(problems(tmp_path, attribute="img_id"))


def test_a_folder_without_a_table_or_none_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no table of its images: put in metadata.csv, or list_attr"):
        image_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        image_folder(tmp_path / "nowhere")
    (tmp_path / "metadata.csv").write_text("img_filename,y,place,split\na.jpg,0,1\nb.jpg,0,1,2,3\n")
    assert "metadata.csv cannot be read" in str(problems(tmp_path))
    (tmp_path / "metadata.csv").write_text("")
    assert "metadata.csv cannot be read" in str(problems(tmp_path))
    with pytest.raises(ValueError, match="size is 0; use a whole number from 1"):
        image_folder(tmp_path, size=0)


def test_a_group_that_is_only_tested_is_allowed_and_said(tmp_path):
    rows = make(tmp_path)
    rows.loc[(rows["y"] == 1) & (rows["place"] == 0), "split"] = 2
    rows.to_csv(tmp_path / "metadata.csv", index=False)
    with pytest.warns(UserWarning, match="1 of 4 groups have no training sample, but are tested: y=1, place=0"):
        data = image_folder(tmp_path, size=SIDE)
    assert data.train.counts.tolist() == [9, 9, 0, 9] and data.test.counts.tolist() == [3, 3, 15, 3]
    report = str(inspect_folder(tmp_path, size=SIDE))
    assert "have no training sample, but are tested: y=1, place=0" in report and "(by=label)" in report


def test_the_report_by_hand(tmp_path):
    """Training table [[8, 2], [1, 4]]: χ² = 15 (8·4 - 2·1)² / (10·5·9·6), V = √(χ²/15)."""
    cells = [(0, 0)] * 8 + [(0, 1)] * 2 + [(1, 0)] + [(1, 1)] * 4 + [(0, 0), (1, 1)]
    columns = dict(y=[y for y, _ in cells], place=[a for _, a in cells], split=[0] * 15 + [1, 2])
    make(tmp_path, n=17, **columns)
    report = inspect_folder(tmp_path, size=32, memory=50_000)
    assert report.counts.tolist() == [[[8, 2], [1, 4]], [[1, 0], [0, 0]], [[0, 0], [0, 1]]]
    assert report.shares == {"y=0": ("place=0", 0.8), "y=1": ("place=1", 0.8)}
    assert report.cramers_v == pytest.approx(30 / np.sqrt(10 * 5 * 9 * 6))
    assert report.takes(32) == 17 * 3 * 32 * 32 and report.streams
    text = str(report)
    assert "y=0 goes with place=0 in 80.0%" in text and "are streamed from disk" in text and "none is broken" in text
    assert (
        "groups are not tested" in text
        and f"--data {tmp_path}" in text
        and list(report.groups["train"]) == [8, 2, 1, 4]
    )


def test_the_report_asks_about_odd_values(tmp_path):
    make(tmp_path, place=["North", "north "] * 30, w=[0, 3] * 30)
    said = str(inspect_folder(tmp_path, size=SIDE))
    assert "'North' and 'north' differ in capitals or blanks only, and are different values" in said
    assert "does it number people" not in said and "weights" not in said
    said = str(inspect_folder(tmp_path, size=SIDE, columns=dict(weight="w")))
    assert "weights of training samples go from 0 to 3, with a mean of 1.5; 18 are 0: nothing is learned" in said
    make(tmp_path, n=80, place=[f"P{i}" for i in range(80)], w=range(1, 81))
    report = inspect_folder(tmp_path, size=SIDE)
    assert "the attribute has 80 values for 80 images: does it number people? Each group has few images" in str(report)
    assert len(str(report).splitlines()) < 100 < 160 < len(report.text(None).splitlines())
    assert "a mean of 36.5" in str(inspect_folder(tmp_path, size=SIDE, columns=dict(weight="w")))


def test_an_image_is_turned_scaled_and_cut_to_the_middle(tmp_path):
    stripes = np.zeros((40, 120, 3), np.uint8)
    stripes[:, 40:80] = (200, 100, 50)
    Image.fromarray(stripes).save(tmp_path / "a.png")
    middle = decode(str(tmp_path / "a.png"), 8)
    assert middle.shape == (3, 8, 8) and (middle[:, :, 1:-1] == np.array([200, 100, 50]).reshape(3, 1, 1)).all()
    assert (middle[0, :, 0] > 100).all()  # the border column has seen a little of its neighbour, as in a scaled image
    half = np.zeros((16, 16), np.uint8)
    half[:8] = 255
    turned = Image.Exif()
    turned[0x0112] = 3  # upside down
    Image.fromarray(half).save(tmp_path / "b.png", exif=turned)
    assert decode(str(tmp_path / "b.png"), 16)[0, :, 0].tolist() == [0] * 8 + [255] * 8
    large = np.add.outer(np.linspace(0, 120, 640), np.linspace(0, 120, 480)).astype(np.uint8)
    Image.fromarray(large).save(tmp_path / "c.jpg", quality=95)
    Image.fromarray(large).save(tmp_path / "c.png")
    drafted, exact = (decode(str(tmp_path / name), 16).astype(int) for name in ("c.jpg", "c.png"))
    assert abs(drafted - exact).max() <= 4


def test_streamed_batches_are_those_from_memory(both):
    kept, streamed = both
    ours, theirs = streamed.train.inputs, kept.train.inputs
    assert type(ours) is ImageFiles and type(theirs) is torch.Tensor
    assert repr(ours).startswith("ImageFiles(36 × 3×16×16 in ")
    for name in ("shape", "dtype", "ndim", "nbytes"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert streamed.train.device == torch.device("cpu")
    assert repr(streamed.train).startswith("GroupedData(36 × 3×16×16 uint8 on disk: ")
    generator = torch.Generator().manual_seed(0)
    parts = torch.randint(36, (90,), generator=generator).split(8)
    for ours, theirs in zip(streamed.train.batches(parts), kept.train.batches(parts), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs))
    for ours, theirs in zip(streamed.test.batch(parts[0] % 12), kept.test.batch(parts[0] % 12)):
        assert torch.equal(ours, theirs)
    assert list(streamed.train.batches([])) == []
    assert streamed.train.counts.tolist() == kept.train.counts.tolist()
    assert all(torch.equal(a, b) for a, b in zip(streamed.train.members("group"), kept.train.members("group")))


def test_subset_and_move_keep_streaming(both):
    kept, streamed = both
    for chosen in (torch.tensor([5, 2, 2]), kept.train.labels == 1):
        ours, theirs = streamed.train.subset(chosen), kept.train.subset(chosen)
        rows = torch.arange(len(theirs))
        assert type(ours.inputs) is ImageFiles and ours.split == "train" and len(ours) == len(theirs)
        assert all(torch.equal(a, b) for a, b in zip(ours.batch(rows), theirs.batch(rows)))
    assert streamed.train.to("cpu") is streamed.train


@pytest.mark.slow
def test_training_cannot_tell_the_difference(both):
    kept, streamed = both
    before = torch.random.get_rng_state()
    runs = []
    for data in both:
        how = dict(epochs=2, batch_size=8, seed=1, validation=data.validation, select="validation-worst-group")
        runs.append(train(models.cnn(data.train), data.train, GroupDRO(), device="cpu", **how))
    weights = [run.model.state_dict().values() for run in runs]
    assert all(torch.equal(a, b) for a, b in zip(*weights)) and runs[0].records == runs[1].records
    reports = [evaluate(run.model, data.test, train=data.train) for run, data in zip(runs, both)]
    assert reports[0] == reports[1] and torch.equal(before, torch.random.get_rng_state())


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_streams(both, name):
    _, streamed = both
    method = METHODS[name](**({"warm_up": 0} if name == "smote" else {}))  # by default its stage takes ten epochs
    run = train(models.resnet18(streamed.train, width=4, stem="small"), streamed.train, method, epochs=1, device="cpu")
    assert predict(run.model, streamed.test).shape == (12, 2)


def test_embeddings_of_streamed_images_are_ordinary_data(both):
    data = both[1].train
    run = train(models.cnn(data), data, SMOTE(warm_up=1, by="group", counts=(12,) * 4), epochs=3, device="cpu")
    assert type(run.state.enlarged.inputs) is torch.Tensor and len(run.state.enlarged) == 48


def test_what_takes_all_pixels_at_once_says_that_they_stay_on_disk(both):
    words = r"images that stay on disk have no 'float'; decode some with data.batch\(indices\).inputs, or all by"
    with pytest.raises(AttributeError, match=words):
        half_size(both[1])
    with pytest.raises(TypeError, match=r"the rows of images that stay on disk is 0; give a tensor, and decode them"):
        both[1].train.inputs[0]


def test_new_pixels_from_more_images_than_memory_takes_are_refused(both, monkeypatch):
    data = both[1].train
    assert len(InputSMOTE(counts=(20, 20)).enlarge(data)) == 40  # small enough
    large = data.subset(torch.arange(36).repeat(3000))
    with pytest.raises(ValueError, match=r"108,000 images at once take 0.3 GB, .* such as SMOTE"):
        InputSMOTE().enlarge(large)


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("debias-course-images")]


def test_no_thread_stays_whether_the_reader_ends_early_or_not(both, monkeypatch):
    data = both[1].train
    parts = torch.arange(36).repeat(10).split(4)
    batches = data.batches(parts)
    next(batches)
    assert readers()
    batches.close()
    assert not readers()

    def interrupted(images):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(models.cnn(data), data, epochs=1, device="cpu", augment=interrupted)
    assert not readers()


def test_reading_ahead_is_bounded(both, monkeypatch):
    data = both[1].train
    monkeypatch.setattr("debias_course.data.streaming.AHEAD", 3 * 4 * 3 * SIDE * SIDE)
    seen = []
    monkeypatch.setattr(
        "debias_course.data.streaming.decode", lambda path, size, *how: seen.append(path) or np.zeros((3, size, size))
    )
    batches = data.batches(torch.arange(36).split(4))
    next(batches)
    time.sleep(0.2)
    assert len(seen) == 4 * 4 and AHEAD >= 2**20  # three parts may wait, besides the one that was handed over
    batches.close()


def test_a_file_that_vanishes_while_it_streams_is_named(tmp_path):
    make(tmp_path)
    data = image_folder(tmp_path, size=SIDE, memory=0).train
    (tmp_path / "images/0.jpg").unlink()
    with pytest.raises(
        ValueError, match=r"images.0.jpg could be used, or was not tried, when .*: there is no such file"
    ):
        train(models.linear(data), data, epochs=1, device="cpu")
    assert not readers()


def test_the_fingerprint_follows_files_labels_and_settings(tmp_path):
    make(tmp_path)
    load = lambda **how: image_folder(tmp_path, **(dict(size=SIDE, memory=0) | how)).train  # noqa: E731
    data = load()
    assert data.fingerprint() == load().fingerprint() == pickle.loads(pickle.dumps(data)).fingerprint()
    assert data.subset(torch.arange(5)).inputs.files.tolist() == data.inputs.files[:5].tolist()
    others = [load(size=8), load(label="place", attribute="y"), data.subset(torch.arange(35))]
    assert len({each.fingerprint() for each in [data, *others]}) == 4
    before = data.fingerprint()
    os.utime(tmp_path / "images/1.jpg", ns=(0, 0))
    assert data.fingerprint() != before


def test_a_folder_that_was_edited_is_read_again(tmp_path, monkeypatch):
    """Also under the same name, and from another place."""
    make(tmp_path / "here" / "birds")
    make(tmp_path / "there" / "birds", n=80)
    monkeypatch.chdir(tmp_path / "here")
    first = folder_source("birds", size=SIDE)
    before = first(seed=0).train.labels
    make(tmp_path / "here" / "birds", y=[1 - i % 2 for i in range(60)])
    assert torch.equal(folder_source("birds", size=SIDE)(seed=0).train.labels, 1 - before)
    monkeypatch.chdir(tmp_path / "there")
    assert len(folder_source("birds", size=SIDE)(seed=0).train) == 48
    assert len(first(seed=0).train) == 36  # and not what lies there now


@pytest.mark.slow
@pytest.mark.parametrize("memory", [2**30, 0])
def test_a_study_in_worker_processes_is_cached(birds, memory):
    source = folder_source(birds, size=SIDE, memory=memory)
    how = dict(seeds=2, model=models.cnn, device="cpu", epochs=1, batch_size=8, progress=False)
    methods = dict(even=BatchSampling())
    first = study(methods, source, n_jobs=2, **how)
    again = study(methods, image_folder(birds, size=SIDE, memory=memory), n_jobs=1, **how)
    assert first.records == again.records, "the second time they come from the cache, seconds and all"
