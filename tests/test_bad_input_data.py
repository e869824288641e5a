"""What is wrong with an argument is said by the course, in a sentence with what was given and what to give instead."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from folders import make

from debias_course.data import (
    FolderError,
    GroupedData,
    ImageFiles,
    Splits,
    colored_digits,
    domain_digits,
    half_size,
    image_folder,
    inspect_folder,
    load_digits,
    long_tailed_digits,
    mislabel,
    textured_digits,
    toys,
    two_sided_digits,
)
from debias_course.data.biases import colored_mnist, correlated_attributes, paint
from debias_course.data.changes import thin

NAN, INF = float("nan"), float("inf")
LABELS = torch.tensor([0, 1, 1])
GREY = torch.zeros(3, 4, 4, dtype=torch.uint8)


def grouped(kind=GroupedData, **how):
    whole = dict(inputs=torch.zeros(3, 2), labels=LABELS, attributes=LABELS)
    return kind(**(whole | dict(label_names=("a", "b"), attribute_names=("x", "y")) | how))


def streamed(**how):
    labels = how.pop("labels", LABELS)
    files = dict(root=".", files=np.array(["a", "b", "c"], object), size=8) | how
    return grouped(inputs=ImageFiles(**files), labels=labels)


def plain(seed):
    return grouped(inputs=torch.randn(3, 2, generator=torch.Generator().manual_seed(seed)))


def splits(**parts):
    return Splits(**(dict(train=plain(0), validation=plain(1), test=plain(2)) | parts))


ROWS = {
    "grouped data": [
        (
            partial(grouped, inputs=[[0.0]] * 3),
            r"inputs is \[\[0.0\], .*\]; give a tensor, such as torch.as_tensor\(inputs\)",
        ),
        (partial(grouped, inputs=None), r"inputs is None; give a tensor"),
        (partial(grouped, inputs=np.zeros((3, 2))), r"inputs is a ndarray; give a tensor"),
        (partial(grouped, labels=[0, 1, 1]), r"labels is \[0, 1, 1\]; give a tensor"),
        (partial(grouped, labels=None), r"labels is None; give a tensor"),
        (partial(grouped, attributes=np.array([0, 1, 1])), r"attributes is array\(\[0, 1, 1\]\); give a tensor"),
        (partial(grouped, attributes="x"), r"attributes is 'x'; give a tensor"),
        (partial(grouped, inputs=torch.tensor(1.0)), r"inputs are a single number; give one row per sample"),
        (partial(grouped, labels=torch.tensor(1)), r"3 inputs but labels of shape \(\); give one value per input"),
        (
            partial(grouped, inputs=torch.zeros(3, 2, dtype=torch.complex64)),
            r"inputs are torch.complex64; give uint8 images",
        ),
        (
            partial(grouped, inputs=torch.zeros(3, 2, dtype=torch.bool)),
            r"inputs are torch.bool; give uint8 images or floating",
        ),
        (partial(grouped, labels=LABELS + 0j), r"labels are torch.complex64; give integers, such as labels.long\(\)"),
        (partial(grouped, attributes=LABELS > 0), r"attributes are torch.bool; give integers"),
        (
            partial(grouped, inputs=torch.full((3, 2), 1e300, dtype=torch.float64)),
            r"3 of 3 inputs hold .* float32 cannot hold",
        ),
        (partial(grouped, inputs=torch.full((3, 2), -INF)), r"3 of 3 inputs hold NaN or infinite values"),
        (partial(grouped, label_names=None), r"label_names are None; give a tuple of different names"),
        (partial(grouped, label_names={"a", "b"}), r"label_names are \{.*\}; give a tuple of different names"),
        (partial(grouped, label_names=frozenset("ab")), r"label_names are frozenset.*; give a tuple"),
        (partial(grouped, attribute_names=(n for n in "xy")), r"attribute_names are <generator .*>; give a tuple"),
        (partial(grouped, attribute_names=dict(x=0, y=1).keys()), r"attribute_names are dict_keys.*; give a tuple"),
        (partial(grouped, attribute_names=dict(x=0, y=1)), r"attribute_names are \{'x': 0, 'y': 1\}; give a tuple"),
        (partial(grouped, label_names=("a", "")), r"label_names are \('a', ''\); .* none of them empty"),
        (partial(grouped, label_names=("a", " ")), r"label_names are \('a', ' '\); .* none of them empty"),
        (partial(grouped, label_names=(0, 1)), r"label_names are \(0, 1\); give a tuple of different names"),
        (partial(grouped, label_names=()), r"label_names are \(\); give a tuple"),
        (partial(grouped, split="dev"), r"split is 'dev'; use one of '', 'train', 'validation', 'test'"),
        (lambda: grouped().counts_by("place"), r"by is 'place'; use one of 'group', 'label', 'attribute'"),
        (lambda: grouped().members(None), r"by is None; use one of 'group', 'label', 'attribute'"),
    ],
    "subsets": [
        (lambda: grouped().subset(None), r"the indices are None; give whole numbers or a mask"),
        (lambda: grouped().subset("all"), r"the indices are 'all'; give whole numbers"),
        (lambda: grouped().subset({0, 1}), r"the indices are \{0, 1\}; give whole numbers"),
        (lambda: grouped().subset(slice(0, 2)), r"the indices are slice\(0, 2, None\); give whole numbers"),
        (lambda: grouped().subset(1), r"the indices are 1; give whole numbers"),
        (lambda: grouped().subset([0.0, 1.0]), r"the indices are \[0.0, 1.0\]; give whole numbers"),
        (lambda: grouped().subset([[0], [1, 2]]), r"the indices are \[\[0\], \[1, 2\]\]; give whole numbers"),
        (lambda: grouped().subset(torch.ones(2, 2)), r"the indices are a Tensor; give whole numbers"),
        (lambda: grouped().subset([0, 3]), r"the indices range from 0 to 3, but there are 3 samples"),
        (lambda: grouped().subset(np.array([-4])), r"the indices range from -4 to -4, but there are 3 samples"),
        (lambda: grouped().subset([True, False]), r"the mask has 2 values for 3 samples; give one for each"),
        (lambda: streamed().subset([0, 3]), r"the indices range from 0 to 3, but there are 3 samples"),
        (lambda: streamed().subset(None), r"the indices are None; give whole numbers"),
    ],
    "streamed data": [
        (partial(streamed, size=0), r"size is 0; use a whole number from 1"),
        (partial(streamed, labels=[0, 1, 1]), r"labels is \[0, 1, 1\]; give a tensor"),
        (partial(streamed, files=None), r"files is None; give an array of texts"),
        (partial(streamed, files=np.array(["a"])), r"1 inputs but labels of shape \(3,\); give one value per input"),
        (partial(streamed, workers=0), r"workers is 0; use a whole number from 1"),
    ],
    "splits": [
        (partial(splits, train=None), r"train is None; give GroupedData"),
        (partial(splits, validation=[1, 2]), r"validation is \[1, 2\]; give GroupedData"),
        (partial(splits, test=torch.zeros(3)), r"test is tensor\(.*\); give GroupedData"),
        (partial(splits, test=replace(plain(2), label_names=("b", "a"))), r"label_names are \('b', 'a'\) in test, but"),
        (partial(splits, train=plain(1)), r"3 of the 3 samples of validation are in train, too"),
        (lambda: splits()._replace(test=None), r"test is None; give GroupedData"),
        (partial(half_size, None), r"splits is None; give Splits, such as colored_digits\(\)"),
        (partial(half_size, (1, 2, 3)), r"splits is \(1, 2, 3\); give Splits"),
        (lambda: half_size(splits()), r"the inputs of train are float32 \[3, 2\]; half_size takes images"),
        (partial(half_size, plain(0)), r"splits is a GroupedData; give Splits"),
    ],
    "digits": [
        (partial(colored_digits, classes="2"), r"classes is '2'; use one of 2, 10"),
        (partial(colored_digits, classes=True), r"classes is True; use one of 2, 10"),
        (partial(colored_digits, classes=2.0), r"classes is 2.0; use one of 2, 10"),
        (partial(textured_digits, classes=None), r"classes is None; use one of 2, 10"),
        (partial(colored_digits, aligned_share=None), r"aligned_share is None; .* use a number from 0 to 1"),
        (partial(colored_digits, aligned_share="0.9"), r"aligned_share is '0.9'; .* use a number from 0 to 1"),
        (partial(colored_digits, aligned_share=True), r"aligned_share is True; .* use a number from 0 to 1"),
        (partial(colored_digits, aligned_share=NAN), r"aligned_share is nan; .* use a number from 0 to 1"),
        (partial(colored_digits, aligned_share=-0.1), r"aligned_share is -0.1; it is a share of samples"),
        (
            partial(colored_digits, validation_aligned_share=95),
            r"validation_aligned_share is 95; .* use a number from 0 to 1",
        ),
        (partial(textured_digits, test_aligned_share="no"), r"test_aligned_share is 'no'; .* use a number from 0 to 1"),
        (partial(two_sided_digits, classes=3), r"classes is 3; use one of 2, 10"),
        (partial(two_sided_digits, left_share=99), r"left_share is 99; it is a share of samples"),
        (partial(two_sided_digits, right_share="a"), r"right_share is 'a'; .* use a number from 0 to 1"),
        (partial(two_sided_digits, test_share=None), r"test_share is None; .* use a number from 0 to 1"),
        (partial(colored_digits, where=None), r"where is None; use one of 'foreground', 'background'"),
        (partial(colored_digits, where=["foreground"]), r"where is \['foreground'\]; use one of 'foreground'"),
        (partial(paint, GREY, GREY[:, 0, :3], "middle"), r"where is 'middle'; use one of 'foreground', 'background'"),
        (
            partial(correlated_attributes, LABELS, 1, 0.5, generator=None),
            r"n_attributes is 1; use a whole number from 2",
        ),
        (partial(long_tailed_digits, ratio="a"), r"ratio is 'a'; .* use a number from 1"),
        (partial(long_tailed_digits, ratio=0), r"ratio is 0; .* use a number from 1"),
        (partial(long_tailed_digits, ratio=INF), r"ratio is inf; .* use a number from 1"),
        (partial(long_tailed_digits, ratio=10**400), r"ratio is an int; .* use a number from 1"),
        (partial(colored_mnist, label_noise=None), r"label_noise is None; .* use a number from 0 to 1"),
        (partial(mislabel, None, 0.1), r"data is None; give GroupedData, such as splits.train"),
        (lambda: mislabel(splits(), 0.1), r"data is .*; give GroupedData, such as splits.train"),
        (lambda: mislabel(plain(0), "a"), r"share is 'a'; use a number from 0 to 1"),
        (
            lambda: mislabel(replace(plain(0), labels=LABELS * 0, label_names=("a",)), 0.1),
            r"the one label is 'a'; a wrong one",
        ),
        (partial(thin, None, (1, 1)), r"data is None; give GroupedData"),
        (lambda: thin(plain(0), 0.5), r"keep is 0.5; give one share from 0 to 1 for each of the 2 labels"),
        (lambda: thin(plain(0), "ab"), r"keep is 'ab'; give one share"),
        (lambda: thin(plain(0), ("a", 1.0)), r"keep for 'a' is 'a'; .* use a number from 0 to 1"),
        (lambda: thin(plain(0), (1.0, None)), r"keep for 'b' is None; .* use a number from 0 to 1"),
        (partial(load_digits, root=3), r"root is 3; give the path of a folder"),
        (
            partial(load_digits, full=True, root="~nobody-of-this-name/x"),
            r"root is '~nobody.*but no home folder is known",
        ),
    ],
    "toys": [
        *(
            (partial(toy, n=0), r"n is 0; use a whole number from 2")
            for toy in (toys.shortcut, toys.imbalanced, toys.islands)
        ),
        *((partial(toy, n=-1), r"n is -1; use a whole number from 2") for toy in (toys.moons, toys.core_and_spurious)),
        (partial(toys.shortcut, n=1.5), r"n is 1.5; use a whole number from 2"),
        (partial(toys.moons, n="400"), r"n is '400'; use a whole number from 2"),
        (partial(toys.islands, n=True), r"n is True; use a whole number from 2"),
        (partial(toys.islands, rare=None), r"rare is None; use a whole number from 2"),
        (partial(toys.imbalanced, minority=0), r"minority is 0; both classes need samples"),
        (partial(toys.imbalanced, minority="few"), r"minority is 'few'; .* use a number from 0 to 1"),
        (partial(toys.shortcut, aligned_share=1.5), r"aligned_share is 1.5; it is a share of samples"),
        (partial(toys.shortcut, core_noise=-1), r"core_noise is -1; use a number from 0"),
        (partial(toys.moons, noise=NAN), r"noise is nan; use a number from 0"),
        (partial(toys.moons, gap=INF), r"gap is inf; use a number"),
        (partial(toys.core_and_spurious, dimensions=0), r"dimensions is 0; use a whole number from 1"),
    ],
    "seeds": [
        (partial(make, seed=seed), rf"seed is {words}; use a whole number from 0 to 2\^63 - 1")
        for make, seed, words in (
            (colored_digits, -1, "-1"),
            (colored_digits, 2**70, 2**70),
            (colored_digits, 1.5, "1.5"),
            (colored_digits, None, "None"),
            (colored_digits, "0", "'0'"),
            (colored_digits, True, "True"),
            (textured_digits, 2**63, 2**63),
            (domain_digits, "a", "'a'"),
            (two_sided_digits, 0.5, "0.5"),
            (long_tailed_digits, np.float64(1), r"np.float64\(1.0\)"),
            (colored_mnist, NAN, "nan"),
            (toys.shortcut, -1, "-1"),
            (toys.imbalanced, None, "None"),
            (toys.islands, "0", "'0'"),
            (toys.moons, 0.0, "0.0"),
            (toys.core_and_spurious, False, "False"),
            (partial(thin, plain(0), (1, 1)), -1, "-1"),
            (partial(mislabel, plain(0), 0.1), 2**64, 2**64),
        )
    ],
}


@pytest.mark.parametrize(
    "call, words", [pytest.param(*row, id=f"{kind} {i}") for kind in ROWS for i, row in enumerate(ROWS[kind])]
)
def test_a_bad_argument_is_refused_by_the_course_in_one_sentence(call, words):
    refused(call, words)


FOLDERS = [
    (dict(path=None), r"path is None; give the path of a folder"),
    (dict(path=3), r"path is 3; give the path of a folder"),
    (dict(path=b"x"), r"path is b'x'; give the path of a folder"),
    (dict(path=["x"]), r"path is \['x'\]; give the path of a folder"),
    (
        dict(path="~nobody-of-this-name/x"),
        r"path is '~nobody.*', but no home folder is known here; give its path in full",
    ),
    (dict(path="nowhere"), r"there is no folder .*nowhere"),
    (dict(size=True), r"size is True; use a whole number from 1"),
    (dict(size=0), r"size is 0; use a whole number from 1"),
    (dict(size=64.0), r"size is 64.0; use a whole number from 1"),
    (dict(size="64"), r"size is '64'; use a whole number from 1"),
    (dict(size=None), r"size is None; use a whole number from 1"),
    (dict(size=200_000), r"size is 200000 pixels, at which one image takes 120.0 GB"),
    (dict(memory="1 GB"), r"memory is '1 GB'; use a number from 0"),
    (dict(memory=NAN), r"memory is nan; use a number from 0"),
    (dict(memory=-1), r"memory is -1; use a number from 0"),
    (dict(memory=None), r"memory is None; use a number from 0"),
    (dict(memory=True), r"memory is True; use a number from 0"),
    (dict(workers=0), r"workers is 0; use a whole number from 1"),
    (dict(workers=1.5), r"workers is 1.5; use a whole number from 1"),
    (dict(workers="2"), r"workers is '2'; use a whole number from 1"),
    (dict(columns="label=y"), r"columns is 'label=y'; name them as in columns=dict\(label="),
    (dict(columns=3), r"columns is 3; name them as in columns=dict"),
    (dict(columns=dict(label=3)), r"the column of the label is 3; give its name as a text"),
    (dict(columns=dict(lable="y")), r"columns names a 'lable'; name the columns of file, label, attribute, split"),
    (dict(label=3), r"the column of the label is 3; give its name as a text"),
    (dict(label=""), r"metadata.csv has no column '' for the label"),
    (dict(label="place"), r"label and attribute are both read from column 'place'; name another one"),
    (dict(columns=dict(split="y")), r"label and split are both read from column 'y'; name another one"),
]


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("birds")
    make(folder)
    return folder


@pytest.mark.parametrize("how, words", FOLDERS)
@pytest.mark.parametrize("read", [image_folder, inspect_folder])
def test_a_bad_argument_of_a_folder_is_refused_in_one_sentence(birds, read, how, words):
    refused(lambda: read(**(dict(path=birds, size=8) | how)), words)


def test_a_way_to_treat_broken_files_is_one_of_two(birds):
    refused(lambda: image_folder(birds, broken=True), "broken is True; use one of 'refuse', 'leave out'")


def refused(call, words):
    with pytest.raises((ValueError, TypeError, FileNotFoundError, FolderError), match=words) as caught:
        call()
    innermost = caught.traceback[-1].frame.f_globals["__name__"]
    assert innermost.startswith("debias_course."), f"said by {innermost}"


def test_numbers_of_numpy_are_as_good_as_those_of_python(birds):
    ours = colored_digits(classes=np.int64(2), aligned_share=np.float64(0.9), seed=np.int32(3))
    assert ours.train.fingerprint() == colored_digits(classes=2, aligned_share=0.9, seed=3).train.fingerprint()
    toy = toys.shortcut(n=np.int16(40), core_noise=np.float32(0.5), seed=np.uint8(7))
    assert toy.train.fingerprint() == toys.shortcut(n=40, core_noise=0.5, seed=7).train.fingerprint()
    small = image_folder(birds, size=np.int64(8), memory=np.float64(1e6), workers=np.int64(1))
    assert small.train.fingerprint() == image_folder(birds, size=8).train.fingerprint()
    assert len(toys.shortcut(seed=2**63 - 1).train) == 400
