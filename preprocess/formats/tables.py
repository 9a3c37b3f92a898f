"""Tables of texts with a header; what is missing or no number is a `RawFault` that names file and column."""

import csv
import math

from zipmap_pl.preprocess.formats.sources import Source, read_bytes
from zipmap_pl.preprocess.raw import RawFault


def read_csv(file: Source, *columns: str, separator: str = ",") -> list[dict[str, str]]:
    """The rows of a csv file that has these columns; a row's missing values are empty."""
    lines = read_bytes(file).decode("utf-8-sig", "replace").splitlines()
    reader = csv.DictReader(lines, restval="", delimiter=separator, skipinitialspace=separator == " ")
    try:
        missing = set(columns) - set(reader.fieldnames or ())
        if missing:
            raise RawFault(file, f"no column {min(missing)}")
        return list(reader)
    except csv.Error as error:
        raise RawFault(file, f"unreadable csv ({error})") from error


def number_of(file: Source, name: str, text: str | None, low: float = -math.inf, high: float = math.inf) -> float:
    """The finite number, from `low` to `high`, that stands in a file under a name."""
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and low <= value <= high):
        raise RawFault(file, f"{name} is {text!r}, expected a {'positive' if low > 0 else 'finite'} number")
    return value
