"""Sample weights, soft labels, label smoothing, and samples without a label."""

import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from folders import SIDE, make, problems

from debias_course import cli, evaluate, models, study, train
from debias_course.audit import audit
from debias_course.audit.predictions import audit_predictions
from debias_course.comparison import compare
from debias_course.data import (
    GroupedData,
    Splits,
    colored_digits,
    from_dataset,
    from_datasets,
    image_folder,
    inspect_folder,
    mislabel,
    smooth_labels,
    soften,
    toys,
    weigh,
)
from debias_course.data.changes import thin
from debias_course.method import taken
from debias_course.methods import DANN, ERM, METHODS, GroupDRO, LossReweighting, Method, Unsuitable
from debias_course.methods.group_dro import group_means

SPLITS = toys.shortcut(n=64, aligned_share=0.75, seed=3)
DATA = SPLITS.train
WEIGHTS = torch.rand(64, generator=torch.Generator().manual_seed(1)) * 2
SOFT = F.normalize(torch.rand(64, 2, generator=torch.Generator().manual_seed(2)), p=1, dim=1)
EVERY = torch.arange(64)
HIDDEN = dataclasses.replace(DATA, labels=DATA.labels.where(DATA.attributes == 0, -1))


def loss(method, data):
    model = models.mlp(data, hidden=(8,), seed=1)
    batch = data.batch(EVERY)
    return method.loss(model, batch, method.start(model, data).begin()).detach(), model(batch.inputs).detach()


def by_hand(logits, targets):
    return -(targets * logits.log_softmax(1)).sum(1)


def test_a_sample_counts_as_often_as_its_weight_says():
    found, logits = loss(ERM(), weigh(DATA, WEIGHTS))
    torch.testing.assert_close(found, (WEIGHTS * F.cross_entropy(logits, DATA.labels, reduction="none")).mean())
    twice = DATA.subset(torch.cat([EVERY, torch.tensor([5])]))
    copied = F.cross_entropy(models.mlp(DATA, hidden=(8,), seed=1)(twice.inputs), twice.labels, reduction="sum")
    torch.testing.assert_close(
        64 * loss(ERM(), weigh(DATA, torch.ones(64).scatter(0, torch.tensor(5), 2.0)))[0], copied
    )


def test_soft_labels_and_smoothing_are_what_torch_takes():
    found, logits = loss(ERM(), soften(DATA, SOFT))
    torch.testing.assert_close(found, by_hand(logits, SOFT).mean())
    found, _ = loss(ERM(), smooth_labels(DATA, 0.1))
    torch.testing.assert_close(found, F.cross_entropy(logits, DATA.labels, label_smoothing=0.1))
    assert torch.equal(smooth_labels(DATA, 0.0).targets, F.one_hot(DATA.labels, 2).float())
    assert torch.equal(smooth_labels(DATA, 1.0).targets, torch.full((64, 2), 0.5))


def test_weights_soft_labels_and_smoothing_go_together_in_any_order():
    both = soften(weigh(DATA, WEIGHTS), SOFT), weigh(soften(DATA, SOFT), WEIGHTS)
    torch.testing.assert_close(both[0].targets, WEIGHTS[:, None] * SOFT)
    torch.testing.assert_close(*(each.targets for each in both))
    smooth = weigh(smooth_labels(DATA, 0.2), WEIGHTS), smooth_labels(weigh(DATA, WEIGHTS), 0.2)
    torch.testing.assert_close(*(each.targets for each in smooth))
    torch.testing.assert_close(weigh(weigh(DATA, WEIGHTS), WEIGHTS).targets.sum(1), WEIGHTS**2)


def test_group_weights_and_sample_weights_multiply():
    data = weigh(DATA, WEIGHTS)
    found, logits = loss(LossReweighting(), data)
    losses = WEIGHTS * F.cross_entropy(logits, DATA.labels, reduction="none")
    torch.testing.assert_close(found, (LossReweighting().weights(DATA)[DATA.groups] * losses).mean())
    means = group_means(losses, DATA.groups, 4)[0]
    torch.testing.assert_close(loss(GroupDRO(step_size=0.5), data)[0], ((0.5 * means).softmax(0) * means).sum())


def test_the_first_domain_s_soft_labels_are_dann_s():
    source = DATA.attributes == 0
    method = DANN(labelled="first domain")
    data = soften(DATA, SOFT)
    model = models.mlp(data, hidden=(8,), seed=1)
    found, _ = method.losses(model, data.batch(EVERY), method.start(model, data).begin())
    torch.testing.assert_close(found, by_hand(model(data.inputs), SOFT)[source].mean())


@pytest.mark.parametrize("labelled, seen", [("all", 48), ("first domain", 16)])
def test_dann_s_label_loss_is_the_mean_over_those_with_a_label(labelled, seen):
    """16 of each of the four groups; of the second domain, or of all, some have no label."""
    even = toys.shortcut(n=64, aligned_share=0.5, seed=3).train
    hidden = (even.members("group")[0].view(4, -1)[:, :4]).flatten()
    lost = dataclasses.replace(even, labels=even.labels.scatter(0, hidden, -1))
    method = DANN(labelled=labelled)
    model = models.mlp(lost, hidden=(8,), seed=1)
    known = (lost.labels >= 0) & ((lost.attributes == 0) | (labelled == "all"))
    found, domain = method.losses(model, lost.batch(EVERY), method.start(model, lost).begin())
    torch.testing.assert_close(found, F.cross_entropy(model(lost.inputs[known]), lost.labels[known]))
    assert domain > 0.5  # of all samples, as their domain is known


def test_samples_without_a_label_are_in_no_group():
    some = dataclasses.replace(DATA, labels=DATA.labels.scatter(0, torch.arange(10), -1))
    assert some.unlabelled == 10 and DATA.unlabelled == 0 and "10 without a label" in repr(some)
    assert torch.equal(some.groups[:10], torch.full((10,), -1))
    rest = DATA.subset(EVERY[10:])
    assert torch.equal(some.counts, rest.counts)
    for by in ("group", "label"):
        order, sizes = some.members(by)
        assert torch.equal(order, rest.members(by)[0] + 10) and torch.equal(sizes, rest.counts_by(by))
    order, sizes = some.members("attribute")
    assert torch.equal(order, DATA.members("attribute")[0]) and torch.equal(sizes, DATA.counts_by("attribute"))
    assert some.subset(some.labels >= 0).unlabelled == 0


def test_targets_travel_with_their_samples():
    data = weigh(DATA, WEIGHTS)
    rows = torch.tensor([7, 3, 3])
    assert torch.equal(data.subset(rows).targets, data.targets[rows])
    assert torch.equal(data.batch(rows).targets, data.targets[rows])
    plain = DATA.batch(rows)
    assert torch.equal(plain.targets, DATA.labels[rows])
    assert torch.equal(plain._replace(labels=1 - plain.labels).targets, 1 - DATA.labels[rows])
    assert data.fingerprint() != DATA.fingerprint() != weigh(DATA, WEIGHTS + 1).fingerprint()
    assert data.to("cpu") is data


def test_an_adapted_domain_needs_no_labels_from_train_to_compare(monkeypatch, tmp_path):
    """Numbers of a study: unlabelled targets, whatever the labels that nobody sees."""
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path))
    lost = SPLITS._replace(train=dataclasses.replace(DATA, labels=DATA.labels.where(DATA.attributes == 0, -1)))
    methods = {"adapted": DANN(labelled="first domain"), "both": DANN(sampling="domains", labelled="first domain")}
    how = dict(seeds=2, model=models.mlp, epochs=2, progress=False, n_jobs=1)
    known, unknown = (study(methods, data, **how).table.drop(columns="seconds") for data in (SPLITS, lost))
    assert known.equals(unknown)
    found = compare(methods | {"plain": ERM()}, lost, baseline="adapted", trials=1, leave_out=True, **how)
    assert "have no label, and ERM as it is set needs one" in found.left_out["plain"]
    run = train(models.mlp(DATA), lost.train, DANN(labelled="first domain"), epochs=1, validation=lost.validation)
    assert evaluate(run.model, lost.test).overall.n == len(lost.test)


def test_weighted_and_smoothed_samples_from_train_to_compare(monkeypatch, tmp_path):
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path))
    weighed = SPLITS._replace(train=smooth_labels(weigh(DATA, WEIGHTS), 0.1))
    methods = {"plain": ERM(), "robust": GroupDRO(), "mined": METHODS["hard-mining"]()}
    how = dict(seeds=2, model=models.mlp, epochs=2, progress=False, n_jobs=1)
    found = compare(methods, weighed, trials=1, leave_out=True, **how)
    assert "HardMining does not look at" in found.left_out["mined"]
    losses = [study({"plain": ERM()}, data, **how).records[0]["history"][0]["loss"] for data in (SPLITS, weighed)]
    assert losses[0] != losses[1]
    run = train(models.mlp(DATA, seed=0), weighed.train, epochs=2, seed=0, validation=weighed.validation)
    assert run.records[0]["loss"] == losses[1]


@pytest.mark.parametrize(
    "change, said",
    [
        (
            lambda: weigh(DATA, WEIGHTS[:9]),
            r"weights are .*; give numbers from 0, \[64\]: as many as there",
        ),
        (lambda: weigh(DATA, ["a"] * 64), "give numbers from 0"),
        (lambda: weigh(DATA, WEIGHTS - 3), "weights hold -.* for sample 0; give numbers from 0"),
        (lambda: weigh(DATA, np.full(64, np.nan)), "weights hold nan for sample 0"),
        (lambda: soften(DATA, SOFT.T), r"probabilities are .*; give numbers from 0, \[64, 2\]"),
        (
            lambda: soften(DATA, SOFT * 0.9),
            "probabilities of sample 0 sum to 0.9; give one for each of the 2",
        ),
        (lambda: smooth_labels(DATA, 1.5), "amount is 1.5"),
        (lambda: weigh(DATA, np.zeros(64)), "all weights are 0, so there is nothing to learn from"),
        (lambda: soften(HIDDEN, SOFT), "32 samples have no label; give them the most probable one, or leave them out"),
        (lambda: mislabel(weigh(DATA, WEIGHTS), 0.1), "mislabel before that"),
        (
            lambda: dataclasses.replace(DATA, targets=SOFT[:3]),
            r"targets are .* \(3, 2\); give floats \[64, 2\]",
        ),
        (lambda: dataclasses.replace(DATA, targets=-SOFT), "targets hold .* in row 0; give finite numbers from 0"),
        (
            lambda: dataclasses.replace(DATA, labels=DATA.labels - 2),
            "labels range from -2 to -1, .* or -1 where a",
        ),
    ],
)
def test_what_is_no_weight_and_no_soft_label_is_said(change, said):
    with pytest.raises(ValueError, match=said):
        change()


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnLoss(GroupDRO):
    """min_θ Σ_i ℓ_i, whatever the targets"""

    def loss(self, model, batch, state):
        return F.cross_entropy(model(batch.inputs), batch.labels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnStep(Method):
    """min_θ Σ_i ℓ_i, whatever the targets"""

    def step(self, model, batch, state, optimizer):
        loss = F.cross_entropy(model(batch.inputs), batch.labels)
        loss.backward()
        optimizer.step()
        return loss.detach()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Said(OwnStep):
    """min_θ Σ_i ℓ_i, and says that it takes them"""

    takes = ("targets",)


@pytest.mark.parametrize(
    "method, taking", [(OwnLoss(), ()), (OwnStep(), ()), (Said(), ("targets",)), (ERM(), ("targets",))]
)
def test_who_overrides_how_it_trains_says_anew_what_it_takes(method, taking):
    assert taken(method) == taking
    if not taking:
        with pytest.raises(Unsuitable, match=f"which {type(method).__name__} does not look at"):
            train(models.mlp(DATA), weigh(DATA, WEIGHTS), method, epochs=1)


def test_what_thins_out_keeps_samples_without_a_label():
    assert len(thin(HIDDEN, [1.0, 1.0])) == 64 and thin(HIDDEN, [0.0, 1.0]).unlabelled == 32


def test_names_of_labels_make_minus_one_unknown():
    """As in torchvision's STL10; without names it is a number like others."""
    items = [(torch.zeros(1, 2, 2), label) for label in (0, 1, -1, -1)]
    assert from_dataset(items, label_names=("cat", "dog")).labels.tolist() == [0, 1, -1, -1]
    assert from_dataset(items).label_names == ("label=-1", "label=0", "label=1")


def test_others_that_are_watched_need_labels_before_anything_is_trained():
    with pytest.raises(ValueError, match="validation: 32 of 64 samples have no label, so nobody knows who is right"):
        train(models.mlp(DATA), DATA, validation=HIDDEN, on_step=lambda *_: pytest.fail("trained"))
    with pytest.raises(ValueError, match="32 of 64 samples have no label, so nobody knows"):
        audit(models.mlp(DATA), HIDDEN)


def test_what_cannot_do_without_labels_says_so():
    lost = dataclasses.replace(DATA, labels=torch.full_like(DATA.labels, -1))
    with pytest.raises(ValueError, match="64 of 64 samples have no label, so nobody knows who is right; evaluate on"):
        evaluate(models.mlp(DATA), lost)
    with pytest.raises(ValueError, match="64 samples of test have no label; leave them out with"):
        Splits(DATA, SPLITS.validation, lost)
    for method in (DANN(), DANN(labelled="first domain")):
        with pytest.raises(Unsuitable, match="no sample has a label to learn from; give those that have one"):
            train(models.mlp(DATA), lost, method)
    for method in (DANN(conditional=True), DANN(sampling="groups")):
        with pytest.raises(Unsuitable, match="DANN as it is set needs one of each"):
            train(models.mlp(DATA), lost, method)
    with pytest.raises(TypeError, match="targets"):
        GroupedData(DATA.inputs, DATA.labels, DATA.attributes, DATA.label_names, DATA.attribute_names, targets=[1])


def test_items_may_have_no_label():
    images = torch.arange(8, dtype=torch.uint8)[:, None, None, None].expand(8, 1, 2, 2)
    items = [(images[i], None if i > 5 else "ab"[i % 2], i % 3) for i in range(8)]
    found = from_dataset(items, attribute=2)
    assert found.labels.tolist() == [0, 1, 0, 1, 0, 1, -1, -1] and found.label_names == ("a", "b")
    numbered = from_dataset([(a, b and "ab".index(b), c) for a, b, c in items], attribute=2, label_names=("x", "y"))
    assert numbered.labels.tolist() == found.labels.tolist() and numbered.label_names == ("x", "y")
    with pytest.raises(ValueError, match="no item has a label; give one at least to some"):
        from_dataset([(a, None, c) for a, _, c in items], attribute=2)
    with pytest.raises(ValueError, match="2 samples of test have no label"):
        from_datasets(items[:4], items[4:6], items[6:], attribute=2)


TRAIN = [i // 4 % 5 < 3 for i in range(60)]  # of the folder that `make` makes
PLACE_1 = [here and i // 2 % 2 == 1 for i, here in enumerate(TRAIN)]


def labels(without):
    return ["" if each else i % 2 for i, each in enumerate(without)]


def test_a_domain_of_a_folder_may_have_no_labels(tmp_path):
    """Its labels can be anything to DANN, and the report says what they are to others."""
    make(tmp_path, y=labels(PLACE_1))
    report = inspect_folder(tmp_path, size=SIDE)
    assert "18 images of train have no label, all of place=1: DANN adapts to them, and methods" in str(report)
    assert report.counts.sum() == 42 and "--methods 'dann,dann(sampling=domains)'" in report.command
    with pytest.warns(UserWarning, match="18 images of train have no label"):
        splits = image_folder(tmp_path, size=SIDE)
    assert splits.train.unlabelled == 18 and set(splits.train.attributes[splits.train.labels < 0].tolist()) == {1}
    with pytest.raises(Unsuitable, match="18 of 36 training samples have no label, and ERM as it is set needs one"):
        train(models.linear(splits.train), splits.train)
    assert "Cramér" not in str(report)
    (tmp_path / "answers.csv").write_text("image,prediction\n")
    with pytest.raises(ValueError, match="the label is not known in train; audit one of the other splits"):
        audit_predictions(tmp_path, tmp_path / "answers.csv", split="all")


@pytest.mark.parametrize(
    "without, rows",
    [
        ([each and i > 5 for i, each in enumerate(PLACE_1)], 16),  # two of the domain have one
        ([i // 2 % 2 == 1 for i in range(60)], 30),  # test lacks them, too
        (TRAIN, 36),  # nothing to learn from
    ],
)
def test_labels_that_are_missing_here_and_there_stay_a_problem(tmp_path, without, rows):
    make(tmp_path, y=labels(without))
    found = problems(tmp_path).problems
    assert len([each for each in found if each.what == "the label 'y' is empty"]) == rows == sum(without)


def test_a_column_of_weights(tmp_path):
    make(tmp_path, w=[i / 10 for i in range(60)])
    splits = image_folder(tmp_path, size=SIDE, columns=dict(weight="w"))
    torch.testing.assert_close(splits.train.targets.sum(1), torch.tensor([i / 10 for i in range(60) if TRAIN[i]]))
    assert splits.validation.targets is splits.test.targets is None
    assert "weight=w" in inspect_folder(tmp_path, size=SIDE, columns=dict(weight="w")).command
    make(tmp_path, w=[i if here else "" for i, here in enumerate(TRAIN)])  # those of others play no part
    assert (
        image_folder(tmp_path, size=SIDE, columns=dict(weight="w")).train.targets.sum()
        == splits.train.targets.sum() * 10
    )
    make(tmp_path, w=["-1", "", "nan", "inf", "x", *["1"] * 55])
    found = problems(tmp_path, columns=dict(weight="w")).problems
    assert [each.row for each in found] == [2, 3, 4, 5, 6] and found[0].what == "the weight '-1' is no number from 0"
    assert "no column 'v' for the weight; name another one" in str(problems(tmp_path, columns=dict(weight="v")))
    with pytest.raises(ValueError, match="columns names a 'mass'; name the columns of file, .*split, or weight"):
        image_folder(tmp_path, columns=dict(mass="w"))


def test_labels_are_smoothed_on_the_command_line(tmp_path, capsys):
    command = ["train", "--model", "linear", "--epochs", "1", "--out", str(tmp_path / "run"), "--label-smoothing"]
    assert cli.main([*command, "0.2"]) == 0
    told = json.loads((tmp_path / "run" / "settings.json").read_text())["configuration"]["data"]
    assert told == "colored-digits, aligned share 0.95, labels smoothed 0.2"
    data = colored_digits(classes=2, seed=0)
    run = train(models.linear(data.train, seed=0), smooth_labels(data.train, 0.2), epochs=1)
    kept = torch.load(tmp_path / "run" / "model.pt", weights_only=True)
    assert all(torch.equal(kept[name], value) for name, value in run.model.state_dict().items())
    assert cli.main([*command, "1.5"]) == 2 and "label-smoothing is '1.5'; use a number" in capsys.readouterr().err
