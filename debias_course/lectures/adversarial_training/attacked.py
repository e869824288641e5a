"""What lecture 08 trains and attacks: its networks, data and trainings, and what each of them withstands."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ... import contexts, data, models
from ...data import GroupedData, Splits
from ...evaluation import GroupReport, evaluate
from ...methods import ERM, AdversarialTraining, BatchSampling, Method
from ...methods.adversarial_training import robust_evaluate
from ...training import train

SETTINGS: dict[str, Any] = dict(batch_size=64, lr=2e-3)  # of every training of the lecture


@dataclass(frozen=True, kw_only=True)
class BalancedAdversarialTraining(AdversarialTraining):
    """min_θ (1/G) Σ_g mean over group g of max_{‖δ_i‖ ≤ ε} ℓ(f_θ(x_i + δ_i), y_i): the loss of adversarial training on
    batches that hold as many samples of each group"""

    def batches(self, data: GroupedData, batch_size: int, *, seed: int, epoch: int) -> Sequence[Tensor]:
        return BatchSampling().batches(data, batch_size, seed=seed, epoch=epoch)


def strided(part: GroupedData, *, seed: int = 0) -> models.Classifier:
    """Two convolutions in strides of two and a hidden layer: small, as an attack asks it a hundred times."""
    with contexts.isolated_randomness(seed):
        side, depth = part.inputs.shape[-1] // 4, part.inputs.shape[1]
        layers = [nn.Conv2d(depth, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.ReLU(), nn.Flatten()]
        layers += [nn.Linear(16 * side**2, 64), nn.ReLU()]
        return models.Classifier(nn.Sequential(*layers), nn.Linear(64, part.n_labels))


NETWORKS: dict[str, Callable[..., models.Classifier]] = {"mlp": models.mlp, "cnn": strided}


def grey_digits(seed: int) -> Splits:
    """Ten classes, as many training images of each."""
    return data.long_tailed_digits(ratio=1, seed=seed)


def digits(on: str, seed: int) -> Splits:
    """ "grey", or coloured with an aligned share: "0.95"."""
    return grey_digits(seed) if on == "grey" else data.colored_digits(aligned_share=float(on), seed=seed)


def way(name: str, radius: float) -> Method:
    """A training of the lecture."""
    two, one = (dict[str, Any](radius=radius, steps=steps) for steps in (2, 1))
    return {
        "plain": ERM(),
        "replaced": AdversarialTraining(**two),
        "added": AdversarialTraining(**two, share=0.5),
        "single steps": AdversarialTraining(**one, reach=1.0, random_start=False),
        "random start": AdversarialTraining(**one, reach=1.25),
        "no ramp": AdversarialTraining(**two, ramp=0.0),
        "balanced": BatchSampling(),
        "balanced, replaced": BalancedAdversarialTraining(**two),
    }[name]


def settings_of(attack: str, radius: float) -> dict[str, Any]:
    """What `robust_evaluate` takes."""
    how: dict[str, dict[str, Any]] = {
        "FGSM": dict(steps=1, step_size=radius, random_start=False),
        "PGD-10": dict(steps=10),
        "PGD-40": dict(steps=40, restarts=2),
    }
    return how[attack] | dict(radius=radius)


def fitted(name: str, parts: Splits, network: str, radius: float, epochs: int, seed: int) -> nn.Module:
    """One training. Its radius grows over a part of all epochs, so that each length is a training of its own."""
    start, method = NETWORKS[network](parts.train, seed=seed), way(name, radius)
    with warnings.catch_warnings():  # that a network says the same to all is what is measured
        warnings.filterwarnings("ignore", "the model predicts")
        return train(start, parts.train, method, epochs=epochs, seed=seed, device="cpu", **SETTINGS).model


def withstood(
    name: str, on: str, network: str, radius: float, epochs: int, attacks: Sequence[str], seed: int
) -> dict[str, GroupReport]:
    """What one training withstands, of the same radius in training and test: on all test samples when "clean", and on
    a half of them (with the convolutional network a quarter) under each attack."""
    parts = digits(on, seed)
    model = fitted(name, parts, network, radius, epochs, seed)
    some = parts.test.subset(torch.arange(0, len(parts.test), 4 if network == "cnn" else 2))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the model predicts")
        attacked = {each: robust_evaluate(model, some, **settings_of(each, radius)) for each in attacks}
    return {"clean": evaluate(model, parts.test)} | attacked


def over_radii(trained: float, radii: Sequence[float], epochs: int, seed: int) -> list[float]:
    """The accuracy under PGD-10 at each of the radii, of the MLP trained at the radius `trained` (0: plainly)."""
    parts = grey_digits(seed)
    some = parts.test.subset(torch.arange(0, len(parts.test), 2))
    model = fitted("replaced" if trained else "plain", parts, "mlp", trained, epochs, seed)
    return [robust_evaluate(model, some, **settings_of("PGD-10", radius)).overall.value for radius in radii]


def spread(report: GroupReport) -> float:
    """Accuracy of the best class minus that of the worst; of grey digits a class is a group."""
    shares = [share.value for share in report.groups if share]
    return max(shares) - min(shares)
