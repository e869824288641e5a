"""A training that comes first, such as that of a biased partner, of a model to correct, or of embeddings.

    def start(self, model, data):
        state = State()
        state.partner = stage(weak(data), data, epochs=3).requires_grad_(False)
        return state

A stage is run once, kept in the cache folder, and shared by all who ask for the same: the same start, data, method,
settings and code, as their fingerprint says. Of processes that ask at once, the others wait for the first.
"""

from __future__ import annotations

import contextlib
import contextvars
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import nn

from .cache import cache_folder, keep, places
from .contexts import isolated_randomness
from .data import GroupedData
from .fingerprints import NoFingerprint, fingerprint
from .keys import content, numerics
from .method import Method
from .settings import checked_settings, watched_data
from .training import DEFAULTS, PLAIN, Loop, pick_device, running


def stage(
    model: nn.Module,
    data: GroupedData,
    method: Method = PLAIN,
    *,
    device: torch.device | str | None = None,
    **settings: Any,
) -> nn.Module:
    """A copy of `model` that `method` has trained on `data`, after its last epoch and in evaluation mode.

    settings   as for `training.train`, but for those that look at validation: epochs, lr, seed ...; those that are not
               given, and the device, are those of the run whose method asks, and outside of runs those of `train`

    What cannot be fingerprinted is trained and not kept. Raises what `train` raises.
    """
    asking = running.get()
    settings = (asking.settings if asking else DEFAULTS) | settings
    settings = checked_settings(settings | dict(select="last", patience=None))
    watched_data(model, data, method, None, None, "last")
    where = asking.device if asking and device is None else pick_device(device)
    loop, data = Loop(method, settings, where, rehearsal=bool(asking and asking.rehearsal)), data.to(where)
    path = None if loop.rehearsal else _path(loop, model, data)
    if path is None:
        return loop.run(model, data, {}).model
    with _alone(path):
        kept = next(filter(None, (_read(each, loop, model, data) for each in places(path))), None)
        if kept is None:
            run = loop.run(model, data, {})
            file = io.BytesIO()
            torch.save(dict(key=path.stem, weights=run.model.state_dict(), seconds=run.seconds), file)
            keep(path, file.getvalue())
            return run.model
    trained, seconds = kept
    if asking:
        asking.spent += seconds
    return trained


def _path(loop: Loop, model: nn.Module, data: GroupedData) -> Path | None:
    """Where the stage is kept, by all that decides its result; None where that cannot be known."""
    what = [Loop, loop.method, model, type(data), sorted(loop.settings.items()), numerics(str(loop.device))]

    def key() -> str:
        running.set(None)  # what a stage takes from the run that asks is in its settings
        with isolated_randomness(0):
            return fingerprint(what, content([data]))

    try:
        return cache_folder() / "stages" / f"{contextvars.copy_context().run(key)}.pt"
    except NoFingerprint:
        return None


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Only one process at a time does what is inside, where the folder can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (lock := FileLock(path.with_suffix(".lock"))).acquire()
    except OSError:
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _read(path: Path, loop: Loop, model: nn.Module, data: GroupedData) -> tuple[nn.Module, float] | None:
    """The trained model that is kept, and the seconds that it took; None where there is none, or a damaged one."""
    try:
        path.stat()  # before a network is built
    except OSError:
        return None
    with loop.under_way(model):
        trained = loop.built(model, data)
    try:
        kept = torch.load(path, map_location=loop.device, weights_only=True)
        if kept["key"] != path.stem:
            return None
        trained.load_state_dict(kept["weights"])
        return trained.eval(), float(kept["seconds"])
    except Exception:  # whatever a damaged file makes of it: it is trained again
        return None
