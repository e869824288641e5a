"""Three parts of one data set: to train on, to choose by, and to test on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from ..checks import isa
from .grouped import PARTS, GroupedData


class _Splits(NamedTuple):
    train: GroupedData
    validation: GroupedData
    test: GroupedData


class Splits(_Splits):
    """Three parts of one data set. All three carry attributes; who may look at them is the method's affair. Train may
    have one for all samples that is called "unknown", beside validation and test that know theirs: then one chooses by
    the worst group, and trains without groups.

    Raises ValueError for parts with other names, or the same in another order, or inputs of another shape, and where
    samples of validation or test are in train, too, as far as `GroupedData.common` can tell. Validation and test may
    share samples, as those of Colored MNIST do: for looking on, not for choosing an epoch by them.
    """

    __slots__ = ()

    def __new__(cls, train: GroupedData, validation: GroupedData, test: GroupedData) -> Splits:
        parts = dict(zip(PARTS, (train, validation, test)))
        for name, part in parts.items():
            isa(name, part, GroupedData, "GroupedData")
            for what in ("label_names", "attribute_names"):
                other = "train" if train.attribute_known or what == "label_names" else "validation"
                here, there = getattr(part, what), getattr(parts[other], what)
                if here != there and part is not train:
                    raise ValueError(f"{what} are {here} in {name}, but {there} in {other}; use the same, in one order")
            here, there = (tuple(each.inputs.shape[1:]) for each in (part, train))
            if here != there:
                raise ValueError(f"inputs are of shape {here} in {name}, but {there} in train; give all one shape")
        for name in PARTS[1:]:
            if parts[name].unlabelled:
                what = f"{parts[name].unlabelled:,} samples of {name} have no label"
                raise ValueError(f"{what}; leave them out with data.subset(data.labels >= 0), or put them into train")
            if shared := train.common(parts[name]):
                what = f"{shared:,} of the {len(parts[name]):,} samples of {name}"
                raise ValueError(f"{what} are in train, too; leave them out of one of the two")
        return super().__new__(cls, *(replace(part, split=name) for name, part in parts.items()))

    @classmethod
    def _make(cls, iterable: Iterable[GroupedData]) -> Splits:  # type: ignore[override]  # mypy takes _make for generic
        """What `_replace` calls."""
        return cls(*iterable)
