"""Checks of settings: they raise UserError with the name of the setting, what was found and what was expected."""

import math
from collections.abc import Iterable, Sequence

from zipmap_pl.errors import UserError


def fault(name: str, found: object, wanted: str) -> str:
    """Return what is wrong with a setting in words."""
    return f"{name} is {found}, expected {wanted}"


def expect(holds: bool, name: str, found: object, wanted: str) -> None:
    """Raise UserError about the setting `name` unless `holds`; `wanted` says what is expected instead of `found`."""
    if not holds:
        raise UserError(fault(name, found, wanted))


def expect_one_of(name: str, found: object, allowed: Sequence[object]) -> None:
    """Raise UserError for a value that is not among the allowed ones."""
    expect(found in allowed, name, repr(found), f"one of {', '.join(map(str, allowed))}")


def expect_between(name: str, found: float, least: float, most: float = math.inf) -> None:
    """Raise UserError for a number below `least` or above `most`, and for NaN."""
    limit = f" and at most {most:g}" if most < math.inf else ""
    expect(least <= found <= most, name, found, f"at least {least:g}{limit}")


def expect_range(name: str, found: Sequence[float], least: float) -> None:
    """Raise UserError for anything but two ascending numbers from `least` on."""
    holds = len(found) == 2 and least <= found[0] <= found[1]
    expect(holds, name, list(found), f"[smallest, largest] with {least:g} <= smallest <= largest")


def refuse(where: str, faults: Iterable[str]) -> None:
    """Raise UserError with all faults of a block of settings at once, each like "depth=0, expected 1 or more"."""
    found = list(faults)
    if found:
        raise UserError(f"{where}: found {'; found '.join(found)}")
