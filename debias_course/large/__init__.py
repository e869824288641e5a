"""`train` for what outgrows a sitting or a machine. At home, it is `training.train`.

    train(model, data, GroupDRO(), epochs=90, checkpoint="run")

It lies apart from `training`, whose code is part of the key of every kept run of a study.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from .. import training
from ..checks import folder
from ..data import GroupedData
from ..method import Method
from ..settings import SETTINGS, checked_settings, watched_data
from ..training import PLAIN, Loop, Run, pick_device
from . import spread
from .checkpoints import Checkpoints, key_of
from .loop import LongLoop

if TYPE_CHECKING:
    from os import PathLike


def train(
    model: nn.Module,
    data: GroupedData,
    method: Method = PLAIN,
    *,
    checkpoint: str | PathLike[str] | None = None,
    **how: Any,
) -> Run:
    """`training.train`, and

    checkpoint    a folder in which every epoch leaves what the training needs to go on: the same call, after a crash or
                  a kill, continues after the last whole epoch, to the same result. Give the folder to one training
                  only; FileExistsError where it holds those of another one.

    In the processes of `torchrun`, they train one model together, to the weights that one process would find but for
    the order of sums: each computes its part of every batch. They have to make the same call; the first shows the bar,
    looks on and writes.
    """
    where = None if checkpoint is None else folder("checkpoint", checkpoint)
    if where is None and not spread.in_processes():
        return training.train(model, data, method, **how)
    return _long(model, data, method, where, **how)


def _long(model: nn.Module, data: GroupedData, method: Method, where: Path | None, **how: Any) -> Run:
    inspect.signature(training.train).bind(model, data, method, **how)  # TypeError for what it does not take
    settings = checked_settings(training.DEFAULTS | {name: how.pop(name) for name in SETTINGS if name in how})
    device, kind = pick_device(how.pop("device", None)), LongLoop
    progress, on_step = how.pop("progress", False), how.pop("on_step", None)
    watched = watched_data(model, data, method, select=settings["select"], **dict(validation=None, watch=None) | how)
    if spread.in_processes():
        device, kind = spread.joined(device), spread.SpreadLoop
        on_step = on_step if spread.first() else None
    with alone(where) if where and spread.first() else contextlib.nullcontext():
        loop = kind(method, settings, device, on_step)
        if where and spread.first():
            decides = Loop, method, model, type(data), sorted(settings.items()), sorted(watched)
            key = key_of(*decides, data=[data, *(watched[name] for name in sorted(watched))], device=device)
            loop.checkpoints = Checkpoints(where, key, dict(method=method, **settings, device=device))
        return loop.run(model, data, watched, progress)


@contextlib.contextmanager
def alone(where: Path) -> Iterator[None]:
    """Inside, `where` is this process's own; FileExistsError where another one trains there, OSError where it cannot be
    written."""
    from filelock import FileLock, Timeout

    try:
        where.mkdir(parents=True, exist_ok=True)
        lock = FileLock(where / ".training", timeout=0)
        lock.acquire()
    except Timeout:
        message = f"another process trains in {where}; wait until it is done, or choose another folder"
        raise FileExistsError(message) from None
    except OSError as error:
        raise OSError(f"{where} cannot be written ({error.strerror or error}); choose another folder") from error
    try:
        yield
    finally:
        lock.release()


def _signature() -> inspect.Signature:
    """That of `training.train`, with a checkpoint."""
    known = inspect.signature(training.train)
    extra = inspect.Parameter("checkpoint", inspect.Parameter.KEYWORD_ONLY, default=None)
    return known.replace(parameters=[*known.parameters.values(), extra])


train.__signature__ = _signature()  # type: ignore[attr-defined]
