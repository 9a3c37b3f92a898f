"""JSON files; what is unreadable, or something else than expected, is a `RawFault` that names the file."""

import json
from typing import Any

from zipmap_pl.preprocess.formats.sources import Source, read_bytes
from zipmap_pl.preprocess.raw import RawFault

LARGEST = 1e9


def read_json(file: Source) -> dict[str, Any]:
    """The object that a file holds."""
    try:
        values = json.loads(read_bytes(file))
    except (ValueError, RecursionError) as error:
        raise RawFault(file, f"unreadable JSON ({error})") from error
    if not isinstance(values, dict):
        raise RawFault(file, f"holds {type(values).__name__}, expected an object with names")
    return values


def number_in(file: Source, name: str, value: object) -> float:
    """A value of a file as a number: finite and below a milliard, which JSON does not promise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LARGEST:
        raise RawFault(file, f"{name} is {str(value)[:40]}, expected a number")
    return float(value)
