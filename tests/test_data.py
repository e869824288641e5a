"""data/: groups, digits, planted biases, toys."""

import pickle

import numpy as np
import pytest
import torch

from debias_course.data import (
    GroupedData,
    Splits,
    colored_digits,
    domain_digits,
    half_size,
    load_digits,
    long_tailed_digits,
    textured_digits,
    toys,
)
from debias_course.data.biases import (
    CLOUD,
    COLORS,
    GROUND,
    TEXTURES,
    clouds,
    correlated_attributes,
    paint,
    texture,
)
from debias_course.data.changes import mislabel, thin
from debias_course.data.digits import in_box, split_indices
from debias_course.data.grouped import group_ids, label_and_attribute
from debias_course.lectures.dataset_bias.measurements import DatasetBiasLesson


def small(inputs=None, labels=(0, 1, 1), attributes=(2, 0, 1), **names):
    inputs = torch.zeros(len(labels), 2) if inputs is None else inputs
    names = dict(label_names=("a", "b"), attribute_names=("x", "y", "z")) | names
    return GroupedData(inputs, torch.tensor(labels), torch.tensor(attributes), **names)


def test_group_is_label_times_attributes_plus_attribute():
    data = small()
    assert data.groups.tolist() == [2, 3, 4]
    assert data.group_names == ("a, x", "a, y", "a, z", "b, x", "b, y", "b, z")
    labels, attributes = label_and_attribute(data.groups, 3)
    assert labels.tolist() == [0, 1, 1] and attributes.tolist() == [2, 0, 1]
    assert torch.equal(group_ids(labels, attributes, 3), data.groups)


def test_counts_come_from_the_grid_not_from_the_values_present():
    data = small(labels=(1, 1), attributes=(2, 2))
    assert data.counts.tolist() == [0, 0, 0, 0, 0, 2]
    assert data.counts_by("label").tolist() == [0, 2] and data.counts_by("attribute").tolist() == [0, 0, 2]
    assert data.table()["n"].tolist() == [0, 0, 0, 0, 0, 2] and data.table()["share"].sum() == 1


@pytest.mark.parametrize(
    "broken, sentence",
    [
        (dict(labels=(0, 1, 2)), r"labels range from 0 to 2, but 2 names are given; use 0 to 1"),
        (dict(attributes=(-1, 0, 1)), r"attributes range from -1 to 1, but 3 names"),
        (dict(attributes=(0, 1)), r"3 inputs but attributes of shape \(2,\); give one value per input"),
        (dict(inputs=torch.tensor([[0.0], [float("nan")], [1.0]])), r"1 of 3 inputs hold NaN .* index 1"),
        (dict(inputs=torch.zeros(3, 2, dtype=torch.int64)), r"inputs are torch.int64; give uint8 images"),
        (dict(label_names="ab"), r"label_names are 'ab'; give a tuple of different names"),
        (dict(attribute_names=("x", "x", "y")), r"give a tuple of different names"),
        (dict(inputs=[[0.0], [1.0], [1.0]]), r"inputs is \[\[0.0\], .*; give a tensor, such as torch.as_tensor"),
        (dict(inputs=torch.zeros(3, 2, device="meta")), r"lie on different devices"),
        (dict(labels=(0.0, 1.0, 1.0)), r"labels are torch.float32; give integers"),
    ],
)
def test_bad_data_is_refused_with_a_sentence(broken, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        small(**(dict(inputs=torch.zeros(3, 2)) | broken))


def test_an_empty_group_is_named_where_one_is_needed():
    with pytest.raises(ValueError, match=r"group 'a, x' has no example \(nor have 2 other groups\); try this"):
        small().require_every_group("try this")


def test_images_are_read_as_floats_between_0_and_1():
    data = small(inputs=torch.tensor([[0], [51], [255]], dtype=torch.uint8))
    batch = data.batch(torch.tensor([2, 1]))
    assert batch.inputs.flatten().tolist() == pytest.approx([1.0, 0.2])
    assert batch.labels.tolist() == [1, 1] and batch.groups.tolist() == [4, 3]


def test_other_floats_become_float32_without_a_graph():
    data = small(inputs=torch.zeros(3, 2, dtype=torch.float64, requires_grad=True))
    assert data.inputs.dtype == torch.float32 and not data.inputs.requires_grad


def test_fingerprint_tells_content():
    assert small().fingerprint() == small().fingerprint()
    assert small().fingerprint() != small(labels=(0, 1, 0)).fingerprint()
    assert small().fingerprint() != small(label_names=("a", "c")).fingerprint()


def test_the_digits_are_real_and_balanced():
    images, labels = load_digits()
    assert images.shape == (5000, 20, 20) and images.dtype == torch.uint8
    assert torch.bincount(labels).tolist() == [500] * 10
    ink = images.float().mean((1, 2))
    assert ink[labels == 0].mean() > 1.5 * ink[labels == 1].mean()  # a zero takes more ink than a one


def test_the_box_of_a_digit_holds_all_of_its_ink_in_the_middle():
    framed, labels = load_digits(framed=True)
    boxed, same = load_digits()
    assert framed.shape == (5000, 28, 28) and torch.equal(labels, same)
    assert torch.equal(framed.long().sum((1, 2)), boxed.long().sum((1, 2)))
    for flat in (boxed.any(1), boxed.any(2)):  # columns and rows with ink: as many empty ones before as after
        before, after = flat.int().argmax(1), flat.flip(1).int().argmax(1)
        assert set((after - before).tolist()) == {0, 1}


def test_a_box_by_hand():
    """Ink in rows 4 to 17 and columns 25 to 27: 14 rows, three above them; 3 columns, eight before them, so that the
    box reaches beyond the frame."""
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 4:18, 25:] = torch.arange(1, 43, dtype=torch.uint8).view(14, 3)
    expected = torch.zeros(1, 20, 20, dtype=torch.uint8)
    expected[0, 3:17, 8:11] = image[0, 4:18, 25:]
    assert torch.equal(in_box(image), expected)
    assert torch.equal(in_box(torch.zeros(2, 28, 28)), torch.zeros(2, 20, 20))


@pytest.mark.slow
def test_the_full_digits_are_read_where_they_are(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.arange(20 * 784, dtype=np.int64).astype(np.uint8)
    for name, n in ("train", 20), ("t10k", 5):
        header = b"".join(v.to_bytes(4, "big") for v in (2051, n, 28, 28))
        (raw / f"{name}-images-idx3-ubyte").write_bytes(header + pixels[: n * 784].tobytes())
        header = b"".join(v.to_bytes(4, "big") for v in (2049, n))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(header + bytes(i % 10 for i in range(n)))
    images, labels = load_digits(full=True, framed=True, root=tmp_path)
    assert images.flatten().tolist() == pixels.tolist() and labels.tolist() == [i % 10 for i in range(20)]


def test_absent_full_digits_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="put the MNIST idx files into .* or pass download=True"):
        load_digits(full=True, root=tmp_path)


def test_the_split_is_stratified_disjoint_and_complete():
    _, labels = load_digits()
    parts = split_indices(labels)
    assert [len(p) for p in parts] == [3000, 1000, 1000]
    assert sorted(torch.cat(parts).tolist()) == list(range(5000))
    for part, n in zip(parts, (300, 100, 100)):
        assert torch.bincount(labels[part]).tolist() == [n] * 10


@pytest.mark.parametrize("aligned_share, aligned", [(0.0, 0), (0.5, 20), (0.95, 38), (1.0, 40)])
def test_planted_counts_are_exact(aligned_share, aligned):
    labels = torch.arange(4).repeat_interleave(40)
    attributes = correlated_attributes(labels, 4, aligned_share, generator=torch.Generator().manual_seed(0))
    for label in range(4):
        counts = torch.bincount(attributes[labels == label], minlength=4)
        assert counts[label] == aligned
        others = counts[[a for a in range(4) if a != label]]
        assert others.max() - others.min() <= 1 and counts.sum() == 40


@pytest.mark.parametrize("aligned_share", [-0.1, 1.1, float("nan")])
def test_an_aligned_share_outside_0_to_1_is_refused(aligned_share):
    with pytest.raises(ValueError, match=r"aligned_share is .*a share of samples: use a number from 0 to 1"):
        colored_digits(aligned_share=aligned_share)


def test_four_groups_and_a_hundred(digits):
    assert digits.train.counts.tolist() == [1425, 75, 75, 1425]
    assert digits.validation.counts.tolist() == digits.test.counts.tolist() == [250] * 4
    ten = colored_digits(classes=10, aligned_share=0.9)
    assert ten.train.n_groups == 100 and ten.test.counts.tolist() == [10] * 100
    assert ten.train.counts.view(10, 10).diagonal().tolist() == [270] * 10
    chosen = colored_digits(aligned_share=0.9, validation_aligned_share=0.9, test_aligned_share=0.0)
    assert chosen.validation.counts.tolist() == [450, 50, 50, 450]
    assert chosen.test.counts.tolist() == [0, 500, 500, 0]


def test_the_seed_moves_colours_only(digits):
    same, other = colored_digits(seed=0), colored_digits(seed=1)
    assert same.train.fingerprint() == digits.train.fingerprint()
    assert other.train.fingerprint() != digits.train.fingerprint()
    assert torch.equal(other.train.labels, digits.train.labels)


def test_paint_by_hand():
    image = torch.tensor([[[0, 255], [51, 102]]], dtype=torch.uint8)
    orange = torch.tensor([COLORS["orange"]], dtype=torch.uint8)
    front, back = paint(image, orange), paint(image, orange, "background")
    assert front[0, :, 0, 0].tolist() == [0, 0, 0] and front[0, :, 0, 1].tolist() == [230, 159, 0]
    assert front[0, :, 1, 0].tolist() == [46, 31, 0]
    assert back[0, :, 0, 0].tolist() == [230, 159, 0] and back[0, :, 0, 1].tolist() == [255, 255, 255]
    with pytest.raises(ValueError, match="use one of 'foreground', 'background'"):
        paint(image, orange, "middle")


def test_textures_come_in_the_counts_of_colours_and_start_anywhere():
    ten, colored = textured_digits(aligned_share=0.9, seed=2), colored_digits(classes=10, aligned_share=0.9, seed=2)
    assert ten.train.inputs.shape == (3000, 1, 20, 20) and ten.train.inputs.dtype == torch.uint8
    assert torch.equal(ten.train.counts, colored.train.counts) and ten.test.counts.tolist() == [10] * 100
    assert torch.equal(ten.train.labels, colored.train.labels) and ten.train.attribute_names == tuple(TEXTURES)
    assert ten.train.fingerprint() == textured_digits(aligned_share=0.9, seed=2).train.fingerprint()
    assert ten.train.fingerprint() != textured_digits(aligned_share=0.9, seed=3).train.fingerprint()
    two = textured_digits(classes=2, test_aligned_share=0.0)
    assert two.train.counts.tolist() == [1425, 75, 75, 1425] and two.test.counts.tolist() == [0, 500, 500, 0]
    for refused in colored_digits, textured_digits:
        with pytest.raises(ValueError, match="classes is -3; use one of 2"):
            refused(classes=-3)


def test_a_texture_lies_behind_the_strokes_and_is_told_by_its_pattern_not_by_a_pixel_or_its_brightness():
    blank = torch.zeros(2000, 20, 20, dtype=torch.uint8)
    kinds = torch.arange(10).repeat(200)
    grounds = texture(blank, kinds, generator=torch.Generator().manual_seed(0))[:, 0]
    assert set(grounds.unique().tolist()) == {0, GROUND}
    lit = (grounds > 0).float()
    for kind, name in enumerate(TEXTURES):
        mine = lit[kinds == kind]
        assert 0.4 < mine.mean() < 0.6, name
        assert (mine.mean(0) - 0.5).abs().max() < 0.35, name
    horizontal = (lit[:, :, 1:] == lit[:, :, :-1]).float().mean((1, 2))  # do neighbours agree along a row, a column?
    vertical = (lit[:, 1:] == lit[:, :-1]).float().mean((1, 2))
    names = list(TEXTURES)
    assert (horizontal[kinds == names.index("stripes")] == 1).all() and (
        vertical[kinds == names.index("bars")] == 1
    ).all()
    assert horizontal[kinds == names.index("noise")].mean() == pytest.approx(0.5, abs=0.02)
    strokes = texture(torch.full((10, 20, 20), 255, dtype=torch.uint8), torch.arange(10), generator=torch.Generator())
    assert (strokes == 255).all()


def test_two_domains_show_the_same_digits_on_two_grounds():
    first = domain_digits(seed=1)
    assert first.train.counts.tolist() == [150] * 20 and first.test.counts.tolist() == [100] * 20
    assert first.train.inputs.shape == (3000, 1, 20, 20) and first.train.attribute_names == ("plain", "textured")
    plain, textured = first.test.inputs[:1000].int(), first.test.inputs[1000:].int()
    assert torch.equal(first.test.labels[:1000], first.test.labels[1000:])
    assert torch.equal(plain == 255, (plain == 255) & (textured == 255))
    background = textured[plain == 0].float()
    assert background.min() == 0 and background.max() <= CLOUD and background.mean() == pytest.approx(CLOUD / 2, abs=3)
    images, _ = load_digits()
    originals = images[split_indices(load_digits()[1])[0]]
    shown = first.train.inputs[:, 0]
    as_they_are = (shown == originals).flatten(1).all(1)
    assert torch.equal(as_they_are, first.train.attributes == 0)
    assert first.train.fingerprint() == domain_digits(seed=1).train.fingerprint()
    other = domain_digits(seed=2).train
    assert not torch.equal(other.attributes, first.train.attributes)


def test_clouds_are_soft_and_differ_from_each_other():
    soft = clouds(50, 20, 20, generator=torch.Generator().manual_seed(0))
    assert soft.shape == (50, 20, 20) and 0 <= soft.min() < 0.05 and 0.95 < soft.max() <= 1
    assert soft.diff(dim=2).abs().max() < 0.2501 and not torch.equal(soft[0], soft[1])


def test_half_size_by_hand():
    image = torch.tensor([[0, 4, 10, 10], [0, 0, 10, 11], [1, 1, 0, 0], [1, 1, 255, 255]], dtype=torch.uint8)
    parts = [
        GroupedData(each[None, None], torch.tensor([0]), torch.tensor([0]), ("a",), ("b",))
        for each in (255 - image, image, image)
    ]
    small = half_size(Splits(*parts))
    assert small.test.inputs.tolist() == [[[[1, 10], [1, 128]]]] and small.validation.split == "validation"


def test_thinning_keeps_the_correlation(digits):
    thinned = thin(digits.train, (1.0, 0.2))
    assert thinned.counts.tolist() == [1425, 75, 15, 285]
    with pytest.raises(ValueError, match="give one share from 0 to 1 for each of the 2 labels"):
        thin(digits.train, (1.0,))


def test_wrong_labels_are_as_many_as_asked_for_in_every_group(digits):
    data = digits.train
    noisy = mislabel(data, 0.1, seed=3)
    wrong = noisy.labels != data.labels
    counts = [int(wrong[data.groups == g].sum()) for g in range(4)]
    assert counts == [round(0.1 * n) for n in data.counts.tolist()]
    assert torch.equal(noisy.attributes, data.attributes) and torch.equal(noisy.inputs, data.inputs)
    assert torch.equal(mislabel(data, 0.1, seed=3).labels, noisy.labels)
    assert not torch.equal(mislabel(data, 0.1, seed=4).labels, noisy.labels)
    assert torch.equal(mislabel(data, 0.0).labels, data.labels)


def test_wrong_labels_are_spread_over_the_other_labels():
    data = colored_digits(classes=10).train
    noisy = mislabel(data, 0.5)
    taken = torch.bincount(noisy.labels[(data.labels == 3) & (noisy.labels != 3)], minlength=10)
    assert taken[3] == 0 and (taken[taken > 0] > 5).all() and (taken > 0).sum() == 9
    with pytest.raises(ValueError, match="share is 1.5"):
        mislabel(data, 1.5)


def test_a_long_tail_is_exponential_and_only_in_training():
    splits = long_tailed_digits(seed=1)
    assert splits.train.counts.tolist() == [300, 180, 108, 65, 39, 23, 14, 8, 5, 3]
    assert splits.test.counts.tolist() == [100] * 10 and splits.train.inputs.shape[1:] == (1, 20, 20)
    assert splits.train.fingerprint() != long_tailed_digits(seed=2).train.fingerprint()
    assert long_tailed_digits(ratio=1).train.counts.tolist() == [300] * 10
    with pytest.raises(ValueError, match="ratio is 0.5"):
        long_tailed_digits(ratio=0.5)


def test_a_part_of_splits_knows_which_it_is_and_so_does_what_is_taken_from_it(toy):
    assert [part.split for part in toy] == ["train", "validation", "test"]
    assert toy.test.subset(torch.arange(3)).split == "test" and toy._replace(train=toy.train).train.split == "train"
    assert pickle.loads(pickle.dumps(toy)).validation.split == "validation"
    data = toy.train
    loose = GroupedData(data.inputs, data.labels, data.attributes, data.label_names, data.attribute_names)
    assert loose.split == "" and loose.fingerprint() == data.fingerprint()


def test_two_islands_hold_the_rare_class():
    data = toys.islands(n=100, rare=10, seed=2).train
    assert data.counts.tolist() == [50, 50, 5, 5]
    rare = data.inputs[data.labels == 1]
    assert (rare[:, 0].sign() == data.attributes[data.labels == 1] * 2.0 - 1).all()
    with pytest.raises(ValueError, match="rare is 1"):
        toys.islands(rare=1)


def test_moons_are_separated_by_the_second_coordinate_in_training_only():
    data = toys.moons(gap=0.6, noise=0.05, seed=1)
    assert data.train.counts.tolist() == data.test.counts.tolist() == [150, 150]
    for part, apart in (data.train, True), (data.validation, True), (data.test, False):
        upper, lower = (part.inputs[part.labels == label, 1] for label in (0, 1))
        assert bool(upper.min() > lower.max()) == apart
    assert not torch.equal(data.train.inputs, toys.moons(gap=0.6, noise=0.05, seed=2).train.inputs)


def test_toys_are_what_they_say():
    data = toys.shortcut(n=400, aligned_share=0.9)
    assert data.train.counts.tolist() == [180, 20, 20, 180] and data.test.counts.tolist() == [100] * 4
    side = (data.test.inputs > 0).long()
    assert (side[:, 0] == data.test.attributes).float().mean() > 0.99
    assert 0.9 < (side[:, 1] == data.test.labels).float().mean() < 0.99
    rare = toys.imbalanced(n=400, minority=0.05)
    assert rare.train.counts.tolist() == [380, 20] and rare.test.counts.tolist() == [200, 200]
    theory = toys.core_and_spurious(n=2000, aligned_share=0.9)
    assert theory.train.inputs.shape == (2000, 200) and theory.train.counts.tolist() == [900, 100, 100, 900]
    std = theory.train.inputs[theory.train.groups == 0].std(0)
    assert std[:100].mean() == pytest.approx(10, rel=0.05) and std[100:].mean() == pytest.approx(1, rel=0.05)


@pytest.mark.slow
def test_a_bias_that_is_not_planted_turns_the_claims_of_lecture_00(monkeypatch):
    """Deliberately wrong: colours that ignore the correlation."""

    def unbiased(*, aligned_share=0.95, **options):
        return colored_digits(aligned_share=0.5, **options)

    monkeypatch.setattr("debias_course.data.colored_digits", unbiased)
    here = DatasetBiasLesson(seeds=4)
    found = [here.measured(id) for id in ("L00.1", "B00.1", "B00.5")]
    verdicts = [claim.alone(claim.at_middle).verdict for claim in found]
    assert verdicts == ["open", "open", "refuted"]  # no difference to the reference on any seed, twice
