"""What lecture 06 measures of spectral decoupling."""

from __future__ import annotations

import functools
from functools import cached_property
from typing import Any

from torch import nn

from ... import data, models
from ...claims import Lesson, above, below, claim, within
from ...data import toys
from ...data.biases import colored_mnist
from ...evaluation import evaluate, predict
from ...methods import ERM, ColoredMNISTDecoupling, LossReweighting, Method, SpectralDecoupling
from ...methods.spectral_decoupling import single_logit
from ...study import Study, study
from ...training import train

STRENGTHS = {"margin": 0.1, "all": 0.4, "true": 0.1}  # by variant


@functools.cache
def fitted(method: Method, gap: float = 0.5, seed: int = 0) -> nn.Module:
    """A network of 64 hidden units after 300 steps on all training samples at once."""
    part = toys.moons(gap=gap, seed=seed).train
    start = models.mlp(part, hidden=(64,), seed=seed)
    return train(start, part, method, epochs=300, batch_size=len(part), lr=0.02, seed=seed, device="cpu").model


def right(method: Method, seed: int, gap: float = 0.5) -> float:
    """Share of right answers where the half circles interlock."""
    return evaluate(fitted(method, gap, seed), toys.moons(gap=gap, seed=seed).test).overall.value


def margin(variant: str, seed: int) -> float:
    """Mean distance of the two logits over the training samples."""
    method = SpectralDecoupling(strength=STRENGTHS[variant], variant=variant)
    logits = predict(fitted(method, seed=seed), toys.moons(gap=0.5, seed=seed).train)
    return float(logits.diff(dim=1).abs().mean())


class SpectralDecouplingLesson(Lesson):
    topic = "06_spectral_decoupling"

    @claim(
        "L06.1a",
        "Trained with a gap, a network is right on fewer than nineteen of twenty interlocking samples",
        holds=below(0.95),
    )
    def right_with_a_gap(self, seed: int) -> float:
        return right(ERM(), seed)

    @claim(
        "L06.1b",
        "Trained without the gap, it is right on nearly all of them: it can learn the half circles",
        holds=above(0.98),
        trials=300,  # test samples
    )
    def right_without_a_gap(self, seed: int) -> float:
        return right(ERM(), seed, gap=-0.5)

    @claim(
        "L06.2a",
        "With the gap and the penalty it is better by more than five points than without the penalty",
        holds=above(0.05),
    )
    def gain_on_half_circles(self, seed: int) -> float:
        return right(SpectralDecoupling(strength=0.02, variant="margin"), seed) - right(ERM(), seed)

    @cached_property
    def runs(self) -> Study:
        """Sixty epochs with a small learning rate, the last one tested."""
        methods = {
            "ERM": ERM(),
            "margin, λ = 1": SpectralDecoupling(strength=1.0, variant="margin"),
            "re-weighting (told the groups)": LossReweighting(),
        }
        return study(methods, data.colored_digits, seeds=self.seeds, epochs=60, lr=3e-4)

    @cached_property
    def chosen(self) -> Study:
        """A short training of loss re-weighting, of which validation chooses the epoch."""
        early: dict[str, Any] = dict(epochs=15, lr=3e-4, select="validation-worst-group")
        return study({"re-weighting": LossReweighting()}, data.colored_digits, seeds=self.seeds, **early)

    def lead(self, name: str, other: str, seed: int) -> float:
        return self.runs.value(name, seed) - self.runs.value(other, seed)

    @claim("L06.2b", "Without group labels the penalty lifts the worst group of the digits", holds=above(0.0))
    def gain_on_digits(self, seed: int) -> float:
        return self.lead("margin, λ = 1", "ERM", seed)

    @claim(
        "B06.2c",
        "Loss re-weighting at the epoch that validation chooses is better than the penalty by more than ten points",
        holds=above(0.10),
    )
    def lead_of_chosen_reweighting(self, seed: int) -> float:
        return self.chosen.value("re-weighting", seed) - self.runs.value("margin, λ = 1", seed)

    @claim(
        "B06.2d",
        "Trained as long as the penalty, re-weighting leads by less than fifteen points, if at all",
        holds=below(0.15),
    )
    def lead_of_long_reweighting(self, seed: int) -> float:
        return self.lead("re-weighting (told the groups)", "margin, λ = 1", seed)

    @claim(
        "B06.3a",
        "Four times the strength on all logits is nearly the penalty on the margin: margins of equal size",
        holds=within(0.9, 1.1),
    )
    def margin_with_all_logits_held(self, seed: int) -> float:
        return margin("all", seed) / margin("margin", seed)

    @claim(
        "B06.3b",
        "A penalty on the true logit alone leaves margins more than twice as large",
        holds=above(2.0),
    )
    def margin_with_the_true_logit_held(self, seed: int) -> float:
        return margin("true", seed) / margin("margin", seed)

    @cached_property
    def lines(self) -> Study:
        """Logistic regression."""
        methods = {"ERM": ERM(), "λ = 0.1": SpectralDecoupling(strength=0.1, variant="margin")}
        return study(methods, data.colored_digits, seeds=self.seeds, model=models.linear, epochs=20)

    @cached_property
    def extreme(self) -> Study:
        """Thirty epochs where the colour goes along with 99 of 100 digits."""
        methods = {"ERM": ERM(), "margin, λ = 1": SpectralDecoupling(strength=1.0, variant="margin")}
        nearly_all = functools.partial(data.colored_digits, aligned_share=0.99)
        return study(methods, nearly_all, seeds=self.seeds, epochs=30, lr=3e-4)

    @claim(
        "B06.3c", "For logistic regression the penalty costs the worst group more than five points", holds=below(-0.05)
    )
    def loss_of_logistic_regression(self, seed: int) -> float:
        return self.lines.value("λ = 0.1", seed) - self.lines.value("ERM", seed)

    @claim(
        "B06.3d",
        "Where the colour goes along with 99 of 100 digits, the penalty gains less than ten points in thirty epochs",
        holds=below(0.10),
    )
    def gain_with_hardly_any_exception(self, seed: int) -> float:
        return self.extreme.value("margin, λ = 1", seed) - self.extreme.value("ERM", seed)

    @cached_property
    def table(self) -> dict[str, Study]:
        """Colored MNIST by schedule, in whole-batch steps; minutes for each seed, so for the full budget only."""
        schedules = {
            "plain training": (ERM(), 1001),
            "the authors' schedule": (ColoredMNISTDecoupling(), 2001),
            "without its factor": (ColoredMNISTDecoupling(last_factor=False), 2001),
        }
        how: dict[str, Any] = dict(model=single_logit, batch_size=4000, lr=1e-4)
        return {
            name: study({name: method}, colored_mnist, seeds=self.seeds, epochs=steps, **how)
            for name, (method, steps) in schedules.items()
        }

    def on_test(self, name: str, seed: int) -> float:
        """Test accuracy, where the colour misleads."""
        return self.table[name].value(name, seed, "overall")

    @claim(
        "B06.3e",
        "The authors' schedule reaches more than half on the misleading test digits",
        holds=above(0.50),
        costly=True,
    )
    def accuracy_of_the_authors_schedule(self, seed: int) -> float:
        return self.on_test("the authors' schedule", seed)

    @claim("B06.3f", "The same objective without the factor stays below 0.35", holds=below(0.35), costly=True)
    def accuracy_without_the_factor(self, seed: int) -> float:
        return self.on_test("without its factor", seed)

    @claim("B06.3g", "Plain training stays below 0.30", holds=below(0.30), costly=True)
    def accuracy_of_plain_training(self, seed: int) -> float:
        return self.on_test("plain training", seed)
