"""What lecture 09 measures of domain-adversarial training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from joblib import Parallel, delayed
from torch import nn

from ... import data, models
from ...claims import Lesson, above, below, claim, within
from ...data import GroupedData, Splits
from ...evaluation import evaluate
from ...methods import DANN, ERM, BatchSampling, Method
from ...methods.dann import fooled, probe
from ...training import train

Rows = dict[tuple[str, int], dict[str, float]]  # (method, seed) -> `shares_right`

ADAPTING = dict(epochs=20, optimizer="sgd", lr=0.05)  # how the two domains are trained on,
COLORING = dict(epochs=20, lr=0.003)  # and the ten colours
TARGET: dict[str, Any] = dict(labelled="first domain", sampling="domains")


def small_mlp(part: GroupedData, *, seed: int = 0) -> nn.Module:
    return models.mlp(part, hidden=(100, 100), seed=seed)


def two_domains(seed: int) -> Splits:
    return data.half_size(data.domain_digits(seed=seed))


def ten_colors(seed: int) -> Splits:
    return data.half_size(data.colored_digits(classes=10, aligned_share=0.95, seed=seed))


def shares_right(
    method: Method,
    make: Callable[[int], Splits],
    network: Callable[..., nn.Module],
    settings: Mapping[str, Any],
    seed: int,
) -> dict[str, float]:
    """Of one run, on test: how often are the label's head (on the last domain, too), the discriminator, the probe
    right?"""
    splits = make(seed)
    run = train(network(splits.train, seed=seed), splits.train, method, seed=seed, **settings)
    last = splits.test.subset(splits.test.attributes == splits.test.n_attributes - 1)
    row = dict(accuracy=evaluate(run.model, splits.test).overall.value, target=evaluate(run.model, last).overall.value)
    row["probe"] = probe(run.model, splits.validation, splits.test).value
    if isinstance(method, DANN):
        row["discriminator"] = fooled(method, run.model, run.state, splits.test).value
    return row


def table(methods: Mapping[str, Method], *how: Any, seeds: Sequence[int]) -> Rows:
    """(method, seed) -> `shares_right`, on all cores."""
    runs = [(name, seed) for name in methods for seed in seeds]
    rows = Parallel(n_jobs=-1)(delayed(shares_right)(methods[name], *how, seed) for name, seed in runs)
    return dict(zip(runs, rows))


def gain(rows: Rows, name: str, other: str, seed: int, what: str = "accuracy") -> float:
    return rows[name, seed][what] - rows[other, seed][what]


class DANNLesson(Lesson):
    topic = "09_dann"

    @cached_property
    def adapted(self) -> Rows:
        """Two domains, labels of the first; stochastic gradient descent and momentum, the last epoch is tested."""
        adaptation = {"source only": DANN(strength=0.0, **TARGET), "DANN": DANN(strength=0.2, **TARGET)}
        return table(adaptation, two_domains, models.cnn, ADAPTING, seeds=self.seeds)

    @claim(
        "L09.1a",
        "A fresh probe reads the domain from the features less often than without the reversal, by more than two "
        "points",
        holds=below(-0.02),
    )
    def probe_lost(self, seed: int) -> float:
        return gain(self.adapted, "DANN", "source only", seed, "probe")

    @claim(
        "L09.1b",
        "On the target domain, whose labels nobody has seen, accuracy rises by more than ten points",
        holds=above(0.10),
    )
    def gain_on_target(self, seed: int) -> float:
        return gain(self.adapted, "DANN", "source only", seed, "target")

    @claim(
        "B09.1c",
        "But the domain is not gone: the probe is still right in more than six of ten cases",
        holds=above(0.6),
    )
    def probe_of_the_domain(self, seed: int) -> float:
        return self.adapted["DANN", seed]["probe"]

    @cached_property
    def runs(self) -> Rows:
        """Ten digits in ten colours, an attribute as the domain; the last epoch is tested."""
        methods = {
            "plain": ERM(),
            "DANN": DANN(),
            "weak DANN": DANN(strength=0.3),
            "conditional DANN": DANN(conditional=True),
            "balanced": BatchSampling(),
            "balanced DANN": DANN(strength=0.5, sampling="groups"),
        }
        return table(methods, ten_colors, small_mlp, COLORING, seeds=self.seeds)

    @claim(
        "B09.2a",
        "The discriminator of balanced DANN names the colour of fewer than four in ten test images",
        holds=below(0.4),
    )
    def discriminator_of_the_colour(self, seed: int) -> float:
        return self.runs["balanced DANN", seed]["discriminator"]

    @claim(
        "B09.2b",
        "A fresh probe on the same features names it for more than six in ten, where chance is one",
        holds=above(0.6),
    )
    def probe_of_the_colour(self, seed: int) -> float:
        return self.runs["balanced DANN", seed]["probe"]

    @claim(
        "B09.2c",
        "Against balanced batches without a reversal, the probe loses less than five points, if any",
        holds=above(-0.05),
    )
    def probe_kept(self, seed: int) -> float:
        return gain(self.runs, "balanced DANN", "balanced", seed, "probe")

    @claim(
        "B09.2d",
        "Balanced batches with a reversal beat plain training by more than eight points on the unbiased test set",
        holds=above(0.08),
    )
    def gain_of_balanced_dann(self, seed: int) -> float:
        return gain(self.runs, "balanced DANN", "plain", seed)

    @claim(
        "B09.2e",
        "But they are within five points of balanced batches without a reversal",
        holds=within(-0.05, 0.05),
    )
    def gain_over_balanced_batches(self, seed: int) -> float:
        return gain(self.runs, "balanced DANN", "balanced", seed)

    @claim(
        "B09.2f",
        "On plain batches, a reversal with λ = 1 costs more than three points against plain training",
        holds=below(-0.03),
    )
    def gain_of_dann(self, seed: int) -> float:
        return gain(self.runs, "DANN", "plain", seed)

    @claim(
        "B09.2g",
        "A discriminator that is told the digit avoids it: more than ten points better at the same λ",
        holds=above(0.10),
    )
    def gain_by_telling_the_digit(self, seed: int) -> float:
        return gain(self.runs, "conditional DANN", "DANN", seed)

    @claim(
        "B09.2h",
        "A weak reversal does the opposite: it gains more than two points over plain training",
        holds=above(0.02),
    )
    def gain_of_weak_dann(self, seed: int) -> float:
        return gain(self.runs, "weak DANN", "plain", seed)
