"""Fixtures of the models' tests."""

from published_models import (
    golden,
    golden_model,
    relative_error,
    set_newton_schulz_dtype,
    small_config,
    tiny_config,
)
