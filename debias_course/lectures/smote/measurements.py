"""What lecture 04 measures of SMOTE."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import cast

import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from ... import data, models
from ...claims import Lesson, above, below, claim, within
from ...data import GroupedData, toys
from ...evaluation import predict
from ...methods import ERM, SMOTE, InputSMOTE, OverSampling
from ...methods.smote import among_others
from ...study import Study, study
from ...training import train


def made(method: SMOTE, seed: int = 0) -> tuple[GroupedData, Tensor]:
    """The enlarged island data, and which of the new samples have a common sample for nearest."""
    given = toys.islands(seed=seed).train
    both = method.enlarge(given, generator=torch.Generator().manual_seed(seed))
    n, points = len(given), cast(Tensor, both.inputs)
    return both, among_others(points[n:], both.labels[n:], cast(Tensor, given.inputs), given.labels)


def share_among_others(method: SMOTE, seed: int) -> float:
    """Of the new samples on the islands, the share that has a common sample for nearest."""
    return float(made(method, seed)[1].double().mean())


def few_shot_by_neighbours(interpolation: str | None, seed: int, space: str = "embedding") -> float:
    """Few-shot accuracy where the five nearest training samples vote, with the new samples among them."""
    parts = data.long_tailed_digits(seed=seed)
    if space == "embedding":
        model = train(models.mlp(parts.train, seed=seed), parts.train, epochs=10, seed=seed).model
        features = model.get_submodule("features")
    else:
        features = torch.nn.Flatten()
    known, asked = (replace(part, inputs=predict(features, part)) for part in (parts.train, parts.test))
    if interpolation:
        known = SMOTE(interpolation=interpolation).enlarge(known, generator=torch.Generator().manual_seed(seed))
    vote = KNeighborsClassifier(5).fit(known.inputs.numpy(), known.labels.numpy())
    right = torch.from_numpy(vote.predict(asked.inputs.numpy())) == asked.labels
    return float(right[(parts.train.counts < 20)[asked.labels]].double().mean())


def too_high(seed: int) -> float:
    """By how much a nearest neighbour's accuracy on held-out digits exceeds that on real test digits, where SMOTE came
    before the split."""
    parts = data.long_tailed_digits(seed=seed)
    both = SMOTE().enlarge(parts.train, generator=torch.Generator().manual_seed(seed))
    order = torch.randperm(len(both), generator=torch.Generator().manual_seed(seed))
    known, held_out = both.subset(order[::2]), both.subset(order[1::2])
    vote = KNeighborsClassifier(1).fit(known.inputs.flatten(1).numpy(), known.labels.numpy())
    real = replace(parts.test, inputs=cast(Tensor, parts.test.inputs) / 255)
    reported, true = (
        (torch.from_numpy(vote.predict(asked.inputs.flatten(1).numpy())) == asked.labels).double().mean()
        for asked in (held_out, real)
    )
    return float(reported - true)


class SMOTELesson(Lesson):
    topic = "04_smote"
    quick_seeds = 8

    @cached_property
    def plain(self) -> Study:
        """Plain training on the long tail."""
        return study({"ERM": ERM()}, data.long_tailed_digits, seeds=self.seeds)

    @cached_property
    def runs(self) -> Study:
        """Twenty epochs for all; two stages are ten plain ones, and ten for a new head on balanced embeddings."""
        methods = {
            "ERM": ERM(),
            "over-sampling": OverSampling(by="label"),
            "SMOTE on pixels": InputSMOTE(),
            "two stages, copies": SMOTE(interpolation="repeat"),
            "two stages, SMOTE": SMOTE(),
            "two stages, averages": SMOTE(interpolation="middle"),
        }
        return study(methods, data.long_tailed_digits, seeds=self.seeds)

    def lead(self, name: str, other: str, seed: int, metric: str = "few_shot") -> float:
        return self.runs.value(name, seed, metric) - self.runs.value(other, seed, metric)

    @claim("L04.1a", "SMOTE on embeddings has a better few-shot accuracy than over-sampling", holds=above(0.0))
    def gain_over_over_sampling(self, seed: int) -> float:
        return self.lead("two stages, SMOTE", "over-sampling", seed)

    @claim(
        "L04.1b",
        "But so have copies of the embeddings: SMOTE is within five points of them",
        holds=within(-0.05, 0.05),
    )
    def gain_over_copies(self, seed: int) -> float:
        return self.lead("two stages, SMOTE", "two stages, copies", seed)

    @claim("B04.1d", "It costs medium-shot accuracy: there, over-sampling is better", holds=below(0.0))
    def loss_of_medium_shot(self, seed: int) -> float:
        return self.lead("two stages, SMOTE", "over-sampling", seed, "medium_shot")

    @claim("B04.1e", "With all labels counting the same, the two end within five points", holds=within(-0.05, 0.05))
    def gain_over_all_labels(self, seed: int) -> float:
        return self.lead("two stages, SMOTE", "over-sampling", seed, "group_balanced")

    @claim(
        "L04.2a",
        "SMOTE on pixels does not beat SMOTE on embeddings by two points of few-shot accuracy",
        holds=below(0.02),
    )
    def gain_of_pixels_over_embeddings(self, seed: int) -> float:
        return self.lead("SMOTE on pixels", "two stages, SMOTE", seed)

    @claim("L04.2b", "And within five points of over-sampling, which copies the images", holds=within(-0.05, 0.05))
    def gain_of_pixels_over_over_sampling(self, seed: int) -> float:
        return self.lead("SMOTE on pixels", "over-sampling", seed)

    @cached_property
    def votes(self) -> dict[tuple[str | None, str], dict[int, float]]:
        """By the kind of new samples and their space, and by seed: few-shot accuracy of the voting neighbours."""
        settings = (
            (None, "embedding"),
            ("repeat", "embedding"),
            ("random", "embedding"),
            ("middle", "embedding"),
            ("random", "pixels"),
        )
        return {
            (kind, space): {seed: few_shot_by_neighbours(kind, seed, space) for seed in self.seeds}
            for kind, space in settings
        }

    @claim("B04.1f", "Voting neighbours gain more than five points of few-shot accuracy from copies", holds=above(0.05))
    def votes_gained_by_copies(self, seed: int) -> float:
        return self.votes["repeat", "embedding"][seed] - self.votes[None, "embedding"][seed]

    @claim("L04.1c", "And more than two points on top of that from SMOTE", holds=above(0.02))
    def votes_gained_by_new_samples(self, seed: int) -> float:
        return self.votes["random", "embedding"][seed] - self.votes["repeat", "embedding"][seed]

    @claim("L04.3", "A random point between two neighbours serves them better than the average", holds=above(0.0))
    def votes_gained_by_random_points(self, seed: int) -> float:
        return self.votes["random", "embedding"][seed] - self.votes["middle", "embedding"][seed]

    @claim(
        "L04.2c",
        "For voting neighbours, pixels are the better space here, by more than three points",
        holds=above(0.03),
    )
    def votes_gained_by_pixels(self, seed: int) -> float:
        return self.votes["random", "pixels"][seed] - self.votes["random", "embedding"][seed]

    @claim(
        "B04.4a",
        "With fifteen neighbours more than a tenth of the new samples land among the others",
        holds=above(0.10),
    )
    def among_others_with_fifteen_neighbours(self, seed: int) -> float:
        return share_among_others(SMOTE(k=15), seed)

    @claim("B04.4b", "With five neighbours fewer than one in twenty do", holds=below(0.05))
    def among_others_with_five_neighbours(self, seed: int) -> float:
        return share_among_others(SMOTE(k=5), seed)

    @claim(
        "B04.4c",
        "And fewer than one in ten with nine neighbours, if each island is a population",
        holds=below(0.10),
    )
    def among_others_by_island(self, seed: int) -> float:
        return share_among_others(SMOTE(k=9, by="group"), seed)

    @claim(
        "B04.4d",
        "With SMOTE before the split, the reported accuracy is more than ten points too high",
        holds=above(0.10),
    )
    def excess_of_the_reported_accuracy(self, seed: int) -> float:
        return too_high(seed)
