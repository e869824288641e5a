"""The only training loop. It never asks which method it runs.

run = train(models.mlp(data.train), data.train, LossReweighting(by="group"), epochs=20, seed=3)
evaluate(run.model, data.test)
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .contexts import isolated_randomness, threads_for
from .data import Batch, GroupedData
from .evaluation import GroupReport, evaluate
from .methods import ERM, Method
from .settings import OPTIMIZERS as OPTIMIZERS
from .settings import SELECT as SELECT
from .settings import augmented, checked_settings, index_tensors, watched_data

PLAIN = ERM()


def pick_device(device: torch.device | str | None = None) -> torch.device:
    """The device asked for, otherwise a GPU where there is one, otherwise the CPU. ValueError where it is not there."""
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.empty(0, device=chosen).device
        if found.type == "meta":
            raise RuntimeError("it holds no numbers")
        return found
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device {str(chosen)!r} cannot be used here ({reason}); use 'cpu', or leave it out"
        ) from error


@dataclass
class Run:
    """What `train` returns: the selected model and how it came about.

    model      a trained copy; the model that was passed in is untouched
    state      the method's state after the last epoch
    epoch      the selected epoch, from 1; `select` is the rule that chose it
    records    one dict per epoch, watched split and group: epoch, loss, split, group, n, correct
    seconds    wall time of the whole call
    settings   the arguments that decide the result, but for the data, the model and the device
    """

    model: nn.Module
    state: nn.Module
    method: Method
    epoch: int
    select: str
    records: list[dict[str, Any]]
    seconds: float
    settings: dict[str, Any]

    @property
    def history(self):
        """Data frame of `records` with accuracies."""
        import pandas as pd

        frame = pd.DataFrame(self.records)
        if "correct" in frame:
            frame["accuracy"] = frame["correct"] / frame["n"].where(frame["n"] > 0)
        return frame


def train(
    model: nn.Module,
    data: GroupedData,
    method: Method = PLAIN,
    *,
    epochs: int = 20,
    batch_size: int = 128,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    seed: int = 0,
    validation: GroupedData | None = None,
    watch: Mapping[str, GroupedData] | None = None,
    select: str = "last",
    optimizer: str = "adamw",
    augment: Callable[[Tensor], Tensor] | None = None,
    device: torch.device | str | None = None,
    progress: bool | Callable[[int, int], None] = False,
) -> Run:
    """Train a copy of `model` on `data` with `method`.

    model         maps float inputs [B, ...] to logits [B, n_labels]
    batch_size    the largest batch; an epoch is cut into equal parts, so that no small one is left over
    optimizer     "adamw" (Loshchilov and Hutter 2019; weight decay is decoupled) or "sgd" (with momentum 0.9)
    seed          of the batch order and of dropout; the model brings its own start
    augment       changes the inputs of a training batch on the device; a torchvision v2 transform does, but moves all
                  images of the batch alike
    validation    measured after every epoch, and what `select` looks at (one of `SELECT`)
    watch         other data to measure after every epoch, by name
    progress      True shows a bar; a function is called with (epochs done, epochs)

    Raises ValueError for settings that cannot work, and FloatingPointError, naming the epoch, when the loss is no
    longer finite.
    """
    settings = checked_settings(
        dict(
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            seed=seed,
            select=select,
            optimizer=optimizer,
            augment=augment,
        )
    )
    watched = watched_data(model, data, method, validation, watch, select)

    started = time.perf_counter()
    device = pick_device(device)
    data = data.to(device)
    watched = {name: split.to(device) for name, split in watched.items()}
    score, best, chosen, records = SELECT[select], -math.inf, settings["epochs"], []
    with isolated_randomness(settings["seed"], device), threads_for(model):
        model = method.model(to_training(copy.deepcopy(model)), data).to(device)
        evaluate(model, data.subset(torch.arange(1, device=device)))  # refuses a model with other outputs than logits
        state = method.start(model, data).to(device)
        state.generator = torch.Generator(device).manual_seed(settings["seed"])
        updates = make_optimizer(optimizer, model, state, lr=settings["lr"], weight_decay=settings["weight_decay"])
        for epoch in _counted(settings["epochs"], progress):
            state.epoch = epoch
            loss = _one_epoch(model, data, method, state, updates, augment, settings)
            reports = {name: evaluate(model, split) for name, split in watched.items()}
            records += _rows(epoch, loss, reports)
            if score and score(reports["validation"]) > best:
                best, chosen = score(reports["validation"]), epoch
                kept = {name: value.clone() for name, value in model.state_dict().items()}
        if score:
            model.load_state_dict(kept)
    settings["augment"] = repr(augment)
    return Run(model.eval(), state, method, chosen, select, records, time.perf_counter() - started, settings)


def to_training(model: nn.Module) -> nn.Module:
    """`model` in training mode, but for what somebody has put into evaluation mode on purpose: submodules of a model
    that trains, and those whose own parameters ask for no gradient, such as a frozen batch norm."""
    on_purpose = [
        module
        for module in model.modules()
        if not module.training
        and (
            model.training or (own := list(module.parameters(recurse=False))) and not any(p.requires_grad for p in own)
        )
    ]
    model.train()
    for module in on_purpose:
        module.training = False
    return model


def _one_epoch(model, data, method, state, updates, augment, settings) -> float:
    """The mean loss over the epoch's batches; reading it is the epoch's only wait for the device."""
    seen = method.data(model, data, state)
    if augment is not None and seen.inputs.shape[1:] != data.inputs.shape[1:]:
        augment = None  # it changes images, and these are their embeddings
    batches = method.batches(seen, settings["batch_size"], seed=settings["seed"], epoch=state.epoch)
    batches = index_tensors(batches, len(seen))
    rows = torch.cat(batches).to(seen.device).split([len(batch) for batch in batches])  # moved once
    total = torch.zeros((), device=seen.device)
    for number, batch in enumerate(seen.batches(rows)):
        state.progress = (state.epoch - 1 + number / len(rows)) / settings["epochs"]
        batch = batch._replace(inputs=augmented(batch.inputs, augment)) if augment else batch
        total += step(model, batch, method, state, updates)
    loss = float(total) / len(batches)
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"the training loss is {loss} in epoch {state.epoch}; lower lr={updates.param_groups[0]['lr']:g}, or look "
            "for extreme inputs"
        )
    return loss


def step(model: nn.Module, batch: Batch, method: Method, state: nn.Module, optimizer) -> Tensor:
    """One update; returns the batch's loss as a tensor on the device, so that nobody has to wait for it."""
    optimizer.zero_grad(set_to_none=True)
    loss = method.loss(model, batch, state)
    loss.backward()
    optimizer.step()
    return loss.detach()


def make_optimizer(name: str, model: nn.Module, state: nn.Module, *, lr: float, weight_decay: float):
    """Over the model's and the method's parameters; fused, which saves a third of a small model's step."""
    parameters = [*model.parameters(), *state.parameters()]
    if not any(parameter.requires_grad for parameter in parameters):
        which = "all parameters of the model are frozen" if parameters else "the model has no parameters"
        raise ValueError(f"{which}, so there is nothing to train; evaluate it as it is, or let some require a gradient")
    fused = parameters[0].device.type != "meta"
    return OPTIMIZERS[name](parameters, lr=lr, weight_decay=weight_decay, fused=fused)


def _counted(epochs: int, progress: bool | Callable[[int, int], None]) -> Iterator[int]:
    """1 .. epochs, telling `progress` of each one that is done."""
    from tqdm import tqdm

    for epoch in tqdm(range(1, epochs + 1), desc="epochs", disable=progress is not True):
        yield epoch
        if callable(progress):
            progress(epoch, epochs)


def _rows(epoch: int, loss: float, reports: Mapping[str, GroupReport]) -> list[dict[str, Any]]:
    rows = [
        dict(epoch=epoch, loss=loss, split=split, group=name, n=n, correct=correct)
        for split, report in reports.items()
        for name, n, correct in zip(report.group_names, report.n, report.correct)
    ]
    return rows or [dict(epoch=epoch, loss=loss)]
