"""What lecture 06 measures of spectral decoupling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from joblib import delayed
from torch import Tensor

from ...claims import Lesson, above, below, claim, grid, once, table
from ...data.biases import colored_mnist
from ...methods import ERM, ColoredMNISTDecoupling, Method, SpectralDecoupling
from ...methods.spectral_decoupling import single_logit
from ...study import Study, in_workers, point, study
from .features import rank_correlation
from .trainings import LENGTHS, ROUNDS, TURNS, LabelSmoothing, bent, followed, learned

EACH_LENGTH = (5, 20, 60)
DRAWS = 16  # of the twelve features for each seed: which variance meets which strength is luck
TRIES = {"SD": (0.01, 0.1, 1.0), "weight decay": (0.1, 1.0, 10.0), "label smoothing": (0.05, 0.2, 0.5), "plain": (0.0,)}
YES, NO = "with", "without"
SCHEDULES = {  # of Colored MNIST, by its name in pictures: the penalty, and the factor from step 450 on
    "penalty and factor, as published": (YES, YES),
    "penalty only": (YES, NO),
    "factor only": (NO, YES),
    "neither": (NO, NO),
}


def pull_and_variance(relied: Tensor, pull: Tensor, variances: Tensor, strengths: Tensor) -> float:
    return rank_correlation(pull, variances)


def pull_and_strength(relied: Tensor, pull: Tensor, variances: Tensor, strengths: Tensor) -> float:
    return rank_correlation(pull, strengths)


def share_of_high_variance(relied: Tensor, pull: Tensor, variances: Tensor, strengths: Tensor) -> float:
    """Of all reliance on the features, the share that the half of them with the higher variances has."""
    return float(relied[variances > variances.median()].sum() / relied.sum())


class SpectralDecouplingLesson(Lesson):
    topic = "06_spectral_decoupling"
    central = ("L06.1", "L06.2", "B06.1", "L06.3", "B06.6")
    full_seeds = 8

    @once
    def run(self, kind: str, strength: float, where: str, network: str) -> list[dict]:
        """Trainings on coloured digits, one for each seed. The quick budget trains for 20 epochs, and so do networks of
        convolutions and linear ones."""
        method: Method = ERM()
        if kind == "SD":
            method = SpectralDecoupling(strength=strength, variant="margin")
        if kind == "label smoothing":
            method = LabelSmoothing(strength=strength)
        decay = strength if kind == "weight decay" else 0.0
        epochs = LENGTHS[-1] if self.budget == "full" and network == "mlp" else 20
        jobs = [delayed(followed)(method, where, network, decay, epochs, seed) for seed in self.seeds]
        return in_workers(jobs)

    def reached(self, seed: int, what: str, epochs: int, kind: str, strength: float, where: str, network: str) -> float:
        return self.run(kind, strength, where, network)[self.seeds.index(seed)][epochs][what]

    @once
    def half_circles(self, strength: float, gap: float, variant: str) -> list[dict]:
        method = SpectralDecoupling(strength=strength, variant=variant)
        steps = TURNS[-1] if self.budget == "full" else TURNS[0]
        jobs = [delayed(bent)(method, gap, steps, seed) for seed in self.seeds]
        return in_workers(jobs)

    def right(self, seed: int, strength: float, steps: int, gap: float = 0.5) -> float:
        return self.half_circles(strength, gap, "margin")[self.seeds.index(seed)][steps][0]

    @claim(
        "L06.1",
        "Networks rely on the statistically dominant feature and starve the others (gradient starvation)",
        holds=above(0.0),
        matters=0.05,  # what the other feature alone gets right is so much less than where nothing dominates it
        expected="confirmed; the less so, the longer training is",
        over=grid(data=("digits 95 %", "digits 99 %", "digits 100 %"), network=("mlp",), epochs=EACH_LENGTH)
        + grid(data=("digits 95 %",), network=("cnn",), epochs=(5, 20))
        + grid(data=("half circles",), network=("mlp",), epochs=TURNS),
    )
    def starved(self, seed: int, *, data: str = "digits 95 %", network: str = "mlp", epochs: int = 20) -> float:
        if data == "half circles":  # which interlock if the gap is -0.5: then the flat cut does not dominate
            return self.right(seed, 0.0, epochs, gap=-0.5) - self.right(seed, 0.0, epochs)
        free, biased = (
            self.reached(seed, "shape", epochs, "plain", 0.0, where, network) for where in ("no bias", data)
        )
        return free - biased

    @claim(
        "L06.2",
        "Spectral decoupling overcomes gradient starvation without bias labels",
        holds=above(0.0),
        matters=0.03,  # gained over plain training
        expected="confirmed where λ is neither tiny nor huge, by either measure; least where rare samples are few",
        over=grid(
            data=("digits 95 %",),
            network=("mlp",),
            strength=TRIES["SD"],
            judged_by=("shape alone", "worst group"),
            epochs=EACH_LENGTH,
        )
        + grid(
            data=("digits 99 %",),
            network=("mlp",),
            strength=(0.1,),
            judged_by=("shape alone", "worst group"),
            epochs=EACH_LENGTH,
        )
        + grid(
            data=("digits 95 %",),
            network=("cnn",),
            strength=(0.1,),
            judged_by=("shape alone", "worst group"),
            epochs=(5, 20),
        )
        + grid(
            data=("half circles",), network=("mlp",), strength=TRIES["SD"], judged_by=("other feature",), epochs=TURNS
        ),
    )
    def gain(
        self,
        seed: int,
        *,
        data: str = "digits 95 %",
        network: str = "mlp",
        strength: float = 0.1,
        judged_by: str = "shape alone",
        epochs: int = 20,
    ) -> float:
        if data == "half circles":
            return self.right(seed, strength, epochs) - self.right(seed, 0.0, epochs)
        what = "shape" if judged_by == "shape alone" else "worst"
        penalised, plain = (
            self.reached(seed, what, epochs, kind, how, data, network) for kind, how in (("SD", strength), ("plain", 0))
        )
        return penalised - plain

    def found_by_search(self, seed: int, kind: str, chosen_by: str, epochs: int) -> float:
        """The worst group on test of the strength and the epoch, up to `epochs`, that are best on validation."""
        tried = [
            (noted["validation_worst" if chosen_by == "worst group" else "validation_mean"], noted["worst"])
            for strength in TRIES[kind]
            for epoch, noted in self.run(kind, strength, "digits 95 %", "mlp")[self.seeds.index(seed)].items()
            if epoch <= epochs
        ]
        return max(tried, key=lambda each: each[0])[1]

    @claim(
        "B06.1",
        "Searched alike, spectral decoupling has a better worst group than weight decay, label smoothing or neither",
        holds=above(0.0),
        matters=0.03,
        expected="confirmed against weight decay and none; label smoothing limits the margins, too, and does as well",
        over=grid(
            against=("weight decay", "label smoothing", "plain"), chosen_by=("worst group", "mean"), epochs=(20, 60)
        ),
        costly=True,
    )
    def gain_by_search(
        self, seed: int, *, against: str = "plain", chosen_by: str = "worst group", epochs: int = 20
    ) -> float:
        return self.found_by_search(seed, "SD", chosen_by, epochs) - self.found_by_search(
            seed, against, chosen_by, epochs
        )

    @once
    def features(self, strength: float, network: str, optimizer: str) -> list[dict]:
        """All draws of the first seed, then those of the next."""
        steps = ROUNDS[-1] if self.budget == "full" else ROUNDS[1]
        draws = [seed + 10_000 * draw for seed in self.seeds for draw in range(DRAWS)]
        return in_workers([delayed(learned)(strength, network, optimizer, steps, draw) for draw in draws])

    def mean_over_draws(
        self, seed: int, strength: float, network: str, optimizer: str, steps: int, of: Callable[..., float]
    ) -> float:
        """Of a number made of what `learned` notes: reliance, pull, variance and strength of each feature."""
        first = DRAWS * self.seeds.index(seed)
        draws = self.features(strength, network, optimizer)[first : first + DRAWS]
        return sum(of(*draw[steps]) for draw in draws) / DRAWS

    @claim(
        "L06.3",
        "Spectral decoupling penalises reliance on features of high variance",
        holds=above(0.0),
        matters=0.5,  # rank correlation between a feature's variance and how hard the penalty's gradient pulls on it
        expected="confirmed: of a linear model the gradient is the variance times the weight",
        over=grid(network=("linear", "mlp"), optimizer=("sgd", "adamw"), steps=ROUNDS),
    )
    def pull_by_variance(self, seed: int, *, network: str = "mlp", optimizer: str = "adamw", steps: int = 100) -> float:
        return self.mean_over_draws(seed, 0.0, network, optimizer, steps, pull_and_variance)

    @claim(
        "B06.2",
        "Spectral decoupling penalises reliance on features that tell the label well, whatever their variance",
        holds=above(0.0),
        matters=0.5,  # rank correlation between a feature's correlation with the label and the pull
        expected="refuted",
        over=grid(network=("linear", "mlp"), optimizer=("sgd", "adamw"), steps=ROUNDS),
    )
    def pull_by_strength(self, seed: int, *, network: str = "mlp", optimizer: str = "adamw", steps: int = 100) -> float:
        return self.mean_over_draws(seed, 0.0, network, optimizer, steps, pull_and_strength)

    @claim(
        "B06.3",
        "A network trained with spectral decoupling relies less on the features of high variance",
        holds=above(0.0),
        matters=0.05,  # of all reliance, over plain training
        expected="confirmed",
        over=grid(network=("linear", "mlp"), optimizer=("sgd", "adamw"), steps=ROUNDS),
    )
    def less_on_high_variance(
        self, seed: int, *, network: str = "mlp", optimizer: str = "adamw", steps: int = 100
    ) -> float:
        plain, penalised = (
            self.mean_over_draws(seed, strength, network, optimizer, steps, share_of_high_variance)
            for strength in (0.0, 0.3)
        )
        return plain - penalised

    @claim(
        "B06.4",
        "A penalty on the logit of the true class alone leaves margins more than twice as large",
        holds=above(2.0),
        expected="confirmed: the other logit is free to sink",
        over=grid(epochs=TURNS),
    )
    def evaded(self, seed: int, *, epochs: int = 150) -> float:
        place = self.seeds.index(seed)
        free, held = (self.half_circles(0.1, 0.5, variant)[place][epochs][1] for variant in ("true", "margin"))
        return free / held

    @claim(
        "B06.5",
        "Spectral decoupling costs the worst group of a logistic regression",
        holds=below(0.0),
        matters=0.03,
        expected="confirmed at every λ",
        over=grid(strength=TRIES["SD"], epochs=(5, 20)),
    )
    def cost_in_a_linear_model(self, seed: int, *, strength: float = 0.1, epochs: int = 20) -> float:
        penalised, plain = (
            self.reached(seed, "worst", epochs, kind, how, "digits 95 %", "linear")
            for kind, how in (("SD", strength), ("plain", 0.0))
        )
        return penalised - plain

    @once
    def schedules(self) -> Study:
        """The four on Colored MNIST, in steps with the whole training set: minutes for each."""
        methods = {
            name: ColoredMNISTDecoupling(penalised=penalty == YES, last_factor=factor == YES)
            for name, (penalty, factor) in SCHEDULES.items()
        }
        how: dict[str, Any] = dict(model=single_logit, batch_size=4000, lr=1e-4, epochs=2001, test_every_epoch=True)
        return study(methods, colored_mnist, seeds=self.seeds, **how)

    def misled(self, seed: int, penalty: str, factor: str, steps: int) -> float:
        """The share of the test digits, most of them of a misleading colour, that is right."""
        (name,) = (name for name, parts in SCHEDULES.items() if parts == (penalty, factor))
        return self.schedules().at(steps).value(name, seed, "overall")

    @claim(
        "B06.6",
        "The published gain on Colored MNIST comes from the penalty",
        holds=above(0.0),
        matters=0.05,  # of the test digits
        expected="only with the factor",
        over=grid(factor=(YES, NO), steps=(1001, 2001)),
        costly=True,
    )
    def gain_by_penalty(self, seed: int, *, factor: str = YES, steps: int = 2001) -> float:
        return self.misled(seed, YES, factor, steps) - self.misled(seed, NO, factor, steps)

    @claim(
        "B06.7",
        "The published gain on Colored MNIST comes from the factor of 2e-5 on the later steps",
        holds=above(0.0),
        matters=0.05,
        expected="confirmed, and more with the penalty: the factor all but stops training, before colour has won",
        over=grid(penalty=(YES, NO), steps=(1001, 2001)),
        costly=True,
    )
    def gain_by_factor(self, seed: int, *, penalty: str = YES, steps: int = 2001) -> float:
        return self.misled(seed, penalty, YES, steps) - self.misled(seed, penalty, NO, steps)

    @table("T06.4", "Colored MNIST over the steps of training, with and without penalty and factor")
    def colored_mnist_over_steps(self) -> pd.DataFrame:
        steps = (50, 100, 200, 300, 450, 460, 480, 500, 600, 800, 1001, 1500, 2001)
        return self.schedules().by_epoch("overall", epochs=steps)

    def means(self, what: str, names: Mapping[str, tuple], epochs: Sequence[int]) -> pd.DataFrame:
        """For a picture: by name and epoch the mean of what (kind, strength, data) reach, with its interval."""
        rows = []
        for name, (kind, strength, where) in names.items():
            for epoch in epochs:
                values = [noted[epoch][what] for noted in self.run(kind, strength, where, "mlp")]
                rows.append(point(name, epoch, values))
        return pd.DataFrame(rows)

    def three(self, what: str) -> pd.DataFrame:
        names = {
            "plain training": ("plain", 0.0, "digits 95 %"),
            "penalty, λ = 0.1": ("SD", 0.1, "digits 95 %"),
            "without the bias": ("plain", 0.0, "no bias"),
        }
        return self.means(what, names, LENGTHS)

    @table("T06.1", "What the shape alone gets right, over training length")
    def shape_over_epochs(self) -> pd.DataFrame:
        return self.three("shape")

    @table("T06.2", "The worst group over training length, with and without the penalty, and without the bias")
    def worst_over_epochs(self) -> pd.DataFrame:
        return self.three("worst")

    @table("T06.3", "The worst group and what the shape alone gets right, over the strength of the penalty")
    def over_strengths(self) -> pd.DataFrame:
        found = []
        for strength in (*TRIES["SD"], 10.0):
            for what, name in ("shape", "shape alone"), ("worst", "worst group"):
                made = self.means(what, {name: ("SD", strength, "digits 95 %")}, (20, 60))
                found.append(made.assign(method=[f"{name}, {n} epochs" for n in made["epoch"]], epoch=strength))
        return pd.concat(found)
