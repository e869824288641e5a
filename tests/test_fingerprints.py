"""fingerprints: whatever changes what a run computes changes its key, and nothing else does."""

import collections
import functools
import itertools
import re
import subprocess
import sys
import textwrap
import threading
import types
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pytest
import torch
from scipy.special import expit, exprel

from debias_course import contexts, data, evaluate, methods, models, study, training
from debias_course.fingerprints import NoFingerprint, fingerprint, reached
from debias_course.methods import ERM, Method
from debias_course.study.jobs import Job, keyed

SPLITS = data.toys.shortcut(n=40)


def key(method=None, model=models.linear, of=SPLITS, seed=0, device="cpu", **settings):
    """The key under which a study would keep one run."""
    job = Job("any name", method or ERM(), of, model, seed, tuple(sorted(settings.items())), device)
    return next(keyed([job])).key


SOURCE = """
import dataclasses, functools, helpers, torch
from debias_course.methods import ERM
TABLE = {"a": (1, {"deep": [FACTOR]})}
LIST = [FACTOR]
TENSOR = torch.full((5000,), float(FACTOR))
FUNCTIONS = {"scale": lambda x: x * FACTOR}
def default(x, by=FACTOR):
    return x * by
def keyword(x, *, by=FACTOR):
    return x * by
MODULES = {"h": helpers}
def imported():
    import helpers as h
    from helpers import g
    return h.f(1) + g(1)
class Mangled:
    __slots__ = ("__by",)
    def __init__(self):
        self.__by = FACTOR
    def __call__(self):
        return self.__by
mangled = Mangled()
def make(by):
    def closed(x):
        return x * by
    return closed
closed = make(FACTOR)
partial = functools.partial(default, by=FACTOR)
@functools.lru_cache
def cached(x):
    return x * FACTOR
@torch.no_grad()
def wrapped(x):
    return x * FACTOR
class Scale:
    by = FACTOR
    def __call__(self, x):
        return x * self.by
    @property
    def twice(self):
        return 2 * FACTOR
    @staticmethod
    def still(x):
        return x * FACTOR
    @classmethod
    def of(cls, x):
        return x * cls.by
scale = Scale()
scale.field = FACTOR
class Parent(ERM):
    def loss(self, model, batch, state):
        return super().loss(model, batch, state) * PARENT
@dataclasses.dataclass(frozen=True, kw_only=True)
class Mine(Parent):
    def loss(self, model, batch, state):
        return super().loss(model, batch, state) * (BODY)
"""
# how the loss of a method reaches the factor
REACHES = {
    "a number in the code": "FACTOR",
    "a constant of the module": "LIST[0]",
    "a constant deep in a table": "TABLE['a'][1]['deep'][0]",
    "one element of a long tensor": "TENSOR[2500]",
    "a default argument": "default(1)",
    "a keyword default": "keyword(1)",
    "a closure": "closed(1)",
    "a partial": "partial(1)",
    "a function in a dict": "FUNCTIONS['scale'](1)",
    "a function behind a cache": "cached(1)",
    "a function behind a decorator": "wrapped(1)",
    "an attribute of a class": "Scale()(1)",
    "a property": "Scale().twice",
    "a static method": "Scale.still(1)",
    "a class method": "Scale.of(1)",
    "a field of an object": "scale.field",
    "a function of a module": "helpers.f(1)",
    "a private name of a module": "helpers._hidden",
    "a module in a table": "{'h': helpers}['h'].f(1)",
    "a module in a global table": "MODULES['h'].f(1)",
    "a name of a module as a word": "getattr(helpers, 'f')(1)",
    "a module that is handed on": "(lambda module: module.f(1))(helpers)",
    "the table of a module's names": "vars(helpers)['f'](1)",
    "an import inside": "imported()",
    "a slot whose name is mangled": "mangled()",
    "a function that another module calls": "helpers.g(1)",
    "a function that is defined inside": "(lambda: FACTOR)()",
}


def mine(body="1", factor=2, parent=1, remark="", docstring=""):
    """A method as a notebook makes it: no file has its source."""
    helpers = types.ModuleType("helpers")
    source = (
        f"import deeper\n_hidden = {factor}\ndef f(x):\n    return x * {factor}\ndef g(x):\n    return deeper.h(x)\n"
    )
    deeper = types.ModuleType("deeper")
    exec(f"def h(x):\n    return x * {factor}", deeper.__dict__)
    sys.modules |= {"helpers": helpers, "deeper": deeper}
    exec(source, helpers.__dict__)
    text = SOURCE.replace("BODY", body).replace("PARENT", str(parent)).replace("FACTOR", str(factor))
    text = text.replace("        return super()", f"        {docstring}\n        {remark}\n        return super()")
    space = {"__name__": "notebook"}
    exec(compile(textwrap.dedent(text), "<cell>", "exec", dont_inherit=True), space)
    return space["Mine"]()


@pytest.mark.slow
@pytest.mark.parametrize("body", REACHES.values(), ids=REACHES)
def test_code_that_is_reached_by_any_way_is_part_of_the_key(body):
    assert key(mine(body)) == key(mine(body)) == key(mine(body, remark="# a remark", docstring='"""What it does."""'))
    assert key(mine(body, factor=3)) != key(mine(body))


def test_what_a_method_does_not_reach_is_no_part_of_its_key():
    assert key(mine("1", factor=3)) == key(mine("1"))
    assert key(mine("1", parent=2)) != key(mine("1"))


class Hidden:
    """An augmentation whose repr hides its field."""

    def __init__(self, by, slot=0):
        self.by = by

    def __call__(self, x):
        return x * self.by

    __repr__ = object.__repr__


class Slotted:
    __slots__ = ("by",)

    def __init__(self, by):
        self.by = by

    def __call__(self, x):
        return x * self.by


class Odd(dict):
    by = 1


class Sized(collections.deque):
    """A deque, whose content is in no field."""


class Partly(functools.partial):
    def __call__(self, x):
        return -super().__call__(x)


class Marked(torch.Tensor):
    pass


@dataclass(frozen=True, eq=False, repr=False)
class Weighted(data.GroupedData):
    weight: float = 1.0


def weighted(by):
    part = SPLITS.train
    names = part.label_names, part.attribute_names
    return SPLITS._replace(train=Weighted(part.inputs, part.labels, part.attributes, *names, weight=by))


class Colour(Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True, kw_only=True)
class Partnered(Method):
    partner: object = None


class Net(torch.nn.Module):
    """One repr and one set of weights whatever its fields are."""

    def __init__(self, act=torch.relu, scale=1.0):
        super().__init__()
        self.layer, self.act, self.scale = torch.nn.Linear(2, 2), act, scale

    def forward(self, x):
        return self.act(self.layer(x)) * self.scale


def net(change=lambda net: None, **how):
    def build(data, seed):
        made = Net(**how)
        change(made)
        return made

    return build


def linear(seed):
    with contexts.isolated_randomness(seed):
        return torch.nn.Linear(2, 2)


def recurrent(seed):
    with contexts.isolated_randomness(seed):
        return torch.nn.LSTM(2, 2)


def buffered(value):
    return lambda made: made.register_buffer("extra", torch.tensor(value), persistent=False)


def tied(one):
    first = torch.nn.Linear(2, 2)
    other = first if one else torch.nn.Linear(2, 2)
    other.load_state_dict(first.state_dict())
    return torch.nn.Sequential(first, other)


def aliased(one):
    return lambda made: made.register_buffer("alias", made.layer.weight.data if one else made.layer.weight.data.clone())


def with_forward(by):
    def change(made):
        made.forward = lambda x: made.layer(x) * by

    return change


def by_hook(by):
    return lambda made: made.layer.register_forward_hook(lambda module, given, output: output * by)


def relu(x):
    return x.relu()


def tensor(n, value):
    return torch.where(torch.arange(n) == n // 2, value, 0.0)


# two runs of which each must have its own key
PAIRS = {
    "a setting": (dict(epochs=2), dict(epochs=3)),
    "a seed": (dict(seed=0), dict(seed=1)),
    "an augmentation's hidden field": (dict(augment=Hidden(1)), dict(augment=Hidden(2))),
    "an augmentation's slot": (dict(augment=Slotted(1)), dict(augment=Slotted(2))),
    "a bound method's object": (dict(augment=Hidden(1).__call__), dict(augment=Hidden(2).__call__)),
    "a schedule's partial": [dict(schedule=functools.partial(pow, by)) for by in (0.1, 0.2)],
    "a partial's keyword": [dict(augment=functools.partial(torch.mul, other=by)) for by in (1.0, 2.0)],
    "a field's partner network": [dict(method=Partnered(partner=linear(seed))) for seed in (0, 1)],
    "one value of a long tensor": [dict(method=Partnered(partner=tensor(5000, by))) for by in (1.0, 2.0)],
    "one value of a long array": [dict(method=Partnered(partner=tensor(5000, by).numpy())) for by in (1.0, 2.0)],
    "a number's type": (dict(method=Partnered(partner=True)), dict(method=Partnered(partner=1))),
    "an object in a list": [dict(method=Partnered(partner=[Hidden(by)])) for by in (1, 2)],
    "an enumeration's member": [dict(method=Partnered(partner=each)) for each in Colour],
    "the items of an odd dict": [dict(method=Partnered(partner=Odd(a=by))) for by in (1, 2)],
    "the order of a list": [dict(method=Partnered(partner=each)) for each in ([1, 2], [2, 1])],
    "a generator's state": [dict(method=Partnered(partner=torch.Generator().manual_seed(s))) for s in (1, 2)],
    "NumPy's generator": [dict(method=Partnered(partner=np.random.default_rng(s))) for s in (1, 2)],
    "a network's function": (dict(model=net()), dict(model=net(act=relu))),
    "a network's number": (dict(model=net()), dict(model=net(scale=2.0))),
    "a buffer that is not saved": [dict(model=net(buffered(by))) for by in (1.0, 2.0)],
    "a frozen parameter": (dict(model=net()), dict(model=net(lambda n: n.layer.bias.requires_grad_(False)))),
    "a part in evaluation mode": (dict(model=net()), dict(model=net(lambda n: n.layer.eval()))),
    "a hook": [dict(model=net(by_hook(by))) for by in (1, 2)],
    "a replaced forward": [dict(model=net(with_forward(by))) for by in (1, 2)],
    "a recurrent network's weights": [dict(method=Partnered(partner=recurrent(seed))) for seed in (0, 1)],
    "a compiled function": [dict(method=Partnered(partner=each)) for each in (expit, exprel)],
    "the values of a dict": [dict(method=Partnered(partner={"a": by}.values())) for by in (1, 2)],
    "the end of a long pattern": [dict(method=Partnered(partner=re.compile("a" * 300 + end))) for end in "bc"],
    "what a child of a C type holds": [dict(method=Partnered(partner=Sized([by]))) for by in (1, 2)],
    "a child of a wrapper": [dict(augment=kind(torch.neg)) for kind in (functools.partial, Partly)],
    "a child of a tensor": [
        dict(method=Partnered(partner=tensor(5, 1.0).as_subclass(k))) for k in (torch.Tensor, Marked)
    ],
    "a module": [dict(method=Partnered(partner=[each])) for each in (data.toys, data.biases)],
    "a field of one's own data": [dict(of=weighted(by)) for by in (1.0, 2.0)],
    "a memory for two": [dict(model=net(aliased(one))) for one in (True, False)],
    "a shared layer": [dict(method=Partnered(partner=tied(one))) for one in (True, False)],
    "the labels": (dict(), dict(of=SPLITS._replace(test=SPLITS.validation))),
    "the version of a library's object": [dict(augment=each) for each in (torch.nn.ReLU(), torch.nn.Tanh())],
}


@pytest.mark.slow
@pytest.mark.parametrize("one, other", PAIRS.values(), ids=PAIRS)
def test_two_runs_that_differ_have_two_keys(one, other):
    assert key(**one) == key(**one) and key(**one) != key(**other)


ENGINE = {
    "SGD's momentum": lambda: (training.OPTIMIZERS, "sgd", functools.partial(torch.optim.SGD, momentum=0.0)),
    "a schedule": lambda: (training.SCHEDULES, "cosine", lambda progress: 1.0),
    "the rule that selects": lambda: (
        training.SELECT,
        "validation-worst-group",
        lambda report: -report.worst_group.value,
    ),
    "a batch's scale": lambda: (data.GroupedData, "batch", lambda self, rows: self.other(rows)),
    "how an epoch is cut": lambda: (sys.modules["debias_course.method"], "cut", lambda rows, size: [rows]),
    "the evaluation": lambda: (
        sys.modules["debias_course.evaluation"],
        "predict",
        lambda model, data, batch_size: None,
    ),
    "the loop": lambda: (training.Loop, "_epoch", lambda *rest: 0.0),
    "the update": lambda: (Method, "step", lambda *rest: None),
    "the state of randomness": lambda: (training, "isolated_randomness", lambda seed, device: None),
}


@pytest.mark.parametrize("change", ENGINE.values(), ids=ENGINE)
def test_the_code_of_training_and_evaluation_is_part_of_the_key(change, monkeypatch):
    before = key()
    where, name, value = change()
    monkeypatch.setitem(where, name, value) if isinstance(where, dict) else monkeypatch.setattr(where, name, value)
    assert key() != before
    monkeypatch.undo()
    assert key() == before


SAME = {
    "another process's order of a set": ({"one", "two", "three"}, {"three", "two", "one"}),
    "an equal object": (Hidden(1), Hidden(1)),
    "an equal partial": (functools.partial(relu), functools.partial(relu)),
    "an equal tensor": (tensor(50, 1.0), tensor(50, 1.0).clone()),
    "an equal network": (linear(0), linear(0)),
    "an equal list that is one object twice": ([[1], [1]], [[1]] * 2),
    "a slice of an array": (np.arange(6)[::2], np.array([0, 2, 4])),
    "a circle": ((a := [1]).append(a) or a, (b := [1]).append(b) or b),
    "equal text that is made as it runs": ("ab", "".join(["a", "b"])),
}


@pytest.mark.parametrize("one, other", SAME.values(), ids=SAME)
def test_what_is_equal_has_one_fingerprint(one, other):
    assert fingerprint(one) == fingerprint(other)


def test_what_torch_and_python_count_or_keep_as_they_go_does_not_matter():
    def reversal():
        class Reversal(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x

        return Reversal

    assert fingerprint(reversal()) == fingerprint(reversal())
    before = [fingerprint(SPLITS.train.__dict__ | {}), fingerprint(Partnered(partner=SPLITS.test))]
    made, others = torch.nn.Linear(2, 2), []
    for _ in range(120):  # two hooks, whose numbers grow by a digit on the way
        handles = [made.register_forward_hook(hook) for hook in (first_hook, second_hook)]
        others.append(fingerprint(made))
        for handle in handles:
            handle.remove()
    assert len(set(others)) == 1
    assert len(SPLITS.test.group_names) == 4 and int(SPLITS.test.counts.sum()) == 40
    assert fingerprint(Partnered(partner=SPLITS.test)) == before[1]


def first_hook(module, given, output):
    return output + 1


def second_hook(module, given, output):
    return output * 2


def test_a_registry_of_classes_may_be_a_set():
    class Base:
        known = set()

        def __init_subclass__(cls):
            Base.known.add(cls)

    class One(Base):
        pass

    assert fingerprint(One) == fingerprint(One)


@pytest.mark.parametrize(
    "body",
    [
        "import importlib\n    return importlib.import_module('helpers').f(x)",
        "import sys\n    return sys.modules['helpers'].f(x)",
    ],
)
def test_code_that_is_reached_by_a_made_name_is_refused(body):
    space = {}
    exec(f"def f(x):\n    {body}", space)
    with pytest.raises(NoFingerprint, match="reaches code by a name that is made as it runs"):
        fingerprint(space["f"])


def test_the_name_of_a_run_and_how_often_torch_has_counted_hooks_do_not_matter():
    before = key(model=net(by_hook(2)))
    for _ in range(3):
        net(by_hook(1))(None, 0)
    assert key(model=net(by_hook(2))) == before


@pytest.mark.slow
@pytest.mark.parametrize("seed", "12")
def test_every_process_agrees(seed):
    source = """
        from debias_course import data, methods, models
        from debias_course.fingerprints import fingerprint
        from debias_course.study.jobs import Job, keyed
        job = Job("m", methods.GroupDRO(), data.toys.shortcut(n=40), models.mlp, 0, (("epochs", 1),), "cpu")
        print(next(keyed([job])).key, fingerprint({"a", "b", "c"}))
    """
    command = [sys.executable, "-c", textwrap.dedent(source)]
    done = subprocess.run(command, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
    here = key(methods.GroupDRO(), models.mlp, epochs=1)
    assert done.stdout.split() == [here, fingerprint({"a", "b", "c"})]


@pytest.mark.parametrize(
    "thing",
    [threading.Lock(), (each for each in "ab"), sys.stdout, lambda: eval("1 + 1")],
    ids=["lock", "generator", "stdout", "eval"],
)
def test_what_cannot_be_known_is_refused_with_its_place(thing):
    with pytest.raises(NoFingerprint, match="so that a kept result could be that of something else; leave it out"):
        key(Partnered(partner={"deep": [thing]}))
    with pytest.raises(NoFingerprint, match=r"partner\.deep\.0.*(lock|genexpr|Text|Encoded|eval)"):
        fingerprint(Partnered(partner={"deep": [thing]}))


@pytest.mark.slow
def test_two_methods_of_one_factory_keep_their_own_results(tmp_path, monkeypatch):
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path))

    def made(power):
        class Mine(ERM):
            def loss(self, model, batch, state):
                return super().loss(model, batch, state) * power

        return Mine()

    both = {"plain": made(1.0), "upside down": made(-1.0)}
    of = dict(data=data.toys.shortcut, seeds=1, model=models.linear, epochs=3, lr=0.1, progress=False)
    first, again = (study(both, **of) for _ in range(2))
    values = [[found.value(name, 0, "overall") for name in both] for found in (first, again)]
    assert values[0] == values[1] and values[0][0] > 0.5 > values[0][1]


def test_reached_names_code_and_not_what_objects_hold():
    there = reached(lambda: (evaluate, SPLITS), but=("debias_course.data",))
    assert contexts.evaluating.__wrapped__ in there and evaluate in there and training.train not in there
    assert not any((each.__module__ or "").startswith("debias_course.data") for each in there)


class Linked:
    def __init__(self, number):
        self.number, self.others = number, []


def net_of(n, last):
    """Objects that all know each other: n! ways through them."""
    made = [Linked(number) for number in range(n)]
    for each in made:
        each.others = [other for other in made if other is not each]
    made[-1].number = last
    return made[0]


@pytest.mark.slow
def test_a_net_of_objects_has_a_fingerprint_too():
    assert fingerprint(net_of(12, last=1)) == fingerprint(net_of(12, last=1)) != fingerprint(net_of(12, last=2))
    graph = [torch.fx.symbolic_trace(torch.nn.Sequential(linear(0), torch.nn.ReLU(), linear(s))) for s in (0, 0, 1)]
    first, same, other = map(fingerprint, graph)
    assert first == same != other


def test_a_chain_of_calls_may_be_as_long_as_it_likes():
    space = {"f0": lambda: 1}
    for n in range(1, 3000):
        space[f"f{n}"] = types.FunctionType(compile(f"f{n - 1}()", "<chain>", "eval"), space)
    assert len(reached(space["f2999"])) == 3000
    nested = list(itertools.accumulate(range(5000), lambda inner, _: [inner], initial=[]))[-1]
    with pytest.raises(NoFingerprint, match="nested too deeply"):
        fingerprint(nested)
