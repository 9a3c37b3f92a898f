"""Progress of everything that takes more than two seconds: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

import rich.progress
from rich.console import Console

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """A counter of `total` things on standard error, as a context manager: `advance()` after each, with a short note if there is one."""

    def __init__(self, description: str, total: int, done: int = 0) -> None:
        self.description, self.total, self.done = description, total, done
        self._last_line = time.monotonic()
        self._bar: rich.progress.Progress | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}"),
                rich.progress.BarColumn(),
                rich.progress.MofNCompleteColumn(),
                rich.progress.TimeElapsedColumn(),
                rich.progress.TimeRemainingColumn(),
                rich.progress.TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.description, total=self.total, completed=self.done, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """A word beside the bar until the next `advance`."""
        if self._bar is not None:
            self._bar.update(self._task, note=text)

    def advance(self, note: str = "") -> None:
        """One more is done."""
        self.done += 1
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, note=note)
        elif time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            print(f"{self.description}: {self.done}/{self.total} {note}".rstrip(), file=sys.stderr, flush=True)  # noqa: T201


def track(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Yield `items` while showing how many of `total` are done."""
    with Progress(description, total) as progress:
        for item in items:
            yield item
            progress.advance()


@contextmanager
def working(description: str) -> Iterator[None]:
    """Show that something without countable parts is under way: a spinner on a terminal, a plain line elsewhere."""
    if sys.stderr.isatty():
        with Console(stderr=True).status(description):
            yield
    else:
        print(description, file=sys.stderr, flush=True)  # noqa: T201
        yield
