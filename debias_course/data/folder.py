"""Images on disk with a table: one's own data, as a `GroupedData` that every method takes.

A folder holds the images and a table with one row per image. Three layouts are known, and `columns` names others:

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

list_attr_celeba.csv with list_eval_partition.csv, as CelebA has them (Liu et al. 2015)
    image_id        in both: name of the image in img_align_celeba/, or in the folder itself
    Blond_Hair, Male and 38 others, -1 or 1: the first is the label and the second the attribute, unless you choose
    partition       0, 1, 2, as above

columns=dict(file="path", label="diagnosis", attribute="scanner", split="fold") reads a metadata.csv with these names.
Labels and attributes are text, which becomes their name ("landbird"), or numbers ("y=0"); both are sorted.

    print(inspect_folder("waterbirds"))
    data = image_folder("waterbirds", size=64)
    train(models.cnn(data.train), data.train, GroupDRO(), validation=data.validation)
"""

from __future__ import annotations

import functools
import json
import math
import os
import shlex
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..cache import cache_folder, write_atomically
from .grouped import PARTS, GroupedData
from .metadata import LAYOUTS, SHOWN, FolderError, Problem, Table, listed, read_table, remedy
from .splits import Splits
from .streaming import StreamedData, blank, decode_all, stamp

WIDTHS = (64, 128, 224)  # pixels for which a report tells the memory


@dataclass(frozen=True, repr=False)
class FolderReport:
    """What is in a folder of images; `print` it. Its `table` has the samples that can be used, and `table.problems`
    everything that is wrong with the others."""

    table: Table
    size: int
    memory: float

    @property
    def group_names(self) -> list[str]:
        return [f"{label}, {a}" for label in self.table.label_names for a in self.table.attribute_names]

    @property
    def counts(self) -> np.ndarray:
        """Samples of each split, label and attribute, int [3, n_labels, n_attributes]."""
        counts = np.zeros((3, len(self.table.label_names), len(self.table.attribute_names)), int)
        np.add.at(counts, tuple(self.table.rows[name].to_numpy() for name in ("split", "label", "attribute")), 1)
        return counts

    @property
    def groups(self):
        """Data frame of counts, with one row per group and one column per split."""
        import pandas as pd

        return pd.DataFrame(self.counts.reshape(3, -1).T, index=self.group_names, columns=PARTS)

    @property
    def shares(self) -> dict[str, tuple[str, float]]:
        """For each label: its most frequent attribute in training, and the share of its samples that have it."""
        return {
            label: (self.table.attribute_names[row.argmax()], row.max() / row.sum())
            for label, row in zip(self.table.label_names, self.counts[0])
            if row.sum()
        }

    @property
    def cramers_v(self) -> float:
        """√(χ² / (n (min(r, c) - 1))) of labels and attributes in training, 0 to 1 (Cramér 1946); NaN for one only."""
        n = self.counts[0].astype(float)
        n = n[n.sum(1) > 0][:, n.sum(0) > 0]
        if min(n.shape) < 2:
            return math.nan
        expected = n.sum(1, keepdims=True) * n.sum(0) / n.sum()
        return math.sqrt(((n - expected) ** 2 / expected).sum() / n.sum() / (min(n.shape) - 1))

    @property
    def notes(self) -> list[str]:
        """Sentences on the groups that cannot be learnt from."""
        train, validation, test = self.counts.reshape(3, -1)
        kinds = {
            "have no training sample, but are tested": (train == 0) & (test > 0),
            "have no training sample": (train == 0) & (test == 0) & (validation > 0),
            "have no sample at all": train + validation + test == 0,
            "are not tested": (train > 0) & (test == 0),
        }
        named = {kind: [name for name, one in zip(self.group_names, which) if one] for kind, which in kinds.items()}
        return [
            f"{len(names)} of {len(train)} groups {kind}: {'; '.join(names[:5])}{'; ...' if len(names) > 5 else ''}"
            for kind, names in named.items()
            if names
        ]

    def takes(self, size: int) -> int:
        """Bytes of all images in memory, at `size` pixels."""
        return len(self.table.rows) * 3 * size * size

    @property
    def streams(self) -> bool:
        return self.takes(self.size) > self.memory

    @property
    def command(self) -> str:
        """The comparison to begin with: methods that balance groups, where every group has a training sample."""
        every = (self.counts[0] > 0).all()
        methods = "erm,loss-reweighting,group-dro" if every else "erm,loss-reweighting(by=label)"
        words = ["debias-course", "compare", "--data", str(self.table.path), "--size", str(self.size)]
        if self.table.columns not in LAYOUTS:
            words += ["--columns", ",".join(f"{part}={column}" for part, column in self.table.columns.items())]
        return shlex.join([*words, "--methods", methods, "--model", "resnet18", "--epochs", "5", "--seeds", "3"])

    def text(self, most: int | None = SHOWN) -> str:
        """The report, with at most so many of the problems (None: all)."""
        n, t = len(self.table.rows), self.table
        goes = "; ".join(f"{label} goes with {a} in {share:.1%}" for label, (a, share) in self.shares.items())
        needs = ", ".join(f"{self.takes(s) / 1e9:.2f} GB at {s}" for s in sorted({self.size, *WIDTHS}))
        way = "are streamed from disk" if self.streams else "are kept in memory"
        lines = [
            f"{t.path}: {n:,} images, {len(t.label_names)} labels × {len(t.attribute_names)} attributes",
            "\n" + self.groups.to_string(),
            f"\nin training, {goes}; Cramér's V {self.cramers_v:.3f}" if goes else "\nthere is no training sample",
            *self.notes,
            f"in memory, they take {needs} pixels; at {self.size} and up to {self.memory / 1e9:.2f} GB they {way}",
        ]
        if t.problems:
            lines.append(f"\n{len(t.problems):,} problems:\n{listed(t.problems, most)}{remedy(t.problems)}")
        else:
            lines.append("every file was decoded, and none is broken")
        return "\n".join([*lines, f"\n{'then run' if t.problems else 'to run'}:\n  {self.command}"])

    __str__ = __repr__ = text


def _read(path, size: int, columns, label: str | None, attribute: str | None, memory: float) -> FolderReport:
    if not (isinstance(size, int) and size > 0 and memory >= 0):
        raise ValueError(f"size is {size!r} and memory {memory!r}; use a whole number of pixels, and bytes from 0")
    return FolderReport(read_table(path, columns=columns, label=label, attribute=attribute), size, memory)


def _decoded(report: FolderReport, workers: int | None, again: bool = False):
    """The report without the files that cannot be decoded, which become problems, and the images of each split, uint8
    [n, 3, size, size] (None where they will stream: then files that were tried before are tried `again` on demand)."""
    import pandas as pd

    rows, images, good, problems = report.table.rows, [], [], list(report.table.problems)
    for split in range(len(PARTS)):
        part = rows[rows["split"] == split]
        paths = [os.path.join(report.table.root, file) for file in part["file"]]
        if report.streams or again:
            pixels, failed = None, _tried(report, part, paths, workers, again)
        else:
            pixels, failed = decode_all(paths, report.size, workers=workers)
        keep = ~np.isin(np.arange(len(part)), list(failed))
        problems += [Problem(int(part.index[i]), f"{part['file'].iloc[i]!r}: {failed[i]}", paths[i]) for i in failed]
        images.append(pixels if pixels is None or keep.all() else pixels[keep])
        good.append(part[keep])
        if not len(good[-1]):
            what = f"no sample is in split {split} ({PARTS[split]}); move some there, for all three are needed"
            problems.append(Problem(None, what))
    problems.sort(key=lambda problem: problem.row or 0)
    return replace(report, table=report.table._replace(rows=pd.concat(good), problems=problems)), images


def _tried(report: FolderReport, part, paths: list[str], workers: int | None, again: bool) -> dict[int, str]:
    """{place: reason} of the files that cannot be decoded, kept for as long as nobody touches one of the files."""
    path = cache_folder() / "images" / f"{stamp(report.table.root, part['file'])}.json"
    try:
        if not again:
            return {int(place): why for place, why in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError):
        pass
    _, failed = decode_all(paths, report.size, workers=workers, keep=False)
    try:
        write_atomically(path, json.dumps(failed).encode())
    except OSError:
        pass  # a cache that cannot be written costs time, not results
    return failed


def inspect_folder(
    path: str | Path,
    *,
    size: int = 64,
    columns: Mapping[str, str] | None = None,
    label: str | None = None,
    attribute: str | None = None,
    memory: float = 2**30,
    workers: int | None = None,
) -> FolderReport:
    """Read the table, decode every image once, and report: groups, the planted correlation, problems, memory, and what
    to run. Arguments as for `image_folder`; FolderError only where the table cannot be understood."""
    return _decoded(_read(path, size, columns, label, attribute, memory), workers, again=True)[0]


def image_folder(
    path: str | Path,
    *,
    size: int = 64,
    columns: Mapping[str, str] | None = None,
    label: str | None = None,
    attribute: str | None = None,
    memory: float = 2**30,
    broken: str = "refuse",
    workers: int | None = None,
) -> Splits:
    """The images of a folder, in one of the layouts above, as train, validation and test data.

    size       pixels: the shorter side is brought to it, and the square in the middle kept
    columns    names of the columns for file, label, attribute and split, where they are others than the layout's
    label, attribute  the same for these two, such as label="Blond_Hair", attribute="Male"
    memory     bytes that the images may take, 3·size² each; what takes more is read from disk batch by batch
    broken     "refuse" files that are missing or cannot be decoded, or "leave out" and warn
    workers    threads that decode; one per core by default

    Every file is decoded before it is used. Raises FolderError with everything that is wrong, row by row, and warns
    when a group has test samples but none to train on.
    """
    if broken not in ("refuse", "leave out"):
        raise ValueError(f"broken is {broken!r}; use 'refuse' or 'leave out'")
    report, images = _decoded(_read(path, size, columns, label, attribute, memory), workers)
    table = report.table
    if table.problems and (broken == "refuse" or not all(problem.file for problem in table.problems)):
        raise FolderError(table.path, table.problems)
    if table.problems:
        left = f"{len(table.problems):,} of {len(table.rows) + len(table.problems):,} images are left out"
        warnings.warn(f"{left}:\n{listed(table.problems)}", stacklevel=2)
    for note in report.notes:
        if "but are tested" in note:
            warnings.warn(note, stacklevel=2)
    return Splits(*(_part(report, split, pixels, workers) for split, pixels in enumerate(images)))


def _part(report: FolderReport, split: int, pixels: np.ndarray | None, workers: int | None) -> GroupedData:
    table = report.table
    part = table.rows[table.rows["split"] == split]
    labels, attributes = (torch.tensor(part[name].to_numpy()) for name in ("label", "attribute"))
    rest = (labels, attributes, table.label_names, table.attribute_names)
    if pixels is not None:
        return GroupedData(torch.from_numpy(pixels), *rest)
    files = dict(root=str(table.root), files=part["file"].to_numpy(dtype=object))
    return StreamedData(blank(len(part), report.size), *rest, **files, workers=workers, memory=report.memory)


def folder_source(path: str | Path, **options: Any) -> Callable[..., Splits]:
    """`image_folder` as the `data` of a study: the same for every seed, read once in every process instead of
    being sent there. The folder is read now, so that problems come at once; options as hashable values."""
    known = tuple(sorted(options.items()))
    _load(path, known)
    return functools.partial(_reload, path=path, options=known)


@functools.lru_cache(maxsize=1)
def _load(path: str | Path, options: tuple[tuple[str, Any], ...]) -> Splits:
    return image_folder(path, **dict(options))


def _reload(*, seed: int, path: str | Path, options: tuple[tuple[str, Any], ...]) -> Splits:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were shown when the folder was read first
        return _load(path, options)
