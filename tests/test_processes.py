"""One training in the processes of torchrun: the weights of one process."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from folders import make
from own_methods import OWN
from test_contract import RECIPES, ground, setting
from torch import nn

from debias_course import models, train, training
from debias_course.data import image_folder, toys
from debias_course.methods import DANN, ERM, METHODS

METHODS = {name: kind() for name, kind in (METHODS | RECIPES).items()}
METHODS["dann of a layer within"] = DANN(layer="0")
METHODS |= {f"own-{kind.__name__}": kind() for kind in OWN}
UNEVEN = 61  # samples: batches of 16, 15, 15 and 15


@contextlib.contextmanager
def without_batch_norm():
    """Inside, networks are built with group norm in its place, which treats samples one by one."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BatchNorm1d", "BatchNorm2d"):
            patch.setattr(nn, name, lambda width: nn.GroupNorm(1, width))
        yield


def trained(method, how=training.train, **more):
    """Ten steps and more, with batches that two processes cannot divide evenly."""
    with without_batch_norm():
        splits, start = ground.__wrapped__(method)
        few = splits.train.subset(torch.arange(UNEVEN))
        usual = dict(epochs=setting(method)[1].epoch + 2, batch_size=16, lr=0.02, optimizer="sgd", seed=4)
        return how(start, few, method, validation=splits.validation, device="cpu", **(usual | more))


def dropped(how=training.train, **more):
    """Plain training with dropout and an augmentation."""
    plane = toys.shortcut(n=61, seed=3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 2))
    return how(start, plane.train, ERM(), **(dict(epochs=3, batch_size=16, augment=noisy) | more))


def noisy(inputs):
    return inputs + 0.1 * torch.randn_like(inputs)


def torchrun(script, *given, tmp_path, check=True):
    """Two processes, each with a working directory and a cache of its own."""
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(Path(__file__).parent), str(Path(__file__).parents[1])])
    own = dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS="1")
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    how = dict(env=own, cwd=tmp_path, timeout=170, capture_output=True, text=True)
    done = subprocess.run([*command, tmp_path / "script.py", *map(str, given)], **how)
    assert not check or done.returncode == 0, done.stderr
    return done


EVERY = """
import os, sys, torch, test_processes as t
from debias_course import train
os.environ["DEBIAS_COURSE_CACHE"] = f"{sys.argv[1]}/cache-{os.environ['RANK']}"
out = {}
for name, method in t.METHODS.items():
    run = t.trained(method, train)
    out[name] = (run.model.state_dict(), [row["loss"] for row in run.records])
    copied = [hook for part in (run.model, run.state) for m in part.modules() for hook in m._forward_hooks]
    assert not copied, "the hooks stay"
torch.save(out, f"{sys.argv[1]}/rank-{os.environ['RANK']}")
"""


@pytest.mark.slow
def test_every_method_gives_the_weights_of_one_process(tmp_path):
    torchrun(EVERY, tmp_path, tmp_path=tmp_path)
    one, two = (torch.load(tmp_path / f"rank-{rank}", weights_only=True) for rank in (0, 1))
    apart = {}
    for name, method in METHODS.items():
        alone = trained(method)
        weights, losses = one[name]
        assert all(torch.equal(value, two[name][0][key]) for key, value in weights.items())
        alone = {key: value for key, value in alone.model.state_dict().items()}
        apart[name] = max(float((value - alone[key]).abs().max()) for key, value in weights.items())
    print(apart)
    assert max(apart.values()) < 1e-6, {name: value for name, value in apart.items() if value >= 1e-6}


TOGETHER = """
import io, os, sys, contextlib, warnings, torch, test_processes as t
from debias_course import cli, data, models, train
from debias_course.data import image_folder, streaming
from debias_course.large.spread import SpreadLoop
out, rank = sys.argv[1], os.environ["RANK"]
os.environ["DEBIAS_COURSE_CACHE"] = f"{out}/cache-{rank}"
told = dict(dropout=t.dropped(train).model.state_dict())

class Killed(BaseException):
    pass

def dies(loop, model, data, state, optimizer):
    if state.epoch == 3:
        raise Killed
    return epoch(loop, model, data, state, optimizer)

epoch, SpreadLoop._epoch = SpreadLoop._epoch, dies
try:
    t.dropped(train, checkpoint=f"{out}/run-{rank}")
except Killed:
    SpreadLoop._epoch = epoch
told["continued"] = t.dropped(train, checkpoint=f"{out}/run-{rank}").model.state_dict()

decoded = []
decode = streaming.decode
streaming.decode = lambda path, *how: decoded.append(path) or decode(path, *how)
images = image_folder(f"{out}/images", size=8, memory=0).train
decoded.clear()
told["images"] = train(models.mlp(images), images, epochs=1, batch_size=8, optimizer="sgd").model.state_dict()
told["decoded"] = len(decoded)

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    part = data.colored_digits().train.subset(range(8))
    train(models.staged(part, widths=(4, 6)), part, epochs=1)
told["said"] = [str(each.message) for each in said]
with contextlib.redirect_stdout(io.StringIO()) as printed:
    told["code"] = cli.main(["train", "--model", "linear", "--epochs", "1", "--out", f"{out}/left-{rank}"])
told["printed"] = printed.getvalue()
from debias_course.settings import SELECT
if rank == "1":  # what it finds on its own always rises
    later = iter(range(1000))
    SELECT["validation-mean"] = lambda report: next(later)
how = dict(validation=t.toys.shortcut(n=61, seed=3).validation, select="validation-mean", patience=1, schedule="linear")
told["stopped"] = t.dropped(train, epochs=30, lr=0.3, **how).stopped
torch.save(told, f"{out}/told-{rank}")
"""


@pytest.mark.slow
def test_processes_draw_apart_read_together_and_one_of_them_writes(tmp_path):
    make(tmp_path / "images", 40)
    torchrun(TOGETHER, tmp_path, tmp_path=tmp_path)
    told = [torch.load(tmp_path / f"told-{rank}", weights_only=True) for rank in (0, 1)]
    for name in ("dropout", "continued", "images"):
        assert all(torch.equal(value, told[1][name][key]) for key, value in told[0][name].items()), name
    assert all(torch.equal(value, told[0]["dropout"][key]) for key, value in told[0]["continued"].items())
    images = image_folder(tmp_path / "images", size=8, memory=0).train
    alone = train(models.mlp(images), images, epochs=1, batch_size=8, optimizer="sgd").model.state_dict()
    assert all(torch.allclose(value, told[0]["images"][key], atol=1e-6) for key, value in alone.items())
    assert sum(each["decoded"] for each in told) <= 24 + 2 * 2  # half each, and the first image of both, to begin with
    assert "batch norm takes its statistics from each process's part" in told[0]["said"][0] and not told[1]["said"]
    assert [each["code"] for each in told] == [0, 0] and "overall" in told[0]["printed"] and not told[1]["printed"]
    assert (tmp_path / "left-0" / "model.pt").exists() and not (tmp_path / "left-1").exists()
    assert told[0]["stopped"] == told[1]["stopped"] < 30
    assert list((tmp_path / "run-0").glob("epoch-*.pt")) and not (tmp_path / "run-1").exists()


FAILS = """
import os, test_processes as t
from debias_course import train

def look(*_):
    raise ValueError("the disk of this process is gone")

t.dropped(train, augment=look if os.environ["RANK"] == "1" else None)
"""


@pytest.mark.slow
def test_a_process_that_fails_ends_all_with_its_error(tmp_path):
    done = torchrun(FAILS, tmp_path=tmp_path, check=False)
    assert done.returncode != 0 and "the disk of this process is gone" in done.stderr
