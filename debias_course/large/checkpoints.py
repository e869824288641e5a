"""What a training leaves after every epoch, so that one that was killed goes on from there.

A folder holds the checkpoints of one training, the last two of them. Each is written in one move and begins with its
own hash: half a file, or one that a disk has changed, is told from a whole one.
"""

from __future__ import annotations

import hashlib
import io
import random
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ..cache import write_atomically
from ..fingerprints import fingerprint
from ..keys import content, numerics

KEPT = 2  # checkpoints in a folder: the last one, and the one before, should the last be damaged
HASH = 32  # bytes at the beginning


class Checkpoints:
    """The checkpoints of one training in `folder`: that of the `settings`, which a sentence can name, and of all else
    that decides the result, as the hash `key` says."""

    def __init__(self, folder: Path, key: str, settings: Mapping[str, Any]):
        self.folder, self.key = folder, key
        self.settings = {name: str(value) for name, value in settings.items()}

    def save(self, epoch: int, what: dict[str, Any]) -> None:
        """Keep `what` after an epoch; where it cannot be written, a warning says so, and the one before stays."""
        file = io.BytesIO()
        torch.save(dict(what, key=self.key, settings=self.settings), file)
        whole = file.getvalue()
        try:
            write_atomically(self._path(epoch), hashlib.sha256(whole).digest() + whole)
        except OSError as error:
            last = self._found()
            before = f"that of epoch {_epoch(last[0])} is kept" if last else "there is none yet"
            warnings.warn(
                f"the checkpoint of epoch {epoch} could not be written to {self.folder} ({error.strerror or error}); "
                f"training goes on, and {before}: make room there",
                stacklevel=2,
            )
            return
        for old in self._found()[KEPT:]:
            with suppress(OSError):
                old.unlink()

    def last(self) -> dict[str, Any] | None:
        """What was kept last, None where nothing was; a damaged file is said and the one before is taken.

        FileExistsError where the folder holds the checkpoints of another training."""
        for path in self._found():
            whole = path.read_bytes()
            if hashlib.sha256(whole[HASH:]).digest() != whole[:HASH]:
                warnings.warn(
                    f"{path} is damaged; training goes on from the checkpoint before, or anew where there is none",
                    stacklevel=2,
                )
                continue
            kept = torch.load(io.BytesIO(whole[HASH:]), map_location="cpu", weights_only=True)
            if kept["key"] != self.key:
                raise FileExistsError(self._another(kept["settings"]))
            return kept
        return None

    def _another(self, other: Mapping[str, str]) -> str:
        changed = [name for name in {**self.settings, **other} if self.settings.get(name) != other.get(name)]
        what = "its data, its start or the code of the course or of torch are others than now"
        if changed:
            what = f"{changed[0]}: {other.get(changed[0])}, and now {self.settings.get(changed[0])}"
        return f"{self.folder} holds the checkpoints of another training ({what}); choose another folder, or delete it"

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:06d}.pt"

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*.pt"), reverse=True)


def _epoch(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def key_of(*decides: Any, data: Any, device: torch.device) -> str:
    """Hash of all that decides the result of a training: what is given, the data, and how torch computes."""
    return fingerprint(decides, content(data), numerics(str(device)))


def drawn(device: torch.device) -> dict[str, Any]:
    """Where the generators of torch, NumPy and Python are."""
    kind, keys, *rest = cast(tuple, np.random.get_state())
    of_numpy = [kind, torch.from_numpy(keys.astype(np.int64)), *rest]
    state = dict(torch=torch.get_rng_state(), numpy=of_numpy, python=random.getstate())
    if device.type not in ("cpu", "meta"):
        state["device"] = getattr(torch, device.type).get_rng_state(device)
    return state


def draw_on(state: Mapping[str, Any], device: torch.device) -> None:
    """Let the generators go on from where they were."""
    kind, keys, *rest = state["numpy"]
    torch.set_rng_state(state["torch"])
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    random.setstate(state["python"])
    if "device" in state:
        getattr(torch, device.type).set_rng_state(state["device"], device)
