"""SMOTE: new samples for the rare, between neighbours of the same population.

Repeating a sample brings nothing new; a point between two of its kind does, where "between" makes sense: where the
straight line from one sample to another stays among its kind. Embeddings are closer to that than pixels. New points
belong into the training split only, and are made after the split: otherwise a test sample is a mixture of training
samples, and measures memory.

Differences from imbalanced-learn (Lemaître et al. 2017), with which `smote` agrees given the same random numbers: a
sample is never its own neighbour, even where there are copies of it; each population has draws of its own; integers
are refused instead of rounded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data import Batch, GroupedData
from ..evaluation import predict
from .base import Method, knob, sample_losses

BLOCK = 16_000_000  # distances that are held at once
SMALL = 4096  # rows for which double precision costs nothing that matters
CHUNK = 64
WIDE = 256  # dimensions from which on the products take most of the time
DEFAULT_K = 5
INTERPOLATIONS = ("random", "middle", "repeat")
BASES = ("random", "even")


def neighbours(x: Tensor, k: int) -> Tensor:
    """The k nearest others of each row of x [n, d] in Euclidean distance, nearest first: int64 [n, k].

    All pairs are compared, a block at a time, as |y|²/2 - x·y: one matrix product, after the mean of x is taken off (a
    long way from the origin, the squares would drown the distances in rounding). Up to a few thousand rows in double
    precision; beyond, in that of x, and exact up to its rounding of the squared distance to the mean.
    """
    n = len(x)
    if not 1 <= k < n:
        raise ValueError(f"each of {n} samples has {n - 1} neighbours; k is {k}, use 1 to {n - 1}")
    x = x.double() if n <= SMALL else x
    x = x - x.mean(0)
    columns = F.pad(x, (0, 0, 0, -n % CHUNK))
    half = F.pad(x.square().sum(1) / 2, (0, -n % CHUNK), value=torch.inf)
    if not torch.isfinite(half[:n]).all():
        raise ValueError("the samples are too large to square; scale them down, to a standard deviation of 1, say")
    size = min(1024, max(1, BLOCK // n))
    if x.shape[1] >= WIDE and n > size and k <= CHUNK:
        return _halved(columns, half, k, size // CHUNK * CHUNK or CHUNK)[:n]
    buffer = x.new_empty(size, len(columns))
    found = []
    for start in range(0, n, size):
        rows = x[start : start + size]
        distances = torch.addmm(half, rows, columns.T, alpha=-1, out=buffer[: len(rows)])
        distances.diagonal(start).fill_(torch.inf)  # nobody is a neighbour of himself
        found.append(_smallest(distances, k))
    return torch.cat(found)


def _halved(x: Tensor, half: Tensor, k: int, size: int) -> Tensor:
    """The same with half of the products, which is what takes the time in many dimensions: a block of rows is compared
    with itself and the rows behind it only, and what it has for those is merged into their best so far."""
    n = len(x)
    best = x.new_full((n, k), torch.inf)
    found = torch.zeros(n, k, dtype=torch.int64, device=x.device)
    buffer = x.new_empty(size * n)

    def merge(rows: slice, distances: Tensor, indices: Tensor) -> None:
        distances = torch.cat([best[rows], distances], 1)
        best[rows], at = distances.topk(k, largest=False)
        found[rows] = torch.cat([found[rows], indices], 1).gather(1, at)

    for start in range(0, n, size):
        end = min(start + size, n)
        shape = (end - start, n - start)
        block = buffer[: shape[0] * shape[1]].view(shape)
        torch.addmm(half[start:], x[start:end], x[start:].T, alpha=-1, out=block)
        block.diagonal().fill_(torch.inf)
        at = _smallest(block, k)
        merge(slice(start, end), block.gather(1, at), at + start)
        if end == n:
            break
        behind = block[:, end - start :].sub_(half[end:]).add_(half[start:end, None])  # the other way round
        chunks = behind.view(-1, CHUNK, n - end)
        chunk, column = (chunks.amin(1) < best[end:, -1]).nonzero().unbind(1)  # few, after the first blocks
        order = torch.argsort(column, stable=True)
        chunk, column = chunk[order], column[order]
        values, inside = chunks[chunk, :, column].topk(k, largest=False)
        hits = torch.bincount(column, minlength=n - end)
        place = torch.arange(len(column), device=x.device) - (hits.cumsum(0) - hits)[column]
        width = int(hits.max())
        distances = x.new_full((n - end, width, k), torch.inf)
        indices = torch.zeros(n - end, width, k, dtype=torch.int64, device=x.device)
        distances[column, place] = values
        indices[column, place] = chunk[:, None] * CHUNK + inside + start
        merge(slice(end, n), distances.flatten(1), indices.flatten(1))
    return found


def _smallest(values: Tensor, k: int) -> Tensor:
    """Columns of the k smallest of each row, smallest first; the k best chunks of a row hold them."""
    rows, columns = values.shape
    chunks = values.view(rows, columns // CHUNK, CHUNK)
    if k >= chunks.shape[1]:
        return values.topk(k, largest=False).indices
    best = chunks.amin(2).topk(k, largest=False, sorted=False).indices
    inside = chunks.gather(1, best[:, :, None].expand(-1, -1, CHUNK)).flatten(1)
    at = inside.topk(k, largest=False).indices
    return best.gather(1, at // CHUNK) * CHUNK + at % CHUNK


def between(x: Tensor, nearest: Tensor, base: Tensor, which: Tensor, share: Tensor | float) -> Tensor:
    """x_i + u (x_j - x_i), i = base [m], j = nearest[i, which] [m], u = share [m] or a number: [m, d]."""
    start = x.index_select(0, base)
    share = share[:, None] if isinstance(share, Tensor) else share
    return torch.lerp(start, x.index_select(0, nearest[base, which]), share)


def smote(
    x: Tensor,
    labels: Tensor,
    *,
    counts: Sequence[int] | None = None,
    k: int | str = "auto",
    interpolation: str = "random",
    base: str = "random",
    generator: torch.Generator | None = None,
    names: Sequence[str] | None = None,
) -> tuple[Tensor, Tensor]:
    """New samples [m, ...], and for each the index int64 [m] of the sample that it starts from (Chawla et al. 2002).

    x, labels       floating-point samples [n, ...]; their populations, integers [n] from 0. What comes back is on the
                    device of x and in its dtype, population by population
    counts          samples wanted of each population, old and new together; by default as many as the largest has
    k               neighbours to draw from; "auto" takes 5, or all others where a population has fewer. The only
                    sample of a population has no neighbour: "auto" repeats it
    interpolation   where between the two: "random" (u uniform in [0, 1), as published), "middle" (their average), or
                    "repeat" (u = 0: a copy, which is over-sampling)
    base            "random", or "even": each sample of a population is the start equally often, give or take one
    names           of the populations, for messages

    Raises ValueError for integers, NaN, counts below what is there, and k too large for a population.
    """
    _check(x, labels, interpolation, base)
    x = x.detach()
    have = torch.bincount(labels, minlength=len(names or ())).tolist()
    names = names or [f"class {label}" for label in range(len(have))]
    if len(names) < len(have):
        raise ValueError(f"{len(names)} names for {len(have)} populations; name them all")
    wanted = [max(have) if n else 0 for n in have] if counts is None else list(counts)
    if len(wanted) != len(have):
        raise ValueError(f"counts are {wanted}; give one whole number for each of the {len(have)} populations")
    flat, made, starts = x.flatten(1), [x.flatten(1)[:0]], [labels[:0].long()]
    for label, (name, n, want) in enumerate(zip(names, have, wanted)):
        if want < n or (want and not n):
            raise ValueError(
                f"{name} has {n} samples and {want} are wanted; new ones need at least one, and none is taken"
            )
        if want > n:
            rows = (labels == label).nonzero().flatten()
            members = flat.index_select(0, rows)
            alone = torch.arange(n, device=x.device)[:, None]
            nearest = alone if interpolation == "repeat" else neighbours_of(members, k, name)
            start, which, share = draw(n, nearest.shape[1], want - n, base=base, like=x, generator=generator)
            share = {"random": share, "middle": 0.5, "repeat": 0.0}[interpolation]
            made.append(between(members, nearest, start, which, share))
            starts.append(rows[start])
    return torch.cat(made).unflatten(1, x.shape[1:]), torch.cat(starts)


def _check(x: Tensor, labels: Tensor, interpolation: str, base: str) -> None:
    if not x.is_floating_point():
        raise ValueError(
            f"the samples are {x.dtype}, between which there are no points; give x.float() (/ 255 for images)"
        )
    if not torch.isfinite(x).all():
        raise ValueError("the samples hold NaN or infinite values, which have no neighbours; drop or repair them")
    for name, value, choices in ("interpolation", interpolation, INTERPOLATIONS), ("base", base, BASES):
        if value not in choices:
            raise ValueError(f"{name} is {value!r}; use one of {', '.join(map(repr, choices))}")
    if x.ndim < 2 or labels.shape != x.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(
            f"samples {tuple(x.shape)} with labels {labels.dtype} {tuple(labels.shape)}; give samples [n, ...] of at "
            "least two dimensions and one integer each"
        )


def neighbours_of(x: Tensor, k: int | str, name: str) -> Tensor:
    """`neighbours` of one population, by the rule for k of `smote`: int64 [n, k or fewer]."""
    n = len(x)
    if k == "auto":
        k = min(DEFAULT_K, n - 1)
        if not k:  # alone: its only neighbour is itself
            return torch.zeros(1, 1, dtype=torch.int64, device=x.device)
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"k is {k!r}; use a whole number of neighbours from 1, or 'auto'")
    if k >= n:
        legal = f"k={n - 1} or less, or k='auto'" if n > 1 else "k='auto', which repeats it"
        legal += " (k=0 for the method)"
        raise ValueError(f"{name} has {n} sample{'s' * (n > 1)}; k={k} neighbours need at least {k + 1}: use {legal}")
    return neighbours(x, k)


def draw(n: int, k: int, m: int, *, base: str, like: Tensor, generator: torch.Generator | None) -> tuple[Tensor, ...]:
    """Starting samples int64 [m] out of n, which of the k neighbours int64 [m], and shares of the way [m]."""
    options = dict(generator=generator, device=like.device)
    if base == "even":
        rounds = -(-m // n)
        start = torch.cat([torch.randperm(n, **options) for _ in range(rounds)])[:m]
    else:
        start = torch.randint(n, (m,), **options)
    return start, torch.randint(k, (m,), **options), torch.rand(m, dtype=like.dtype, **options)


def among_others(new: Tensor, new_labels: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    """Whether the nearest given sample (x [n, d], labels [n]) of each new one [m, d] has another label: bool [m]."""
    return labels[torch.cdist(new.flatten(1), x.flatten(1)).argmin(1)] != new_labels


@dataclass(frozen=True, kw_only=True)
class SMOTE(Method):
    """min_θ (1/n') Σ_{i ≤ n'} ℓ(f_θ(x_i), y_i),   the n' - n new x = x_i + u (x_j - x_i), x_j a neighbour of x_i

    space="embedding"  `warm_up` epochs of plain training; then the features stand still, the training data are
                       embedded once, new embeddings fill up the small populations, and a new head is trained on all
                       (two stages as in Kang et al. 2020; embeddings after Dablain et al. 2021). A run of no more than
                       `warm_up` epochs is plain training
    space="input"      new inputs from the first epoch on: mixtures of pixels, for images

    k = 0 takes 5 neighbours, or all others where a population has fewer. `counts` are the samples wanted of each
    population, old and new together; by default as many as the largest has. See `smote` for the rest.
    """

    space: str = knob("embedding", choices=("embedding", "input"), help="where new samples are made")
    by: str = knob("label", choices=("label", "group"), help="whose sizes are evened out; neighbours are of its kind")
    k: int = knob(0, low=0, high=20, help="neighbours to draw from; 0: five, or as many as there are")
    interpolation: str = knob("random", choices=INTERPOLATIONS, help="where between two neighbours a new sample lies")
    base: str = knob("random", choices=BASES, help="which samples are the start: at random, or all equally often")
    counts: tuple[int, ...] = ()
    warm_up: int = knob(
        10, low=0, high=50, search=(5,), help="plain epochs before embedding; 0 for pretrained features"
    )

    @property
    def needs(self) -> str:
        return {"group": "group labels", "label": "nothing"}[self.by]

    def start(self, model: nn.Module, data: GroupedData) -> nn.Module:
        if self.space == "embedding" and not (hasattr(model, "features") and hasattr(model, "head")):
            raise ValueError(
                f"embeddings need a model with features and head, which {type(model).__name__} has not; "
                "wrap it in models.Classifier(features, head), or use space='input'"
            )
        state = nn.Module()
        state.enlarged = None
        return state

    def data(self, model: nn.Module, data: GroupedData, state: nn.Module) -> GroupedData:
        if self.space == "embedding" and state.epoch <= self.warm_up:
            return data
        if state.enlarged is None:
            if self.space == "embedding":
                data = dataclasses.replace(data, inputs=predict(model.features, data))
                for layer in model.head.modules():
                    if hasattr(layer, "reset_parameters"):
                        layer.reset_parameters()  # the training loop has seeded what this draws from
            state.enlarged = self.enlarge(data, generator=state.generator)
        return state.enlarged

    def enlarge(self, data: GroupedData, *, generator: torch.Generator | None = None) -> GroupedData:
        """`data` with new samples behind them; images become floats from 0 to 1. For training data only."""
        if data.split not in ("train", ""):
            raise ValueError(
                f"these are {data.split} samples; new ones among them would be tested as if they were real: "
                "enlarge the training split only"
            )
        inputs = data.batch(torch.arange(len(data), device=data.device)).inputs
        by_label = self.by == "label"
        populations = data.labels if by_label else data.groups
        how = dict(counts=self.counts or None, k=self.k or "auto", interpolation=self.interpolation, base=self.base)
        names = data.label_names if by_label else data.group_names
        new, start = smote(inputs, populations, **how, generator=generator, names=names)
        rest = {
            name: torch.cat([x, x[start]]) for name, x in dict(labels=data.labels, attributes=data.attributes).items()
        }
        return dataclasses.replace(data, inputs=torch.cat([inputs, new]), **rest)

    def loss(self, model: nn.Module, batch: Batch, state: nn.Module) -> Tensor:
        on_embeddings = self.space == "embedding" and state.enlarged is not None
        return sample_losses(model.head if on_embeddings else model, batch).mean()
