"""One training in the processes that `torchrun` started: the same call, in all of them.

torchrun --nproc-per-node 2 -m debias_course.cli train --data photos --model resnet50 --out run
"""

from __future__ import annotations

import atexit
import os
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from ..data import GroupedData
from ..data.streaming import ImageFiles
from ..method import State
from ..training import running
from .loop import LongLoop, Progress
from .ranks import Division, gathered, rows_of

BATCH_NORM = (
    "batch norm takes its statistics from each process's part of a batch, 1 of {}, so the result is not that of one "
    "process; on GPUs, torch.nn.SyncBatchNorm.convert_sync_batchnorm(model) takes "
    "them from the whole batch"
)


def in_processes() -> bool:
    """Whether this is one of several processes of `torchrun`."""
    return dist.is_available() and int(os.environ.get("WORLD_SIZE", 1)) > 1 and "RANK" in os.environ


def first() -> bool:
    """Whether this process is the one that shows the bar and writes the files."""
    return not in_processes() or os.environ["RANK"] == "0"


def joined(device: torch.device) -> torch.device:
    """Meet the other processes; the device of this one."""
    if device.type != "cpu":
        device = torch.device(device.type, int(os.environ["LOCAL_RANK"]))
        getattr(torch, device.type).set_device(device)
    if not dist.is_initialized():
        dist.init_process_group(dist.Backend.default_device_backend_map[device.type])
        atexit.register(dist.destroy_process_group)
    return device


class SharedFiles(ImageFiles):
    """Images on disk, of which each process decodes its part."""

    def read(self, parts: Iterable[Tensor]) -> Generator[Tensor, None, None]:
        """As of `ImageFiles`."""
        parts = list(parts)
        for part, images in zip(parts, super().read([part[rows_of(len(part))] for part in parts])):
            yield gathered(images, len(part))


def shared(data: GroupedData) -> GroupedData:
    """The same data, whose images, where they stay on disk, are read once by all processes together."""
    files = data.inputs
    if not isinstance(files, ImageFiles):
        return data
    return replace(data, inputs=SharedFiles(**{each.name: getattr(files, each.name) for each in fields(files)}))


@dataclass
class SpreadLoop(LongLoop):
    """A `LongLoop` whose network is divided among processes. The first shows the bar and keeps the checkpoints."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.division = Division(self.device, lambda: running.get() is self)  # and not in a stage

    def _trained(
        self,
        model: nn.Module,
        data: GroupedData,
        watched: Mapping[str, GroupedData],
        progress: bool | Callable[[int, int], None],
    ) -> dict[str, Any]:
        watched = {name: shared(each) for name, each in watched.items()}
        try:
            return super()._trained(model, shared(data), watched, progress if first() else False)
        finally:
            self.division.end()

    def _begun(self, model: nn.Module, data: GroupedData) -> tuple[State, Optimizer]:
        """The start, as it is in one process, for which stages are kept; what comes then is divided."""
        new, begun = self.begun is None, super()._begun(model, data)
        if new:
            self.division.divide(model, begun[0])
            if first() and any(isinstance(module, _BatchNorm) and module.training for module in model.modules()):
                warnings.warn(BATCH_NORM.format(dist.get_world_size()), stacklevel=2)
        return begun

    def _epoch(self, model: nn.Module, data: GroupedData, state: State, optimizer: Optimizer) -> float:
        self.division.epoch(self.settings["seed"], state.epoch)
        loss = super()._epoch(model, data, state, optimizer)
        for buffer in model.buffers():  # of a batch norm
            dist.broadcast(buffer, 0)
        return loss

    def _ends(self, epoch: int, chosen: int) -> bool:
        """What the first process says: one that went on alone would wait for the others for ever."""
        ends = [super()._ends(epoch, chosen)]
        if self.settings["patience"] is not None:
            dist.broadcast_object_list(ends, 0)
        return ends[0]

    def _save(self, done: Progress, model: nn.Module, state: State, optimizer: Optimizer) -> None:
        if first():
            super()._save(done, model, state, optimizer)

    def _last(self) -> dict[str, Any] | None:
        """What the first process finds: the others may have no such disk."""
        found = [super()._last() if first() else None]
        dist.broadcast_object_list(found, 0)
        return found[0]
