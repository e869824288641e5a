"""A torch `Dataset`, as people have it, as `GroupedData`: each item is asked for once, and kept in memory.

    mine = from_dataset(photos, attributes=sites)            items (image, label), and a value per item
    mine = from_dataset(birds, attribute=2)                  items (image, label, place)
    mine = from_dataset(faces, attribute=(2, 3))             items (image, label, sex, age): the two are crossed
    mine = from_dataset(faces, label="smiles", attribute="sex")      items {"image": ..., "smiles": ..., "sex": ...}
    splits = from_datasets(train, validation, test, attribute=2)     one grid of groups for all three

Where the attribute is known in validation and test only, it is None for every item of train, or attributes=(None,
values, values). A label of None is one that nobody knows, as is -1 where labels have names, as in a domain to adapt to.
`Subset` and `ConcatDataset` are datasets; of a `DataLoader` its dataset is taken, and batches, order and workers are
not. A transform that draws at random is drawn once. Images are PIL's, uint8 arrays [H, W] or [H, W, C], or tensors as
`GroupedData` takes them, all of one size; with a window, they may have more bits. For more than memory holds,
`image_folder` reads images from disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..checks import kind_of, number
from .attributes import beside, coded, of_parts, places, value_of
from .columns import listed, plain
from .grouped import PARTS, GroupedData
from .pixels import FEW_BITS, Window, as_bytes, checked_window, shades
from .splits import Splits

if TYPE_CHECKING:
    from torch.utils.data import DataLoader, Dataset

CHANNELS = (1, 3, 4)  # that an image may have
GIVE = "give a dataset with len() whose items are tuples such as (image, label, attribute), or dicts"


def from_dataset(
    dataset: Dataset | DataLoader,
    *,
    image: int | str = 0,
    label: int | str = 1,
    attribute: int | str | Sequence[int | str] | None = None,
    attributes: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None,
    label_names: Sequence[str] | None = None,
    attribute_names: Sequence[str] | None = None,
    memory: float = 2**30,
    window: Sequence[float] | None = None,
) -> GroupedData:
    """The items of one dataset.

    image, label, attribute  place in the tuple, or key of the dict, of each; without an attribute, groups are labels,
                             and several, such as (2, 3) or ("sex", "age"), are crossed: each combination is a value
    attributes               instead, one value for each item, or several columns, such as {"sex": ..., "age": ...}
    label_names, attribute_names  of the numbers 0, 1, ...; by default the dataset's `classes`, or the values themselves
    memory                   bytes that the images may take
    window                   (low, high): the values of pixels that become black and white, as of `image_folder`, where
                             images are not uint8; arrays and tensors of floats stay as they are without one

    TypeError for what is no dataset, ValueError for items that do not fit together, with the number of the first.
    """
    named = dict(label_names=label_names, attribute_names=attribute_names)
    where = dict(image=image, label=label, attribute=attribute)
    return _grouped({"dataset": dataset}, where, {"dataset": attributes}, named, memory, window)["dataset"]


def from_datasets(
    train: Dataset | DataLoader,
    validation: Dataset | DataLoader,
    test: Dataset | DataLoader,
    *,
    attributes: Sequence[Sequence[Any] | Mapping[str, Sequence[Any]] | None] | None = None,
    image: int | str = 0,
    label: int | str = 1,
    attribute: int | str | Sequence[int | str] | None = None,
    label_names: Sequence[str] | None = None,
    attribute_names: Sequence[str] | None = None,
    memory: float = 2**30,
    window: Sequence[float] | None = None,
) -> Splits:
    """Three datasets, with one grid of groups; as `from_dataset`, and `attributes` has a sequence for each, or None for
    train where it is not known there."""
    if attributes is not None and len(attributes) != len(PARTS):
        raise ValueError(f"attributes has {len(attributes)} parts; give one sequence each for {', '.join(PARTS)}")
    named = dict(label_names=label_names, attribute_names=attribute_names)
    where, parts = dict(image=image, label=label, attribute=attribute), dict(zip(PARTS, (train, validation, test)))
    values = dict(zip(PARTS, attributes or (None,) * len(PARTS)))
    return Splits(*_grouped(parts, where, values, named, memory, window).values())


def _grouped(
    parts: Mapping[str, Any],
    where: Mapping[str, Any],
    attributes: Mapping[str, Any],
    named: Mapping[str, Sequence[str] | None],
    memory: float,
    window: Sequence[float] | None,
) -> dict[str, GroupedData]:
    number("memory", memory, 0)
    ends = checked_window(window)
    wanted = places(where["attribute"])
    if where["label"] in wanted.values():
        raise ValueError(f"label and attribute are both read from {where['label']!r}; name another one for one of them")
    datasets = {name: _map_style(name, each) for name, each in parts.items()}
    images, labels, kinds = {}, {}, {}
    for name, dataset in datasets.items():
        images[name], labels[name], kinds[name] = _items(name, dataset, dict(where, attribute=wanted), memory, ends)
        if attributes[name] is not None:
            kinds[name] = beside(name, len(dataset), attributes[name], bool(wanted))
    names = {what: None if given is None else listed(what, given) for what, given in named.items()}
    if label_names := names["label_names"] or _classes(datasets, labels):  # then -1 is a number of none
        labels = {name: [None if each == -1 else each for each in part] for name, part in labels.items()}
    label_codes, label_names = coded("label", labels, label_names)
    attributes = of_parts(kinds, {name: len(each) for name, each in labels.items()}, names["attribute_names"])
    found = {}
    for name, (numbers, attribute_names) in attributes.items():
        found[name] = GroupedData(images[name], label_codes[name], numbers, label_names, attribute_names)
    return {name: found[name] for name in datasets}


def _map_style(name: str, dataset: Any) -> Any:
    """The dataset, or that of a loader."""
    from torch.utils.data import DataLoader

    dataset = dataset.dataset if isinstance(dataset, DataLoader) else dataset
    odd = isinstance(dataset, (type, str, Mapping))
    if odd or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        walked = "; where it can only be walked through, give list(dataset)" if hasattr(dataset, "__iter__") else ""
        raise TypeError(f"{name} is {kind_of(dataset)}; {GIVE}{walked}")
    if not len(dataset):
        raise ValueError(f"{name} has no item; give at least one")
    return dataset


def _items(
    name: str, dataset: Any, where: Mapping[str, Any], memory: float, window: Window | None
) -> tuple[Tensor, list[Any], dict[str, list[Any]]]:
    """Images [N, ...], labels and attributes of all items; these by column, {} where none are known: in train, they may
    be None for all."""
    images: Tensor | None = None
    labels: list[Any] = []
    attributes: dict[str, list[Any]] = {column: [] for column in where["attribute"]}
    for i in range(len(dataset)):
        try:
            item = dataset[i]
        except Exception as error:  # whatever somebody's dataset says
            what = f"{type(error).__name__}: {error}".rstrip(": ")
            raise ValueError(f"item {i} of {name} cannot be had ({what}); {GIVE}") from error
        try:
            image = _tensor(_in_window(_part(item, where["image"]), window))
            label = _part(item, where["label"])
            labels.append(None if label is None else plain(label))
            for column, place in where["attribute"].items():
                attributes[column].append(value_of(name, _part(item, place)))
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(f"item {i} of {name}: {error.args[0] if error.args else error}") from error
        if images is None:
            if image.nbytes * len(dataset) > memory:
                needed = f"{image.nbytes * len(dataset) / 1e9:.3g} GB"
                what = "make the images smaller, raise memory, or read them from disk with image_folder"
                raise ValueError(f"{name} would take {needed}, and {memory / 1e9:.3g} GB are allowed; {what}")
            images = image.new_empty((len(dataset), *image.shape))
        if (image.shape, image.dtype) != (images.shape[1:], images.dtype):
            one, first = (f"{each.dtype} {tuple(each.shape)}" for each in (image, images[0]))
            raise ValueError(f"item {i} of {name} is {one}, and item 0 {first}; bring all images to one size and type")
        images[i] = image
    assert images is not None  # as there is an item
    return images, labels, attributes


def _part(item: Any, where: int | str) -> Any:
    """What stands there in a tuple, a list or a dict."""
    if isinstance(item, (tuple, list)) and isinstance(where, int) and -len(item) <= where < len(item):
        return item[where]
    if isinstance(where, str) and hasattr(item, where) and not isinstance(item, Mapping):
        return getattr(item, where)  # of a named tuple, or an object
    if isinstance(item, Mapping):
        if where in item:
            return item[where]
        if where == 0 and "image" in item or where == 1 and "label" in item:
            return item["image" if where == 0 else "label"]
        raise LookupError(f"it has no {where!r}, but {', '.join(map(repr, item))}; name the key")
    size = f"a {type(item).__name__} of {len(item)}" if isinstance(item, (tuple, list)) else kind_of(item)
    raise LookupError(f"it is {size}, in which there is no {where!r}; {GIVE}")


def _in_window(image: Any, window: Window | None) -> Any:
    """An image of more than 8 bits as a uint8 array, or a tensor where it is one; others, and floating-point numbers
    without a window, as they are."""
    if tensor := isinstance(image, Tensor):
        image = image.detach().cpu()
    mode = "" if tensor else getattr(image, "mode", "")  # of PIL
    values = np.asarray(image.double() if tensor and image.is_floating_point() else image)  # NumPy has no bfloat16
    if window is not None and values.dtype == np.uint8:
        raise ValueError(FEW_BITS)
    features = values.ndim < 2 or (values.dtype.kind == "f" and not mode)
    if values.dtype == np.uint8 or values.dtype.kind not in "iuf" or (window is None and features):
        return image
    scaled = as_bytes(shades(values, window, mode or str(values.dtype)))
    return torch.from_numpy(scaled) if tensor else scaled


def _tensor(image: Any) -> Tensor:
    """An image or features as `GroupedData` takes them."""
    if isinstance(image, Tensor):
        channels = image.shape[0] if image.ndim == 3 else 1
        if channels not in CHANNELS and image.shape[-1] in CHANNELS:
            raise ValueError(f"its image has the shape {tuple(image.shape)}; bring channels to the front, [C, H, W]")
        return image.detach().cpu()
    mode = getattr(image, "mode", None)  # of PIL
    if mode is not None and mode not in ("L", "RGB"):
        raise ValueError(f'its image has the mode {mode}; convert it in the dataset, such as image.convert("RGB")')
    array = np.asarray(image)
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] not in CHANNELS:
        raise ValueError(f"its image has the shape {array.shape}; give [H, W], or [H, W, C] with 1, 3 or 4 channels")
    if array.dtype == np.uint8 and array.ndim in (2, 3):
        return torch.from_numpy(np.atleast_3d(array).transpose(2, 0, 1).copy())
    if array.dtype.kind == "f":
        return _tensor(torch.from_numpy(array.copy()))
    raise TypeError(f"its image is {kind_of(image)} ({array.dtype}); give PIL images, uint8 arrays or tensors")


def _classes(datasets: Mapping[str, Any], labels: Mapping[str, Sequence[Any]]) -> Sequence[str] | None:
    """The names of labels that torchvision's datasets bring along, where all labels are numbers of them."""
    for inner in (each for dataset in datasets.values() for each in _inner(dataset)):
        names = getattr(inner, "classes", None)
        if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
            numbers = {label for part in labels.values() for label in part} - {None, -1}
            if len(set(names)) == len(names) >= 2 and numbers <= set(range(len(names))):
                return names
    return None


def _inner(dataset: Any) -> Iterator[Any]:
    """The dataset and those that it is made of."""
    yield dataset
    for each in [getattr(dataset, "dataset", None), *getattr(dataset, "datasets", ())]:
        if each is not None:
            yield from _inner(each)
