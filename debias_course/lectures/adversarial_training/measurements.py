"""What lecture 08 measures of adversarial training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import joblib
import torch
from torch import nn

from ... import contexts, data, models
from ...claims import Lesson, above, below, claim, within
from ...data import GroupedData, Splits
from ...evaluation import GroupReport, evaluate
from ...methods import ERM, AdversarialTraining, Method
from ...methods.adversarial_training import robust_evaluate
from ...training import train

ATTACKS: dict[str, dict[str, Any]] = {
    "PGD-40, radius 0.1": dict(radius=0.1, steps=40),
    "PGD-20, radius 0.1": dict(radius=0.1, steps=20),
    "FGSM, radius 0.3": dict(radius=0.3, steps=1, step_size=0.3, random_start=False),
    "PGD-5, radius 0.3": dict(radius=0.3, steps=5),
    "PGD-100, radius 0.3": dict(radius=0.3, steps=100),
}
HARDER = ("FGSM, radius 0.3", "PGD-5, radius 0.3", "PGD-100, radius 0.3")

Network = tuple[Method, Callable[..., Splits], int, Sequence[str], int]  # what `reports_of` takes before the seed
Reports = dict[tuple[str, int], dict[str, GroupReport]]  # (network, seed) -> "clean" or attack -> report


def small(part: GroupedData, *, seed: int = 0) -> models.Classifier:
    """Two convolutions that go in strides of two, and a hidden layer."""
    with contexts.isolated_randomness(seed):
        side, depth = part.inputs.shape[-1] // 4, part.inputs.shape[1]
        layers = [nn.Conv2d(depth, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.ReLU(), nn.Flatten()]
        layers += [nn.Linear(16 * side**2, 64), nn.ReLU()]
        return models.Classifier(nn.Sequential(*layers), nn.Linear(64, part.n_labels))


def grey_digits(seed: int) -> Splits:
    """As many training images of each digit."""
    return data.long_tailed_digits(ratio=1, seed=seed)


def reports_of(
    method: Method, make: Callable[..., Splits], epochs: int, under: Sequence[str], every: int, seed: int
) -> dict[str, GroupReport]:
    """Train a network; its reports on clean test data, and on one of `every` two or four of them under the attacks."""
    parts = make(seed=seed)
    how: dict[str, Any] = dict(epochs=epochs, batch_size=64, lr=5e-3)
    model = train(small(parts.train, seed=seed), parts.train, method, seed=seed, **how).model
    some = parts.test.subset(torch.arange(0, len(parts.test), every))
    return {"clean": evaluate(model, parts.test)} | {a: robust_evaluate(model, some, **ATTACKS[a]) for a in under}


def on_all_cores(networks: Mapping[str, Network], seeds: Sequence[int]) -> Reports:
    """What was measured, by network and seed."""
    keys = [(name, seed) for seed in seeds for name in networks]
    jobs = [joblib.delayed(reports_of)(*networks[name], seed) for name, seed in keys]
    return dict(zip(keys, joblib.Parallel(n_jobs=-1)(jobs)))


def lead(report: GroupReport) -> float:
    """Mean accuracy of the groups whose colour goes along with the class in biased data, minus that of the others."""
    first, second, third, fourth = (share.value for share in report.groups if share)
    return (first + fourth) / 2 - (second + third) / 2


class AdversarialTrainingLesson(Lesson):
    topic = "08_adversarial_training"

    @cached_property
    def grey(self) -> Reports:
        """Ten grey digits, eight epochs, two steps per batch; every second test digit meets the attack."""
        usual = (grey_digits, 8, ("PGD-40, radius 0.1",), 2)
        networks: dict[str, Network] = {
            "plain": (ERM(), *usual),
            "adversarial": (AdversarialTraining(radius=0.1, steps=2), *usual),
        }
        return on_all_cores(networks, self.seeds)

    @claim(
        "L08.1a",
        "Trained on attacked digits, a network keeps an accuracy above 0.85 under PGD-40 at a radius of 0.1",
        holds=above(0.85),
    )
    def attacked_after_adversarial_training(self, seed: int) -> float:
        return self.grey["adversarial", seed]["PGD-40, radius 0.1"].overall.value

    @claim("L08.1b", "Trained plainly it keeps less than 0.5", holds=below(0.50))
    def attacked_after_plain_training(self, seed: int) -> float:
        return self.grey["plain", seed]["PGD-40, radius 0.1"].overall.value

    @claim(
        "B08.2a",
        "Clean accuracy does not pay for it here: it is at most one point below that of plain training",
        holds=above(-0.01),
    )
    def clean_gain(self, seed: int) -> float:
        return self.grey["adversarial", seed]["clean"].overall.value - self.grey["plain", seed]["clean"].overall.value

    @cached_property
    def coloured(self) -> Reports:
        """The coloured digits, with the colour going along with the class or not; a milder attack."""
        tenth, unbiased = AdversarialTraining(radius=0.1, steps=2), partial(data.colored_digits, aligned_share=0.5)
        milder = (8, ("PGD-20, radius 0.1",), 2)
        networks: dict[str, Network] = {
            "plain, biased": (ERM(), data.colored_digits, *milder),
            "adversarial, biased": (tenth, data.colored_digits, *milder),
            "adversarial, unbiased": (tenth, unbiased, *milder),
        }
        return on_all_cores(networks, self.seeds)

    def clean_gain_on_biased_data(self, average: str, seed: int) -> float:
        """Of adversarial over plain training."""
        adversarial, plain = (self.coloured[f"{name}, biased", seed]["clean"] for name in ("adversarial", "plain"))
        return getattr(adversarial, average).value - getattr(plain, average).value

    @claim(
        "B08.2b",
        "On biased data it costs the worst group more than twenty points of clean accuracy against plain training",
        holds=below(-0.20),
    )
    def worst_group_on_biased_data(self, seed: int) -> float:
        return self.clean_gain_on_biased_data("worst_group", seed)

    @claim("B08.2c", "And more than fifteen points of clean accuracy over all groups", holds=below(-0.15))
    def accuracy_on_biased_data(self, seed: int) -> float:
        return self.clean_gain_on_biased_data("overall", seed)

    @claim(
        "B08.2d",
        "Its robust accuracy is for some groups only: those that follow the colour lead by more than seventy points",
        holds=above(0.70),
    )
    def lead_with_bias(self, seed: int) -> float:
        return lead(self.coloured["adversarial, biased", seed]["PGD-20, radius 0.1"])

    @claim(
        "B08.2e",
        "Trained on data without the bias, they lead or lag by less than fifteen points under the same attack",
        holds=within(-0.15, 0.15),
    )
    def lead_without_bias(self, seed: int) -> float:
        return lead(self.coloured["adversarial, unbiased", seed]["PGD-20, radius 0.1"])

    @cached_property
    def single(self) -> Reports:
        """Training with FGSM at a larger radius; and without the ramp, at the full radius at once. Every fourth test
        digit meets the attacks."""
        fgsm = AdversarialTraining(radius=0.3, steps=1, reach=1.0, random_start=False, ramp=0.5)
        networks: dict[str, Network] = {
            "FGSM": (fgsm, grey_digits, 15, HARDER, 4),
            "no ramp": (replace(fgsm, ramp=0.0), grey_digits, 5, (), 4),
        }
        return on_all_cores(networks, self.seeds)

    @cached_property
    def double(self) -> Reports:
        """As `single`, with two steps of PGD and on one seed: only to look at."""
        pgd = AdversarialTraining(radius=0.3, steps=2)
        return on_all_cores({"PGD": (pgd, grey_digits, 8, HARDER, 4)}, self.seeds[:1])

    @claim(
        "B08.2f",
        "A network trained with single steps looks robust: under FGSM its accuracy is above 0.6",
        holds=above(0.60),
    )
    def single_steps_under_fgsm(self, seed: int) -> float:
        return self.single["FGSM", seed]["FGSM, radius 0.3"].overall.value

    @claim("B08.2g", "It is not: under PGD-100 at the same radius it is below 0.3", holds=below(0.30))
    def single_steps_under_pgd(self, seed: int) -> float:
        return self.single["FGSM", seed]["PGD-100, radius 0.3"].overall.value

    @claim(
        "B08.2h",
        "Without the ramp, the clean accuracy after five epochs is below 0.2: one class for all",
        holds=below(0.20),
        trials=1000,  # test samples
    )
    def clean_without_a_ramp(self, seed: int) -> float:
        return self.single["no ramp", seed]["clean"].overall.value
