"""Pictures of linear light, as renderers write them, to the 8 bits of a screen; by the formula of Hypersim's authors."""

import numpy as np

GAMMA, BRIGHT, PERCENTILE = 2.2, 0.8, 90.0  # the 90th percentile of brightness becomes 0.8
DARK = 1e-4
BRIGHTNESS = (0.30, 0.59, 0.11)
HALF_FLOAT_MAX = 65504.0


def tone_mapped(colour: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """A picture [H, W, 3] uint8 of linear colours [H, W, 3].

    Args:
        colour: float, may hold NaN (black) and infinity (as bright as a half float can be).
        surface: [H, W] bool, where brightness is measured: 90 % of it are to be darker than 0.8.
    """
    colour = np.nan_to_num(colour.astype(np.float32), nan=0.0, posinf=HALF_FLOAT_MAX, neginf=0.0)
    red, green, blue = BRIGHTNESS
    brightness = (red * colour[..., 0] + green * colour[..., 1] + blue * colour[..., 2])[surface]
    scale = 1.0
    if brightness.size:
        level = float(np.percentile(brightness, PERCENTILE))
        scale = 0.0 if level < DARK else BRIGHT**GAMMA / level
    mapped = np.maximum(colour * np.float32(scale), 0) ** np.float32(1 / GAMMA)
    return np.floor(255 * np.minimum(mapped, 1)).astype(np.uint8)
