"""A training that can be interrupted: the loop of `training`, epoch by epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ..data import GroupedData
from ..evaluation import GroupReport
from ..method import State
from ..settings import SELECT
from ..training import Loop
from .checkpoints import Checkpoints, draw_on, drawn


@dataclass
class Progress:
    """What is known after an epoch beside the model, the state and the optimiser.

    epoch, chosen  the last epoch, and the one that the rule prefers so far
    best, weights  what the rule says of that one, and its weights; None where the last one is taken
    records        as those of a `Run`
    """

    epoch: int = 0
    chosen: int = 0
    best: float = -math.inf
    weights: dict[str, Any] | None = None
    records: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class LongLoop(Loop):
    """A `Loop` that leaves a checkpoint after every epoch, and begins after the last one that it finds.

    Each of its epochs is a whole `Loop` that has one epoch to go, with the model, the state and the optimiser of the
    epoch before: there is one training loop.
    """

    checkpoints: Checkpoints | None = None

    def __post_init__(self) -> None:
        self.model: nn.Module | None = None  # as it is trained, with the modes of its modules
        self.modes: list[tuple[nn.Module, bool]] = []
        self.begun: tuple[State, Optimizer] | None = None
        self.next = 0  # the epoch to go
        self.began = time.perf_counter()

    def built(self, model: nn.Module, data: GroupedData) -> nn.Module:
        """What is trained; after the first time, the same again."""
        if self.model is None:
            self.model = super().built(model, data)
            self.modes = [(module, module.training) for module in self.model.modules()]
        for module, mode in self.modes:  # a loop ends in evaluation mode
            module.training = mode
        return self.model

    def _begun(self, model: nn.Module, data: GroupedData) -> tuple[State, Optimizer]:
        if self.begun is None:
            self.begun = super()._begun(model, data)
        return self.begun

    def _epochs(self, first: int, progress: Any) -> Iterator[int]:
        yield self.next

    def _trained(
        self,
        model: nn.Module,
        data: GroupedData,
        watched: Mapping[str, GroupedData],
        progress: bool | Callable[[int, int], None],
    ) -> dict[str, Any]:
        watched = {name: split.to(self.device) for name, split in watched.items()}
        trained = self.built(model, data)
        state, optimizer = self._begun(trained, data)
        done = self._restored(trained, data, state, optimizer)
        self.stopped = self._ends(done.epoch, done.chosen)
        for self.next in super()._epochs(done.epoch + 1 if done.epoch else state.epoch, progress):
            found = super()._trained(model, data, watched, False)
            self._choose(done, found["records"], watched)
            self._save(done, trained, state, optimizer)
        if done.weights is not None:
            trained.load_state_dict(done.weights)
        rule = self.settings["select"]
        run = dict(state=state, method=self.method, epoch=done.chosen, select=rule, records=done.records)
        return dict(run, model=trained.eval())

    def _choose(self, done: Progress, rows: list[dict[str, Any]], watched: Mapping[str, GroupedData]) -> None:
        """Add an epoch to what is known; its weights are kept where the rule likes them best so far."""
        done.epoch, score = self.next, SELECT[self.settings["select"]]
        done.records += rows
        if score is None:
            done.chosen = done.epoch
            return
        seen = [row for row in rows if row["split"] == "validation"]
        right, n = (tuple(row[name] for row in seen) for name in ("correct", "n"))
        split = watched["validation"]
        value = score(GroupReport(right, n, split.label_names, split.attribute_names))
        if value > done.best and self.model is not None:
            done.best, done.chosen = value, done.epoch
            done.weights = {name: each.clone() for name, each in self.model.state_dict().items()}
        self.stopped = self._ends(done.epoch, done.chosen)

    def _save(self, done: Progress, model: nn.Module, state: State, optimizer: Optimizer) -> None:
        if self.checkpoints is None:
            return
        parts = dict(model=model.state_dict(), state=state.state_dict(), optimizer=optimizer.state_dict())
        spent = time.perf_counter() - self.began + self.spent
        self.checkpoints.save(done.epoch, dict(parts, drawn=drawn(self.device), done=vars(done), spent=spent))

    def _last(self) -> dict[str, Any] | None:
        return self.checkpoints.last() if self.checkpoints else None

    def _restored(self, model: nn.Module, data: GroupedData, state: State, optimizer: Optimizer) -> Progress:
        """What is known from the last checkpoint, whose model, state, optimiser and random numbers are taken up."""
        kept = self._last()
        if kept is None:
            return Progress()
        self.method.data(model, data, state)  # what is drawn once, such as the new samples of SMOTE, is drawn again
        model.load_state_dict(kept["model"])
        state.load_state_dict(kept["state"])
        optimizer.load_state_dict(kept["optimizer"])
        draw_on(kept["drawn"], self.device)
        self.spent = kept["spent"]
        return Progress(**kept["done"])
