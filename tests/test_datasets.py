"""Torch datasets as people have them: tuples or dicts, parts and unions, loaders, images of PIL, arrays and tensors."""

import collections
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from debias_course import study
from debias_course.comparison import compare
from debias_course.data import from_dataset, from_datasets, toys
from debias_course.evaluation import evaluate
from debias_course.methods import ERM, GroupDRO
from debias_course.models import linear
from debias_course.training import train


class Photos(Dataset):
    """Images that say their number, with a label and a site; counts how often each item is asked for."""

    def __init__(self, n=12, form=tuple, start=0, kind="array"):
        self.n, self.form, self.start, self.kind, self.asked = n, form, start, kind, []

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.asked.append(i)
        if not 0 <= i < self.n:
            raise IndexError(i)
        number = self.start + i
        image = np.full((5, 4, 3), number, np.uint8)
        forms = dict(array=image, pil=Image.fromarray(image), tensor=torch.from_numpy(image.transpose(2, 0, 1)))
        item = dict(image=forms[self.kind], label=("ill", "healthy")[number % 2], site=("B", "A", "C")[number // 2 % 3])
        return tuple(item.values()) if self.form is tuple else item


def first_pixels(data):
    return data.inputs[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("form, attribute", [(tuple, 2), (tuple, -1), (dict, "site")])
@pytest.mark.parametrize("kind", ["array", "pil", "tensor"])
def test_items_become_grouped_data_and_are_asked_for_once(form, attribute, kind):
    photos = Photos(form=form, kind=kind)
    data = from_dataset(photos, attribute=attribute)
    assert photos.asked == list(range(12))
    assert (
        data.inputs.dtype == torch.uint8 and data.inputs.shape == (12, 3, 5, 4) and first_pixels(data) == [*range(12)]
    )
    assert data.label_names == ("healthy", "ill") and data.attribute_names == ("A", "B", "C")
    assert data.labels.tolist() == [1, 0] * 6 and data.attributes.tolist() == [1, 1, 0, 0, 2, 2] * 2


def test_subsets_unions_and_loaders_are_datasets():
    part = Subset(Photos(), [7, 3])
    assert first_pixels(from_dataset(part, attribute=2)) == [7, 3]
    union = ConcatDataset([part, Photos(2, start=20)])
    assert first_pixels(from_dataset(union)) == [7, 3, 20, 21]
    loader = DataLoader(union, batch_size=3, shuffle=True)
    assert first_pixels(from_dataset(loader)) == [7, 3, 20, 21]


def test_attributes_may_come_beside_the_dataset():
    pairs = TensorDataset(torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2]))
    for given in (["x", "y"] * 3, np.array(["x", "y"] * 3)):
        data = from_dataset(pairs, attributes=given)
        assert data.attribute_names == ("x", "y") and data.label_names == ("label=0", "label=1", "label=2")
    for given in (torch.tensor([7, 3] * 3), [7.0, 3.0] * 3):
        data = from_dataset(pairs, attributes=given)
        assert data.attribute_names == ("attribute=3", "attribute=7") and data.attributes.tolist() == [1, 0] * 3
    assert from_dataset(pairs).attribute_names == ("unknown",)
    named = from_dataset(pairs, label_names=("a", "b", "c", "d"), attributes=[1] * 6, attribute_names=("no", "yes"))
    assert named.counts.tolist() == [0, 2, 0, 2, 0, 2, 0, 0] and named.group_names[1] == "a, yes"


def test_torchvisions_datasets_bring_their_classes(tmp_path):
    from torchvision.datasets import ImageFolder

    for i in range(8):
        (tmp_path / ("cat", "dog")[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(np.full((6, 6, 3), i, np.uint8)).save(tmp_path / ("cat", "dog")[i % 2] / f"{i}.png")
    whole = ImageFolder(tmp_path)
    for dataset in (whole, Subset(whole, [0, 5]), DataLoader(whole), ConcatDataset([whole, Subset(whole, [1])])):
        assert from_dataset(dataset).label_names == ("cat", "dog")
    assert from_dataset(Subset(whole, [0, 5])).labels.tolist() == [0, 1]


def test_three_datasets_share_one_grid_of_groups():
    made = from_datasets(Photos(2), Photos(2, start=30), Photos(12, start=40), attribute=2)
    assert [part.attribute_names for part in made] == [("A", "B", "C")] * 3 and made.test.split == "test"
    assert made.train.n_groups == 6 and made.train.counts.tolist() == [0, 1, 0, 0, 1, 0]
    sites = ["A", "B"], ["B", "B"], ["C"] * 12
    assert from_datasets(Photos(2), Photos(2, start=30), Photos(12, start=40), attributes=sites).test.counts.sum() == 12
    with pytest.raises(ValueError, match="attributes has 2 parts; give one sequence each for train, validation, test"):
        from_datasets(Photos(2), Photos(2), Photos(2), attributes=sites[:2])
    with pytest.raises(ValueError, match="2 of the 2 samples of validation are in train, too"):
        from_datasets(Photos(2), Photos(2), Photos(2, start=9))


def as_dataset(part):
    return TensorDataset(part.inputs, part.labels, part.attributes)


def points(seed):
    """The points of `toys.shortcut` as datasets."""
    return from_datasets(*map(as_dataset, toys.shortcut(seed=seed, n=200)), attribute=2)


def test_training_on_datasets_is_training_on_what_they_hold():
    ours, theirs = toys.shortcut(seed=3, n=200), points(3)
    reports = []
    for splits in (ours, theirs):
        run = train(linear(splits.train), splits.train, GroupDRO(), epochs=2, validation=splits.validation)
        reports.append(evaluate(run.model, splits.test).correct)
    assert reports[0] == reports[1]


@pytest.mark.slow
def test_datasets_go_through_a_study_and_a_comparison():
    how = dict(model=linear, epochs=1, seeds=2, n_jobs=1, progress=False)
    theirs = study({"plain": ERM()}, points, **how).table.drop(columns="seconds")
    ours = study({"plain": ERM()}, partial(toys.shortcut, n=200), **how).table.drop(columns="seconds")
    same = ["method", "seed", "n", "correct"]
    assert theirs[same].equals(ours[same])
    assert len(compare({"plain": ERM(), "dro": GroupDRO()}, points, trials=1, **how).table) == 2


class Strange(Photos):
    """Item 3 is not like the others."""

    def __init__(self, item, n=6):
        super().__init__(n)
        self.item = item

    def __getitem__(self, i):
        return self.item if i == 3 else super().__getitem__(i)


GOOD = np.zeros((5, 4, 3), np.uint8)


@pytest.mark.parametrize(
    "item, said",
    [
        ((np.zeros((4, 4, 3), np.uint8), "ill", "A"), r"item 3 of dataset is torch.uint8 \(3, 4, 4\), and item 0"),
        (
            (torch.zeros(3, 5, 4), "ill", "A"),
            "item 3 of dataset is torch.float32 .* bring all images to one size",
        ),
        ((GOOD.astype(np.uint16), "ill", "A"), r"item 3 .* are uint16, from 0 to 0; say .*: window=\(low, high\)"),
        (
            (Image.fromarray(GOOD).convert("RGBA"), "ill", "A"),
            r"mode RGBA; convert it in the dataset",
        ),
        (("photo.jpg", "ill", "A"), "item 3 of dataset: its image is .*; give PIL images, uint8 arrays or tensors"),
        ((GOOD, "ill", None), "item 3 of dataset: a label or an attribute is None; give a text or a number"),
        ((GOOD, torch.tensor([1.0, 0.0]), "A"), "item 3 of dataset: a label or an attribute is .*; give a text or a"),
        ((GOOD, float("nan"), "A"), "item 3 of dataset: a label or an attribute is nan"),
        ((GOOD, "ill", ""), "a value of the attribute is '', which is not a name or a number"),
        ((GOOD, "ill"), "item 3 of dataset: it is a tuple of 2, in which there is no 2; give a dataset"),
        (
            dict(image=GOOD, label="ill", sex="A"),
            "item 3 of dataset: it has no 2, but 'image', 'label', 'sex'; name",
        ),
        (
            (np.zeros((3, 5, 6), np.uint8), "ill", "A"),
            r"item 3 of dataset: its image has the shape \(3, 5, 6\); give \[H, W\], or \[H, W, C\] with 1, 3",
        ),
        (
            (torch.zeros(5, 6, 3), "ill", "A"),
            r"item 3 .* the shape \(5, 6, 3\); bring channels to the front, \[C, H, W\]",
        ),
        ((GOOD, 0.25, "A"), "the label is measured, such as 'ill', and not one of a few: put the numbers into bins"),
        (
            (GOOD, "ill", [1, 2]),
            r"item 3 of dataset: a label or an attribute is \[1, 2\].*take apart in the dataset what",
        ),
        (GOOD, "item 3 of dataset: it is .*, in which there is no 0; give a dataset with len"),
    ],
)
def test_an_item_that_does_not_fit_is_named(item, said):
    with pytest.raises(ValueError, match=said):
        from_dataset(Strange(item), attribute=2)


class Broken(Photos):
    def __getitem__(self, i):
        return {}["x"] if i == 4 else super().__getitem__(i)


def test_a_dataset_that_fails_is_told_with_the_item():
    with pytest.raises(ValueError, match="item 4 of dataset cannot be had \\(KeyError: 'x'\\); give a dataset"):
        from_dataset(Broken())


def test_items_may_have_names_and_names_of_labels_may_be_numbered():
    pair = collections.namedtuple("Pair", "image sick place")
    items = [pair(GOOD + i, i % 2, "AB"[i // 2]) for i in range(4)]
    for names in ({0: "no", 1: "yes"}, np.array(["no", "yes"])):
        data = from_dataset(items, image="image", label="sick", attribute="place", label_names=names)
        assert data.group_names == ("no, A", "no, B", "yes, A", "yes, B") and data.counts.tolist() == [1] * 4


class Endless(IterableDataset):
    def __iter__(self):
        yield GOOD, "ill"


@pytest.mark.parametrize(
    "call, kind, said",
    [
        (lambda: from_dataset(Endless()), TypeError, "dataset is .*Endless.*; give a dataset with len"),
        (lambda: from_dataset("photos"), TypeError, "dataset is .*; give a dataset with len"),
        (lambda: from_dataset(dict(a=1)), TypeError, "dataset is .*; give a dataset with len"),
        (lambda: from_dataset(Photos), TypeError, "dataset is .*; give a dataset with len"),
        (lambda: from_dataset(iter([1])), TypeError, r"where it can only be walked through, give list\(dataset\)"),
        (
            lambda: from_dataset(Photos(), label=2, attribute=2),
            ValueError,
            "label and attribute are both read from 2; na",
        ),
        (
            lambda: from_dataset(Photos(), attributes=dict.fromkeys(range(12))),
            TypeError,
            r"attributes\[0\] is None; give a list with one value",
        ),
        (
            lambda: from_dataset(Photos(), attributes=set(range(12))),
            TypeError,
            "attributes is .*set.* give a list with on",
        ),
        (
            lambda: from_dataset(Photos(), attributes=(i for i in "ab")),
            TypeError,
            "attributes is .*generator.* give a lis",
        ),
        (lambda: from_dataset(Photos(0)), ValueError, "dataset has no item; give at least one"),
        (
            lambda: from_dataset(Photos(), memory=100),
            ValueError,
            "would take 7.2e-07 GB, and 1e-07 GB are allowed",
        ),
        (lambda: from_dataset(Photos(), memory=-1), ValueError, "memory is -1"),
        (
            lambda: from_dataset(Photos(), attribute=2, attributes=["A"] * 12),
            ValueError,
            "12 attributes; name the",
        ),
        (lambda: from_dataset(Photos(), attributes=["A"] * 11), ValueError, "has 12 items and 11 attributes; name the"),
        (
            lambda: from_dataset(Photos(), label_names=("ill", "well")),
            ValueError,
            "label is 'healthy', which is not",
        ),
        (
            lambda: from_dataset(Photos(), label="disease"),
            ValueError,
            "item 0 of dataset: it is a tuple of 3",
        ),
    ],
)
def test_other_bad_input(call, kind, said):
    with pytest.raises(kind, match=said):
        call()
