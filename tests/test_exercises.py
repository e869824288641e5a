"""exercises: solutions solve, stubs never raise, wrong answers are told apart."""

import importlib
import math
import pkgutil

import pytest
import torch

from debias_course import lectures
from debias_course.lectures.exercises import Exercise
from debias_course.methods import DANN, ERM, SMOTE, AdversarialTraining, GroupDRO, LossReweighting, OverSampling

trains = pytest.mark.slow
TOPICS = [module.name for module in pkgutil.iter_modules(lectures.__path__) if module.ispkg]


def each_exercise():
    for topic in TOPICS:
        module = importlib.import_module(f"debias_course.lectures.{topic}.exercises")
        for name, value in vars(module).items():
            if isinstance(value, Exercise):
                yield pytest.param(value, id=f"{topic}.{name}", marks=trains if name == "open_experiment" else ())


every = pytest.mark.parametrize("exercise", list(each_exercise()))


@every
def test_the_solution_solves_it_and_is_what_reveal_prints(exercise, capsys):
    assert exercise.verdict(exercise.solution) == "solved"
    capsys.readouterr()  # an open experiment says that it trains, and what came out
    exercise.reveal()
    printed = capsys.readouterr().out
    assert printed.startswith(f"def {exercise.solution.__name__}(") and "return" in printed


@every
@pytest.mark.parametrize(
    "attempt",
    [
        lambda *anything: None,
        lambda *anything: 1 / 0,
        lambda *anything: "words",
        lambda *anything: torch.tensor([[1.0, 2.0]]),
        lambda *anything: float("nan"),
        lambda: 1,
        None,
    ],
)
def test_no_attempt_raises_and_none_of_these_is_solved(exercise, attempt, capsys):
    exercise.check(attempt)
    assert "\nnot yet: " in "\n" + capsys.readouterr().out  # an open experiment says first that it trains


@every
def test_the_hint_helps_without_giving_the_code(exercise, capsys):
    exercise.hint()
    printed = capsys.readouterr().out
    assert len(printed) > 40 and "return" not in printed


def interval(gains, factor):
    half = factor * gains.std() / 2
    return gains.mean(), gains.mean() - half, gains.mean() + half


@pytest.mark.parametrize(
    "topic, name, attempt, words",
    [
        ("dataset_bias", "worst_group", lambda c, g, n: c.float().mean(), "that is the overall accuracy"),
        ("dataset_bias", "worst_group", lambda c, g, n: 0.0, "group 2 has no sample"),
        ("dataset_bias", "opportunity_gap", lambda c, y, a: 2 / 3 - 3 / 5, "look only at those with label 1"),
        ("dataset_bias", "opportunity_gap", lambda c, y, a: 0.25, "two of four are right with attribute 0"),
        pytest.param("dataset_bias", "open_experiment", lambda images: images, "it should be above 0.8", marks=trains),
        pytest.param(
            "loss_reweighting",
            "open_experiment",
            lambda: (LossReweighting(), 0.0),
            "it should be above 0.67",
            marks=trains,
        ),
        pytest.param("sampling", "open_experiment", lambda: OverSampling(), "above 0.7", marks=trains),
        (
            "sampling",
            "seats",
            lambda f, b: (f * b).round() + torch.tensor([1, 0, -1]),
            "the last goes to the largest remainder",
        ),
        ("sampling", "seats", lambda f, b: (f * b).round(), "right where rounding happens to fit"),
        ("sampling", "open_experiment", lambda: OverSampling, "OverSampling is a class; write OverSampling()"),
        ("sampling", "open_experiment", lambda: 3, "3 is no Method"),
        ("loss_reweighting", "open_experiment", lambda: LossReweighting(), "return two things, such as (Loss"),
        ("smote", "open_experiment", lambda: SMOTE(), "return two things, such as (SMOTE(), 5)"),
        ("adversarial_training", "open_experiment", lambda: AdversarialTraining(), "return two things, such as (Adv"),
        ("dann", "open_experiment", lambda: DANN(), "return two things, such as (DANN("),
        ("group_dro", "open_experiment", lambda: GroupDRO(step_size=1.0), "return two things, such as (GroupDRO("),
        ("group_dro", "open_experiment", lambda: (GroupDRO(step_size=1.0), {"epochs": 1}), "keep the 20 epochs"),
        ("spectral_decoupling", "open_experiment", lambda: ("SD", 0.6), "'SD' is no Method"),
        (
            "hard_example_mining",
            "worst_mean",
            lambda v, s: v.sort(descending=True).values[: max(1, int(s * len(v)))].mean(),
            "keep two, the nearest whole number",
        ),
        ("sampling", "seen", lambda n, k: k / n, "see 7/16 on average"),
        ("smote", "open_experiment", lambda: (SMOTE(interpolation="repeat"), 5), "it should be more than 0.6 and"),
        ("group_dro", "updated", lambda q, v, s: q * torch.exp(s * v), "divide by their sum"),
        ("group_dro", "updated", lambda q, v, s: torch.softmax(-s * v, 0), "look at the sign"),
        ("group_dro", "updated", lambda q, v, s: torch.softmax(s * v, 0), "start from the weights that are given"),
        (
            "group_dro",
            "means",
            lambda v, g, n: torch.zeros(n).index_add(0, g, v) / torch.bincount(g, minlength=n),
            "not 0 / 0",
        ),
        ("group_dro", "means", lambda v, g, n: torch.zeros(n).index_add(0, g, v), "those are the sums"),
        pytest.param(
            "group_dro",
            "open_experiment",
            lambda: (GroupDRO(step_size=1.0), {}),
            "it should be above 0.5 with each seed",
            marks=trains,
        ),
        ("group_dro", "open_experiment", lambda: (GroupDRO(step_size=0.1), {}), "keep GroupDRO(step_size=1.0"),
        (
            "spectral_decoupling",
            "penalised",
            lambda z, y, s: (torch.log1p(torch.exp(-y * z)) + s * z**2).mean(),
            "λ / 2",
        ),
        (
            "spectral_decoupling",
            "penalised",
            lambda z, y, s: torch.log1p(torch.exp(-y * z)).mean() + s / 2 * (z**2).sum(),
            "take its mean",
        ),
        ("spectral_decoupling", "at_rest", lambda s: 5 * s, "nearer to zero"),
        ("spectral_decoupling", "open_experiment", lambda: (ERM(), 0.1), "a gap of 0.1 is narrower than 0.8"),
        ("spectral_decoupling", "open_experiment", lambda: (ERM(), 0.8), "right on test; it should be above 0.95"),
        ("spectral_decoupling", "at_rest", lambda s: 1 / (1 + s), "sigmoid(-z) = λ z; yours is 0.990"),
        ("adversarial_training", "moved", lambda x, g, r: (x - r * g / g.norm()).clamp(0, 1), "look at the sign"),
        ("adversarial_training", "moved", lambda x, g, r: (x + r * g).clamp(0, 1), "divide by the gradient's length"),
        ("adversarial_training", "moved", lambda x, g, r: (x + r * g.sign()).clamp(0, 1), "the step of the cube"),
        ("adversarial_training", "moved", lambda x, g, r: x + r * g / g.norm(), "cut off what is beyond"),
        ("adversarial_training", "moved", lambda x, g, r: (x + r * g / g.norm()).clamp(0, 1), "nor become nan"),
        ("adversarial_training", "open_experiment", lambda: (AdversarialTraining, {}), "is a class"),
        pytest.param(
            "adversarial_training",
            "open_experiment",
            lambda: (AdversarialTraining(radius=0.1, steps=2), dict(epochs=4)),
            "under the attack it should be above 0.25",
            marks=trains,
        ),
        ("adversarial_training", "robust", lambda right: right.float().mean(), "the mean over all attacks"),
        ("adversarial_training", "robust", lambda right: right.any(0).float().mean(), "the attacker chooses"),
        ("adversarial_training", "robust", lambda right: right.float().mean(1).min(), "the best single attack"),
        ("method_comparison", "paired", lambda a, b, t: interval(b - a, t), "ours minus theirs"),
        ("method_comparison", "paired", lambda a, b, t: interval(a - b, t * 2), "the square root of the number"),
        ("method_comparison", "paired", lambda a, b, t: interval(a - b, t / 2), "number of seeds, not"),
        ("method_comparison", "paired", lambda a, b, t: interval(a - b, t * 0.75**0.5), "divides by n - 1"),
        ("method_comparison", "paired", lambda a, b, t: interval(a - b, 1), "multiply by the quantile"),
        ("method_comparison", "paired", lambda a, b, t: interval(a - b, -t), "the lower end comes first"),
        (
            "method_comparison",
            "paired",
            lambda a, b, t: interval(a - b, t * ((a.var() + b.var()) / (a - b).var()) ** 0.5),
            "treats the two as strangers",
        ),
        ("method_comparison", "reported", lambda v, t: t[v.nanmean(1).argmax()], "the second setting diverged"),
        ("method_comparison", "reported", lambda v, t: t[v[:, 0].clamp(max=0.9).argmax()], "the second setting"),
        ("method_comparison", "reported", lambda v, t: t[[0, 2, 3]].max(), "the best on one seed of the search only"),
        ("method_comparison", "reported", lambda v, t: v.mean(1).nan_to_num(-1).max(), "too good"),
        ("method_comparison", "reported", lambda v, t: t[0], "the search found a better one"),
        ("occam_nets", "leaves_by", lambda g, t: (g >= t).int().argmax(0), "is not used for predicting"),
        (
            "occam_nets",
            "leaves_by",
            lambda g, t: torch.cat([g[1:-1], torch.ones_like(g[:1])]).ge(t).int().argmax(0),
            "count it, though nobody leaves through it",
        ),
        ("occam_nets", "leaves_by", lambda g, t: g[1:].argmax(0) + 1, "through the first gate that is open"),
        (
            "occam_nets",
            "leaves_by",
            lambda g, t: torch.cat([g[:1] * 0, g[1:]]).ge(t).int().argmax(0),
            "it leaves through the last exit",
        ),
        (
            "occam_nets",
            "kept_small",
            lambda m, y: (-torch.log_softmax(m, 0).mean(0) - math.log(2)).mean(),
            "you suppress every place",
        ),
        (
            "occam_nets",
            "kept_small",
            lambda m, y: torch.where(m[y] > m[y].mean(), 0.0, -torch.log_softmax(m, 0).mean(0)).mean(),
            "subtract log C",
        ),
        (
            "occam_nets",
            "kept_small",
            lambda m, y: (-torch.log_softmax(m, 0).mean(0) - math.log(2))[m[y] <= m[y].mean()].mean(),
            "over all places",
        ),
        ("smote", "new_sample", lambda a, b, u: b + u * (a - b), "yours starts from x_j"),
        ("smote", "nearest_other", lambda x: torch.cdist(x, x).argmin(1), "leave it out"),
        (
            "smote",
            "nearest_other",
            lambda x: torch.cdist(x, x).sort(dim=1, stable=True).indices[:, 1],
            "each other's nearest",
        ),
        ("smote", "nearest_other", lambda x: torch.cdist(x, x).topk(1).indices, "shape [5] for five rows"),
        ("hard_example_mining", "worst_mean", lambda losses, share: losses.sort().values[-2:].sum() / 4, "not by all"),
        ("hard_example_mining", "bound", lambda worst, share, group: worst * share / group, "at most the tenth's mean"),
        ("hard_example_mining", "bound", lambda worst, share, group: worst, "on a quarter of its samples"),
        ("hard_example_mining", "open_experiment", lambda seen: list(range(301)), "you suspect 301 digits"),
        ("hard_example_mining", "open_experiment", lambda seen: [3000], "rows are whole numbers from 0 to 2999"),
        ("hard_example_mining", "open_experiment", lambda seen: list(range(300)), "find 200 of the wrong ones"),
        ("dann", "reversal", lambda x, s: -s * x, "on the way forward nothing should change"),
        ("dann", "reversal", lambda x, s: x.detach(), "no gradient comes back"),
        ("dann", "reversal", lambda x, s: s * x + (1 - s) * x.detach(), "look at the sign"),
        ("dann", "reversal", lambda x, s: x * 1.0, "not [1.0, 2.0, 3.0]"),
        ("dann", "reversal", lambda x, s: 1.7 * x.detach() - 0.7 * x, "try λ = 2"),
        ("dann", "open_experiment", lambda: (3, 0.0), "3 is no Method"),
        pytest.param(
            "dann", "open_experiment", lambda: (DANN(sampling="groups"), 0.0), "than 0.5 of the colours", marks=trains
        ),
        ("dann", "label_loss", lambda v, d: v.mean(), "only the samples of domain 0 have labels"),
        ("dann", "label_loss", lambda v, d: (v * (d == 0)).mean(), "not by the size of the batch"),
        ("dann", "label_loss", lambda v, d: v[d == 0].mean(), "not 0 / 0"),
        ("loss_reweighting", "group_weights", lambda n: 1 / n, "should sum to 8"),
        ("loss_reweighting", "group_weights", lambda n: n / n.sum(), "should weigh the same in total"),
        (
            "loss_reweighting",
            "learning_rate_factor",
            lambda n: (n * (4 / n / (1 / n).sum())).sum() / 0 + 1,
            "about 0.136",
        ),
        ("loss_reweighting", "learning_rate_factor", lambda n: 7.3495, "the other way round"),
    ],
)
def test_common_mistakes_get_their_own_answer(topic, name, attempt, words):
    exercise = getattr(importlib.import_module(f"debias_course.lectures.{topic}.exercises"), name)
    assert words in exercise.verdict(attempt)
