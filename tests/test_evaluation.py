"""evaluation: four averages, intervals, empty groups."""

import pytest
import torch
from torch import nn

from debias_course import evaluation, models
from debias_course.data import GroupedData, Splits
from debias_course.evaluation import GroupReport, evaluate, group_counts, predict, weighted, wilson


def report(correct, n, train_n=None, labels=2, attributes=2):
    names = tuple(f"label {i}" for i in range(labels)), tuple(f"attribute {i}" for i in range(attributes))
    return GroupReport(tuple(correct), tuple(n), *names, None if train_n is None else tuple(train_n))


def test_four_averages_of_one_waterbirds_table():
    """Accuracies .95 .85 .60 .92 with the test and training counts of Waterbirds."""
    n, train_n = (2255, 2255, 642, 642), (3498, 184, 56, 1057)
    correct = [round(a * k) for a, k in zip((0.95, 0.85, 0.60, 0.92), n)]
    measured = report(correct, n, train_n)
    assert measured.overall.value == pytest.approx(0.868975, abs=3e-4)
    assert measured.train_weighted.value == pytest.approx(0.935462, abs=3e-4)
    assert measured.group_balanced.value == pytest.approx(0.83, abs=3e-4)
    assert measured.worst_group.value == pytest.approx(0.60, abs=1e-3) and measured.worst == 2
    assert measured.worst_class.value == pytest.approx((0.60 + 0.92) / 2, abs=1e-3)


def test_worst_group_need_not_be_the_smallest():
    measured = report((10, 90, 500, 999), (10, 100, 1000, 1000))
    assert measured.worst == 2 and measured.worst_group.n == 1000


def test_wilson_by_hand():
    """8 of 10: center (0.8 + 3.8415/20) / 1.38415 = 0.71674, half-width 1.95996·sqrt(0.016 + 0.0096)/1.38415."""
    share = wilson(8, 10)
    assert share.low == pytest.approx(0.4902, abs=1e-4) and share.high == pytest.approx(0.9433, abs=1e-4)
    assert wilson(10, 10).high == pytest.approx(1) and 0.7 < wilson(10, 10).low < 0.75
    with pytest.raises(ValueError, match="a share of no samples"):
        wilson(0, 0)


def test_wilson_covers_at_its_nominal_rate():
    p, n = 0.9, 60
    hits = torch.distributions.Binomial(n, torch.full((4000,), p))
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        counts = hits.sample().tolist()
    covered = sum(wilson(int(c), n).low <= p <= wilson(int(c), n).high for c in counts) / len(counts)
    assert 0.93 < covered < 0.98


def test_weighted_interval_of_one_share_is_its_own():
    one = wilson(7, 9)
    assert weighted([one], [3.0]) == pytest.approx(one)
    two = weighted([one, one], [1, 1])
    assert two.value == pytest.approx(one.value) and two.high - two.low < one.high - one.low


def test_an_empty_group_is_no_sample():
    measured = report((5, 0, 3, 0), (5, 0, 4, 2), train_n=(1, 0, 1, 1))
    assert measured.groups[1] is None
    assert measured.worst == 3 and measured.group_balanced.value == pytest.approx((1 + 0.75 + 0) / 3)
    assert measured.train_weighted.value == pytest.approx((1 + 0.75 + 0) / 3)
    assert measured.table()["accuracy"].isna().tolist() == [False, True, False, False]
    assert "no sample in 1 of 4 groups (label 0, attribute 1)" in str(measured)


def test_missing_training_counts_and_untested_groups_are_refused():
    with pytest.raises(ValueError, match="pass train=data.train"):
        report((1, 1, 1, 1), (1, 1, 1, 1)).train_weighted  # noqa: B018
    with pytest.raises(ValueError, match="'label 0, attribute 1' has training but no test samples"):
        report((1, 0, 1, 1), (1, 0, 1, 1), (1, 1, 1, 1)).train_weighted  # noqa: B018
    with pytest.raises(ValueError, match="no group has a sample"):
        report((0, 0, 0, 0), (0, 0, 0, 0)).worst  # noqa: B018


def test_evaluate_counts_right_answers_per_group():
    class FirstCoordinate(nn.Module):
        def __init__(self):
            super().__init__()
            self.anchor = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return torch.stack([-x[:, 0], x[:, 0]], 1) + self.anchor

    inputs = torch.tensor([[1.0], [-1.0], [1.0], [1.0], [-1.0]])
    data = GroupedData(inputs, torch.tensor([1, 1, 0, 1, 0]), torch.tensor([0, 0, 1, 1, 1]), ("n", "p"), ("x", "y"))
    measured = evaluate(FirstCoordinate(), data, train=data)
    assert measured.n == (0, 2, 2, 1) and measured.correct == (0, 1, 1, 1)
    assert measured.overall.value == 0.6 and measured.train_weighted.value == pytest.approx(0.6)
    assert str(measured).startswith("overall 0.600 (n=5, 95% 0.23-0.88) | group-balanced")


def test_predict_restores_every_submodule_mode_and_threads(toy, two_threads):
    model = models.mlp(toy.train, hidden=(4,))
    model.train()
    model.head.eval()
    predict(model, toy.test)
    assert model.training and model.features.training and not model.head.training
    assert torch.get_num_threads() == 2


def test_a_model_with_the_wrong_outputs_is_refused(toy):
    with pytest.raises(ValueError, match=r"the model returns \(400, 3\) for 400 samples of 2 labels"):
        evaluate(nn.Linear(2, 3), toy.test)


def test_group_counts_by_hand():
    values, groups = torch.tensor([1, 0, 1, 1]), torch.tensor([2, 2, 0, 2])
    assert group_counts(values, groups, 4).tolist() == [1, 0, 2, 0]


@pytest.mark.parametrize("n", [10, 25, 100, 200, 250, 500, 1000])
def test_the_interval_contains_its_value_at_both_ends(n):
    for correct in (0, n):
        share = wilson(correct, n)
        assert 0 <= share.low <= share.value <= share.high <= 1


def test_outputs_that_are_not_finite_have_no_accuracy(toy):
    model = models.linear(toy.train)
    torch.nn.init.constant_(model.head.weight, float("nan"))
    with pytest.raises(FloatingPointError, match="the model's outputs are not finite"):
        evaluate(model, toy.test)


def test_another_grid_of_groups_is_refused(toy):
    other = GroupedData(toy.train.inputs, toy.train.labels, toy.train.attributes, ("a", "b"), ("x", "y"))
    with pytest.raises(ValueError, match="use one grid of groups for both"):
        evaluate(models.linear(toy.train), toy.test, train=other)


def test_many_medium_and_few_shot_labels_are_told_apart_by_their_training_counts():
    names = tuple(f"digit {d}" for d in range(5))
    report = GroupReport((9, 8, 6, 2, 0), (10, 10, 10, 10, 10), names, ("any",), (101, 100, 20, 19, 0))
    assert report.many_shot.value == 0.9 and report.few_shot.value == pytest.approx(0.1)
    assert report.medium_shot.value == pytest.approx(0.7) and report.medium_shot.n == 20
    two = GroupReport((5, 1, 2, 2), (10, 10, 5, 5), ("a", "b"), ("x", "y"), (60, 60, 9, 9))
    assert two.many_shot.value == pytest.approx(0.3) and two.few_shot.value == pytest.approx(0.4)
    with pytest.raises(ValueError, match="no label is medium-shot"):
        _ = two.medium_shot
    with pytest.raises(ValueError, match="pass train=data.train"):
        _ = GroupReport((1,), (2,), ("a",), ("x",)).few_shot


def test_a_report_of_many_groups_takes_a_few_passes_over_them(monkeypatch):
    calls = []
    monkeypatch.setattr(evaluation, "wilson", lambda *counts: calls.append(counts) or wilson(*counts))
    for attributes in (10, 100):
        groups = 2 * attributes
        large = report([3] * groups, [4] * groups, [5] * groups, attributes=attributes)
        for read in str, GroupReport.table, lambda each: each.worst_class:
            calls.clear()
            assert len(read(large)) and 0 < len(calls) <= 4 * groups
    assert set(vars(large)) == {"correct", "n", "label_names", "attribute_names", "train_n"}  # what is kept of a run


def test_no_sample_at_all_is_said_by_every_average():
    empty = report((0, 0, 0, 0), (0, 0, 0, 0), (1, 0, 0, 0))
    for average in ("overall", "group_balanced", "worst_group", "worst_class"):
        with pytest.raises(ValueError, match="no group has a sample|a share of no samples is undefined"):
            getattr(empty, average)
    untrained = report((1, 1, 1, 1), (1, 1, 1, 1), (0, 0, 0, 0))
    with pytest.raises(ValueError, match="train has no sample"):
        _ = untrained.train_weighted
    assert "train-weighted" not in str(untrained)


class Returns(nn.Linear):
    """A linear model whose logits are handed out in another way."""

    def __init__(self, change):
        super().__init__(2, 2)
        self.change = change

    def forward(self, x):
        return self.change(super().forward(x))


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda logits: (logits, logits), "the model returns a tuple; make it return one tensor"),
        (lambda logits: {"logits": logits}, "the model returns a dict; make it return one tensor"),
        (lambda logits: None, "the model returns None; make it return one tensor"),
        (lambda logits: logits.tolist(), "the model returns a list; make it return one tensor"),
        (lambda logits: logits.mean(), r"returns torch.float32 \(\) for 400 samples; it should return logits \[400, n"),
        (lambda logits: logits[:3], r"returns torch.float32 \(3, 2\) for 400 samples"),
        (lambda logits: logits.to(torch.complex64), r"returns torch.complex64 \(400, 2\) for 400 samples"),
    ],
)
def test_a_model_returns_one_tensor_with_a_row_for_each_sample(toy, change, sentence):
    for use in evaluate, predict:
        with pytest.raises((TypeError, ValueError), match=sentence):
            use(Returns(change), toy.test)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_model_of_another_precision_is_told_what_the_data_are(toy, dtype):
    model = models.mlp(toy.train, hidden=(4,)).to(dtype)
    with pytest.raises(TypeError, match=rf"the model is {dtype}, the data are torch.float32; use model.float\(\)"):
        evaluate(model, toy.test)

    class Casts(nn.Sequential):
        def forward(self, x):
            return super().forward(x.to(dtype))

    assert evaluate(Casts(model), toy.test).n == evaluate(model.float(), toy.test).n


def test_another_default_precision_changes_nothing(toy):
    before = evaluate(models.mlp(toy.train), toy.test, train=toy.train)
    torch.set_default_dtype(torch.float64)
    try:
        assert evaluate(models.mlp(toy.train), toy.test, train=toy.train) == before
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_data_are_one_part_of_a_data_set(toy):
    model = models.linear(toy.train)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(toy.test.inputs))
    for data, kind in (toy, "a Splits"), (loader, "a DataLoader"), ((1, 2), r"\(1, 2\)"), (None, "None"):
        with pytest.raises(
            TypeError, match=f"data is {kind}; give GroupedData, one part of a data set, such as splits"
        ):
            evaluate(model, data)
    with pytest.raises(TypeError, match="train is a Splits; give GroupedData"):
        evaluate(model, toy.test, train=Splits(*toy))
    for other, kind in (None, "None"), (toy.test, "a GroupedData"), (Returns, "<class .*Returns.>"):
        with pytest.raises(TypeError, match=rf"model is {kind}; give a network, such as models.mlp"):
            evaluate(other, toy.test)
