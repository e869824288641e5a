"""What `debias-course train` leaves in its folder.

model.pt       the weights of the selected epoch: torch.load("model.pt", weights_only=True) is a state dict
report.csv     accuracy on the test set, one row per group
history.csv    loss and accuracies of every epoch
settings.json  what was trained, with which versions, how the network is built again, and the averages on the test set
checkpoints/   what the same command needs to go on; it may be deleted when all is done

    found = loaded("run")
    audit(found.model, data)
"""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import platform
from collections.abc import Callable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from .. import __version__, checks, pages
from ..cache import write_atomically
from ..contexts import isolated_randomness
from ..data import GroupedData, Splits
from ..evaluation import GroupReport, Share, evaluate
from ..method import Method, method_name
from ..methods import METHODS
from ..models import MODELS, pretrained
from ..training import Run
from . import train
from .spread import first

TOLD = ("label", "attribute", "columns", "window")  # how one reads images like those of the training


def trained(
    folder: Path,
    model: nn.Module,
    splits: Splits,
    method: Method,
    described: Mapping[str, Any],
    *,
    told: Mapping[str, Any],
    **how: Any,
) -> tuple[GroupReport, list[Path], Run] | None:
    """Train, or go on, and write the files: the report on the test set, their paths, and the run. Of several processes,
    the first does so, and the others return None. `told` is what of `TOLD` `image_folder` was given."""
    place = folder / "checkpoints"
    run = train(model, splits.train, method, validation=splits.validation, checkpoint=place, progress=True, **how)
    if not first():
        return None
    report = evaluate(run.model, splits.test, train=splits.train)
    network = dict(name=described["model"], method=method_name(method), knobs=dataclasses.asdict(method))
    network |= dict(inputs=list(splits.train.inputs.shape[1:]), labels=list(splits.train.label_names))
    contents = {
        "model.pt": _weights(run.model),
        "report.csv": pages.csv(report.table()),
        "history.csv": pages.csv(run.history),
        "settings.json": pages.as_json(_facts(run, report, described) | dict(network=network, images=dict(told))),
    }
    try:
        for name, content in contents.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise OSError(
            f"the model could not be written to {folder} ({error.strerror or error}); make room there and repeat the "
            "command: nothing is trained again"
        ) from error
    return report, [folder / name for name in contents], run


def _weights(model: nn.Module) -> bytes:
    file = io.BytesIO()
    torch.save({name: value.cpu() for name, value in model.state_dict().items()}, file)
    return file.getvalue()


def _facts(run: Run, report: GroupReport, described: Mapping[str, Any]) -> dict[str, Any]:
    tested: dict[str, Share] = dict(
        overall=report.overall, group_balanced=report.group_balanced, worst_group=report.worst_group
    )
    tested |= {f"worst_group by {name}": each.worst_group for name, each in report.by_attribute().items()}
    return dict(
        configuration=dict(described),
        method=repr(run.method),
        epoch=run.epoch,
        stopped=run.stopped,
        seconds=round(run.seconds, 1),
        versions=dict(debias_course=__version__, torch=torch.__version__, python=platform.python_version()),
        test={name: share._asdict() for name, share in tested.items()},
    )


class Left(NamedTuple):
    """A model that was trained, in evaluation mode and on the CPU, with the names of its labels, the shape of its
    inputs, [C, H, W], and what of `TOLD` `image_folder` was given."""

    model: nn.Module
    label_names: tuple[str, ...]
    shape: tuple[int, ...]
    told: dict[str, Any]


def loaded(folder: str | PathLike[str]) -> Left:
    """The model that `debias-course train` left in a folder. FileNotFoundError where there is none, ValueError where a
    file is damaged or does not fit the others. Nothing in the files is run as code."""
    folder = checks.folder("the folder of the model", folder)
    again = f"repeat the command that trained it: debias-course train ... --out {folder}"
    if not (folder / "model.pt").is_file():
        what = f"there is no folder {folder}" if not folder.is_dir() else f"{folder} has no model.pt"
        if (folder / "checkpoints").is_dir():
            raise FileNotFoundError(f"{what}, so its training is not finished; to go on, {again}")
        raise FileNotFoundError(f"{what}; give the folder that debias-course train has left, its --out")
    try:
        facts = json.loads((folder / "settings.json").read_bytes())
        network, told = facts["network"], dict(facts["images"])
        build: Callable[..., nn.Module] = MODELS.get(network["name"]) or partial(
            pretrained, name=network["name"], weights=False
        )
        method = METHODS[network["method"]](**network["knobs"])
        shape, labels = tuple(network["inputs"]), tuple(network["labels"])
        one = torch.zeros(1, dtype=torch.int64)
        like = GroupedData(torch.zeros(1, *shape), one, one, labels, ("any",))
    except (FileNotFoundError, ValueError, KeyError, TypeError, RuntimeError) as error:
        what = f"{folder / 'settings.json'} does not say how the network is built"
        raise ValueError(f"{what} (it is missing, damaged, or of an earlier version); {again}") from error
    try:
        weights = torch.load(folder / "model.pt", map_location="cpu", weights_only=True)
        with isolated_randomness(0):
            model = build(like)
            if model.state_dict().keys() != weights.keys():  # the method trains another in its place, as OccamNets do
                model = method.model(model, like)
        model.load_state_dict(weights)
    except (EOFError, ValueError, RuntimeError, AttributeError, TypeError, pickle.UnpicklingError) as error:
        what = f"{folder / 'model.pt'} is damaged, or is not of the network in settings.json"
        raise ValueError(f"{what}, {network['name']} for inputs {shape} and {len(labels)} labels; {again}") from error
    return Left(model.eval(), labels, shape, told)
