"""What lecture 03 measures of hard example mining."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ... import data, models
from ...claims import Lesson, above, below, claim, within
from ...data import Batch, GroupedData, Splits
from ...evaluation import evaluate
from ...method import State
from ...methods import ERM, DrawnMining, HardMining, Method
from ...methods.hard_mining import hardest, score
from ...study import Study, study
from ...training import train


def kept_shares(part: GroupedData, method: HardMining, seed: int) -> Tensor:
    """Share of each group among the kept samples, float64 [epochs, groups], from the first epoch after the warm-up on.
    The onlooker sees groups, training does not."""
    counts = torch.zeros(20, part.n_groups, dtype=torch.float64)

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        counts[state.epoch - 1] += torch.bincount(batch.groups[state.chosen], minlength=part.n_groups).cpu()

    train(models.linear(part, seed=seed), part, method, epochs=20, batch_size=512, seed=seed, on_step=look)
    kept = counts[method.warm_up :]
    return kept / kept.sum(1, keepdim=True)


def noisy_digits(seed: int) -> Splits:
    """Coloured digits of which one in ten for training has the label of the other class."""
    clean = data.colored_digits(seed=seed)
    return clean._replace(train=data.mislabel(clean.train, 0.1, seed=seed))


def plain_and_mining() -> dict[str, Method]:
    return {"ERM": ERM(), "hardest tenth": HardMining(keep=0.1, warm_up=5)}


class HardExampleMiningLesson(Lesson):
    topic = "03_hard_example_mining"

    def on_small_model(self, methods: dict[str, Method], digits: Callable[..., Splits], **how: Any) -> Study:
        """Logistic regression, for 20 epochs of six batches of 512."""
        return study(methods, digits, seeds=self.seeds, model=models.linear, epochs=20, batch_size=512, **how)

    def on_larger_network(self, digits: Callable[..., Splits]) -> Study:
        """One hidden layer, the same batches, 60 epochs."""
        return study(plain_and_mining(), digits, seeds=self.seeds, epochs=60, batch_size=512)

    @cached_property
    def runs(self) -> Study:
        """The last epoch is tested."""
        methods = plain_and_mining() | {
            "no warm-up": HardMining(keep=0.1),
            "hardest quarter": HardMining(keep=0.25, warm_up=5),
            "drawn tenth": DrawnMining(keep=0.1, warm_up=5),
            "drawn, corrected": DrawnMining(keep=0.1, warm_up=5, correct=True),
        }
        return self.on_small_model(methods, data.colored_digits)

    @cached_property
    def chosen(self) -> Study:
        """The epoch with the best worst class on validation is tested."""
        return self.on_small_model(plain_and_mining(), data.colored_digits, select="validation-worst-class")

    def gain(self, result: Study, seed: int, metric: str = "worst_group") -> float:
        return result.value("hardest tenth", seed, metric) - result.value("ERM", seed, metric)

    @claim(
        "L03.1a",
        "The rare groups, together a twentieth of the data, are more than three tenths of what is kept",
        holds=above(0.30),
    )
    def kept_of_rare_groups(self, seed: int) -> float:
        part = data.colored_digits(seed=seed).train
        return float(kept_shares(part, HardMining(keep=0.1, warm_up=5), seed)[:, 1:3].sum(1).mean())

    @claim(
        "L03.2a",
        "The hardest tenth lifts the worst group by more than twenty points over plain training, without group labels",
        holds=above(0.20),
    )
    def gain_by_hardest_tenth(self, seed: int) -> float:
        return self.gain(self.runs, seed)

    @claim("L03.2b", "Drawing a tenth by the loss lifts it by more than five points", holds=above(0.05))
    def gain_by_drawn_tenth(self, seed: int) -> float:
        return self.runs.value("drawn tenth", seed) - self.runs.value("ERM", seed)

    @claim(
        "L03.1b",
        "Drawn and corrected, it is plain training again: group-balanced accuracy is within three points",
        holds=within(-0.03, 0.03),
    )
    def gain_by_corrected_draws(self, seed: int) -> float:
        metric = "group_balanced"
        return self.runs.value("drawn, corrected", seed, metric) - self.runs.value("ERM", seed, metric)

    @claim("B03.2c", "The hardest tenth beats the hardest quarter by more than ten points", holds=above(0.10))
    def tenth_over_quarter(self, seed: int) -> float:
        return self.runs.value("hardest tenth", seed) - self.runs.value("hardest quarter", seed)

    @claim(
        "B03.2d",
        "A warm-up of five epochs changes the worst group by less than ten points",
        holds=within(-0.10, 0.10),
    )
    def gain_by_warm_up(self, seed: int) -> float:
        return self.runs.value("hardest tenth", seed) - self.runs.value("no warm-up", seed)

    @claim(
        "B03.2e",
        "Choosing the epoch by the worst class, on validation data balanced in colour, adds more than five points",
        holds=above(0.05),
    )
    def gain_by_chosen_epoch(self, seed: int) -> float:
        return self.chosen.value("hardest tenth", seed) - self.runs.value("hardest tenth", seed)

    @cached_property
    def flexible(self) -> Study:
        """The larger network can learn the rare samples one by one."""
        return self.on_larger_network(data.colored_digits)

    @cached_property
    def flexible_noisy(self) -> Study:
        """The same with wrong labels."""
        return self.on_larger_network(noisy_digits)

    @cached_property
    def small_noisy(self) -> Study:
        """The small model with wrong labels."""
        return self.on_small_model(plain_and_mining(), noisy_digits)

    @claim(
        "B03.3a",
        "Trained plainly, the larger network knows its training digits by heart: over 95 in a hundred of each group",
        holds=above(0.95),
        trials=75,  # samples of a rare group
    )
    def worst_training_group(self, seed: int) -> float:
        part = data.colored_digits(seed=seed).train
        model = train(models.mlp(part, seed=seed), part, seed=seed, epochs=60, batch_size=512).model
        return evaluate(model, part).worst_group.value

    @claim(
        "B03.3b",
        "Its gain from mining is more than ten points smaller than that of the small model",
        holds=above(0.10),
    )
    def gain_lost_on_larger_network(self, seed: int) -> float:
        return self.gain(self.runs, seed) - self.gain(self.flexible, seed)

    @claim(
        "B03.3c",
        "With wrong labels, mining makes the larger network's group-balanced accuracy worse than plain training does",
        holds=below(0.0),
    )
    def gain_of_larger_network_with_wrong_labels(self, seed: int) -> float:
        return self.gain(self.flexible_noisy, seed, "group_balanced")

    @claim(
        "B03.3e",
        "A tenth of the labels is wrong, and more than fifteen in a hundred of what the small model would keep",
        holds=above(0.15),
    )
    def share_of_wrong_labels(self, seed: int) -> float:
        """Of the hardest tenth of the small model, after training by mining."""
        clean, noisy = data.colored_digits(seed=seed).train, noisy_digits(seed).train
        start, method = models.linear(noisy, seed=seed), plain_and_mining()["hardest tenth"]
        model = train(start, noisy, method, epochs=20, batch_size=512, seed=seed).model
        kept = hardest(score(model, noisy.batch(torch.arange(len(noisy)))), 300)
        return float((noisy.labels != clean.labels)[kept].double().mean())

    @claim(
        "B03.3f",
        "With wrong labels, the small model's worst group still gains more than five points",
        holds=above(0.05),
    )
    def gain_of_small_model_with_wrong_labels(self, seed: int) -> float:
        return self.gain(self.small_noisy, seed)

    @claim(
        "B03.3g",
        "But it pays with more than five points on data like the training data",
        holds=below(-0.05),
    )
    def price_on_data_like_training(self, seed: int) -> float:
        return self.gain(self.small_noisy, seed, "train_weighted")
