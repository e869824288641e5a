"""How well does a model do, and for whom?

Four averages of one model can tell four stories, so none of them is called "accuracy" here:

    overall         share of the test samples that are right; depends on how the test set is composed
    group-balanced  the mean over groups, each counting the same
    worst group     the lowest group accuracy, with the group's name (not necessarily the smallest group)
    train-weighted  group accuracies weighted by the groups' shares in training: what one would see on data that are
                    distributed like the training data (the "average accuracy" of most Waterbirds tables)
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from .checks import LARGEST, grouped, kind_of, network, whole
from .contexts import evaluating, threads_for
from .data import GroupedData
from .data.columns import apart, merged
from .shares import Z95 as Z95
from .shares import Share as Share
from .shares import weighted as weighted
from .shares import wilson as wilson

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class GroupReport:
    """Right answers and samples per group, and what follows from them.

    correct, n         one whole number per group, in the order of the group ids
    label_names, attribute_names
    train_n            samples per group in training, where known (needed by `train_weighted`); where the attribute is
                       not known in training, samples per label
    """

    correct: tuple[int, ...]
    n: tuple[int, ...]
    label_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    train_n: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        groups = len(self.label_names) * len(self.attribute_names)
        for name in ("n", "correct", "train_n"):
            counts = getattr(self, name)
            if counts is None and name == "train_n":
                continue
            sizes = (groups, len(self.label_names)) if name == "train_n" else (groups,)
            if not isinstance(counts, Sequence) or len(counts) not in sizes:
                raise ValueError(f"{name} is {counts!r}; use a tuple with one number for each of the {groups} groups")
            for g, count in enumerate(counts):
                whole(f"{name}[{g}]", count, 0, self.n[g] if name == "correct" else LARGEST)

    @property
    def group_names(self) -> list[str]:
        """ "label, attribute" for each group."""
        return [f"{label}, {attribute}" for label in self.label_names for attribute in self.attribute_names]

    @property
    def groups(self) -> list[Share | None]:
        """Accuracy of each group; None for a group without samples, which is neither 0 nor NaN."""
        return [self._share(g) if n else None for g, n in enumerate(self.n)]

    def _share(self, group: int) -> Share:
        return wilson(self.correct[group], self.n[group])

    @property
    def _present(self) -> list[int]:
        present = [g for g, n in enumerate(self.n) if n]
        if not present:
            raise ValueError("no group has a sample; evaluate on data that are not empty")
        return present

    @property
    def overall(self) -> Share:
        """Accuracy on all samples."""
        return wilson(sum(self.correct), sum(self.n))

    @property
    def group_balanced(self) -> Share:
        """The mean accuracy of the groups, each weighing the same."""
        present = self._present
        return weighted([self._share(g) for g in present], [1.0] * len(present))

    @property
    def worst(self) -> int:
        """The id of the group with the lowest accuracy, the first of equals."""
        return min(self._present, key=lambda g: self.correct[g] / self.n[g])

    @property
    def worst_group(self) -> Share:
        """The interval is the group's own: it does not know that the group was picked for being the worst."""
        return self._share(self.worst)

    @property
    def worst_class(self) -> Share:
        """The lowest label accuracy, whatever the attributes."""
        a = len(self.attribute_names)
        starts = sorted({g - g % a for g in self._present})
        shares = [wilson(sum(self.correct[i : i + a]), sum(self.n[i : i + a])) for i in starts]
        return min(shares, key=lambda share: share.value)

    @property
    def train_weighted(self) -> Share:
        """The mean accuracy of the groups, weighted by their sizes in training; ValueError where those are unknown."""
        if self.train_n is None:
            raise ValueError("the group counts of training are not known; pass train=data.train to evaluate")
        if not any(self.train_n):
            raise ValueError("train has no sample; pass the data that the model was trained on")
        if len(self.train_n) != len(self.n):
            raise ValueError(
                "the attribute is not known in training, so its groups have no sizes there; use another average"
            )
        missing = [name for name, n, trained in zip(self.group_names, self.n, self.train_n) if trained and not n]
        if missing:
            raise ValueError(
                f"group '{missing[0]}' has training but no test samples; test on data that hold every group"
            )
        present = [g for g in self._present if self.train_n[g]]
        return weighted([self._share(g) for g in present], [self.train_n[g] for g in present])

    def _shot(self, low: float, high: float, kind: str) -> Share:
        """The mean accuracy of the labels with `low` to `high` training samples, each label counting the same."""
        if self.train_n is None:
            raise ValueError("the group counts of training are not known; pass train=data.train to evaluate")
        a = len(self.attribute_names)
        starts = range(0, len(self.n), a)
        rows = [tuple(sum(each[i : i + a]) for each in (self.correct, self.n)) for i in starts]
        per_label = a * len(self.train_n) // len(self.n)  # counts of training
        trained = [sum(self.train_n[i : i + per_label]) for i in range(0, len(self.train_n), per_label)]
        shares = [wilson(correct, n) for (correct, n), t in zip(rows, trained) if low <= t <= high and n]
        if not shares:
            raise ValueError(f"no label is {kind}: none with {low} to {high} training samples has test samples")
        return weighted(shares, [1.0] * len(shares))

    @property
    def many_shot(self) -> Share:
        """Labels with more than 100 training samples (the three bands are those of Liu et al. 2019, section 5)."""
        return self._shot(101, math.inf, "many-shot")

    @property
    def medium_shot(self) -> Share:
        """Labels with 20 to 100 training samples."""
        return self._shot(20, 100, "medium-shot")

    @property
    def few_shot(self) -> Share:
        """Labels with fewer than 20 training samples."""
        return self._shot(0, 19, "few-shot")

    def by_attribute(self) -> dict[str, GroupReport]:
        """Where several attributes were crossed, the report of each, {"sex": ..., "age": ...}, summed over the others:
        a sample counts in a group of each, so these groups overlap. {} where there is one attribute."""
        labels, groups, found = len(self.label_names), len(self.n), {}
        for column, (names, places) in apart(self.attribute_names).items():

            def of(counts: tuple[int, ...], places: list[int] = places) -> tuple[int, ...]:
                return tuple(merged(np.reshape(counts, (labels, -1)).T, places).T.flatten().tolist())

            trained = of(self.train_n) if self.train_n and len(self.train_n) == groups else self.train_n
            found[column] = GroupReport(of(self.correct), of(self.n), self.label_names, names, trained)
        return found

    def table(self) -> pd.DataFrame:
        """Data frame with one row per group: label, attribute, group, n, correct, accuracy, low, high."""
        import pandas as pd

        grid = [(label, attribute) for label in self.label_names for attribute in self.attribute_names]
        frame = pd.DataFrame(grid, columns=["label", "attribute"])
        frame["group"], frame["n"], frame["correct"] = self.group_names, self.n, self.correct
        for name in ("value", "low", "high"):
            column = [getattr(share, name) if share else pd.NA for share in self.groups]
            frame["accuracy" if name == "value" else name] = pd.array(column, dtype="Float64")
        return frame

    def __str__(self) -> str:
        worst = self.worst_group
        parts = [
            f"overall {self.overall}",
            f"group-balanced {self.group_balanced}",
            f"worst {worst.value:.3f} at {self.group_names[self.worst]} "
            f"(n={worst.n}, 95% {worst.low:.2f}-{worst.high:.2f})",
        ]
        empty = [name for name, n in zip(self.group_names, self.n) if not n]
        if self.train_n and any(self.train_n):
            with contextlib.suppress(ValueError):  # of what is not tested, or not known in training
                parts.append(f"train-weighted {self.train_weighted}")
        if empty:
            parts.append(f"no sample in {len(empty)} of {len(self.n)} groups ({'; '.join(empty[:3])})")
        return " | ".join(parts)

    __repr__ = __str__


def group_counts(values: Tensor, groups: Tensor, n_groups: int) -> Tensor:
    """Sum of `values` [N] in each group, float [n_groups]."""
    values = values.float()
    return values.new_zeros(n_groups).index_add_(0, groups, values)


@torch.no_grad()
def predict(model: nn.Module, data: GroupedData, *, batch_size: int = 1024) -> Tensor:
    """Logits [N, n_labels] in evaluation mode, on the model's device; every submodule's mode is put back."""
    network(model)
    grouped(data)
    whole("batch_size", batch_size, 1)
    device = next((t.device for t in [*model.parameters(), *model.buffers()]), data.device)
    data = data.to(device)
    with evaluating(model), threads_for(model):
        rows = torch.arange(len(data), device=device).split(batch_size)
        return torch.cat([_outputs(model, batch.inputs) for batch in data.batches(rows)])


def _outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    """What the model returns for a batch, where that is one tensor with a row for each of its samples."""
    try:
        outputs = model(inputs)
    except RuntimeError as error:
        others = {p.dtype for p in model.parameters() if p.is_floating_point()} - {inputs.dtype}
        if others and "type" in str(error):
            raise TypeError(f"the model is {others.pop()}, the data are {inputs.dtype}; use model.float()") from error
        raise
    if not isinstance(outputs, Tensor):
        raise TypeError(f"the model returns {kind_of(outputs)}; make it return one tensor, logits [B, n_labels]")
    if outputs.shape[:1] != inputs.shape[:1] or outputs.is_complex():
        raise ValueError(
            f"the model returns {outputs.dtype} {tuple(outputs.shape)} for {len(inputs)} samples; it should return "
            f"logits [{len(inputs)}, n_labels]"
        )
    return outputs


def evaluate(
    model: nn.Module, data: GroupedData, *, train: GroupedData | None = None, batch_size: int = 1024
) -> GroupReport:
    """Group accuracies of `model` on `data`; `train` gives the train-weighted average its weights, where its attribute
    is known. Whether a sample is right, its label decides; each counts once, whatever weight it has in training."""
    grouped(data)
    if data.unlabelled:
        raise ValueError(no_labels(data))
    if train is not None:
        grouped(train, "train")
        alike = train.attribute_names == data.attribute_names or not train.attribute_known
        if train.label_names != data.label_names or not alike:
            raise ValueError("train and data name labels or attributes differently; use one grid of groups for both")
    logits = class_logits(model, data, batch_size=batch_size)
    right = logits.argmax(1) == data.labels.to(logits.device)
    correct = group_counts(right, data.groups.to(logits.device), data.n_groups)
    return GroupReport(
        tuple(int(c) for c in correct.tolist()),
        tuple(data.counts.tolist()),
        data.label_names,
        data.attribute_names,
        None if train is None else tuple(train.counts.tolist()),
    )


def no_labels(data: GroupedData) -> str:
    """Why nothing can be evaluated on data with the label -1, and what to do."""
    what = f"{data.unlabelled:,} of {len(data):,} samples have no label, so nobody knows who is right"
    return f"{what}; evaluate on data.subset(data.labels >= 0)"


def class_logits(model: nn.Module, data: GroupedData, *, batch_size: int = 1024) -> Tensor:
    """`predict`; ValueError for other than a column for each label, FloatingPointError for what is not finite."""
    logits = predict(model, data, batch_size=batch_size)
    if logits.ndim != 2 or logits.shape[1] != data.n_labels:
        raise ValueError(
            f"the model returns {tuple(logits.shape)} for {len(data)} samples of {data.n_labels} labels; "
            f"it should return logits [{len(data)}, {data.n_labels}]"
        )
    if not torch.isfinite(logits).all():
        raise FloatingPointError("the model's outputs are not finite, so it has no accuracy; lower lr and train again")
    return logits
