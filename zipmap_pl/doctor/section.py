"""One part of the report: lines of names and values, and what is broken."""

from dataclasses import dataclass, field


@dataclass
class Section:
    """A titled part of the report.

    Attributes:
        lines: name and value, for people.
        broken: what does not work, each with what to do, in one line.
    """

    title: str
    lines: list[tuple[str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def add(self, name: str, value: object) -> None:
        """One more line."""
        self.lines.append((name, str(value)))


def gigabytes(count: float) -> str:
    """Bytes in gigabytes (1e9) with one digit after the point."""
    return f"{count / 1e9:.1f} GB"


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
