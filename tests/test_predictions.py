"""A table of anybody's predictions, beside a folder of images."""

import pickle

import numpy as np
import pandas as pd
import pytest

from debias_course.audit.predictions import PredictionsError, audit_predictions
from debias_course.data import FolderError

LABELS, PLACES = ("landbird", "waterbird"), ("land", "water")


@pytest.fixture
def birds(tmp_path):
    """A folder with a table, whose images nobody needs: 60 rows, 20 of each split."""
    rows = pd.DataFrame(dict(img_filename=[f"birds/{i}.jpg" for i in range(60)], split=[i % 3 for i in range(60)]))
    rows["y"] = [LABELS[i // 3 % 2] for i in range(60)]
    rows["place"] = [PLACES[i // 6 % 2] for i in range(60)]
    rows.to_csv(tmp_path / "metadata.csv", index=False)
    return tmp_path


def predicted(folder, wrong=(2, 5), **columns):
    """A good table for the test images, in another order, with some of them wrong."""
    rows = pd.read_csv(folder / "metadata.csv")
    rows = rows[rows["split"] == 2][::-1]
    at = [int(name[6:-4]) for name in rows["img_filename"]]
    right = [LABELS.index(name) for name in rows["y"]]
    table = dict(image=rows["img_filename"], prediction=[LABELS[y ^ (i in wrong)] for i, y in zip(at, right)])
    return pd.DataFrame(table | columns)


def audited(folder, table, **how):
    table.to_csv(folder / "predictions.csv", index=False)
    return audit_predictions(folder, folder / "predictions.csv", **how)


def refused(folder, table, **how):
    with pytest.raises(PredictionsError) as caught:
        audited(folder, table, **how)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return str(caught.value)


def test_predictions_are_counted_by_attribute_label_and_prediction(birds):
    found = audited(birds, predicted(birds))
    assert found.counts.sum() == 20 and found.report.overall.value == 0.9 and found.confidence is None
    assert (found.label_names, found.attribute_names) == (LABELS, PLACES)
    assert found.counts[0, 0, 1] == found.counts[0, 1, 0] == 1 and found.counts[1, 0, 1] == found.counts[1, 1, 0] == 0


@pytest.mark.parametrize("name", ["img_filename", "file", "filename", "path"])
@pytest.mark.parametrize("other", ["y_pred", "predicted"])
def test_columns_may_have_other_names(birds, name, other):
    table = predicted(birds).rename(columns=dict(image=name, prediction=other)).assign(y="the truth", note="hello")
    assert audited(birds, table).report.overall.value == 0.9


WRITTEN = "{folder}/birds/{i}.jpg", "{i}.jpg", "birds\\{i}.jpg", "./birds//{i}.jpg", "/mnt/x/birds/{i}.jpg"


@pytest.mark.parametrize("written", WRITTEN)
def test_an_image_may_be_named_by_its_whole_path_or_its_file(birds, written):
    table = predicted(birds)
    table["image"] = [written.format(folder=birds, i=name[6:-4]) for name in table["image"]]
    assert audited(birds, table).report.overall.value == 0.9


def test_the_splits_that_are_not_asked_for_may_be_there(birds):
    rows = pd.read_csv(birds / "metadata.csv").rename(columns=dict(img_filename="image", y="prediction"))
    assert audited(birds, rows).counts.sum() == 20
    assert audited(birds, rows, split="all").counts.sum() == 60
    assert audited(birds, rows, split="validation").counts.sum() == 20
    alone = pd.read_csv(birds / "metadata.csv").query("split == 2")
    alone.to_csv(birds / "metadata.csv", index=False)
    assert audited(birds, rows[2::3]).counts.sum() == 20
    with pytest.raises(FolderError, match=r"no sample is in split 0 \(train\); move some there, for it is asked for"):
        audited(birds, rows, split="train")


def test_probabilities_of_the_labels_or_of_the_prediction(birds):
    table = predicted(birds)
    sure = np.linspace(0.55, 0.9, 20)
    first = [p if name == "landbird" else 1 - p for p, name in zip(sure, table["prediction"])]
    by_label = table.assign(landbird=first, waterbird=[1 - p for p in first])
    whole = [
        audited(birds, each) for each in (table.assign(confidence=sure), by_label, by_label.drop(columns="prediction"))
    ]
    for found in whole:
        pd.testing.assert_frame_equal(found.calibration, whole[0].calibration)
        assert found.report == whole[0].report
    assert whole[0].calibration["n"].tolist() == [10, 10]


def test_a_prediction_that_is_not_the_most_probable_label_stands(birds):
    table = predicted(birds).assign(landbird=0.9, waterbird=0.1)
    with pytest.warns(
        UserWarning, match="in 10 of 20 rows the prediction is not the most probable label; what the column"
    ):
        found = audited(birds, table)
    assert found.report.overall.value == 0.9
    assert found.calibration["confidence"].between(0.1, 0.9, inclusive="neither").all()


def test_numbers_as_labels(birds):
    rows = pd.read_csv(birds / "metadata.csv")
    rows.assign(y=[LABELS.index(y) for y in rows["y"]]).to_csv(birds / "metadata.csv", index=False)
    rows["prediction"] = [LABELS.index(y) for y in rows["y"]]
    table = rows.rename(columns=dict(img_filename="image"))
    for written in (table, table.assign(prediction=table["prediction"] + 0.0), table.assign(prediction="y=0")):
        right = audited(birds, written).report.overall.value
        assert right == (0.5 if "y=0" in written["prediction"].tolist() else 1)
    sure = table.drop(columns="prediction").assign(**{"0": 0.25, "1": 0.75})
    assert audited(birds, sure).counts[:, :, 0].sum() == 0


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda t: t[1:], "1 of 20 images of test have no prediction, such as 'birds/59.jpg'; predict them, too, or"),
        (lambda t: pd.concat([t, t[:1]]), "row 22: 'birds/59.jpg' stands there twice"),
        (lambda t: t.replace("birds/59.jpg", "birds/0x.jpg"), "row 2: 'birds/0x.jpg' is no image of the folder"),
        (
            lambda t: t.replace("landbird", "bird"),
            "the prediction 'bird' is none of the labels landbird, waterbird;",
        ),
        (
            lambda t: t.replace("landbird", "0"),
            "'0' is none of the labels landbird, waterbird; write the label's name, not its",
        ),
        (lambda t: t.replace("landbird", ""), "the prediction '' is none of the labels"),
        (lambda t: t.drop(columns="image"), "no column says which image a row is for; call one image; there are pred"),
        (lambda t: t.drop(columns="prediction"), "no column says what is predicted; call one prediction, or give one"),
        (
            lambda t: t.assign(probability=7),
            "in 20 rows, such as row 2, probability is '7', which is no probability; give numbers from 0",
        ),
        (lambda t: t.assign(probability="high"), "such as row 2, probability is 'high', which is no probability"),
        (lambda t: t.assign(landbird=0.9, waterbird=0.9), "row 21: the probabilities of the labels add up to 1.8, not"),
        (
            lambda t: t.assign(landbird=0.9, waterbird="nan"),
            "waterbird is 'nan', which is no probability; give numbers from 0 to 1: softmax of logits",
        ),
    ],
)
def test_a_bad_table_is_refused_row_by_row(birds, change, said):
    message = refused(birds, change(predicted(birds)))
    assert said in message and message.endswith("mend it, and try again") and "inspect" not in message


def test_other_bad_input(birds):
    with pytest.raises(ValueError, match="split is 'tests'; use one of 'train', 'validation', 'test', 'all'"):
        audited(birds, predicted(birds), split="tests")
    with pytest.raises(FileNotFoundError, match="there is no file .*none.csv; give a table with the columns image and"):
        audit_predictions(birds, birds / "none.csv")
    (birds / "binary.csv").write_bytes(b"\xff\xfe\x00image")
    with pytest.raises(PredictionsError, match="cannot be read: it is not UTF-8"):
        audit_predictions(birds, birds / "binary.csv")
    with pytest.raises(FolderError, match="no column 'sex' for the attribute"):
        audited(birds, predicted(birds), attribute="sex")


def test_two_images_of_one_name_need_their_paths(birds):
    rows = pd.read_csv(birds / "metadata.csv")
    rows.loc[5, "img_filename"] = "other/2.jpg"
    rows.to_csv(birds / "metadata.csv", index=False)
    table = predicted(birds).assign(image=[f"{i}.jpg" for i in range(59, 1, -3)])
    assert "row 21: '2.jpg' could be birds/2.jpg or other/2.jpg; write paths as the folder's table" in refused(
        birds, table
    )


def test_images_of_another_split_with_the_same_names_are_not_taken_for_those_of_this_one(tmp_path):
    """A tree in which every folder has a 0.jpg: predictions for train are none for test."""
    files = [
        f"{part}/{label}/{i}.jpg" for part in ("train", "val", "test") for label in ("cat", "dog") for i in range(3)
    ]
    rows = pd.DataFrame(
        dict(img_filename=files, y=[f.split("/")[1] for f in files], split=[f.split("/")[0] for f in files])
    )
    rows.to_csv(tmp_path / "metadata.csv", index=False)
    for before in ("", "/mnt/photos/", "elsewhere/"):
        table = pd.DataFrame(dict(image=before + rows["img_filename"], prediction=rows["y"]))
        assert audited(tmp_path, table, attribute="").counts.sum() == 6
        wrong = "6 of 6 images of test have no prediction, such as 'test/cat/0.jpg'"
        assert wrong in refused(tmp_path, table[:6], attribute="")
    table = pd.DataFrame(dict(image=[f"{i}.jpg" for i in range(3)], prediction="cat"))
    assert "row 2: '0.jpg' could be train/cat/0.jpg or train/dog/0.jpg; write" in refused(tmp_path, table, attribute="")
    table = pd.DataFrame(dict(image=["/mnt/x/birds/9.jpg"] * 9, prediction="cat"))
    assert "in 9 rows, such as row 2, '/mnt/x/birds/9.jpg' is no image of the folder; write paths as" in refused(
        tmp_path, table, attribute=""
    )


def test_the_probability_of_one_label_is_not_that_of_the_prediction(birds):
    table = predicted(birds)
    sure = [0.9 if name == "waterbird" else 0.2 for name in table["prediction"]]
    said = refused(birds, table.assign(probability=sure))
    assert (
        "in 10 rows, such as row" in said
        and "the prediction has the probability 0.2, and the most probable of 2" in said
    )
    assert "not of one label: give 1 minus it, or a column for each label" in said


def test_tables_of_a_german_excel_and_capital_headers(birds):
    table = (
        predicted(birds).assign(Probability=["0,75"] * 20).rename(columns=dict(image="Image", prediction="Prediction"))
    )
    table.to_csv(birds / "predictions.csv", index=False, sep=";", encoding="utf-8-sig")
    found = audit_predictions(birds, birds / "predictions.csv")
    assert found.report.overall.value == 0.9 and found.calibration["confidence"].tolist() == [0.75, 0.75]


def test_an_empty_table_and_a_column_that_stands_there_twice(birds):
    assert "there is no row; give one for each image of test" in refused(birds, predicted(birds)[:0])
    (birds / "twice.csv").write_text("image,prediction, prediction\nbirds/2.jpg,landbird,waterbird\n")
    with pytest.raises(PredictionsError, match="twice.csv has two columns 'prediction'; rename one of them"):
        audit_predictions(birds, birds / "twice.csv")
    (birds / "twice.csv").write_text("image,prediction,prediction\nbirds/2.jpg,landbird,waterbird\n")
    with pytest.raises(PredictionsError, match="twice.csv has two columns 'prediction'; rename one of them"):
        audit_predictions(birds, birds / "twice.csv")
