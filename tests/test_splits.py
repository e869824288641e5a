"""data/splits.py, and what `GroupedData` refuses to be part of: three parts that fit together and share no sample."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from debias_course.data import GroupedData, Splits, toys
from debias_course.data.biases import colored_mnist


def part(rows, **how):
    labels, attributes = torch.arange(len(rows)) % 2, torch.arange(len(rows)) // 2 % 2
    names = dict(label_names=("a", "b"), attribute_names=("x", "y")) | how
    return GroupedData(rows, labels, attributes, **names)


def noise(n, seed=0):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "names, sentence",
    [
        (dict(label_names=("b", "a")), r"label_names are \('b', 'a'\) in test, but \('a', 'b'\) in train"),
        (dict(attribute_names=("x", "y", "z")), r"attribute_names are \('x', 'y', 'z'\) in test, but \('x', 'y'\)"),
    ],
)
def test_parts_of_different_grids_are_refused_however_splits_are_made(names, sentence):
    splits = Splits(part(noise(8, 0)), part(noise(8, 1)), part(noise(8, 2)))
    other = replace(splits.test, **names)
    for make in (lambda: Splits(splits.train, splits.validation, other), lambda: splits._replace(test=other)):
        with pytest.raises(ValueError, match=sentence):
            make()
    with pytest.raises(ValueError, match=r"inputs are of shape \(2,\) in validation, but \(3,\) in train"):
        splits._replace(validation=replace(splits.validation, inputs=noise(8)[:, :2]))


def test_samples_of_train_in_another_part_are_refused_and_counted():
    rows = noise(40)
    held_out = part(noise(8, 1))
    for train, other, shared in (
        (rows, rows, 40),
        (rows, rows[30:], 10),
        (rows[:32], rows[30:], 2),
        (rows[::2], rows[::4], 10),
        (rows, rows.clone(), 40),
        (rows.double(), rows.double(), 40),
    ):
        sentence = rf"{shared} of the {len(other)} samples of (validation|test) are in train, too; leave them out"
        with pytest.raises(ValueError, match=sentence):
            Splits(part(train), part(other), held_out)
        with pytest.raises(ValueError, match=sentence):
            Splits(part(train), held_out, part(other))


def test_parts_of_one_tensor_and_rows_that_are_alike_by_chance_are_allowed():
    rows = noise(40)
    assert [len(each) for each in Splits(part(rows[:20]), part(rows[20:30]), part(rows[30:]))] == [20, 10, 10]
    assert len(Splits(part(rows[0::2]), part(rows[1::4]), part(rows[3::4])).test) == 10
    ones = [part(torch.ones(n, 3)) for n in (12, 8, 8)]
    assert len(Splits(*ones).train) == 12
    assert len(Splits(part(rows[:20]), part(rows[20:]), part(rows[20:])).test) == 20  # for looking on
    colored = colored_mnist()
    assert torch.equal(colored.validation.inputs.sum(1), colored.test.inputs.sum(1)), "the same digits in other colours"
    assert [each.split for each in pickle.loads(pickle.dumps(colored))] == ["train", "validation", "test"]


def test_the_same_rows_are_taken_whatever_they_are_written_in():
    data = part(noise(6))
    for rows in ([4, 1, 1], np.array([4, 1, 1]), np.array([1, 1, 4])[::-1], torch.tensor([4, 1, 1]), [-2, 1, -5]):
        assert torch.equal(data.subset(rows).inputs, data.inputs[[4, 1, 1]])
    for mask in (data.labels == 1, (data.labels == 1).numpy(), (data.labels == 1).tolist()):
        assert torch.equal(data.subset(mask).inputs, data.inputs[[1, 3, 5]])
    assert data.subset(range(2)).labels.tolist() == [0, 1] and len(data.subset([])) == 0
    assert data.subset(torch.tensor([1, 0], dtype=torch.uint8)).labels.tolist() == [1, 0], "places, not a mask"


def test_a_comma_in_a_name_is_allowed_until_two_groups_are_called_alike():
    assert part(noise(4), label_names=("a", "a, b"), attribute_names=("x", "y")).group_names[2] == "a, b, x"
    with pytest.raises(ValueError, match="two groups would be called 'a, b, c'; rename their labels or attributes"):
        part(noise(4), label_names=("a", "a, b"), attribute_names=("c", "b, c"))


def test_names_are_kept_as_a_tuple_of_plain_texts():
    names = part(noise(4), label_names=["a", "b"], attribute_names=tuple(np.array(["x", "y"]))).attribute_names
    assert names == ("x", "y") and {type(name) for name in names} == {str}
    assert part(noise(4), label_names=["a", "b"]).fingerprint() == part(noise(4)).fingerprint()


def test_numbers_that_float32_cannot_hold_are_refused():
    rows = noise(8).double()
    rows[5, 0] = 1e300
    with pytest.raises(ValueError, match=r"1 of 8 inputs hold NaN .*float32 cannot hold \(first at index 5\)"):
        part(rows)
    rows[5, 0] = 3e38
    assert part(rows).inputs.isfinite().all()


def test_a_toy_is_made_of_different_samples_in_every_part():
    for make in (toys.shortcut, toys.imbalanced, toys.islands, toys.moons, toys.core_and_spurious):
        train, validation, test = make(seed=3)
        assert train.common(validation) == train.common(test) == validation.common(test) == 0
        assert train.common(train) == len(train)
