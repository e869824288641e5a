"""training: one loop, one device rule, selection of the epoch."""

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from debias_course import models, train
from debias_course.data import GroupedData, toys
from debias_course.evaluation import evaluate
from debias_course.method import cut
from debias_course.methods import ERM, LossReweighting
from debias_course.training import SELECT, pick_device


def test_plain_training_sees_every_sample_once_in_parts_of_equal_size():
    data = toys.shortcut(n=1000).train
    parts = ERM().batches(data, 128, seed=3, epoch=2)
    assert sorted(torch.cat(list(parts)).tolist()) == list(range(1000))
    assert {len(part) for part in parts} == {125} and {len(part) for part in cut(torch.arange(5), 3)} == {2, 3}
    again = ERM().batches(data, 128, seed=3, epoch=2)
    assert all(torch.equal(a, b) for a, b in zip(parts, again))
    assert not torch.equal(parts[0], ERM().batches(data, 128, seed=3, epoch=3)[0])
    assert not torch.equal(parts[0], ERM().batches(data, 128, seed=4, epoch=2)[0])


def test_a_step_is_the_one_that_torch_would_take(toy):
    """One epoch, one batch: AdamW by hand moves every weight by lr times the sign of its gradient."""
    start = models.linear(toy.train)
    run = train(start, toy.train, epochs=1, batch_size=400, lr=0.01)
    loss = nn.functional.cross_entropy(start(toy.train.inputs), toy.train.labels)
    (gradient,) = torch.autograd.grad(loss, start.head.weight)
    torch.testing.assert_close(run.model.head.weight, start.head.weight - 0.01 * gradient.sign(), atol=1e-5, rtol=0)
    assert run.history["loss"].tolist() == pytest.approx([loss.item()], rel=1e-5)


@dataclass(frozen=True, kw_only=True)
class Watching(ERM):
    """min: plain training of a model with one more layer, for the onlooker."""

    seen: list = field(default_factory=list, compare=False)

    def model(self, model, data):
        return nn.Sequential(nn.Dropout(0.0), nn.Linear(2, 2), model)

    def loss(self, model, batch, state):
        self.seen.append((state.progress, batch))
        return super().loss(model, batch, state)


def test_a_method_may_change_the_model_and_knows_how_far_training_is_and_which_rows_it_sees(toy):
    start, watching = models.linear(toy.train), Watching()
    first, again, other = (train(start, toy.train, watching, epochs=2, batch_size=100, seed=s) for s in (1, 1, 2))
    assert [progress for progress, _ in watching.seen[:8]] == [n / 8 for n in range(8)]
    for _, batch in watching.seen[:8]:
        assert torch.equal(batch.inputs, toy.train.inputs[batch.indices])
    weights = [run.model[1].weight for run in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert isinstance(start, models.Classifier) and len(first.model) == 3


def test_training_learns_and_records(toy):
    run = train(models.linear(toy.train), toy.train, epochs=30, lr=0.05, validation=toy.validation)
    history = run.history
    assert len(history) == 30 * 4 and set(history["split"]) == {"validation"}
    assert history["loss"].iloc[-1] < 0.3 * history["loss"].iloc[0]
    last = history[history["epoch"] == 30]
    report = evaluate(run.model, toy.validation)
    assert last["correct"].tolist() == list(report.correct) and last["n"].tolist() == list(report.n)
    assert run.epoch == 30 and run.select == "last" and run.settings["epochs"] == 30 and not run.model.training


@pytest.mark.parametrize("select", [rule for rule in SELECT if rule != "last"])
def test_the_best_epoch_is_the_first_that_is_best_by_its_rule(toy, select):
    run = train(
        models.linear(toy.train, seed=2),
        toy.train,
        epochs=12,
        lr=0.05,
        batch_size=64,
        validation=toy.validation,
        select=select,
    )
    history = run.history
    if select == "validation-worst-group":
        by_epoch = history.groupby("epoch")["accuracy"].min()
    elif select == "validation-mean":
        by_epoch = history.groupby("epoch")["correct"].sum()
    else:
        history["label"] = history["group"].str.split(", ").str[0]
        by_epoch = history.groupby(["epoch", "label"])["correct"].sum().groupby("epoch").min()
    assert run.epoch == by_epoch.idxmax() and run.settings["select"] == run.select == select
    kept = history[history["epoch"] == run.epoch]["correct"].tolist()
    assert list(evaluate(run.model, toy.validation).correct) == kept


def test_watched_data_are_recorded_beside_validation(toy):
    run = train(models.linear(toy.train), toy.train, epochs=2, watch={"training": toy.train})
    assert set(run.history["split"]) == {"training"} and len(run.history) == 8


def test_progress_is_told_after_every_epoch(toy):
    seen = []
    train(models.linear(toy.train), toy.train, epochs=3, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    "settings, sentence",
    [
        (dict(epochs=0), "epochs is 0; use a whole number from 1"),
        (dict(batch_size=1.5), "batch_size is 1.5; use a whole number from 1"),
        (dict(lr=-1.0), "lr is -1.0; use a number from 0"),
        (dict(weight_decay=float("nan")), "weight_decay is nan"),
        (dict(epochs=5.0), "epochs is 5.0; use a whole number from 1"),
        (dict(lr="fast"), "lr is 'fast'; use a number from 0"),
        (dict(seed=None), "seed is None; use a whole number from 0"),
        (dict(device="nonsense"), "device 'nonsense' cannot be used here"),
        (dict(select="best"), "select is 'best'; use one of 'last', 'validation-worst-group'"),
        (dict(optimizer="adam"), "optimizer is 'adam'; use one of 'adamw', 'sgd'"),
        (dict(select="validation-mean"), "looks at a validation set; pass validation=data.validation"),
    ],
)
def test_settings_that_cannot_work_are_refused(toy, settings, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        train(models.linear(toy.train), toy.train, **settings)


def test_a_class_instead_of_a_method_is_refused(toy):
    with pytest.raises(TypeError, match="give an instance, such as ERM"):
        train(models.linear(toy.train), toy.train, ERM)


def test_a_model_with_the_wrong_outputs_or_nothing_to_train_is_refused(toy):
    with pytest.raises(ValueError, match=r"it should return logits \[1, 2\]"):
        train(nn.Linear(2, 7), toy.train)
    with pytest.raises(ValueError, match="the model has no parameters"):
        train(nn.Identity(), toy.train)


class Centred(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.drop, self.head = nn.BatchNorm1d(2), nn.Dropout(0.5), nn.Linear(2, 2)

    def forward(self, x):
        return self.head(self.drop(self.norm(x)))


@pytest.mark.parametrize("whole", ["trains", "is as a run returns it"])
def test_what_was_frozen_on_purpose_stays_frozen(toy, whole):
    """A batch norm in evaluation mode whose parameters ask for no gradient."""
    model = Centred()
    model.norm.requires_grad_(False)
    (model.norm if whole == "trains" else model).eval()
    mean = toy.train.inputs.mean(0)
    assert mean.abs().max() > 0.01
    run = train(model, toy.train, epochs=2)
    assert torch.equal(run.model.norm.running_mean, torch.zeros(2)) and not run.model.training
    modes = {}

    class Looking(ERM):
        def loss(self, model, batch, state):
            modes.update({name: module.training for name, module in model.named_modules()})
            return super().loss(model, batch, state)

    train(model, toy.train, Looking(), epochs=1)
    assert modes == {"": True, "norm": False, "drop": True, "head": True}
    model.train()
    assert train(model, toy.train, epochs=2).model.norm.running_mean.abs().max() > 0.01


class Listed(ERM):
    """min: plain training whose batches are lists of numbers, one after the other."""

    def batches(self, data, batch_size, *, seed, epoch):
        return (part.tolist() for part in super().batches(data, batch_size, seed=seed, epoch=epoch))


def test_batches_may_be_lists_and_come_one_by_one(toy):
    plain, listed = (train(models.linear(toy.train), toy.train, method, epochs=2).model for method in (ERM(), Listed()))
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), listed.parameters()))


def test_numbers_may_be_those_of_numpy(toy):
    how = dict(epochs=np.int64(2), batch_size=torch.tensor(50), seed=np.int32(3), lr=np.float32(0.5))
    run = train(models.linear(toy.train), toy.train, **how)
    kinds = {name: type(value) for name, value in run.settings.items() if name in how}
    assert kinds == dict(epochs=int, batch_size=int, seed=int, lr=float)
    assert json.dumps(run.settings)


def test_no_data_are_refused(toy):
    with pytest.raises(ValueError, match="there is no training example"):
        train(models.linear(toy.train), toy.train.subset(torch.arange(0)))


def test_a_loss_that_is_not_finite_stops_with_its_epoch(toy):
    huge = GroupedData(toy.train.inputs * 1e38, toy.train.labels, toy.train.attributes, ("a", "b"), ("x", "y"))
    with pytest.raises(FloatingPointError, match=r"the training loss is (nan|inf) in epoch 1; lower lr"):
        train(models.mlp(huge, hidden=(8,)), huge, epochs=2)


def test_threads_are_given_back_even_after_an_error(toy, two_threads):
    with pytest.raises(KeyboardInterrupt):
        train(models.linear(toy.train), toy.train, epochs=2, progress=interrupt)
    assert torch.get_num_threads() == 2


def interrupt(done, of):
    assert torch.get_num_threads() == 1
    raise KeyboardInterrupt


def test_dropout_follows_the_seed(toy):
    start = models.mlp(toy.train, hidden=(16,))
    start.features.append(nn.Dropout(0.5))
    first, again = (train(start, toy.train, epochs=2, seed=7).model for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters()))


def test_one_place_names_the_accelerator():
    assert pick_device("cpu") == torch.device("cpu")
    package = Path(models.__file__).parent
    naming = [path.name for path in package.rglob("*.py") if "cuda" in path.read_text(encoding="utf-8")]
    assert naming == ["training.py"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here; the meta-device step stands in for it")
def test_a_gpu_gives_the_same_verdict(digits):
    gaps = []
    for device in ("cpu", "cuda"):
        worst = {}
        for name, method in {"ERM": ERM(), "weighted": LossReweighting()}.items():
            run = train(models.mlp(digits.train), digits.train, method, epochs=10, device=device)
            worst[name] = evaluate(run.model, digits.test).worst_group.value
        gaps.append(worst["weighted"] - worst["ERM"])
    assert min(gaps) > 0.1


def test_a_method_may_train_on_other_data_from_some_epoch_on(toy):
    """And embeddings are not augmented: only what has the shape of the data is."""
    seen = []

    class Fewer(ERM):
        def data(self, model, data, state):
            embedded = replace(data, inputs=data.inputs.new_ones(len(data), 5))
            return data if state.epoch == 1 else embedded.subset(torch.arange(10))

        def loss(self, model, batch, state):
            seen.append((state.epoch, len(batch.labels), float(batch.inputs.sum())))
            return model.head(model.features(batch.inputs.new_zeros(len(batch.labels), 2))).square().mean()

    train(models.mlp(toy.train), toy.train, Fewer(), epochs=2, batch_size=400, augment=torch.zeros_like)
    assert seen == [(1, 400, 0.0), (2, 10, 50.0)]
