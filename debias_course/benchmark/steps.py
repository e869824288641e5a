"""Training steps, and what is in them: against the limit, a usual loop, and each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import count, islice

import torch
import torch.nn.functional as F
from torch import nn

from .. import models
from ..contexts import isolated_randomness
from ..data import Batch, GroupedData, colored_digits
from ..method import State
from ..methods import (
    DANN,
    ERM,
    AdversarialTraining,
    BatchSampling,
    GroupDRO,
    HardMining,
    LossReweighting,
    Method,
    OccamNets,
    SpectralDecoupling,
)
from ..methods.group_dro import exponentiated, group_means
from ..training import make_optimizer
from .turns import repeated, row, take_turns

BATCH = 128
# What is measured, relative to what, and how much of it is allowed for the MLP and the CNN.
ROWS: list[tuple[str, str, dict[str, float]]] = [
    ("limit again", "limit", {}),
    ("train, ERM", "limit", {"mlp": 1.25, "cnn": 1.10}),
    ("DataLoader loop", "limit", {}),
    ("train, loss re-weighting", "train, ERM", {"mlp": 1.20, "cnn": 1.10}),
    ("train, batch sampling", "train, ERM", {"mlp": 1.15, "cnn": 1.15}),
    ("train, Group DRO", "train, ERM", {"mlp": 1.20, "cnn": 1.10}),
    ("train, spectral decoupling", "train, ERM", {"mlp": 1.20, "cnn": 1.10}),
    ("train, DANN", "train, ERM", {"mlp": 1.35, "cnn": 1.25}),
    ("train, PGD-7", "train, ERM", {"mlp": 10.0, "cnn": 13.0}),
]


def measure(
    name: str, build: Callable[..., nn.Module], *, batches: int, repeats: int, device: str = "cpu"
) -> list[dict]:
    """Ratios of every contender to the limit, for one model and epochs that end after so many batches. Targets are for
    the CPU."""
    data = colored_digits().train.to(device)
    data = data.subset(torch.arange(len(data) // BATCH * BATCH))  # full batches for everybody
    ready = [data.batch(rows.to(device)) for rows in islice(ERM().batches(data, BATCH, seed=0, epoch=1), batches)]

    def start() -> nn.Module:
        return build(data).to(device)

    contenders = {
        "limit": limit(start(), data, ready),
        "limit again": limit(start(), data, ready),
        "DataLoader loop": dataloader(start(), data, batches),
    }
    methods = {
        "ERM": ERM(),
        "loss re-weighting": LossReweighting(),
        "batch sampling": BatchSampling(),
        "Group DRO": GroupDRO(sampling="plain"),
        "spectral decoupling": SpectralDecoupling(),
        "DANN": DANN(width=64),
        "PGD-7": AdversarialTraining(steps=7),
    }
    contenders |= {f"train, {each}": ours(start(), data, method, batches) for each, method in methods.items()}
    spent = take_turns(contenders, repeats, device=device)
    on_cpu = device == "cpu"
    return [
        row(
            f"{name}: {each} / {basis}",
            [turn[each] / turn[basis] for turn in spent],
            target.get(name) if on_cpu else None,
        )
        for each, basis, target in ROWS
    ]


def limit(model: nn.Module, data: GroupedData, batches: Iterable[Batch]) -> Callable[[], None]:
    """An epoch over batches that are ready: forward, backward, optimiser."""
    optimizer = make_optimizer("adamw", ERM().parameters(model, State()), 1e-3, 0.0)

    def epoch() -> None:
        for batch in batches:
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(batch.inputs), batch.labels).backward()
            optimizer.step()

    return epoch


def ours(model: nn.Module, data: GroupedData, method: Method, batches: int) -> Callable[[], None]:
    """An epoch of a method, as `train` goes through it."""
    with isolated_randomness(0):
        model = method.model(model, data).train().to(data.device)
        state = method.start(model, data).to(data.device)
    optimizer = make_optimizer("adamw", method.parameters(model, state), 1e-3, 0.0)
    state.begin(device=data.device, progress=0.5)
    epochs = count(1)

    def epoch() -> None:
        total = torch.zeros((), device=data.device)
        state.epoch = next(epochs)
        for rows in islice(method.batches(data, BATCH, seed=0, epoch=state.epoch), batches):
            total += method.step(model, data.batch(rows.to(data.device)), state, optimizer)
        float(total)

    return epoch


def dataloader(model: nn.Module, data: GroupedData, batches: int) -> Callable[[], None]:
    """An epoch as most research code goes through it: a DataLoader, a weighted sampler, one `.item()` per step."""
    from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

    device, data = data.device, data.to("cpu")
    images = data.inputs.float() / 255
    weights = (1 / data.counts.double())[data.groups]
    sampler = WeightedRandomSampler(weights.tolist(), len(data), generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(images, data.labels, data.groups), batch_size=BATCH, sampler=sampler)
    optimizer = make_optimizer("adamw", ERM().parameters(model, State()), 1e-3, 0.0)

    def epoch() -> None:
        with isolated_randomness(0):  # the loader draws a seed from the global generator
            for inputs, labels, _groups in islice(loader, batches):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(inputs.to(device)), labels.to(device))
                loss.backward()
                optimizer.step()
                loss.item()

    return epoch


def measure_exits(*, repeats: int) -> list[dict]:
    """Training an OccamNet, relative to its trunk without exits."""
    data = colored_digits().train
    data = data.subset(torch.arange(4 * BATCH))
    kinds = {"light": 1.6, "published": 3.2}
    build = partial(models.staged, data, widths=(16, 32, 64))
    contenders = {"trunk": ours(build(), data, ERM(), 4)}
    contenders |= {kind: ours(build(), data, OccamNets(exits=kind), 4) for kind in kinds}
    spent = take_turns(contenders, repeats)
    return [
        row(f"OccamNet, {kind} exits / its trunk", [turn[kind] / turn["trunk"] for turn in spent], target)
        for kind, target in kinds.items()
    ]


def measure_mining(*, scored: int = 512, repeats: int) -> list[dict]:
    """A step that scores 512 samples and learns from 128, relative to a plain step of 128, on the CNN; and the bare sum
    of its parts (a forward pass of all without a graph, a plain step), which is the limit."""
    data = colored_digits().train
    plain, mining = ERM(), HardMining(keep=BATCH / scored)
    many, few = (data.batch(torch.arange(size)) for size in (scored, BATCH))
    model = models.MODELS["cnn"](data)
    optimizer = make_optimizer("adamw", ERM().parameters(model, State()), 1e-3, 0.0)
    state = State()

    def parts() -> None:
        with torch.no_grad():
            model(many.inputs)
        plain.step(model, few, state, optimizer)

    contenders = {
        "plain": lambda: plain.step(model, few, state, optimizer),
        "parts": parts,
        "mining": lambda: mining.step(model, many, state, optimizer),
    }
    spent = take_turns({name: repeated(contender, 2) for name, contender in contenders.items()}, repeats)
    basis, bare, ours = f"ERM step of {BATCH}", f"forward of {scored} and ERM step of {BATCH}", f"{BATCH} of {scored}"
    return [
        row(f"cnn: {bare} / {basis}", [turn["parts"] / turn["plain"] for turn in spent], None),
        row(f"cnn: mining step, {ours} / {basis}", [turn["mining"] / turn["plain"] for turn in spent], 2.3),
        row(f"cnn: mining step, {ours} / {bare}", [turn["mining"] / turn["parts"] for turn in spent], 1.1),
    ]


def measure_groups(*, repeats: int) -> dict:
    """The loss of Group DRO over 1,000 groups relative to that over 4, given the losses of a batch."""

    def contender(groups: int) -> Callable[[], None]:
        losses = torch.rand(BATCH, generator=torch.Generator().manual_seed(0))
        ids, log_q = torch.arange(BATCH) % groups, torch.zeros(groups).log_softmax(0)

        def run() -> torch.Tensor:
            means, _ = group_means(losses, ids, groups)
            return (exponentiated(log_q, means, 0.01).exp() * means).sum()

        return repeated(run, 2000)

    spent = take_turns({"many": contender(1000), "few": contender(4)}, repeats)
    return row("Group DRO loss, 1,000 groups / 4 groups", [turn["many"] / turn["few"] for turn in spent], 1.3)
