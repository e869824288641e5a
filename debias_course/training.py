"""The only training loop. It never asks which method it runs.

run = train(models.mlp(data.train), data.train, LossReweighting(by="group"), epochs=20, seed=3)
evaluate(run.model, data.test)
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .checks import Unsuitable, isa
from .contexts import isolated_randomness, threads_for, to_training
from .data import Batch, GroupedData
from .evaluation import GroupReport, class_logits, evaluate
from .method import ERM, Method, State
from .optimizers import OPTIMIZERS as OPTIMIZERS
from .optimizers import SCHEDULES as SCHEDULES
from .optimizers import make_optimizer as make_optimizer
from .optimizers import scheduled
from .settings import SELECT as SELECT
from .settings import SETTINGS, augmented, checked_settings, index_tensors, watched_data

if TYPE_CHECKING:
    import pandas as pd

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
    seconds    wall time of the whole call, with that of its stages, also where they were kept
    settings   the arguments that decide the result, but for the data, the model and the device
    """

    model: nn.Module
    state: State
    method: Method
    epoch: int
    select: str
    records: list[dict[str, Any]]
    seconds: float
    settings: dict[str, Any]

    @property
    def history(self) -> pd.DataFrame:
        """Data frame of `records` with accuracies."""
        import pandas as pd

        frame = pd.DataFrame(self.records)
        if "correct" in frame:
            frame["accuracy"] = frame["correct"] / frame["n"].where(frame["n"] > 0)
        return frame

    @property
    def stopped(self) -> int | None:
        """The epoch after which `patience` ended the training; None where it went on to the last one."""
        last = self.records[-1]["epoch"]
        return last if last < self.settings["epochs"] else None


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
    patience: int | None = None,
    optimizer: str = "adamw",
    schedule: str | Callable[[float], float] = "constant",
    augment: Callable[[Tensor], Tensor] | None = None,
    device: torch.device | str | None = None,
    progress: bool | Callable[[int, int], None] = False,
    on_step: Callable[[nn.Module, Batch, State, Tensor], None] | None = None,
) -> Run:
    """Train a copy of `model` on `data` with `method`.

    model         maps float inputs [B, ...] to logits [B, n_labels]
    batch_size    the largest batch; an epoch is cut into equal parts, so that no small one is left over
    optimizer     "adamw" (Loshchilov and Hutter 2019; weight decay is decoupled) or "sgd" (with momentum 0.9)
    schedule      of the learning rate: "constant", "cosine" or "linear" (both to zero), or a function of progress, the
                  share of all steps that are done, 0 <= p < 1, that returns a factor of `lr`. Epochs that a stage has
                  spent are done; the stage itself, a training of its own, goes through the whole schedule
    seed          of the batch order and of dropout; the model brings its own start
    augment       changes the inputs of a training batch on the device; a torchvision v2 transform does, but moves all
                  images of the batch alike
    validation    measured after every epoch, and what `select` looks at (one of `SELECT`)
    patience      stop when the score of `select` has not risen for so many epochs, counted from the method's
                  `first_epoch` on; `epochs` are then the most. None: train for all of them
    watch         other data to measure after every epoch, by name
    progress      True shows a bar; a function is called with (epochs done, epochs), which are equal at the end
    on_step       called after every update as on_step(model, batch, state, loss): to look on, not to interfere

    Raises ValueError for settings that cannot work, and FloatingPointError, naming the epoch, when the loss is no
    longer finite.
    """
    given: dict[str, Any] = dict(epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay, seed=seed)
    given |= dict(select=select, patience=patience, optimizer=optimizer, schedule=schedule, augment=augment)
    settings = checked_settings(given)
    watched = watched_data(model, data, method, validation, watch, select)
    loop = Loop(method, settings, pick_device(device), on_step)
    return loop.run(model, data, watched, progress)


DEFAULTS: dict[str, Any] = {
    name: parameter.default for name, parameter in inspect.signature(train).parameters.items() if name in SETTINGS
}  # of the settings, for all that trains
running: ContextVar[Loop | None] = ContextVar("running", default=None)  # the loop that is under way


@dataclass
class Loop:
    """One training. In a `rehearsal` it ends after the first batch, and after that of the method's `first_epoch`.

    spent    seconds that stages took which were kept, beyond those of now
    stopped  whether `patience` is at its end
    """

    method: Method
    settings: dict[str, Any]
    device: torch.device
    on_step: Callable[[nn.Module, Batch, State, Tensor], None] | None = None
    rehearsal: bool = False
    spent: float = 0.0
    stopped: bool = False

    def run(
        self,
        model: nn.Module,
        data: GroupedData,
        watched: Mapping[str, GroupedData],
        progress: bool | Callable[[int, int], None] = False,
    ) -> Run:
        started = time.perf_counter()
        with self.under_way(model):
            trained = self._trained(model, data.to(self.device), watched, progress)
        settings = self.settings | dict(augment=repr(self.settings["augment"]), schedule=str(self.settings["schedule"]))
        return Run(**trained, seconds=time.perf_counter() - started + self.spent, settings=settings)

    @contextlib.contextmanager
    def under_way(self, model: nn.Module) -> Iterator[None]:
        """Inside, this is the loop that runs, with random numbers of its own, and threads that suit the model."""
        token = running.set(self)
        try:
            with isolated_randomness(self.settings["seed"], self.device), threads_for(model):
                yield
        finally:
            running.reset(token)

    def built(self, model: nn.Module, data: GroupedData) -> nn.Module:
        """What is trained: a copy of `model`, as the method changes it."""
        return to_training(self.method.model(to_training(copy.deepcopy(model)), data)).to(self.device)

    def _trained(
        self,
        model: nn.Module,
        data: GroupedData,
        watched: Mapping[str, GroupedData],
        progress: bool | Callable[[int, int], None],
    ) -> dict[str, Any]:
        """All fields of a `Run` up to its records."""
        method, epochs = self.method, self.settings["epochs"]
        watched = {name: split.to(self.device) for name, split in watched.items()}
        rule = self.settings["select"]
        score, best, chosen, records, kept = SELECT[rule], -math.inf, epochs, [], None
        model = self.built(model, data)
        class_logits(model, data.subset(torch.arange(1, device=self.device)))  # refuses other outputs than logits
        state, optimizer = self._begun(model, data)
        for epoch in self._epochs(state.epoch, progress):
            state.epoch = epoch
            loss = self._epoch(model, data, state, optimizer)
            if self.rehearsal:
                continue
            reports = {name: evaluate(model, split) for name, split in watched.items()}
            records += _rows(epoch, loss, reports)
            if score and score(reports["validation"]) > best:
                best, chosen = score(reports["validation"]), epoch
                kept = {name: value.clone() for name, value in model.state_dict().items()}
            self.stopped = self._ends(epoch, chosen)
        if kept is not None:
            model.load_state_dict(kept)
        return dict(model=model.eval(), state=state, method=method, epoch=chosen, select=rule, records=records)

    def _begun(self, model: nn.Module, data: GroupedData) -> tuple[State, Optimizer]:
        state, settings = self.method.start(model, data), self.settings
        isa(f"what {type(self.method).__name__}.start returns", state, State, "a methods.State")
        state = state.to(self.device).begin(seed=settings["seed"], device=self.device)
        if state.epoch > settings["epochs"]:
            raise Unsuitable(
                f"{type(self.method).__name__} begins with epoch {state.epoch}, after what comes first, and there are "
                f"{settings['epochs']}; train for more epochs, or let the other be shorter"
            )
        groups = self.method.parameters(model, state)
        return state, make_optimizer(settings["optimizer"], groups, settings["lr"], settings["weight_decay"])

    def _epochs(self, first: int, progress: bool | Callable[[int, int], None]) -> Iterator[int]:
        """The epochs to go, telling `progress` of each one that is done."""
        from tqdm import tqdm

        last = first - 1 if self.stopped else self.settings["epochs"]
        epochs: Sequence[int] = range(first, last + 1)
        if self.rehearsal:
            epochs = sorted({first, min(last, max(first, self.method.first_epoch))})
        with tqdm(total=last, initial=first - 1, desc="epochs", disable=progress is not True) as bar:
            for epoch in epochs:
                yield epoch
                if self.stopped:
                    last = bar.total = epoch
                bar.update()
                if callable(progress):
                    progress(epoch, last)
                if self.stopped:
                    return

    def _ends(self, epoch: int, chosen: int) -> bool:
        """Whether `patience` is at its end after an epoch, when the rule prefers the epoch `chosen`."""
        patience = self.settings["patience"]
        return patience is not None and epoch - max(chosen, self.method.first_epoch - 1) >= patience

    def _epoch(self, model: nn.Module, data: GroupedData, state: State, optimizer: Optimizer) -> float:
        """The mean loss over the epoch's batches; reading it is the epoch's only wait for the device."""
        method, settings, augment = self.method, self.settings, self.settings["augment"]
        schedule = settings["schedule"] if callable(settings["schedule"]) else SCHEDULES[settings["schedule"]]
        seen = method.data(model, data, state)
        if augment is not None and seen.inputs.shape[1:] != data.inputs.shape[1:]:
            augment = None  # it changes images, and these are their embeddings
        batches = method.batches(seen, settings["batch_size"], seed=settings["seed"], epoch=state.epoch)
        batches = index_tensors(batches, len(seen))[: 1 if self.rehearsal else None]
        rows = torch.cat(batches).to(seen.device).split([len(batch) for batch in batches])  # moved once
        total = torch.zeros((), device=seen.device)
        for place, batch in enumerate(seen.batches(rows)):
            state.progress = (state.epoch - 1 + place / len(rows)) / settings["epochs"]
            if schedule is not None:
                scheduled(optimizer, schedule, state.progress)
            batch = batch._replace(inputs=augmented(batch.inputs, augment)) if augment else batch
            loss = method.step(model, batch, state, optimizer)
            total += loss
            if self.on_step is not None:
                self.on_step(model, batch, state, loss)
        mean = float(total) / len(batches)
        if not math.isfinite(mean):
            raise FloatingPointError(
                f"the training loss is {mean} in epoch {state.epoch}; lower lr={settings['lr']:g}, or look for "
                "extreme inputs"
            )
        return mean


def completed(settings: Mapping[str, Any], of: str) -> dict[str, Any]:
    """All settings but the seed, which `of` decides: a default is the same whether one says it or not. TypeError or
    ValueError for what cannot work."""
    return checked_settings({name: each for name, each in DEFAULTS.items() if name != "seed"} | dict(settings), of)


def _rows(epoch: int, loss: float, reports: Mapping[str, GroupReport]) -> list[dict[str, Any]]:
    rows = [
        dict(epoch=epoch, loss=loss, split=split, group=name, n=n, correct=correct)
        for split, report in reports.items()
        for name, n, correct in zip(report.group_names, report.n, report.correct)
    ]
    return rows or [dict(epoch=epoch, loss=loss)]
