"""How far is a training step from the limit? Everything in one run, as ratios.

    python -m debias_course.benchmark [--json] [--only mlp] [--device NAME]

Limit: forward, backward and optimiser on batches that are ready, nothing else. Against it: the same work as `train`
does it (batches cut from the data, the method's loss, the sum of losses), and as a loop over a DataLoader does it,
with a weighted sampler and one `.item()` per step, which is how most research code is written. All use the same fused
AdamW and one thread. The contenders take turns within each repeat, forwards and backwards, and the ratio is taken
inside the repeat, in CPU time; the median of the repeats is printed with the extremes. Methods are compared with the
step of plain training, an epoch's draw with torch's weighted sampler, and a panel's redraw with an empty figure.
The rows of a million images tell CPU seconds and the most memory, too. The last row is a share of the wall time: how
long training on images from disk waits for them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from .. import models
from . import data, panel, steps

LARGE = 8  # batches of an epoch of ResNet-18
BATCHES = {"mlp": 23, "cnn": 4}  # of an epoch: where each takes long, a few will do
DRAWN = 1_000_000  # samples of the epoch that is drawn
LISTED = 1_000_000  # images in a table that is opened, and five times those of a tree of files, which have to be made
IMAGES, STEPS = 5_000, 12  # JPEG files in a folder, and how many steps are trained on them
NEIGHBOURS = [(5_000, 64, 3), (20_000, 512, 1)]  # samples and dimensions that SMOTE doubles, and repeats that suffice


def parts(repeats: int) -> dict[str, Callable[[], list[dict]]]:
    """What can be measured, by name: functions that return rows."""
    how: dict[str, Any] = dict(repeats=repeats)
    return {
        **{
            name: partial(steps.measure, name, models.MODELS[name], batches=batches, **how)
            for name, batches in BATCHES.items()
        },
        "mining": partial(steps.measure_mining, **how),
        "exits": partial(steps.measure_exits, **how),
        "groups": lambda: [steps.measure_groups(**how)],
        "smote": lambda: [
            each for n, d, few in NEIGHBOURS for each in data.measure_smote(n, d, repeats=min(few, repeats))
        ],
        "draw": lambda: [data.measure_draw(groups, DRAWN, **how) for groups in (4, 1000)],
        "panel": lambda: [panel.measure_panel(**how)],
        "opening": lambda: data.measure_opening(LISTED, LISTED // 5, repeats=min(1, repeats)),
        "folder": lambda: [data.measure_folder(IMAGES, STEPS)],
    }


def on_device(device: str, repeats: int) -> dict[str, Callable[[], list[dict]]]:
    """What can be measured on another device than the CPU: the steps, of a large network, too."""
    networks = {name: (models.MODELS[name], batches) for name, batches in BATCHES.items()}
    networks["resnet18"] = partial(models.pretrained, name="resnet18", weights=False), LARGE
    return {
        name: partial(steps.measure, name, build, batches=batches, repeats=repeats, device=device)
        for name, (build, batches) in networks.items()
    }


def main() -> None:
    """Print the rows as they are measured, or all as JSON."""
    about = "How far is a training step from the limit? Everything in one run, as ratios."
    parser = argparse.ArgumentParser(prog="python -m debias_course.benchmark", description=about)
    parser.add_argument("--json", action="store_true", help="a list of objects with name, ratio, target")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=[*parts(1), "resnet18"], help="measure one part")
    parser.add_argument("--device", default="cpu", help="on a GPU: the steps of mlp, cnn, resnet18, in wall time")
    args = parser.parse_args()
    torch.set_num_threads(1)
    chosen = parts(args.repeats) if args.device == "cpu" else on_device(args.device, args.repeats)
    if args.only and args.only not in chosen:
        parser.error(f"--only {args.only} is not measured on {args.device}; there are {', '.join(chosen)}")
    rows = []
    if not args.json:
        print(f"{'cost of one / of the other':<62} {'median':>7}  {'range':<13} target")
    for measured in [chosen[args.only]] if args.only else chosen.values():
        for each in measured():
            rows.append(each)
            if not args.json:  # as it is measured: somebody waits
                target = f"{each['side']} {each['target']:.2f}" if each["target"] else ""
                numbers = f"{each['ratio']:>7.2f}  {each['low']:.2f}-{each['high']:.2f}     {target:<14}"
                also = f"{each['seconds']:.1f} s, {each['megabytes']:,.0f} MB" if "seconds" in each else ""
                print(f"{each['name']:<62} {numbers} {also}".rstrip(), flush=True)
    if args.json:
        print(json.dumps(rows, indent=1))
