"""What can be set in a run, and what cannot work, said before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .checks import LARGEST, LAST_SEED, Unsuitable, choice, grouped, isa, network, number
from .data import GroupedData
from .evaluation import no_labels
from .method import Method, taken
from .optimizers import OPTIMIZERS, checked_schedule

# Which epoch's model is returned, and what the rule has to know on the validation split. Ties go to the earlier epoch.
SELECT = {
    "last": None,
    "validation-worst-group": lambda report: report.worst_group.value,  # group labels
    "validation-worst-class": lambda report: report.worst_class.value,  # class labels only
    "validation-mean": lambda report: report.overall.value,  # class labels only
}

NUMBERS = dict(epochs=1, batch_size=1, seed=0, lr=0.0, weight_decay=0.0)  # settings that are numbers, and from where
SETTINGS = (*NUMBERS, "select", "patience", "optimizer", "schedule", "augment")


def checked_settings(settings: Mapping[str, Any], of: str = "train") -> dict[str, Any]:
    """Settings of `train` as plain numbers and words; TypeError or ValueError for those that cannot work."""
    known = [name for name in SETTINGS if of == "train" or name != "seed"]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise TypeError(f"{of} has no setting {unknown[0]!r}; there are {', '.join(sorted(known))}")
    found = dict(settings)
    for name, low in NUMBERS.items():
        whole = isinstance(low, int)
        if name in settings:
            found[name] = number(name, settings[name], low, LAST_SEED if whole else LARGEST, whole=whole)
    for name, choices in ("select", SELECT), ("optimizer", OPTIMIZERS):
        if name in settings:
            choice(name, settings[name], choices)
    if settings.get("patience") is not None:
        found["patience"] = number("patience", settings["patience"], 1, whole=True)
        if settings["select"] == "last":
            raise ValueError(
                f"patience={found['patience']} needs a score to wait for, and select='last' has none; use another "
                "rule, such as select='validation-worst-group', or leave patience out"
            )
    if "schedule" in settings:
        checked_schedule(settings["schedule"])
    augment = settings.get("augment")
    if augment is not None and (not callable(augment) or isinstance(augment, type)):
        raise TypeError(f"augment is {augment!r}; pass a function of a batch of inputs, or None")
    return found


def watched_data(
    model: nn.Module,
    data: GroupedData,
    method: Method,
    validation: GroupedData | None,
    watch: Mapping[str, GroupedData] | None,
    select: str,
) -> dict[str, GroupedData]:
    """The data to measure after every epoch, by name; TypeError or ValueError for what cannot be trained on."""
    network(model)
    isa("method", method, Method, "an instance, such as ERM() or LossReweighting(by='label')")
    isa("watch", watch or {}, Mapping, 'names and data, such as {"test": data.test}')
    watched = dict(watch or {}) | ({"validation": validation} if validation is not None else {})
    for name, each in dict(watched, data=data).items():
        grouped(each, name)
        if each.label_names != data.label_names:
            raise ValueError(
                f"{name} names its labels {each.label_names}, and training {data.label_names}; use one order for both"
            )
        if each is not data and each.unlabelled:
            raise ValueError(f"{name}: {no_labels(each)}")
    if not len(data):
        raise ValueError("there is no training example; a data set needs at least one")
    _check_samples(data, method, watched)
    if select != "last":
        _check_selection(select, data, validation)
    return watched


def _check_samples(data: GroupedData, method: Method, watched: Mapping[str, GroupedData]) -> None:
    """Unsuitable where the method would pass over what is special about the samples, or reads of them what only those
    that are watched have."""
    name = type(method).__name__
    if data.targets is not None and "targets" not in taken(method):
        raise Unsuitable(
            f"the samples have weights or soft labels, which {name} does not look at; use another method, such as "
            "LossReweighting, or train on the labels alone with dataclasses.replace(data, targets=None)"
        )
    if data.unlabelled and "unlabelled" not in taken(method):
        raise Unsuitable(
            f"{data.unlabelled:,} of {len(data):,} training samples have no label, and {name} as it is set needs one "
            "of each; use DANN(labelled='first domain'), or leave them out with data.subset(data.labels >= 0)"
        )
    known = any(each.attribute_known for each in watched.values())
    if known and not data.attribute_known and method.needs != "nothing":
        raise Unsuitable(
            f"{name} reads {method.needs} in training, where the attribute is not known; use a method "
            "that needs nothing there, and choose by the groups of validation"
        )


def _check_selection(select: str, data: GroupedData, validation: GroupedData | None) -> None:
    """ValueError where the rule would look at a validation set that lacks what it has to know."""
    if validation is None:
        raise ValueError(f"select={select!r} looks at a validation set; pass validation=data.validation")
    by = {"validation-worst-group": "group", "validation-worst-class": "label"}.get(select)
    if by == "group" and not data.attribute_known:
        by = "label"  # any sample may be of any group of its label
    if by == "group" and validation.attribute_names != data.attribute_names:
        raise ValueError(
            f"validation names its attributes {validation.attribute_names}, and training {data.attribute_names}; "
            f"use one order for both with select={select!r}"
        )
    if not len(validation):
        raise ValueError(f"select={select!r} looks at a validation set, and this one has no sample")
    if by:
        lacking = ((data.counts_by(by).cpu() > 0) & (validation.counts_by(by).cpu() == 0)).nonzero().flatten().tolist()
        if lacking:
            names = data.group_names if by == "group" else data.label_names
            raise ValueError(
                f"select={select!r} looks for the worst {by} of the validation set, which has no sample of "
                f"{names[lacking[0]]!r}, though training has; add some, or use another rule, such as 'validation-mean'"
            )


def index_tensors(batches: Iterable[Any], n: int) -> list[Tensor]:
    """What `Method.batches` returned as index tensors; ValueError for anything but indices of n samples."""
    remedy = f"return one list or tensor of whole numbers from 0 to {n - 1} for each batch"
    try:
        found = [torch.as_tensor(batch).cpu() for batch in batches]
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"the method's batches are no index tensors ({error}); {remedy}") from None
    for each in found:
        if each.ndim != 1 or not len(each) or each.is_floating_point() or each.is_complex() or each.dtype == torch.bool:
            raise ValueError(f"the method has a batch of {each.dtype} {tuple(each.shape)}; {remedy}")
    if not found:
        raise ValueError(f"the method has no batch in this epoch; {remedy}")
    low, high = torch.cat(found).aminmax()
    if low < 0 or high >= n:
        raise ValueError(f"the method's batches hold indices from {int(low)} to {int(high)}; {remedy}")
    return [each.long() for each in found]


def augmented(inputs: Tensor, augment: Callable[[Tensor], Tensor]) -> Tensor:
    """The inputs after `augment`; ValueError where it changed more than their values."""
    changed = augment(inputs)
    like = isinstance(changed, Tensor) and changed.shape == inputs.shape and changed.is_floating_point()
    if not like or changed.device != inputs.device:
        what = f"{changed.dtype} {tuple(changed.shape)} on {changed.device}" if isinstance(changed, Tensor) else changed
        raise ValueError(
            f"augment returned {what!s:.80} for {inputs.dtype} {tuple(inputs.shape)} on {inputs.device}; return "
            "a tensor of the same kind"
        )
    return changed.to(inputs.dtype)
