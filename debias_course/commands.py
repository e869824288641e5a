"""The commands of `debias-course`: compare, train, evaluate, inspect, fetch, claims, list, lab."""

from __future__ import annotations

import argparse
import contextlib
import socket
import textwrap
from collections.abc import Sequence
from typing import Any

from .arguments import UsageError, nearest, parse_methods, with_signs
from .checks import choice
from .data import DATASETS
from .data.columns import in_words
from .data.fetch import SETS, fetch, fetched, first_hash, place
from .methods import METHODS, knobs
from .models import MODELS
from .named import builder, data_set, folder_options, known_model, noticing
from .options import parser
from .settings import checked_settings
from .study import parse_seeds
from .study.on import running_on
from .training import pick_device


def run(arguments: Sequence[str]) -> int:
    """Run a command; returns its exit code. Arguments that make no sense are a UsageError."""
    args = parser().parse_args(with_signs(arguments))
    trains = dict(compare=compare, train=train_one, claims=claims)
    others = dict(evaluate=audit_answers, inspect=inspect_images, fetch=fetch_set, list=list_methods, lab=lab)
    with running_on(getattr(args, "on", None)):
        return (trains | others)[args.command](args)


def compare(args: argparse.Namespace) -> int:
    """Train the methods, print the table, and write the report where --out says; the exit status."""
    from . import comparison, report

    methods, seeds, device = parse_methods(args.methods), parse_seeds(args.seeds), pick_device(args.device)
    settings = settings_of(args) | {name: getattr(args, name) for name in ("metric", "trials", "search_seeds")}
    known_model(args.model)
    data, named = data_set(args)
    model = builder(args.model, data, seeds[0])
    described = dict(data=named, seeds=args.seeds, methods=", ".join(methods), model=args.model, **settings)
    described |= dict(device=str(device))
    how = dict(device=args.device, n_jobs=args.jobs, leave_out=args.methods == "all")
    with report.taken(args.out, described) if args.out else contextlib.nullcontext():  # now, not after the training
        found = comparison.compare(methods, data, seeds=seeds, model=model, **settings, **how)
        print(report.readable(found).to_string(index=False))
        for text in report.in_words(found), report.in_one_line(described):
            print("", *(textwrap.fill(line, 110) for line in text.splitlines()), sep="\n")
        if args.out:
            print(f"written: {', '.join(map(str, report.write(args.out, found, described)))}")
    return 0


def train_one(args: argparse.Namespace) -> int:
    """Train one model, or go on where that was interrupted, and leave it in a folder; the exit status."""
    from .large import left

    methods = parse_methods(args.method)
    if len(methods) != 1:
        raise UsageError(f"--method names {len(methods)} methods; name one, or use: debias-course compare")
    settings = settings_of(args) | dict(seed=args.seed)
    known_model(args.model)
    data, named = data_set(args)
    splits = data(seed=args.seed)
    described = dict(data=named, method=args.method, model=args.model, **settings, device=str(pick_device(args.device)))
    model, (method,) = builder(args.model, data, args.seed)(splits.train, seed=args.seed), methods.values()
    told = {name: each for name, each in folder_options(args).items() if name in left.TOLD}
    found = left.trained(args.out, model, splits, method, described, told=told, device=args.device, **settings)
    if found:
        report, paths, run = found
        if run.stopped:
            ends = f"stopped after {run.stopped} of {run.settings['epochs']} epochs"
            print(f"{ends}, as the score of {run.select} had not risen; the model is that of epoch {run.epoch}")
        each = (f"by {name}: {report}" for name, report in report.by_attribute().items())
        print(report, *each, f"written: {', '.join(map(str, paths))}", sep="\n")
    return 0


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The settings of a training, checked before any image is read. Those that are off are left out: a folder from
    before there were any is still that of the same command."""
    names = "epochs", "batch_size", "lr", "weight_decay", "optimizer", "select", "schedule", "patience"
    settings = checked_settings({name: getattr(args, name) for name in names})
    return {name: value for name, value in settings.items() if value not in ("constant", None)}


def inspect_images(args: argparse.Namespace) -> int:
    """Print what is in a folder of images; 1 where something in it is broken."""
    from .data import inspect_folder

    report = inspect_folder(fetched(args.path), **folder_options(args))
    print(report.text(None) if args.all else report)
    return 1 if report.table.problems else 0


def fetch_set(args: argparse.Namespace) -> int:
    """Bring a known data set here, unless it is, and say where it is and who may use it."""
    source, there = SETS[nearest(args.name, SETS, "data set")], place(args.name).is_dir()
    print(f"{args.name}: {source.terms}")
    folder = fetch(args.name)
    for file in source.files:
        if not file.sha256 and (kept := first_hash(file)).is_file():
            said = "no checksum is published; later fetches are compared with that of the first"
            print(f"{file.name}: {said}, {kept.read_text().strip()}")
    print(f"{'it is there already' if there else 'fetched'}: {folder}")
    print(f"to look at it:\n  debias-course inspect {args.name}")
    return 0


def audit_answers(args: argparse.Namespace) -> int:
    """Print for whom the predictions fail, or the model, and write the page where --out says."""
    from .audit import predictions, report, trained

    how, folder = folder_options(args), fetched(args.data)
    if args.predictions and "broken" in how:
        raise UsageError("--leave-out-broken is for --model; of a table of predictions, no image is opened")
    answers, what = (args.predictions, "predictions") if args.predictions else (args.model, "model")
    named = how | ({"attribute": args.attribute} if args.attribute else {})
    described = {"data": folder.resolve(), what: answers.resolve(), "split": args.split, **named}
    facts, table = {name: str(value) for name, value in described.items()}, None
    if args.out:
        report.check(args.out, facts)
    with noticing():
        if args.predictions:
            found = predictions.audit_predictions(folder, answers, split=args.split, **how)
        else:
            found, table = trained.audit_trained(folder, answers, split=args.split, **how)
    if args.positive:
        choice("--positive", args.positive, found.label_names)
    n, labels, attributes = found.counts.sum(), len(found.label_names), in_words(found.attribute_names)
    print(f"{answers}, {args.split}: {n:,} predictions, {labels} labels × {attributes}\n")
    print(report.text(found, args.positive))
    if args.out:
        print(f"\nwritten: {', '.join(map(str, report.write(args.out, found, facts, args.positive, table)))}")
    return 0


def claims(args: argparse.Namespace) -> int:
    """Print the verdicts of a topic, or of all; 1 where one is not that of the shipped receipt."""
    from . import claims as measured
    from .claims import front_page, receipts, topics

    chosen = [nearest(args.topic, topics.topics(), "topic")] if args.topic else topics.topics()
    seeds = None if args.seeds is None else parse_seeds(args.seeds)
    others = silent = 0
    for topic in chosen:
        print(f"{topic}")
        found, made = measured.measure_topic(topic, seeds=seeds, budget=args.budget)
        shipped = receipts.shipped(topic, made)
        for claim in found:
            print(f"  {claim!r}\n      {claim.numbers}")
            if claim.id not in shipped or len(claim.seeds) == 1:
                silent += 1
            else:
                known = topics.lesson_of(topic).of_receipt(shipped[claim.id])
                if claim.whole is not None:  # only its middle was measured
                    claim, known = claim.alone(claim.at_middle), known.alone(known.at_middle)
                if claim.verdict != known.verdict:
                    print(f"      the shipped receipt says {known.verdict}, and these seeds {claim.verdict}")
                    others += 1
        if args.save:
            print(f"  receipts: {receipts.save_receipts(topic, made)}")
            front_page.update_front_page()
    told = f"{others} verdict{'s differ' if others > 1 else ' differs'}" if others else "no verdict differs"
    also = f"; {silent} not compared: no receipt says the same, or one seed has no interval" if silent else ""
    print(f"{told} from the shipped receipts{also}")
    return 1 if others else 0


def list_methods(args: argparse.Namespace) -> int:
    """Print each method with its equation and its knobs."""
    for name, kind in METHODS.items():
        first = (kind.__doc__ or "").strip().partition("\n")[0]
        print(f"{name}\n    {first}\n    needs in training: {kind().needs}")
        for knob, declared in knobs(kind).items():
            print(f"    {knob:<10} {declared.range()}, default {declared.default}: {declared.help}")
    print(f"\ndata sets: {', '.join(DATASETS)}, or a folder of images; to fetch: {', '.join(SETS)}")
    print(f"models: {', '.join(MODELS)}, or a classifier of torchvision")
    return 0


def lab(args: argparse.Namespace) -> int:
    """Open the student's copies of the lectures in JupyterLab."""
    from .claims.topics import notebooks_folder
    from .workspace import open_lab

    if args.port and not port_is_free(args.port):
        raise UsageError(f"port {args.port} is taken by another program; choose another one, or leave the port out")
    options = [f"--ServerApp.port={args.port}", "--ServerApp.port_retries=0"] if args.port else []
    options += ["--no-browser"] if args.no_browser else []
    course = notebooks_folder()
    open_lab(course, args.folder or course.parent / "my_lectures", options)


def port_is_free(port: int) -> bool:
    """Whether nobody listens on this port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True
