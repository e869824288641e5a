"""A study on several GPUs: they are pretended here, and seen by the workers as the real ones would be."""

import os
import sys
import time
from collections import Counter

import joblib
import pytest
import torch

from debias_course.study.gpus import gpus

WORKERS, GPUS = (sys.modules[f"debias_course.study.{name}"] for name in ("workers", "gpus"))


def seen(_number):
    time.sleep(0.2)
    return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]


def test_the_gpus_are_those_that_the_process_may_use(monkeypatch):
    assert gpus() == [] or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(GPUS, "pick_device", lambda: torch.device("cuda:0"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-8932f937")
    assert gpus() == ["3", "GPU-8932f937"]


@pytest.mark.parametrize(
    "devices, asked, at_a_time",
    [
        (["cuda:0"] * 9, None, 3),
        (["cuda:0"] * 9, 6, 6),
        (["cuda:1"] * 9, 6, 1),
        (["mps:0"] * 9, None, 1),
        (["cpu"] * 9, 5, 5),
    ],
)
def test_there_is_a_run_for_each_gpu_or_as_many_as_are_asked_for(devices, asked, at_a_time, monkeypatch):
    monkeypatch.setattr(WORKERS, "gpus", lambda: ["0", "1", "2"])
    monkeypatch.setattr(WORKERS, "pick_device", lambda: torch.device("cuda:0"))
    assert WORKERS._at_a_time(devices, asked) == at_a_time


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_each_worker_sees_one_gpu_and_they_are_dealt_out_in_turn(workers, monkeypatch):
    monkeypatch.setattr(WORKERS, "gpus", lambda: ["4", "7"])
    found = dict(WORKERS._done([joblib.delayed(seen)(i) for i in range(4 * workers)], workers, on_cpu=False))
    assert Counter(found.values()) == {"4": workers // 2, "7": workers // 2}
