"""What changes data that are there: smaller images, fewer samples, wrong labels; what training takes for right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checks import isa, number, seeded, share, shown
from .grouped import GroupedData
from .splits import Splits

DATA = "GroupedData, such as splits.train"
SUM = 1e-3  # by which the probabilities of one sample may miss 1: as many as people write out


def half_size(splits: Splits) -> Splits:
    """The same images with half as many rows and columns, each pixel the mean of 2×2, rounded; four times as fast."""
    for part in isa("splits", splits, Splits, "Splits, such as colored_digits()"):
        if part.inputs.dtype != torch.uint8 or part.inputs.ndim != 4 or min(part.inputs.shape[2:]) < 2:
            what = f"{str(part.inputs.dtype).removeprefix('torch.')} {list(part.inputs.shape)}"
            raise ValueError(f"the inputs of {part.split} are {what}; half_size takes images, uint8 [N, C, H, W]")
    small = (torch.nn.functional.avg_pool2d(part.inputs.float(), 2).round().to(torch.uint8) for part in splits)
    return Splits(*(replace(part, inputs=inputs) for part, inputs in zip(splits, small)))


def thin(data: GroupedData, keep: Sequence[float], *, seed: int = 0) -> GroupedData:
    """Fewer samples of some labels: a share keep[y] of every group of label y, to exactly the nearest whole number.

    Shrinking all groups of a label alike makes classes unequal without touching the correlation with the attribute.
    """
    isa("data", data, GroupedData, DATA)
    if not isinstance(keep, (tuple, list)) or len(keep) != data.n_labels:
        raise ValueError(f"keep is {shown(keep)}; give one share from 0 to 1 for each of the {data.n_labels} labels")
    keep = [share(f"keep for {name!r}", each) for name, each in zip(data.label_names, keep)]
    generator = seeded(seed)
    kept = [(data.labels < 0).nonzero().flatten()]
    for group, n in enumerate(data.counts.tolist()):
        rows = (data.groups == group).nonzero().flatten()
        chosen = torch.randperm(n, generator=generator)[: round(keep[group // data.n_attributes] * n)]
        kept.append(rows[chosen.to(rows.device)])
    return data.subset(torch.cat(kept).sort().values)


def mislabel(data: GroupedData, share: float, *, seed: int = 0) -> GroupedData:
    """Wrong labels: in each group, exactly the nearest whole number to `share` of the samples get another label.

    The other labels are used alike. Inputs and attributes stay, so a mislabelled sample of a common group is counted in
    a rare one afterwards: rare and wrong look alike.
    """
    isa("data", data, GroupedData, DATA)
    share, generator = number("share", share, 0, 1), seeded(seed)
    if data.n_labels < 2:
        raise ValueError(f"the one label is {data.label_names[0]!r}; a wrong one takes data with another label")
    if data.targets is not None:
        raise ValueError("training would not look at the wrong labels, as the data have targets; mislabel before that")
    labels = data.labels.clone()
    for group, n in enumerate(data.counts.tolist()):
        rows = (data.groups == group).nonzero().flatten()
        wrong = rows[torch.randperm(n, generator=generator)[: round(share * n)].to(rows.device)]
        steps = torch.randperm(len(wrong), generator=generator).to(rows.device) % (data.n_labels - 1) + 1
        labels[wrong] = (labels[wrong] + steps) % data.n_labels
    return replace(data, labels=labels)


def weigh(data: GroupedData, weights: Tensor | np.ndarray | Sequence[float]) -> GroupedData:
    """The cross-entropy of sample i counts `weights[i]` times in training: [N], from 0, not all 0. What a method does
    beside it, such as a penalty, a discriminator or counting groups, looks at no weights. Weights with a mean of 1
    leave the learning rate its meaning. Weights that are there already are multiplied; a sample without a label has
    none."""
    given = _column("weights", weights, isa("data", data, GroupedData, DATA), 1)
    if len(data) and not given.any():
        raise ValueError("all weights are 0, so there is nothing to learn from; give some that are above 0")
    return replace(data, targets=_targets(data) * given)


def soften(data: GroupedData, probabilities: Tensor | np.ndarray | Sequence[Sequence[float]]) -> GroupedData:
    """Soft labels, such as the shares of several annotators or what a teacher says: [N, n_labels], with rows that sum
    to 1. Training takes the cross-entropy against them, in the place of labels or of softer ones that were there; a
    sample keeps its label for groups and evaluation, and its weight. ValueError for samples without a label."""
    weights = _targets(isa("data", data, GroupedData, DATA)).sum(1, keepdim=True)
    if data.unlabelled:
        remedy = "give them the most probable one, or leave them out with data.subset(data.labels >= 0)"
        raise ValueError(f"{data.unlabelled:,} samples have no label; {remedy}")
    soft = _column("probabilities", probabilities, data, data.n_labels)
    odd = ((soft.sum(1) - 1).abs() > SUM).nonzero().flatten()
    if len(odd):
        what = f"the probabilities of sample {int(odd[0])} sum to {float(soft[odd[0]].sum()):.4g}"
        raise ValueError(f"{what}; give one for each of the {data.n_labels} labels, with sum 1")
    return replace(data, targets=soft * weights)


def smooth_labels(data: GroupedData, amount: float) -> GroupedData:
    """Label smoothing (Szegedy et al. 2016, section 7): a share `amount` of each sample's target is spread evenly over
    all labels, its own included, as `F.cross_entropy(label_smoothing=amount)` does."""
    targets = _targets(isa("data", data, GroupedData, DATA))
    amount = number("amount", amount, 0, 1)
    return replace(data, targets=(1 - amount) * targets + amount * targets.mean(1, keepdim=True))


def _targets(data: GroupedData) -> Tensor:
    """Those of the data, or their labels, as float [N, n_labels]."""
    if data.targets is not None:
        return data.targets
    known = (data.labels >= 0)[:, None]
    return torch.nn.functional.one_hot(data.labels.clamp(min=0), data.n_labels).float() * known


def _column(name: str, values: Any, data: GroupedData, columns: int) -> Tensor:
    """What is given for each sample, float [N, columns] on the device of the data."""
    try:
        given = torch.as_tensor(np.array(values) if not isinstance(values, Tensor) else values, dtype=torch.float32)
    except (TypeError, ValueError):
        given = torch.zeros(())
    if given.shape != ((len(data),) if columns == 1 else (len(data), columns)):
        shape = f"[{len(data)}]" if columns == 1 else f"[{len(data)}, {columns}]"
        what = f"{shown(values)} {tuple(getattr(values, 'shape', ()) or '')}".removesuffix(" ()")
        raise ValueError(f"{name} are {what}; give numbers from 0, {shape}: as many as there are samples")
    given = given.reshape(len(data), columns)
    bad = (~(torch.isfinite(given) & (given >= 0))).any(1).nonzero().flatten()
    if len(bad):
        raise ValueError(
            f"{name} hold {given[bad[0]].squeeze().tolist()!s:.60} for sample {int(bad[0])}; give numbers from 0"
        )
    return given.to(data.device)
