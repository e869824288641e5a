"""What lecture 01 measures of loss re-weighting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, cast

import pandas as pd
import torch
from torch import Tensor

from ... import data, models
from ...claims import Lesson, above, below, claim, grid, once, table
from ...data import Splits, toys
from ...data.biases import thin
from ...methods import ERM, LossReweighting, Method
from ...study import Study, point, study

LENGTHS = (1, 2, 3, 5, 7, 10, 14, 20, 30, 40, 60, 80, 110, 150)
FEATURES = (30, 100, 300, 1000, 3000)
EACH_LENGTH = (5, 20, 60, 150)


def uneven(*, seed: int, aligned_share: float, keep: float) -> Splits:
    """Coloured digits of which training keeps only a share of the high ones."""
    parts = data.colored_digits(aligned_share=aligned_share, seed=seed)
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
    central = ("L01.1", "L01.2", "L01.3", "B01.1", "B01.5")
    full_seeds = 12

    def epochs(self, network: str = "mlp", longest: int = 150) -> int:
        """The quick budget trains for 20 epochs, a network of convolutions for 60 at most."""
        return min(longest, 60 if network == "cnn" else 150) if self.budget == "full" else 20

    def trained(self, methods: Mapping[str, Method], source: Callable[..., Splits], network: str, epochs: int) -> Study:
        return study(
            methods, source, seeds=self.seeds, model=models.MODELS[network], epochs=epochs, test_every_epoch=True
        )

    @once
    def runs(self, aligned_share: float = 0.95, network: str = "mlp") -> Study:
        source = partial(data.colored_digits, aligned_share=aligned_share)
        return self.trained(plain_and_weighted(), source, network, self.epochs(network))

    def gain(
        self,
        seed: int,
        metric: str,
        epochs: int,
        aligned_share: float = 0.95,
        network: str = "mlp",
        select: str = "last",
    ) -> float:
        found = self.runs(aligned_share, network).at(epochs, select)
        return found.value("by group", seed, metric) - found.value("ERM", seed, metric)

    @claim(
        "L01.1",
        "A larger loss weight for the smaller populations makes the system more robust",
        holds=above(0.0),
        matters=0.05,  # points of the worst group, over plain training
        expected="confirmed where training is short or validation selects the epoch; at the last of 150 epochs no more",
        over=grid(epochs=EACH_LENGTH, network=("mlp",), aligned_share=(0.9, 0.95, 0.99), select=("last",))
        + grid(epochs=EACH_LENGTH, network=("mlp",), aligned_share=(0.95,), select=("validation-worst-group",))
        + grid(epochs=(5, 20, 60), network=("cnn",), aligned_share=(0.95,), select=("last", "validation-worst-group")),
    )
    def gain_by_group(
        self, seed: int, *, epochs: int = 20, network: str = "mlp", aligned_share: float = 0.95, select: str = "last"
    ) -> float:
        return self.gain(seed, "worst_group", epochs, aligned_share, network, select)

    @once
    def shortcut(self, aligned_share: float = 0.95, network: str = "mlp") -> Study:
        """A quarter of the high digits is kept, so that there is something to even out between the classes as well."""
        methods = plain_and_weighted() | {"by label": LossReweighting(by="label")}
        source = partial(uneven, aligned_share=aligned_share, keep=0.25)
        return self.trained(methods, source, network, self.epochs(network, 20 if network == "cnn" else 60))

    @claim(
        "L01.2",
        "Loss re-weighting needs covariate labels",
        holds=above(0.0),
        matters=0.05,  # points of the worst group, of weights by group over weights by label
        expected="confirmed, by less where training is long",
        over=grid(epochs=(5, 20, 60), network=("mlp",), aligned_share=(0.9, 0.95, 0.99))
        + grid(epochs=(5, 20), network=("cnn",), aligned_share=(0.95,)),
    )
    def group_over_label(
        self, seed: int, *, epochs: int = 20, network: str = "mlp", aligned_share: float = 0.95
    ) -> float:
        found = self.shortcut(aligned_share, network).at(epochs)
        return found.value("by group", seed) - found.value("by label", seed)

    @once
    def rare_class(self, kept: float = 0.03, network: str = "mlp") -> Study:
        """The only fault is that of one class a small share is kept; the colours say nothing."""
        methods = {"ERM": ERM(), "by label": LossReweighting(by="label")}
        source = partial(uneven, aligned_share=0.5, keep=kept)
        return self.trained(methods, source, network, self.epochs(network, 20 if network == "cnn" else 60))

    @claim(
        "L01.3",
        "Loss re-weighting is often used for output labels, and works there",
        holds=above(0.0),
        matters=0.05,  # points of the worst class, over plain training
        expected="confirmed while training is short; less and less afterwards",
        over=grid(epochs=(5, 20, 60), network=("mlp",), rare_class_kept=(0.1, 0.03, 0.01))
        + grid(epochs=(5, 20), network=("cnn",), rare_class_kept=(0.03,)),
    )
    def gain_by_label(
        self, seed: int, *, epochs: int = 20, network: str = "mlp", rare_class_kept: float = 0.03
    ) -> float:
        found = self.rare_class(rare_class_kept, network).at(epochs)
        return found.value("by label", seed, "worst_class") - found.value("ERM", seed, "worst_class")

    @claim(
        "B01.1",
        "Weights cost accuracy on data composed like the training data",
        holds=below(0.0),
        matters=0.01,
        expected="only where validation selects the epoch: it stops early, and that is the cost",
        over=grid(epochs=EACH_LENGTH, select=("last", "validation-worst-group")),
    )
    def cost(self, seed: int, *, epochs: int = 20, select: str = "last") -> float:
        return self.gain(seed, "train_weighted", epochs, select=select)

    @claim(
        "B01.2",
        "The lead over plain training fades: it is more than ten points smaller than after five epochs",
        holds=above(0.10),
        expected="confirmed, already after 20 epochs",
        over=grid(epochs=(20, 60, 150)),
    )
    def lead_lost(self, seed: int, *, epochs: int = 20) -> float:
        return self.gain(seed, "worst_group", 5) - self.gain(seed, "worst_group", epochs)

    @cached_property
    def decayed(self) -> Study:
        """With a weight decay of 10: AdamW multiplies the parameters by 0.99 at each step, and so halves them in three
        epochs. PyTorch's default is a thousand times smaller."""
        how: dict[str, Any] = dict(seeds=self.seeds, epochs=self.epochs(), weight_decay=10.0, test_every_epoch=True)
        return study(plain_and_weighted(), data.colored_digits, **how)

    @claim(
        "B01.3",
        "With strong weight decay the weighted worst group is better than without, by more than five points",
        holds=above(0.05),
        expected="only where training is long: from 20 epochs",
        over=grid(epochs=EACH_LENGTH),
    )
    def gain_by_decay(self, seed: int, *, epochs: int = 20) -> float:
        return self.decayed.at(epochs).value("by group", seed) - self.runs().at(epochs).value("by group", seed)

    @claim(
        "B01.7",
        "With strong weight decay the lead over plain training is more than ten points",
        holds=above(0.10),
        expected="confirmed at every length: the decay serves the shortcut in plain training",
        over=grid(epochs=EACH_LENGTH),
    )
    def lead_with_decay(self, seed: int, *, epochs: int = 20) -> float:
        found = self.decayed.at(epochs)
        return found.value("by group", seed) - found.value("ERM", seed)

    @cached_property
    def scaled(self) -> dict[str, Study]:
        """The last of five epochs, under two optimisers."""
        rates = {"sgd": 0.01, "adamw": 1e-3}
        how: dict[str, Any] = dict(seeds=self.seeds, epochs=5)
        return {name: study(scales(), data.colored_digits, optimizer=name, lr=lr, **how) for name, lr in rates.items()}

    @claim(
        "B01.4",
        "Weights that average one over populations instead of samples cost group-balanced accuracy",
        holds=above(0.0),
        matters=0.01,
        expected="only under SGD: there the scale is a learning rate",
        over=grid(optimizer=("sgd", "adamw")),
    )
    def cost_of_scale(self, seed: int, *, optimizer: str = "sgd") -> float:
        metric, found = "group_balanced", self.scaled[optimizer]
        return found.value("over samples", seed, metric) - found.value("over populations", seed, metric)

    @once
    def fit(self, how: str, features: int, seed: int) -> tuple[float, float]:
        """Worst-group test accuracy and training accuracy of a logistic regression, trained until it cannot improve."""
        return fit_random_features(how, features, seed)

    @claim(
        "B01.5",
        "Weights lift the worst group of a logistic regression on random features",
        holds=above(0.0),
        matters=0.05,
        expected="only where the features are too few to fit the training data: 30 and 100",
        over=grid(features=FEATURES),
    )
    def gain_by_weights(self, seed: int, *, features: int = 1000) -> float:
        return self.fit("weighted", features, seed)[0] - self.fit("plain", features, seed)[0]

    @claim(
        "B01.6",
        "Under-sampling lifts the worst group of a logistic regression on random features",
        holds=above(0.0),
        matters=0.05,
        expected="confirmed: it does not need a loss above zero",
        over=grid(features=FEATURES),
    )
    def gain_by_under_sampling(self, seed: int, *, features: int = 1000) -> float:
        return self.fit("under-sampled", features, seed)[0] - self.fit("plain", features, seed)[0]

    @table("T01.1", "The worst group over training length, with and without weights, and without the bias")
    def over_epochs(self) -> pd.DataFrame:
        unbiased = self.runs(0.5).by_epoch(epochs=LENGTHS)
        without = unbiased[unbiased["method"] == "ERM"].assign(method="without the bias")
        return pd.concat([self.runs().by_epoch(epochs=LENGTHS), without])

    @table("T01.2", "The worst group over training length, with and without weights, under a weight decay of 10")
    def over_epochs_decayed(self) -> pd.DataFrame:
        return self.decayed.by_epoch(epochs=LENGTHS)

    @table("T01.3", "The worst group over the number of random features")
    def by_features(self) -> pd.DataFrame:
        """The number of features is in the column `epoch`."""
        rows = []
        for how in ("plain", "weighted", "under-sampled"):
            for n in FEATURES:
                rows.append(point(how, n, [self.fit(how, n, seed)[0] for seed in self.seeds]))
        return pd.DataFrame(rows)
