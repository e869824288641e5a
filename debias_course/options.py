"""The options of each command of `debias-course`, with their ranges and defaults."""

from __future__ import annotations

import argparse

from . import __version__
from .arguments import Parser, name_or_path, number, path, text, whole, window
from .comparison import USUAL
from .data import DATASETS
from .data.fetch import SETS
from .data.grouped import PARTS
from .models import MODELS
from .search import MOST
from .study import METRICS
from .study.on import FORMS
from .training import DEFAULTS, OPTIMIZERS, SCHEDULES, SELECT

ABOUT = "Compare methods, look at your own images, measure the lecture's claims, open the course."
CLUSTERS = f"run on a cluster: {FORMS}"
LARGEST = 4096  # pixels of an image's side; a thousand such images are 50 GB


def parser() -> Parser:
    """The command line: one parser for each command."""
    top = Parser(prog="debias-course", description=ABOUT)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(
        dest="command", required=True, metavar="compare | train | evaluate | inspect | fetch | claims | list | lab"
    )

    each = commands.add_parser("compare", help="train methods on one data set, over seeds, and compare them")
    compare_arguments(each)

    each = commands.add_parser("train", help="train one model and leave it; the same command goes on after a crash")
    train_arguments(each)

    each = commands.add_parser("evaluate", help="for whom does a model fail? Yours, or a table of predictions")
    evaluate_arguments(each)

    each = commands.add_parser("inspect", help="look at a folder of images: its groups, their bias, broken files")
    each.add_argument(
        "path",
        type=path,
        help="a folder with metadata.csv, CelebA's two tables, or train/class/..., or a name that was fetched",
    )
    folder_arguments(each)
    each.add_argument("--all", action="store_true", help="print all problems, not only the first 20")

    each = commands.add_parser("fetch", help="bring a known data set into the cache folder, from the network")
    each.add_argument("name", type=text, help=", ".join(SETS))

    each = commands.add_parser("claims", help="measure the lecture's claims again; exit code 1 if one does not hold")
    each.add_argument("--topic", type=text, help="such as 01_loss_reweighting; all topics by default")
    each.add_argument(
        "--seeds", type=text, help="a count or a range such as 1000:1005; the notebook's seeds by default"
    )
    each.add_argument("--budget", default="quick", choices=("quick", "full"))
    each.add_argument("--save", action="store_true", help="keep receipts in assets/claims")
    each.add_argument("--on", type=text, help=CLUSTERS)

    each = commands.add_parser("list", help="methods with their knobs, ranges and needs")

    each = commands.add_parser("lab", help="open your copies of the lectures in JupyterLab")
    each.add_argument("--port", type=whole(1, 65535), help="a free one by default")
    each.add_argument("--no-browser", action="store_true", help="only print the address")
    each.add_argument("--folder", type=path, help="where your copies of the lectures are; my_lectures by default")
    return top


def compare_arguments(each: argparse.ArgumentParser) -> None:
    """The options of `compare`; their defaults are those of `comparison.compare` and of `train`, but for the network,
    with which all methods work."""
    usual = DEFAULTS | USUAL
    such = "such as erm,'loss-reweighting(by=label,power=0.5)', or all: the twelve of the lecture"
    each.add_argument("--methods", default="all", type=text, help=such)
    each.add_argument("--seeds", default=str(usual["seeds"]), type=text, help="a count (5) or a range (100:105)")
    each.add_argument("--out", type=path, help="folder for a report, with all numbers as CSV and JSON")
    training_arguments(each)
    each.add_argument(
        "--trials",
        type=whole(1, MOST),
        default=usual["trials"],
        help="settings of each method that are tried; 1: no search",
    )
    each.add_argument(
        "--search-seeds", type=whole(1), default=usual["search_seeds"], help="with how many seeds a setting is tried"
    )
    chooses = "chooses the epoch of a run, and among the trials"
    each.add_argument("--select", default=usual["select"], choices=list(SELECT)[1:], help=chooses)
    each.add_argument("--metric", default=usual["metric"], choices=METRICS, help="of the differences and ranks")
    each.add_argument("--jobs", type=whole(1), help="runs at a time; one for each core, or for each GPU, by default")
    each.add_argument("--on", type=text, help=CLUSTERS)


def evaluate_arguments(each: argparse.ArgumentParser) -> None:
    """The options of `evaluate`."""
    each.add_argument(
        "--data",
        type=path,
        required=True,
        help="a folder with metadata.csv, with CelebA's two tables, or with train/class/...",
    )
    what = "a table with the columns image and prediction, and probability where it is known"
    answers = each.add_mutually_exclusive_group(required=True)
    answers.add_argument("--predictions", type=path, help=what)
    answers.add_argument("--model", type=path, help="the folder that debias-course train has left, its --out")
    each.add_argument("--split", default="test", choices=(*PARTS, "all"), help="the images that count")
    each.add_argument(
        "--positive", type=text, help="of two labels, the one whose rates are shown; the second by default"
    )
    each.add_argument("--out", type=path, help="folder for a page, with all numbers as CSV")
    columns_arguments(each)
    broken = "of --model: go on without images that cannot be read"
    each.add_argument("--leave-out-broken", action="store_true", help=broken)


def train_arguments(each: argparse.ArgumentParser) -> None:
    """The options of `train`; their defaults are those of the function."""
    each.add_argument("--method", default="erm", type=text, help="such as group-dro, or 'group-dro(step_size=0.1)'")
    each.add_argument("--seed", type=whole(0), default=DEFAULTS["seed"])
    each.add_argument(
        "--out", type=path, required=True, help="folder for the model, report, history, settings and checkpoints"
    )
    each.add_argument("--select", default=DEFAULTS["select"], choices=list(SELECT), help="chooses the epoch")
    training_arguments(each)


def training_arguments(each: argparse.ArgumentParser) -> None:
    """The options of all that trains: the data, the network, the settings."""
    each.add_argument(
        "--data",
        default="colored-digits",
        type=name_or_path,
        help=f"{', '.join([*DATASETS, *SETS])}, or a folder of images",
    )
    each.add_argument("--aligned-share", type=number(0, 1), help="share of training digits with their own colour")
    each.add_argument(
        "--model", default="staged", type=text, help=f"{', '.join(MODELS)}, or a classifier of torchvision"
    )
    each.add_argument("--epochs", type=whole(1), default=DEFAULTS["epochs"])
    each.add_argument("--batch-size", type=whole(1), default=DEFAULTS["batch_size"])
    each.add_argument("--lr", type=number(0), default=DEFAULTS["lr"])
    each.add_argument("--weight-decay", type=number(0), default=DEFAULTS["weight_decay"])
    each.add_argument("--optimizer", default=DEFAULTS["optimizer"], choices=list(OPTIMIZERS))
    each.add_argument("--schedule", default=DEFAULTS["schedule"], choices=list(SCHEDULES), help="of the learning rate")
    waits = "stop when the score of --select has not risen for so many epochs; never by default"
    each.add_argument("--patience", type=whole(1), default=DEFAULTS["patience"], help=waits)
    smooth = "share of each training label that is spread over all labels"
    each.add_argument("--label-smoothing", type=number(0, 1), default=0.0, help=smooth)
    each.add_argument("--device", type=text, help="cpu, or the GPU's name; a GPU is used where there is one")
    folder_arguments(each)
    broken = each.add_mutually_exclusive_group()
    broken.add_argument("--leave-out-broken", action="store_true", help="go on without images that cannot be read")
    broken.add_argument("--untried", action="store_true", help="begin before all images of a large folder were tried")


def folder_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments that say how a folder of images is read."""
    group = columns_arguments(command)
    group.add_argument(
        "--size", type=whole(1, LARGEST), help="pixels of the square that is cut from each image; 64 by default"
    )
    group.add_argument(
        "--memory", type=number(0), help="GB that the images may take, else they stream; 1.07 by default"
    )
    which = "for images of more than 8 bits: the values of pixels that become black and white, such as 0,4095"
    group.add_argument("--window", type=window, metavar="LOW,HIGH", help=which)
    group.add_argument("--grey", action="store_true", default=None, help="images of one channel instead of three")


def columns_arguments(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The arguments that say which columns of a folder's table are read."""
    group = command.add_argument_group("for a folder of images")
    group.add_argument("--label", type=text, help="column of the label, such as Blond_Hair")
    known = group.add_mutually_exclusive_group()
    known.add_argument(
        "--attribute", type=text, help="its column, such as Male; several, such as Male,Young, are crossed"
    )
    known.add_argument("--no-attribute", dest="attribute", action="store_const", const="", help="none is known")
    group.add_argument(
        "--columns", type=text, help="all columns at once: file=NAME,label=NAME,attribute=NAME,split=NAME"
    )
    return group
