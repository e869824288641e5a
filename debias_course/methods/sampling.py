"""Sampling: change which samples the model sees, and how often.

At the level of the epoch, the indices are chosen when it starts: the small populations are repeated (over-sampling) or
the large ones thinned (under-sampling). At the level of the batch, every mini-batch has exactly the shares asked for.

Two different things are called under-sampling: one fixed subset, drawn once (Idrissi et al. 2022, "SUBG"), and a new
subset for every epoch, which sees all samples in the end. And the "balanced batches" of most codes are balanced in
expectation only: they draw with replacement, with probability 1 / (G n_g). Here counts are exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import checks
from ..checks import Unsuitable, number
from ..data import GroupedData
from ..method import Method, cut, epoch_generator, knob, several

BY = dict(choices=("group", "label", "attribute"), help="which populations get equally many samples")


def draw_epoch(
    order: Tensor, counts: Tensor, targets: Tensor, *, generator: torch.Generator, replacement: bool = False
) -> Tensor:
    """Indices of one epoch with exactly targets[c] samples of each population c, shuffled; int64 [Σ targets].

    order     int64 [n]: the indices of the data, population by population (`GroupedData.members`)
    counts    int64 [C]: how many belong to each population
    targets   int64 [C]: how many to draw
    replacement=False takes ⌊T_c / n_c⌋ complete copies and the remainder without replacement, so that the uses of two
    samples of a population differ by one at most; True draws each sample independently.

    Linear in n, flat in the number of populations, and without torch.multinomial's limit of 2^24 categories.
    """
    _check(order, counts, targets, "targets", "[C]", generator)
    total, starts = int(targets.sum()), counts.cumsum(0) - counts
    if replacement:
        slots = torch.rand(total, generator=generator, dtype=torch.float64)
        slots.mul_(counts.double().repeat_interleave(targets)).add_(starts.double().repeat_interleave(targets))
        drawn = order.index_select(0, slots.to(_small(order)))
    else:
        mixed = shuffled_within(order, counts, generator=generator)
        slots = torch.arange(total) - (targets.cumsum(0) - targets).repeat_interleave(targets)
        slots.remainder_(counts.repeat_interleave(targets)).add_(starts.repeat_interleave(targets))
        drawn = mixed.index_select(0, slots)
    return drawn.index_select(0, torch.randperm(total, generator=generator, dtype=_small(drawn)))


def _check(order: Tensor, counts: Tensor, drawn: Tensor, name: str, shape: str, generator: torch.Generator) -> None:
    """That as many samples can be drawn as `drawn`, int64 of that name and shape, asks for."""
    for each, value, dimensions in ("order", order, "[n]"), ("counts", counts, "[C]"), (name, drawn, shape):
        checks.tensor(each, value, dimensions, whole=True)
    checks.isa("generator", generator, torch.Generator, "torch.Generator().manual_seed(0)")
    if int(counts.sum()) != len(order) or drawn.shape[-1] != len(counts):
        raise ValueError(
            f"{len(order)} indices, counts of {len(counts)} populations with sum {int(counts.sum())}, and {name} of "
            f"{drawn.shape[-1]}; give a count and a number of {name} for each population, and all of its indices"
        )
    if (counts < 0).any() or (drawn < 0).any() or (drawn * (counts == 0)).any():
        raise ValueError(f"counts are {counts.tolist()}; {name} are from 0, and 0 where there is no sample to draw")


def _small(indices: Tensor) -> torch.dtype:
    """The integer type that can count to the length of `indices`; half as wide is twice as fast."""
    return torch.int32 if len(indices) < 2**31 else torch.int64


def shuffled_within(order: Tensor, counts: Tensor, *, generator: torch.Generator) -> Tensor:
    """`order` with the members of each population in random order: a shuffle of all, then a stable sort."""
    shuffle = torch.randperm(len(order), generator=generator, dtype=_small(order))
    kind = torch.int16 if len(counts) < 2**15 else torch.int64  # torch sorts short integers in linear time
    population = torch.arange(len(counts), dtype=kind).repeat_interleave(counts)
    sorted_again = torch.argsort(population.index_select(0, shuffle), stable=True)
    return order.index_select(0, shuffle).index_select(0, sorted_again)


def quotas(shares: Tensor, batch_size: int, batches: int) -> Tensor:
    """Samples of each population in each batch, int64 [batches, C]; every row sums to `batch_size`.

    The first row is the largest-remainder (Hamilton) apportionment, ties to the first population. Seats that do not
    divide evenly rotate: after any number of batches each population is within one seat of its exact share.
    """
    checks.tensor("shares", shares, "[C]", whole=False)
    if (shares < 0).any() or abs(float(shares.sum()) - 1) > 1e-6:
        raise ValueError(f"shares are {shares.tolist()}; give numbers from 0 with sum 1")
    for name, value in dict(batch_size=batch_size, batches=batches).items():
        number(name, value, 1, whole=True)
    given = torch.zeros(len(shares), dtype=torch.int64)
    rows = []
    for batch in range(1, batches + 1):
        due = shares * (batch * batch_size) - given
        row = (due + 1e-9).floor().clamp(min=0).long()
        spare = batch_size - int(row.sum())
        remainders = (due - row).round(decimals=9)  # so that equal ones tie
        if spare > 0:
            row[torch.argsort(-remainders, stable=True)[:spare]] += 1
        elif spare < 0:
            row[torch.argsort(remainders, stable=True)[:-spare]] -= 1
        given += row
        rows.append(row)
    return torch.stack(rows)


def draw_batches(order: Tensor, counts: Tensor, seats: Tensor, *, generator: torch.Generator) -> list[Tensor]:
    """One index tensor per row of `seats` [batches, C], with exactly seats[b, c] samples of population c.

    Each population runs through a random permutation of its members before it begins another one.

    By hand: order [4, 7, 9] with counts [2, 1] has the populations {4, 7} and {9}; seats [[2, 1], [1, 1], [1, 1]] are
    three batches, which use 4 and 3 samples: 2 passes of the first population, 3 of the second.

        members  4 7 | 4 7 | 9 | 9 | 9     one block per pass, of sizes 2 2 1 1 1
        queue    7 4 | 4 7 | 9 | 9 | 9     each block in random order; the queues begin at 0 and 4
        head     [[0, 4], [2, 5], [3, 6]]  a queue's beginning, and how many seats earlier batches had
        batches  [7, 4, 9], [4, 9], [7, 9]
    """
    _check(order, counts, seats, "seats", "[batches, C]", generator)
    uses = seats.sum(0)
    passes = torch.ceil(uses / counts.clamp(min=1)).long()
    starts = counts.cumsum(0) - counts
    # all passes of all populations, one block after the other, each block with all members of its population
    population = torch.repeat_interleave(torch.arange(len(counts)), passes)
    sizes = counts[population]
    block = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    within = torch.arange(len(block)) - (sizes.cumsum(0) - sizes)[block]
    members = order[starts[population][block] + within]
    queue = shuffled_within(members, sizes, generator=generator)
    # seat s of population c takes the s-th in its queue
    head = (passes * counts).cumsum(0) - passes * counts + seats.cumsum(0) - seats
    lengths = seats.flatten()
    segment = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    step = torch.arange(len(segment)) - (lengths.cumsum(0) - lengths)[segment]
    return list(queue[head.flatten()[segment] + step].split(seats.sum(1).tolist()))


@dataclass(frozen=True, kw_only=True)
class EpochSampling(Method):
    """min_θ (1/T) Σ_{i ∈ E} ℓ_i,   E holds exactly T_c samples of population c, T = Σ_c T_c

    E is chosen anew at the start of each epoch, with `counts` as the T_c; `OverSampling` and `UnderSampling` set them.
    Raises ValueError where a population of which samples are wanted has none.
    """

    by: str = knob("group", **BY)
    counts: tuple[int, ...] = several("population", low=0, whole=True)

    @property
    def needs(self) -> str:
        """The labels by which samples are counted."""
        return {"group": "group labels", "label": "nothing", "attribute": "attribute labels"}[self.by]

    def targets(self, counts: Tensor) -> Tensor:
        """T_c for each population, from the n_c [C]."""
        if len(self.counts) != len(counts) or not sum(self.counts):
            raise Unsuitable(
                f"counts are {self.counts}; give one whole number per {self.by}, {len(counts)} in all, not all zero"
            )
        return torch.tensor(self.counts)

    def indices(self, data: GroupedData, *, generator: torch.Generator) -> Tensor:
        """The indices of one epoch, int64 [T] on the CPU."""
        order, counts = data.members(self.by)
        targets = self.targets(counts)
        if ((counts == 0) & ((targets > 0) | (not self.counts))).any():
            data.require_every_group(f"sampling by {self.by} needs one of each; merge populations or sample by another")
        return draw_epoch(order, counts, targets, generator=generator, replacement=self.with_replacement)

    @property
    def with_replacement(self) -> bool:
        """Whether each sample is drawn independently."""
        return False

    def batches(self, data: GroupedData, batch_size: int, *, seed: int, epoch: int) -> Sequence[Tensor]:
        """The indices of the epoch, cut into batches."""
        generator = epoch_generator(seed, epoch)
        return cut(self.indices(data, generator=generator), batch_size)


@dataclass(frozen=True, kw_only=True)
class OverSampling(EpochSampling):
    """min_θ (1/T) Σ_{i ∈ E} ℓ_i,   T_c = max_k n_k for every population c

    Small populations are repeated until all are as large as the largest: as complete copies with a remainder drawn
    without replacement, or drawn at random with replacement.
    """

    repeats: str = knob("copies", choices=("copies", "random"), help="complete copies, or draws with replacement")

    def targets(self, counts: Tensor) -> Tensor:
        return super().targets(counts) if self.counts else counts.max().expand(len(counts))

    @property
    def with_replacement(self) -> bool:
        """Whether repeats are random."""
        return self.repeats == "random"


@dataclass(frozen=True, kw_only=True)
class UnderSampling(EpochSampling):
    """min_θ (1/T) Σ_{i ∈ E} ℓ_i,   T_c = min_k n_k for every population c

    Large populations are thinned to the size of the smallest: redrawn for each epoch, or one subset for good ("SUBG" of
    Idrissi et al. 2022). An epoch is short, so it takes more of them to make as many steps.
    """

    subset: str = knob(
        "redrawn", choices=("redrawn", "fixed"), search=("fixed",), help="a new subset each epoch, or one for good"
    )

    def targets(self, counts: Tensor) -> Tensor:
        return super().targets(counts) if self.counts else counts.min().expand(len(counts))

    def batches(self, data: GroupedData, batch_size: int, *, seed: int, epoch: int) -> Sequence[Tensor]:
        """The indices of the epoch, or of the fixed subset in a new order, cut into batches."""
        if self.subset == "redrawn":
            return super().batches(data, batch_size, seed=seed, epoch=epoch)
        subset = self.indices(data, generator=epoch_generator(seed, 0))
        generator = epoch_generator(seed, epoch)
        return cut(subset[torch.randperm(len(subset), generator=generator)], batch_size)


@dataclass(frozen=True, kw_only=True)
class BatchSampling(Method):
    """min_θ (1/B) Σ_{i ∈ batch} ℓ_i,   every batch holds f_c B samples of population c

    `shares` are the f_c, equal by default. Where f_c B is not whole, a batch has the whole number below or above, and
    later batches make up for it (`quotas`). Each population runs through its own permutation before it repeats; where
    one ends inside a batch, a sample may stand twice in it. `length` is the number of batches: as many as the data fill
    ("data"), until every sample has been seen ("all"), or as many as fit before a population repeats, but one at least
    ("shortest").

    Raises ValueError for shares that do not sum to 1, a batch that is too small for a share, and a population with a
    share but no example.
    """

    by: str = knob("group", **BY)
    length: str = knob("data", choices=("data", "all", "shortest"), help="when an epoch ends")
    shares: tuple[float, ...] = several("population", low=0)

    needs = EpochSampling.needs

    def batches(self, data: GroupedData, batch_size: int, *, seed: int, epoch: int) -> Sequence[Tensor]:
        """Batches with exact shares."""
        order, counts = data.members(self.by)
        shares = self.checked_shares(data, counts, batch_size)
        used = shares > 0
        per_batch = shares[used] * batch_size
        rounds = {
            "data": math.ceil(len(data) / batch_size),
            "all": math.ceil((counts[used] / per_batch).max() - 1e-9),
            "shortest": max(1, int((counts[used] / per_batch).min() + 1e-9)),
        }[self.length]
        generator = epoch_generator(seed, epoch)
        return draw_batches(order, counts, quotas(shares, batch_size, rounds), generator=generator)

    def checked_shares(self, data: GroupedData, counts: Tensor, batch_size: int) -> Tensor:
        """f_c, float64 [C]; ValueError with a remedy where they cannot be had."""
        shares = torch.tensor(self.shares or [1 / len(counts)] * len(counts), dtype=torch.float64)
        if len(shares) != len(counts) or abs(float(shares.sum()) - 1) > 1e-6:
            raise Unsuitable(
                f"shares are {self.shares}; give one number from 0 per {self.by}, {len(counts)} in all, with sum 1"
            )
        if ((counts == 0) & (shares > 0)).any():
            data.require_every_group(
                f"its share of a batch needs one; set its share to 0 or sample by another {self.by}"
            )
        smallest = float(shares[shares > 0].min())
        if smallest * batch_size < 1 - 1e-9:
            raise Unsuitable(
                f"a batch of {batch_size} has no seat for a share of {smallest:.3g}; "
                f"use batch_size={math.ceil(1 / smallest - 1e-9)} or more, or other shares"
            )
        return shares
