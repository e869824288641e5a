"""What `GroupedData` is given, checked and brought to the form in which it is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..checks import shown


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


def names_of(name: str, names: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Names as they are kept; ValueError where two are alike, or one is empty."""
    good = isinstance(names, (tuple, list)) and names and all(isinstance(n, str) and n.strip() for n in names)
    if not good or len(set(names)) < len(names):
        raise ValueError(f"{name} are {shown(names)}; give a tuple of different names, none of them empty")
    return tuple(map(str, names))


def features(inputs: Tensor) -> Tensor:
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


def targets_of(targets: Tensor, n: int, n_labels: int) -> Tensor:
    """Targets as they are kept, float32; ValueError where they are none."""
    if targets.shape != (n, n_labels) or not targets.is_floating_point():
        what = f"targets are {targets.dtype} {tuple(targets.shape)}"
        raise ValueError(f"{what}; give floats [{n}, {n_labels}], a row for each input and a column for each label")
    kept = targets.detach().float()
    bad = (~(torch.isfinite(kept) & (kept >= 0)).all(1)).nonzero().flatten()
    if len(bad):
        row = int(bad[0])
        raise ValueError(f"targets hold {kept[row].tolist()!s:.80} in row {row}; give finite numbers from 0")
    return kept
