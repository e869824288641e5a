"""What lecture 02 measures of sampling."""

from __future__ import annotations

from functools import partial

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from ... import data, models
from ...claims import Lesson, above, below, claim, grid, once, table, within
from ...methods import ERM, BatchSampling, LossReweighting, Method, OverSampling, UnderSampling
from ...study import Study, study

LENGTHS = (1, 2, 3, 5, 7, 10, 14, 20, 30, 40, 60, 80, 110, 150)
EACH_LENGTH = (5, 20, 60, 150)


def steps(name: str, aligned_share: float) -> int:
    """Of an epoch in batches of 128; plain training takes 24."""
    return 3 if "subset" in name else {0.95: 45, 0.99: 47}[aligned_share]


def missed_seats(method: Method, batch_size: int, seed: int) -> float:
    """How far a group is from its quarter of a batch, as a mean over groups and batches of an epoch, in samples."""
    train = data.colored_digits(seed=seed).train
    batches = list(method.batches(train, batch_size, seed=seed, epoch=1))
    counts = torch.stack([torch.bincount(train.groups[batch], minlength=4) for batch in batches]).double()
    return float((counts - counts.sum(1, keepdim=True) / 4).abs().mean())


def move(images: Tensor) -> Tensor:
    """Turn each image by up to 15 degrees, scale it by up to a tenth, shift it by up to a tenth of its width."""
    angle, size, right, down = (torch.rand(4, len(images), device=images.device) * 2 - 1).unbind()
    angle, size = angle * torch.pi / 12, 1 + size / 10
    rows = [angle.cos() * size, -angle.sin() * size, right / 5, angle.sin() * size, angle.cos() * size, down / 5]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


class SamplingLesson(Lesson):
    topic = "02_sampling"
    central = ("L02.1", "L02.2", "L02.3", "L02.4", "L02.5")
    full_seeds = 8

    def epochs(self, network: str = "mlp") -> int:
        """The quick budget trains for 20 epochs, and so does a network of convolutions."""
        return 150 if self.budget == "full" and network == "mlp" else 20

    @once
    def runs(self, network: str = "mlp", augmented: bool = False) -> Study:
        """Plain training, weights and batch sampling, which take as many steps in an epoch."""
        return study(
            {"ERM": ERM(), "weights": LossReweighting(), "batch sampling": BatchSampling()},
            data.colored_digits,
            seeds=self.seeds,
            model=models.MODELS[network],
            epochs=self.epochs(network),
            augment=move if augmented else None,
            test_every_epoch=True,
        )

    @once
    def plainly(self, augmented: bool = False, aligned_share: float = 0.95) -> Study:
        """Plain training alone, on a weaker or a stronger bias."""
        return study(
            {"ERM": ERM()},
            partial(data.colored_digits, aligned_share=aligned_share),
            seeds=self.seeds,
            epochs=self.epochs(),
            augment=move if augmented else None,
            test_every_epoch=True,
        )

    @once
    def sampled(self, name: str, network: str = "mlp", aligned_share: float = 0.95) -> Study:
        """A sampler for as many gradient steps as so many epochs of plain training take, or a little fewer, as its own
        epochs are whole; under-sampling, whose epochs are short, for 60 of them at most."""
        plain = min(self.epochs(network), 60) if "subset" in name else self.epochs(network)
        samplers: dict[str, Method] = {
            "over-sampling": OverSampling(),
            "redrawn subset": UnderSampling(subset="redrawn"),
            "fixed subset": UnderSampling(subset="fixed"),
        }
        return study(
            {name: samplers[name]},
            partial(data.colored_digits, aligned_share=aligned_share),
            seeds=self.seeds,
            model=models.MODELS[network],
            epochs=plain * 24 // steps(name, aligned_share),
            test_every_epoch=True,
        )

    def after(self, name: str, epochs: int, network: str = "mlp", aligned_share: float = 0.95) -> Study:
        """The study of a sampler after the steps of so many epochs of plain training."""
        return self.sampled(name, network, aligned_share).at(epochs * 24 // steps(name, aligned_share))

    def gain(self, seed: int, name: str, metric: str, epochs: int, network: str, aligned_share: float = 0.95) -> float:
        """Over plain training of so many epochs."""
        plain = self.runs(network) if aligned_share == 0.95 else self.plainly(aligned_share=aligned_share)
        found = self.after(name, epochs, network, aligned_share)
        return found.value(name, seed, metric) - plain.at(epochs).value("ERM", seed, metric)

    @claim(
        "L02.1",
        "Over-sampling the smaller population lets the model see it more often, and it is learned better",
        holds=above(0.0),
        matters=0.05,  # points of the worst group, over plain training of as many gradient steps
        expected="confirmed up to 60 epochs; at 150 no more",
        over=grid(epochs=EACH_LENGTH, network=("mlp",), aligned_share=(0.95, 0.99))
        + grid(epochs=(5, 20), network=("cnn",), aligned_share=(0.95,)),
    )
    def gain_by_over_sampling(
        self, seed: int, *, epochs: int = 20, network: str = "mlp", aligned_share: float = 0.95
    ) -> float:
        return self.gain(seed, "over-sampling", "worst_group", epochs, network, aligned_share)

    @claim(
        "L02.2",
        "Under-sampling the larger population lets the model see the smaller one more often, and it is learned better",
        holds=above(0.0),
        matters=0.05,
        expected="confirmed, with a smaller lead where training is long",
        over=grid(epochs=(5, 20, 60), network=("mlp",), sampler=("redrawn subset", "fixed subset"))
        + grid(epochs=(5,), network=("cnn",), sampler=("redrawn subset",)),
    )
    def gain_by_under_sampling(
        self, seed: int, *, epochs: int = 20, network: str = "mlp", sampler: str = "redrawn subset"
    ) -> float:
        return self.gain(seed, sampler, "worst_group", epochs, network)

    @claim(
        "B02.1",
        "Under-sampling costs accuracy on data composed like the training data",
        holds=below(0.0),
        matters=0.01,
        expected="confirmed: most common samples are not seen often",
        over=grid(epochs=(5, 20, 60), sampler=("redrawn subset", "fixed subset")),
    )
    def cost_of_under_sampling(self, seed: int, *, epochs: int = 20, sampler: str = "redrawn subset") -> float:
        return self.gain(seed, sampler, "train_weighted", epochs, "mlp")

    def lead(self, seed: int, epochs: int, network: str, select: str, augmented: bool) -> float:
        """Of batch sampling over weights, which take the same number of steps, in the worst group."""
        found = self.runs(network, augmented).at(epochs, select)
        return found.value("batch sampling", seed) - found.value("weights", seed)

    @claim(
        "L02.3",
        "Sampling is to be preferred to weighting the loss",
        holds=above(0.0),
        matters=0.02,  # points of the worst group
        expected="refuted: without augmentation no difference that matters",
        over=grid(epochs=EACH_LENGTH, network=("mlp",), sampler=("batch sampling", "over-sampling"), select=("last",))
        + grid(epochs=(5, 20, 60), network=("mlp",), sampler=("redrawn subset", "fixed subset"), select=("last",))
        + grid(epochs=(5, 20), network=("mlp",), sampler=("batch sampling",), select=("validation-worst-group",))
        + grid(
            epochs=(5, 20), network=("cnn",), sampler=("batch sampling",), select=("last", "validation-worst-group")
        ),
    )
    def lead_over_weights(
        self,
        seed: int,
        *,
        epochs: int = 20,
        network: str = "mlp",
        sampler: str = "batch sampling",
        select: str = "last",
    ) -> float:
        if sampler == "batch sampling":
            return self.lead(seed, epochs, network, select, augmented=False)
        weights = self.runs(network).at(epochs).value("weights", seed)
        return self.after(sampler, epochs, network).value(sampler, seed) - weights

    @claim(
        "L02.4",
        "Sampling is to be preferred to weighting above all in vision, where samples are augmented",
        holds=above(0.0),
        matters=0.02,
        expected="only where training is short: up to 60 epochs",
        over=grid(epochs=EACH_LENGTH, network=("mlp",), select=("last", "validation-worst-group"))
        + grid(epochs=(5, 20), network=("cnn",), select=("last",)),
    )
    def lead_with_augmentation(
        self, seed: int, *, epochs: int = 20, network: str = "mlp", select: str = "last"
    ) -> float:
        return self.lead(seed, epochs, network, select, augmented=True)

    @claim(
        "B02.6",
        "The lead of batch sampling over weights is larger with augmentation than without",
        holds=above(0.0),
        matters=0.02,
        expected="only where training is short: at 5 and 20 epochs",
        over=grid(epochs=EACH_LENGTH),
    )
    def more_with_augmentation(self, seed: int, *, epochs: int = 20) -> float:
        with_it, without = (self.lead(seed, epochs, "mlp", "last", augmented) for augmented in (True, False))
        return with_it - without

    @claim(
        "L02.5",
        "Balancing each batch makes rare populations present at the wanted frequency, and balancing each epoch does so "
        "on average only",
        holds=above(0.0),
        matters=0.5,  # samples by which an epoch-level batch misses a group's share more than a batch-level one
        expected="confirmed, the more so the larger the batch",
        over=grid(batch_size=(16, 32, 128)),
    )
    def missed_more(self, seed: int, *, batch_size: int = 32) -> float:
        return missed_seats(OverSampling(), batch_size, seed) - missed_seats(BatchSampling(), batch_size, seed)

    @once
    def small_batches(self, batch_size: int) -> Study:
        """Two rare groups of one per cent in small batches: where exact seats could matter."""
        return study(
            {"epoch level": OverSampling(), "batch level": BatchSampling()},
            partial(data.colored_digits, aligned_share=0.98),
            seeds=self.seeds,
            batch_size=batch_size,
            epochs=10,
            test_every_epoch=True,
        )

    @claim(
        "B02.2",
        "The exact frequency matters: in small batches, with groups of one per cent, the worst group is better",
        holds=above(0.0),
        matters=0.02,
        expected="refuted: the mean over few batches is the same",
        over=grid(epochs=(1, 2, 5), batch_size=(4, 16)),
        costly=True,
    )
    def gain_by_exact_seats(self, seed: int, *, epochs: int = 2, batch_size: int = 16) -> float:
        found = self.small_batches(batch_size)  # an over-sampled epoch has as many steps as two of batch sampling
        return found.at(2 * epochs).value("batch level", seed) - found.at(epochs).value("epoch level", seed)

    @claim(
        "B02.3",
        "Augmentation alone, without balancing, helps the worst group by more than five points",
        holds=above(0.05),
        expected="only where training is long: at 150 epochs; up to 20 it harms",
        over=grid(epochs=EACH_LENGTH, network=("mlp",)) + grid(epochs=(5, 20), network=("cnn",)),
    )
    def gain_by_augmentation(self, seed: int, *, epochs: int = 20, network: str = "mlp") -> float:
        plain, augmented = (self.runs(network, augmented).at(epochs) for augmented in (False, True))
        return augmented.value("ERM", seed) - plain.value("ERM", seed)

    @claim(
        "B02.4",
        "Augmentation without any group label comes within ten points of batch sampling with it",
        holds=within(-0.10, 0.10),
        expected="only where training is long: at 150 epochs",
        over=grid(epochs=EACH_LENGTH),
    )
    def behind_batch_sampling(self, seed: int, *, epochs: int = 20) -> float:
        found = self.runs(augmented=True).at(epochs)
        return found.value("ERM", seed) - found.value("batch sampling", seed)

    @claim(
        "B02.5",
        "A subset that is drawn once keeps a better worst group than one that is drawn anew for each epoch",
        holds=above(0.0),
        matters=0.02,
        expected="confirmed from 10 epochs of plain training on, which are 80 of these short ones",
        over=grid(epochs=(3, 10, 60)),
        costly=True,
    )
    def gain_by_fixed_subset(self, seed: int, *, epochs: int = 10) -> float:
        fixed, redrawn = (self.after(name, epochs).value(name, seed) for name in ("fixed subset", "redrawn subset"))
        return fixed - redrawn

    def without_the_bias(self, augmented: bool) -> pd.DataFrame:
        return self.plainly(augmented, 0.5).by_epoch(epochs=LENGTHS).assign(method="without the bias")

    @table("T02.1", "The worst group over training length, without augmentation")
    def over_epochs(self) -> pd.DataFrame:
        return pd.concat([self.runs().by_epoch(epochs=LENGTHS), self.without_the_bias(augmented=False)])

    @table("T02.2", "The worst group over training length, with augmentation")
    def over_epochs_augmented(self) -> pd.DataFrame:
        return pd.concat([self.runs(augmented=True).by_epoch(epochs=LENGTHS), self.without_the_bias(augmented=True)])
