"""Images on disk with a table: one's own data, as a `GroupedData` that every method takes.

A folder holds the images and a table with one row per image, or a tree of folders. Four layouts are known, and
`columns` names others:

metadata.csv, as Waterbirds has it (Sagawa et al. 2020)
    img_filename    path of the image in the folder
    y               label
    place           attribute
    split           0 train, 1 validation, 2 test; or these words
    img_id, place_filename and other columns are not read

metadata.csv, as BalancingGroups and SubpopBench write it (Idrissi et al. 2022, Yang et al. 2023)
    filename        path of the image in the folder
    split           as above
    y               label
    a               attribute

list_attr_celeba.csv with list_eval_partition.csv, or both as .txt, as CelebA has them (Liu et al. 2015)
    image_id        in both: name of the image in img_align_celeba/, or in the folder itself
    Blond_Hair, Male and 38 others, -1 or 1: the first is the label and the second the attribute, unless you choose
    partition       0, 1, 2, as above

a tree of folders, as torchvision's ImageFolder reads it
    train/cat/1.jpg a file of train, val or test and of a label; the attribute is unknown, and one for all

columns=dict(file="path", label="diagnosis", attribute="scanner", split="fold") reads a metadata.csv with these names.
attribute="" says that none is known. A column that is empty for all of train, and nowhere else, is an attribute that is
known in validation and test only: one chooses by the worst group, and trains without groups. Where the label is empty
for all training rows of some attribute, and nowhere else, that is a domain without labels, to which DANN adapts. Labels
and attributes are text, which becomes their name ("landbird"), or numbers ("y=0"); both are sorted.
columns=dict(weight="w") names a column of sample weights, from 0, which training looks at.

    print(inspect_folder("waterbirds"))
    data = image_folder("waterbirds", size=64)
    train(models.cnn(data.train), data.train, GroupDRO(), validation=data.validation)
"""

from __future__ import annotations

import functools
import json
import math
import os
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..cache import cache_folder, keep
from ..checks import choice, folder, number, whole
from .changes import weigh
from .folder_report import GROUPS_ARE_LABELS, UNKNOWN_IN_TRAIN, FolderReport
from .grouped import PARTS, GroupedData
from .metadata import Table, in_split, read_table
from .paths import lead_out
from .pixels import Pixels
from .problems import FolderError, Problem, can_be_left_out, listed
from .splits import Splits
from .streaming import MOST_PIXELS, ImageFiles, decode_all, stamp

if TYPE_CHECKING:
    import pandas as pd


def _read(
    path: str | Path,
    size: int,
    columns: Mapping[str, str] | None,
    label: str | None,
    attribute: str | Sequence[str] | None,
    memory: float,
    workers: int | None,
    window: Sequence[float] | None,
    grey: bool,
    needed: Collection[str] = PARTS,
) -> FolderReport:
    pixels, memory = Pixels.checked(size, window, grey), number("memory", memory, 0)
    if pixels.size**2 > MOST_PIXELS:
        needed = f"one image takes {math.prod(pixels.shape) / 1e9:,.1f} GB"
        raise ValueError(f"size is {size} pixels, at which {needed}; use up to {math.isqrt(MOST_PIXELS):,}")
    if workers is not None:
        whole("workers", workers, 1)
    table = read_table(path, columns=columns, label=label, attribute=attribute, needed=needed)
    return FolderReport(table, pixels, memory)


def _decoded(
    report: FolderReport, workers: int | None, again: bool = False, untried: bool = False
) -> tuple[FolderReport, list[np.ndarray | None]]:
    """The report without the files that cannot be decoded, which become problems, and the images of each split, uint8
    [n, C, size, size] (None where they will stream: then files that were tried before are tried `again` on demand, or
    stay `untried`)."""
    import pandas as pd

    rows, images, good, problems = report.table.rows, [], [], list(report.table.problems)
    path, root = report.table.path, report.table.root
    for split, name in enumerate(PARTS):
        part = rows[rows["split"] == split]
        linked = lead_out(path, root, part["file"])
        pixels: np.ndarray | None = None
        failed: dict[int, str] = {}
        if not (untried and report.streams):
            pixels, failed = _part_decoded(report, part[~linked], workers, again)
        failed |= dict.fromkeys(part.index[linked], "a link leads out of the folder; copy the image into it")
        files = part["file"].loc[list(failed)].to_dict()
        named = [Problem(int(row), f"{files[row]!r}: {why}", f"{root / files[row]}") for row, why in failed.items()]
        problems += named
        images.append(pixels)
        good.append(part.drop(index=list(failed)))
        if len(part) and not len(good[-1]):
            what = f"all {len(part):,} images of {name} are unusable; the first, {named[0].what}"
            problems.append(Problem(None, what, named[0].file))
    problems.sort(key=lambda problem: problem.row or 0)
    return replace(report, table=report.table._replace(rows=pd.concat(good), problems=problems)), images


def _part_decoded(
    report: FolderReport, part: pd.DataFrame, workers: int | None, again: bool
) -> tuple[np.ndarray | None, dict[int, str]]:
    """The images of one split (None where they will stream), and {row: reason} of those that cannot be decoded."""
    paths = [os.path.join(report.table.root, file) for file in part["file"]]
    if report.streams or again:
        pixels, failed = None, _tried(report, part, paths, workers, again)
    else:
        pixels, failed = decode_all(paths, report.pixels, workers=workers)
        pixels = np.delete(pixels, list(failed), axis=0) if pixels is not None and failed else pixels
    return pixels, {int(part.index[place]): why for place, why in failed.items()}


def _tried(
    report: FolderReport, part: pd.DataFrame, paths: list[str], workers: int | None, again: bool
) -> dict[int, str]:
    """{place: reason} of the files that cannot be decoded, kept for as long as nobody touches one of the files."""
    path = cache_folder() / "images" / f"{stamp(str(report.table.root), part['file'], report.pixels.window)}.json"
    try:
        if not again:
            return {int(place): why for place, why in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError):  # there is none, or it is damaged
        pass
    _, failed = decode_all(paths, report.pixels, workers=workers, keep=False)
    keep(path, json.dumps(failed).encode())
    return failed


def inspect_folder(
    path: str | Path,
    *,
    size: int = 64,
    columns: Mapping[str, str] | None = None,
    label: str | None = None,
    attribute: str | Sequence[str] | None = None,
    memory: float = 2**30,
    workers: int | None = None,
    window: Sequence[float] | None = None,
    grey: bool = False,
) -> FolderReport:
    """Read the table, decode every image once, and report: groups, the planted correlation, problems, memory, and what
    to run. Arguments as for `image_folder`; FolderError only where the table cannot be understood."""
    report = _read(path, size, columns, label, attribute, memory, workers, window, grey)
    return _decoded(report, workers, again=True)[0]


def image_folder(
    path: str | Path,
    *,
    size: int = 64,
    columns: Mapping[str, str] | None = None,
    label: str | None = None,
    attribute: str | Sequence[str] | None = None,
    memory: float = 2**30,
    broken: str = "refuse",
    workers: int | None = None,
    window: Sequence[float] | None = None,
    grey: bool = False,
) -> Splits:
    """The images of a folder, in one of the layouts above, as train, validation and test data.

    size       pixels: the shorter side is brought to it, and the square in the middle kept
    columns    names of the columns for file, label, attribute and split, where they are others than the layout's
    label, attribute  the same for these two, such as label="Blond_Hair", attribute="Male"; several attributes, such as
               attribute=("Male", "Young"), are crossed: each combination that occurs is a value of one attribute
    memory     bytes that the images may take, 3·size² each, or size² where they are grey; what takes more is read from
               disk batch by batch
    broken     "refuse" files that are missing or cannot be decoded, or "leave out" and warn; or "on demand": images
               that stream are not tried before, which takes minutes for a million, and a broken one ends the training
    workers    threads that decode; one per core by default
    window     (low, high), for images of 16 or 32 bits or of floats: the values of pixels that become black (0) and
               white (255), linear between, and cut off beyond; (high, low) inverts. 256 shades are left, one window is
               for all splits, and images of 8 bits are refused beside it
    grey       one channel instead of three; colours become 0.299 R + 0.587 G + 0.114 B (Pillow's "L")

    Every file is decoded before it is used, but for those on demand. Files that a symbolic link leads out of the folder
    are not, and count as broken. Raises FolderError with everything that is wrong, row by row, and warns when a group
    has test samples but none to train on.
    """
    choice("broken", broken, ("refuse", "leave out", "on demand"))
    report = _read(path, size, columns, label, attribute, memory, workers, window, grey)
    report, images = _decoded(report, workers, untried=broken == "on demand")
    _judge(report.table, broken)
    for note in report.notes:
        if "but are tested" in note or note in (GROUPS_ARE_LABELS, UNKNOWN_IN_TRAIN, report.unlabelled):
            warnings.warn(note, stacklevel=2)
    return Splits(*(_part(report, split, pixels, workers) for split, pixels in enumerate(images)))


def _judge(table: Table, broken: str) -> None:
    """FolderError for what is wrong with the table, a warning where that is left out."""
    if table.problems and (broken != "leave out" or not can_be_left_out(table.problems)):
        raise FolderError(table.path, table.problems)
    if table.problems:
        left = f"{len(table.problems):,} of {len(table.rows) + len(table.problems):,} images are left out"
        warnings.warn(f"{left}:\n{listed(table.problems)}", stacklevel=3)


def image_part(
    path: str | Path,
    split: str = "test",
    *,
    size: int = 64,
    columns: Mapping[str, str] | None = None,
    label: str | None = None,
    attribute: str | None = None,
    memory: float = 2**30,
    broken: str = "refuse",
    workers: int | None = None,
    window: Sequence[float] | None = None,
    grey: bool = False,
    labels: tuple[str, ...],
) -> tuple[GroupedData, list[str]]:
    """The images of one split alone, or of "all" of them, and their paths in the folder; no other has to be there, and
    none is decoded. Other arguments and errors are those of `image_folder`; ValueError where the labels of the folder
    are not these."""
    choice("split", split, (*PARTS, "all"))
    choice("broken", broken, ("refuse", "leave out"))
    needed = () if split == "all" else (split,)
    report = _read(path, size, columns, label, attribute, memory, workers, window, grey, needed)
    if report.table.label_names != labels:
        theirs, wanted = (", ".join(names[:12]) for names in (report.table.label_names, labels))
        what = f"{path} has the labels {theirs}, and not {wanted}"
        raise ValueError(f"{what}; name the column of these as its label, or write these into the table")
    place = 0 if split == "all" else PARTS.index(split)
    rows = in_split(report.table, split).assign(split=place)  # all are one part
    report, images = _decoded(replace(report, table=report.table._replace(rows=rows)), workers)
    _judge(report.table, broken)
    return _part(report, place, images[place], workers), report.table.rows["file"].tolist()


def _part(report: FolderReport, split: int, pixels: np.ndarray | None, workers: int | None) -> GroupedData:
    table = report.table
    part = table.rows[table.rows["split"] == split]
    attributes, names = table.attributes(part)
    if pixels is None:
        files = compact(part["file"].to_numpy(dtype=object))
        how = dict(workers=workers, memory=report.memory, **report.pixels._asdict())
    inputs = torch.from_numpy(pixels) if pixels is not None else ImageFiles(str(table.root), files, **how)
    labels = torch.tensor(part["label"].to_numpy())
    data = GroupedData(inputs, labels, torch.tensor(attributes), table.label_names, names)
    return weigh(data, part["weight"].to_numpy()) if "weight" in part and split == 0 else data


def compact(texts: np.ndarray) -> np.ndarray:
    """An array of texts without an object for each, where NumPy knows such (from 2.0)."""
    kind = getattr(np.dtypes, "StringDType", None)
    return texts.astype(kind()) if kind else texts


def folder_source(path: str | Path, **options: Any) -> Callable[..., Splits]:
    """`image_folder` as the `data` of a study: the same for every seed, read once in every process instead of
    being sent there. The folder is read now, so that problems come at once, and as it is now."""
    path = folder("path", path).absolute()
    known = tuple(sorted(options.items()))
    splits = image_folder(path, **options)
    stamp = " ".join(part.fingerprint() for part in splits)
    READ.clear()
    READ[stamp] = splits
    return functools.partial(_read_once, path=path, options=known, stamp=stamp)


READ: dict[str, Splits] = {}  # the folder that this process read last, by what it held


def _read_once(*, seed: int, path: Path, options: tuple[tuple[str, Any], ...], stamp: str) -> Splits:
    if stamp not in READ:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were shown when the folder was read first
            splits = image_folder(path, **dict(options))
        READ.clear()
        READ[stamp] = splits
    return READ[stamp]
