"""SMOTE: new samples for the rare, between neighbours of the same population.

Repeating a sample brings nothing new; a point between two of its kind does, where "between" makes sense: where the
straight line from one sample to another stays among its kind. Embeddings are closer to that than pixels. New points
belong into the training split only, and are made after the split: otherwise a test sample is a mixture of training
samples, and measures memory.

Differences from imbalanced-learn (Lemaître et al. 2017), with which `smote` agrees given the same random numbers: a
sample is never its own neighbour, even where there are copies of it; each population has draws of its own; integers
are refused instead of rounded. Both draw the samples that new ones start from at random, where the paper (Chawla et al.
2002) starts from every one equally often: that is base="even".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import checks
from ..checks import Unsuitable, choice, number, numbers
from ..contexts import fresh_layers
from ..data import Batch, GroupedData
from ..evaluation import predict
from ..method import Method, State, knob, sample_losses, several
from ..stages import stage
from .neighbours import neighbours

DEFAULT_K = 5
INTERPOLATIONS = ("random", "middle", "repeat")
BASES = ("random", "even")


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
    _check(x, labels, k, interpolation, base)
    checks.generator(generator)
    x, labels = x.detach(), labels.to(x.device)
    have = torch.bincount(labels, minlength=len(names or ())).tolist()
    names = names or [f"class {label}" for label in range(len(have))]
    wanted = _wanted(counts, have, names)
    flat, made, starts = x.flatten(1), [x.flatten(1)[:0]], [labels[:0].long()]
    for label, (name, n, want) in enumerate(zip(names, have, wanted)):
        if want > n:
            rows = (labels == label).nonzero().flatten()
            members = flat.index_select(0, rows)
            alone = torch.arange(n, device=x.device)[:, None]
            nearest = alone if interpolation == "repeat" else neighbours_of(members, k, name)
            start, which, share = draw(n, nearest.shape[1], want - n, base=base, like=x, generator=generator)
            way: dict[str, Tensor | float] = {"random": share, "middle": 0.5, "repeat": 0.0}
            made.append(between(members, nearest, start, which, way[interpolation]))
            starts.append(rows[start])
    return torch.cat(made).unflatten(1, x.shape[1:]), torch.cat(starts)


def _check(x: Tensor, labels: Tensor, k: int | str, interpolation: str, base: str) -> None:
    checks.isa("x", x, Tensor, "a tensor of samples [n, ...], such as torch.as_tensor(x)")
    if not x.is_floating_point():
        raise ValueError(
            f"the samples are {x.dtype}, between which there are no points; give x.float() (/ 255 for images)"
        )
    checks.tensor("x", x, "[n, d, ...]")
    checks.tensor("labels", labels, "[n]", whole=True)
    if len(x) != len(labels):
        raise ValueError(f"{len(x)} samples with {len(labels)} labels; give one label for each")
    if not torch.isfinite(x).all():
        raise ValueError("the samples hold NaN or infinite values, which have no neighbours; drop or repair them")
    if (labels < 0).any():
        raise ValueError(f"the lowest label is {int(labels.min())}; number the populations from 0")
    choice("interpolation", interpolation, INTERPOLATIONS)
    choice("base", base, BASES)
    if not isinstance(k, str) or k != "auto":
        number("k", k, 1, whole=True, unit=", or 'auto'")


def _wanted(counts: Sequence[int] | None, have: list[int], names: Sequence[str]) -> list[int]:
    """How many samples each population is to have, by the rule for counts of `smote`, from how many it has."""
    if len(names) < len(have):
        raise ValueError(f"{len(names)} names for {len(have)} populations; name them all")
    if counts is None:
        return [max(have) if n else 0 for n in have]
    wanted = numbers("counts", counts, "population", whole=True)
    if len(wanted) != len(have):
        raise Unsuitable(f"counts are {wanted}; give one whole number for each of the {len(have)} populations")
    for name, n, want in zip(names, have, wanted):
        if want < n or (want and not n):
            raise Unsuitable(
                f"{name} has {n} samples and {want} are wanted; new ones need at least one, and none is taken"
            )
    return list(wanted)


def neighbours_of(x: Tensor, k: int | str, name: str) -> Tensor:
    """`neighbours` of one population, by the rule for k of `smote`: int64 [n, k or fewer]."""
    n = len(x)
    if isinstance(k, str):
        k = min(DEFAULT_K, n - 1)
        if not k:  # alone: its only neighbour is itself
            return torch.zeros(1, 1, dtype=torch.int64, device=x.device)
    if k >= n:
        legal = f"k={n - 1} or less, or " * (n > 1) + "as many as there are (k=0 for the method, k='auto' for smote)"
        raise Unsuitable(f"{name} has {n} sample{'s' * (n > 1)}; k={k} neighbours need at least {k + 1}: use {legal}")
    return neighbours(x, k)


def draw(n: int, k: int, m: int, *, base: str, like: Tensor, generator: torch.Generator | None) -> tuple[Tensor, ...]:
    """Starting samples int64 [m] out of n, which of the k neighbours int64 [m], and shares of the way [m]."""
    options: dict[str, Any] = dict(generator=generator, device=like.device)
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
class _NewSamples(Method):
    """min_θ (1/n') Σ_{i ≤ n'} ℓ(f_θ(x_i), y_i),   n' - n of the samples are new"""

    by: str = knob("label", choices=("label", "group"), help="whose sizes are evened out; neighbours are of its kind")
    k: int = knob(0, low=0, high=20, help="neighbours to draw from; 0: five, or as many as there are")
    interpolation: str = knob("random", choices=INTERPOLATIONS, help="where between two neighbours a new sample lies")
    base: str = knob("random", choices=BASES, help="which samples are the start: at random, or all equally often")
    counts: tuple[int, ...] = several("population", low=0, whole=True)

    @property
    def needs(self) -> str:
        """The labels by which sizes are evened out."""
        return {"group": "group labels", "label": "nothing"}[self.by]

    def start(self, model: nn.Module, data: GroupedData) -> State:
        state = State()
        state.enlarged = None  # made when they are first asked for
        return state

    def enlarge(self, data: GroupedData, *, generator: torch.Generator | None = None) -> GroupedData:
        """`data` with new samples behind them; images become floats from 0 to 1. For training data only."""
        checks.grouped(data)
        if data.split not in ("train", ""):
            raise ValueError(
                f"these are {data.split} samples; new ones among them would be tested as if they were real: "
                "enlarge the training split only"
            )
        inputs = data.batch(torch.arange(len(data), device=data.device)).inputs
        by_label = self.by == "label"
        populations = data.labels if by_label else data.groups
        how: dict[str, Any] = dict(counts=self.counts or None, k=self.k or "auto")
        how |= dict(interpolation=self.interpolation, base=self.base)
        names = data.label_names if by_label else data.group_names
        new, start = smote(inputs, populations, **how, generator=generator, names=names)
        labels, attributes = (torch.cat([x, x[start]]) for x in (data.labels, data.attributes))
        return dataclasses.replace(data, inputs=torch.cat([inputs, new]), labels=labels, attributes=attributes)


@dataclass(frozen=True, kw_only=True)
class SMOTE(_NewSamples):
    """min_v (1/n') Σ_{i ≤ n'} ℓ(f_v(z_i), y_i),   the n' - n new z = z_i + u (z_j - z_i), z_j a neighbour of z_i

    z are embeddings. The first `warm_up` epochs of the run are a stage of plain training; then the features stand
    still, the training data are embedded once, new embeddings fill up the small populations, and a new head f_v is
    trained on all for the epochs that are left (two stages as in Kang et al. 2020; embeddings after Dablain et al.
    2021).

    k = 0 takes 5 neighbours, or all others where a population has fewer. `counts` are the samples wanted of each
    population, old and new together; by default as many as the largest has. See `smote` for the rest.
    """

    warm_up: int = knob(
        10, low=0, high=50, search=(5,), help="plain epochs before embedding; 0 for pretrained features"
    )

    def model(self, model: nn.Module, data: GroupedData) -> nn.Module:
        if not (hasattr(model, "features") and hasattr(model, "head")):
            raise Unsuitable(
                f"embeddings need a model with features and head, which {type(model).__name__} has not; "
                "wrap it in models.Classifier(features, head), or use InputSMOTE"
            )
        if self.warm_up:
            model = stage(model, data, epochs=self.warm_up)
        with fresh_layers():
            for layer in model.get_submodule("head").modules():
                if callable(reset := getattr(layer, "reset_parameters", None)):
                    reset()
        return model

    def start(self, model: nn.Module, data: GroupedData) -> State:
        state = super().start(model, data)
        state.epoch += self.warm_up
        return state

    def parameters(self, model: nn.Module, state: State) -> list[dict[str, Any]]:
        return [dict(params=model.get_submodule("head").parameters())]

    def data(self, model: nn.Module, data: GroupedData, state: State) -> GroupedData:
        if state.enlarged is None:
            embedded = dataclasses.replace(data, inputs=predict(model.get_submodule("features"), data))
            state.enlarged = self.enlarge(embedded, generator=state.generator)
        return state.enlarged

    def loss(self, model: nn.Module, batch: Batch, state: State) -> Tensor:
        return sample_losses(model.get_submodule("head"), batch).mean()


@dataclass(frozen=True, kw_only=True)
class InputSMOTE(_NewSamples):
    """min_θ (1/n') Σ_{i ≤ n'} ℓ(f_θ(x_i), y_i),   the n' - n new x = x_i + u (x_j - x_i), x_j a neighbour of x_i

    New inputs from the first epoch on, as published (Chawla et al. 2002): for images, mixtures of pixels. The fields
    are as in `SMOTE`.
    """

    def data(self, model: nn.Module, data: GroupedData, state: State) -> GroupedData:
        if state.enlarged is None:
            state.enlarged = self.enlarge(data, generator=state.generator)
        return state.enlarged
