"""All that a GPU is needed for, in one go of under ten minutes; its figures go into a file beside this one.

    python assets/benchmarks/gpu.py

It runs the tests marked `gpu`, measures the steps of all kinds of methods against the bare step for the MLP, the CNN
and ResNet-18, times a study of five seeds against the CPU, and compares methods on the coloured digits on both: the
verdicts have to be equal. The file is called after the card, and says with which versions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from debias_course import benchmark, data, models, study
from debias_course.comparison import Comparison, compare
from debias_course.methods import ERM, GroupDRO, LossReweighting

HERE = Path(__file__).parent
METHODS = {"ERM": ERM(), "loss re-weighting": LossReweighting(), "Group DRO": GroupDRO()}


def tests() -> str:
    """What pytest says in its last line about the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(HERE.parents[1] / "tests" / "test_gpu.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parents[1])
    return (done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]])[-1]


def steps(device: str, repeats: int) -> list[dict]:
    """The rows of the benchmark."""
    return [row for measured in benchmark.on_device(device, repeats).values() for row in measured()]


def seeds(device: str, epochs: int) -> dict[str, float]:
    """Wall seconds of a study of five seeds, on the device and on the CPU, from an empty cache."""
    spent = {}
    for where in dict.fromkeys((device, "cpu")):
        how = dict(seeds=5, model=models.cnn, epochs=epochs, device=where, progress=False)
        spent[where] = round(timed(partial(study, METHODS, data.colored_digits, **how))[0], 2)
    return spent


def verdicts(device: str, epochs: int) -> dict[str, dict[str, str]]:
    """Whether each method is better than plain training, on the device and on the CPU."""
    told = {}
    for where in (device, "cpu"):
        how = dict(seeds=5, model=models.mlp, trials=1, epochs=epochs, device=where, progress=False)
        told[where] = in_words(timed(partial(compare, METHODS, data.colored_digits, **how))[1])
    return told


def in_words(found: Comparison) -> dict[str, str]:
    """ "better", "worse" or "not told apart" for each method."""
    rows = found.study.differences(found.baseline, found.metric).itertuples()
    return {row.method: "better" if row.low > 0 else "worse" if row.high < 0 else "not told apart" for row in rows}


def timed(call: Callable[[], object]) -> tuple[float, object]:
    """Wall seconds of a call with a cache of its own, and what it returns."""
    before = os.environ.get("DEBIAS_COURSE_CACHE")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["DEBIAS_COURSE_CACHE"] = cache
        began = time.perf_counter()
        try:
            found = call()
        finally:
            os.environ.pop("DEBIAS_COURSE_CACHE")
            if before is not None:
                os.environ["DEBIAS_COURSE_CACHE"] = before
        return time.perf_counter() - began, found


def card(device: str) -> str:
    """What the device is called."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "cpu"


def main(arguments: list[str] | None = None) -> int:
    """Do it all and write the file; 1 where a test fails or a verdict differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=HERE)
    args = parser.parse_args(arguments)
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no GPU that torch can use; run it where there is one")
    began = time.perf_counter()
    facts = dict(
        card=card(args.device), torch=torch.__version__, cuda=torch.version.cuda, python=platform.python_version()
    )
    facts |= dict(tests=tests(), steps=steps(args.device, args.repeats), five_seeds=seeds(args.device, args.epochs))
    facts |= dict(verdicts=verdicts(args.device, args.epochs), minutes=round((time.perf_counter() - began) / 60, 1))
    name = re.sub(r"[^a-z0-9]+", "-", facts["card"].lower()).strip("-")
    path = args.out / f"{name}.json"
    path.write_text(json.dumps(facts, indent=1) + "\n")
    print(f"{facts['tests']}\nverdicts: {facts['verdicts']}\nwritten: {path}")
    differ = facts["verdicts"][args.device] != facts["verdicts"]["cpu"]
    return 1 if differ or "failed" in facts["tests"] or "error" in facts["tests"] else 0


if __name__ == "__main__":
    sys.exit(main())
