"""Arguments that make no sense, to the command line and to what measures and draws: one sentence, at the door."""

import dataclasses
import math
import os
import re
import traceback

import numpy as np
import pytest
import torch

import debias_course.arguments  # noqa: F401  # reads the defaults before a test replaces what has them
from debias_course import cli, contexts, figures, models
from debias_course.data import toys
from debias_course.evaluation import GroupReport, evaluate, predict, weighted, wilson

WHOLE = "use a whole number from"
UNREADABLE = "cannot read the method"
FOLDER = "choose another folder"

COMMANDS = {
    "compare --seeds -1:3": "seeds are '-1:3'; use whole numbers, none negative",
    "compare --seeds -1": "seeds are '-1'; use 1 to 100,000",
    "compare --seeds 0": "seeds are '0'; use 1 to 100,000",
    "compare --seeds 3:3": "seeds are '3:3'; use 1 to 100,000",
    "compare --seeds ''": "--seeds is empty; give it a value",
    "compare --seeds 1.5": "seeds are '1.5'; use a count such as 5",
    "compare --epochs 0": f"--epochs is '0'; {WHOLE} 1",
    "compare --epochs -2": f"--epochs is '-2'; {WHOLE} 1",
    "compare --epochs 1.5": f"--epochs is '1.5'; {WHOLE} 1",
    f"compare --epochs {'9' * 400}": f"--epochs is '{'9' * 400}'; {WHOLE} 1",
    "compare --epochs": "--epochs: expected one argument",
    "compare --batch-size 0": f"--batch-size is '0'; {WHOLE} 1",
    "compare --lr nan": "--lr is 'nan'; use a number from 0",
    "compare --lr=-1": "--lr is '-1'; use a number from 0",
    "compare --lr -inf": "--lr is '-inf'; use a number from 0",
    "compare --weight-decay inf": "--weight-decay is 'inf'; use a number from 0",
    "compare --weight-decay -.5": "--weight-decay is '-.5'; use a number from 0",
    "compare --trials 0": f"--trials is '0'; {WHOLE} 1 to 12",
    "compare --trials 99": f"--trials is '99'; {WHOLE} 1 to 12",
    "compare --jobs 0": f"--jobs is '0'; {WHOLE} 1",
    "compare --size 0": f"--size is '0'; {WHOLE} 1 to 4096",
    "compare --size -3": f"--size is '-3'; {WHOLE} 1 to 4096",
    "compare --size 200000": f"--size is '200000'; {WHOLE} 1 to 4096",
    "inspect . --size 0": f"--size is '0'; {WHOLE} 1 to 4096",
    "compare --memory -1": "--memory is '-1'; use a number from 0",
    "compare --memory nan": "--memory is 'nan'; use a number from 0",
    "compare --aligned-share 2": "--aligned-share is '2'; use a number from 0 to 1",
    "compare --aligned-share nan": "--aligned-share is 'nan'; use a number from 0 to 1",
    "compare --aligned-share -0.1": "--aligned-share is '-0.1'; use a number from 0 to 1",
    "compare --device meta": "device 'meta' cannot be used here (it holds no numbers); use 'cpu'",
    "compare --device nonsense": "device 'nonsense' cannot be used here",
    "compare --device ''": "--device is empty; give it a value",
    "compare --model ''": "--model is empty; give it a value",
    "compare --model mpl": "unknown model 'mpl'; did you mean mlp?",
    "compare --data ''": "--data is empty; give it a value",
    "compare --data ' '": "--data is empty; give it a value",
    "compare --data ~nobody-here/x": "and there is no such home; write the whole path",
    "compare --methods ''": "--methods is empty; give it a value",
    "compare --methods ,": f"{UNREADABLE} ''; write a name",
    "compare --methods erm,,erm": f"{UNREADABLE} ''; write a name",
    "compare --methods erm,erm": "erm is there twice; name it once",
    "compare --methods erm(x=1)": "unknown knob of erm 'x'; there are none",
    "compare --methods erm(": f"{UNREADABLE} 'erm('",
    "compare --methods erm)": f"{UNREADABLE} 'erm)'",
    "compare --methods ()": f"{UNREADABLE} '()'",
    "compare --methods loss-reweighting(power)": "power is ''; give a number",
    "compare --methods loss-reweighting(power=nan)": "LossReweighting.power is nan; use a number from 0 to 2",
    "compare --methods loss-reweighting(power=1,power=2)": "sets power twice; set it once",
    "compare --columns x": "columns are 'x'; write file=NAME,label=NAME",
    "compare --columns ''": "--columns is empty; give it a value",
    "compare --label ''": "--label is empty; give it a value",
    "compare --out ''": "--out is empty; give it a value",
    "compare --out ~nobody-here/x": "and there is no such home; write the whole path",
    "compare --out TMP/file": f"file cannot be written (File exists); {FOLDER}",
    "compare --out TMP/file/below": f"below cannot be written (Not a directory); {FOLDER}",
    "compare --out /proc/nothing": f"/proc/nothing cannot be written (No such file or directory); {FOLDER}",
    "compare --out TMP/foreign": f"results.csv was not written by a comparison, or is damaged; {FOLDER}",
    "compare --out TMP/damaged": f"comparison.json was not written by a comparison, or is damaged; {FOLDER}",
    "compare --select last": "--select: invalid choice: 'last'",
    "compare --metric nonsense": "--metric: invalid choice: 'nonsense'",
    "compare --nonsense": "unrecognized arguments: --nonsense",
    "inspect nowhere": "there is no folder",
    "inspect ''": "path is empty; give it a value",
    "inspect TMP/file": "is a file; name its folder",
    "inspect . --columns x": "columns are 'x'; write file=NAME,label=NAME",
    "claims --topic nonsense": "unknown topic 'nonsense'; there are 00_dataset_bias",
    "claims --topic ''": "--topic is empty; give it a value",
    "claims --seeds x": "seeds are 'x'; use a count such as 5",
    "claims --seeds -1:3": "seeds are '-1:3'; use whole numbers, none negative",
    "claims --budget some": "--budget: invalid choice: 'some'",
    "lab --port 0": f"--port is '0'; {WHOLE} 1 to 65535",
    "lab --port 70000": f"--port is '70000'; {WHOLE} 1 to 65535",
    "lab --port -1": f"--port is '-1'; {WHOLE} 1 to 65535",
    "nonsense": "invalid choice: 'nonsense'",
    "": "the following arguments are required",
}


def never(*_, **__):
    raise AssertionError("it began")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_makes_no_sense_gets_one_sentence_before_anything_runs(command, capsys, monkeypatch, tmp_path):
    for name in "comparison.compare", "claims.measure_topic", "training.train":
        monkeypatch.setattr(f"debias_course.{name}", never)
    monkeypatch.setattr(os, "execv", never)
    (tmp_path / "file").write_text("mine")
    for name, file in ("foreign", "results.csv"), ("damaged", "comparison.json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text('{"configuration": {"lr": ')
    words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", command.replace("TMP", str(tmp_path)))]
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("debias-course: ") and said.err.count("\n") == 1
    assert COMMANDS[command] in said.err and (tmp_path / "file").read_text() == "mine"


DATA = toys.shortcut(n=40)
IMAGES = dataclasses.replace(toys.shortcut(n=8).train, inputs=torch.zeros(8, 3, 16, 16))
MODEL = models.linear(DATA.train)
SHARES = [wilson(1, 2), wilson(2, 2)]


def counted(correct=(1, 1, 1, 1), n=(2, 2, 2, 2), train_n=None):
    return GroupReport(correct, n, ("a", "b"), ("x", "y"), train_n)


PYTHON = {
    "train=3": (lambda: evaluate(MODEL, DATA.test, train=3), "train is 3; give GroupedData"),
    "train=Splits": (lambda: evaluate(MODEL, DATA.test, train=DATA), "train is a Splits; give GroupedData"),
    "data=None": (lambda: evaluate(MODEL, None), "data is None; give GroupedData"),
    "data=list": (lambda: predict(MODEL, [1]), "data is \\[1\\]; give GroupedData"),
    "model=None": (lambda: evaluate(None, DATA.test), "model is None; give a network"),
    "model=function": (lambda: predict(len, DATA.test), "model is <built-in function len>; give a network"),
    "batch 0": (lambda: evaluate(MODEL, DATA.test, batch_size=0), f"batch_size is 0; {WHOLE} 1"),
    "batch True": (lambda: evaluate(MODEL, DATA.test, batch_size=True), f"batch_size is True; {WHOLE} 1"),
    "batch 1.5": (lambda: predict(MODEL, DATA.test, batch_size=1.5), f"batch_size is 1.5; {WHOLE} 1"),
    "batch 'a'": (lambda: predict(MODEL, DATA.test, batch_size="a"), f"batch_size is 'a'; {WHOLE} 1"),
    "batch None": (lambda: predict(MODEL, DATA.test, batch_size=None), f"batch_size is None; {WHOLE} 1"),
    "too few groups": (lambda: counted(n=(2, 2)), r"n is \(2, 2\); use a tuple with one number for each of the 4 g"),
    "too many groups": (
        lambda: counted(correct=(1,) * 5),
        r"correct is \(1, 1, 1, 1, 1\); use a tuple with one number",
    ),
    "training groups": (lambda: counted(train_n=(1,)), r"train_n is \(1,\); use a tuple with one number"),
    "no groups": (lambda: counted(n=None), "n is None; use a tuple with one number"),
    "an array": (lambda: counted(n=torch.ones(4)), "n is tensor.*; use a tuple with one number"),
    "negative": (lambda: counted(n=(2, 2, -1, 2)), rf"n\[2\] is -1; {WHOLE} 0"),
    "more than all": (lambda: counted(correct=(1, 3, 1, 1)), rf"correct\[1\] is 3; {WHOLE} 0 to 2"),
    "half a sample": (lambda: counted(correct=(1, 0.5, 1, 1)), rf"correct\[1\] is 0.5; {WHOLE} 0 to 2"),
    "nan samples": (lambda: counted(train_n=(math.nan,) * 4), rf"train_n\[0\] is nan; {WHOLE} 0"),
    "yes": (lambda: counted(correct=(True, 1, 1, 1)), rf"correct\[0\] is True; {WHOLE} 0 to 2"),
    "wilson(3, 2)": (lambda: wilson(3, 2), f"correct is 3; {WHOLE} 0 to 2"),
    "wilson(-1, 5)": (lambda: wilson(-1, 5), f"correct is -1; {WHOLE} 0 to 5"),
    "wilson(1.5, 3)": (lambda: wilson(1.5, 3), f"correct is 1.5; {WHOLE} 0 to 3"),
    "wilson(0, 0)": (lambda: wilson(0, 0), "a share of no samples is undefined; leave empty groups out"),
    "wilson(0, -1)": (lambda: wilson(0, -1), f"n is -1; {WHOLE} 0"),
    "wilson('1', 2)": (lambda: wilson("1", 2), f"correct is '1'; {WHOLE} 0 to 2"),
    "no shares": (lambda: weighted([], []), "0 weights for 0 shares; give one for each share, and at least one"),
    "one weight": (lambda: weighted(SHARES, [1.0]), "1 weights for 2 shares; give one for each share"),
    "zero weights": (lambda: weighted(SHARES, [0, 0]), r"weights are \[0, 0\]; use finite numbers from 0"),
    "negative weight": (lambda: weighted(SHARES, [-1, 2]), r"weights are \[-1, 2\]; use finite numbers from 0"),
    "infinite weight": (lambda: weighted(SHARES, [1, math.inf]), r"weights are \[1, inf\]; use finite numbers"),
    "a word's weight": (lambda: weighted(SHARES, [1, "2"]), r"weights are \[1, '2'\]; use finite numbers"),
    "mlp(None)": (lambda: models.mlp(None), "data is None; give GroupedData"),
    "linear(Splits)": (lambda: models.linear(DATA), "data is a Splits; give GroupedData"),
    "cnn(tensor)": (lambda: models.cnn(torch.zeros(2)), "data is tensor.*; give GroupedData"),
    "staged(3)": (lambda: models.staged(3), "data is 3; give GroupedData"),
    "resnet18(None)": (lambda: models.resnet18(None), "data is None; give GroupedData"),
    "pretrained(None)": (lambda: models.pretrained(None), "data is None; give GroupedData"),
    "hidden=5": (lambda: models.mlp(DATA.train, hidden=5), "hidden is 5; use a tuple of whole numbers"),
    "hidden=None": (lambda: models.mlp(DATA.train, hidden=None), "hidden is None; use a tuple of whole numbers"),
    "hidden=(0,)": (lambda: models.mlp(DATA.train, hidden=(0,)), rf"hidden\[0\] is 0; {WHOLE} 1"),
    "hidden=('a',)": (lambda: models.mlp(DATA.train, hidden=("a",)), rf"hidden\[0\] is 'a'; {WHOLE} 1"),
    "hidden='ab'": (lambda: models.mlp(DATA.train, hidden="ab"), "hidden is 'ab'; use a tuple of whole numbers"),
    "hidden=(8, 1.5)": (lambda: models.mlp(DATA.train, hidden=(8, 1.5)), rf"hidden\[1\] is 1.5; {WHOLE} 1"),
    "channels=()": (lambda: models.cnn(IMAGES, channels=()), r"channels is \(\); use a tuple of whole numbers"),
    "channels=(-4,)": (lambda: models.cnn(IMAGES, channels=(-4,)), rf"channels\[0\] is -4; {WHOLE} 1"),
    "widths=()": (lambda: models.staged(IMAGES, widths=()), r"widths is \(\); use a tuple of whole numbers"),
    "width=0": (lambda: models.resnet18(IMAGES, width=0), f"width is 0; {WHOLE} 1"),
    "width='a'": (lambda: models.resnet18(IMAGES, width="a"), f"width is 'a'; {WHOLE} 1"),
    "stem=None": (lambda: models.resnet18(IMAGES, stem=None), "stem is None; use 'large' or 'small'"),
    "name=None": (lambda: models.pretrained(IMAGES, name=None), "there is no network called None"),
    "seed=None": (lambda: models.mlp(DATA.train, seed=None), f"seed is None; {WHOLE} 0 to"),
    "seed=-1": (lambda: models.linear(DATA.train, seed=-1), f"seed is -1; {WHOLE} 0 to"),
    "seed=2**70": (lambda: models.cnn(IMAGES, seed=2**70), f"seed is {2**70}; {WHOLE} 0 to"),
    "seed=1.5": (lambda: models.staged(IMAGES, seed=1.5), f"seed is 1.5; {WHOLE} 0 to"),
    "seed=True": (lambda: models.resnet18(IMAGES, seed=True), f"seed is True; {WHOLE} 0 to"),
    "seed of nothing": (lambda: contexts.isolated_randomness("a").__enter__(), f"seed is 'a'; {WHOLE} 0 to"),
    "png(None)": (lambda: figures.png(None), "figure is None; what is drawn on axes that were given"),
    "picture(None)": (lambda: figures.picture(None, alt="", takeaway=""), "figure is None; what is drawn on axes"),
    "sample_grid(None)": (lambda: figures.sample_grid(None), "data is None; give GroupedData"),
    "no samples": (lambda: figures.sample_grid(IMAGES, each=0), f"each is 0; {WHOLE} 1"),
    "no group": (lambda: figures.sample_grid(IMAGES, groups=[]), "groups: \\[\\] with nothing to draw"),
    "group 9": (lambda: figures.sample_grid(IMAGES, groups=[9]), f"a group is 9; {WHOLE} 0 to 3"),
    "group_bars({})": (lambda: figures.group_bars({}), "reports: {} with nothing to draw; give at least one"),
    "group_bars(None)": (lambda: figures.group_bars(None), "reports: None with nothing to draw"),
    "study_bars(None)": (lambda: figures.study_bars(None), "study: None with nothing to draw"),
    "over_epochs(None)": (lambda: figures.over_epochs(None), "table: None with nothing to draw"),
    "differences(None)": (lambda: figures.differences(None), "found: None with nothing to draw"),
    "heat([])": (lambda: figures.heat([], rows={"a": []}, columns={"b": []}, of=""), "values: \\[\\] with nothing to"),
    "heat(rows={})": (lambda: figures.heat([[1]], rows={}, columns={"b": [1]}, of=""), "rows: {} with nothing to"),
    "new_samples(None)": (lambda: figures.new_samples(None, 0, None), "enlarged is None; give GroupedData"),
    "perturbations({})": (lambda: figures.perturbations({}), "rows: {} with nothing to draw"),
    "embedding({})": (lambda: figures.embedding({}, DATA.test), "features: {} with nothing to draw"),
    "embedding(None)": (lambda: figures.embedding({"a": 1}, None), "data is None; give GroupedData"),
    "regions({})": (lambda: figures.regions({}, DATA.test), "models: {} with nothing to draw"),
    "regions(a: None)": (lambda: figures.regions({"a": None}, DATA.test), "model is None; give a network"),
    "bars({})": (lambda: figures.bars({}, places=["a"], y=""), "values: {} with nothing to draw"),
    "bars(places=[])": (lambda: figures.bars({"a": []}, places=[], y=""), "places: \\[\\] with nothing to draw"),
    "evidence": (lambda: figures.evidence(torch.zeros(0, 1, 2, 2), {}, rows=[]), "images: tensor.* with nothing to"),
    "bands({})": (lambda: figures.bands({}, x="", y=""), "shares: {} with nothing to draw"),
    "bands of nothing": (lambda: figures.bands({"a": []}, x="", y=""), "the steps: \\[\\] with nothing to draw"),
    "curves({})": (lambda: figures.curves({}, x="", y=""), "lines: {} with nothing to draw"),
}


@pytest.mark.parametrize("call, sentence", PYTHON.values(), ids=PYTHON)
def test_an_argument_that_makes_no_sense_gets_one_sentence_of_ours(call, sentence):
    before = torch.get_rng_state()
    with pytest.raises((ValueError, TypeError, FloatingPointError, OSError), match=sentence) as caught:
        call()
    assert "debias_course" in traceback.extract_tb(caught.tb)[-1].filename
    assert "\n" not in str(caught.value) and torch.equal(torch.get_rng_state(), before)


def test_numbers_of_numpy_are_numbers():
    assert wilson(np.int64(3), np.int32(4)) == wilson(3, 4) and type(wilson(np.int64(3), np.int64(4)).value) is float
    assert weighted(SHARES, np.array([1.0, 3.0])) == weighted(SHARES, [1.0, 3.0])
    assert counted(n=tuple(np.array([2, 2, 2, 2]))) == counted()
    assert torch.equal(models.mlp(DATA.train, seed=np.int64(3)).head.weight, models.mlp(DATA.train, seed=3).head.weight)
