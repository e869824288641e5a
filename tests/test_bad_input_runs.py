"""Arguments of train, study and compare that make no sense: one sentence of ours each, before anything is trained."""

import functools
import re
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import debias_course
from debias_course import comparison, models, study, training
from debias_course.data import GroupedData, Splits, toys
from debias_course.evaluation import evaluate
from debias_course.methods import ERM, LossReweighting
from debias_course.study import mean_over_seeds, parse_seeds
from debias_course.training import train

TOY = toys.shortcut(n=40)
NAN = float("nan")


def start():
    return models.linear(TOY.train)


class Returning(nn.Module):
    """A network that returns something else than logits."""

    def __init__(self, what):
        super().__init__()
        self.layer, self.what = nn.Linear(2, 2), what

    def forward(self, x):
        return self.what(self.layer(x))


class Batches(ERM):
    """min: plain training with batches that somebody made up."""

    def __init__(self, made):
        object.__setattr__(self, "made", made)

    def batches(self, data, batch_size, *, seed, epoch):
        return self.made


def frozen():
    model = start()
    model.requires_grad_(False)
    return model


def renamed(part):
    return replace(part, label_names=part.label_names[::-1])


def lacking(group):
    return TOY.validation.subset(TOY.validation.groups != group)


worst = dict(select="validation-worst-group")
mean = dict(validation=TOY.validation, select="validation-mean")

TRAIN = [
    (dict(data=TOY), "data is a Splits; give GroupedData, one part of a data set, such as splits.train"),
    (dict(data=None), "data is None; give GroupedData"),
    (dict(data=(TOY.train.inputs, TOY.train.labels)), "data is a tuple; give GroupedData"),
    (dict(data=torch.utils.data.DataLoader([1, 2])), "data is a DataLoader; give GroupedData"),
    (dict(data=TOY.train.inputs), "data is a Tensor; give GroupedData"),
    (dict(data=TOY.train.subset([])), "there is no training example"),
    (dict(model=None), "model is None; give a network, such as models.mlp"),
    (dict(model=models.mlp), "model is <function mlp"),
    (dict(model=nn.Linear), "model is <class 'torch.nn.modules.linear.Linear'>; give a network"),
    (dict(model=Returning(lambda x: (x, x))), "the model returns a tuple; make it return one tensor, logits"),
    (dict(model=Returning(lambda x: {"logits": x})), "the model returns a dict; make it return one tensor, logits"),
    (dict(model=Returning(lambda x: None)), "the model returns None; make it return one tensor, logits"),
    (dict(model=Returning(lambda x: x[:, :1])), "it should return logits [1, 2]"),
    (dict(model=start().double()), "the model is torch.float64, the data are torch.float32; use model.float()"),
    (dict(model=start().bfloat16()), "the model is torch.bfloat16, the data are torch.float32; use model.float()"),
    (dict(model=frozen()), "all parameters of the model are frozen, so there is nothing to train"),
    (dict(model=nn.Identity()), "the model has no parameters, so there is nothing to train"),
    (dict(method=ERM), "method is <class 'debias_course.method.ERM'>; give an instance, such as ERM()"),
    (dict(method="ERM"), "method is 'ERM'; give an instance"),
    (dict(method=[ERM()]), "method is [ERM()]; give an instance"),
    (dict(method=Batches([])), "the method has no batch in this epoch"),
    (dict(method=Batches(None)), "the method's batches are no index tensors"),
    (dict(method=Batches([["a"]])), "the method's batches are no index tensors"),
    (dict(method=Batches([[0.5, 1.0]])), "the method has a batch of torch.float32 (2,)"),
    (dict(method=Batches([[True, False]])), "the method has a batch of torch.bool (2,)"),
    (dict(method=Batches([[]])), "the method has a batch of torch.float32 (0,)"),
    (dict(method=Batches([[[0, 1]]])), "the method has a batch of torch.int64 (1, 2)"),
    (dict(method=Batches([[0, 40]])), "the method's batches hold indices from 0 to 40; return"),
    (dict(method=Batches([[0, -1]])), "the method's batches hold indices from -1 to 0; return"),
    (dict(epochs=0), "epochs is 0; use a whole number from 1"),
    (dict(epochs=1.5), "epochs is 1.5; use a whole number from 1"),
    (dict(epochs=True), "epochs is True; use a whole number from 1"),
    (dict(epochs=None), "epochs is None; use a whole number from 1"),
    (dict(epochs="3"), "epochs is '3'; use a whole number from 1"),
    (dict(epochs=[3]), "epochs is [3]; use a whole number from 1"),
    (dict(batch_size=0), "batch_size is 0; use a whole number from 1"),
    (dict(batch_size=np.float64(3)), "batch_size is np.float64(3.0); use a whole number from 1"),
    (dict(lr=-0.1), "lr is -0.1; use a number from 0"),
    (dict(lr=NAN), "lr is nan; use a number from 0"),
    (dict(lr=float("inf")), "lr is inf; use a number from 0"),
    (dict(lr=np.ones(2)), "lr is array([1., 1.]); use a number from 0"),
    (dict(lr=torch.ones(2)), "lr is tensor([1., 1.]); use a number from 0"),
    (dict(lr=1j), "lr is 1j; use a number from 0"),
    (dict(weight_decay="much"), "weight_decay is 'much'; use a number from 0"),
    (dict(seed=-1), "seed is -1; use a whole number from 0 to 2^63 - 1"),
    (dict(seed=2**70), "use a whole number from 0 to 2^63 - 1"),
    (dict(seed=None), "seed is None; use a whole number from 0"),
    (dict(seed=torch.Generator()), "use a whole number from 0"),
    (dict(select=["last"]), "select is ['last']; use one of 'last', 'validation-worst-group'"),
    (dict(select=None), "select is None; use one of 'last'"),
    (dict(select="best"), "select is 'best'; use one of 'last'"),
    (dict(optimizer="adam"), "optimizer is 'adam'; use one of 'adamw', 'sgd'"),
    (dict(optimizer=torch.optim.SGD), "use one of 'adamw', 'sgd'"),
    (dict(optimizer=dict(sgd=1)), "optimizer is {'sgd': 1}; use one of 'adamw', 'sgd'"),
    (dict(augment=3), "augment is 3; pass a function of a batch of inputs, or None"),
    (dict(augment=nn.ReLU), "pass a function of a batch of inputs, or None"),
    (dict(augment=lambda x: None), "augment returned None for torch.float32 (40, 2) on cpu; return a tensor"),
    (dict(augment=lambda x: x[:3]), "augment returned torch.float32 (3, 2) on cpu for torch.float32 (40, 2)"),
    (dict(augment=lambda x: x[:, :1]), "augment returned torch.float32 (40, 1) on cpu for torch.float32 (40, 2)"),
    (dict(augment=lambda x: x.numpy()), "augment returned [["),
    (dict(augment=lambda x: x.to("meta")), "augment returned torch.float32 (40, 2) on meta"),
    (dict(augment=lambda x: x.long()), "augment returned torch.int64 (40, 2)"),
    (
        dict(schedule="cosin"),
        "schedule is 'cosin'; use one of 'constant', 'cosine', 'linear', or a function of progress",
    ),
    (dict(schedule=None), "schedule is None; use one of 'constant', 'cosine', 'linear', or a function of progress"),
    (dict(schedule=[1.0, 0.1]), "schedule is [1.0, 0.1]; use one of"),
    (dict(schedule=torch.optim.lr_scheduler.CosineAnnealingLR), "CosineAnnealingLR'>; use one of"),
    (dict(schedule=lambda: 1.0), "takes 0 positional arguments but 1 was given); pass a function of one number"),
    (dict(schedule=lambda p: None), "schedule(0) is None; it is a factor of the learning rate: use a number from 0"),
    (dict(schedule=lambda p: 0.5 - p), "schedule(0.51) is -0.01"),
    (dict(schedule=lambda p: NAN if p >= 0.9 else 1.0), "schedule(0.9) is nan; it is a factor of the learning rate"),
    (dict(schedule=lambda p: float("inf")), "schedule(0) is inf; it is a factor"),
    (dict(schedule=lambda p: torch.ones(2)), "schedule(0) is tensor([1., 1.]); it is a factor"),
    (dict(schedule=lambda p: p < 0.5), "schedule(0) is True; it is a factor"),
    (dict(patience=0, **mean), "patience is 0; use a whole number from 1"),
    (dict(patience=1.5, **mean), "patience is 1.5; use a whole number from 1"),
    (dict(patience=True, **mean), "patience is True; use a whole number from 1"),
    (dict(patience="3", **mean), "patience is '3'; use a whole number from 1"),
    (dict(patience=3), "patience=3 needs a score to wait for, and select='last' has none; use another rule, such as"),
    (dict(watch=[TOY.test]), "give names and data, such as"),
    (dict(watch=TOY.test), "give names and data, such as"),
    (dict(watch={"test": TOY}), "test is a Splits; give GroupedData"),
    (dict(watch={"test": None}), "test is None; give GroupedData"),
    (
        dict(watch={"test": renamed(TOY.test)}),
        "test names its labels (",
    ),
    (dict(validation=TOY), "validation is a Splits; give GroupedData"),
    (dict(validation=renamed(TOY.validation)), "validation names its labels ('class 1', 'class 0')"),
    (
        dict(validation=replace(TOY.validation, attribute_names=("a", "b")), **worst),
        "validation names its attributes ('a', 'b')",
    ),
    (dict(validation=None, **worst), "select='validation-worst-group' looks at a validation set; pass validation="),
    (dict(validation=TOY.validation.subset([]), **worst), "this one has no sample"),
    (dict(validation=lacking(1), **worst), "which has no sample of 'class 0, right', though training has"),
    (
        dict(validation=TOY.validation.subset(TOY.validation.labels == 0), select="validation-worst-class"),
        "which has no sample of 'class 1', though training has",
    ),
    (dict(device="meta"), "device 'meta' cannot be used here (it holds no numbers); use 'cpu'"),
    (dict(device="gpu"), "device 'gpu' cannot be used here"),
    (dict(device=3.5), "device '3.5' cannot be used here"),
]

MANY = dict(methods={"plain": ERM()}, data=TOY, seeds=1)
BOTH = [
    (dict(methods=[ERM()]), "methods are [ERM()]; pass names and methods, such as"),
    (dict(methods=ERM()), "methods are ERM(); pass names and methods"),
    (dict(methods=None), "methods are None; pass names and methods"),
    (dict(methods={}), "methods are {}; pass names and methods"),
    (dict(methods={"plain": ERM}), "pass an instance, such as ERM()"),
    (dict(methods={"": ERM()}), "'' is no name for a method"),
    (dict(methods={3: ERM()}), "3 is no name for a method"),
    (dict(data=None), "data is a NoneType; pass a function of seed, or Splits"),
    (dict(data=TOY.train), "data is a GroupedData; pass a function of seed, or Splits"),
    (dict(data=Splits), "pass a function of seed, or Splits"),
    (dict(data=lambda: TOY), "data cannot be called with what it is given"),
    (dict(data=lambda s: TOY), "data cannot be called with what it is given"),
    (dict(data=lambda seed: TOY.train), "data(seed="),
    (dict(data=lambda seed: None), "returned a NoneType; return Splits(train, validation, test)"),
    (dict(model=None), "model is a NoneType; pass a function such as models.mlp"),
    (dict(model="mlp"), "model is a str; pass a function such as models.mlp"),
    (dict(model=start()), "model is one Classifier, and every seed needs a start of its own; pass a function"),
    (dict(model=nn.Linear), "model is a type; pass a function such as models.mlp"),
    (dict(model=lambda: start()), "model cannot be called with what it is given"),
    (dict(model=lambda data: start()), "model cannot be called with what it is given"),
    (dict(model=lambda data, seed: None), "returned a NoneType; return a network"),
    (dict(seeds=0), "seeds are 0; use 1 to 100,000 of them"),
    (dict(seeds=-3), "seeds are -3; use 1 to 100,000 of them"),
    (dict(seeds=[]), "seeds are []; use 1 to 100,000 of them"),
    (dict(seeds=[1, 1]), "seeds are [1, 1]; use 1 to 100,000 of them, and none twice"),
    (dict(seeds=[-1]), "seeds are [-1]; use whole numbers, none negative"),
    (dict(seeds=[2**70]), "none above 2^63 - 1"),
    (dict(seeds=10**12), "seeds are 1000000000000; use 1 to 100,000 of them"),
    (dict(seeds="many"), "seeds are 'many'; use a count such as 5"),
    (dict(seeds=1.5), "seeds are 1.5; use a count, a range or whole numbers"),
    (dict(seeds=[0.5]), "seeds are [0.5]; use a count, a range or whole numbers"),
    (dict(seeds=[True]), "seeds are [True]; use whole numbers"),
    (dict(seeds=None), "seeds are None; use a count"),
    (dict(epochs=0), "epochs is 0; use a whole number from 1"),
    (dict(lr=NAN), "lr is nan; use a number from 0"),
    (dict(select=["last"]), "select is ['last']; use one of"),
    (dict(optimizer=None), "optimizer is None; use one of"),
    (dict(schedule="step"), "schedule is 'step'; use one of 'constant', 'cosine', 'linear', or a function"),
    (dict(schedule=lambda p: -p), "schedule(0.01) is -0.01; it is a factor of the learning rate"),
    (dict(patience=0, select="validation-mean"), "patience is 0; use a whole number from 1"),
    (dict(device="meta"), "device 'meta' cannot be used here"),
    (dict(n_jobs=0), "0 runs at a time are none; use a whole number from 1"),
    (dict(n_jobs=1.5), "1.5 runs at a time are none"),
    (dict(n_jobs=True), "True runs at a time are none"),
]

lengths = functools.partial(study, **MANY, test_every_epoch=True)
OTHERS = [
    (lambda: study(**MANY, epoch=3), "study has no setting 'epoch'; there are augment, batch_size, epochs, lr"),
    (lambda: study(**MANY, seed=3), "study has no setting 'seed'"),
    (lambda: study(**MANY, augment=3), "augment is 3; pass a function of a batch of inputs"),
    (lambda: study(**MANY, patience=2), "patience=2 needs a score to wait for, and select='last' has none"),
    (lambda: lengths(schedule="cosine"), "schedule is 'cosine', so a shorter training has other learning rates from"),
    (lambda: lengths(schedule=lambda p: 1.0), "none can be read out of a longer one; train for each length, without"),
    (lambda: lengths(patience=3, select="validation-mean"), "patience=3 ends some trainings early, and test_every_ep"),
    (lambda: comparison.compare(**MANY, trials=0), "trials are 0; use a whole number of settings from 1 to 12"),
    (lambda: comparison.compare(**MANY, trials=True), "trials are True; use a whole number of settings"),
    (lambda: comparison.compare(**MANY, trials=None), "trials are None; use a whole number of settings"),
    (lambda: comparison.compare(**MANY, metric=["overall"]), "metric is ['overall']; use one of"),
    (lambda: comparison.compare(**MANY, select="last"), "select is 'last'; use one of"),
    (lambda: comparison.compare(**MANY, baseline="other"), "the baseline 'other' is not one of the methods plain"),
    (lambda: comparison.compare(**MANY | dict(seeds=[990_001])), "seed 990001 is that of the search"),
    (lambda: mean_over_seeds([]), "there is no value, so there is no mean"),
    (lambda: parse_seeds("1:"), "seeds are '1:'; use a count such as 5"),
    (lambda: parse_seeds({}), "seeds are {}; use 1 to 100,000"),
    (lambda: evaluate(start(), TOY), "data is a Splits; give GroupedData"),
]


def refused(call, sentence):
    """Whether a call ends in our own sentence."""
    with pytest.raises((ValueError, TypeError), match=re.escape(sentence)) as caught:
        call()
    innermost = traceback.extract_tb(caught.value.__traceback__)[-1].filename
    assert Path(innermost).is_relative_to(Path(debias_course.__file__).parent)


def ids(table):
    return [f"{number} {sentence[:40]}" for number, (_, sentence) in enumerate(table)]


@pytest.mark.parametrize("change, sentence", TRAIN, ids=ids(TRAIN))
def test_train_says_what_it_cannot_work_with(change, sentence):
    how = dict(model=start(), data=TOY.train, method=ERM(), epochs=1) | change
    refused(lambda: train(how.pop("model"), how.pop("data"), how.pop("method"), **how), sentence)


@pytest.mark.parametrize("change, sentence", BOTH, ids=ids(BOTH))
@pytest.mark.parametrize("function", [study, comparison.compare], ids=["study", "compare"])
def test_study_and_compare_say_it_before_anything_is_trained(function, change, sentence, monkeypatch):
    how = MANY | dict(model=models.linear, epochs=1, progress=False, n_jobs=1) | change
    if "n_jobs" not in change:
        monkeypatch.setattr(training.Loop, "_epoch", lambda *rest: pytest.fail("something was trained"))
    refused(lambda: function(**how), sentence)


@pytest.mark.parametrize("call, sentence", OTHERS, ids=ids(OTHERS))
def test_and_so_do_the_others(call, sentence):
    refused(call, sentence)


def test_what_looks_odd_and_is_right_works():
    how = dict(epochs=1, progress=False, n_jobs=np.int64(1))
    found = study({"plain": ERM()}, functools.partial(toys.shortcut, n=np.int64(40)), seeds=np.array([1, 3]), **how)
    assert found.seeds == [1, 3] and all(type(seed) is int for seed in found.seeds)
    generator = study({"w": LossReweighting()}, lambda *, seed=0: TOY, seeds=(s for s in (2, 4)), **how)
    assert generator.seeds == [2, 4] and isinstance(TOY.train, GroupedData)
