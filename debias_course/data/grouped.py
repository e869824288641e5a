"""Grouped data: every sample has a label, an attribute, and the group that the two form.

    group = label * n_attributes + attribute

This is the only place that knows the formula. A group is empty or not, but its id never shifts: ids come
from the fixed (n_labels, n_attributes) grid, not from the values that a split happens to hold.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..checks import Unsuitable, choice, isa, shown
from .streaming import ImageFiles

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("train", "validation", "test")


def group_ids(labels: Tensor, attributes: Tensor, n_attributes: int) -> Tensor:
    """Group of each sample, shape and device of `labels`, int64."""
    return labels.long() * n_attributes + attributes.long()


def label_and_attribute(groups: Tensor, n_attributes: int) -> tuple[Tensor, Tensor]:
    """The inverse of `group_ids`."""
    return groups // n_attributes, groups % n_attributes


def group_names(label_names: Sequence[str], attribute_names: Sequence[str]) -> tuple[str, ...]:
    """ "label, attribute" for each group id; ValueError where two groups would have one name."""
    names = tuple(f"{label}, {attribute}" for label in label_names for attribute in attribute_names)
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise ValueError(f"two groups would be called {twice!r}; rename their labels or attributes, without a comma")
    return names


def row_numbers(indices: Tensor | np.ndarray | Sequence, n: int) -> Tensor:
    """Rows of n samples, int64 [M], from whole numbers [M] (-1 is the last) or a mask of booleans [n]."""
    try:
        rows = indices if isinstance(indices, Tensor) else torch.as_tensor(np.array(indices))
    except (TypeError, ValueError):  # no numbers, or of different lengths
        rows = torch.zeros(())
    if rows.ndim != 1 or (len(rows) and (rows.is_floating_point() or rows.is_complex())):
        raise TypeError(f"the indices are {shown(indices)}; give whole numbers or a mask: a tensor, an array or a list")
    if rows.dtype == torch.bool:
        if len(rows) != n:
            raise ValueError(f"the mask has {len(rows)} values for {n} samples; give one for each")
        return rows.nonzero().flatten()
    rows = rows.long()
    if len(rows) and not -n <= int(rows.min()) <= int(rows.max()) < n:
        raise ValueError(f"the indices range from {int(rows.min())} to {int(rows.max())}, but there are {n} samples")
    return rows


def _names(name: str, names: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    good = isinstance(names, (tuple, list)) and names and all(isinstance(n, str) and n.strip() for n in names)
    if not good or len(set(names)) < len(names):
        raise ValueError(f"{name} are {shown(names)}; give a tuple of different names, none of them empty")
    return tuple(map(str, names))


def _float32(inputs: Tensor) -> Tensor:
    """Features as they are kept; ValueError where they are none, or not finite then."""
    if not inputs.is_floating_point():
        raise ValueError(f"inputs are {inputs.dtype}; give uint8 images or floating-point features")
    kept, n = inputs.detach().float(), len(inputs)
    bad = (~torch.isfinite(kept)).reshape(n, -1).any(1).nonzero().flatten() if n else kept.new_zeros(0)
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {n} inputs hold NaN or infinite values, or such as float32 cannot hold (first at index "
            f"{int(bad[0])}); drop, repair or scale them before building the data"
        )
    return kept


class Batch(NamedTuple):
    """What a training step sees: float inputs [B, ...] and int64 labels, attributes, groups and indices [B]; an index
    is the sample's row in the data that the epoch trains on."""

    inputs: Tensor
    labels: Tensor
    attributes: Tensor
    groups: Tensor
    indices: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class GroupedData:
    """Samples with labels and attributes, kept as whole tensors on one device and indexed there; images may stay on
    disk instead, and are decoded batch by batch.

    inputs      uint8 [N, C, H, W] (images, read as float in [0, 1]), float [N, ...] (kept as float32) or `ImageFiles`
    labels      integer [N], values in 0 .. n_labels-1
    attributes  integer [N], values in 0 .. n_attributes-1
    label_names, attribute_names  fix n_labels and n_attributes: different texts, in a tuple or a list
    split       "train", "validation" or "test" for a part of `Splits`, and for what is taken from one; otherwise ""

    Raises TypeError for what is no tensor, and ValueError for mismatched lengths, values out of range, groups of one
    name, and inputs that are not finite as float32.
    """

    inputs: Tensor | ImageFiles
    labels: Tensor
    attributes: Tensor
    label_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    split: str = ""
    groups: Tensor = field(init=False)

    def __post_init__(self) -> None:
        for name, kinds in ("inputs", (Tensor, ImageFiles)), ("labels", Tensor), ("attributes", Tensor):
            isa(name, getattr(self, name), kinds, f"a tensor, such as torch.as_tensor({name})")
        if not self.inputs.ndim:
            raise ValueError("inputs are a single number; give one row per sample, [N, ...]")
        if len({x.device for x in (self.inputs, self.labels, self.attributes) if isinstance(x, Tensor)}) > 1:
            raise ValueError("inputs, labels and attributes lie on different devices; move them to one")
        for name in ("label_names", "attribute_names"):
            object.__setattr__(self, name, _names(name, getattr(self, name)))
        group_names(self.label_names, self.attribute_names)
        choice("split", self.split, ("", *PARTS))
        n = len(self.inputs)
        for name, names in ("labels", self.label_names), ("attributes", self.attribute_names):
            values = getattr(self, name)
            if values.ndim != 1 or len(values) != n:
                raise ValueError(f"{n} inputs but {name} of shape {tuple(values.shape)}; give one value per input")
            if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
                raise ValueError(f"{name} are {values.dtype}; give integers, such as {name}.long()")
            if n and not 0 <= int(values.min()) <= int(values.max()) < len(names):
                raise ValueError(
                    f"{name} range from {int(values.min())} to {int(values.max())}, but {len(names)} names are "
                    f"given; use 0 to {len(names) - 1} or name the others"
                )
            object.__setattr__(self, name, values.long())
        if isinstance(self.inputs, Tensor) and self.inputs.dtype != torch.uint8:
            object.__setattr__(self, "inputs", _float32(self.inputs))
        object.__setattr__(self, "groups", group_ids(self.labels, self.attributes, self.n_attributes))

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.inputs.shape[1:]))
        kind = str(self.inputs.dtype).removeprefix("torch.") + " on disk" * isinstance(self.inputs, ImageFiles)
        counts = self.counts.tolist()
        first = " | ".join(f"{name} {n}" for name, n in list(zip(self.group_names, counts))[:4])
        more = f" | … {self.n_groups} groups" if self.n_groups > 4 else ""
        return f"GroupedData({len(self)} × {shape} {kind}: {first}{more})"

    @property
    def n_labels(self) -> int:
        """How many labels there can be."""
        return len(self.label_names)

    @property
    def n_attributes(self) -> int:
        """How many attributes there can be."""
        return len(self.attribute_names)

    @property
    def n_groups(self) -> int:
        """How many groups there can be, empty ones counted."""
        return self.n_labels * self.n_attributes

    @property
    def device(self) -> torch.device:
        """Where batches are."""
        return self.labels.device

    @cached_property
    def group_names(self) -> tuple[str, ...]:
        """ "label, attribute" for each group id."""
        return group_names(self.label_names, self.attribute_names)

    @cached_property
    def counts(self) -> Tensor:
        """Samples per group, int64 [n_groups]; 0 for an empty group."""
        return torch.bincount(self.groups, minlength=self.n_groups)

    def counts_by(self, by: str) -> Tensor:
        """Samples per "group", "label" or "attribute"."""
        choice("by", by, ("group", "label", "attribute"))
        grid = self.counts.view(self.n_labels, self.n_attributes)
        return {"group": self.counts, "label": grid.sum(1), "attribute": grid.sum(0)}[by]

    def members(self, by: str) -> tuple[Tensor, Tensor]:
        """The indices of the samples, population by population ("group", "label" or "attribute"), int64 [N], and the
        size of each population [C]; both on the CPU, sorted once."""
        key = f"_members_{choice('by', by, ('group', 'label', 'attribute'))}"
        if key not in self.__dict__:
            ids = {"group": self.groups, "label": self.labels, "attribute": self.attributes}[by]
            self.__dict__[key] = torch.argsort(ids.cpu(), stable=True), self.counts_by(by).cpu()
        return self.__dict__[key]

    def require_every_group(self, remedy: str) -> None:
        """Raise ValueError naming the first empty group, with what to do about it."""
        empty = (self.counts == 0).nonzero().flatten().tolist()
        if empty:
            others = f" (nor have {len(empty) - 1} other groups)" if len(empty) > 1 else ""
            raise Unsuitable(f"group '{self.group_names[empty[0]]}' has no example{others}; {remedy}")

    def table(self) -> pd.DataFrame:
        """Data frame with one row per group: label, attribute, n, share."""
        import pandas as pd

        grid = [(label, attribute) for label in self.label_names for attribute in self.attribute_names]
        frame = pd.DataFrame(grid, columns=["label", "attribute"])
        frame["n"] = self.counts.tolist()
        frame["share"] = frame["n"] / max(len(self), 1)
        return frame

    def batch(self, indices: Tensor) -> Batch:
        """Samples `indices` (int64 [B], same device), images as float in [0, 1]; no host copy."""
        return self._batch(self.inputs.index_select(0, indices), indices)

    def _batch(self, inputs: Tensor, indices: Tensor) -> Batch:
        if inputs.dtype == torch.uint8:
            inputs = inputs.float().mul_(1 / 255)
        labels, attributes, groups = (x.index_select(0, indices) for x in (self.labels, self.attributes, self.groups))
        return Batch(inputs, labels, attributes, groups, indices)

    def batches(self, parts: Iterable[Tensor]) -> Iterator[Batch]:
        """`batch` of each of the parts, in order; images on disk are read ahead, until the iterator ends."""
        if isinstance(self.inputs, ImageFiles):
            parts = list(parts)
            return (self._batch(*each) for each in zip(self.inputs.read(parts), parts))
        return map(self.batch, parts)

    def subset(self, indices: Tensor | np.ndarray | Sequence) -> GroupedData:
        """The samples `indices` (whole numbers or a mask), in that order, as a data set of their own."""
        rows = row_numbers(indices, len(self)).to(self.device)
        return replace(self, inputs=self.inputs[rows], labels=self.labels[rows], attributes=self.attributes[rows])

    def common(self, other: GroupedData) -> int:
        """How many samples of `other` are certainly samples of these data: those of the same files, rows that lie at
        the same place in memory, and all, where both are equal throughout. Copies of single rows are not told from rows
        that look alike."""
        mine, theirs = self.inputs, other.inputs
        if isinstance(mine, ImageFiles) or isinstance(theirs, ImageFiles):
            return mine.common(theirs) if isinstance(mine, ImageFiles) and isinstance(theirs, ImageFiles) else 0
        if mine.device != theirs.device or not mine.numel() or not theirs.numel():
            return 0
        if mine.untyped_storage().data_ptr() == theirs.untyped_storage().data_ptr():
            theirs, mine = (int(x.storage_offset()) + x.stride(0) * torch.arange(len(x)) for x in (theirs, mine))
            return int(torch.isin(theirs, mine).sum())
        tensors = ("inputs", "labels", "attributes")
        return len(other) * all(torch.equal(getattr(self, name), getattr(other, name)) for name in tensors)

    def to(self, device: torch.device | str) -> GroupedData:
        """The same data on another device; itself where it is there already."""
        if self.device == torch.device(device):
            return self
        moved = {name: getattr(self, name).to(device) for name in ("inputs", "labels", "attributes")}
        return replace(self, **moved)

    def fingerprint(self) -> str:
        """Hash of the content: equal data have equal fingerprints, on every device. Of images on disk, it is that of
        the files' names, sizes and modification times, and of how images are decoded."""
        digest = hashlib.sha256(repr((self.label_names, self.attribute_names, self.inputs.shape)).encode())
        for x in (self.inputs, self.labels, self.attributes):
            digest.update(x.stamp().encode() if isinstance(x, ImageFiles) else x.cpu().contiguous().numpy().data)
        return digest.hexdigest()
