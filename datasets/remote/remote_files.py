"""Files behind a URL: ranges of bytes through fsspec, several at once, asked for again when the network fails."""

import asyncio
import errno
import logging
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from zipmap_pl.checks import expect
from zipmap_pl.datasets.remote.range_cache import RangeCache
from zipmap_pl.errors import UserError

logger = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.5, 16.0  # seconds before the second attempt, twice as much before each further one
AT_ONCE = 8  # requests of one process
HELD = 64  # ranges in memory that were read without having been fetched before
BUSY = (408, 425, 429)  # HTTP statuses below 500 that pass
BROKEN_CODE = (TypeError, AttributeError, NameError, ImportError, NotImplementedError, AssertionError)

Range = tuple[str, int, int]  # URL, first byte, number of bytes


@dataclass
class RemoteConfig:
    """How datasets behind a URL are read: s3://, gs://, hf://, https:// and whatever else fsspec knows.

    Attributes:
        cache: folder of this machine for what was fetched: indexes always, frames as `cache_gigabytes` says. Runs and
            processes share it.
        cache_gigabytes: the frames used last are kept up to this size; 0 = frames are not kept.
        timeout: seconds that the answer to one request may take.
        attempts: how often bytes are asked for, with growing pauses, before they count as unreadable.
    """

    cache: str = "~/.cache/zipmap_pl"
    cache_gigabytes: float = 0.0
    timeout: float = 60.0
    attempts: int = 5

    def __post_init__(self) -> None:
        for name, holds, wanted in (
            ("cache_gigabytes", 0 <= self.cache_gigabytes < float("inf"), "0 (keep no frames) or more"),
            ("timeout", 0 < self.timeout < float("inf"), "a number of seconds"),
            ("attempts", self.attempts >= 1, "1 or more"),
        ):
            expect(holds, f"data: remote.{name}", getattr(self, name), wanted)

    @property
    def folder(self) -> Path:
        """The cache folder."""
        return Path(self.cache).expanduser()


class RemoteError(OSError):
    """Bytes that could not be had. `transient`: they might be, another time."""

    def __init__(self, reason: str, transient: bool) -> None:
        super().__init__(errno.EIO, reason)
        self.transient = transient


class RemoteFiles:
    """Reads ranges of files behind URLs. Can be sent to other processes, and survives a fork.

    Each process makes a file system of its own: a connection that two processes use mixes up their answers.

    Args:
        config: see there.
        sleep: how to wait between attempts.
    """

    def __init__(self, config: RemoteConfig, sleep: Callable[[float], None] = time.sleep) -> None:
        self.config, self.sleep = config, sleep
        limit = int(config.cache_gigabytes * 1e9)
        self.cache = RangeCache(config.folder / "frames", limit) if limit else None
        self._held: dict[Range, bytes | RemoteError] = {}
        self._systems: dict[str, tuple[int, Any]] = {}
        self._inherited: list[Any] = []
        self._warned: set[str] = set()

    @property
    def rereads(self) -> int:
        """How often bytes that are not those of the index are worth asking for again."""
        return self.config.attempts - 1

    def read(self, url: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`. Raises RemoteError after the last attempt."""
        wanted = (url, offset, length)
        if wanted not in self._held:
            self._held[wanted] = self._get([wanted])[wanted]
            while len(self._held) > HELD:
                self._held.pop(next(iter(self._held)))
        found = self._held[wanted]
        if isinstance(found, RemoteError):
            del self._held[wanted]
            raise found
        return found

    def fetch(self, ranges: Sequence[Range]) -> None:
        """Get ranges that are about to be read, several at once, and let go of all others."""
        held = {wanted: self._held[wanted] for wanted in ranges if wanted in self._held}
        self._held = held | self._get([wanted for wanted in dict.fromkeys(ranges) if wanted not in held])

    def forget(self, url: str, offset: int, length: int) -> None:
        """Let go of a range whose bytes turned out to be wrong, here and in the cache."""
        self._held.pop((url, offset, length), None)
        if self.cache is not None:
            self.cache.drop(url, offset, length)

    def wait(self, attempt: int) -> None:
        """Pause after attempt 0, 1, 2, ...: longer each time, and not for all processes the same."""
        pause = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt)
        self.sleep(pause * random.SystemRandom().uniform(0.5, 1.0))

    def size(self, url: str) -> int:
        """Number of bytes of a file. Raises RemoteError."""
        size = self._persistently(url, lambda system: system._info(_path(url)))["size"]
        if size is None:
            raise RemoteError("the server does not tell its size", transient=False)
        return size

    def whole(self, url: str) -> bytes:
        """A small file. Raises RemoteError."""
        return self._persistently(url, lambda system: system._cat_file(_path(url)))

    def __reduce__(self) -> tuple:
        return (RemoteFiles, (self.config, self.sleep))

    def _get(self, ranges: Sequence[Range]) -> dict[Range, bytes | RemoteError]:
        """Ranges out of the cache, the others from where they are."""
        found: dict[Range, bytes | RemoteError] = {}
        if self.cache is not None:
            cached = {wanted: self.cache.get(*wanted) for wanted in ranges}
            found = {wanted: data for wanted, data in cached.items() if data is not None}
        fresh = self._download([wanted for wanted in ranges if wanted not in found])
        if self.cache is not None:
            for wanted, data in fresh.items():
                if isinstance(data, bytes):
                    self.cache.put(*wanted, data)
        return found | fresh

    def _download(self, ranges: Sequence[Range]) -> dict[Range, bytes | RemoteError]:
        found: dict[Range, bytes | RemoteError] = {}
        missing = list(ranges)
        for attempt in range(self.config.attempts):
            if not missing:
                break
            if attempt:
                self.wait(attempt - 1)
            answers = self._ask([self._request(*wanted) for wanted in missing])
            found |= {wanted: self._judged(wanted, answer) for wanted, answer in zip(missing, answers, strict=True)}
            missing = [wanted for wanted in missing if getattr(found[wanted], "transient", False)]
        return found

    def _request(self, url: str, offset: int, length: int) -> Callable[[], Any]:
        system = self._system(url)
        return lambda: system._cat_file(_path(url), start=offset, end=offset + length)

    def _judged(self, wanted: Range, answer: Any) -> bytes | RemoteError:
        url, offset, length = wanted
        if isinstance(answer, BaseException):
            return _explained(answer, self.config.timeout)
        if len(answer) == length:
            return answer
        if len(answer) >= offset + length:  # the whole file
            host = _host(url)
            if host not in self._warned:
                self._warned.add(host)
                logger.warning("%s sends whole files where a range of bytes was asked for; that is slow", host)
            return answer[offset : offset + length]
        return RemoteError(f"the answer has {len(answer)} bytes", transient=True)

    def _persistently(self, url: str, request: Callable[[Any], Any]) -> Any:
        for attempt in range(self.config.attempts):
            if attempt:
                self.wait(attempt - 1)
            (answer,) = self._ask([partial(request, self._system(url))])
            if not isinstance(answer, BaseException):
                return answer
            error = _explained(answer, self.config.timeout)
            if not error.transient:
                break
        raise error

    def _ask(self, requests: Sequence[Callable[[], Any]]) -> list[Any]:
        """Answers to requests that are made at the same time: what each returned, or the exception that it ended in."""
        from fsspec.asyn import get_loop, sync

        async def together() -> list[Any]:
            gate = asyncio.Semaphore(AT_ONCE)

            async def one(request: Callable[[], Any]) -> Any:
                async with gate:
                    return await asyncio.wait_for(request(), self.config.timeout)

            return await asyncio.gather(*map(one, requests), return_exceptions=True)

        answers = sync(get_loop(), together)
        for answer in answers:
            if isinstance(answer, (*BROKEN_CODE, MemoryError, KeyboardInterrupt)):
                raise answer
        return answers

    def _system(self, url: str) -> Any:
        """This process's asynchronous file system for a URL. Raises UserError if there is none."""
        owner, system = self._systems.get(_host(url), (0, None))
        if owner != os.getpid():
            if system is not None:
                self._inherited.append(system)  # never used and never closed here: its connections are the parent's
            system = _make_system(url)
            self._systems[_host(url)] = (os.getpid(), system)
        return system


def is_url(location: str) -> bool:
    """Whether a dataset lies behind a URL, and not in a folder."""
    return "://" in location


def _make_system(url: str) -> Any:
    import fsspec
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

    try:
        system, _ = fsspec.url_to_fs(url, skip_instance_cache=True)
    except (ImportError, ValueError) as error:
        raise UserError(f"{url}: this kind of URL cannot be read ({error}); install what it needs") from error
    return system if system.async_impl else AsyncFileSystemWrapper(system, asynchronous=False)


def _path(url: str) -> str:
    from fsspec.core import strip_protocol

    return str(strip_protocol(url))


def _host(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


def _explained(error: BaseException, timeout: float) -> RemoteError:
    """Why a request failed, and whether it is worth another attempt."""
    if isinstance(error, TimeoutError):
        return RemoteError(f"no answer within {timeout:g} s", transient=True)
    if isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError)):
        what = {FileNotFoundError: "no such file", PermissionError: "permission denied"}.get(type(error), str(error))
        return RemoteError(what, transient=False)
    status = getattr(error, "status", None) or getattr(error, "code", None)
    passes = not (isinstance(status, int) and 400 <= status < 500 and status not in BUSY)
    reason = f"status {status}" if isinstance(status, int) else f"{type(error).__name__} {error}".strip()[:160]
    return RemoteError(reason, transient=passes)
