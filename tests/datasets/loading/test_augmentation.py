import random
import socket

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation

from zipmap_pl.datasets.loading import augmentation
from zipmap_pl.datasets.loading.augmentation import AugmentationConfig, augment

VIEWS = np.random.default_rng(1).integers(0, 256, (3, 28, 42, 3), dtype=np.uint8)
SAME = np.repeat(VIEWS[:1], 3, axis=0)


@pytest.mark.parametrize("colour", ["none", "gain_offset", "jitter"])
def test_equal_generators_give_equal_pictures_and_inputs_stay(colour):
    config = AugmentationConfig(colour=colour, blur_probability=0.5)
    before = VIEWS.copy()
    for seed in range(10):
        first, again = (augment(VIEWS, config, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(first, again)
        assert first.shape == VIEWS.shape and first.dtype == np.uint8
    assert np.array_equal(VIEWS, before)


@pytest.mark.parametrize(("shared", "equal"), [(1.0, True), (0.0, False)])
def test_jitter_is_drawn_once_per_scene_or_per_view(shared, equal):
    config = AugmentationConfig(shared_probability=shared, jitter_probability=1.0)
    result = augment(SAME, config, np.random.default_rng(3))
    assert (np.array_equal(result[0], result[1]) and np.array_equal(result[1], result[2])) is equal
    assert not np.array_equal(result[0], SAME[0])


def test_jitter_happens_as_often_as_it_should():
    config = AugmentationConfig(shared_probability=1.0, grayscale_probability=0.0)
    flat = np.full((1, 4, 4, 3), (200, 100, 50), np.uint8)
    same = [np.array_equal(augment(flat, config, np.random.default_rng(seed)), flat) for seed in range(1500)]
    assert abs(np.mean(same) - 0.1) < 0.035
    gray = AugmentationConfig(jitter_probability=0.0, grayscale_probability=0.05, shared_probability=1.0)
    changed = [not np.array_equal(augment(flat, gray, np.random.default_rng(seed)), flat) for seed in range(1500)]
    assert abs(np.mean(changed) - 0.05) < 0.025


def test_gain_offset_is_one_line_per_channel_and_scene():
    ramp = np.stack([np.tile(np.arange(64, 192, dtype=np.uint8)[:, None, None], (1, 4, 3))] * 2)
    for seed in range(20):
        result = augment(ramp, AugmentationConfig(colour="gain_offset"), np.random.default_rng(seed)).astype(float)
        assert np.array_equal(result[0], result[1])
        for channel in range(3):
            gain, offset = np.polyfit(np.arange(64, 192), result[0, :, 0, channel], 1)
            assert 0.84 < gain < 1.16 and abs(offset) / 255 < 0.085


def test_no_global_state_and_no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    python, numpy = random.getstate(), np.random.get_state()
    augment(VIEWS, AugmentationConfig(blur_probability=1.0), np.random.default_rng(0))
    assert random.getstate() == python
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy, strict=True))


@pytest.mark.parametrize(
    ("operation", "published", "values"),
    [
        (augmentation._brightness, adjust_brightness, (0.5, 0.8, 1.0, 1.5)),
        (augmentation._contrast, adjust_contrast, (0.5, 0.8, 1.0, 1.5)),
        (augmentation._saturation, adjust_saturation, (0.5, 0.8, 1.0, 1.5)),
        (augmentation._hue, adjust_hue, (-0.1, -0.04, 0.0, 0.07, 0.1)),
    ],
    ids=["brightness", "contrast", "saturation", "hue"],
)
def test_each_operation_is_torchvisions(operation, published, values):
    image = VIEWS[0]
    for value in values:
        wanted = published(torch.from_numpy(image).permute(2, 0, 1).float() / 255, value).permute(1, 2, 0).numpy() * 255
        error = np.abs(operation(image, value) - wanted)
        # Hue is kept in 256 steps: 1.4 degrees, 6 grey levels of a pure colour; twice rounded.
        assert error.max() <= (12 if operation is augmentation._hue else 1.6)
        assert error.mean() < 2


def test_a_hue_wraps_round():
    red = np.full((2, 2, 3), (255, 0, 0), np.uint8)
    assert augmentation._hue(red, 1 / 3)[0, 0].argmax() == 1 and augmentation._hue(red, -1 / 3)[0, 0].argmax() == 2
