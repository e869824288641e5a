"""What lecture 05 measures of Group DRO."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

from ... import data, models
from ...claims import Lesson, above, below, claim, within
from ...data import Splits
from ...method import sample_losses
from ...methods import ERM, BatchSampling, GroupDRO, LossReweighting, Method
from ...methods.group_dro import group_means
from ...study import Study, study
from ...training import train

STEP_SIZES, DECAYS = (0.01, 0.1, 1.0), (0.0, 10.0, 30.0)


def worst_training_loss(method: Method, seed: int) -> float:
    """After five epochs, the largest of the groups' mean training losses."""
    part = data.colored_digits(seed=seed).train
    model = train(models.mlp(part, seed=seed), part, method, epochs=5, seed=seed).model
    everything = part.batch(torch.arange(len(part)))
    with torch.no_grad():
        return float(group_means(sample_losses(model, everything), everything.groups, 4)[0].max())


def shuffled_groups(seed: int) -> Splits:
    """Coloured digits whose training table has the colours in another order, so that a group is a class and a coin
    toss."""
    parts = data.colored_digits(seed=seed)
    order = torch.randperm(len(parts.train), generator=torch.Generator().manual_seed(seed))
    return parts._replace(train=replace(parts.train, attributes=parts.train.attributes[order]))


class GroupDROLesson(Lesson):
    topic = "05_group_dro"

    @cached_property
    def runs(self) -> Study:
        """Of ten epochs, the one with the best worst group on validation is tested."""
        methods = {
            "ERM": ERM(),
            "weights": LossReweighting(),
            "balanced batches": BatchSampling(),
            "Group DRO": GroupDRO(),
            "Group DRO, plain batches": GroupDRO(sampling="plain"),
        }
        return study(methods, data.colored_digits, seeds=self.seeds, epochs=10, select="validation-worst-group")

    def lead(self, name: str, other: str, seed: int) -> float:
        return self.runs.value(name, seed) - self.runs.value(other, seed)

    @claim(
        "L05.1a",
        "After five epochs the worst group's training loss is less than half of what plain training leaves",
        holds=below(0.5),
    )
    def training_loss_over_erm(self, seed: int) -> float:
        return worst_training_loss(GroupDRO(), seed) / worst_training_loss(ERM(), seed)

    @claim("B05.1e", "And within a tenth of what balanced batches alone leave", holds=within(0.9, 1.1))
    def training_loss_over_balanced_batches(self, seed: int) -> float:
        return worst_training_loss(GroupDRO(), seed) / worst_training_loss(BatchSampling(), seed)

    @claim(
        "L05.1b",
        "Group DRO lifts the worst group on test by more than ten points over plain training",
        holds=above(0.10),
    )
    def gain_over_erm(self, seed: int) -> float:
        return self.lead("Group DRO", "ERM", seed)

    @claim("B05.1c", "But balanced batches alone are within three points of it", holds=within(-0.03, 0.03))
    def gain_over_balanced_batches(self, seed: int) -> float:
        return self.lead("Group DRO", "balanced batches", seed)

    @claim(
        "B05.1d",
        "Without balanced batches it lifts the worst group, too, by more than ten points",
        holds=above(0.10),
    )
    def gain_with_plain_batches(self, seed: int) -> float:
        return self.lead("Group DRO, plain batches", "ERM", seed)

    @cached_property
    def mapped(self) -> dict[float, Study]:
        """By weight decay: six epochs with each step size, and the two references; the last epoch is tested."""
        rows: dict[str, Method] = {f"η = {step:g}": GroupDRO(step_size=step) for step in STEP_SIZES}
        rows |= {"ERM": ERM(), "weights": LossReweighting()}
        return {
            decay: study(rows, data.colored_digits, seeds=self.seeds, epochs=6, weight_decay=decay) for decay in DECAYS
        }

    @claim("L05.2a", "Over the map, the worst group of Group DRO spans more than twenty-five points", holds=above(0.25))
    def span(self, seed: int) -> float:
        values = [self.mapped[decay].value(f"η = {step:g}", seed) for step in STEP_SIZES for decay in DECAYS]
        return max(values) - min(values)

    @claim(
        "L05.2b",
        "At a weight decay of 30, a step size of 1 is worse than one of 0.01 by more than thirty points",
        holds=above(0.30),
    )
    def loss_by_a_large_step_size(self, seed: int) -> float:
        return self.mapped[30.0].value("η = 0.01", seed) - self.mapped[30.0].value("η = 1", seed)

    @cached_property
    def adjusted(self) -> Study:
        """No adjustment against C = 10, at a weight decay of 10, after ten epochs."""
        adjustments = {f"C = {c:g}": GroupDRO(adjustment=c) for c in (0.0, 10.0)}
        return study(adjustments, data.colored_digits, seeds=self.seeds, epochs=10, weight_decay=10.0)

    @claim(
        "L05.2c",
        "At a weight decay of 10, an adjustment of C = 10 lifts the worst group by more than three points",
        holds=above(0.03),
    )
    def gain_by_adjustment(self, seed: int) -> float:
        return self.adjusted.value("C = 10", seed) - self.adjusted.value("C = 0", seed)

    @cached_property
    def long(self) -> Study:
        """Thirty epochs without regularisation, the last one tested."""
        two = {"ERM": ERM(), "Group DRO": GroupDRO()}
        return study(two, data.colored_digits, seeds=self.seeds, epochs=30)

    @cached_property
    def wrong(self) -> Study:
        """As `runs`, with shuffled groups in training."""
        how: dict[str, Any] = dict(epochs=10, select="validation-worst-group")
        return study({"Group DRO": GroupDRO()}, shuffled_groups, seeds=self.seeds, **how)

    @claim(
        "B05.3a",
        "At epoch 30 the lead over plain training is more than five points smaller than at the epochs that validation "
        "chose",
        holds=above(0.05),
    )
    def lead_lost(self, seed: int) -> float:
        return self.lead("Group DRO", "ERM", seed) - (self.long.value("Group DRO", seed) - self.long.value("ERM", seed))

    @claim(
        "B05.3b",
        "With shuffled groups the worst true group is more than ten points worse than with the true ones",
        holds=below(-0.10),
    )
    def loss_by_shuffled_groups(self, seed: int) -> float:
        return self.wrong.value("Group DRO", seed) - self.runs.value("Group DRO", seed)

    @claim("B05.3c", "It gains less than fifteen points over plain training then", holds=below(0.15))
    def gain_with_shuffled_groups(self, seed: int) -> float:
        return self.wrong.value("Group DRO", seed) - self.runs.value("ERM", seed)
