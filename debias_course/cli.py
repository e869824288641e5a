"""debias-course: compare methods, look at your own images, measure the lecture's claims, open the course."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import inspect
import os
import re
import socket
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch

from . import __version__
from .data import DATASETS, GroupedData, Splits
from .methods import METHODS, Method, knobs
from .models import MODELS, isolated_randomness, pretrained
from .study import METRICS, parse_seeds
from .training import OPTIMIZERS, SELECT, pick_device


class UsageError(Exception):
    """A sentence for the person who typed the command."""


def nearest(name: str, known: Iterable[str], what: str, otherwise: str = "") -> str:
    """`name` if it is known; UsageError with the nearest known names otherwise."""
    known = list(known)
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known) or 'none'}"
    raise UsageError(f"unknown {what} {name!r}; {hint}{otherwise and f' {otherwise}'}")


def parse_methods(text: str) -> dict[str, Method]:
    """ "erm,loss-reweighting(by=label,power=0.5)" -> methods by the name that was typed.

    "all" stands for every method with its defaults."""
    if text == "all":
        text = ",".join(METHODS)
    chosen: dict[str, Method] = {}
    for part in re.split(r",(?![^(]*\))", text.replace(" ", "")):
        match = re.fullmatch(r"([^()]*)(?:\((.*)\))?", part)
        if not match or not match[1]:
            raise UsageError(f"cannot read the method {part!r}; write a name, or name(knob=value,knob=value)")
        kind = METHODS[nearest(match[1], METHODS, "method")]
        values = {}
        for setting in filter(None, (match[2] or "").split(",")):
            name, _, value = setting.partition("=")
            default = knobs(kind)[nearest(name, knobs(kind), f"knob of {match[1]}")].default
            values[name] = value if isinstance(default, str) else _number(name, value)
        if part in chosen:
            raise UsageError(f"{part} is there twice; name it once, or with other knobs")
        chosen[part] = kind(**values)
    return chosen


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{name} is {text!r}; give a number") from None


def compare(args: argparse.Namespace) -> int:
    from . import comparison, report

    methods, seeds = parse_methods(args.methods), parse_seeds(args.seeds)
    if args.model not in MODELS:
        nearest(args.model, MODELS | dict.fromkeys(_networks()), "model")
    data, named = data_set(args)
    model = MODELS.get(args.model) or network(args.model, data(seed=seeds[0]).train)
    names = "epochs", "batch_size", "lr", "weight_decay", "optimizer", "select", "metric", "trials"
    settings = {name: getattr(args, name) for name in names}
    described = dict(data=named, seeds=args.seeds, methods=", ".join(methods), model=args.model, **settings)
    described |= dict(device=str(pick_device(args.device)))
    out = None if args.out is None else Path(args.out).expanduser()
    how = dict(device=args.device, n_jobs=args.jobs, leave_out=args.methods == "all")
    with report.taken(out, described) if out else contextlib.nullcontext():  # now, not after the training
        found = comparison.compare(methods, data, seeds=seeds, model=model, **settings, **how)
        print(report.readable(found).to_string(index=False))
        for text in report.in_words(found), report.in_one_line(described):
            print("", *(textwrap.fill(line, 110) for line in text.splitlines()), sep="\n")
        if out:
            print(f"written: {', '.join(map(str, report.write(out, found, described)))}")
    return 0


def data_set(args: argparse.Namespace) -> tuple[Callable[..., Splits], str]:
    """What --data names, as a function of seed and in words: a data set of the course, or a folder of images."""
    options = folder_options(args)
    if args.data in DATASETS or not Path(args.data).expanduser().is_dir():
        data = DATASETS[nearest(args.data, DATASETS, "data set", "or give a folder of images")]
        if options:
            raise UsageError(f"--{next(iter(options)).replace('broken', 'leave-out-broken')} is for a folder of images")
        planted = inspect.signature(data).parameters.get("correlation")
        if args.correlation is None:
            return data, f"{args.data}, correlation {planted.default:g}" if planted else args.data
        if not planted:
            raise UsageError(f"--correlation does not apply to {args.data}; leave it out")
        return partial(data, correlation=args.correlation), f"{args.data}, correlation {args.correlation:g}"
    if args.correlation is not None:
        raise UsageError(
            "--correlation plants one in the course's digits; a folder of images has its own: leave it out"
        )
    from .data.folder import folder_source

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = folder_source(args.data, **options)
    for warning in said:
        print(f"debias-course: {warning.message}", file=sys.stderr)
    options = {"size": 64} | {name: value for name, value in options.items() if name != "memory"}
    if args.columns:
        options["columns"] = args.columns
    named = ", ".join(f"{name} {value}" for name, value in options.items())
    return data, f"{Path(args.data).expanduser().resolve()}, {named}"


def folder_options(args: argparse.Namespace) -> dict:
    """The arguments of `image_folder` that were given, as hashable values."""
    options = {name: getattr(args, name) for name in ("label", "attribute", "size") if getattr(args, name) is not None}
    if args.memory is not None:
        options["memory"] = args.memory * 1e9
    if getattr(args, "leave_out_broken", False):
        options["broken"] = "leave out"
    if args.columns:
        pairs = [part.partition("=") for part in args.columns.split(",")]
        if not all(name and column for name, _, column in pairs):
            raise UsageError(f"columns are {args.columns!r}; write file=NAME,label=NAME,attribute=NAME,split=NAME")
        options["columns"] = tuple((name.strip(), column.strip()) for name, _, column in pairs)
    return options


def inspect_images(args: argparse.Namespace) -> int:
    from .data import inspect_folder

    report = inspect_folder(args.path, **folder_options(args))
    print(report.text(None) if args.all else report)
    return 1 if report.table.problems else 0


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


def claims(args: argparse.Namespace) -> int:
    from . import claims as measured

    chosen = [nearest(args.topic, measured.topics(), "topic")] if args.topic else measured.topics()
    wrong = 0
    for topic in chosen:
        print(f"{topic}")
        found, receipts = measured.measure_topic(topic, seeds=args.seeds, budget=args.budget)
        for claim in found:
            print(f"  {claim!r}\n      {claim.numbers}")
        wrong += sum(claim.verdict != "holds" for claim in found)
        if args.save:
            print(f"  receipts: {measured.save_receipts(topic, receipts)}")
            measured.update_front_page()
    print(f"{wrong} claim{'s' * (wrong != 1)} did not hold" if wrong else "every claim holds")
    return 1 if wrong else 0


def list_methods(args: argparse.Namespace) -> int:
    for name, kind in METHODS.items():
        first = (kind.__doc__ or "").strip().splitlines()[0]
        print(f"{name}\n    {first}\n    needs in training: {kind().needs}")
        for knob, declared in knobs(kind).items():
            print(f"    {knob:<10} {declared.range()}, default {declared.default}: {declared.help}")
    print(f"\ndata sets: {', '.join(DATASETS)}, or a folder of images")
    print(f"models: {', '.join(MODELS)}, or a classifier of torchvision")
    return 0


def lab(args: argparse.Namespace) -> int:
    from .claims import notebooks_folder

    folder = notebooks_folder()
    if args.port and not 1 <= args.port <= 65535:
        raise UsageError(f"there is no port {args.port}; choose one from 1024 to 65535, or leave the port out")
    if args.port and not port_is_free(args.port):
        raise UsageError(f"port {args.port} is taken by another program; choose another one, or leave the port out")
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    command += ["--LabApp.default_url=/lab/tree/00_dataset_bias.ipynb"]
    command += [f"--ServerApp.port={args.port}", "--ServerApp.port_retries=0"] if args.port else []
    command += ["--no-browser"] if args.no_browser else []
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    os.execv(sys.executable, command)


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="debias-course", description=__doc__)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="compare | inspect | claims | list | lab")

    each = commands.add_parser("compare", help="train methods on one data set, over seeds, and compare them")
    each.set_defaults(run=compare)
    each.add_argument("--data", default="colored-digits", help=f"{', '.join(DATASETS)}, or a folder of images")
    each.add_argument("--methods", default="all", help="such as erm,'loss-reweighting(by=label,power=0.5)', or all")
    each.add_argument("--seeds", default="5", help="a count (5) or a range (100:105)")
    each.add_argument("--out", help="folder for a report, with all numbers as CSV and JSON")
    each.add_argument("--correlation", type=float, help="share of training digits with their own colour")
    each.add_argument("--model", default="staged", help=f"{', '.join(MODELS)}, or a classifier of torchvision")
    each.add_argument("--epochs", type=int, default=12)
    each.add_argument("--batch-size", type=int, default=128)
    each.add_argument("--lr", type=float, default=3e-3)
    each.add_argument("--weight-decay", type=float, default=0.0)
    each.add_argument("--optimizer", default="adamw", choices=list(OPTIMIZERS))
    each.add_argument("--trials", type=int, default=4, help="settings of each method that are tried; 1: no search")
    chooses = "chooses the epoch of a run, and among the trials"
    each.add_argument("--select", default="validation-worst-group", choices=list(SELECT)[1:], help=chooses)
    each.add_argument("--metric", default="worst_group", choices=METRICS, help="of the differences and ranks")
    each.add_argument("--jobs", type=int, help="runs at a time; one per core by default, one on a GPU")
    each.add_argument("--device", help="cpu, or the GPU's name; a GPU is used where there is one")

    folder_arguments(each)
    each.add_argument("--leave-out-broken", action="store_true", help="go on without images that cannot be read")

    each = commands.add_parser("inspect", help="look at a folder of images: its groups, their bias, broken files")
    each.set_defaults(run=inspect_images)
    each.add_argument("path", help="a folder with metadata.csv, or with CelebA's two tables")
    folder_arguments(each)
    each.add_argument("--all", action="store_true", help="print all problems, not only the first 20")

    each = commands.add_parser("claims", help="measure the lecture's claims again; exit code 1 if one does not hold")
    each.set_defaults(run=claims)
    each.add_argument("--topic", help="such as 01_loss_reweighting; all topics by default")
    each.add_argument("--seeds", help="a count or a range such as 1000:1005; the notebook's seeds by default")
    each.add_argument("--budget", default="quick", choices=("quick", "full"))
    each.add_argument("--save", action="store_true", help="keep receipts in assets/claims")

    each = commands.add_parser("list", help="methods with their knobs, ranges and needs")
    each.set_defaults(run=list_methods)

    each = commands.add_parser("lab", help="open the course in JupyterLab")
    each.set_defaults(run=lab)
    each.add_argument("--port", type=int, help="a free one by default")
    each.add_argument("--no-browser", action="store_true", help="only print the address")
    return top


def folder_arguments(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("for a folder of images")
    group.add_argument("--label", help="column of the label, such as Blond_Hair")
    group.add_argument("--attribute", help="column of the attribute, such as Male")
    group.add_argument("--columns", help="all columns at once: file=NAME,label=NAME,attribute=NAME,split=NAME")
    group.add_argument("--size", type=int, help="pixels of the square that is cut from each image; 64 by default")
    group.add_argument("--memory", type=float, help="GB that the images may take, else they stream; 1.07 by default")


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    sys.stdout.reconfigure(errors="replace")  # a terminal without Greek letters
    try:
        return args.run(args)
    except BrokenPipeError:  # as in: debias-course list | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UsageError, ValueError, OSError, FloatingPointError) as error:
        print(f"debias-course: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ndebias-course: stopped; finished runs are kept, the same command goes on from there", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
