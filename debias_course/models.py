"""Small backbones with an explicit split into features and head.

Any `nn.Module` that maps float inputs [B, ...] to logits [B, n_labels] can be trained; methods that look at the
features ask for `model.features` and `model.head`, as every model here has them. A `seed` decides the start, and
nothing else does: two models with one seed are equal, and the global random state is left as it was.
"""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn

from .data import GroupedData

SMALL = 1_000_000  # parameters; below this, a second CPU thread costs more than it gives


class Classifier(nn.Module):
    """logits = head(features(inputs))"""

    def __init__(self, features: nn.Module, head: nn.Module):
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.features(inputs))


def linear(data: GroupedData, *, seed: int = 0) -> Classifier:
    """Logistic regression on the inputs of `data`."""
    with isolated_randomness(seed):
        return Classifier(nn.Flatten(), nn.Linear(data.inputs[0].numel(), data.n_labels))


def mlp(data: GroupedData, *, hidden: tuple[int, ...] = (128,), seed: int = 0) -> Classifier:
    """Fully connected ReLU network; `hidden` gives the width of each layer."""
    with isolated_randomness(seed):
        layers: list[nn.Module] = [nn.Flatten()]
        width = data.inputs[0].numel()
        for size in hidden:
            layers += [nn.Linear(width, size), nn.ReLU()]
            width = size
        return Classifier(nn.Sequential(*layers), nn.Linear(width, data.n_labels))


def cnn(data: GroupedData, *, channels: tuple[int, ...] = (16, 32), seed: int = 0) -> Classifier:
    """3×3 convolutions, each followed by 2×2 max pooling and ReLU, then one hidden layer of 64.

    Channels come last in memory, and the pool comes before the ReLU (the result is the same): a third faster on a CPU.
    """
    if data.inputs.ndim != 4:
        raise ValueError(f"cnn needs images [N, C, H, W], not inputs {tuple(data.inputs.shape)}; use models.mlp")
    if min(data.inputs.shape[2:]) < 2 ** len(channels):
        raise ValueError(f"cnn halves images {len(channels)} times; {tuple(data.inputs.shape[2:])} pixels are too few")
    with isolated_randomness(seed):
        depth, height, width = data.inputs.shape[1:]
        layers: list[nn.Module] = []
        for size in channels:
            layers += [nn.Conv2d(depth, size, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()]
            depth, height, width = size, height // 2, width // 2
        layers += [nn.Flatten(), nn.Linear(depth * height * width, 64), nn.ReLU()]
        model = Classifier(nn.Sequential(*layers), nn.Linear(64, data.n_labels))
        return model.to(memory_format=torch.channels_last)


MODELS = {"mlp": mlp, "cnn": cnn, "linear": linear}


@contextlib.contextmanager
def isolated_randomness(seed: int, device: torch.device | str = "cpu"):
    """Inside, torch's own generators start from `seed`; afterwards they stand where they stood before.

    For the code of others that draws from them: layer initialisation, dropout. Our own code takes a generator. These
    generators belong to the process: two threads must not do this at once.
    """
    kind = torch.device(device).type
    backend = None if kind in ("cpu", "meta") else getattr(torch, kind)
    forked = dict(devices=range(backend.device_count()), device_type=kind) if backend else dict(devices=[])
    with torch.random.fork_rng(**forked):
        torch.default_generator.manual_seed(seed)
        if backend:
            backend.manual_seed_all(seed)
        yield


@contextlib.contextmanager
def evaluating(model: nn.Module):
    """Evaluation mode, and every submodule's own mode again afterwards (a frozen batch norm stays frozen)."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextlib.contextmanager
def threads_for(model: nn.Module):
    """One CPU thread while a small model computes, and the caller's number again afterwards."""
    before = torch.get_num_threads()
    if sum(p.numel() for p in model.parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
