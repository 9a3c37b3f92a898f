"""From raw conventions to ours: axes, lenses, ray distances, tone, sizes of image and depth."""
