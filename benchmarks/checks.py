"""What benchmarks of the data layer measure, as lines of a table that say whether a limit holds."""

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Check:
    """One line of a result: what was measured, and whether it is as it must be."""

    what: str
    found: str
    wanted: str
    holds: bool

    def __str__(self) -> str:
        return f"| {self.what} | {self.found} | {self.wanted} | {'yes' if self.holds else '**no**'} |"


def memory_of(process: str, kind: str) -> float:
    """Bytes, from /proc."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return 1024.0 * int(next(line for line in lines if line.startswith(f"{kind}:")).split()[1])


def ratio(what: str, found: float, least: float) -> Check:
    """A ratio that must be large."""
    return Check(what, f"{found:.2f}", f"at least {least:g}", found >= least)


def at_most(what: str, found: float, most: float, form: str) -> Check:
    """A number that must be small."""
    return Check(what, form.format(found), f"at most {most:g}", found <= most)


def say(line: str) -> None:
    """To the terminal."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
