"""models: a features/head split and a start that only the seed decides."""

import pytest
import torch

from debias_course import models
from debias_course.models import MODELS, isolated_randomness


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_the_head_of_the_features(digits, name):
    model = MODELS[name](digits.train)
    inputs = digits.train.batch(torch.arange(5)).inputs
    assert model(inputs).shape == (5, 2)
    assert torch.equal(model(inputs), model.head(model.features(inputs)))


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_decides_the_start(digits, name):
    before = torch.get_rng_state()
    first, same, other = (MODELS[name](digits.train, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters()))
    assert not torch.equal(first.head.weight, other.head.weight)


def test_a_cnn_needs_images(toy):
    with pytest.raises(ValueError, match=r"cnn needs images \[N, C, H, W\], not inputs \(400, 2\); use models.mlp"):
        models.cnn(toy.train)


def test_isolated_randomness_starts_anew_and_gives_back():
    before = torch.get_rng_state()
    with isolated_randomness(5):
        first = torch.rand(3)
    with isolated_randomness(5):
        again = torch.rand(3)
    assert torch.equal(first, again) and torch.equal(torch.get_rng_state(), before)
