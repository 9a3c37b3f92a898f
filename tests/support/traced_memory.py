"""How much memory Python and numpy took for something."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def taken_at_most(count: int) -> Iterator[None]:
    """Assert that what happens meanwhile never holds more than so many bytes. Memory of C libraries is not seen."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < count
    finally:
        tracemalloc.stop()
