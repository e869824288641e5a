"""What changes data that are there: smaller images, fewer samples, wrong labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..checks import isa, number, seeded, share, shown
from .grouped import GroupedData
from .splits import Splits

DATA = "GroupedData, such as splits.train"


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
    kept = []
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
    labels = data.labels.clone()
    for group, n in enumerate(data.counts.tolist()):
        rows = (data.groups == group).nonzero().flatten()
        wrong = rows[torch.randperm(n, generator=generator)[: round(share * n)].to(rows.device)]
        steps = torch.randperm(len(wrong), generator=generator).to(rows.device) % (data.n_labels - 1) + 1
        labels[wrong] = (labels[wrong] + steps) % data.n_labels
    return replace(data, labels=labels)
