"""How far is a training step from the limit? Everything in one run, as ratios.

    python -m debias_course.benchmark [--json]

Limit: forward, backward and optimiser on batches that are ready, nothing else. Against it: the same work as `train`
does it (batches cut from the data, the method's loss, the sum of losses), and as a loop over a DataLoader does it,
with a weighted sampler and one `.item()` per step, which is how most research code is written. All use the same fused
AdamW and one thread. The contenders take turns within each repeat, forwards and backwards, and the ratio is taken
inside the repeat, in CPU time; the median of the repeats is printed with the extremes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from . import models
from .data import GroupedData, colored_digits
from .methods import ERM, LossReweighting, Method
from .models import isolated_randomness
from .training import make_optimizer, shuffled_batches, step

BATCH = 128
TARGETS = {
    ("mlp", "train, ERM"): 1.25,
    ("cnn", "train, ERM"): 1.10,
}


def limit(model, data: GroupedData, batches) -> Callable[[], None]:
    optimizer = make_optimizer("adamw", model, torch.nn.Module(), lr=1e-3, weight_decay=0.0)

    def epoch():
        for batch in batches:
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(batch.inputs), batch.labels).backward()
            optimizer.step()

    return epoch


def ours(model, data: GroupedData, method: Method) -> Callable[[], None]:
    state = method.start(model, data)
    optimizer = make_optimizer("adamw", model, state, lr=1e-3, weight_decay=0.0)
    order = torch.Generator().manual_seed(0)

    def epoch():
        total = torch.zeros(())
        for rows in shuffled_batches(len(data), BATCH, generator=order):
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
    order = torch.Generator().manual_seed(0)
    ready = [data.batch(rows) for rows in shuffled_batches(len(data), BATCH, generator=order)]
    contenders = {
        "limit": limit(build(data), data, ready),
        "limit again": limit(build(data), data, ready),
        "train, ERM": ours(build(data), data, ERM()),
        "train, loss re-weighting": ours(build(data), data, LossReweighting()),
        "DataLoader loop": dataloader(build(data), data),
    }
    for epoch in contenders.values():
        epoch()
    ratios: dict[str, list[float]] = {each: [] for each in contenders}
    for _ in range(repeats):
        spent = dict.fromkeys(contenders, 0.0)
        for each in [*contenders, *reversed(contenders)]:
            began = time.process_time()
            contenders[each]()
            spent[each] += time.process_time() - began
        for each in contenders:
            ratios[each].append(spent[each] / spent["limit"])
    return [
        {
            "name": f"{name}: {each}",
            "ratio": round(statistics.median(values), 3),
            "low": round(min(values), 3),
            "high": round(max(values), 3),
            "target": TARGETS.get((name, each)),
        }
        for each, values in ratios.items()
        if each != "limit"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m debias_course.benchmark", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="a list of objects with name, ratio, target")
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in ("mlp", "cnn"):
        rows += measure(name, models.MODELS[name], repeats=args.repeats)
    if args.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'step, relative to the bare limit':<36} {'median':>7}  {'range':<13} target")
    for row in rows:
        target = f"at most {row['target']:.2f}" if row["target"] else ""
        print(f"{row['name']:<36} {row['ratio']:>7.2f}  {row['low']:.2f}-{row['high']:.2f}     {target}")


if __name__ == "__main__":
    main()
