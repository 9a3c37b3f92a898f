"""Depth maps in colour: near is warm, far is cold, invalid is dark grey."""

from collections.abc import Sequence

import cv2
import numpy as np

from zipmap_pl.drawing.text import BACKGROUND, INK, put_text, text_width

INVALID_COLOUR = (48, 48, 48)
LIMIT_PERCENTILES = (2, 98)  # a few stray depths must not wash out the picture


def depth_limits(depths: Sequence[np.ndarray], masks: Sequence[np.ndarray | None] | None = None) -> tuple[float, float]:
    """Limits for colouring several depth maps [H, W] alike: the 2nd and 98th percentile of all valid depths.

    Valid = finite, positive and inside the mask ([H, W] bool; None = no mask). Without any valid depth: (1, 2).
    """
    masks = masks if masks is not None else [None] * len(depths)
    valid = [depth[_valid(depth, mask)] for depth, mask in zip(depths, masks, strict=True)]
    values = np.concatenate([np.zeros(0), *valid])
    if not len(values):
        return 1.0, 2.0
    near, far = np.percentile(values, LIMIT_PERCENTILES)
    return float(near), float(far)


def colour_depth(
    depth: np.ndarray, mask: np.ndarray | None = None, near: float | None = None, far: float | None = None
) -> np.ndarray:
    """Depth [H, W] to RGB [H, W, 3] uint8 on an inverse-depth scale: red at `near` or nearer, blue at `far` or farther.

    Give the same `near` and `far` to pictures that are to be compared; without them they come from this depth map
    (`depth_limits`). Depths outside `mask` [H, W] bool, non-finite or not positive ones are dark grey.
    """
    valid = _valid(depth, mask)
    own_near, own_far = depth_limits([depth], [mask])
    near, far = near or own_near, far or own_far
    inverse = 1 / np.where(valid, depth, 1).astype(np.float64)
    span = 1 / near - 1 / far
    colours = _turbo((inverse - 1 / far) / span if span > 0 else np.full(depth.shape, 0.5))
    colours[~valid] = INVALID_COLOUR
    return colours


def colour_values(values: np.ndarray, mask: np.ndarray | None, low: float, high: float) -> np.ndarray:
    """Numbers [H, W] to RGB [H, W, 3] uint8: black at `low` or below, yellow at `high` or above.

    Those that are not finite, or outside `mask` [H, W] bool, are dark grey.
    """
    valid = np.isfinite(values) if mask is None else np.isfinite(values) & mask.astype(bool)
    share = (np.where(valid, values, low) - low) / max(high - low, 1e-12)
    colours = _inferno(share)
    colours[~valid] = INVALID_COLOUR
    return colours


def depth_scale(near: float, far: float, unit: str = "", width: int = 300) -> np.ndarray:
    """The colours of `colour_depth` between `near` and `far` as a strip with numbers, RGB [32, width, 3] uint8."""
    picture = np.full((32, width, 3), BACKGROUND, np.uint8)
    nearness = np.linspace(1, 0, width)
    picture[:12] = _turbo(np.repeat(nearness[None], 12, axis=0))
    middle = 2 / (1 / near + 1 / far)
    for text, place in ((f"{near:.3g}", 0.0), (f"{middle:.3g}", 0.5), (f"{far:.3g} {unit}".strip(), 1.0)):
        put_text(picture, text, round(place * (width - text_width(text, 10))), 28, 10, INK)
    return picture


def depth_key(near: float, far: float, text_height: int) -> np.ndarray:
    """The colours of `colour_depth` in one line, with a number on each side: RGB [H, W, 3] uint8."""
    return _key(_turbo(np.linspace(1, 0, 4 * text_height)[None]), f"{near:.2g}", f"{far:.2g}", text_height)


def values_key(low: str, high: str, text_height: int) -> np.ndarray:
    """The colours of `colour_values` in one line, between the names of its limits: RGB [H, W, 3] uint8."""
    return _key(_inferno(np.linspace(0, 1, 4 * text_height)[None]), low, high, text_height)


def _key(colours: np.ndarray, low: str, high: str, text_height: int) -> np.ndarray:
    """Colours [1, N, 3] as a strip as high as the text around it."""
    gap, length = text_height // 2, colours.shape[1]
    start = text_width(low, text_height) + gap
    width = start + length + gap + text_width(high, text_height)
    picture = np.full((round(1.5 * text_height), width, 3), BACKGROUND, np.uint8)
    top = text_height // 4
    picture[top : top + text_height, start : start + length] = colours
    put_text(picture, low, 0, top + text_height, text_height, INK)
    put_text(picture, high, start + length + gap, top + text_height, text_height, INK)
    return picture


def _turbo(nearness: np.ndarray) -> np.ndarray:
    """[H, W] in 0..1 to RGB [H, W, 3] uint8. The ends of the colour map are nearly black and are left out."""
    level = (12 + 231 * np.clip(nearness, 0, 1)).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)


def _inferno(share: np.ndarray) -> np.ndarray:
    """[H, W] in 0..1 to RGB [H, W, 3] uint8."""
    level = (255 * np.clip(share, 0, 1)).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def _valid(depth: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        valid = np.isfinite(depth) & (depth > 0)
    return valid if mask is None else valid & mask.astype(bool)
