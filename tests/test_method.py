"""Method: its fields, and own methods. What all methods of the course promise is in test_contract."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from debias_course.methods import (
    ERM,
    METHODS,
    SMOTE,
    BatchSampling,
    DrawnMining,
    EpochSampling,
    GroupDRO,
    LossReweighting,
    SpectralDecoupling,
    knob,
    knobs,
)


class Undecorated(LossReweighting):
    power: float = 0.5


class Untyped(LossReweighting):
    power = 0.5


@dataclass(frozen=True, kw_only=True)
class UntypedButDecorated(LossReweighting):
    power = 0.5


class NewAndUndecorated(ERM):
    width: int = 3


class KnobWithoutType(ERM):
    width = knob(3, low=1, high=9)


class Shadowed(LossReweighting):
    def power(self):
        return 0.5


class HandedOn(Undecorated):
    """min: nothing new, but what it inherits is not used."""


class FromBeside(Untyped, LossReweighting):
    pass


@pytest.mark.parametrize(
    "wrong",
    [Undecorated, Untyped, UntypedButDecorated, NewAndUndecorated, KnobWithoutType, Shadowed, HandedOn, FromBeside],
)
def test_a_value_that_would_not_be_used_is_refused(wrong):
    """`Undecorated().power` would be 1.0, which is its parent's."""
    words = (
        r" gives (power|width) a value that would not be used; put @dataclass\(frozen=True, kw_only=True\) above the "
        "class, and a type behind the name"
    )
    with pytest.raises(TypeError, match=words):
        wrong()


@dataclass(frozen=True, kw_only=True)
class Half(LossReweighting):
    power: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Listed(ERM):
    seen: list = dataclasses.field(default_factory=list, compare=False)
    width: int = knob(3, low=1, high=9)


class Plain(Half):
    """min: no field of its own, so no decorator."""

    needs = "group labels"
    LIMIT: ClassVar[int] = 3
    note = "not a hyper-parameter"

    def loss(self, model, batch, state):
        return super().loss(model, batch, state)


def test_what_is_used_is_accepted():
    assert Half().power == Plain().power == 0.5 and Plain(power=0.25).power == 0.25
    assert Plain().needs == "group labels" and Plain.LIMIT == 3
    assert Listed(width=5).width == 5 and dataclasses.replace(Listed(), width=4).width == 4


@pytest.mark.parametrize(
    "value", [3, 3.0, np.int64(3), np.uint8(3), np.float32(3), np.array(3), torch.tensor(3), torch.tensor(3.0)]
)
def test_a_whole_number_may_come_from_anywhere(value):
    k = SMOTE(k=value).k
    assert k == 3 and type(k) is int


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), torch.tensor(0.5)])
def test_a_number_may_come_from_anywhere(value):
    method = LossReweighting(power=value)
    assert method == LossReweighting(power=0.5) and type(method.power) is float
    assert type(SMOTE(by=np.str_("group")).by) is str


@pytest.mark.parametrize("value", [True, np.True_, np.array(True), torch.tensor(True)])
def test_a_yes_may_come_from_anywhere(value):
    assert DrawnMining(correct=value).correct is True


@pytest.mark.parametrize("value", ["yes", "no", "true", 0, 1, 1.0, None, np.int64(1), torch.tensor(0), [True]])
def test_a_yes_or_no_is_true_or_false(value):
    with pytest.raises(ValueError, match=r"DrawnMining.correct is .*; use True or False"):
        DrawnMining(correct=value)


def test_every_knob_that_is_yes_or_no_is_a_bool():
    for kind in METHODS.values():
        for name, declared in knobs(kind).items():
            assert not {"yes", "no"} & set(declared.choices), f"make {name} a bool"
            if isinstance(declared.default, bool):
                assert declared.choices == (True, False) and declared.range() == "True | False"


@pytest.mark.parametrize(
    "method, name, values",
    [
        (EpochSampling, "counts", (5, 4, 3, 2)),
        (SMOTE, "counts", (250, 210)),
        (BatchSampling, "shares", (0.5, 0.25, 0.25)),
        (GroupDRO, "adjustments", (1.0, 0.0)),
        (SpectralDecoupling, "offsets", (0.44, -2.5)),
    ],
)
@pytest.mark.parametrize("kind", [tuple, list, np.array, torch.tensor])
def test_arrays_become_tuples(method, name, values, kind):
    """So that a method can be hashed, compared and kept, and nobody can change it from outside."""
    given = kind(values) if kind is not torch.tensor else torch.tensor(values, dtype=torch.float64)
    given = given.long() if kind is torch.tensor and isinstance(values[0], int) else given
    made = method(**{name: given})
    kept = getattr(made, name)
    assert kept == values and type(kept) is tuple and {type(each) for each in kept} == {type(values[0])}
    assert made == method(**{name: values}) and hash(made) == hash(method(**{name: values}))
    assert getattr(method(**{name: kind(())}), name) == ()
