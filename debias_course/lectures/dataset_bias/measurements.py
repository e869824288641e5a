"""What lecture 00 measures of plain training on biased data."""

from __future__ import annotations

from functools import partial

import pandas as pd

from ... import data, models
from ...claims import Lesson, above, below, claim, grid, once, table, within
from ...claims.receipts import kept_on_full, table_of
from ...evaluation import predict
from ...methods import ERM
from ...stages import stage
from ...study import Study, study

LENGTHS = (1, 2, 3, 5, 7, 10, 14, 20, 30, 40, 60, 80, 110, 150)


def levels() -> dict[str, float]:
    """What the worst group of the coloured digits is compared with in pictures: chance, what answering by the colour
    earns, and what the same network reaches without the bias (after its longest training, from the receipt)."""
    kept = table_of(kept_on_full("00_dataset_bias", "T00.1"), "00_dataset_bias", "T00.1")
    without = kept[kept["method"] == "without the bias"].sort_values("epoch")["value"].iloc[-1]
    return {"chance": 0.5, "colour alone": 0.0, "without the bias": float(without)}


class DatasetBiasLesson(Lesson):
    topic = "00_dataset_bias"
    central = ("L00.1", "B00.1", "B00.2", "B00.3")
    quick_seeds = full_seeds = 8

    @once
    def runs(self, aligned_share: float = 0.95, network: str = "mlp") -> Study:
        """Each seed repaints the digits, starts the network anew and shuffles the batches. The quick budget trains for
        20 epochs."""
        longest = {"mlp": 150, "cnn": 60}[network] if self.budget == "full" else 20
        return study(
            {"plain training": ERM()},
            partial(data.colored_digits, aligned_share=aligned_share),
            seeds=self.seeds,
            model=models.MODELS[network],
            epochs=longest,
            test_every_epoch=True,
        )

    def value(
        self, seed: int, aligned_share: float, metric: str, epochs: int = 20, network: str = "mlp", select: str = "last"
    ) -> float:
        return self.runs(aligned_share, network).at(epochs, select).value("plain training", seed, metric)

    @claim(
        "L00.1",
        "A network trained plainly on data where an attribute goes along with the label relies on the attribute",
        holds=above(0.0),
        matters=0.10,  # the worst group is that far below what the network reaches where the colour says nothing
        expected="confirmed from an aligned share of 95 %; at 80 % only while training is short",
        over=grid(epochs=(5, 20, 60, 150), network=("mlp",), aligned_share=(0.8, 0.95, 0.99), select=("last",))
        + grid(epochs=(5, 20, 60), network=("cnn",), aligned_share=(0.95,), select=("last",))
        + grid(epochs=(5, 20, 60, 150), network=("mlp",), aligned_share=(0.95,), select=("validation-worst-group",)),
    )
    def lost_by_the_bias(
        self, seed: int, *, epochs: int = 20, network: str = "mlp", aligned_share: float = 0.95, select: str = "last"
    ) -> float:
        without, biased = (
            self.value(seed, share, "worst_group", epochs, network, select) for share in (0.5, aligned_share)
        )
        return without - biased

    @once
    def changed(self, seed: int, aligned_share: float, epochs: int) -> float:
        """The share of test digits whose answer changes when they are repainted in the other class's colour."""
        own, other = (
            data.colored_digits(aligned_share=aligned_share, test_aligned_share=share, seed=seed)
            for share in (1.0, 0.0)
        )
        model = stage(models.mlp(own.train, seed=seed), own.train, epochs=epochs, seed=seed)
        before, after = (predict(model, painted.test).argmax(1) for painted in (own, other))
        return float((before != after).float().mean())

    @claim(
        "B00.1",
        "Repainting the digits in the other colour changes a quarter of the answers more than without the bias",
        holds=above(0.25),
        expected="confirmed",
        over=grid(epochs=(5, 20, 60)),
    )
    def changed_by_repainting(self, seed: int, *, epochs: int = 20) -> float:
        return self.changed(seed, 0.95, epochs) - self.changed(seed, 0.5, epochs)

    @claim(
        "B00.2",
        "On data composed like training, the network gains less than half of what the colour leaves to gain",
        holds=below(0.5),  # of the share that answering by the colour gets wrong
        expected="confirmed up to 20 epochs; later it memorises, and gains more",
        over=grid(epochs=(5, 20, 60, 150), aligned_share=(0.8, 0.95, 0.99)),
    )
    def gained_of_the_rest(self, seed: int, *, epochs: int = 20, aligned_share: float = 0.95) -> float:
        accuracy = self.value(seed, aligned_share, "train_weighted", epochs)
        return (accuracy - aligned_share) / (1 - aligned_share)

    @claim(
        "B00.3",
        "From an aligned share of 80 % to one of 99 % the worst group loses more than 40 points",
        holds=above(0.40),
        expected="confirmed at every length",
        over=grid(epochs=(5, 20, 60, 150)),
    )
    def lost_by_a_stronger_bias(self, seed: int, *, epochs: int = 20) -> float:
        return self.value(seed, 0.8, "worst_group", epochs) - self.value(seed, 0.99, "worst_group", epochs)

    @claim(
        "B00.4",
        "Without the bias, wearing the class's own colour moves the accuracy by less than three points",
        holds=within(-0.03, 0.03),
        expected="confirmed",
    )
    def advantage_of_own_color(self, seed: int) -> float:
        groups = self.runs(0.5).at(20).report("plain training", seed).groups
        low_orange, low_blue, high_orange, high_blue = (group.value for group in groups if group)
        return (low_orange + high_blue) / 2 - (low_blue + high_orange) / 2

    @claim(
        "B00.5",
        "The highest and the lowest of the four summary numbers of one model are more than three tenths apart",
        holds=above(0.30),
        expected="confirmed",
    )
    def spread(self, seed: int) -> float:
        averages = ("overall", "group_balanced", "worst_group", "train_weighted")
        values = [self.value(seed, 0.95, average) for average in averages]
        return max(values) - min(values)

    @claim(
        "B00.6",
        "Without the bias, the same network is right on more than 85 of 100 samples of every group",
        holds=above(0.85),
        expected="confirmed at every length",
        over=grid(epochs=(5, 20, 60, 150)),
    )
    def worst_group_without_the_bias(self, seed: int, *, epochs: int = 20) -> float:
        return self.value(seed, 0.5, "worst_group", epochs)

    @claim(
        "B00.7",
        "The stronger the bias, the better the accuracy on data composed like training looks",
        holds=above(0.0),
        matters=0.01,  # points, from an aligned share of 80 % to one of 99 %
        expected="confirmed at every length",
        over=grid(epochs=(5, 20, 60, 150)),
    )
    def looks_better(self, seed: int, *, epochs: int = 20) -> float:
        return self.value(seed, 0.99, "train_weighted", epochs) - self.value(seed, 0.8, "train_weighted", epochs)

    @table("T00.1", "The worst group over training length, for four strengths of the bias")
    def over_epochs(self) -> pd.DataFrame:
        found = {share: self.runs(share).by_epoch(epochs=LENGTHS) for share in (0.5, 0.8, 0.95, 0.99)}
        return pd.concat(
            frame.assign(method=f"aligned share {share:.0%}" if share > 0.5 else "without the bias")
            for share, frame in found.items()
        )
