"""How many draws met unreadable data, in which files, and when that is too many."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from zipmap_pl.errors import UserError

LEAST_DRAWS = 1000  # a run is judged as if it had drawn at least so many samples
NAMED_FILES = 8


class TooManyFaults(UserError):
    """More data than is allowed cannot be read."""


@dataclass
class FaultTally:
    """What came of the draws of one process.

    Attributes:
        draws: samples drawn, those that were replaced included.
        files: shard -> how many draws it spoilt.
    """

    draws: int = 0
    files: Counter[str] = field(default_factory=Counter)

    @property
    def faults(self) -> int:
        """Draws that were replaced."""
        return self.files.total()

    def add(self, samples: int, faults: Sequence[str]) -> list[str]:
        """Count `samples` good samples and the faults on the way to them; returns those that are the first of their file."""
        first = []
        for fault in faults:
            file = fault.split(": sample ")[0]
            if file not in self.files:
                first.append(fault)
            self.files[file] += 1
        self.draws += samples + len(faults)
        return first


def too_many(faults: int, draws: int, share: float) -> bool:
    """Whether the faults of all ranks are more than a share of their draws."""
    return faults > share * max(draws, LEAST_DRAWS)


def list_of_faults(faults: int, draws: int, share: float, files: Counter[str]) -> str:
    """One line for people: how many, how many are allowed, and the worst files."""
    worst = [f"{file} ({times}x)" for file, times in files.most_common(NAMED_FILES)]
    more = len(files) - len(worst)
    return (
        f"data: {faults:,} of {draws:,} draws met unreadable data, allowed is a share of {share:g} (data.max_fault_share); "
        f"worst: {', '.join(worst)}{f' and {more} more files' if more else ''}; mend them (`zipmap shards verify DIR` says what is wrong)"
    )
