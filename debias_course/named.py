"""What is named on the command line: data sets, folders of images, networks."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import torch

from .arguments import UsageError, nearest
from .contexts import isolated_randomness
from .data import DATASETS, GroupedData, Splits, smooth_labels
from .data.fetch import SETS, fetched
from .models import MODELS, pretrained


def known_model(name: str) -> None:
    """UsageError for a model that nobody knows."""
    if name not in MODELS:
        nearest(name, MODELS | dict.fromkeys(_networks()), "model")


def builder(name: str, data: Callable[..., Splits], seed: int) -> Callable[..., torch.nn.Module]:
    """The function of data and seed that builds the model of this name."""
    return MODELS.get(name) or network(name, data(seed=seed).train)


def data_set(args: argparse.Namespace) -> tuple[Callable[..., Splits], str]:
    """What --data names, as a function of seed and in words: a data set of the course, or a folder of images."""
    data, named = _named(args)
    if not args.label_smoothing:
        return data, named
    return partial(
        _smooth, data=data, amount=args.label_smoothing
    ), f"{named}, labels smoothed {args.label_smoothing:g}"


def _smooth(*, seed: int, data: Callable[..., Splits], amount: float) -> Splits:
    splits = data(seed=seed)
    return splits._replace(train=smooth_labels(splits.train, amount))


def _named(args: argparse.Namespace) -> tuple[Callable[..., Splits], str]:
    options, folder = folder_options(args), fetched(args.data)
    if args.data in DATASETS or not folder.is_dir():
        data = DATASETS[nearest(args.data, [*DATASETS, *SETS], "data set", "or give a folder of images")]
        if options:
            first = next(iter(options)).replace("broken", "untried" if args.untried else "leave-out-broken")
            raise UsageError(f"--{first} is for a folder of images")
        planted = inspect.signature(data).parameters.get("aligned_share")
        if args.aligned_share is None:
            return data, f"{args.data}, aligned share {planted.default:g}" if planted else args.data
        if not planted:
            raise UsageError(f"--aligned-share does not apply to {args.data}; leave it out")
        return partial(data, aligned_share=args.aligned_share), f"{args.data}, aligned share {args.aligned_share:g}"
    if args.aligned_share is not None:
        raise UsageError(
            "--aligned-share plants one in the course's digits; a folder of images has its own: leave it out"
        )
    from .data.folder import folder_source
    from .data.pixels import ends

    with noticing():
        data = folder_source(folder, **options)
    options = {"size": 64} | {name: value for name, value in options.items() if name != "memory"}
    if args.window:
        options["window"] = ends(args.window)
    options |= {name: typed for name in ("attribute", "columns") if (typed := getattr(args, name))}
    named = ", ".join(f"{name} {value}" for name, value in options.items())
    return data, f"{folder.resolve()}, {named}"


@contextlib.contextmanager
def noticing() -> Iterator[None]:
    """Inside, warnings are notices for the person who typed the command."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    for warning in said:
        print(f"debias-course: {warning.message}", file=sys.stderr)


def folder_options(args: argparse.Namespace) -> dict:
    """The arguments of `image_folder` that were given, as hashable values."""
    names = "label", "attribute", "size", "window", "grey"
    options = {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}
    if "," in options.get("attribute", ""):
        options["attribute"] = tuple(name.strip() for name in options["attribute"].split(","))
    if getattr(args, "memory", None) is not None:
        options["memory"] = args.memory * 1e9
    if getattr(args, "leave_out_broken", False):
        options["broken"] = "leave out"
    if getattr(args, "untried", False):
        options["broken"] = "on demand"
    if args.columns:
        pairs = [part.partition("=") for part in args.columns.split(",")]
        if not all(name and column for name, _, column in pairs):
            write = "write file=NAME,label=NAME,attribute=NAME,split=NAME"
            raise UsageError(f"columns are {args.columns!r}; {write}; several attributes are --attribute NAME,NAME")
        options["columns"] = tuple((name.strip(), column.strip()) for name, _, column in pairs)
    return options


def _networks() -> list[str]:
    import torchvision.models as zoo

    return ["efficientnet-lite0", *zoo.list_models(module=zoo)]


def network(name: str, data: GroupedData) -> Callable[..., torch.nn.Module]:
    """A known network as a function of data and seed: with its weights where this machine has them; UsageError where it
    cannot work on such images."""
    build = partial(pretrained, name=name)
    try:
        try:
            model = build(data)
        except FileNotFoundError as error:
            print(f"{name} starts at random: {error}")
            build = partial(build, weights=False)
            model = build(data)
        with isolated_randomness(0):
            shape = model(torch.zeros(2, *data.inputs.shape[1:])).shape
        if shape != (2, data.n_labels):
            raise ValueError(f"it returns {tuple(shape)} for two of them")
    except Exception as error:  # whatever a network says to images that it was not made for
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        size = "×".join(map(str, data.inputs.shape[1:]))
        raise UsageError(f"{name} cannot be trained on images {size} ({what}); use another size or network") from error
    return build
