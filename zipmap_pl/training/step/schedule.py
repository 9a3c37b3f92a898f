"""Learning rate as a pure function of the step."""

import math


def learning_rate(step: int, total_steps: int, peak: float, warmup_share: float, floor: float) -> float:
    """Rate of optimiser step `step` (from 0): linear from `floor` to `peak` over the first `warmup_share`, then cosine to `floor`.

    ZipMap's recipe has a share of 0.05 and a floor of 1e-8; step 0 uses the floor.
    """
    progress = step / total_steps
    if progress < warmup_share:
        return floor + (peak - floor) * progress / warmup_share
    falling = (progress - warmup_share) / (1 - warmup_share)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * min(falling, 1.0)))
