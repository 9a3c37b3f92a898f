"""Colour augmentation of a sample's views. The only file that knows albumentations.

albumentations calls out to the network when it is imported unless NO_ALBUMENTATIONS_UPDATE is set, and takes a second
to import: it is imported by the loader's workers at the first sample that needs it, never at import time of this
package.
"""

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

GREY = (0.299, 0.587, 0.114)  # shares of red, green, blue
COLOURS = ("none", "gain_offset", "jitter")


@dataclass(unsafe_hash=True)  # the pipeline of a config is made once
class AugmentationConfig:
    """What is done to the colours.

    Attributes:
        colour: "none"; "jitter": brightness, contrast, saturation, hue, then grayscale and blur; "gain_offset": one
            gain and one offset per colour channel and scene, which leaves hues recognisable (the demo's rooms are told
            apart by them).
        brightness, contrast, saturation, hue: ranges of the jitter, as torchvision means them.
        jitter_probability, grayscale_probability, blur_probability: how often each happens. Blur: Gaussian, sigma 0.1
            to 1 pixel.
        shared_probability: share of samples in which one draw serves all views; in the others each view has its own.
        gain: gain_offset multiplies by 1 - gain to 1 + gain ...
        offset: ... and adds -offset to +offset, in pictures of range [0, 1].
    """

    colour: str = "jitter"
    brightness: float = 0.5
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.1
    jitter_probability: float = 0.9
    grayscale_probability: float = 0.05
    blur_probability: float = 0.0
    shared_probability: float = 0.7
    gain: float = 0.15
    offset: float = 0.08


def augment(images: np.ndarray, config: AugmentationConfig, generator: np.random.Generator) -> np.ndarray:
    """[S, H, W, 3] uint8 RGB -> the same shape; a pure function of its arguments."""
    if config.colour == "none":
        return images
    if config.colour == "gain_offset":
        return _gain_offset(images, config, generator)
    return _jitter(images, config, generator)


def _gain_offset(images: np.ndarray, config: AugmentationConfig, generator: np.random.Generator) -> np.ndarray:
    gain = generator.uniform(1 - config.gain, 1 + config.gain, size=3)
    offset = generator.uniform(-config.offset, config.offset, size=3)
    table = np.arange(256)[:, None] * gain + 255 * offset
    table = np.clip(np.rint(table), 0, 255).astype(np.uint8)
    return np.stack([table[:, channel][images[..., channel]] for channel in range(3)], axis=-1)


def _jitter(images: np.ndarray, config: AugmentationConfig, generator: np.random.Generator) -> np.ndarray:
    pipeline = _pipeline(config)
    shared = generator.random() < config.shared_probability
    pipeline.set_random_seed(int(generator.integers(2**31)))
    if shared:
        return pipeline(images=images)["images"]
    augmented = np.empty_like(images)
    for view, image in enumerate(images):  # each call draws on
        augmented[view] = pipeline(image=image)["image"]
    return augmented


def _brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Every channel times a factor."""
    return cv2.transform(image, np.eye(3, dtype=np.float32) * np.float32(factor))


def _contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Differences from the mean grey times a factor."""
    mean = float(np.dot(cv2.mean(image)[:3], GREY))
    return cv2.transform(image, np.column_stack((np.eye(3) * factor, [mean * (1 - factor)] * 3)).astype(np.float32))


def _saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Differences from the pixel's own grey times a factor."""
    return cv2.transform(image, (np.eye(3) * factor + (1 - factor) * np.tile(GREY, (3, 1))).astype(np.float32))


def _hue(image: np.ndarray, turn: float) -> np.ndarray:
    """Hue turned by a share of the circle; the circle has 256 steps, which wrap round by themselves."""
    values = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    values[..., 0] += np.uint8(round(turn * 256) % 256)
    return cv2.cvtColor(values, cv2.COLOR_HSV2RGB_FULL)


@lru_cache(maxsize=4)
def _pipeline(config: AugmentationConfig) -> Any:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    jitter = albumentations.ColorJitter(
        brightness=(max(0.0, 1 - config.brightness), 1 + config.brightness),
        contrast=(max(0.0, 1 - config.contrast), 1 + config.contrast),
        saturation=(max(0.0, 1 - config.saturation), 1 + config.saturation),
        hue=(-config.hue, config.hue),
        p=config.jitter_probability,
    )
    # The same four operations, each rounded and clipped by itself, in half of the time: one pass each.
    jitter.transforms = [_brightness, _contrast, _saturation, _hue]
    return albumentations.Compose(
        [
            jitter,
            albumentations.ToGray(p=config.grayscale_probability),
            albumentations.GaussianBlur(sigma_limit=(0.1, 1.0), p=config.blur_probability),
        ]
    )
