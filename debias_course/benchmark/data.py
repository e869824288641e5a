"""What comes before a step: new samples, the indices of an epoch, images from disk."""

from __future__ import annotations

import os
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from .. import models
from ..audit.predictions import audit_predictions
from ..data import colored_digits, image_folder
from ..data.grouped import PARTS
from ..method import State
from ..methods import ERM
from ..methods.sampling import draw_epoch
from ..methods.smote import smote
from ..training import make_optimizer
from .steps import BATCH
from .turns import row, take_turns


def measure_smote(n: int, d: int, *, repeats: int) -> list[dict]:
    """imbalanced-learn's time for doubling n samples of d numbers beside 2n of another class, relative to ours; and the
    bare matrix product of all pairs, which is the limit (in CPU time, one thread)."""
    try:
        from imblearn.over_sampling import SMOTE
    except ImportError:
        return []  # a test dependency
    from threadpoolctl import threadpool_limits

    x = torch.randn(3 * n, d, generator=torch.Generator().manual_seed(0))
    labels = (torch.arange(3 * n) < n).long()
    arrays, rare = (x.numpy(), labels.numpy()), x[:n].clone()

    def theirs() -> None:
        with threadpool_limits(1):
            SMOTE(random_state=0).fit_resample(*arrays)

    contenders = {
        "theirs": theirs,
        "ours": lambda: torch.cat([x, smote(x, labels, k=5)[0]]),
        "product": lambda: [rows @ rare.T for rows in rare.split(512)],
    }
    spent = take_turns(contenders, repeats)
    target = {(20_000, 512): 2.3, (5_000, 64): 1.5}.get((n, d))
    return [
        row(
            f"SMOTE, {n:,} in {d}: imbalanced-learn / ours",
            [t["theirs"] / t["ours"] for t in spent],
            target,
            "at least",
        ),
        row(f"SMOTE, {n:,} in {d}: ours / matrix product", [t["ours"] / t["product"] for t in spent], None),
    ]


def measure_draw(groups: int, n: int, *, repeats: int) -> dict:
    """Indices of one balanced epoch of n samples, drawn with replacement, relative to torch's weighted sampler."""
    from torch.utils.data import WeightedRandomSampler

    generator = torch.Generator().manual_seed(0)
    ids = torch.arange(n)[torch.randperm(n, generator=generator)] % groups  # none is empty
    order, counts = torch.argsort(ids, stable=True), torch.bincount(ids, minlength=groups)
    targets = torch.full((groups,), n // groups)
    sampler = WeightedRandomSampler((1 / counts.double())[ids].tolist(), n, generator=generator)
    ratios = []
    for _ in range(repeats):
        began = time.process_time()
        draw_epoch(order, counts, targets, generator=generator, replacement=True)
        between = time.process_time()
        list(sampler)
        ratios.append((between - began) / (time.process_time() - between))
    return row(f"draw of {n:,} in {groups:,} groups / WeightedRandomSampler", ratios, 1 / 6)


def measure_folder(images: int, steps: int, *, blocks: int = 3) -> dict:
    """Share of the wall time in which training on images that stream from disk waits for the next batch: that many
    JPEG files, `steps` steps in so many blocks."""
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), images)
        data = image_folder(folder, memory=0).train
        model = models.pretrained(data, name="resnet18", weights=False)
        optimizer = make_optimizer("adamw", ERM().parameters(model, State()), 1e-3, 0.0)
        state, plain, shares = State(), ERM(), []
        batches = data.batches(plain.batches(data, BATCH, seed=0, epoch=1)[: steps + 1])
        plain.step(model, next(batches), state, optimizer)  # to warm up
        for _ in range(blocks):
            waited, began = 0.0, time.perf_counter()
            for _ in range(steps // blocks):
                asked = time.perf_counter()
                batch = next(batches)
                waited += time.perf_counter() - asked
                plain.step(model, batch, state, optimizer)
            shares.append(waited / (time.perf_counter() - began))
        batches.close()  # type: ignore[attr-defined]  # a generator, declared as an iterator
    return row(f"resnet18 on {images:,} JPEGs: waiting for images / all", shares, 0.10)


def measure_opening(rows: int, files: int, *, repeats: int) -> list[dict]:
    """Opening a folder whose table lists so many images, which are decoded on demand, and auditing as many predictions,
    relative to pandas reading the same tables as text; and opening a tree of so many empty files, relative to walking
    through it. In CPU time; with the seconds, and the most memory beyond what was taken before, in MB of 10^6 bytes."""
    import pandas as pd

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        listed, tree = Path(folder, "listed"), Path(folder, "tree")
        tables = write_tables(listed, rows)
        write_tree(tree, files)
        texts = partial(pd.read_csv, dtype=str)
        pairs: dict[str, tuple[Callable[[], object], Callable[[], object], float]] = {
            f"opening a table of {rows:,} images / reading it with pandas": (
                lambda: image_folder(listed, memory=0, broken="on demand"),
                lambda: texts(tables[0]),
                12.0,
            ),
            f"auditing {rows:,} predictions / reading both tables with pandas": (
                lambda: audit_predictions(listed, tables[1], split="all"),
                lambda: [texts(table) for table in tables],
                12.0,
            ),
            f"opening a tree of {files:,} images / walking through it": (
                lambda: image_folder(tree, memory=0, broken="on demand"),
                lambda: [*os.walk(tree)],
                12.0,
            ),
        }
        return [beside(name, *pair, repeats=repeats) for name, pair in pairs.items()]


def beside(name: str, ours: Callable[[], object], other: Callable[[], object], target: float, *, repeats: int) -> dict:
    """A row with the ratio of two costs, and the seconds and megabytes of the first."""
    spent = take_turns(dict(ours=ours, other=other), repeats)
    tracemalloc.start()  # slows down what is timed
    ours()
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    seconds = min(turn["ours"] for turn in spent) / 2  # there and back
    ratios = [turn["ours"] / turn["other"] for turn in spent]
    return row(name, ratios, target) | dict(seconds=round(seconds, 2), megabytes=round(megabytes, 1))


def write_tables(folder: Path, rows: int) -> tuple[Path, Path]:
    """A metadata.csv of images that need not be there, and predictions for them."""
    import pandas as pd

    folder.mkdir()
    table = pd.DataFrame(dict(filename=[f"{i % 1000:03d}/{i:09d}.jpg" for i in range(rows)]))
    table["split"], table["y"], table["a"] = (table.index // n % m for n, m in ((1, 3), (3, 500), (1500, 2)))
    table.to_csv(folder / "metadata.csv", index=False)
    answers = table[["filename"]].assign(prediction=table["y"], probability=0.75)
    answers.to_csv(folder / "predictions.csv", index=False)
    return folder / "metadata.csv", folder / "predictions.csv"


def write_tree(folder: Path, files: int) -> None:
    """Empty files in three splits of 100 labels."""
    for i in range(files):
        place = folder / PARTS[i % 3] / f"{i // 3 % 100:02d}"
        if i < 300:
            place.mkdir(parents=True)
        (place / f"{i:09d}.jpg").touch()


def write_folder(folder: Path, n: int) -> None:
    """n JPEG files of 64 pixels with a metadata.csv: the coloured digits, again and again."""
    from PIL import Image

    lines = ["filename,split,y,a"]
    for split, part in enumerate(colored_digits()):
        pictures = part.inputs.permute(0, 2, 3, 1).numpy()
        for i in range(n * (3, 1, 1)[split] // 5):
            row = i * 7 % len(part)  # they are sorted by digit
            Image.fromarray(pictures[row]).resize((64, 64)).save(folder / f"{split}-{i}.jpg", quality=90)
            lines.append(f"{split}-{i}.jpg,{split},{part.labels[row]},{part.attributes[row]}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
