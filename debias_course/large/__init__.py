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
    """
    if checkpoint is None:
        return training.train(model, data, method, **how)
    return _long(model, data, method, folder("checkpoint", checkpoint), **how)


def _long(model: nn.Module, data: GroupedData, method: Method, where: Path, **how: Any) -> Run:
    from .checkpoints import Checkpoints, key_of
    from .loop import LongLoop

    given = training.DEFAULTS | {name: how.pop(name) for name in SETTINGS if name in how}
    settings = checked_settings(given)
    device = pick_device(how.pop("device", None))
    progress, on_step = how.pop("progress", False), how.pop("on_step", None)
    watched = watched_data(model, data, method, select=settings["select"], **dict(validation=None, watch=None) | how)
    decides = Loop, method, model, type(data), sorted(settings.items()), sorted(watched)
    with alone(where):
        key = key_of(*decides, data=[data, *(watched[name] for name in sorted(watched))], device=device)
        told = dict(method=method, **settings, device=device)
        loop = LongLoop(method, settings, device, on_step, checkpoints=Checkpoints(where, key, told))
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
