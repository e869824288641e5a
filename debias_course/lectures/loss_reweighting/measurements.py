"""What lecture 01 measures of loss re-weighting."""

from __future__ import annotations

from functools import cached_property, partial
from typing import cast

import torch
from torch import Tensor

from ... import data
from ...claims import Lesson, above, below, claim, within
from ...data import Splits, toys
from ...data.biases import thin
from ...methods import ERM, EffectiveNumberWeighting, LossReweighting, Method
from ...study import Study, study


def uneven(*, seed: int, correlation: float, keep: float) -> Splits:
    """Coloured digits of which training keeps only a share of the high ones."""
    parts = data.colored_digits(correlation=correlation, seed=seed)
    return parts._replace(train=thin(parts.train, (1.0, keep), seed=seed))


def scales() -> dict[str, Method]:
    """The same weights, with a mean of one over samples or over populations."""
    return {
        "over samples": LossReweighting(normalize="samples"),
        "over populations": LossReweighting(normalize="populations"),
    }


def plain_and_weighted() -> dict[str, Method]:
    return {"ERM": ERM(), "by group": LossReweighting(by="group")}


def fit_random_features(how: str, features: int, seed: int) -> tuple[float, float]:
    """Worst-group test accuracy and training accuracy of a logistic regression on so many random features (Sagawa et
    al. 2020b). How: "plain", "weighted" by group, or "under-sampled" to the size of the smallest group."""
    from sklearn.linear_model import LogisticRegression

    parts = toys.core_and_spurious(seed=seed)
    projection = torch.randn(200, features, generator=torch.Generator().manual_seed(seed))
    projection /= projection.norm(dim=0)
    seen, unseen = (torch.relu(cast(Tensor, part.inputs) @ projection).numpy() for part in (parts.train, parts.test))
    rows = torch.arange(len(parts.train))
    if how == "under-sampled":
        smallest = int(parts.train.counts.min())
        rows = torch.cat([(parts.train.groups == g).nonzero().flatten()[:smallest] for g in range(4)])
    weight = LossReweighting().weights(parts.train)[parts.train.groups] if how == "weighted" else torch.ones(3000)
    fit = LogisticRegression(C=1e9 / len(rows), fit_intercept=False, max_iter=1000)
    fit.fit(seen[rows], parts.train.labels[rows].numpy(), sample_weight=weight[rows].numpy())
    right = torch.from_numpy(fit.predict(unseen)) == parts.test.labels
    worst_group = min(right[parts.test.groups == g].float().mean().item() for g in range(4))
    return worst_group, fit.score(seen[rows], parts.train.labels[rows].numpy())


class LossReweightingLesson(Lesson):
    topic = "01_loss_reweighting"

    @cached_property
    def runs(self) -> Study:
        """Of twenty epochs, the one with the best worst group on validation is tested."""
        methods = {
            "ERM": ERM(),
            "by group": LossReweighting(by="group"),
            "square root": LossReweighting(by="group", power=0.5),
            "effective number": EffectiveNumberWeighting(by="group", beta=0.999),
        }
        return study(methods, data.colored_digits, seeds=self.seeds, epochs=20, select="validation-worst-group")

    @claim(
        "L01.1a",
        "Weighting by group lifts the worst group by more than ten points over plain training",
        holds=above(0.10),
    )
    def gain_by_group(self, seed: int) -> float:
        return self.runs.value("by group", seed) - self.runs.value("ERM", seed)

    @claim("L01.1b", "On data composed like the training data it is worse than plain training", holds=below(0.0))
    def train_weighted_over_erm(self, seed: int) -> float:
        metric = "train_weighted"
        return self.runs.value("by group", seed, metric) - self.runs.value("ERM", seed, metric)

    @claim(
        "B01.4a",
        "The worst group under the square root stands between plain training and the inverse frequency",
        holds=above(0.0),
    )
    def square_root_between(self, seed: int) -> float:
        return min(
            self.runs.value("by group", seed) - self.runs.value("square root", seed),
            self.runs.value("square root", seed) - self.runs.value("ERM", seed),
        )

    @cached_property
    def shortcut(self) -> Study:
        """A quarter of the high digits is kept, so that there is something to even out between the classes as well."""
        return study(
            {"ERM": ERM(), "by label": LossReweighting(by="label"), "by group": LossReweighting(by="group")},
            partial(uneven, correlation=0.95, keep=0.25),
            seeds=self.seeds,
            epochs=10,
            select="validation-worst-group",
        )

    @cached_property
    def rare_class(self) -> Study:
        """The only fault is that one class is rare; the colours say nothing."""
        return study(
            {"ERM": ERM(), "by label": LossReweighting(by="label")},
            partial(uneven, correlation=0.5, keep=0.03),
            seeds=self.seeds,
            epochs=10,
            select="validation-worst-class",
        )

    @claim(
        "L01.2a",
        "Against a shortcut, weighting by label stays more than ten points behind weighting by group",
        holds=below(-0.10),
    )
    def label_over_group(self, seed: int) -> float:
        return self.shortcut.value("by label", seed) - self.shortcut.value("by group", seed)

    @claim(
        "L01.2b",
        "Against a rare class, weighting by label lifts the worst class by more than twenty points",
        holds=above(0.20),
    )
    def gain_by_label(self, seed: int) -> float:
        metric = "worst_class"
        return self.rare_class.value("by label", seed, metric) - self.rare_class.value("ERM", seed, metric)

    @cached_property
    def with_sgd(self) -> Study:
        """The last of five epochs is tested."""
        return study(scales(), data.colored_digits, seeds=self.seeds, epochs=5, optimizer="sgd", lr=0.01)

    @cached_property
    def with_adam(self) -> Study:
        """As `with_sgd`, with the optimiser of all other runs."""
        return study(scales(), data.colored_digits, seeds=self.seeds, epochs=5, optimizer="adamw")

    def cost_of_scale(self, result: Study, seed: int) -> float:
        metric = "group_balanced"
        return result.value("over samples", seed, metric) - result.value("over populations", seed, metric)

    @claim(
        "B01.4b",
        "Under SGD the smaller scale costs group-balanced accuracy after five epochs",
        holds=above(0.01),
    )
    def cost_with_sgd(self, seed: int) -> float:
        return self.cost_of_scale(self.with_sgd, seed)

    @claim("B01.4c", "Under AdamW it moves that accuracy by less than one point", holds=within(-0.01, 0.01))
    def cost_with_adam(self, seed: int) -> float:
        return self.cost_of_scale(self.with_adam, seed)

    @cached_property
    def short(self) -> Study:
        """The last of five epochs is tested."""
        return study(plain_and_weighted(), data.colored_digits, seeds=self.seeds, epochs=5)

    @cached_property
    def long(self) -> Study:
        """As `short`, with thirty epochs."""
        return study(plain_and_weighted(), data.colored_digits, seeds=self.seeds, epochs=30)

    @cached_property
    def decayed(self) -> Study:
        """As `long`, with a weight decay of 10: AdamW multiplies the parameters by 0.99 at each step."""
        return study(plain_and_weighted(), data.colored_digits, seeds=self.seeds, epochs=30, weight_decay=10.0)

    @claim(
        "B01.3a",
        "Between epoch 5 and epoch 30 the lead over plain training shrinks by more than ten points",
        holds=above(0.10),
    )
    def lead_lost(self, seed: int) -> float:
        early, late = (each.value("by group", seed) - each.value("ERM", seed) for each in (self.short, self.long))
        return early - late

    @claim(
        "B01.3b",
        "After 30 epochs, weighted training has a better worst group with strong weight decay than without",
        holds=above(0.0),
    )
    def gain_by_decay(self, seed: int) -> float:
        return self.decayed.value("by group", seed) - self.long.value("by group", seed)

    @claim(
        "B01.3f",
        "The same decay costs plain training more than ten points in its worst group",
        holds=below(-0.10),
    )
    def loss_of_erm_by_decay(self, seed: int) -> float:
        return self.decayed.value("ERM", seed) - self.long.value("ERM", seed)

    @cached_property
    def fits(self) -> dict[tuple[str, int, int], tuple[float, float]]:
        """By how, features and seed: worst-group test accuracy and training accuracy. A hundred features cannot fit all
        3,000 training samples; a thousand can."""
        ways = [("plain", 100), ("weighted", 100), ("plain", 1000), ("weighted", 1000), ("under-sampled", 1000)]
        return {
            (how, features, seed): fit_random_features(how, features, seed)
            for how, features in ways
            for seed in self.seeds
        }

    def lowest_training_accuracy(self, features: int) -> float:
        return min(accuracy for (_, n, _), (_, accuracy) in self.fits.items() if n == features)

    def gain_over_plain_fit(self, how: str, features: int, seed: int) -> float:
        return self.fits[how, features, seed][0] - self.fits["plain", features, seed][0]

    @claim(
        "B01.3c",
        "With a hundred features, weighting lifts the worst group by more than ten points",
        holds=above(0.10),
    )
    def gain_with_100_features(self, seed: int) -> float:
        return self.gain_over_plain_fit("weighted", 100, seed)

    @claim(
        "B01.3d",
        "With a thousand features, weighting moves it by less than eight points",
        holds=within(-0.08, 0.08),
    )
    def gain_with_1000_features(self, seed: int) -> float:
        return self.gain_over_plain_fit("weighted", 1000, seed)

    @claim("B01.3e", "And there under-sampling lifts it by more than fifteen points", holds=above(0.15))
    def gain_by_under_sampling(self, seed: int) -> float:
        return self.gain_over_plain_fit("under-sampled", 1000, seed)
