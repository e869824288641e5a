"""Lecture 04: SMOTE."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from torch import nn

from debias_course import data, figures, models, train
from debias_course.data import GroupedData, toys
from debias_course.lectures.smote import measurements, pictures
from debias_course.lectures.smote.measurements import SMOTELesson
from debias_course.methods import SMOTE, InputSMOTE
from debias_course.methods.neighbours import CHUNK, neighbours
from debias_course.methods.smote import between, draw, smote


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_published_formula_by_hand():
    """x = x_i + u (x_j - x_i), with the numbers that imbalanced-learn gives for RandomState(7)."""
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    nearest = neighbours(x, 2)
    assert nearest.tolist() == [[1, 2], [0, 2], [0, 1]]
    random = np.random.RandomState(7)
    picks, shares = torch.from_numpy(random.randint(0, 6, 3)), torch.from_numpy(random.uniform(size=3))
    made = between(x, nearest, picks // 2, picks % 2, shares)
    expected = [[0, 0.04355420584], [0, 0.91116982666], [0.69198723481, 0.61602553038]]
    assert torch.allclose(made, torch.tensor(expected, dtype=torch.float64), atol=1e-10)
    assert between(x, nearest, torch.tensor([0, 2]), torch.tensor([1, 1]), 0.5).tolist() == [[0, 1], [0.5, 1]]


@pytest.mark.slow
@pytest.mark.parametrize("problem", range(20))
def test_the_same_random_numbers_give_what_imbalanced_learn_gives(problem):
    from imblearn.over_sampling import SMOTE as Theirs

    random = np.random.RandomState(problem)
    classes, width, k = random.randint(2, 5), random.randint(1, 30), random.randint(1, 8)
    counts = random.randint(k + 1, 120, size=classes)
    x, labels = random.randn(counts.sum(), width), np.repeat(np.arange(classes), counts)
    theirs, _ = Theirs(k_neighbors=int(k), random_state=np.random.RandomState(problem)).fit_resample(x, labels)
    random, made = np.random.RandomState(problem), []
    for label, n in enumerate(counts):
        if n < counts.max():
            members = torch.from_numpy(x[labels == label])
            picks = torch.from_numpy(random.randint(0, n * k, counts.max() - n))
            shares = torch.from_numpy(random.uniform(size=counts.max() - n))
            made.append(between(members, neighbours(members, int(k)), picks // k, picks % k, shares))
    made = torch.cat(made) if made else torch.zeros(0, width)
    assert np.abs(made.numpy() - theirs[len(x) :]).max(initial=0) < 1e-6


def test_the_blocks_and_chunks_of_the_neighbour_search_by_hand(monkeypatch):
    module = sys.modules[neighbours.__module__]
    monkeypatch.setattr(module, "CHUNK", 2)
    assert module._smallest(torch.tensor([[5.0, 1.0, 7.0, 8.0, 2.0, 3.0]]), 2).tolist() == [[1, 4]]
    columns, half = module._padded(torch.tensor([[0.0], [1.0], [3.0], [4.0]]))
    assert half.tolist() == [0, 0.5, 4.5, 8]
    least, found = module._halved(columns, half, 1, 2)
    assert least.tolist() == [[0.5], [0], [-4], [-7.5]] and found.tolist() == [[1], [0], [3], [2]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "n, width, k", [(7, 2, 6), (CHUNK * 3 + 5, 3, 5), (2500, 40, 7), (CHUNK * 2, 1, 3), (2500, 260, 7), (2100, 256, 70)]
)
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_neighbours_are_exact_in_any_number_and_far_from_the_origin(n, width, k, offset):
    x = torch.randn(n, width, generator=seeded(n), dtype=torch.float64)
    distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    expected = distances.topk(k, largest=False).values
    found = distances.gather(1, neighbours((x + offset).float(), k))
    assert torch.allclose(found, expected, atol=1e-3)
    assert (neighbours(x, k) != torch.arange(n)[:, None]).all()
    assert torch.allclose(distances.gather(1, neighbours(x, k)), expected)


def test_small_clusters_far_apart_keep_their_neighbours():
    """And numbers that cannot be squared are refused, instead of giving indices that do not exist."""
    x = torch.cat([torch.randn(50, 4, generator=seeded(1)) * 1e-2 + side for side in (-100, 100)])
    exact = torch.cdist(x.double(), x.double(), compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    assert torch.equal(neighbours(x, 3), exact.topk(3, largest=False).indices)
    with pytest.raises(ValueError, match="too large to square; scale them down"):
        neighbours(torch.randn(5000, 20) * 1e25, 2)


SOME = torch.arange(0, 4500, 10)


def measured(x, k):
    """The distances of some of x to their k nearest others, and these: from differences in double precision."""
    x = x.double()
    distances = torch.cdist(x[SOME], x, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.scatter_(1, SOME[:, None], torch.inf).topk(k, largest=False)


FAR = 1000 * torch.tensor([-1.0, 1.0]).repeat_interleave(2250)[:, None]  # two clusters, 2000 σ apart


@pytest.mark.slow
@pytest.mark.parametrize("width", [2, 5, 7, 20, 256])
@pytest.mark.parametrize("shift", [0.0, FAR], ids=["one cluster", "two far apart"])
def test_many_samples_in_single_precision_have_the_neighbours_of_double_precision(width, shift):
    """In few dimensions (2, 5, 7) by a tree, and in many (256) by half the products."""
    x = torch.randn(4500, width, generator=seeded(width)) + shift
    assert torch.equal(neighbours(x, 5)[SOME], measured(x, 5).indices)


@pytest.mark.slow
@pytest.mark.parametrize("width", [2, 20])
@pytest.mark.parametrize("kind", ["copies", "whole numbers", "all the same", "tiny"])
def test_ties_and_sizes_that_single_precision_cannot_tell_apart(width, kind):
    x = torch.randn(4500, width, generator=seeded(width))
    x = {"copies": x[:450].repeat(10, 1), "whole numbers": x.round(), "all the same": x * 0, "tiny": x * 1e-30}[kind]
    found = neighbours(x, 5)
    distances = (x.double()[found] - x.double()[:, None]).norm(dim=2)
    torch.testing.assert_close(distances[SOME], measured(x, 5).values, rtol=1e-9, atol=0)
    assert (found != torch.arange(4500)[:, None]).all() and (found.sort(1).values.diff(dim=1) > 0).all()


def test_a_copy_is_a_neighbour_but_never_oneself():
    x = torch.tensor([[1.0, 1.0]] * 3 + [[5.0, 5.0]])
    nearest = neighbours(x, 2)
    assert (nearest != torch.arange(4)[:, None]).all()
    assert all(set(row) == {0, 1, 2} - {i} for i, row in enumerate(nearest[:3].tolist()))


def populations(*counts, width=3):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return torch.randn(len(labels), width, generator=seeded(1)) + labels[:, None] * 10, labels


def test_counts_are_exact_and_new_samples_lie_between_two_of_their_kind():
    x, labels = populations(30, 8, 3)
    new, start = smote(x, labels, generator=seeded())
    assert torch.bincount(labels[start], minlength=3).tolist() == [0, 22, 27]
    for sample, origin in zip(new, start):
        kin = x[labels == labels[origin]]
        way = kin - x[origin]
        share = ((sample - x[origin]) * way).sum(1) / way.square().sum(1).clamp(min=1e-12)
        off = (x[origin] + share[:, None] * way - sample).norm(dim=1)
        fits = (off < 1e-5) & (share >= -1e-6) & (share < 1) & (way.norm(dim=1) > 0)
        assert fits.any()
    assert torch.bincount(labels[smote(x, labels, counts=(30, 10, 5), generator=seeded())[1]]).tolist() == [0, 2, 2]


@pytest.mark.parametrize("share, interpolation", [(0.5, "middle"), (0.0, "repeat")])
def test_the_middle_and_the_copy_are_two_points_of_the_way(share, interpolation):
    x, labels = populations(9, 4)
    new, start = smote(x, labels, interpolation=interpolation, generator=seeded(2))
    if interpolation == "repeat":
        assert torch.equal(new, x[start])
    else:
        pairs = (x[9:, None] + x[None, 9:]) / 2
        assert all(((pairs - sample).abs().sum(2) < 1e-5).any() for sample in new)


def test_even_starts_are_used_equally_often():
    start, which, shares = draw(10, 3, 35, base="even", like=torch.zeros(1), generator=seeded())
    assert set(torch.bincount(start).tolist()) == {3, 4} and which.max() <= 2 and 0 <= shares.min() <= shares.max() < 1


def test_images_keep_their_shape_and_draws_follow_the_generator():
    x, labels = torch.rand(12, 1, 4, 4), torch.tensor([0] * 9 + [1] * 3)
    new, _ = smote(x, labels, generator=seeded(3))
    assert new.shape == (6, 1, 4, 4) and new.dtype == x.dtype
    assert torch.equal(new, smote(x, labels, generator=seeded(3))[0])
    assert not torch.equal(new, smote(x, labels, generator=seeded(4))[0])
    assert smote(x, labels, counts=(9, 3))[0].shape == (0, 1, 4, 4)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            dict(x=torch.zeros(12, 3, dtype=torch.uint8)),
            r"torch.uint8, between which there are no points; give x.float",
        ),
        (dict(x=torch.full((12, 3), torch.nan)), "NaN or infinite values, which have no neighbours"),
        (dict(k=5), r"class 1 has 3 samples; k=5 neighbours need at least 6: use k=2 or less, or as many as there are"),
        (dict(names=("a",)), "1 names for 2 populations; name them all"),
        (dict(labels=torch.zeros(3, dtype=torch.int64)), "12 samples with 3 labels; give one label for each"),
        (dict(x=torch.rand(12)), r"x has the shape \(12,\); give \[n, d, ...\]"),
        (dict(k=0), "k is 0; use a whole number from 1, or 'auto'"),
        (dict(k=2.0), "k is 2.0"),
        (dict(interpolation="half"), "interpolation is 'half'; use one of 'random', 'middle', 'repeat'"),
        (dict(base="all"), "base is 'all'; use one of 'random', 'even'"),
        (dict(counts=(5, 5)), "class 0 has 9 samples and 5 are wanted"),
        (dict(counts=(9, 5, 5)), r"counts are \(9, 5, 5\); give one whole number for each of the 2 populations"),
    ],
)
def test_what_has_no_new_samples_is_refused_with_a_remedy(change, sentence):
    given = dict(x=torch.rand(12, 3), labels=torch.tensor([0] * 9 + [1] * 3)) | change
    with pytest.raises(ValueError, match=sentence):
        smote(given.pop("x"), given.pop("labels"), **given)


def test_a_single_sample_is_repeated_only_where_asked():
    x, labels = populations(4, 1)
    new, _ = smote(x, labels, generator=seeded())
    assert torch.equal(new, x[4:].expand(3, -1))
    with pytest.raises(ValueError, match="class 1 has 1 sample; k=1 neighbours need at least 2: use as many as there"):
        smote(x, labels, k=1)
    with pytest.raises(ValueError, match="class 2 has 0 samples and 3 are wanted"):
        smote(x, labels, counts=(4, 4, 3), names=("class 0", "class 1", "class 2"))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_only_training_data_are_enlarged(toy, split):
    with pytest.raises(ValueError, match=f"these are {split} samples; new ones among them would be tested as if"):
        SMOTE().enlarge(getattr(toy, split))


def test_groups_are_not_mixed():
    assert SMOTE(by="group").needs == "group labels" and SMOTE().needs == "nothing"
    data = toys.islands(rare=12, seed=4).train
    both = SMOTE(by="group", k=5).enlarge(data, generator=seeded())
    assert both.counts.tolist() == [100] * 4
    new = slice(len(data), None)
    rare = both.labels[new] == 1
    assert (both.inputs[new][rare][:, 0].sign() == both.attributes[new][rare] * 2.0 - 1).all()


@pytest.mark.slow
def test_two_stages_keep_the_features_and_train_a_new_head_on_balanced_embeddings(toy):
    start, method = models.mlp(toy.train, hidden=(8,)), SMOTE(by="group", warm_up=2)
    stage_one = train(start, toy.train, epochs=2).model
    run = train(start, toy.train, method, epochs=3)
    assert all(torch.equal(a, b) for a, b in zip(stage_one.features.parameters(), run.model.features.parameters()))
    assert not torch.equal(stage_one.head.weight, run.model.head.weight)
    assert run.state.enlarged.inputs.shape == (760, 8) and run.state.enlarged.counts.tolist() == [190] * 4
    embedded = stage_one.features(toy.train.inputs)
    assert torch.allclose(run.state.enlarged.inputs[:400], embedded, atol=1e-6)


def test_new_inputs_are_there_from_the_first_epoch(digits):
    seen = []

    class Recorded(InputSMOTE):
        def loss(self, model, batch, state):
            seen.append((len(batch.labels), float(batch.inputs.max())))
            return super().loss(model, batch, state)

    few = digits.train.subset(torch.arange(0, 3000, 15))
    train(models.linear(few), few, Recorded(by="group"), epochs=1, batch_size=10_000)
    ((n, high),) = seen
    assert n == 4 * int(few.counts.max()) and 0.5 < high <= 1.0


def test_a_model_without_features_is_told_so(toy):
    with pytest.raises(ValueError, match="which Linear has not; .* or use InputSMOTE"):
        train(nn.Linear(2, 2), toy.train, SMOTE(), epochs=1)
    train(nn.Linear(2, 2), toy.train, InputSMOTE(), epochs=1)


@pytest.mark.slow
def test_memory_of_many_samples_stays_bounded():
    """50,000 samples: all distances at once would be 10 GB, whatever the dimension (10 here, which is fast)."""
    import resource

    x = torch.randn(50_000, 10, generator=seeded())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert neighbours(x, 5).shape == (50_000, 5)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 500


class Outside(SMOTE):
    """min: wrong, the sign is flipped and new samples lie beyond the old ones."""

    def enlarge(self, data, *, generator=None):
        both = super().enlarge(data, generator=generator)
        n = len(data)
        middle = both.inputs[:n].mean(0)
        return dataclasses.replace(both, inputs=torch.cat([both.inputs[:n], 2 * middle - both.inputs[n:]]))


class Far(SMOTE):
    """min: wrong, any other sample of the population counts as a neighbour."""

    def enlarge(self, data, *, generator=None):
        far = self if self.by == "group" else dataclasses.replace(self, k=19)
        return SMOTE.enlarge(far, data, generator=generator)


@pytest.mark.parametrize("wrong, claim", [(Far, "B04.4"), (Outside, "L04.2")])
def test_a_wrong_implementation_turns_a_claim(verdict_with, wrong, claim):
    assert verdict_with(SMOTELesson, wrong, claim, seeds=3) == "refuted"


def test_the_new_data_are_data(toy):
    both = SMOTE(counts=(250, 210)).enlarge(toy.train, generator=seeded())
    assert isinstance(both, GroupedData) and both.counts_by("label").tolist() == [250, 210] and both.split == "train"


def plane(*points, labels, split="train"):
    labels = torch.tensor(labels)
    return GroupedData(torch.tensor(points), labels, labels * 0, ("a", "b"), ("any",), split)


def test_the_voters_by_hand():
    """The nearest of (0, 1.1) is the rare sample, of the nearest three two are common; a copy of it turns the vote."""
    known = plane([0.0, 0.0], [0.0, 2.5], [0.0, 4.0], [0.0, 1.0], labels=[0, 0, 0, 1])
    asked = plane([0.0, 1.1], [0.0, 3.9], labels=[1, 0], split="test")
    assert [measurements.voted(known, asked, k).tolist() for k in (1, 3)] == [[1, 0], [0, 0]]
    copied = measurements.enlarged(known, "copies", 0)
    assert len(copied) == 6 and measurements.voted(copied, asked, 3).tolist() == [1, 0]
    assert measurements.enlarged(known, "nothing", 0) is known
    assert measurements.by_digit(torch.tensor([0, 0]), asked) == [1.0, 0.0]


def test_the_spread_by_hand_and_that_of_averages():
    """Of (0, 0) and (2, 0) it is 1; their average has none, and copies keep it where both are copied as often."""
    two = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    assert measurements.spread(two) == 1 and measurements.spread(two.mean(0, keepdim=True)) == 0
    assert measurements.spread(two.repeat(5, 1)) == 1


def test_the_loss_of_a_linear_head_between_two_samples_is_at_most_the_mean_of_theirs():
    """As the notebook says of why it has nothing to learn from them."""
    head, x = nn.Linear(5, 3), torch.randn(200, 2, 5, generator=seeded(3))
    u, label = torch.rand(200, 1, generator=seeded(4)), torch.arange(200) % 3
    losses = [nn.functional.cross_entropy(head(z), label, reduction="none") for z in x.unbind(1)]
    between_them = nn.functional.cross_entropy(head(torch.lerp(x[:, 0], x[:, 1], u)), label, reduction="none")
    assert (between_them <= torch.lerp(*losses, u[:, 0]) + 1e-6).all()


def test_both_spaces_mix_the_same_pairs_at_the_same_places():
    """With features that change nothing, mixed embeddings are embedded mixtures."""
    lesson = SMOTELesson(seeds=[3])
    part = measurements.floats(lesson.digits(3, 100).train)
    pixels = measurements.embedded(nn.Flatten(), measurements.enlarged(part, "random points", 3))
    embeddings = measurements.enlarged(measurements.embedded(nn.Flatten(), part), "random points", 3)
    assert torch.allclose(pixels.inputs, embeddings.inputs, atol=1e-6) and torch.equal(pixels.labels, embeddings.labels)


def test_copies_leave_the_nearest_neighbour_as_it_is():
    lesson = SMOTELesson(seeds=[3])
    copies, nothing = (lesson.rare(3, new, "1-NN", epochs=2) for new in ("copies", "nothing"))
    assert copies == nothing > 0.1


def test_the_rare_digits_are_those_with_fewest_images():
    counts = data.long_tailed_digits().train.counts_by("label")
    assert sorted(counts.topk(4, largest=False).indices.tolist()) == list(measurements.RARE)
    assert counts[list(measurements.RARE)].tolist() == [14, 8, 5, 3]


def test_the_sevens_begin_and_end_with_the_originals():
    figure = pictures.sevens(epochs=1)
    shown = [[torch.as_tensor(axis.images[0].get_array()) for axis in figure.axes[i : i + 5]] for i in (0, 5, 10)]
    far, near, nearest = shown
    assert torch.equal(far[0], near[0]) and torch.equal(far[0], nearest[0]) and torch.equal(far[4], nearest[4])
    assert torch.allclose(far[2], (far[0] + far[4]) / 2) and not torch.equal(near[4], far[4])
    assert not any(torch.equal(each, end) for each in nearest[1:4] for end in (nearest[0], nearest[4]))
    assert "Three rows" in figures.alt_text(figure)


def test_the_islands_share_one_legend_with_all_kinds_and_the_given_samples_lie_on_top():
    figure = pictures.islands({"few": SMOTE(k=5), "many": SMOTE(k=15)})
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["new", "new, among others", "common", "rare"]
    for axis in figure.axes:
        new, wrong, common, rare = axis.lines
        assert axis.get_legend() is None and min(common.zorder, rare.zorder) > max(new.zorder, wrong.zorder)


@pytest.mark.parametrize("interpolation, share", [("middle", 1 / 2), ("random", 2 / 3)])
def test_points_between_independent_samples_keep_a_half_or_two_thirds_of_the_variance(interpolation, share):
    """Where any sample may be the neighbour; as the notebook says."""
    x = torch.randn(400, 2, generator=seeded(5), dtype=torch.float64)
    labels = torch.tensor([0] * 60_000 + [1] * 400)
    both = torch.cat([torch.zeros(60_000, 2, dtype=torch.float64), x])
    new, _ = smote(both, labels, k=399, interpolation=interpolation, generator=seeded(6))
    assert measurements.spread(new) / measurements.spread(x) == pytest.approx(share, rel=0.03)


@pytest.mark.slow
def test_the_picture_of_the_long_tail_has_a_bar_for_each_digit():
    bars = pictures.found(data.long_tailed_digits(), epochs=2).axes[0]
    assert [text.get_text() for text in bars.get_xticklabels()][::9] == ["0\n300", "9\n3"]


def test_a_row_of_images_is_named_by_its_label_where_there_is_one_attribute():
    names = [axis.get_ylabel() for axis in figures.sample_grid(data.long_tailed_digits().train, each=3).axes]
    assert names[0].startswith("digit 0\n300 images") and not any("any" in name for name in names)


def test_new_samples_in_the_schematic_lie_where_they_are_said_to():
    """On the given ones where they are copies, and half-way where they are averages."""
    axis = pictures.schematic().axes[0]
    crosses, squares = (
        [line.get_xydata()[0].tolist() for line in axis.lines if line.get_marker() == marker] for marker in "+s"
    )
    squares = [each for each in squares if each[1] > 1]  # without the key
    copies, averages = ([each for each in crosses if low < each[0] < low + 2] for low in (0.4, 5.6))
    assert all(each in squares for each in copies) and len(copies) == 3
    ends = sorted(each for each in squares if each[0] > 5)
    middles = [[(a + b) / 2 for a, b in zip(*pair)] for pair in (ends[:2], ends[1:])]
    assert sorted(averages) == [pytest.approx(middle) for middle in middles]
