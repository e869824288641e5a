"""What lecture 08 measures of adversarial training."""

from __future__ import annotations

import pandas as pd
from joblib import delayed

from ...claims import Lesson, above, below, claim, grid, once, table
from ...evaluation import GroupReport
from ...study import in_workers, mean_over_seeds
from .attacked import over_radii, spread, withstood

ADDED = {"attacked and clean images": "added", "attacked images": "replaced"}
STARTS = {"the input": "single steps", "a random point": "random start"}
LENGTHS, SHORT = (2, 6, 20), (2, 6)  # epochs
RADII = (0.0, 0.025, 0.05, 0.1, 0.15, 0.2)


class AdversarialTrainingLesson(Lesson):
    topic = "08_adversarial_training"
    central = ("L08.1", "B08.1", "B08.2", "B08.3")
    full_seeds = 8

    @once
    def runs(self, name: str, on: str, network: str, radius: float, epochs: int) -> dict[int, dict[str, GroupReport]]:
        """By seed and attack, the reports of one training."""
        attacks = ("FGSM", "PGD-40") if on == "grey" else ("PGD-10",)
        calls = [delayed(withstood)(name, on, network, radius, epochs, attacks, seed) for seed in self.seeds]
        return dict(zip(self.seeds, in_workers(calls, what=f"{name}, {on} digits, {network}, {epochs} epochs")))

    def report(
        self, seed: int, epochs: int, attack: str, name: str, on: str, network: str, radius: float = 0.1
    ) -> GroupReport:
        return self.runs(name, on, network, radius, epochs)[seed][attack]

    def worst(self, seed: int, epochs: int, attack: str, name: str, on: str, network: str) -> float:
        return self.report(seed, epochs, attack, name, on, network).worst_group.value

    @claim(
        "L08.1",
        "Adding adversarial examples to training makes the model more robust",
        holds=above(0.0),
        matters=0.05,  # points over plain training: of accuracy under an attack, of the worst group under the bias
        expected="confirmed against attacks, more where clean samples are left out; against the bias no difference",
        over=grid(epochs=LENGTHS, network=("mlp",), trained_on=tuple(ADDED), against=("FGSM", "PGD-40", "the bias"))
        + grid(epochs=SHORT, network=("cnn",), trained_on=tuple(ADDED), against=("PGD-40",))
        + grid(epochs=(6,), network=("cnn",), trained_on=("attacked images",), against=("the bias",)),
    )
    def gain(
        self,
        seed: int,
        *,
        epochs: int = 6,
        network: str = "mlp",
        trained_on: str = "attacked and clean images",
        against: str = "PGD-40",
    ) -> float:
        names = (ADDED[trained_on], "plain")
        if against == "the bias":
            robust, plain = (self.worst(seed, epochs, "clean", name, "0.95", network) for name in names)
        else:
            robust, plain = (self.report(seed, epochs, against, n, "grey", network).overall.value for n in names)
        return robust - plain

    @claim(
        "B08.1",
        "Trained on single steps, a network looks robust and is not: many steps take 20 points more than one",
        holds=above(0.0),
        matters=0.2,  # accuracy under the single step of training, minus that under PGD-40 at the same radius
        expected="confirmed at the larger radius, where steps start from the input; not from a random point",
        over=grid(epochs=LENGTHS, network=("cnn",), start=("the input",), radius=(0.3,))
        + grid(epochs=(6,), network=("cnn",), start=("the input",), radius=(0.1,))
        + grid(epochs=(6, 20), network=("cnn",), start=("a random point",), radius=(0.3,))
        + grid(epochs=LENGTHS, network=("mlp",), start=("the input",), radius=(0.3,)),
    )
    def masked(
        self, seed: int, *, epochs: int = 6, network: str = "cnn", start: str = "the input", radius: float = 0.3
    ) -> float:
        name = STARTS[start]
        one, many = (self.report(seed, epochs, a, name, "grey", network, radius) for a in ("FGSM", "PGD-40"))
        return one.overall.value - many.overall.value

    @claim(
        "B08.2",
        "Balanced batches on top of adversarial training make the worst group better",
        holds=above(0.0),
        matters=0.1,  # points over adversarial training on plain batches
        expected="confirmed on clean digits; under attack less",
        over=grid(epochs=LENGTHS, network=("mlp",), aligned_share=(0.95,), tested=("clean", "under PGD-10"))
        + grid(epochs=(6,), network=("mlp",), aligned_share=(0.9, 0.99), tested=("clean", "under PGD-10"))
        + grid(epochs=(6,), network=("cnn",), aligned_share=(0.95,), tested=("clean", "under PGD-10")),
    )
    def gain_by_balance(
        self, seed: int, *, epochs: int = 6, network: str = "mlp", aligned_share: float = 0.95, tested: str = "clean"
    ) -> float:
        attack, on = tested.removeprefix("under "), f"{aligned_share:g}"
        balanced, not_balanced = (
            self.worst(seed, epochs, attack, name, on, network) for name in ("balanced, replaced", "replaced")
        )
        return balanced - not_balanced

    @claim(
        "B08.3",
        "Where batches are balanced, adversarial training makes the worst group better",
        holds=above(0.0),
        matters=0.02,  # points of the worst group on clean digits, over balanced batches alone
        expected="no difference that matters: the shortcut is no use any more, but robustness costs accuracy",
        over=grid(epochs=LENGTHS, network=("mlp",)) + grid(epochs=(6,), network=("cnn",)),
    )
    def gain_where_balanced(self, seed: int, *, epochs: int = 6, network: str = "mlp") -> float:
        attacked, clean = (
            self.worst(seed, epochs, "clean", name, "0.95", network) for name in ("balanced, replaced", "balanced")
        )
        return attacked - clean

    @claim(
        "B08.4",
        "Adversarial training costs accuracy on clean digits",
        holds=below(0.0),
        matters=0.01,
        expected="confirmed, as in most of the literature",
        over=grid(epochs=LENGTHS, network=("mlp",), trained_on=tuple(ADDED))
        + grid(epochs=SHORT, network=("cnn",), trained_on=tuple(ADDED)),
    )
    def clean_gain(
        self, seed: int, *, epochs: int = 6, network: str = "mlp", trained_on: str = "attacked and clean images"
    ) -> float:
        robust, plain = (
            self.report(seed, epochs, "clean", name, "grey", network) for name in (ADDED[trained_on], "plain")
        )
        return robust.overall.value - plain.overall.value

    @claim(
        "B08.5",
        "Adversarial training makes classes less equal: its best and its worst digit lie further apart on clean images "
        "than those of plain training",
        holds=above(0.0),
        matters=0.02,
        expected="confirmed, as in Xu et al. (2021)",
        over=grid(epochs=LENGTHS, network=("mlp",), trained_on=tuple(ADDED))
        + grid(epochs=SHORT, network=("cnn",), trained_on=tuple(ADDED)),
    )
    def less_equal(
        self, seed: int, *, epochs: int = 6, network: str = "mlp", trained_on: str = "attacked and clean images"
    ) -> float:
        robust, plain = (
            self.report(seed, epochs, "clean", name, "grey", network) for name in (ADDED[trained_on], "plain")
        )
        return spread(robust) - spread(plain)

    @claim(
        "B08.6",
        "At the full radius from the first step on, the MLP gets less than half of the clean digits right",
        holds=below(0.5),
        expected="only at the larger radius, where it begins by saying one digit to all",
        over=grid(epochs=SHORT, radius=(0.1, 0.3)),
        costly=True,
    )
    def clean_without_a_ramp(self, seed: int, *, epochs: int = 6, radius: float = 0.3) -> float:
        return self.report(seed, epochs, "clean", "no ramp", "grey", "mlp", radius).overall.value

    @claim(
        "B08.7",
        "Adversarial training harms the worst group even where the colour says nothing about the class",
        holds=below(0.0),
        matters=0.05,
        expected="refuted: there is no shortcut to hold on to",
        over=grid(epochs=(6, 20)),
        costly=True,
    )
    def gain_without_the_bias(self, seed: int, *, epochs: int = 6) -> float:
        robust, plain = (self.worst(seed, epochs, "clean", name, "0.5", "mlp") for name in ("replaced", "plain"))
        return robust - plain

    @table("T08.1", "Accuracy of grey digits under PGD-10 over the radius of the attack, by the radius in training")
    def radii(self) -> pd.DataFrame:
        rows = []
        for trained in (0.0, 0.05, 0.1, 0.2):
            calls = [delayed(over_radii)(trained, RADII, 6, seed) for seed in self.seeds]
            found = in_workers(calls, what=f"trained at radius {trained:g}")
            for radius, values in zip(RADII, zip(*found)):
                mean = mean_over_seeds(values)
                name = f"trained at radius {trained:g}" if trained else "plain training"
                rows.append(dict(method=name, epoch=radius, value=mean.value, low=mean.low, high=mean.high))
        return pd.DataFrame(rows)

    @table("T08.2", "Accuracy of coloured digits on average by group, of trainings with and without balanced batches")
    def by_group(self) -> pd.DataFrame:
        rows = []
        for shown, name, on in (
            ("plain training", "plain", "0.95"),
            ("adversarial", "replaced", "0.95"),
            ("balanced", "balanced", "0.95"),
            ("balanced, adversarial", "balanced, replaced", "0.95"),
            ("adversarial, no bias", "replaced", "0.5"),
        ):
            for tested in ("clean", "PGD-10"):
                reports = [self.report(seed, LENGTHS[-1], tested, name, on, "mlp") for seed in self.seeds]
                for group, shares in zip(reports[0].group_names, zip(*(each.groups for each in reports))):
                    mean = mean_over_seeds([share.value for share in shares])
                    rows.append(
                        dict(method=shown, tested=tested, group=group, value=mean.value, low=mean.low, high=mean.high)
                    )
        return pd.DataFrame(rows)
