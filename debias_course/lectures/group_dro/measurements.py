"""What lecture 05 measures of Group DRO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import pandas as pd
from joblib import delayed

from ... import data, models
from ...claims import Lesson, above, claim, grid, once, table, within
from ...methods import ERM, GroupDRO, LossReweighting, Method
from ...study import Study, in_workers, point, study
from .game import BlindAdjustment, FrozenWeights, play, shuffled_groups, unequally_hard

LENGTHS = (1, 2, 3, 5, 7, 10, 14, 20, 30, 40, 60, 80, 110, 150)
RATES, DECAYS, STEP_SIZES = (3e-4, 1e-3, 3e-3), (0.0, 10.0), (0.1, 0.3, 1.0)
CONTROLS, ON = ("plain training", "frozen weights"), ("training", "test")


def three() -> dict[str, Method]:
    """Group DRO, with the step size of Idrissi et al. (2022), and its two controls."""
    return {"plain training": ERM(), "frozen weights": FrozenWeights(), "Group DRO": GroupDRO(step_size=0.1)}


class GroupDROLesson(Lesson):
    topic = "05_group_dro"
    central = ("L05.1", "L05.2", "B05.1", "B05.2")
    full_seeds = 8

    def studied(
        self, methods: Mapping[str, Method], on: Any = data.colored_digits, *, epochs: int, **how: Any
    ) -> Study:
        settings: dict[str, Any] = dict(epochs=epochs, test_every_epoch=True) | how
        return study(methods, on, seeds=self.seeds, **settings)

    @once
    def runs(self, network: str = "mlp", aligned_share: float = 0.95) -> Study:
        """The quick budget trains for 20 epochs."""
        longest = {"mlp": 150, "cnn": 5}[network] if aligned_share == 0.95 and self.budget == "full" else 20
        digits = partial(data.colored_digits, aligned_share=aligned_share)
        return self.studied(three(), digits, epochs=longest, model=models.MODELS[network])

    @once
    def games(self, name: str, network: str) -> dict[int, dict[int, dict[str, float]]]:
        """By seed and length what `play` tells; the name is one of `three`, or another step size of Group DRO."""
        method = three().get(name) or GroupDRO(step_size=float(name))
        whole = self.budget == "full"
        lengths = [n for n in LENGTHS if n <= (60 if whole and network == "linear" and name in three() else 20)]
        calls = [delayed(play)(method, network, seed, lengths) for seed in self.seeds]
        return dict(zip(self.seeds, in_workers(calls, n_jobs=None if whole else 1)))

    def worst(self, name: str, seed: int, epochs: int, network: str, aligned_share: float, on: str) -> float:
        if on == "training" or network == "linear":
            return self.games(name, network)[seed][epochs][on]
        return self.runs(network, aligned_share).at(epochs).value(name, seed)

    @claim(
        "L05.1",
        "Group DRO minimises the worst group's risk",
        holds=above(0.0),
        matters=0.02,  # points of the worst group, over plain training or over frozen weights
        expected="confirmed against plain training; against frozen weights no difference that matters",
        over=grid(epochs=(5, 20, 60, 150), network=("mlp",), aligned_share=(0.95,), on=("test",), against=CONTROLS)
        + grid(epochs=(5, 20), network=("mlp",), aligned_share=(0.95,), on=("training",), against=CONTROLS)
        + grid(epochs=(5, 20), network=("mlp",), aligned_share=(0.9, 0.99), on=("test",), against=CONTROLS)
        + grid(epochs=(5, 20, 60), network=("linear",), aligned_share=(0.95,), on=ON, against=CONTROLS)
        + grid(epochs=(5,), network=("cnn",), aligned_share=(0.95,), on=("test",), against=CONTROLS),
    )
    def gain(
        self,
        seed: int,
        *,
        epochs: int = 20,
        network: str = "mlp",
        aligned_share: float = 0.95,
        on: str = "test",
        against: str = "frozen weights",
    ) -> float:
        where = (seed, epochs, network, aligned_share, on)
        return self.worst("Group DRO", *where) - self.worst(against, *where)

    @claim(
        "B05.3",
        "Where validation chooses the epoch, Group DRO has the better worst group, too",
        holds=above(0.0),
        matters=0.02,
        expected="confirmed against plain training; against frozen weights no difference that matters",
        over=grid(epochs=(5, 20, 60, 150), against=CONTROLS),
        costly=True,
    )
    def gain_by_selection(self, seed: int, *, epochs: int = 20, against: str = "frozen weights") -> float:
        found = self.runs().at(epochs, "validation-worst-group")
        return found.value("Group DRO", seed) - found.value(against, seed)

    @claim(
        "B05.4",
        "Group DRO makes the worst group's training loss smaller than frozen weights do, by a tenth or more",
        holds=above(0.0),
        matters=0.1,  # of the loss with frozen weights
        expected="confirmed on the linear model; on the MLP until the losses vanish",
        over=grid(epochs=(5, 20), network=("linear", "mlp"), step_size=(0.01, 0.1)),
    )
    def loss_saved(self, seed: int, *, epochs: int = 20, network: str = "linear", step_size: float = 0.1) -> float:
        names = ("Group DRO" if step_size == 0.1 else f"{step_size:g}", "frozen weights")
        robust, frozen = (self.games(name, network)[seed][epochs]["loss"] for name in names)
        return 1 - robust / frozen

    @claim(
        "B05.5",
        "One of the weights moves away from one quarter by more than five points",
        holds=above(0.05),
        expected="with a step size of 0.01 only after 20 epochs; with 0.1 always",
        over=grid(epochs=(5, 20), network=("linear", "mlp"), step_size=(0.01, 0.1)),
        costly=True,
    )
    def moved(self, seed: int, *, epochs: int = 5, network: str = "mlp", step_size: float = 0.01) -> float:
        name = "Group DRO" if step_size == 0.1 else f"{step_size:g}"
        return self.games(name, network)[seed][epochs]["weight"] - 0.25

    @claim(
        "B05.2",
        "With a step size of 1 the average of all iterates has a better worst group than the last one",
        holds=above(0.0),
        matters=0.10,
        expected="confirmed on the linear model, where the game is convex in its parameters; on the MLP open",
        over=grid(epochs=(5, 20), network=("linear", "mlp"), on=ON),
    )
    def gain_by_averaging(self, seed: int, *, epochs: int = 20, network: str = "linear", on: str = "test") -> float:
        found = self.games("1", network)[seed][epochs]
        return found[f"average, {on}"] - found[on]

    @once
    def mapped(self, learning_rate: float, weight_decay: float) -> Study:
        """One cell of the map: the two controls, and a row for each step size."""
        rows = {name: each for name, each in three().items() if name != "Group DRO"}
        rows |= {f"{step:g}": GroupDRO(step_size=step) for step in STEP_SIZES}
        return self.studied(rows, epochs=12, lr=learning_rate, weight_decay=weight_decay)

    def span(self, seed: int, epochs: int, names: Sequence[str]) -> float:
        """The best worst group over the map and these rows, minus the least."""
        cells = [self.mapped(rate, decay).at(epochs) for rate in RATES for decay in DECAYS]
        values = [cell.value(name, seed) for cell in cells for name in names]
        return max(values) - min(values)

    @claim(
        "L05.2",
        "Group DRO is very sensitive to hyper-parameters",
        holds=above(0.0),
        matters=0.05,  # points that the worst group spans more over the map than that of the control
        expected="confirmed where the step size is one of the hyper-parameters",
        over=grid(epochs=(5, 12), step_size=("0.1", "0.3", "1", "0.1 to 1"), against=CONTROLS),
        costly=True,
    )
    def spans_more(
        self, seed: int, *, epochs: int = 12, step_size: str = "0.1 to 1", against: str = "plain training"
    ) -> float:
        rows = [f"{step:g}" for step in STEP_SIZES] if step_size == "0.1 to 1" else [step_size]
        return self.span(seed, epochs, rows) - self.span(seed, epochs, [against])

    @claim(
        "B05.1",
        "Under strong weight decay Group DRO has a better worst group than frozen weights",
        holds=above(0.0),
        matters=0.02,
        expected="confirmed where the decay is 10, and not without it",
        over=grid(epochs=(5, 12), weight_decay=DECAYS, learning_rate=RATES),
        costly=True,
    )
    def gain_under_decay(
        self, seed: int, *, epochs: int = 12, weight_decay: float = 10.0, learning_rate: float = 1e-3
    ) -> float:
        found = self.mapped(learning_rate, weight_decay).at(epochs)
        return found.value("0.1", seed) - found.value("frozen weights", seed)

    @cached_property
    def plain_batches(self) -> Study:
        """Three ways to weight a plain batch: by the groups' sizes in training, and by their numbers in the batch."""
        three_ways: dict[str, Method] = {
            "weights": LossReweighting(),
            "frozen weights": FrozenWeights(sampling="plain"),
            "Group DRO": GroupDRO(step_size=0.1, sampling="plain"),
        }
        return self.studied(three_ways, epochs=20)

    @claim(
        "B05.6",
        "On plain batches, a mean over each group's samples in the batch serves the worst group better than fixed "
        "weights per sample",
        holds=above(0.0),
        matters=0.02,
        expected="open: it is the same loss on average, but every group that is there has its full say in each step",
        over=grid(epochs=(2, 5, 20)),
        costly=True,
    )
    def gain_by_realised_counts(self, seed: int, *, epochs: int = 5) -> float:
        found = self.plain_batches.at(epochs)
        return found.value("frozen weights", seed) - found.value("weights", seed)

    @claim(
        "B05.7",
        "On plain batches, weights that move serve the worst group better than frozen ones",
        holds=above(0.0),
        matters=0.02,
        expected="refuted",
        over=grid(epochs=(2, 5, 20)),
        costly=True,
    )
    def gain_on_plain_batches(self, seed: int, *, epochs: int = 5) -> float:
        found = self.plain_batches.at(epochs)
        return found.value("Group DRO", seed) - found.value("frozen weights", seed)

    @once
    def adjusted(self, weight_decay: float) -> Study:
        """C = 10 against none, and against the same adjustment that never looks at a loss."""
        rows: dict[str, Method] = {
            "none": GroupDRO(),
            "adjusted": GroupDRO(adjustment=10.0),
            "blind": BlindAdjustment(adjustment=10.0),
        }
        return self.studied(rows, epochs=12, weight_decay=weight_decay)

    @claim(
        "B05.8",
        "An adjustment of C = 10 lifts the worst group",
        holds=above(0.0),
        matters=0.02,
        expected="confirmed where the decay is 10, as in Sagawa et al. (2020a)",
        over=grid(epochs=(5, 12), weight_decay=DECAYS),
        costly=True,
    )
    def gain_by_adjustment(self, seed: int, *, epochs: int = 12, weight_decay: float = 10.0) -> float:
        found = self.adjusted(weight_decay).at(epochs)
        return found.value("adjusted", seed) - found.value("none", seed)

    @claim(
        "B05.9",
        "An adjustment that never looks at a loss is within three points of Group DRO's",
        holds=within(-0.03, 0.03),
        expected="confirmed: it is a ramp of weights towards the rare groups",
        over=grid(epochs=(5, 12), weight_decay=DECAYS),
        costly=True,
    )
    def lost_without_losses(self, seed: int, *, epochs: int = 12, weight_decay: float = 10.0) -> float:
        found = self.adjusted(weight_decay).at(epochs)
        return found.value("blind", seed) - found.value("adjusted", seed)

    @cached_property
    def wrong(self) -> Study:
        """With shuffled groups in training."""
        return self.studied({"Group DRO": GroupDRO(step_size=0.1)}, shuffled_groups, epochs=20)

    @claim(
        "B05.10",
        "With shuffled groups in training, the worst true group loses more than ten points",
        holds=above(0.10),
        expected="confirmed",
        over=grid(epochs=(5, 20)),
        costly=True,
    )
    def lost_by_shuffled_groups(self, seed: int, *, epochs: int = 5) -> float:
        return self.runs().at(epochs).value("Group DRO", seed) - self.wrong.at(epochs).value("Group DRO", seed)

    @once
    def harder(self, network: str) -> Study:
        """Where one colour is harder, and no group is rare."""
        two = {name: each for name, each in three().items() if name != "plain training"}
        return self.studied(two, unequally_hard, epochs=20, model=models.MODELS[network])

    @claim(
        "B05.11",
        "Where no group is rare, but the blue ones are under noise, Group DRO has a better worst group than frozen "
        "weights",
        holds=above(0.0),
        matters=0.02,
        expected="confirmed: equal weights are no remedy for groups that are not equally hard",
        over=grid(epochs=(5, 20), network=("linear", "mlp")),
        costly=True,
    )
    def gain_where_one_is_harder(self, seed: int, *, epochs: int = 20, network: str = "mlp") -> float:
        found = self.harder(network).at(epochs)
        return found.value("Group DRO", seed) - found.value("frozen weights", seed)

    @table("T05.1", "The worst group on test over training length, of Group DRO and its controls")
    def over_epochs(self) -> pd.DataFrame:
        return self.runs().by_epoch(epochs=LENGTHS)

    @table("T05.2", "The worst group on training data over training length, with a linear model")
    def over_epochs_on_training(self) -> pd.DataFrame:
        rows = []
        for name in three():
            for epoch in [each for each in LENGTHS if each <= 60]:
                values = [self.worst(name, seed, epoch, "linear", 0.95, "training") for seed in self.seeds]
                rows.append(point(name, epoch, values))
        return pd.DataFrame(rows)

    @table("T05.3", "The worst group on test after 12 epochs, over learning rate, weight decay and step size")
    def map(self) -> pd.DataFrame:
        rows = []
        for decay in DECAYS:
            for rate in RATES:
                found = self.mapped(rate, decay)
                rows += [dict(method=n, decay=decay, rate=rate, value=found.mean(n).value) for n in found.names]
        return pd.DataFrame(rows)
