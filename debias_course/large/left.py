"""What `debias-course train` leaves in its folder.

model.pt       the weights of the selected epoch: torch.load("model.pt", weights_only=True) is a state dict
report.csv     accuracy on the test set, one row per group
history.csv    loss and accuracies of every epoch
settings.json  what was trained, with which versions, and the averages on the test set
checkpoints/   what the same command needs to go on; it may be deleted when all is done
"""

from __future__ import annotations

import io
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import __version__, pages
from ..cache import write_atomically
from ..data import Splits
from ..evaluation import GroupReport, Share, evaluate
from ..method import Method
from ..training import Run
from . import train
from .spread import first


def trained(
    folder: Path, model: nn.Module, splits: Splits, method: Method, described: Mapping[str, Any], **how: Any
) -> tuple[GroupReport, list[Path]] | None:
    """Train, or go on, and write the files: the report on the test set, and their paths. Of several processes, the
    first does so, and the others return None."""
    place = folder / "checkpoints"
    run = train(model, splits.train, method, validation=splits.validation, checkpoint=place, progress=True, **how)
    if not first():
        return None
    report = evaluate(run.model, splits.test, train=splits.train)
    contents = {
        "model.pt": _weights(run.model),
        "report.csv": pages.csv(report.table()),
        "history.csv": pages.csv(run.history),
        "settings.json": (json.dumps(_facts(run, report, described), indent=1, ensure_ascii=False) + "\n").encode(),
    }
    try:
        for name, content in contents.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise OSError(
            f"the model could not be written to {folder} ({error.strerror or error}); make room there and repeat the "
            "command: nothing is trained again"
        ) from error
    return report, [folder / name for name in contents]


def _weights(model: nn.Module) -> bytes:
    file = io.BytesIO()
    torch.save({name: value.cpu() for name, value in model.state_dict().items()}, file)
    return file.getvalue()


def _facts(run: Run, report: GroupReport, described: Mapping[str, Any]) -> dict[str, Any]:
    tested: dict[str, Share] = dict(
        overall=report.overall, group_balanced=report.group_balanced, worst_group=report.worst_group
    )
    return dict(
        configuration=dict(described),
        method=repr(run.method),
        epoch=run.epoch,
        stopped=run.stopped,
        seconds=round(run.seconds, 1),
        versions=dict(debias_course=__version__, torch=torch.__version__, python=platform.python_version()),
        test={name: share._asdict() for name, share in tested.items()},
    )
