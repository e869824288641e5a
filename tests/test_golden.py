"""golden: a receipt goes stale when behaviour changes, and only then."""

import dataclasses
import json
import sys
from collections import ChainMap

import pytest
import torch
import torch.nn.functional as F

from debias_course import evaluation, method, models, search, training
from debias_course.claims import golden, receipts, topics
from debias_course.data import Splits, biases, changes, grouped, toys
from debias_course.evaluation import Share
from debias_course.methods import (
    attacks,
    dann,
    group_dro,
    hard_mining,
    occam_nets,
    reweighting,
    sampling,
    smote,
    spectral_decoupling,
)
from debias_course.methods.partners import product_of_experts

RESULTS = sys.modules["debias_course.study.results"]
RESTS_ON = {
    topic[:2]: dict(ChainMap(*json.loads(receipts.receipts_path(topic).read_text())["behaviours"]))
    for topic in topics.topics()
}
KEPT = {name: values for behaviour in RESTS_ON.values() for name, values in behaviour.items()}


def stale():
    """The numbers of the lectures whose receipts no longer vouch."""
    changed = set(golden.changed(KEPT, golden.today(KEPT)))
    return {lecture for lecture, behaviour in RESTS_ON.items() if changed & set(behaviour)}


@pytest.mark.slow
def test_the_receipts_of_every_lecture_vouch_for_this_code():
    assert len(RESTS_ON) == 12 and all(len(behaviour) > 12 for behaviour in RESTS_ON.values()) and not stale()


ALL = {f"{number:02d}" for number in range(12)}
COLOURED = {"00", "01", "02", "03", "05", "06", "07", "08", "09", "10", "11"}
orange = dict.fromkeys(biases.COLORS, biases.COLORS["orange"])


def other_split(labels):
    rows = torch.arange(len(labels))
    return tuple(rows[rows % 5 == n] for n in (0, 3, 4))


def shifted_by_one(labels, *rest, **named):
    return 1 - unbiased(labels, *rest, **named) if len(labels.unique()) == 2 else unbiased(labels, *rest, **named)


unbiased = biases.correlated_attributes


def downhill(log_q, losses, step_size):
    return torch.log_softmax(log_q - step_size * losses, 0)


def sum_of_squares(logits, labels, **how):
    return 2 * penalty(logits, labels, **how)


penalty = spectral_decoupling.penalty


def wald(correct, n):
    p = correct / n
    half = 1.96 * (p * (1 - p) / n) ** 0.5
    return Share(p, p - half, p + half, n)


def narrower(values, level=0.95, **how):
    return mean(values, level / 2, **how)


def not_reversed(features, strength):
    return features


def without_momentum(parameters, **how):
    return torch.optim.SGD(parameters, **how)


def one_epoch_less(record, epochs, select):
    return shortened(record, epochs - 1, select)


shortened = RESULTS._shortened
STRIPS = {"00", "01", "02", "03", "04", "05", "11"}  # of which the receipts have these golden runs


SEATS = {"02", "04", "05", "08", "09", "10", "11"}


def without_a_partner(logits, partner, labels):
    return F.cross_entropy(logits, labels, reduction="none")


CHANGES = {
    "shorter by an epoch": (RESULTS, "_shortened", one_epoch_less, STRIPS | {"06", "10"}),
    "another learning rate by default": (training.DEFAULTS, "lr", 0.03, STRIPS | {"06", "07", "08", "09", "10"}),
    "no augmentation": (training, "augmented", lambda inputs, augment: inputs, STRIPS | {"06", "07", "08", "09", "10"}),
    "both colours are orange": (biases, "COLORS", orange, COLOURED),
    "another split": (biases, "split_indices", other_split, ALL),
    "another permutation": (biases, "correlated_attributes", shifted_by_one, COLOURED),
    "toys with fewer of class 1": (toys, "_labels", lambda n, share=0.5: labels(n, 0.9 * share), {"01", "04", "06"}),
    "darker clouds": (biases, "CLOUD", 120, {"09"}),
    "half of the pixels": (grouped.GroupedData, "batch", lambda self, rows: batch(self, rows), ALL),
    "SGD's momentum": (training.OPTIMIZERS, "sgd", without_momentum, ALL),
    "the worst epoch": (training.SELECT, "validation-worst-group", lambda report: -report.worst_group.value, ALL),
    "another interval of a share": (evaluation, "wilson", wald, ALL),
    "another interval of a mean": (
        RESULTS,
        "mean_over_seeds",
        lambda values, level=0.95, **how: mean(values, level / 2, **how),
        ALL,
    ),
    "the network's output": (models.Classifier, "forward", lambda self, x: self.head(self.features(x)).tanh(), ALL),
    "the sign of the group weights": (group_dro, "exponentiated", downhill, {"05", "10", "11"}),
    "weights that are not normalised": (
        reweighting,
        "normalise",
        lambda w, *_: w,
        {"01", "02", "03", "05", "07", "10"},
    ),
    "one seat less": (sampling, "shuffled_within", lambda order, *_, **__: order, SEATS),
    "the easiest": (hard_mining, "hardest", lambda losses, keep: (-losses).topk(keep).indices, {"03", "10", "11"}),
    "nearest to the farthest": (smote, "between", lambda x, near, base, *_: x[base], {"04", "10"}),
    "twice the penalty": (spectral_decoupling, "penalty", sum_of_squares, {"06", "10"}),
    "gates that open for the wrong": (
        occam_nets,
        "gate_loss",
        lambda gates, right: F.softplus(gates).mean(),
        {"07", "11"},
    ),
    "experts that do not meet": (product_of_experts, "product_losses", without_a_partner, {"11"}),
    "attacks that go down": (attacks, "ascent", lambda gradient, norm: -gradient.sign(), {"08", "10"}),
    "no reversal": (dann, "reverse", not_reversed, {"09", "10"}),
    "the worst setting": (search, "best", lambda trials: min(trials, key=lambda t: t.score == t.score), {"10"}),
}


def batch(self, rows):
    made = BATCH(self, rows)
    return made._replace(inputs=made.inputs / 2)


BATCH, mean, labels = grouped.GroupedData.batch, RESULTS.mean_over_seeds, toys._labels


@pytest.mark.slow
@pytest.mark.parametrize("where, name, value, lectures", CHANGES.values(), ids=CHANGES)
def test_a_change_of_behaviour_makes_stale_what_rests_on_it(where, name, value, lectures, monkeypatch):
    monkeypatch.setitem(where, name, value) if isinstance(where, dict) else monkeypatch.setattr(where, name, value)
    assert stale() == lectures


def closed_form(counts, power=1.0):
    """The same weights, in other words."""
    return torch.where(counts > 0, torch.exp(-power * counts.double().clamp(min=1e-300).log()), 0.0)


def in_two_steps(losses, groups, n_groups):
    member = F.one_hot(groups, n_groups).to(losses.dtype)
    counts = member.sum(0)
    return (losses @ member) / counts.clamp(min=1), counts


def sliced(splits):
    def small(part):
        x = part.inputs.float()
        quarters = x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]
        return dataclasses.replace(part, inputs=(quarters / 4).round().to(torch.uint8))

    return Splits(*map(small, splits))


def by_hand(model, batch):
    logits = model(batch.inputs)
    return torch.logsumexp(logits, 1) - logits.gather(1, batch.labels[:, None])[:, 0]


def as_a_loop(values, level=0.95, **how):
    return mean(list(values), level, **how)


def renamed(self, inputs):
    """What `forward` was called before."""
    found = self.features(inputs)
    return self.head(found)


REFACTORINGS = {
    "a private function under another name": (sampling, "_small", lambda indices: torch.int64),
    "weights in other words": (reweighting, "inverse_frequency", closed_form),
    "group means by a product": (group_dro, "group_means", in_two_steps),
    "halved images by slices": (changes, "half_size", sliced),
    "the cross-entropy by hand": (method, "sample_losses", by_hand),
    "a wrapper around the mean": (RESULTS, "mean_over_seeds", as_a_loop),
    "a forward with a name for its features": (models.Classifier, "forward", renamed),
    "one learning-rate constant more": (training, "UNUSED", 3),
    "a docstring": (method.Method.step, "__doc__", "Another text."),
    "another order of the colours' dict for ten": (biases, "COLORS", dict(biases.COLORS)),
}


@pytest.mark.slow
@pytest.mark.parametrize("where, name, value", REFACTORINGS.values(), ids=REFACTORINGS)
def test_a_refactoring_leaves_receipts_fresh(where, name, value, monkeypatch):
    monkeypatch.setattr(where, name, value, raising=False)
    assert not stale()


@pytest.mark.slow
def test_what_a_claim_names_is_looked_at_by_a_golden_run():
    """Of the course's functions and classes that measurements import, those that compute are covered."""
    covered = {id(thing) for each in golden.GOLDEN.values() for thing in each.of}
    resting = "train study Study Mean GroupReport GroupedData Splits Batch predict evaluate pick_device Classifier Knob"
    resting += " knob isolated_randomness mean_over_seeds point in_workers"
    resting += " Method State OccamNet Comparison"  # on these everyone rests, or a method
    for topic in topics.topics():
        space = vars(topics.measurements(topic))
        named = {
            name: thing for name, thing in space.items() if str(getattr(thing, "__module__", "")).startswith("debias")
        }
        code = [thing for name, thing in named.items() if name not in resting.split() and callable(thing)]
        shown = (*receipts.SHOWS, "debias_course.lectures")
        missing = [t.__qualname__ for t in code if id(t) not in covered and not t.__module__.startswith(shown)]
        assert not missing, topic


def test_numbers_agree_within_what_machines_differ_by():
    assert golden.agree([1.0, 1000.0], [1.0 + 2e-4, 1000.2]) and golden.agree([0.0], [5e-6])
    assert not golden.agree([1.0], [1.001]) and not golden.agree([1.0], [1.0, 1.0]) and not golden.agree([0.0], [1e-4])
