"""The same bytes with one bit changed, for tests that no such change goes unnoticed."""

from collections.abc import Iterator

import numpy as np


def flipped(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """`data` with one bit changed, for `count` different bits drawn at random; for all of them, if it has no more."""
    bits = 8 * len(data)
    for bit in np.random.default_rng(seed).choice(bits, min(count, bits), replace=False).tolist():
        place, mask = bit // 8, 1 << bit % 8
        yield data[:place] + bytes((data[place] ^ mask,)) + data[place + 1 :]
