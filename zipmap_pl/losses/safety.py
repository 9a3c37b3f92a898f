"""What the losses do with NaN, infinity, outliers and scenes without depth. The one place for these rules.

1. Elementwise losses and ground truth: NaN and infinity become 0 with zero gradient, then values are clamped to
   +-100.
2. Means run over valid elements only; the mean of nothing is 0 and still belongs to the graph, so that every head
   gets a (zero) gradient on every rank in every step.
3. A scene counts when some view has 50 valid pixels; for the camera, view 0 must have more than 100, even where no view
   is the reference (unless settings say otherwise). Published counts of pixels, at any image size.
"""

from torch import Tensor

LIMIT = 100.0
MIN_VALID_PIXELS = 50
MIN_VALID_PIXELS_OF_REFERENCE = 100


def finite(values: Tensor) -> Tensor:
    """Values with NaN and +-infinity replaced by 0; no gradient flows into those."""
    return values.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def bounded(values: Tensor) -> Tensor:
    """Finite values clamped to +-100."""
    return finite(values).clamp(-LIMIT, LIMIT)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values where mask (same shape) holds; 0, still part of the graph, where it never does."""
    return values.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1)


def scenes_with_depth(mask: Tensor) -> Tensor:
    """[B] bool: some view of mask [B, S, H, W] has at least 50 valid pixels."""
    return mask.flatten(2).sum(-1).amax(1) >= MIN_VALID_PIXELS


def scenes_with_camera(mask: Tensor, by_any_view: bool = False) -> Tensor:
    """[B] bool: the scene counts for the camera losses (see the module's third rule).

    by_any_view: any view of mask [B, S, H, W] may be the one with more than 100 valid pixels, not only view 0.
    """
    valid = mask.flatten(2).sum(-1)
    found = valid.amax(1) if by_any_view else valid[:, 0]
    return scenes_with_depth(mask) & (found > MIN_VALID_PIXELS_OF_REFERENCE)
