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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..checks import Unsuitable, choice, isa
from .given import features, names_of, row_numbers, targets_of
from .streaming import ImageFiles

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("train", "validation", "test")
UNKNOWN = "unknown"  # the attribute of all, where none is known


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


class Batch(NamedTuple):
    """What a training step sees: float inputs [B, ...] and int64 labels, attributes, groups and indices [B]; an index
    is the sample's row in the data that the epoch trains on; `soft` are the targets of the data, float [B, n_labels],
    or [B, 0] where they have none."""

    inputs: Tensor
    labels: Tensor
    attributes: Tensor
    groups: Tensor
    indices: Tensor
    soft: Tensor

    @property
    def targets(self) -> Tensor:
        """What the cross-entropy is taken against: the labels, or what stands in their place."""
        return self.soft if self.soft.shape[1] else self.labels


@dataclass(frozen=True, eq=False, repr=False)
class GroupedData:
    """Samples with labels and attributes, kept as whole tensors on one device and indexed there; images may stay on
    disk instead, and are decoded batch by batch.

    inputs      uint8 [N, C, H, W] (images, read as float in [0, 1]), float [N, ...] (kept as float32) or `ImageFiles`
    labels      integer [N], values in 0 .. n_labels-1; -1 for a sample whose label is not known, which is in no group
    attributes  integer [N], values in 0 .. n_attributes-1
    label_names, attribute_names  fix n_labels and n_attributes: different texts, in a tuple or a list
    split       "train", "validation" or "test" for a part of `Splits`, and for what is taken from one; otherwise ""
    targets     float [N, n_labels] from 0, where training takes the cross-entropy against others than the labels: a
                probability for each label, times the sample's weight (`changes` makes them). Groups and evaluation know
                the labels only

    Raises TypeError for what is no tensor, and ValueError for mismatched lengths, values out of range, groups of one
    name, and inputs that are not finite as float32.
    """

    inputs: Tensor | ImageFiles
    labels: Tensor
    attributes: Tensor
    label_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    split: str = ""
    targets: Tensor | None = None
    groups: Tensor = field(init=False)

    def __post_init__(self) -> None:
        for name, kinds in ("inputs", (Tensor, ImageFiles)), ("labels", Tensor), ("attributes", Tensor):
            isa(name, getattr(self, name), kinds, f"a tensor, such as torch.as_tensor({name})")
        if not self.inputs.ndim:
            raise ValueError("inputs are a single number; give one row per sample, [N, ...]")
        if self.targets is not None:
            isa("targets", self.targets, Tensor, "a float tensor [N, n_labels], or None")
        if len({x.device for x in self._tensors.values() if isinstance(x, Tensor)}) > 1:
            raise ValueError(f"{', '.join(self._tensors)} lie on different devices; move them to one")
        for name in ("label_names", "attribute_names"):
            object.__setattr__(self, name, names_of(name, getattr(self, name)))
        group_names(self.label_names, self.attribute_names)
        choice("split", self.split, ("", *PARTS))
        n = len(self.inputs)
        for name, names in ("labels", self.label_names), ("attributes", self.attribute_names):
            values = getattr(self, name)
            if values.ndim != 1 or len(values) != n:
                raise ValueError(f"{n} inputs but {name} of shape {tuple(values.shape)}; give one value per input")
            if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
                raise ValueError(f"{name} are {values.dtype}; give integers, such as {name}.long()")
            if n and not -(name == "labels") <= int(values.min()) <= int(values.max()) < len(names):
                unknown = ", or -1 where a label is not known," if name == "labels" else ""
                raise ValueError(
                    f"{name} range from {int(values.min())} to {int(values.max())}, but {len(names)} names are "
                    f"given; use 0 to {len(names) - 1}{unknown} or name the others"
                )
            object.__setattr__(self, name, values.long())
        if isinstance(self.inputs, Tensor) and self.inputs.dtype != torch.uint8:
            object.__setattr__(self, "inputs", features(self.inputs))
        if self.targets is not None:
            object.__setattr__(self, "targets", targets_of(self.targets, n, self.n_labels))
        groups = group_ids(self.labels, self.attributes, self.n_attributes)
        object.__setattr__(self, "groups", groups.where(self.labels >= 0, -1) if self.unlabelled else groups)

    @property
    def _tensors(self) -> dict[str, Any]:
        """What has a row for each sample, and is given."""
        known = dict(inputs=self.inputs, labels=self.labels, attributes=self.attributes)
        return known if self.targets is None else known | dict(targets=self.targets)

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.inputs.shape[1:]))
        kind = str(self.inputs.dtype).removeprefix("torch.") + " on disk" * isinstance(self.inputs, ImageFiles)
        counts = self.counts.tolist()
        first = " | ".join(f"{name} {n}" for name, n in list(zip(self.group_names, counts))[:4])
        more = f" | … {self.n_groups} groups" if self.n_groups > 4 else ""
        more += f" | {self.unlabelled} without a label" if self.unlabelled else ""
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

    @cached_property
    def unlabelled(self) -> int:
        """How many samples have no label."""
        return int((self.labels < 0).sum())

    @property
    def attribute_known(self) -> bool:
        """Whether there is an attribute, and not only one for all that says that it is unknown."""
        return self.attribute_names != (UNKNOWN,)

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
        known = self.groups[self.labels >= 0] if self.unlabelled else self.groups
        return torch.bincount(known, minlength=self.n_groups)

    def counts_by(self, by: str) -> Tensor:
        """Samples per "group", "label" or "attribute"; those without a label count for their attribute."""
        choice("by", by, ("group", "label", "attribute"))
        if by == "attribute" and self.unlabelled:
            return torch.bincount(self.attributes, minlength=self.n_attributes)
        grid = self.counts.view(self.n_labels, self.n_attributes)
        return {"group": self.counts, "label": grid.sum(1), "attribute": grid.sum(0)}[by]

    def members(self, by: str) -> tuple[Tensor, Tensor]:
        """The indices of the samples, population by population ("group", "label" or "attribute"), int64 [N], and the
        size of each population [C]; both on the CPU, sorted once. What is in none, for want of a label, is left out."""
        key = f"_members_{choice('by', by, ('group', 'label', 'attribute'))}"
        if key not in self.__dict__:
            ids = {"group": self.groups, "label": self.labels, "attribute": self.attributes}[by]
            sizes = self.counts_by(by).cpu()
            self.__dict__[key] = torch.argsort(ids.cpu(), stable=True)[len(self) - int(sizes.sum()) :], sizes
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
        soft = inputs.new_empty((len(labels), 0)) if self.targets is None else self.targets.index_select(0, indices)
        return Batch(inputs, labels, attributes, groups, indices, soft)

    def batches(self, parts: Iterable[Tensor]) -> Iterator[Batch]:
        """`batch` of each of the parts, in order; images on disk are read ahead, until the iterator ends."""
        if isinstance(self.inputs, ImageFiles):
            parts = list(parts)
            return (self._batch(*each) for each in zip(self.inputs.read(parts), parts))
        return map(self.batch, parts)

    def subset(self, indices: Tensor | np.ndarray | Sequence) -> GroupedData:
        """The samples `indices` (whole numbers or a mask), in that order, as a data set of their own."""
        rows = row_numbers(indices, len(self)).to(self.device)
        return replace(self, **{name: each[rows] for name, each in self._tensors.items()})

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
        tensors = ("inputs", "labels", *(["attributes"] if self.attribute_known == other.attribute_known else []))
        return len(other) * all(torch.equal(getattr(self, name), getattr(other, name)) for name in tensors)

    def to(self, device: torch.device | str) -> GroupedData:
        """The same data on another device; itself where it is there already."""
        if self.device == torch.device(device):
            return self
        return replace(self, **{name: each.to(device) for name, each in self._tensors.items()})

    def fingerprint(self) -> str:
        """Hash of the content: equal data have equal fingerprints, on every device. Of images on disk, it is that of
        the files' names, sizes and modification times, and of how images are decoded."""
        digest = hashlib.sha256(repr((self.label_names, self.attribute_names, self.inputs.shape)).encode())
        for x in self._tensors.values():
            digest.update(x.stamp().encode() if isinstance(x, ImageFiles) else x.cpu().contiguous().numpy().data)
        return digest.hexdigest()
