"""What only a GPU can show. Where there is none, these are skipped; `assets/benchmarks/gpu.py` runs them."""

import pytest
import torch
from test_contract import each_method, ground, run, setting

from debias_course import models, study
from debias_course.data import toys
from debias_course.methods import ERM, GroupDRO
from debias_course.optimizers import make_optimizer, scheduled

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]


@each_method
def test_a_training_on_the_gpu_is_that_of_the_cpu(method):
    """But for the order of sums, and what methods draw on the device."""
    splits, _ = ground(method)
    how = dict(optimizer="sgd", lr=0.01, validation=splits.validation)
    here, there = (run(method, device=device, **how) for device in ("cpu", "cuda"))
    assert next(there.model.parameters()).device.type == "cuda"
    assert [row["epoch"] for row in here.records] == [row["epoch"] for row in there.records]
    losses = [[row["loss"] for row in each.records] for each in (here, there)]
    torch.testing.assert_close(*map(torch.tensor, losses), rtol=0.2, atol=0.05)


@each_method
def test_a_step_does_not_wait_for_the_gpu(method):
    model, state, batch = setting(method)
    model, state = model.to("cuda"), state.to("cuda").begin(device="cuda", progress=0.5)
    batch = type(batch)(*(part.to("cuda") for part in batch))
    optimizer = make_optimizer("adamw", method.parameters(model, state), 1e-3, 0.1)
    method.step(model, batch, state, optimizer)  # what is done once
    torch.cuda.set_sync_debug_mode("error")
    try:
        scheduled(optimizer, lambda progress: 1 - progress, 0.5)
        method.step(model, batch, state, optimizer)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_study_on_the_gpu_has_the_verdict_of_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path))
    how = dict(data=toys.shortcut, seeds=3, model=models.mlp, epochs=5, progress=False)
    here, there = (study({"ERM": ERM(), "DRO": GroupDRO()}, device=device, **how) for device in ("cpu", "cuda"))
    assert here.difference("DRO", "ERM").value == pytest.approx(there.difference("DRO", "ERM").value, abs=0.1)
