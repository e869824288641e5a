"""For whom does a model fail that `debias-course train` has left?"""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from folders import SIDE, make
from PIL import Image

from debias_course import cli, models, train
from debias_course.audit import audit
from debias_course.audit.predictions import audit_predictions
from debias_course.audit.trained import audit_trained
from debias_course.data import FolderError, GroupedData, Splits, colored_digits, image_folder
from debias_course.large import left
from debias_course.methods import METHODS, knobs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of 60 images and a small network that was trained on it for an epoch."""
    home = tmp_path_factory.mktemp("trained")
    make(home / "images")
    command = ["train", "--data", home / "images", "--size", SIDE, "--model", "linear", "--epochs", 1, "--out"]
    assert cli.main([str(each) for each in [*command, home / "run"]]) == 0
    return home


@pytest.fixture
def home(trained, tmp_path):
    """A copy of it, which a test may damage."""
    return shutil.copytree(trained, tmp_path / "home")


def run(home, *more):
    return cli.main([str(each) for each in ["evaluate", "--data", home / "images", "--model", home / "run", *more]])


def refused(home, capsys, *more):
    assert run(home, *more) == 2
    return capsys.readouterr().err


@pytest.mark.slow
def test_both_doors_give_the_same_numbers(home, capsys):
    assert run(home, "--out", home / "audit") == 0
    printed = capsys.readouterr().out
    assert "run, test: 12 predictions, 2 labels × 2 attributes" in printed and "predictions.csv" in printed
    predictions = home / "audit" / "predictions.csv"
    told = ["evaluate", "--data", home / "images", "--predictions", predictions, "--out", home / "again"]
    assert cli.main([str(each) for each in told]) == 0
    assert printed.splitlines()[1:-1] == capsys.readouterr().out.splitlines()[1:-1]  # all but the paths
    for name in ("groups.csv", "gaps.csv", "calibration.csv"):
        assert (home / "again" / name).read_bytes() == (home / "audit" / name).read_bytes()
    assert run(home, "--out", home / "audit") == 0  # the same audit again


def test_it_is_the_model_that_was_trained(trained):
    data = image_folder(trained / "images", size=SIDE)
    model = left.loaded(trained / "run").model
    found, table = audit_trained(trained / "images", trained / "run")
    np.testing.assert_array_equal(found.counts, audit(model, data.test).counts)
    start = train(models.linear(data.train), data.train, epochs=1)
    np.testing.assert_array_equal(found.counts, audit(start.model, data.test).counts)
    rows = pd.read_csv(trained / "images" / "metadata.csv").query("split == 2")
    assert table["image"].tolist() == rows["img_filename"].tolist()
    everything, table = audit_trained(trained / "images", trained / "run", split="all")
    table.to_csv(trained / "all.csv", index=False)
    again = audit_predictions(trained / "images", trained / "all.csv", split="all")
    assert everything.counts.sum() == 60 and (everything.counts == again.counts).all()


def test_the_columns_are_those_of_the_training_unless_others_are_named(home, capsys):
    rows = pd.read_csv(home / "images" / "metadata.csv")
    rows = rows.rename(columns=dict(y="ill", place="site")).assign(sex=["f", "m", "m"] * 20)
    rows.to_csv(home / "images" / "metadata.csv", index=False)
    words = ["train", "--data", home / "images", "--size", SIDE, "--model", "linear", "--epochs", 1, "--label", "ill"]
    assert cli.main([str(each) for each in [*words, "--attribute", "site", "--out", home / "other"]]) == 0
    found, _ = audit_trained(home / "images", home / "other")
    assert found.attribute_names == ("site=0", "site=1")
    capsys.readouterr()
    words = ["evaluate", "--data", home / "images", "--model", home / "other", "--attribute", "sex"]
    assert cli.main([str(each) for each in words]) == 0
    assert "2 labels × 2 attributes" in capsys.readouterr().out
    columns = dict(label="ill", attribute="sex")
    assert audit_trained(home / "images", home / "other", columns=columns)[0].attribute_names == ("f", "m")
    with pytest.raises(FolderError, match="no column 'y' for the label"):
        audit_trained(home / "images", home / "other", columns=dict(attribute="sex"))


def test_a_folder_may_hold_the_split_that_is_asked_for_alone(home):
    rows = pd.read_csv(home / "images" / "metadata.csv").query("split == 2")
    for name in pd.read_csv(home / "images" / "metadata.csv").query("split != 2")["img_filename"]:
        (home / "images" / name).unlink()
    rows.to_csv(home / "images" / "metadata.csv", index=False)
    assert audit_trained(home / "images", home / "run")[0].counts.sum() == 12
    with pytest.raises(FolderError, match=r"no sample is in split 0 \(train\)"):
        audit_trained(home / "images", home / "run", split="train")


@pytest.mark.slow
def test_broken_images_are_refused_or_left_out(home, capsys):
    rows = pd.read_csv(home / "images" / "metadata.csv").query("split == 2")
    (home / "images" / rows["img_filename"].iloc[3]).write_text("no image")
    assert "1 problem" in refused(home, capsys)
    assert run(home, "--leave-out-broken", "--out", home / "audit") == 0
    assert "1 of 12 images are left out" in capsys.readouterr().err
    assert len(pd.read_csv(home / "audit" / "predictions.csv")) == 11
    words = ["evaluate", "--data", home / "images", "--predictions", home / "audit" / "predictions.csv"]
    assert cli.main([*map(str, words), "--leave-out-broken"]) == 2
    assert "--leave-out-broken is for --model" in capsys.readouterr().err


def test_a_model_that_is_not_there_or_damaged(home, capsys):
    run_ = home / "run"
    whole = (run_ / "model.pt").read_bytes()
    for damaged in (whole[:100], b"", whole[: len(whole) // 2], b"not a model"):
        (run_ / "model.pt").write_bytes(damaged)
        said = refused(home, capsys)
        assert "model.pt is damaged, or is not of the network in settings.json, linear for inputs (3, 16, 16)" in said
        assert f"repeat the command that trained it: debias-course train ... --out {run_}" in said
    for other in ([1, 2], models.mlp(colored_digits().test).state_dict(), {"head.weight": 3}):
        torch.save(other, run_ / "model.pt")
        assert "is not of the network in settings.json" in refused(home, capsys)
    (run_ / "model.pt").unlink()
    assert "run has no model.pt, so its training is not finished; to go on, repeat the comm" in refused(home, capsys)
    shutil.rmtree(run_ / "checkpoints")
    assert "run has no model.pt; give the folder that debias-course train has left, its --out" in refused(home, capsys)
    shutil.rmtree(run_)
    assert f"there is no folder {run_}; give the folder that" in refused(home, capsys)


def test_a_model_of_another_size(home, capsys):
    facts = json.loads((home / "run" / "settings.json").read_text())
    facts["network"]["inputs"] = [3, 20, 20]
    (home / "run" / "settings.json").write_text(json.dumps(facts))
    said = refused(home, capsys)
    assert "is not of the network in settings.json, linear for inputs (3, 20, 20) and 2 labels" in said
    facts["network"]["inputs"] = [7]
    facts["network"]["name"] = "mlp"
    (home / "run" / "settings.json").write_text(json.dumps(facts))
    labels = torch.tensor([0, 1])
    seven = GroupedData(torch.zeros(2, 7), labels, labels, ("a", "b"), ("c", "d"))
    torch.save(models.mlp(seven).state_dict(), home / "run" / "model.pt")
    assert "takes inputs (7,), and images of a folder are [1 or 3, size, size]; audit it in Python" in refused(
        home, capsys
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text(json.dumps({"configuration": {"model": "linear"}})),
        lambda path: path.write_text(path.read_text().replace('"erm"', '"unknown"')),
    ],
)
def test_settings_that_do_not_say_how_the_network_is_built(home, capsys, damage):
    damage(home / "run" / "settings.json")
    said = refused(home, capsys)
    assert "settings.json does not say how the network is built (it is missing, damaged, or of an earlier vers" in said
    assert "repeat the command that trained it" in said


def test_images_are_read_as_in_training(home, capsys):
    """Through the same window, as one channel: another would give other inputs."""
    for name in pd.read_csv(home / "images" / "metadata.csv")["img_filename"]:
        grey = np.asarray(Image.open(home / "images" / name).convert("L"), np.uint16) * 16
        Image.fromarray(grey).save(home / "images" / name, "PNG")
    how = ["--data", home / "images", "--size", SIDE, "--window", "0,4080", "--grey", "--model", "linear"]
    assert cli.main([str(each) for each in ["train", *how, "--epochs", 1, "--out", home / "grey"]]) == 0
    data = image_folder(home / "images", size=SIDE, window=(0, 4080), grey=True)
    found, _ = audit_trained(home / "images", home / "grey")
    np.testing.assert_array_equal(found.counts, audit(left.loaded(home / "grey").model, data.test).counts)


def test_weights_of_training_are_not_asked_for_elsewhere(home):
    rows = pd.read_csv(home / "images" / "metadata.csv")
    rows.assign(w=1.5).to_csv(home / "images" / "metadata.csv", index=False)
    how = ["--data", home / "images", "--size", SIDE, "--columns", "weight=w", "--model", "linear", "--epochs", 1]
    assert cli.main([str(each) for each in ["train", *how, "--out", home / "weighed"]]) == 0
    rows.to_csv(home / "images" / "metadata.csv", index=False)
    assert audit_trained(home / "images", home / "weighed")[0].counts.sum() == 12


def test_an_attribute_that_train_lacks_is_said(home, capsys):
    rows = pd.read_csv(home / "images" / "metadata.csv")
    rows["place"] = rows["place"].astype(object).where(rows["split"] > 0, "")
    rows.to_csv(home / "images" / "metadata.csv", index=False)
    assert "the attribute is not known in train; audit one of the other splits" in refused(
        home, capsys, "--split", "all"
    )


def test_other_labels_are_refused(home, capsys):
    rows = pd.read_csv(home / "images" / "metadata.csv")
    rows.assign(y=["cat", "dog"] * 30).to_csv(home / "images" / "metadata.csv", index=False)
    said = refused(home, capsys)
    assert "images has the labels cat, dog, and not y=0, y=1; name the column of these as its label, or" in said


def test_exactly_one_of_predictions_and_model(home, capsys):
    assert "--predictions" in refused(home, capsys, "--predictions", "x.csv")
    assert cli.main(["evaluate", "--data", str(home / "images")]) == 2
    assert "--predictions --model is required" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the model predicts")  # of an attack on a network that is too small
@pytest.mark.parametrize("name", METHODS)
def test_the_network_of_every_method_is_built_again(name, tmp_path):
    """Whether the method trains the network as it is, another one in its place, or after another training."""
    data = Splits(*(part.subset(torch.arange(0, len(part), 10)) for part in colored_digits()))
    short = dict(warm_up=1, first_epochs=1, partner_epochs=1)
    method = METHODS[name](**{field: n for field, n in short.items() if field in knobs(METHODS[name])})
    described = dict(model="staged")
    left.trained(tmp_path, models.staged(data.train), data, method, described, told={}, epochs=2)
    before = torch.get_rng_state()
    found = left.loaded(tmp_path)
    assert torch.equal(before, torch.get_rng_state()) and not found.model.training
    table, report = pd.read_csv(tmp_path / "report.csv"), audit(found.model, data.test).report
    assert report.n == tuple(table["n"])
    np.testing.assert_allclose(report.table()["accuracy"].to_numpy(float), table["accuracy"])
