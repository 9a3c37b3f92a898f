"""The order in which people number their files."""

import re


def natural_order(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a sort key by which img2 comes before img10; names of equal numbers, as 2 and 02, are ordered as text."""
    words = [(0, int(word), "") if word.isdecimal() else (1, 0, word) for word in re.split(r"(\d+)", name) if word]
    return words, name
