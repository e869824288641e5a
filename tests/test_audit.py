"""Gaps between attributes: their values as fairlearn's, their intervals, and calibration by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from debias_course.audit import audit, count, gap
from debias_course.data import GroupedData
from debias_course.evaluation import evaluate


def answers(seed, n_labels=2, n_attributes=3, n=300):
    """Random labels, attributes and predictions, in which every label and attribute meet."""
    generator = np.random.default_rng(seed)
    labels, attributes = generator.integers(n_labels, size=n), generator.integers(n_attributes, size=n)
    cells = np.indices((n_labels, n_attributes)).reshape(2, -1)
    labels[: cells.shape[1]], attributes[: cells.shape[1]] = cells
    wrong = generator.random(n) < generator.random(n_attributes)[attributes]
    return labels, attributes, np.where(wrong, generator.integers(n_labels, size=n), labels)


def counted(labels, attributes, predictions, **more):
    names = ([f"label {i}" for i in range(labels.max() + 1)], [f"site {i}" for i in range(attributes.max() + 1)])
    return count(labels, attributes, predictions, *names, **more)


@pytest.mark.parametrize("n_labels", [2, 4])
@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 50))])
def test_gaps_are_those_of_fairlearn(seed, n_labels):
    from fairlearn import metrics

    labels, attributes, predictions = answers(seed, n_labels, n_attributes=2 + seed % 4)
    frame = counted(labels, attributes, predictions).gaps().set_index(["measure", "label"])["gap"]
    theirs = {
        "selection rate": metrics.demographic_parity_difference,
        "true positive rate": metrics.equal_opportunity_difference,
        "equalised odds": metrics.equalized_odds_difference,
    }
    for label in range(n_labels) if n_labels > 2 else [1]:
        given = (labels == label).astype(int), (predictions == label).astype(int)
        for name, function in theirs.items():
            assert frame[name, f"label {label}"] == pytest.approx(function(*given, sensitive_features=attributes))
    whole = metrics.MetricFrame(
        metrics=lambda y, p: (y == p).mean(), y_true=labels, y_pred=predictions, sensitive_features=attributes
    )
    assert frame["accuracy", ""] == pytest.approx(whole.difference())


def test_a_gap_of_two_has_newcombes_interval():
    """Newcombe 1998, table II, row (a): 56/70 and 48/80."""
    found = gap((56, 48), (70, 80))
    assert (found.value, found.highest, found.lowest) == (pytest.approx(0.2), 0, 1)
    assert (found.low, found.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))


def test_a_gap_is_never_below_zero_and_without_two_rates_there_is_none():
    same = gap((5, 5), (10, 10))
    assert same.value == same.low == 0 < same.high and (same.highest, same.lowest) == (0, 0)
    assert gap((5, 0), (10, 0)) is None and gap((0, 0, 3), (0, 9, 3))[3:] == (2, 1, (1.0, 0.0), (3, 9))
    assert gap((0, 9), (9, 9)).high <= 1


@pytest.mark.parametrize("rates", [(0.5, 0.5), (0.9, 0.6), (0.5, 0.5, 0.5, 0.5, 0.5), (0.8, 0.7, 0.2)])
@pytest.mark.slow
def test_an_interval_holds_the_true_gap_in_nineteen_of_twenty_cases(rates):
    generator = np.random.default_rng(0)
    truth, held = max(rates) - min(rates), 0
    for _ in range(400):
        found = gap(generator.binomial(60, rates), [60] * len(rates))
        held += found.low <= truth <= found.high
    assert held >= 0.95 * 400 - 2 * math.sqrt(400 * 0.05 * 0.95)


def test_equalised_odds_is_the_larger_gap_and_its_interval_holds_for_both():
    found = counted(*answers(1)).gaps().set_index("measure")
    true, false, odds = (found.loc[each] for each in ("true positive rate", "false positive rate", "equalised odds"))
    assert odds["gap"] == max(true["gap"], false["gap"])
    assert odds["low"] <= max(true["low"], false["low"]) and odds["high"] >= max(true["high"], false["high"])


def test_the_positive_label_of_two_can_be_chosen():
    found = counted(*answers(2))
    first, second = (found.gaps(positive=f"label {i}").set_index("measure")["gap"] for i in (0, 1))
    assert found.gaps().set_index("measure")["gap"].equals(second)
    assert first["selection rate"] == pytest.approx(second["selection rate"])
    assert first["true positive rate"] == pytest.approx(second["false positive rate"])
    with pytest.raises(ValueError, match="positive is 'ill'; use one of 'label 0', 'label 1'"):
        found.gaps(positive="ill")


def test_calibration_by_hand():
    sure, labels = np.array([0.9, 0.8, 0.6] * 4 + [1.0]), np.array([1, 1, 0] * 4 + [0])
    found = counted(labels, np.array([0] * 12 + [1]), np.array([1, 0, 0] * 4 + [0]), confidence=sure)
    first, second = found.calibration.to_dict("records")
    assert first["confidence"] == pytest.approx(2.3 / 3) and first["accuracy"] == pytest.approx(2 / 3)
    assert first["over_confidence"] == pytest.approx(0.1) and first["ece"] == pytest.approx((0.1 + 0.8 + 0.4) / 3)
    half = 1.959964 * np.std([-0.1, 0.8, -0.4] * 4, ddof=1) / 12**0.5
    assert (first["low"], first["high"]) == (pytest.approx(0.1 - half), pytest.approx(0.1 + half))
    assert second["ece"] == 0 and math.isnan(second["low"])  # of one sample
    with pytest.raises(ValueError, match="confidence of the predictions is not known"):
        assert counted(*answers(0)).calibration


@pytest.mark.slow
def test_the_interval_of_many_labels_holds_for_all_of_them():
    """A fair model: with ten labels, hardly ever does one have a gap that begins above zero."""
    generator, surprised = np.random.default_rng(0), 0
    for _ in range(60):
        labels, attributes = generator.integers(10, size=2000), generator.integers(2, size=2000)
        predictions = np.where(generator.random(2000) < 0.7, labels, generator.integers(10, size=2000))
        gaps = counted(labels, attributes, predictions).gaps()
        surprised += (gaps.loc[gaps["measure"] == "true positive rate", "low"] > 0).any()
    assert surprised <= 0.05 * 60 + 2 * (60 * 0.05 * 0.95) ** 0.5


def test_a_network_is_counted_as_it_is_evaluated():
    torch.manual_seed(0)
    data = GroupedData(torch.randn(90, 4), torch.arange(90) % 3, torch.arange(90) // 45, ("a", "b", "c"), ("x", "y"))
    model = nn.Linear(4, 3)
    found = audit(model, data)
    assert found.report == evaluate(model, data) and found.calibration["n"].tolist() == [45, 45]
    with pytest.raises(ValueError, match=r"returns \(90, 2\), or .* finite logits \[90, 3\]"):
        audit(nn.Linear(4, 2), data)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(labels=[0, 1, 2]), "labels are not all whole numbers from 0 to 1"),
        (dict(predictions=[0.5, 1, 0]), "predictions are not all whole numbers"),
        (dict(attributes=[0, 1]), r"attributes have the shape \(2,\)"),
        (dict(labels=[], attributes=[], predictions=[]), "there is no sample"),
        (dict(confidence=[0.5, 2, 0.1]), "confidence is not one probability from 0 to 1"),
        (dict(confidence=[0.5, math.nan, 0.1]), "confidence is not one probability"),
        (dict(label_names=("a, b", "a"), attribute_names=("c", "b, c")), "two groups would be called 'a, b, c'"),
    ],
)
def test_bad_answers_are_refused(change, message):
    good = dict(labels=[0, 1, 1], attributes=[0, 1, 0], predictions=[0, 1, 0], label_names="no yes".split())
    with pytest.raises(ValueError, match=message):
        given = good | dict(attribute_names=("x", "y")) | change
        for name in ("labels", "attributes", "predictions"):
            given[name] = np.array(given[name], int if not given[name] else None)
        count(**given)
