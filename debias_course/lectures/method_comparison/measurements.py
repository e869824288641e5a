"""What lecture 10 measures of all methods, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from ... import data, models
from ...claims import Lesson, above, below, claim, within
from ...comparison import Comparison, compare
from ...data import Splits
from ...methods import (
    DANN,
    ERM,
    SMOTE,
    AdversarialTraining,
    BatchSampling,
    GroupDRO,
    HardMining,
    LossReweighting,
    Method,
    OccamNets,
    OverSampling,
    SpectralDecoupling,
    UnderSampling,
)
from ...study import Study, study

CORRELATIONS, WRONG_LABELS = (0.90, 0.95, 0.98, 0.995), (0.0, 0.1, 0.2)
ONCE: dict[str, Any] = dict(epochs=10, select="validation-worst-group")  # with the defaults, without a search


def four_groups(seed: int, aligned_share: float = 0.95, wrong: float = 0.0) -> Splits:
    """Digits below five or not, in two colours; `wrong` is the share of training labels that are wrong."""
    splits = data.half_size(data.colored_digits(aligned_share=aligned_share, seed=seed))
    return splits._replace(train=data.mislabel(splits.train, wrong, seed=seed)) if wrong else splits


def textures(seed: int) -> Splits:
    return data.half_size(data.textured_digits(seed=seed))


def long_tail(seed: int) -> Splits:
    return data.half_size(data.long_tailed_digits(seed=seed))


BY_MEAN: dict[str, Any] = dict(select="validation-mean", metric="group_balanced")
RULES: dict[Callable[..., Splits], dict[str, Any]] = {
    four_groups: dict(select="validation-worst-group", metric="worst_group"),
    textures: BY_MEAN,
    long_tail: BY_MEAN,
}


def balancing() -> dict[str, Method]:
    """Those that balance groups."""
    return {
        "re-weighting": LossReweighting(),
        "over-sampling": OverSampling(),
        "under-sampling": UnderSampling(),
        "balanced batches": BatchSampling(),
        "Group DRO": GroupDRO(),
    }


def others() -> dict[str, Method]:
    return {
        "plain": ERM(),
        "hard mining": HardMining(),
        "SMOTE": SMOTE(warm_up=5),  # by default it waits ten epochs
        "spectral decoupling": SpectralDecoupling(),
        "adversarial training": AdversarialTraining(),
        "DANN": DANN(),
    }


def unaided() -> list[str]:
    """Of the others, those that need no group or domain in training."""
    return [name for name, each in others().items() if name != "plain" and each.needs != "attribute labels"]


def eleven() -> dict[str, Method]:
    return others() | balancing()


def three() -> dict[str, Method]:
    return {"plain": ERM(), "hard mining": HardMining(), "re-weighting": LossReweighting()}


def side_by_side(methods: Mapping[str, Method], seeds: Sequence[int], **how: Any) -> dict[Any, Comparison]:
    """All methods on each of the three data sets; a method that cannot work on one is left out there."""
    run = partial(compare, methods, seeds=seeds, baseline="plain", leave_out=True, **how)
    return {source: run(data=source, **rule) for source, rule in RULES.items()}


def gain(where: Comparison, name: str, seed: int) -> float:
    """Over plain training, in the data set's own metric."""
    return where.study.value(name, seed, where.metric) - where.study.value("plain", seed, where.metric)


def mean_gain(where: Comparison, seed: int) -> float:
    """Of those that balance groups."""
    return sum(gain(where, name, seed) for name in balancing()) / len(balancing())


def favourite(where: Comparison, names: Iterable[str]) -> str:
    """The one whose best setting the search liked most, on validation."""
    return max(names, key=lambda name: where.chosen[name].score)


def ahead(runs: Study, seed: int, name: str = "re-weighting") -> float:
    return runs.value(name, seed) - runs.value("plain", seed)


class MethodComparisonLesson(Lesson):
    topic = "10_method_comparison"

    @cached_property
    def both(self) -> Study:
        """Two methods with four groups, that a student might compare with one run each."""
        return study({"hard mining": HardMining(), "DANN": DANN()}, four_groups, seeds=self.seeds, **ONCE)

    @cached_property
    def found(self) -> dict[Any, Comparison]:
        """Eleven methods on three data sets: a network of one hidden layer, ten epochs, two settings each."""
        return side_by_side(eleven(), self.seeds, trials=2, epochs=10)

    @claim(
        "B10.1a",
        "With four groups, each of the five that balance them beats plain training by more than ten points",
        holds=above(0.10),
    )
    def least_gain_by_balancing(self, seed: int) -> float:
        return min(gain(self.found[four_groups], name, seed) for name in balancing())

    @claim(
        "B10.1b",
        "The favourite of the search among the five is within five points of their mean",
        holds=within(-0.05, 0.05),
    )
    def favourite_over_mean(self, seed: int) -> float:
        four = self.found[four_groups]
        return gain(four, favourite(four, balancing()), seed) - mean_gain(four, seed)

    @claim(
        "B10.1c",
        "The favourite among those that need no group or domain in training stays more than fifteen points behind that "
        "mean",
        holds=above(0.15),
    )
    def mean_over_unaided(self, seed: int) -> float:
        four = self.found[four_groups]
        return mean_gain(four, seed) - gain(four, favourite(four, unaided()), seed)

    @claim(
        "B10.2a",
        "Under-sampling is within eight points of re-weighting with four groups",
        holds=within(-0.08, 0.08),
    )
    def under_sampling_over_re_weighting(self, seed: int) -> float:
        four = self.found[four_groups]
        return gain(four, "under-sampling", seed) - gain(four, "re-weighting", seed)

    @claim(
        "B10.2b",
        "With a hundred groups it is more than ten points worse than plain training",
        holds=below(-0.10),
    )
    def under_sampling_with_a_hundred_groups(self, seed: int) -> float:
        return gain(self.found[textures], "under-sampling", seed)

    @claim(
        "B10.2c",
        "On the long tail, hard mining beats plain training by more than five points",
        holds=above(0.05),
    )
    def hard_mining_on_the_long_tail(self, seed: int) -> float:
        return gain(self.found[long_tail], "hard mining", seed)

    @claim("B10.2d", "With a hundred groups it is more than ten points worse", holds=below(-0.10))
    def hard_mining_with_a_hundred_groups(self, seed: int) -> float:
        return gain(self.found[textures], "hard mining", seed)

    @claim("B10.2e", "Over-sampling beats plain training on all three", holds=above(0.0))
    def least_gain_by_over_sampling(self, seed: int) -> float:
        return min(gain(where, "over-sampling", seed) for where in self.found.values())

    @cached_property
    def untuned(self) -> Study:
        """Plain training on the long tail with the one setting that somebody has chosen beforehand."""
        return study({"plain": ERM()}, long_tail, seeds=self.seeds, epochs=10, select="validation-mean")

    @claim(
        "B10.3a",
        "On the long tail, one more trial lifts plain training by more than five points",
        holds=above(0.05),
    )
    def gain_by_one_more_trial(self, seed: int) -> float:
        tail = self.found[long_tail]
        return tail.study.value("plain", seed, tail.metric) - self.untuned.value("plain", seed, tail.metric)

    @cached_property
    def deep(self) -> dict[Any, Comparison]:
        """Convolutions, fifteen epochs, a larger learning rate, four settings each, and the OccamNet, too: a quarter of
        an hour."""
        twelve = others() | {"OccamNet": OccamNets(live_epochs=5)} | balancing()
        return side_by_side(twelve, self.seeds, model=models.staged, trials=4, epochs=15, lr=3e-3)

    @claim(
        "B10.5a",
        "With four groups, convolutions and the longer search are worth more than fifteen points to plain training",
        holds=above(0.15),
        costly=True,
    )
    def plain_training_with_convolutions(self, seed: int) -> float:
        deep, four = self.deep[four_groups].study, self.found[four_groups].study
        return deep.value("plain", seed) - four.value("plain", seed)

    @claim(
        "B10.5b",
        "The mean gain of the five that balance groups is smaller there, by more than ten points",
        holds=below(-0.10),
        costly=True,
    )
    def mean_gain_with_convolutions(self, seed: int) -> float:
        return mean_gain(self.deep[four_groups], seed) - mean_gain(self.found[four_groups], seed)

    @claim(
        "B10.5c",
        "With a hundred groups, re-weighting gains more than ten points there",
        holds=above(0.10),
        costly=True,
    )
    def re_weighting_with_convolutions(self, seed: int) -> float:
        return gain(self.deep[textures], "re-weighting", seed)

    @claim(
        "B10.5d",
        "On the long tail, the lead that hard mining had is gone there: less than five points, if any",
        holds=below(0.05),
        costly=True,
    )
    def hard_mining_with_convolutions(self, seed: int) -> float:
        return gain(self.deep[long_tail], "hard mining", seed)

    @claim(
        "B10.5e",
        "Averaged over the three, the OccamNet gains less than ten points, if any",
        holds=below(0.10),
        costly=True,
    )
    def mean_gain_of_the_occam_net(self, seed: int) -> float:
        return sum(gain(each, "OccamNet", seed) for each in self.deep.values()) / len(self.deep)

    @cached_property
    def stronger(self) -> dict[float, Study]:
        """By correlation in training: three methods with four groups."""
        with_correlation = {c: partial(four_groups, aligned_share=c) for c in CORRELATIONS}
        return {c: study(three(), make, seeds=self.seeds, **ONCE) for c, make in with_correlation.items()}

    @cached_property
    def noisier(self) -> dict[float, Study]:
        """By share of wrong labels in training."""
        with_wrong = {w: partial(four_groups, wrong=w) for w in WRONG_LABELS}
        return {w: study(three(), make, seeds=self.seeds, **ONCE) for w, make in with_wrong.items()}

    @claim(
        "B10.4a",
        "The lead of re-weighting is larger at a correlation of 98 in a hundred than at 90, by more than ten points",
        holds=above(0.10),
    )
    def lead_by_a_stronger_bias(self, seed: int) -> float:
        return ahead(self.stronger[0.98], seed) - ahead(self.stronger[0.90], seed)

    @claim(
        "B10.4b",
        "From there to 995 in a thousand, its worst group loses more than twenty points",
        holds=above(0.20),
    )
    def loss_by_an_extreme_bias(self, seed: int) -> float:
        return self.stronger[0.98].value("re-weighting", seed) - self.stronger[0.995].value("re-weighting", seed)

    @claim(
        "B10.4c",
        "With a tenth of the labels wrong it leads by more than twenty points",
        holds=above(0.20),
    )
    def lead_with_wrong_labels(self, seed: int) -> float:
        return ahead(self.noisier[0.1], seed)

    @claim(
        "B10.4d",
        "With wrong labels, hard mining has a lead over plain training of more than ten points",
        holds=above(0.10),
    )
    def hard_mining_with_wrong_labels(self, seed: int) -> float:
        return ahead(self.noisier[0.2], seed, "hard mining")
