"""What a call changes for a while, and puts back: random generators, evaluation mode, CPU threads."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from contextvars import ContextVar

import numpy as np
import torch
from torch import nn

from .checks import LAST_SEED, whole

SMALL = 1_000_000  # parameters; below this, a second CPU thread costs more than it gives


_seed: ContextVar[int] = ContextVar("_seed", default=0)  # of the innermost isolated_randomness


@contextlib.contextmanager
def isolated_randomness(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Inside, the generators of torch, NumPy and Python start from `seed`, and new numbers are float32, as those of the
    data; afterwards all are as they were before.

    For the code of others that draws from them: layer initialisation, dropout, an augmentation. Our own code takes a
    generator. These generators belong to the process: two threads must not do this at once.
    """
    seed = whole("seed", seed, 0, LAST_SEED)
    kind, dtype = torch.device(device).type, torch.get_default_dtype()
    backend = None if kind in ("cpu", "meta") else getattr(torch, kind)
    forked = dict(devices=range(backend.device_count()), device_type=kind) if backend else dict(devices=[])
    with torch.random.fork_rng(**forked):
        torch.default_generator.manual_seed(seed)
        if backend:
            backend.manual_seed_all(seed)
        others = np.random.get_state(), random.getstate()
        np.random.set_state(np.random.RandomState(seed % 2**32).get_state())
        random.setstate(random.Random(seed).getstate())
        torch.set_default_dtype(torch.float32)
        token = _seed.set(seed)
        try:
            yield
        finally:
            _seed.reset(token)
            torch.set_default_dtype(dtype)
            np.random.set_state(others[0])
            random.setstate(others[1])


def fresh_layers() -> contextlib.AbstractContextManager[None]:
    """Inside, new layers start from the run's seed; what the run draws afterwards, such as dropout, is as if they had
    not been there. So a method with layers of its own that has no effect is plain training, to the bit."""
    return isolated_randomness(_seed.get())


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and every submodule's own mode again afterwards (a frozen batch norm stays frozen)."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def to_training(model: nn.Module) -> nn.Module:
    """`model` in training mode, but for what somebody has put into evaluation mode on purpose: submodules of a model
    that trains, and those whose own parameters ask for no gradient, such as a frozen batch norm."""
    on_purpose = [
        module
        for module in model.modules()
        if not module.training
        and (
            model.training or (own := list(module.parameters(recurse=False))) and not any(p.requires_grad for p in own)
        )
    ]
    model.train()
    for module in on_purpose:
        module.training = False
    return model


@contextlib.contextmanager
def threads_for(model: nn.Module) -> Iterator[None]:
    """One CPU thread while a small model computes, and the caller's number again afterwards."""
    before = torch.get_num_threads()
    if sum(p.numel() for p in model.parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
