"""LPIPS is that of its package on given weights of VGG16, changes nothing around it, and is never downloaded."""

from pathlib import Path

import lpips
import pytest
import torch
from random_vgg import random_vgg, write_random_vgg

from zipmap_pl.errors import UserError
from zipmap_pl.losses import perceptual
from zipmap_pl.losses.perceptual import PerceptualDistance, load_perceptual_distance, lpips_network


@pytest.fixture(scope="module")
def distance() -> PerceptualDistance:
    return PerceptualDistance(lpips_network(random_vgg(), Path("random")))


def pictures(seed: int, count: int = 5) -> torch.Tensor:
    return torch.rand(count, 3, 20, 16, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_number_of_the_package(distance):
    one, other = pictures(0), pictures(1)
    expected = distance.network(one, other, normalize=True).flatten()
    torch.testing.assert_close(distance(one, other), expected)
    assert expected.min() > 0.01
    assert distance(one, one).abs().max() == 0


def test_the_layers_on_vgg_are_the_trained_ones(distance):
    folder = Path(lpips.__file__).parent / "weights" / "v0.1" / "vgg.pth"
    trained = torch.load(folder, map_location="cpu", weights_only=True)
    for place, layer in enumerate(distance.network.lins):
        assert layer.model[1].weight.equal(trained[f"lin{place}.model.1.weight"])
    assert distance.network.net.slice5[5].weight.equal(random_vgg()["features.28.weight"])


def test_training_around_it_neither_trains_nor_drops_anything(distance):
    around = torch.nn.Sequential(distance).train()
    assert not any(module.training for module in distance.modules())
    assert not any(parameter.requires_grad for parameter in around.parameters())


def test_building_it_takes_no_random_numbers():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    lpips_network(random_vgg(), Path("random"))
    assert torch.get_rng_state().equal(before)


def test_gradient(monkeypatch):
    monkeypatch.setattr(perceptual, "PICTURES_AT_ONCE", 1)
    double = PerceptualDistance(lpips_network(random_vgg(), Path("random")).double())
    one = pictures(2, 2)[..., :16, :16].double().requires_grad_()
    other = pictures(3, 2)[..., :16, :16].double()
    assert torch.autograd.gradcheck(lambda x: double(x, other), one, fast_mode=True)


def test_pixels_whose_features_are_all_dead_have_a_finite_gradient():
    """With the formula of the package the gradient of a picture without any feature is NaN."""
    dead = {key: value - 1e4 if key.endswith("bias") else value for key, value in random_vgg().items()}
    one = pictures(0, 1).requires_grad_()
    distance = PerceptualDistance(lpips_network(dead, Path("dead")))
    distance(one, pictures(1, 1)).sum().backward()
    assert one.grad.isfinite().all()


def test_weights_that_are_not_there_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match="zipmap fetch lpips"):
        load_perceptual_distance()
    write_random_vgg(tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth")
    assert load_perceptual_distance()(pictures(0), pictures(1)).shape == (5,)
    with pytest.raises(UserError, match="nowhere.pth"):
        load_perceptual_distance(tmp_path / "nowhere.pth")


@pytest.mark.parametrize("content", [b"", b"hello", "other", "list"])
def test_files_that_are_no_vgg_are_one_line(content, tmp_path):
    path = tmp_path / "vgg.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save({"weight": torch.zeros(3)} if content == "other" else [1, 2], path)
    with pytest.raises(UserError, match=r"vgg.pth: (damaged|found no features.0.weight)"):
        load_perceptual_distance(path)
