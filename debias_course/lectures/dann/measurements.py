"""What lecture 09 measures of domain-adversarial training."""

from __future__ import annotations

from typing import Any

import pandas as pd
from joblib import delayed

from ...claims import Lesson, above, below, claim, grid, once, table
from ...methods import DANN, ERM, BatchSampling, Method
from ...study import in_workers, mean_over_seeds
from .readers import TARGET, read

LENGTHS = {"two domains": (5, 10, 20), "ten colours": (5, 20, 40), "two colours": (5, 20, 40)}
CHANCE = {"two domains": 0.5, "ten colours": 0.1, "two colours": 0.5}
ADAPTED = (
    grid(optimizer=("sgd",), strength=(0.2,), epochs=LENGTHS["two domains"])
    + grid(optimizer=("sgd",), strength=(0.5,), epochs=(10,))
    + grid(optimizer=("adamw",), strength=(0.2, 0.5), epochs=(10,))
)
BOTH = grid(data=("ten colours", "two colours"), epochs=LENGTHS["ten colours"])
READERS = ("probe", "demographic parity", "equalised odds")


def made(kind: str, strength: float) -> Method:
    """The method that a circumstance names."""
    if kind in ("plain", "balanced"):
        return ERM() if kind == "plain" else BatchSampling()
    more: dict[str, dict[str, Any]] = {
        "domains": TARGET,
        "reversal": {},
        "reversal, label told": dict(conditional=True),
        "balanced reversal": dict(sampling="groups"),
    }
    return DANN(strength=strength, **more[kind])


class DANNLesson(Lesson):
    topic = "09_dann"
    # Not B09.2 yet: the two blocks of seeds agree under SGD at λ = 0.2, and not on whether that is all that is known.
    central = ("L09.1", "B09.1", "L09.2", "B09.3")
    full_seeds = 8

    @once
    def run(self, kind: str, data: str, optimizer: str, strength: float, epochs: tuple[int, ...]) -> list[dict]:
        method = made(kind, strength)
        return in_workers([delayed(read)(method, data, optimizer, epochs, seed) for seed in self.seeds])

    def found(
        self, seed: int, kind: str, data: str, epochs: int, strength: float = 0.0, optimizer: str = "adamw"
    ) -> dict[str, float]:
        """What is read after one training. λ rises with the share of training that is done, so that each length is a
        training of its own; without a reversal, a long one holds the shorter ones."""
        usual = "sgd" if data == "two domains" else "adamw"
        whole = strength == 0 and optimizer == usual and self.budget == "full"
        lengths = LENGTHS[data] if whole else (epochs,)
        return self.run(kind, data, optimizer, strength, lengths)[self.seeds.index(seed)][epochs]

    def colored(self, seed: int, kind: str, data: str, epochs: int, strength: float | None = None) -> dict[str, float]:
        """λ is 1 on plain batches, and a half on balanced ones."""
        usual = {"plain": 0.0, "balanced": 0.0, "balanced reversal": 0.5}.get(kind, 1.0)
        return self.found(seed, kind, data, epochs, usual if strength is None else strength)

    def readers(self) -> dict[str, list[dict[str, float]]]:
        """By training, what is read on each seed, in the middle of the circumstances: for a picture."""
        kinds = ("plain", "balanced", "reversal", "balanced reversal")
        return {kind: [self.colored(seed, kind, "ten colours", 20) for seed in self.seeds] for kind in kinds}

    def adapted(self, seed: int, optimizer: str, strength: float, epochs: int) -> dict[str, float]:
        return self.found(seed, "domains", "two domains", epochs, strength, optimizer)

    @claim(
        "L09.1",
        "DANN makes features invariant to the domain",
        holds=below(0.05),  # what a fresh linear probe reads above chance; of proxy A-distances that is 0.2
        expected="confirmed under SGD, as the lecture and the paper have it; under AdamW we are not sure",
        over=ADAPTED,
    )
    def above_chance(self, seed: int, *, optimizer: str = "sgd", strength: float = 0.2, epochs: int = 10) -> float:
        return self.adapted(seed, optimizer, strength, epochs)["probe"] - CHANCE["two domains"]

    @claim(
        "B09.1",
        "DANN makes features less informative of the domain than the same training without a reversal",
        holds=below(0.0),
        matters=0.02,  # of the share that a fresh probe gets right
        expected="confirmed under SGD; under AdamW the features move too fast for the discriminator",
        over=ADAPTED,
    )
    def probe_lost(self, seed: int, *, optimizer: str = "sgd", strength: float = 0.2, epochs: int = 10) -> float:
        with_it, without = (self.adapted(seed, optimizer, each, epochs)["probe"] for each in (strength, 0.0))
        return with_it - without

    @claim(
        "B09.2",
        "DANN classifies a domain better of which no label is known",
        holds=above(0.0),
        matters=0.02,  # accuracy on the target, over the same training without a reversal
        expected="confirmed; the more, the longer training is",
        over=ADAPTED,
    )
    def target_gained(self, seed: int, *, optimizer: str = "sgd", strength: float = 0.2, epochs: int = 10) -> float:
        with_it, without = (self.adapted(seed, optimizer, each, epochs)["target"] for each in (strength, 0.0))
        return with_it - without

    @claim(
        "L09.2",
        "DANN makes features invariant to a sensitive attribute such as race or gender",
        holds=below(0.05),  # above chance for the probe; between the two colours for demographic parity and for odds
        expected="demographic parity where batches are balanced; equalised odds where the label is told; not the probe",
        over=grid(
            training=("reversal", "reversal, label told", "balanced reversal"), judged_by=READERS, epochs=(5, 20, 40)
        ),
        trials=1000,  # test images: a probe may be right on all of them, on every seed
    )
    def left(
        self, seed: int, *, training: str = "balanced reversal", judged_by: str = "equalised odds", epochs: int = 20
    ) -> float:
        found = self.colored(seed, training, "two colours", epochs)[judged_by]
        return found - CHANCE["two colours"] if judged_by == "probe" else found

    @claim(
        "B09.3",
        "In balanced batches, a reversal makes the colour less readable than balancing alone does",
        holds=below(0.0),
        matters=0.02,  # of the share of colours that a fresh probe gets right
        expected="confirmed: here no label is in the way, so the reversal can do what it is made for",
        over=BOTH,
    )
    def taken_by_the_reversal(self, seed: int, *, data: str = "ten colours", epochs: int = 20) -> float:
        both, alone = (self.colored(seed, kind, data, epochs)["probe"] for kind in ("balanced reversal", "balanced"))
        return both - alone

    @claim(
        "B09.4",
        "Balanced batches alone, without a reversal, make the colour less readable than plain training does",
        holds=below(0.0),
        matters=0.05,
        expected="confirmed: where the colour says nothing of the digit, nothing asks for it",
        over=BOTH,
    )
    def taken_by_balancing(self, seed: int, *, data: str = "ten colours", epochs: int = 20) -> float:
        alone, plain = (self.colored(seed, kind, data, epochs)["probe"] for kind in ("balanced", "plain"))
        return alone - plain

    @claim(
        "B09.5",
        "On plain batches, a reversal makes the colour less readable than plain training does",
        holds=below(0.0),
        matters=0.05,
        expected="confirmed with a strong reversal",
        over=grid(data=("ten colours",), strength=(0.3, 1.0), epochs=(20,))
        + grid(data=("ten colours", "two colours"), strength=(1.0,), epochs=(5, 40))
        + grid(data=("two colours",), strength=(1.0,), epochs=(20,)),
    )
    def taken_on_plain_batches(
        self, seed: int, *, data: str = "ten colours", strength: float = 1.0, epochs: int = 20
    ) -> float:
        reversed_, plain = (self.colored(seed, *how) for how in self._pair(data, strength, epochs))
        return reversed_["probe"] - plain["probe"]

    @staticmethod
    def _pair(data: str, strength: float, epochs: int) -> list[tuple[Any, ...]]:
        return [("reversal", data, epochs, strength), ("plain", data, epochs, 0.0)]

    @claim(
        "B09.6",
        "A fresh probe names the colour more often than the discriminator that was fooled",
        holds=above(0.0),
        matters=0.1,
        expected="confirmed (Elazar and Goldberg 2018)",
        over=BOTH,
    )
    def probe_over_discriminator(self, seed: int, *, data: str = "ten colours", epochs: int = 20) -> float:
        found = self.colored(seed, "balanced reversal", data, epochs)
        return found["probe"] - found["discriminator"]

    @claim(
        "B09.7",
        "A reversal adds to the accuracy of balanced batches",
        holds=above(0.0),
        matters=0.02,
        expected="no difference that matters",
        over=BOTH,
    )
    def gained_over_balancing(self, seed: int, *, data: str = "ten colours", epochs: int = 20) -> float:
        both, alone = (self.colored(seed, kind, data, epochs)["accuracy"] for kind in ("balanced reversal", "balanced"))
        return both - alone

    @claim(
        "B09.8",
        "On plain batches, a reversal costs accuracy",
        holds=below(0.0),
        matters=0.02,
        expected="confirmed with a strong one; a weak one may gain",
        over=grid(data=("ten colours",), strength=(0.3, 1.0), epochs=(20,))
        + grid(data=("ten colours", "two colours"), strength=(1.0,), epochs=(5, 40))
        + grid(data=("two colours",), strength=(1.0,), epochs=(20,)),
    )
    def lost_on_plain_batches(
        self, seed: int, *, data: str = "ten colours", strength: float = 1.0, epochs: int = 20
    ) -> float:
        reversed_, plain = (self.colored(seed, *how) for how in self._pair(data, strength, epochs))
        return reversed_["accuracy"] - plain["accuracy"]

    @claim(
        "B09.9",
        "A discriminator that is told the label leaves a smaller gap in equalised odds than one that is not",
        holds=below(0.0),
        matters=0.05,
        expected="confirmed: equalised odds are what it asks for",
        over=grid(epochs=LENGTHS["two colours"]),
    )
    def gap_by_telling(self, seed: int, *, epochs: int = 20) -> float:
        told, untold = (
            self.colored(seed, kind, "two colours", epochs)["equalised odds"]
            for kind in ("reversal, label told", "reversal")
        )
        return told - untold

    @table("T09.1", "What a fresh probe reads of ten colours after trainings of three lengths")
    def probes(self) -> pd.DataFrame:
        return self._table("ten colours", "probe", ("plain", "balanced", "reversal", "balanced reversal"))

    @table("T09.2", "Gaps in equalised odds between two colours after trainings of three lengths")
    def odds(self) -> pd.DataFrame:
        kinds = ("plain", "balanced", "reversal", "reversal, label told", "balanced reversal")
        return self._table("two colours", "equalised odds", kinds)

    def _table(self, data: str, what: str, kinds: tuple[str, ...]) -> pd.DataFrame:
        rows = []
        for epochs in LENGTHS[data]:
            for kind in kinds:
                mean = mean_over_seeds([self.colored(seed, kind, data, epochs)[what] for seed in self.seeds])
                rows.append(dict(method=kind, epoch=epochs, value=mean.value, low=mean.low, high=mean.high))
        return pd.DataFrame(rows)
