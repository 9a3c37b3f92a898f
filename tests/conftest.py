"""What lies next to the checkout and not in it: real sequences, and numbers of the published code. Tests skip without them.

Every process of the tests computes with one thread. `make test` runs three of them, and threads that wait for each other on
a busy machine make small models 20 times slower. It is said before torch is imported, which looks only once.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from shared_files import SHARED, there

from zipmap_pl.datasets.format import index_check

# How long an example takes says something about the machine only.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# A shell starts what runs in its background with Ctrl-C ignored, and so would every process that a test interrupts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The files that take longest come first, so that the processes of `make test` end together.
LONGEST = (
    "preprocess/test_every_dataset.py",
    "checkpoints/test_sharded.py",
    "training/test_strategies.py",
    "models/test_published_parity.py",
    "memory/test_estimate.py",
    "datasets/remote/test_remote.py",
    "training/test_fit.py",
    "training/test_signals.py",
    "checkpoints/test_published_weights.py",
    "preprocess/engine/test_engine.py",
    "training/test_compilation.py",
    "datasets/loading/test_reading_resources.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort, stably, by the place of a test's file in LONGEST; all others keep their order behind them."""

    def place(item: pytest.Item) -> int:
        name = item.path.as_posix()
        return next((i for i, file in enumerate(LONGEST) if name.endswith(f"tests/{file}")), len(LONGEST))

    items.sort(key=place)


@pytest.fixture(autouse=True, scope="session")
def _checked_indexes_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Which indexes were checked is remembered in a folder of the tests, and not in the cache of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_check, "CHECKED_FOLDER", str(tmp_path_factory.mktemp("checked")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real sequences and photos."""
    return there(SHARED / "data")
