"""Lecture 11: what it trains on, how it chooses and finds, its pictures, and wrong implementations that turn it."""

import joblib
import pytest
import torch

from debias_course import data, figures, models, train
from debias_course.data import Splits
from debias_course.evaluation import predict
from debias_course.lectures.partners import bench, exercises, measurements, pictures, published
from debias_course.lectures.partners.bench import TwinPartner, chosen, difficulties, ground_digits, met, score, shares
from debias_course.lectures.partners.measurements import PartnersLesson
from debias_course.lectures.partners.panel import draw_partner, sureness
from debias_course.methods import ERM, GroupDRO, ProductOfExperts
from debias_course.methods.partners.learning_from_failure import LossMemory
from debias_course.methods.partners.product_of_experts import product_losses


def record(*epochs):
    """A record of two labels by two kinds; each epoch has the right answers of ten, by split and group."""
    names = dict(attribute_names=("own", "other"))
    history = [
        dict(epoch=number, split=split, correct=correct, n=10)
        for number, by_split in enumerate(epochs, 1)
        for split, rights in by_split.items()
        for correct in rights
    ]
    return dict(report=names, history=history)


ONE = record(
    dict(validation=(8, 2, 10, 0), test=(9, 1, 9, 3)),
    dict(validation=(8, 5, 8, 5), test=(10, 4, 10, 6)),
    dict(validation=(10, 3, 10, 3), test=(10, 0, 10, 2)),
)


def test_shares_are_of_all_samples_of_a_kind():
    assert shares(ONE, "test", 1) == pytest.approx([0.9, 0.2]) and shares(ONE, "validation", 2) == [0.8, 0.5]


def test_a_run_is_scored_by_conflicting_digits_or_as_training_is_mixed():
    assert score(ONE, 3, "the conflicting", 0.99) == pytest.approx(0.3)
    assert score(ONE, 3, "digits as in training", 0.99) == pytest.approx(0.99 + 0.01 * 0.3)


def test_the_epoch_is_chosen_by_who_judges():
    epochs = [chosen(ONE, 3, rule, 0.99) for rule in ("the conflicting", "digits as in training", "nobody")]
    assert epochs == [2, 3, 3] and chosen(ONE, 1, "the conflicting", 0.99) == 1


def test_precision_and_recall_by_hand():
    pointed_at, conflicting = torch.tensor([1, 1, 1, 0, 0]).bool(), torch.tensor([1, 0, 0, 1, 0]).bool()
    assert met(pointed_at, conflicting) == pytest.approx((1 / 3, 1 / 2))
    assert met(torch.zeros(5).bool(), conflicting) == (0.0, 0.0)


def test_difficulties_are_those_of_the_memory():
    """Losses 1 and 4 of one class for the twin, 2 and 2 for the model: 1/4 and 1, of 1 and 1."""
    none = torch.zeros(2, dtype=torch.int64)
    memory = LossMemory(data.GroupedData(torch.zeros(2, 1), none, none, ("a",), ("any",)), 2, 0.7)
    memory.update(torch.tensor([[1.0, 4.0], [2.0, 2.0]]), torch.arange(2))
    torch.testing.assert_close(difficulties(memory), torch.tensor([0.2, 0.5]))


def test_the_digits_say_who_conflicts():
    splits = ground_digits(3, 0.99)
    assert splits.train.inputs.shape == (3000, 3, 10, 10) and int(splits.train.attributes.sum()) == 30
    assert int((splits.test.attributes == 0).sum()) == 100  # of a thousand, by chance
    wrong = ground_digits(3, 0.99, wrong=0.1).train
    assert int((wrong.labels != splits.train.labels).sum()) == 300 and torch.equal(wrong.inputs, splits.train.inputs)
    both = bench.two_grounds(0)
    assert len(both.test.attribute_names) == 4 and both.train.inputs.shape[2:] == (10, 10)


def test_a_twin_is_the_model_itself_trained_plainly():
    part = ground_digits(0).train.subset(torch.arange(64))
    start = models.staged(part, widths=(4, 4), seed=1)
    how = dict(epochs=2, batch_size=32, seed=1, device="cpu")
    twin = train(start, part, ERM(), **how).model
    state = train(start, part, TwinPartner(partner_epochs=2), **how).state
    torch.testing.assert_close(state.told, predict(twin, part))


def test_each_method_has_as_many_trials_and_its_own_setting_first():
    each = {name: bench.trials(name) for name in ("plain", "product of experts", "ReBias")}
    assert {len(found) for found in each.values()} == {3}
    assert all(found[0].method == bench.METHODS[name] for name, found in each.items())
    assert all(len({(t.method, t.lr, t.weight_decay) for t in found}) == 3 for found in each.values())


def test_where_a_partner_is_sure():
    told = torch.tensor([[9.0, 0.0], [0.2, 0.0], [9.0, 0.0]])
    found = sureness(told, torch.tensor([0, 0, 1]))
    assert [each.tolist() for each in found.values()] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]


def few(seed, aligned_share=0.99, wrong=0.0):
    return Splits(*(part.subset(torch.arange(0, len(part), 25)) for part in ground_digits(seed, 0.8, wrong)))


@pytest.mark.parametrize("finder", measurements.FINDERS)
def test_who_is_found_is_told_at_each_length(finder, monkeypatch):
    monkeypatch.setattr(bench, "ground_digits", few)
    found = bench.pointed_at(finder, 0, 0.99, (1, 3))
    assert list(found) == [1, 3] and all(0 <= value <= 1 for pair in found.values() for value in pair)


def test_those_whom_plain_training_gets_wrong_are_pointed_at(monkeypatch):
    """As just train twice has them, to the sample."""
    monkeypatch.setattr(bench, "ground_digits", few)
    part = few(0).train
    first = train(models.staged(part), part, ERM(), epochs=2, **bench.SETTINGS).model
    errors = predict(first, part).argmax(1) != part.labels
    assert bench.pointed_at("just train twice", 0, 0.99, (2,))[2] == met(errors, part.attributes.bool())


def test_the_published_table_is_that_of_the_paper():
    table = published.rebias_table().set_index("aligned share")
    assert table.loc["0.997", "ReBias"] == 64.2 and table.loc["0.990", "ReBias"] < table.loc["0.990", "plain"]


def test_the_pull_is_half_where_the_partner_is_unsure_and_one_where_it_is_sure_and_wrong():
    (axis,) = pictures.pull().axes
    product = axis.lines[0].get_xydata()
    assert product[product[:, 0] == 0, 1] == 0.5 and product[0, 1] > 0.99 and product[-1, 1] < 0.01


@pytest.mark.slow
def test_every_picture_of_the_lecture_is_drawn():
    here = PartnersLesson(seeds=2)
    part = ground_digits(0).train
    drawings = [pictures.surest_errors(part, pictures.partner_says(part, epochs=1)), pictures.grounds(part)]
    drawings += [pictures.pull(), pictures.schematic(), pictures.compared(here.kept("T11.2"))]
    drawings += [pictures.found(here.kept("T11.4")), pictures.by_size(here.kept("T11.3"))]
    drawings += [pictures.by_epoch(here.kept("T11.1"))]
    assert all(len(figures.alt_text(each)) > 40 for each in drawings)
    figure, said = draw_partner(ProductOfExperts(partner_epochs=2), epochs=2)
    assert figures.alt_text(figure) and "of the conflicting digits" in said


class Divided(ProductOfExperts):
    """min: wrong, the partner is taken out of the model instead of beside it."""

    def loss(self, model, batch, state):
        return product_losses(model(batch.inputs), -state.told[batch.indices], batch.labels).mean()


def verdict(id):
    with joblib.parallel_config(backend="sequential"):
        found = PartnersLesson(seeds=3).measured(id)
    return found.alone(found.at_middle).verdict


@pytest.mark.slow
def test_a_partner_with_the_wrong_sign_turns_the_first_claim(monkeypatch):
    monkeypatch.setitem(bench.METHODS, "product of experts", Divided())
    assert verdict("B11.1") == "refuted"


@pytest.mark.slow
def test_pointing_at_the_right_ones_turns_who_is_found(monkeypatch):
    honest = bench._pointed_at
    monkeypatch.setattr(bench, "_pointed_at", lambda *given: ~honest(*given))
    assert verdict("B11.4") == "refuted"


@pytest.mark.parametrize(
    "name, attempt, words",
    [
        ("product_losses", lambda m, w, y: -torch.log_softmax(m, 1)[range(len(y)), y], "the partner is not in it"),
        (
            "product_losses",
            lambda m, w, y: -((m.softmax(1) + w.softmax(1)) / 2).log()[range(len(y)), y],
            "you average the two probabilities",
        ),
        ("product_losses", lambda m, w, y: -(m + w)[range(len(y)), y], "divide the products by their sum"),
        (
            "product_losses",
            lambda m, w, y: (
                -(m.exp() * w.exp() / (m.exp() * w.exp()).sum(1, keepdim=True))[range(len(y)), y].log() + m[0, 0].relu()
            ),
            "should change nothing",
        ),
        ("product_losses", lambda m, w, y: torch.zeros(()), "one loss for each of the 3 samples"),
        (
            "precision_and_recall",
            lambda p, c: ((p & c).sum() / c.sum(), (p & c).sum() / p.sum()),
            "the other way round",
        ),
        ("precision_and_recall", lambda p, c: ((p & c).sum() / p.sum(), (p & c).sum() / c.sum()), "and not 0 / 0"),
        ("precision_and_recall", lambda p, c: [0.5], "return two numbers"),
        ("precision_and_recall", lambda p, c: torch.tensor(0.5), "yours is one"),
        ("precision_and_recall", lambda p, c: (0.3, 0.5), "0.25, 0.5, not"),
        ("open_experiment", lambda: ProductOfExperts(), "leave out the product"),
        ("open_experiment", lambda: GroupDRO(), "it needs group labels; do without"),
        ("open_experiment", lambda: ERM, "write ERM()"),
    ],
)
def test_common_mistakes_get_their_own_answer(name, attempt, words):
    assert words in getattr(exercises, name).verdict(attempt)
