"""How far is a training step from the limit? Everything in one run, as ratios.

    python -m debias_course.benchmark [--json] [--only mlp]

Limit: forward, backward and optimiser on batches that are ready, nothing else. Against it: the same work as `train`
does it (batches cut from the data, the method's loss, the sum of losses), and as a loop over a DataLoader does it,
with a weighted sampler and one `.item()` per step, which is how most research code is written. All use the same fused
AdamW and one thread. The contenders take turns within each repeat, forwards and backwards, and the ratio is taken
inside the repeat, in CPU time; the median of the repeats is printed with the extremes. Methods are compared with the
step of plain training, an epoch's draw with torch's weighted sampler, and a panel's redraw with an empty figure.
The last row is a share of the wall time: how long training on images from disk waits for them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from . import figures, models
from .contexts import isolated_randomness
from .data import GroupedData, colored_digits, image_folder
from .lectures.dataset_bias.panel import draw_shortcut
from .lectures.panels import panel
from .methods import (
    DANN,
    ERM,
    AdversarialTraining,
    BatchSampling,
    GroupDRO,
    HardMining,
    LossReweighting,
    Method,
    OccamNets,
    SpectralDecoupling,
)
from .methods.group_dro import exponentiated, group_means
from .methods.sampling import draw_epoch
from .methods.smote import smote
from .training import make_optimizer, step

BATCH = 128
DRAWN = 1_000_000  # samples of the epoch that is drawn
IMAGES, STEPS = 20_000, 24  # JPEG files in a folder, and how many steps are trained on them
NEIGHBOURS = [(5_000, 64), (20_000, 512)]  # samples and dimensions that SMOTE doubles
# What is measured, relative to what, and how much of it is allowed for the MLP and the CNN.
ROWS = [
    ("limit again", "limit", {}),
    ("train, ERM", "limit", {"mlp": 1.25, "cnn": 1.10}),
    ("DataLoader loop", "limit", {}),
    ("train, loss re-weighting", "train, ERM", {"mlp": 1.20, "cnn": 1.10}),
    ("train, batch sampling", "train, ERM", {"mlp": 1.15, "cnn": 1.15}),
    ("train, Group DRO", "train, ERM", {"mlp": 1.20, "cnn": 1.10}),
    ("train, spectral decoupling", "train, ERM", {"mlp": 1.20, "cnn": 1.10}),
    ("train, DANN", "train, ERM", {"mlp": 1.35, "cnn": 1.25}),
    ("train, PGD-7", "train, ERM", {"mlp": 10.0, "cnn": 13.0}),
]


def limit(model, data: GroupedData, batches) -> Callable[[], None]:
    optimizer = make_optimizer("adamw", model, torch.nn.Module(), lr=1e-3, weight_decay=0.0)

    def epoch():
        for batch in batches:
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(batch.inputs), batch.labels).backward()
            optimizer.step()

    return epoch


def ours(model, data: GroupedData, method: Method) -> Callable[[], None]:
    with isolated_randomness(0):
        model = method.model(model, data).train()
        state = method.start(model, data)
    optimizer = make_optimizer("adamw", model, state, lr=1e-3, weight_decay=0.0)
    state.generator, state.progress, epochs = torch.Generator().manual_seed(0), 0.5, itertools.count(1)

    def epoch():
        total = torch.zeros(())
        state.epoch = next(epochs)
        for rows in method.batches(data, BATCH, seed=0, epoch=state.epoch):
            total += step(model, data.batch(rows), method, state, optimizer)
        float(total)

    return epoch


def dataloader(model, data: GroupedData) -> Callable[[], None]:
    from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

    images = data.inputs.float() / 255
    weights = (1 / data.counts.double())[data.groups]
    sampler = WeightedRandomSampler(weights, len(data), generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(images, data.labels, data.groups), batch_size=BATCH, sampler=sampler)
    optimizer = make_optimizer("adamw", model, torch.nn.Module(), lr=1e-3, weight_decay=0.0)

    def epoch():
        with isolated_randomness(0):  # the loader draws a seed from the global generator
            for inputs, labels, _groups in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(inputs), labels)
                loss.backward()
                optimizer.step()
                loss.item()

    return epoch


def measure(name: str, build: Callable[..., torch.nn.Module], *, repeats: int) -> list[dict]:
    """Ratios of every contender to the limit, for one model."""
    data = colored_digits().train
    data = data.subset(torch.arange(len(data) // BATCH * BATCH))  # full batches for everybody
    ready = [data.batch(rows) for rows in ERM().batches(data, BATCH, seed=0, epoch=1)]
    contenders = {
        "limit": limit(build(data), data, ready),
        "limit again": limit(build(data), data, ready),
        "train, ERM": ours(build(data), data, ERM()),
        "train, loss re-weighting": ours(build(data), data, LossReweighting()),
        "train, batch sampling": ours(build(data), data, BatchSampling()),
        "train, Group DRO": ours(build(data), data, GroupDRO(sampling="plain")),
        "train, spectral decoupling": ours(build(data), data, SpectralDecoupling()),
        "train, DANN": ours(build(data), data, DANN(width=64)),
        "train, PGD-7": ours(build(data), data, AdversarialTraining(steps=7)),
        "DataLoader loop": dataloader(build(data), data),
    }
    spent = take_turns(contenders, repeats)
    return [
        row(f"{name}: {each} / {basis}", [turn[each] / turn[basis] for turn in spent], target.get(name))
        for each, basis, target in ROWS
    ]


def measure_exits(*, repeats: int) -> list[dict]:
    """Training an OccamNet, relative to its trunk without exits."""
    data = colored_digits().train
    data = data.subset(torch.arange(4 * BATCH))
    kinds = {"light": 1.6, "published": 3.2}
    build = partial(models.staged, data, widths=(16, 32, 64))
    contenders = {"trunk": ours(build(), data, ERM())}
    contenders |= {kind: ours(build(), data, OccamNets(exits=kind)) for kind in kinds}
    spent = take_turns(contenders, repeats)
    return [
        row(f"OccamNet, {kind} exits / its trunk", [turn[kind] / turn["trunk"] for turn in spent], target)
        for kind, target in kinds.items()
    ]


def take_turns(contenders: dict[str, Callable[[], None]], repeats: int) -> list[dict[str, float]]:
    """CPU seconds of each contender in each repeat, after one round to warm up: in turn, forwards and backwards."""
    for contender in contenders.values():
        contender()
    turns = []
    for _ in range(repeats):
        turns.append(dict.fromkeys(contenders, 0.0))
        for each in [*contenders, *reversed(contenders)]:
            began = time.process_time()
            contenders[each]()
            turns[-1][each] += time.process_time() - began
    return turns


def row(name: str, ratios: list[float], target: float | None, side: str = "at most") -> dict:
    extremes = {"low": round(min(ratios), 3), "high": round(max(ratios), 3)}
    return {"name": name, "ratio": round(statistics.median(ratios), 3), **extremes, "target": target, "side": side}


def measure_mining(*, scored: int = 512, repeats: int) -> list[dict]:
    """A step that scores 512 samples and learns from 128, relative to a plain step of 128, on the CNN; and the bare sum
    of its parts (a forward pass of all without a graph, a plain step), which is the limit."""
    data = colored_digits().train
    plain, mining = ERM(), HardMining(keep=BATCH / scored)
    many, few = (data.batch(torch.arange(size)) for size in (scored, BATCH))
    model = models.MODELS["cnn"](data)
    optimizer = make_optimizer("adamw", model, torch.nn.Module(), lr=1e-3, weight_decay=0.0)
    state = torch.nn.Module()

    def parts():
        with torch.no_grad():
            model(many.inputs)
        step(model, few, plain, state, optimizer)

    contenders = {
        "plain": lambda: step(model, few, plain, state, optimizer),
        "parts": parts,
        "mining": lambda: step(model, many, mining, state, optimizer),
    }
    spent = take_turns({name: _repeat(contender, 5) for name, contender in contenders.items()}, repeats)
    basis = f"ERM step of {BATCH}"
    return [
        row(f"cnn: {name} / {basis}", [turn[each] / turn["plain"] for turn in spent], target)
        for name, each, target in (
            (f"forward of {scored} and ERM step of {BATCH}", "parts", None),
            (f"mining step, {BATCH} of {scored}", "mining", 2.3),
        )
    ]


def _repeat(contender: Callable[[], object], times: int) -> Callable[[], None]:
    def run():
        for _ in range(times):
            contender()

    return run


def measure_groups(*, repeats: int) -> dict:
    """The loss of Group DRO over 1,000 groups relative to that over 4, given the losses of a batch."""

    def contender(groups):
        losses = torch.rand(BATCH, generator=torch.Generator().manual_seed(0))
        ids, log_q = torch.arange(BATCH) % groups, torch.zeros(groups).log_softmax(0)

        def run():
            means, _ = group_means(losses, ids, groups)
            return (exponentiated(log_q, means, 0.01).exp() * means).sum()

        return _repeat(run, 2000)

    spent = take_turns({"many": contender(1000), "few": contender(4)}, repeats)
    return row("Group DRO loss, 1,000 groups / 4 groups", [turn["many"] / turn["few"] for turn in spent], 1.3)


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

    def theirs():
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
    sampler = WeightedRandomSampler((1 / counts.double())[ids], n, generator=generator)
    ratios = []
    for _ in range(repeats):
        began = time.process_time()
        draw_epoch(order, counts, targets, generator=generator, replacement=True)
        between = time.process_time()
        list(sampler)
        ratios.append((between - began) / (time.process_time() - between))
    return row(f"draw of {n:,} in {groups:,} groups / WeightedRandomSampler", ratios, 1 / 6)


def measure_panel(*, repeats: int) -> dict:
    """What a moved slider of the shortcut panel costs, a model trained and three axes drawn, relative to the drawing of
    three empty axes of that size."""
    powers = itertools.count(1)
    shown = panel(draw_shortcut, LossReweighting())

    def move():
        shown.controls["power"].value = next(powers) / 1000  # a setting that was not drawn yet

    spent = take_turns({"move": move, "empty": lambda: figures.png(figures.new_figure(10.2, 3.6, 1, 3)[0])}, repeats)
    return row(
        "panel of the shortcut: moved slider / empty figure", [turn["move"] / turn["empty"] for turn in spent], 2.0
    )


def write_folder(folder: Path, n: int) -> None:
    """n JPEG files of 64 pixels with a metadata.csv: the coloured digits, again and again."""
    from PIL import Image

    lines = ["filename,split,y,a"]
    for split, part in enumerate(colored_digits()):
        images = part.inputs.permute(0, 2, 3, 1).numpy()
        for i in range(n * (3, 1, 1)[split] // 5):
            row = i * 7 % len(part)  # they are sorted by digit
            Image.fromarray(images[row]).resize((64, 64)).save(folder / f"{split}-{i}.jpg", quality=90)
            lines.append(f"{split}-{i}.jpg,{split},{part.labels[row]},{part.attributes[row]}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")


def measure_folder(*, blocks: int = 3) -> dict:
    """Share of the wall time in which training on images that stream from disk waits for the next batch."""
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), IMAGES)
        data = image_folder(folder, memory=0).train
        model = models.pretrained(data, name="resnet18", weights=False)
        optimizer = make_optimizer("adamw", model, torch.nn.Module(), lr=1e-3, weight_decay=0.0)
        state, plain, shares = torch.nn.Module(), ERM(), []
        batches = data.batches(plain.batches(data, BATCH, seed=0, epoch=1)[: STEPS + 1])
        step(model, next(batches), plain, state, optimizer)  # to warm up
        for _ in range(blocks):
            waited, began = 0.0, time.perf_counter()
            for _ in range(STEPS // blocks):
                asked = time.perf_counter()
                batch = next(batches)
                waited += time.perf_counter() - asked
                step(model, batch, plain, state, optimizer)
            shares.append(waited / (time.perf_counter() - began))
        batches.close()
    return row(f"resnet18 on {IMAGES:,} JPEGs: waiting for images / all", shares, 0.10)


def parts(repeats: int) -> dict[str, Callable[[], list[dict]]]:
    """What can be measured, by name: functions that return rows."""
    how = dict(repeats=repeats)
    few = dict(repeats=min(3, repeats))
    return {
        **{name: partial(measure, name, models.MODELS[name], **how) for name in ("mlp", "cnn")},
        "mining": partial(measure_mining, **how),
        "exits": partial(measure_exits, **how),
        "groups": lambda: [measure_groups(**how)],
        "smote": lambda: [each for n, d in NEIGHBOURS for each in measure_smote(n, d, **few)],
        "draw": lambda: [measure_draw(groups, DRAWN, **how) for groups in (4, 1000)],
        "panel": lambda: [measure_panel(**how)],
        "folder": lambda: [measure_folder()],
    }


def main() -> None:
    about = "How far is a training step from the limit? Everything in one run, as ratios."
    parser = argparse.ArgumentParser(prog="python -m debias_course.benchmark", description=about)
    parser.add_argument("--json", action="store_true", help="a list of objects with name, ratio, target")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", choices=list(parts(1)), help="measure one part")
    args = parser.parse_args()
    torch.set_num_threads(1)
    chosen = parts(args.repeats)
    rows = []
    if not args.json:
        print(f"{'cost of one / of the other':<62} {'median':>7}  {'range':<13} target")
    for measured in [chosen[args.only]] if args.only else chosen.values():
        for each in measured():
            rows.append(each)
            if not args.json:  # as it is measured: somebody waits
                target = f"{each['side']} {each['target']:.2f}" if each["target"] else ""
                numbers = f"{each['ratio']:>7.2f}  {each['low']:.2f}-{each['high']:.2f}     {target}"
                print(f"{each['name']:<62} {numbers}", flush=True)
    if args.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
