"""What lies in an archive: its folders and files by name. The same for zips and tars."""

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from zipmap_pl.preprocess.raw import LeftOut

MACOS = "__MACOSX"  # a folder of what macOS knows of the files of an archive: the same names, no contents
OUTSIDE = "its name leads out of its folder"


@dataclass(frozen=True)
class Listing:
    """The members of an archive.

    Attributes:
        members: name, without `.` and `..` in it -> name as it stands in the archive.
        folders: folder -> sorted names of the files in it; every folder on the way to one is there.
        repeated: names of more than one member.
        left_out: members whose names lead out of the archive's folder: they are in no folder.
    """

    members: dict[str, str]
    folders: dict[str, tuple[str, ...]]
    repeated: frozenset[str]
    left_out: tuple[LeftOut, ...]


def listing_of(archive: Path, names: Iterable[str]) -> Listing:
    """The listing of an archive whose members, folders excepted, have these names; without those of macOS's own."""
    members: dict[str, str] = {}
    repeated, outside = set(), set()
    for name in names:
        if MACOS in name.split("/"):
            continue
        if leads_out(name):
            outside.add(name)
        elif members.setdefault(plain := posixpath.normpath(name), name) is not name:
            repeated.add(plain)
    folders: dict[str, list[str]] = {}
    for name in sorted(members):
        folder, file = posixpath.split(name)
        folders.setdefault(folder, []).append(file)
        while folder and (folder := posixpath.dirname(folder)) not in folders:
            folders[folder] = []
    left_out = tuple(LeftOut(f"{archive}/{name}", OUTSIDE) for name in sorted(outside))
    return Listing(members, {name: tuple(files) for name, files in folders.items()}, frozenset(repeated), left_out)


def leads_out(name: str) -> bool:
    """Return True for an absolute name, one with a drive, and one that leaves its folder by `..`."""
    plain = name.replace("\\", "/")
    return plain.startswith("/") or plain[1:2] == ":" or posixpath.normpath(plain).split("/")[0] == ".."
