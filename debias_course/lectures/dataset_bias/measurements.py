"""What lecture 00 measures of plain training on biased data."""

from __future__ import annotations

from functools import cached_property, partial

from ... import data, models
from ...claims import Lesson, above, below, claim, within
from ...evaluation import predict
from ...methods import ERM
from ...study import Study, study
from ...training import train


class DatasetBiasLesson(Lesson):
    topic = "00_dataset_bias"
    quick_seeds = 8

    @cached_property
    def runs(self) -> Study:
        """Each seed repaints the digits, starts the network anew and shuffles the batches."""
        return study({"plain training": ERM()}, data.colored_digits, seeds=self.seeds, epochs=20)

    @claim(
        "L00.1a",
        "Plain training is right on more than nine tenths of data composed like its own",
        holds=above(0.90),
    )
    def train_weighted(self, seed: int) -> float:
        return self.runs.value("plain training", seed, "train_weighted")

    @claim("L00.1b", "It is right on less than six tenths of its worst group", holds=below(0.60))
    def worst_group(self, seed: int) -> float:
        return self.runs.value("plain training", seed, "worst_group")

    @claim(
        "L00.1c",
        "Repainting the digits in the other colour changes more than a quarter of the answers",
        holds=above(0.25),
    )
    def changed_by_repainting(self, seed: int) -> float:
        own, other = (data.colored_digits(test_correlation=share, seed=seed) for share in (1.0, 0.0))
        model = train(models.mlp(own.train, seed=seed), own.train, ERM(), epochs=20, seed=seed).model
        before, after = (predict(model, painted.test).argmax(1) for painted in (own, other))
        return float((before != after).float().mean())

    @claim(
        "B00.2",
        "The highest and the lowest of the four summary numbers of one model are more than three tenths apart",
        holds=above(0.30),
    )
    def spread(self, seed: int) -> float:
        averages = ("overall", "group_balanced", "worst_group", "train_weighted")
        values = [self.runs.value("plain training", seed, average) for average in averages]
        return max(values) - min(values)

    @cached_property
    def by_correlation(self) -> dict[float, Study]:
        """By the correlation in training; at one half the colours say nothing."""
        return {
            share: study(
                {"plain training": ERM()},
                partial(data.colored_digits, correlation=share),
                seeds=self.seeds,
                epochs=20,
                progress=False,
            )
            for share in (0.5, 0.8, 0.9, 0.95, 0.99)
        }

    @claim(
        "B00.3",
        "Without a correlation, the same network is right on more than 85 of 100 samples of every group",
        holds=above(0.85),
    )
    def worst_group_without_correlation(self, seed: int) -> float:
        return self.by_correlation[0.5].value("plain training", seed, "worst_group")

    @claim(
        "B00.4",
        "And then wearing the class's own colour moves the accuracy by less than three points",
        holds=within(-0.03, 0.03),
    )
    def advantage_of_own_color(self, seed: int) -> float:
        groups = self.by_correlation[0.5].report("plain training", seed).groups
        low_orange, low_blue, high_orange, high_blue = (group.value for group in groups if group)
        return (low_orange + high_blue) / 2 - (low_blue + high_orange) / 2

    @claim(
        "B00.5",
        "Between correlations of 80 and 99 in a hundred the worst group loses more than 40 points",
        holds=above(0.40),
    )
    def loss_by_correlation(self, seed: int) -> float:
        at_80, at_99 = (self.by_correlation[share].value("plain training", seed) for share in (0.8, 0.99))
        return at_80 - at_99
