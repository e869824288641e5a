"""What lecture 03 measures of hard example mining."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from ... import data, models
from ...claims import Lesson, above, below, claim, grid, once, table, within
from ...data import Batch, GroupedData, Splits
from ...evaluation import evaluate
from ...method import State
from ...methods import ERM, DrawnMining, HardMining, LossReweighting, Method
from ...methods.hard_mining import hardest, score
from ...study import Study, study
from ...training import train

LENGTHS = (1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 40, 60)
EACH_LENGTH = (2, 5, 20, 60)
TENTH, QUARTER, BEST_EPOCH, RARER = "a tenth of 128", "a quarter of 128", "best epoch", "1 in 100 rare"
SAME_STEPS, SAME_EPOCHS = "512, same steps", "512, same epochs"  # a tenth of these


def noisy_digits(seed: int, share: float = 0.1) -> Splits:
    """Coloured digits of which so many for training, one in ten, have the label of the other class."""
    clean = data.colored_digits(seed=seed)
    return clean._replace(train=data.mislabel(clean.train, share, seed=seed))


class Made(NamedTuple):
    """The tenth of the training samples with the highest losses: their rows, int64 [N / 10], highest first, and which
    of them are rare, with the right label and against the pattern, or have a wrong one; and the accuracy in the worst
    group of all samples, by the labels that training saw."""

    kept: Tensor
    rare: Tensor
    wrong: Tensor
    known_by_heart: float


def hardest_tenth(model: nn.Module, seen: GroupedData, clean: GroupedData) -> Made:
    """Of what training has `seen`, with labels of which some differ from the `clean` ones."""
    kept = hardest(score(model, seen.batch(torch.arange(len(seen)))), len(seen) // 10)
    wrong = seen.labels != clean.labels
    rare = (clean.labels != clean.attributes) & ~wrong
    return Made(kept, rare[kept], wrong[kept], evaluate(model, seen).worst_group.value)


def hardest_by_epoch(network: str, seed: int, share: float, lengths: Sequence[int]) -> dict[int, Made]:
    """Plain training on labels of which a share is wrong, with a look at the highest losses after each length."""
    seen, clean = noisy_digits(seed, share).train, data.colored_digits(seed=seed).train
    trained: list[nn.Module] = []
    found: dict[int, Made] = {}

    def look(model: nn.Module, batch: Batch, state: State, loss: Tensor) -> None:
        trained[:] = [model]

    def measure(done: int, of: int) -> None:
        if done in lengths:
            found[done] = hardest_tenth(trained[0], seen, clean)

    start = models.MODELS[network](seen, seed=seed)
    train(start, seen, ERM(), epochs=max(lengths), seed=seed, on_step=look, progress=measure)
    return found


class AnyTenth(HardMining):
    """(1/B) Σ_{i ∈ S} ℓ_i,  S = any B samples of the batch: as many as mining keeps, and not the hardest"""

    def chosen(self, losses: Tensor, state: State) -> tuple[Tensor, None]:
        order = torch.randperm(len(losses), generator=state.generator, device=losses.device)
        return order[: self.count(losses)], None


class HardExampleMiningLesson(Lesson):
    topic = "03_hard_example_mining"
    central = ("L03.1", "L03.2", "L03.3", "B03.1", "B03.2")
    quick_seeds, full_seeds = 5, 8

    def epochs(self, longest: int) -> int:
        """The quick budget trains for 20 epochs."""
        return longest if self.budget == "full" else min(longest, 20)

    def study(self, methods: dict[str, Method], network: str, epochs: int, digits: Any = None, **how: Any) -> Study:
        """24 steps are an epoch, with batches of 128."""
        settings: dict[str, Any] = dict(seeds=self.seeds, model=models.MODELS[network], epochs=epochs, **how)
        return study(methods, digits or data.colored_digits, test_every_epoch=True, **settings)

    @once
    def one(self, name: str, network: str) -> Study:
        """One method on clean labels. Mining forwards the same batches as plain training and takes as many steps."""
        methods: dict[str, Method] = {
            "plain training": ERM(),
            "hardest tenth": HardMining(keep=0.1),
            "drawn tenth": DrawnMining(keep=0.1),
            "weights by group": LossReweighting(),
        }
        longest = 60 if network != "cnn" else 5 if name == "drawn tenth" else 20
        return self.study({name: methods[name]}, network, self.epochs(longest))

    @once
    def other(self, kept: str, network: str) -> Study:
        """What is trained for 20 epochs only, or for as many steps."""
        stronger = partial(data.colored_digits, aligned_share=0.99)
        tenth: dict[str, Method] = {"hardest tenth": HardMining(keep=0.1)}
        if kept == RARER:
            return self.study({"plain training": ERM(), **tenth}, network, 20, stronger)
        if kept == QUARTER:
            return self.study({"hardest tenth": HardMining(keep=0.25)}, network, 20)
        return self.study(tenth, network, 80, batch_size=512)  # six steps are an epoch

    def gain(self, seed: int, name: str, epochs: int, network: str, kept: str = TENTH) -> float:
        """In the worst group, over plain training of so many epochs of 24 steps; by validation's choice of the epoch
        for both, or at the last one."""
        select = "validation-worst-group" if kept == BEST_EPOCH else "last"
        plain, mined = self.one("plain training", network), self.one(name, network)
        if kept not in (TENTH, BEST_EPOCH):
            mined = self.other(kept, network)
            plain = mined if kept == RARER else plain
        length = 4 * epochs if kept == SAME_STEPS else epochs
        before = plain.at(epochs, select).value("plain training", seed)
        return mined.at(length, select).value(name, seed) - before

    @once
    def looked(self, seed: int, network: str, labels: str) -> dict[int, Made]:
        longest = self.epochs(5 if network == "cnn" else 60)
        lengths = [each for each in EACH_LENGTH if each <= longest]
        return hardest_by_epoch(network, seed, {"clean": 0.0, "one in ten wrong": 0.1}[labels], lengths)

    @claim(
        "L03.1",
        "Rare samples are learned less well, so the highest losses find them without bias labels",
        holds=above(0.05),  # the share of the rare in the hardest tenth: by chance it is a twentieth
        matters=0.10,
        trials=300,
        expected="confirmed where the labels are clean; with wrong ones they take the places",
        over=grid(epochs=EACH_LENGTH, network=("linear", "mlp"), labels=("clean", "one in ten wrong"))
        + grid(epochs=(5,), network=("cnn",), labels=("clean",)),
    )
    def found_of_the_rare(self, seed: int, *, epochs: int = 20, network: str = "mlp", labels: str = "clean") -> float:
        return float(self.looked(seed, network, labels)[epochs].rare.double().mean())

    @claim(
        "L03.2",
        "Learning from the B highest of N losses reduces bias",
        holds=above(0.0),
        matters=0.05,  # points of the worst group, over plain training
        expected="confirmed with the linear model; with the MLP only while training is short",
        over=grid(epochs=(2, 5, 10, 20, 40, 60), network=("linear", "mlp"), kept=(TENTH,))
        + grid(epochs=(5, 20), network=("linear", "mlp"), kept=(QUARTER, SAME_STEPS, SAME_EPOCHS))
        + grid(epochs=(20, 60), network=("linear", "mlp"), kept=(BEST_EPOCH,))
        + grid(epochs=(5, 20), network=("mlp",), kept=(RARER,))
        + grid(epochs=(5, 20), network=("cnn",), kept=(TENTH,)),
    )
    def gain_by_hardest(self, seed: int, *, epochs: int = 20, network: str = "mlp", kept: str = TENTH) -> float:
        return self.gain(seed, "hardest tenth", epochs, network, kept)

    @claim(
        "L03.3",
        "Drawing samples with a probability that grows with the loss reduces bias",
        holds=above(0.0),
        matters=0.05,
        expected="where the highest losses do, but by less: it still draws easy samples",
        over=grid(epochs=EACH_LENGTH, network=("linear", "mlp"), kept=(TENTH,))
        + grid(epochs=(20, 60), network=("linear", "mlp"), kept=(BEST_EPOCH,))
        + grid(epochs=(5,), network=("cnn",), kept=(TENTH,)),
    )
    def gain_by_drawing(self, seed: int, *, epochs: int = 20, network: str = "mlp", kept: str = TENTH) -> float:
        return self.gain(seed, "drawn tenth", epochs, network, kept)

    @claim(
        "B03.1",
        "At the same length, a network that can memorise gains less from mining than a linear model",
        holds=above(0.0),
        matters=0.05,  # points of the worst group: the gain of the linear model over that of the MLP
        expected="confirmed: it learns the rare samples one by one",
        over=grid(epochs=EACH_LENGTH),
    )
    def gained_more_by_linear(self, seed: int, *, epochs: int = 20) -> float:
        linear, large = (self.gain(seed, "hardest tenth", epochs, network) for network in ("linear", "mlp"))
        return linear - large

    @claim(
        "B03.2",
        "Without group labels, mining comes within ten points of weights that need them",
        holds=above(-0.10),
        expected="refuted: it is far behind",
        over=grid(epochs=EACH_LENGTH, network=("linear", "mlp"), select=("last",))
        + grid(epochs=(20, 60), network=("linear", "mlp"), select=("validation-worst-group",)),
    )
    def behind_weights(self, seed: int, *, epochs: int = 20, network: str = "mlp", select: str = "last") -> float:
        names = "hardest tenth", "weights by group"
        mined, weighted = (self.one(name, network).at(epochs, select) for name in names)
        return mined.value("hardest tenth", seed) - weighted.value("weights by group", seed)

    @claim(
        "B03.3",
        "With mining the worst group is better than a coin flip",
        holds=above(0.5),
        expected="refuted, even where it is better than with plain training",
        over=grid(epochs=EACH_LENGTH, network=("linear", "mlp")) + grid(epochs=(5, 20), network=("cnn",)),
    )
    def worst_group_with_mining(self, seed: int, *, epochs: int = 20, network: str = "mlp") -> float:
        return self.one("hardest tenth", network).at(epochs).value("hardest tenth", seed)

    @once
    def controls(self, network: str) -> Study:
        """As many samples as mining keeps, but any; and those that are drawn by their losses, corrected."""
        methods: dict[str, Method] = {
            "any tenth": AnyTenth(keep=0.1),
            "drawn, corrected": DrawnMining(keep=0.1, correct=True),
        }
        return self.study(methods, network, 20)

    @claim(
        "B03.4",
        "It is the choice that helps: the hardest tenth of a batch makes the worst group better than any tenth does",
        holds=above(0.0),
        matters=0.05,
        expected="confirmed",
        over=grid(epochs=(2, 5, 20), network=("linear", "mlp")),
        costly=True,
    )
    def gain_over_any_tenth(self, seed: int, *, epochs: int = 20, network: str = "linear") -> float:
        mined, control = self.one("hardest tenth", network).at(epochs), self.controls(network).at(epochs)
        return mined.value("hardest tenth", seed) - control.value("any tenth", seed)

    @claim(
        "B03.5",
        "Mining that draws by the loss and divides by the probability is plain training again: within three points",
        holds=within(-0.03, 0.03),  # of group-balanced accuracy
        expected="confirmed at every length",
        over=grid(epochs=(5, 10, 20), network=("linear", "mlp")),
        costly=True,
    )
    def gain_by_corrected_draws(self, seed: int, *, epochs: int = 20, network: str = "linear") -> float:
        metric = "group_balanced"
        corrected = self.controls(network).at(epochs).value("drawn, corrected", seed, metric)
        return corrected - self.one("plain training", network).at(epochs).value("plain training", seed, metric)

    @once
    def noisy(self, network: str) -> Study:
        methods: dict[str, Method] = {"plain training": ERM(), "hardest tenth": HardMining(keep=0.1)}
        return self.study(methods, network, 20, noisy_digits)

    @claim(
        "B03.6",
        "With one wrong label in ten, mining costs group-balanced accuracy",
        holds=below(0.0),
        matters=0.02,
        expected="confirmed: it learns the wrong labels",
        over=grid(epochs=(2, 5, 20), network=("linear", "mlp")),
        costly=True,
    )
    def gain_with_wrong_labels(self, seed: int, *, epochs: int = 20, network: str = "mlp") -> float:
        found, metric = self.noisy(network).at(epochs), "group_balanced"
        return found.value("hardest tenth", seed, metric) - found.value("plain training", seed, metric)

    @claim(
        "B03.7",
        "With one wrong label in ten, the hardest tenth holds more samples that are wrong than samples that are rare",
        holds=above(0.0),
        matters=0.10,  # of the hardest tenth
        expected="confirmed: there are twice as many",
        over=grid(epochs=EACH_LENGTH, network=("linear", "mlp")),
    )
    def more_wrong_than_rare(self, seed: int, *, epochs: int = 20, network: str = "mlp") -> float:
        found = self.looked(seed, network, "one in ten wrong")[epochs]
        return float(found.wrong.double().mean() - found.rare.double().mean())

    @claim(
        "B03.8",
        "Trained plainly, the model knows its training digits by heart: over 95 in 100 of each group",
        holds=above(0.95),
        trials=75,  # samples of a rare group
        expected="only with the MLP, and not before 20 epochs",
        over=grid(epochs=EACH_LENGTH, network=("linear", "mlp")),
    )
    def known_by_heart(self, seed: int, *, epochs: int = 20, network: str = "mlp") -> float:
        return self.looked(seed, network, "clean")[epochs].known_by_heart

    def over_epochs(self, network: str) -> pd.DataFrame:
        """The worst group after each of LENGTHS, and what the same network reaches without the bias."""
        names = ("plain training", "hardest tenth", "drawn tenth", "weights by group")
        unbiased = partial(data.colored_digits, aligned_share=0.5)
        without = self.study({"without the bias": ERM()}, network, self.epochs(60), unbiased)
        return pd.concat(each.by_epoch(epochs=LENGTHS) for each in [*(self.one(n, network) for n in names), without])

    @table("T03.1", "The worst group of the linear model over training length")
    def over_epochs_linear(self) -> pd.DataFrame:
        return self.over_epochs("linear")

    @table("T03.2", "The worst group of the MLP over training length")
    def over_epochs_mlp(self) -> pd.DataFrame:
        return self.over_epochs("mlp")
