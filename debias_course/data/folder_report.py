"""What `inspect_folder` says of a folder of images: groups, what goes with what, memory, problems, and what to run."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .columns import apart, in_words
from .grouped import PARTS, UNKNOWN, group_names
from .metadata import LAYOUTS, Table
from .pixels import Pixels, ends, values_of
from .problems import SHOWN, listed, remedy

if TYPE_CHECKING:
    import pandas as pd

GROUPS_ARE_LABELS = (
    "no attribute tells samples apart, so groups are labels: methods that balance groups balance the labels, and "
    "those that need an attribute refuse; what needs no group works (hard-mining, spectral-decoupling, ...)"
)
UNKNOWN_IN_TRAIN = (
    "the attribute is known in validation and test, and of no sample of train: methods that read groups in training "
    "refuse, and the worst group of validation can choose all the same (select='validation-worst-group')"
)
WITHOUT_LABELS = "DANN adapts to them, and methods that need labels refuse"
MANY = 60  # groups that a report lists, unless it shows everything
TINY = 10  # training samples, of which one cannot learn much
WIDTHS = (64, 128, 224)  # pixels for which a report tells the memory


@dataclass(frozen=True, repr=False)
class FolderReport:
    """What is in a folder of images; `print` it. Its `table` has the samples that can be used, and `table.problems`
    everything that is wrong with the others."""

    table: Table
    pixels: Pixels
    memory: float

    @property
    def group_names(self) -> tuple[str, ...]:
        """ "label, attribute" for each group."""
        unknown = (UNKNOWN,) if self.table.unknown_in_train else ()
        return group_names(self.table.label_names, (*self.table.attribute_names, *unknown))

    @property
    def alone(self) -> bool:
        """Whether there is one attribute only, so that groups are labels."""
        return len(self.table.attribute_names) == 1

    @property
    def counts(self) -> np.ndarray:
        """Samples of each split, label and attribute, int [3, n_labels, n_attributes]; where the attribute of train is
        unknown, its samples have one more, the last."""
        attributes = len(self.table.attribute_names) + self.table.unknown_in_train
        counts = np.zeros((3, len(self.table.label_names), attributes), int)
        known = self.table.rows[self.table.rows["label"] >= 0]
        np.add.at(counts, tuple(known[name].to_numpy() for name in ("split", "label", "attribute")), 1)
        return counts

    @property
    def unlabelled(self) -> str:
        """A sentence on the training samples without a label, "" where all have one."""
        rows = self.table.rows[self.table.rows["label"] < 0]
        if not len(rows):
            return ""
        domains = ", ".join(self.table.attribute_names[each] for each in sorted(rows["attribute"].unique()))
        return f"{len(rows):,} images of train have no label, all of {domains}: {WITHOUT_LABELS}"

    @property
    def groups(self) -> pd.DataFrame:
        """Data frame of counts, with one row per group and one column per split."""
        import pandas as pd

        return pd.DataFrame(self.counts.reshape(3, -1).T, index=list(self.group_names), columns=PARTS)

    @property
    def shares(self) -> dict[str, tuple[str, float]]:
        """For each label: its most frequent attribute in training, and the share of its samples that have it."""
        return {
            label: ((*self.table.attribute_names, UNKNOWN)[row.argmax()], row.max() / row.sum())
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
        counts, t = self.counts, self.table
        if t.unknown_in_train:  # any sample may be of any group
            counts = np.concatenate([counts[:1, :, -1:].repeat(len(t.attribute_names), 2), counts[1:, :, :-1]])
        lost = t.rows["attribute"][t.rows["label"] < 0].to_numpy()  # and of any label
        counts[0] += np.bincount(lost, minlength=counts.shape[2])
        train, validation, test = counts.reshape(3, -1)
        kinds = {
            "have no training sample, but are tested": (train == 0) & (test > 0),
            "have no training sample": (train == 0) & (test == 0) & (validation > 0),
            "have no sample at all": train + validation + test == 0,
            "are not tested": (train > 0) & (test == 0),
        }
        names = group_names(t.label_names, t.attribute_names)
        named = {kind: [name for name, one in zip(names, which) if one] for kind, which in kinds.items()}
        said = [
            f"{len(names)} of {len(train)} groups {kind}: {'; '.join(names[:5])}{'; ...' if len(names) > 5 else ''}"
            for kind, names in named.items()
            if names
        ]
        said += [GROUPS_ARE_LABELS] * self.alone + [UNKNOWN_IN_TRAIN] * t.unknown_in_train
        return [*said, *self._few, *self._odd_values, *filter(None, [self.unlabelled])]

    @property
    def _few(self) -> list[str]:
        """A sentence on how many combinations of several attributes can hardly be learnt from."""
        names, sizes = self.table.attribute_names, self.counts[0].sum(0)
        if not apart(names) or self.table.unknown_in_train:
            return []
        few = [f"{name} ({n})" for name, n in zip(names, sizes) if n < TINY]
        tiny = f": {'; '.join(few[:5])}{'; ...' if len(few) > 5 else ''}" if few else ""
        what = f"{in_words(names)}: {int((sizes == 0).sum())} without a training sample"
        return [f"{what}, {len(few)} with fewer than {TINY}{tiny}"]

    @property
    def _odd_values(self) -> list[str]:
        """Sentences on names that may be meant as one, attributes that may be numbers of patients, and weights."""
        said, t = [], self.table
        for names in (t.label_names, t.attribute_names):
            like: dict[str, list[str]] = {}
            for name in names:
                like.setdefault(" ".join(name.lower().split()), []).append(name)
            alike = [" and ".join(map(repr, each)) for each in like.values() if len(each) > 1]
            said += [f"{'; '.join(alike)} differ in capitals or blanks only, and are different values"] * bool(alike)
        if len(t.attribute_names) > max(MANY, len(t.rows) / 10):
            what = f"the attribute has {len(t.attribute_names):,} values for {len(t.rows):,} images"
            said.append(f"{what}: does it number people? Each group has few images")
        if "weight" in t.rows and len(t.rows):
            w = t.rows["weight"][t.rows["split"] == 0]
            what = f"weights of training samples go from {w.min():g} to {w.max():g}, with a mean of {w.mean():.3g}"
            none = (w == 0).sum()
            said.append(f"{what}" + f"; {none:,} are 0: nothing is learned from these samples" * bool(none))
        return said

    def takes(self, size: int) -> int:
        """Bytes of all images in memory, at `size` pixels."""
        return len(self.table.rows) * math.prod(self.pixels._replace(size=size).shape)

    @property
    def streams(self) -> bool:
        """Whether the images take more than the memory that is allowed, so that they stay on disk."""
        return self.takes(self.pixels.size) > self.memory

    @property
    def command(self) -> str:
        """The comparison to begin with: methods that balance groups, where every group has a training sample,
        and those that find them, where the attribute of train is not known."""
        t = self.table
        every = (self.counts[0] > 0).all() and not self.alone
        balancing = "erm,loss-reweighting,group-dro" if every else "erm,loss-reweighting(by=label)"
        methods = f"{balancing},hard-mining" if self.alone else balancing
        if t.unknown_in_train:
            methods = "erm,just-train-twice(first_epochs=2),learning-from-failure"
        methods = "dann,dann(sampling=domains)" if self.unlabelled else methods
        if "weight" in t.columns:  # which not all methods look at
            methods = ",".join(each for each in methods.split(",") if each[:4] not in ("hard", "lear"))
        words = ["debias-course", "compare", "--data", str(t.path), "--size", str(self.pixels.size)]
        words += ["--window", ends(self.pixels.window)] if self.pixels.window else []
        words += ["--grey"] * self.pixels.grey
        if t.columns not in LAYOUTS:
            named = {part: column for part, column in t.columns.items() if column and isinstance(column, str)}
            words += ["--columns", ",".join(f"{part}={column}" for part, column in named.items())]
            words += ["--no-attribute"] * (not t.columns["attribute"])
        if isinstance(t.columns["attribute"], tuple):
            words += ["--attribute", ",".join(t.columns["attribute"])]
        return shlex.join([*words, "--methods", methods, "--model", "resnet18", "--epochs", "5", "--seeds", "3"])

    def text(self, most: int | None = SHOWN) -> str:
        """The report, with at most so many of the problems (None: all)."""
        n, t, size, window = len(self.table.rows), self.table, self.pixels.size, self.pixels.window
        goes = "; ".join(f"{label} goes with {a} in {share:.1%}" for label, (a, share) in self.shares.items())
        needs = ", ".join(f"{self.takes(s) / 1e9:.2f} GB at {s}" for s in sorted({size, *WIDTHS}))
        way = "are streamed from disk" if self.streams else "are kept in memory"
        known = "no known attribute" if self.alone else in_words(t.attribute_names)
        v = "" if math.isnan(self.cramers_v) else f"; Cramér's V {self.cramers_v:.3f}"
        with_what = f"in training, {goes}{v}" if goes else "there is no training sample"
        lines = [
            f"{t.path}: {n:,} images, {len(t.label_names)} labels × {known}",
            f"\n{self.groups.to_string(max_rows=None if most is None else MANY)}\n",
            *([with_what] if not (goes and self.alone or t.unknown_in_train) else []),
            *self.notes,
            *([f"in the window {ends(window)}, 256 shades are left from black to white"] if window else []),
            f"in memory, they take {needs} pixels; at {size} and up to {self.memory / 1e9:.2f} GB they {way}",
        ]
        if t.problems:
            lines.append(f"\n{len(t.problems):,} problems:\n{listed(t.problems, most)}{remedy(t.problems)}")
        else:
            lines.append("every file was decoded, and none is broken")
        if found := values_of(each.what for each in t.problems if each.row is not None):
            many, (low, high) = found
            ends_ = f"from {low:g} to {high:g}; a window that keeps all of them is --window {low:g},{high:g}"
            lines.append(f"\n{many:,} images need a window: together, their values go {ends_}")
        then = f"\n{'then run' if t.problems else 'to run'}:\n  {self.command}"
        return "\n".join([*lines, *([then] if n else [])])

    __str__ = __repr__ = text
