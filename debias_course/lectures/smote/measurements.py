"""What lecture 04 measures of SMOTE."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pandas as pd
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from ... import data, models
from ...claims import Lesson, above, below, claim, grid, once, table
from ...data import GroupedData, Splits, toys
from ...evaluation import predict
from ...methods import SMOTE, InputSMOTE, OverSampling
from ...methods.smote import among_others
from ...study import Study, point, study
from ...training import train

RARE = (6, 7, 8, 9)  # digits, with 14, 8, 5 and 3 training images at a ratio of 100
NEW = {"copies": "repeat", "averages": "middle", "random points": "random"}
VOTERS = {"1-NN": 1, "5-NN": 5, "31-NN": 31}
HEADS = {"linear": models.linear, "MLP": models.mlp}
ASKED = (1, 3, 5, 9, 15, 31, 61)  # neighbours that vote, in the picture


def floats(part: GroupedData) -> GroupedData:
    """Images as numbers from 0 to 1."""
    return replace(part, inputs=part.batch(torch.arange(len(part), device=part.device)).inputs)


def embedded(features: nn.Module, part: GroupedData) -> GroupedData:
    return replace(part, inputs=predict(features, part).cpu())


def enlarged(part: GroupedData, new: str, seed: int) -> GroupedData:
    """All labels filled up to the size of the largest, by samples of a kind of NEW behind the given ones; or "nothing"
    done. The draws of who is mixed with whom, and where, are the same for all kinds and spaces."""
    if new == "nothing":
        return part
    return SMOTE(interpolation=NEW[new]).enlarge(part, generator=torch.Generator().manual_seed(seed))


def by_digit(answers: Tensor, asked: GroupedData) -> list[float]:
    """The accuracy on each label."""
    right = (answers == asked.labels).double()
    return [float(right[asked.labels == label].mean()) for label in range(asked.n_labels)]


def voted(known: GroupedData, asked: GroupedData, voters: int) -> Tensor:
    """The label that most of the nearest known samples have, for each sample that is asked for."""
    vote = KNeighborsClassifier(voters).fit(known.inputs.flatten(1).numpy(), known.labels.numpy())
    return torch.from_numpy(vote.predict(asked.inputs.flatten(1).numpy()))


def learned(known: GroupedData, asked: GroupedData, head: str, epochs: int, seed: int) -> Tensor:
    """The answers of a head that is trained on the known samples."""
    start = HEADS[head](known, seed=seed)
    return predict(train(start, known, epochs=epochs, seed=seed, device="cpu").model, asked).argmax(1)


def spread(points: Tensor) -> float:
    """The mean squared distance of points [n, ...] from their mean."""
    flat = points.flatten(1).double()
    return float((flat - flat.mean(0)).square().sum(1).mean())


def made(method: SMOTE, seed: int = 0) -> tuple[GroupedData, Tensor]:
    """The enlarged island data, and which of the new samples have a common sample for nearest."""
    given = toys.islands(seed=seed).train
    both = method.enlarge(given, generator=torch.Generator().manual_seed(seed))
    n, points = len(given), cast(Tensor, both.inputs)
    return both, among_others(points[n:], both.labels[n:], cast(Tensor, given.inputs), given.labels)


def too_high(new: str, voters: int, seed: int) -> float:
    """By how much the accuracy on held-out digits exceeds that on real test digits, where the new samples were made
    before the split."""
    parts = data.long_tailed_digits(seed=seed)
    both = enlarged(floats(parts.train), new, seed)
    order = torch.randperm(len(both), generator=torch.Generator().manual_seed(seed))
    known, held_out = both.subset(order[::2]), both.subset(order[1::2])
    reported, true = (
        float((voted(known, asked, voters) == asked.labels).double().mean()) for asked in (held_out, floats(parts.test))
    )
    return reported - true


class SMOTELesson(Lesson):
    topic = "04_smote"
    central = ("L04.1", "L04.2", "L04.3", "B04.2", "B04.4")
    quick_seeds, full_seeds = 5, 8

    @once
    def digits(self, seed: int, ratio: int) -> Splits:
        return data.long_tailed_digits(ratio=ratio, seed=seed)

    @once
    def features(self, seed: int, epochs: int, network: str, ratio: int) -> nn.Module:
        """Stage one: a network trained plainly on the long tail, without its head."""
        part = self.digits(seed, ratio).train
        run = train(models.MODELS[network](part, seed=seed), part, epochs=epochs, seed=seed)
        return run.model.get_submodule("features")

    @once
    def known(self, seed: int, new: str, mixed: str, epochs: int, network: str, ratio: int) -> GroupedData:
        """Embeddings of the training digits and of the new samples, which are mixed as pixels and then embedded, or
        mixed as embeddings."""
        features, part = self.features(seed, epochs, network, ratio), self.digits(seed, ratio).train
        if mixed == "pixels":
            return embedded(features, enlarged(floats(part), new, seed))
        return enlarged(embedded(features, part), new, seed)

    @once
    def accuracies(
        self, seed: int, new: str, classifier: str, mixed: str, epochs: int, network: str, ratio: int
    ) -> list[float]:
        """Stage two: of each digit, how many test images a classifier finds that is given the embeddings, old and new.
        A head is trained for as many epochs as the features were."""
        known = self.known(seed, new, mixed, epochs, network, ratio)
        asked = embedded(self.features(seed, epochs, network, ratio), self.digits(seed, ratio).test)
        if classifier in VOTERS:
            return by_digit(voted(known, asked, VOTERS[classifier]), asked)
        return by_digit(learned(known, asked, classifier, epochs, seed), asked)

    def rare(
        self,
        seed: int,
        new: str,
        classifier: str,
        mixed: str = "embeddings",
        epochs: int = 20,
        network: str = "mlp",
        ratio: int = 100,
    ) -> float:
        """The mean accuracy on the four rarest digits."""
        found = self.accuracies(seed, new, classifier, mixed, epochs, network, ratio)
        return sum(found[digit] for digit in RARE) / len(RARE)

    @claim(
        "L04.1",
        "SMOTE works on embeddings or vectors only, not on pixels",
        holds=above(0.0),
        matters=0.02,  # points of the rare digits, of mixed embeddings over embedded mixtures of pixels
        expected="confirmed, with the largest gain where neighbours vote: half of two images is no image",
        over=grid(classifier=("5-NN", "linear", "MLP"), epochs=(5, 20, 60), network=("mlp", "cnn"), ratio=(100,))
        + grid(classifier=("5-NN", "linear", "MLP"), epochs=(20,), network=("mlp",), ratio=(10,)),
    )
    def embeddings_over_pixels(
        self,
        seed: int,
        *,
        classifier: str = "5-NN",
        epochs: int = 20,
        network: str = "mlp",
        ratio: int = 100,
    ) -> float:
        where: dict[str, Any] = dict(epochs=epochs, network=network, ratio=ratio)
        embeddings, pixels = (
            self.rare(seed, "random points", classifier, mixed, **where) for mixed in ("embeddings", "pixels")
        )
        return embeddings - pixels

    @claim(
        "L04.2",
        "Repeating samples gives no real variety; synthetic ones do",
        holds=above(0.0),
        matters=0.02,  # points of the rare digits, of random points over as many copies
        expected="only where neighbours vote: a line hardly moves for points between its own (Blagus and Lusa 2013)",
        over=grid(classifier=(*VOTERS, *HEADS), epochs=(5, 20, 60), network=("mlp", "cnn"), ratio=(100,))
        + grid(classifier=(*VOTERS, *HEADS), epochs=(20,), network=("mlp",), ratio=(10,)),
    )
    def random_points_over_copies(
        self,
        seed: int,
        *,
        classifier: str = "5-NN",
        epochs: int = 20,
        network: str = "mlp",
        ratio: int = 100,
    ) -> float:
        where: dict[str, Any] = dict(epochs=epochs, network=network, ratio=ratio)
        random, copies = (self.rare(seed, new, classifier, **where) for new in ("random points", "copies"))
        return random - copies

    @claim(
        "L04.3",
        "New samples are averages of neighbours of one population",
        holds=above(0.0),  # points of the rare digits, over random points between the same neighbours: no worse
        expected="only with a head: neighbours that vote profit from points everywhere on the way",
        over=grid(classifier=(*VOTERS, *HEADS), epochs=(5, 20, 60), network=("mlp",), ratio=(100,))
        + grid(classifier=(*VOTERS, *HEADS), epochs=(20,), network=("cnn",), ratio=(100,))
        + grid(classifier=(*VOTERS, *HEADS), epochs=(20,), network=("mlp",), ratio=(10,)),
    )
    def averages_over_random_points(
        self,
        seed: int,
        *,
        classifier: str = "5-NN",
        epochs: int = 20,
        network: str = "mlp",
        ratio: int = 100,
    ) -> float:
        where: dict[str, Any] = dict(epochs=epochs, network=network, ratio=ratio)
        averages, random = (self.rare(seed, new, classifier, **where) for new in ("averages", "random points"))
        return averages - random

    @claim(
        "B04.1",
        "Copies alone help: with them, more of the rare digits are found than with the samples as they are",
        holds=above(0.0),
        matters=0.02,
        expected="confirmed: the common digits no longer outvote the rare ones",
        over=grid(classifier=("5-NN", "31-NN", *HEADS), ratio=(10, 100)),
    )
    def copies_over_nothing(self, seed: int, *, classifier: str = "5-NN", ratio: int = 100) -> float:
        copies, nothing = (self.rare(seed, new, classifier, ratio=ratio) for new in ("copies", "nothing"))
        return copies - nothing

    @claim(
        "B04.2",
        "New samples vary more than those that they are made of",
        holds=above(0.0),
        matters=0.05,  # of the mean squared distance from their mean
        expected="refuted: a random point between independent samples has two thirds of their variance",
        over=grid(new=("random points", "averages"), space=("embeddings", "pixels"), ratio=(10, 100)),
    )
    def spread_of_new_samples(
        self, seed: int, *, new: str = "random points", space: str = "embeddings", ratio: int = 100
    ) -> float:
        part = self.in_space(seed, space, ratio)
        both, n = enlarged(part, new, seed), len(part)
        labels, points = both.labels, cast(Tensor, both.inputs)
        ratios = [spread(points[n:][labels[n:] == r]) / spread(points[:n][labels[:n] == r]) for r in RARE]
        return sum(ratios) / len(ratios) - 1

    def in_space(self, seed: int, space: str, ratio: int, split: str = "train") -> GroupedData:
        part = getattr(self.digits(seed, ratio), split)
        return floats(part) if space == "pixels" else embedded(self.features(seed, 20, "mlp", ratio), part)

    @claim(
        "B04.3",
        "With new samples, an unseen rare digit has a sample of its kind that is more than a twentieth nearer",
        holds=above(0.05),
        expected="only at a ratio of 100: where the samples are few, the gaps between them are wide",
        over=grid(new=("random points", "averages"), space=("embeddings", "pixels"), ratio=(10, 100)),
    )
    def nearer(self, seed: int, *, new: str = "random points", space: str = "embeddings", ratio: int = 100) -> float:
        known, asked = self.in_space(seed, space, ratio), self.in_space(seed, space, ratio, "test")
        shares = []
        for digit in RARE:
            seen, unseen, both = (
                cast(Tensor, part.inputs)[part.labels == digit].flatten(1)
                for part in (known, asked, enlarged(known, new, seed))
            )
            shares.append(float(torch.cdist(unseen, both).amin(1).mean() / torch.cdist(unseen, seen).amin(1).mean()))
        return 1 - sum(shares) / len(shares)

    @claim(
        "B04.7",
        "Mixed pixels beat copies",
        holds=above(0.0),
        matters=0.02,
        expected="refuted, as the lecture says",
        over=grid(classifier=("5-NN", "linear", "MLP"), network=("mlp", "cnn")),
    )
    def pixels_over_copies(self, seed: int, *, classifier: str = "5-NN", network: str = "mlp") -> float:
        pixels = self.rare(seed, "random points", classifier, "pixels", network=network)
        return pixels - self.rare(seed, "copies", classifier, network=network)

    @claim(
        "B04.6",
        "SMOTE costs accuracy on the six common digits",
        holds=below(0.0),
        matters=0.01,
        expected="only where neighbours vote: there new samples take places from the common digits",
        over=grid(classifier=("5-NN", "31-NN", *HEADS), against=("copies", "nothing")),
    )
    def gain_of_the_common(self, seed: int, *, classifier: str = "5-NN", against: str = "copies") -> float:
        random, other = (
            self.accuracies(seed, new, classifier, "embeddings", 20, "mlp", 100) for new in ("random points", against)
        )
        common = [digit for digit in range(10) if digit not in RARE]
        return sum(random[digit] - other[digit] for digit in common) / len(common)

    @once
    def in_one_stage(self, network: str) -> Study:
        """A network that sees copies of the images, or mixtures, from the first epoch on."""
        return study(
            {"copies": OverSampling(by="label"), "mixed pixels": InputSMOTE()},
            data.long_tailed_digits,
            seeds=self.seeds,
            model=models.MODELS[network],
            epochs=20,
            test_every_epoch=True,
        )

    @claim(
        "B04.8",
        "A network trained on mixed pixels from the start finds more of the rare digits than one trained on copies",
        holds=above(0.0),
        matters=0.02,
        expected="refuted, as the lecture says",
        over=grid(epochs=(5, 20), network=("mlp", "cnn")),
        costly=True,
    )
    def mixed_pixels_in_one_stage(self, seed: int, *, epochs: int = 20, network: str = "mlp") -> float:
        found = self.in_one_stage(network).at(epochs)
        return found.value("mixed pixels", seed, "few_shot") - found.value("copies", seed, "few_shot")

    @claim(
        "B04.4",
        "On two islands, fewer than a tenth of the new samples land among the common ones",
        holds=below(0.10),
        expected="only where k is no larger than the nine others on an island",
        over=grid(k=(3, 5, 9, 12, 15, 19), population=("class",)) + grid(k=(3, 5, 9), population=("island",)),
        trials=180,  # new samples on each seed
    )
    def among_the_common(self, seed: int, *, k: int = 5, population: str = "class") -> float:
        by = {"class": "label", "island": "group"}[population]
        return float(made(SMOTE(k=k, by=by), seed)[1].double().mean())

    @claim(
        "B04.5",
        "Where new samples are made before the split, the reported accuracy is more than ten points too high",
        holds=above(0.10),
        expected="confirmed, with copies as well",
        over=grid(new=("copies", "averages", "random points"), neighbours=(1, 5)),
    )
    def reported_too_high(self, seed: int, *, new: str = "random points", neighbours: int = 5) -> float:
        return too_high(new, neighbours, seed)

    @table("T04.1", "The accuracy on the four rarest digits over the number of neighbours that vote")
    def over_voters(self) -> pd.DataFrame:
        rows = []
        for new in ("nothing", *NEW):
            found: dict[int, list[float]] = {voters: [] for voters in ASKED}
            for seed in self.seeds:
                known = self.known(seed, new, "embeddings", 20, "mlp", 100)
                asked = embedded(self.features(seed, 20, "mlp", 100), self.digits(seed, 100).test)
                for voters in ASKED:
                    each = by_digit(voted(known, asked, voters), asked)
                    found[voters].append(sum(each[digit] for digit in RARE) / len(RARE))
            for voters, values in found.items():
                rows.append(point(new, voters, values))
        return pd.DataFrame(rows)

    @table(
        "T04.2", "The accuracy on the four rarest digits over training length, of two stages with an MLP as the second"
    )
    def over_epochs(self) -> pd.DataFrame:
        rows = []
        for name, new, mixed in (
            ("nothing", "nothing", "embeddings"),
            ("copies", "copies", "embeddings"),
            ("mixed pixels", "random points", "pixels"),
            ("mixed embeddings", "random points", "embeddings"),
        ):
            for epochs in (5, 20, 60):
                values = [self.rare(seed, new, "MLP", mixed, epochs=epochs) for seed in self.seeds]
                rows.append(point(name, epochs, values))
        return pd.DataFrame(rows)
