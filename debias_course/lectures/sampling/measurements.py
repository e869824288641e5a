"""What lecture 02 measures of sampling."""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import WeightedRandomSampler

from ... import data
from ...claims import Lesson, above, below, claim, within
from ...methods import ERM, BatchSampling, LossReweighting, Method, OverSampling, UnderSampling
from ...study import Study, study


def distance_from_share(seed: int, sampled: str) -> Tensor:
    """How far each group is from its eight seats, float64 [batches, groups], in the batches of 32 of an epoch: of a
    "weighted" sampler, or else of batch sampling."""
    train = data.colored_digits(seed=seed).train
    if sampled == "weighted":
        chance = (1 / train.counts.double())[train.groups]
        sampler = WeightedRandomSampler(chance.tolist(), 94 * 32, generator=torch.Generator().manual_seed(seed))
        batches = torch.tensor(list(sampler)).split(32)
    else:
        batches = BatchSampling().batches(train, 32, seed=seed, epoch=1)
    counts = torch.stack([torch.bincount(train.groups[batch], minlength=4) for batch in batches])
    return (counts - 8).abs().double()


def move(images: Tensor) -> Tensor:
    """Turn each image by up to 15 degrees, scale it by up to a tenth, shift it by up to a tenth of its width."""
    angle, size, right, down = (torch.rand(4, len(images), device=images.device) * 2 - 1).unbind()
    angle, size = angle * torch.pi / 12, 1 + size / 10
    rows = [angle.cos() * size, -angle.sin() * size, right / 5, angle.sin() * size, angle.cos() * size, down / 5]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def contenders() -> dict[str, Method]:
    return {"ERM": ERM(), "weights": LossReweighting(), "batch sampling": BatchSampling()}


class SamplingLesson(Lesson):
    topic = "02_sampling"

    @cached_property
    def runs(self) -> Study:
        """Of ten epochs, the one with the best worst group on validation is tested."""
        methods = {
            "ERM": ERM(),
            "over-sampling": OverSampling(),
            "under-sampling": UnderSampling(),
            "batch sampling": BatchSampling(),
        }
        return study(methods, data.colored_digits, seeds=self.seeds, epochs=10, select="validation-worst-group")

    @claim(
        "L02.1a",
        "Over-sampling lifts the worst group by more than ten points over plain training",
        holds=above(0.10),
    )
    def gain_by_over_sampling(self, seed: int) -> float:
        return self.runs.value("over-sampling", seed) - self.runs.value("ERM", seed)

    @claim("L02.1b", "Under-sampling lifts it by more than ten points, too", holds=above(0.10))
    def gain_by_under_sampling(self, seed: int) -> float:
        return self.runs.value("under-sampling", seed) - self.runs.value("ERM", seed)

    @claim("L02.1c", "And so does batch sampling", holds=above(0.10))
    def gain_by_batch_sampling(self, seed: int) -> float:
        return self.runs.value("batch sampling", seed) - self.runs.value("ERM", seed)

    @claim(
        "L02.2a",
        "A weighted sampler misses the eight seats of a group by more than one and a half samples on average",
        holds=above(1.5),
    )
    def missed_by_weighted_sampler(self, seed: int) -> float:
        return float(distance_from_share(seed, "weighted").mean())

    @claim("L02.2b", "Batch sampling never misses them", holds=below(0.01), trials=94)  # batches
    def missed_by_batch_sampling(self, seed: int) -> float:
        return float((distance_from_share(seed, "exactly") > 0).any(1).double().mean())

    @cached_property
    def plain(self) -> Study:
        """Without augmentation, to the last of fifteen epochs."""
        return study(contenders(), data.colored_digits, seeds=self.seeds, epochs=15)

    @cached_property
    def augmented(self) -> Study:
        """As `plain`, with images that move."""
        return study(contenders(), data.colored_digits, seeds=self.seeds, epochs=15, augment=move)

    def lead_over_weights(self, result: Study, seed: int) -> float:
        metric = "group_balanced"
        return result.value("batch sampling", seed, metric) - result.value("weights", seed, metric)

    @claim(
        "L02.3a",
        "Without augmentation, batch sampling and weights end within five points of group-balanced accuracy",
        holds=within(-0.05, 0.05),
    )
    def lead_without_augmentation(self, seed: int) -> float:
        return self.lead_over_weights(self.plain, seed)

    @claim(
        "L02.3b",
        "With augmentation, batch sampling ends with the better group-balanced accuracy",
        holds=above(0.0),
    )
    def lead_with_augmentation(self, seed: int) -> float:
        return self.lead_over_weights(self.augmented, seed)

    @claim(
        "B02.5",
        "After as many epochs, plain training with augmentation is more than twenty points worse in its worst group",
        holds=below(-0.20),
    )
    def loss_of_erm_by_augmentation(self, seed: int) -> float:
        return self.augmented.value("ERM", seed) - self.plain.value("ERM", seed)

    @cached_property
    def long(self) -> Study:
        """A subset for each epoch against one for good, to the last of eighty (short) epochs."""
        subsets = {"redrawn": UnderSampling(subset="redrawn"), "fixed": UnderSampling(subset="fixed")}
        return study(subsets, data.colored_digits, seeds=self.seeds, epochs=80)

    @cached_property
    def repeated(self) -> Study:
        """Over-sampling, to the last of twenty epochs."""
        return study({"over-sampling": OverSampling()}, data.colored_digits, seeds=self.seeds, epochs=20)

    @claim(
        "B02.4a",
        "After eighty epochs the fixed subset has the better worst group of the two",
        holds=above(0.0),
    )
    def gain_by_fixed_subset(self, seed: int) -> float:
        return self.long.value("fixed", seed) - self.long.value("redrawn", seed)

    @claim(
        "B02.4b",
        "And it is worse on data composed like the training data, by more than five points",
        holds=below(-0.05),
    )
    def train_weighted_of_fixed_subset(self, seed: int) -> float:
        metric = "train_weighted"
        return self.long.value("fixed", seed, metric) - self.long.value("redrawn", seed, metric)

    @claim(
        "B02.4c",
        "Over-sampling that goes on to epoch 20 has a worse worst group than at the epoch that validation chose of ten",
        holds=below(0.0),
    )
    def gain_by_more_epochs(self, seed: int) -> float:
        return self.repeated.value("over-sampling", seed) - self.runs.value("over-sampling", seed)
