"""What lies beside the checkout and not in it: real sequences, and numbers of the published code. Tests skip without them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# How long an example takes says something about the machine only.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real sequences and photos."""
    return _there(SHARED / "data")


@pytest.fixture(scope="session")
def golden_path() -> Callable[[str], Path]:
    """The path of a file with published numbers, by name."""
    return lambda name: _there(SHARED / "golden" / name)


@pytest.fixture(scope="session")
def golden_arrays(golden_path: Callable[[str], Path]) -> Callable[[str], dict[str, np.ndarray]]:
    """The arrays of an .npz with published numbers, by name."""

    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(golden_path(name)) as arrays:
            return dict(arrays)

    return read


def _there(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path
