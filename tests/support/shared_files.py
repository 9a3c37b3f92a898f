"""What lies next to the checkout and not in it: real sequences, and numbers of the published code. Tests skip without them."""

from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


def there(path: Path) -> Path:
    """The same path; the test is skipped if nothing is there."""
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


def golden_path(name: str) -> Path:
    """The path of a file with published numbers."""
    return there(SHARED / "golden" / name)


def golden_arrays(name: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz with published numbers."""
    with np.load(golden_path(name)) as arrays:
        return dict(arrays)
