"""Sidecars: zips of .npy files, stored, whose every byte follows from their contents, so that any changed bit is noticed."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from zipmap_pl.errors import DamagedFile

_MEMBER, _ENTRY, _END = struct.Struct("<4s5HLLLHH"), struct.Struct("<4s6H3L5HLL"), struct.Struct("<4s4HLLH")
_VERSION, _UNIX, _FIRST_DAY, _RIGHTS = 20, 3 << 8, 33, 0o600 << 16  # of a zip; 1 January 1980


class DamagedSidecar(DamagedFile):
    """A sidecar that is not what was written; its shard has to be written again."""

    def __init__(self, file: Path, reason: object) -> None:
        super().__init__(
            f"{file}: damaged ({reason}); delete it and run the same `zipmap preprocess` again, which writes its shard again"
        )
        self.file = file

    def __reduce__(self) -> tuple:
        return (type(self), (self.file, "not what was written"))


def pack_arrays(arrays: dict[str, np.ndarray]) -> bytes:
    """An npz without pickles and without times: the same bytes for the same arrays."""
    members = {}
    for name, array in arrays.items():
        member = io.BytesIO()
        np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
        members[f"{name}.npy"] = member.getvalue()
    return stored_zip(members)


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """All arrays of a sidecar. Raises DamagedSidecar for any changed bit, FileNotFoundError if it is not there."""
    data = file.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        if stored_zip(members) != data:
            raise ValueError("not the bytes that its arrays give")
        return {
            name.removesuffix(".npy"): np.load(io.BytesIO(member), allow_pickle=False)
            for name, member in members.items()
        }
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, OverflowError) as error:
        raise DamagedSidecar(file, error) from error
    except (OSError, zlib.error, struct.error, MemoryError) as error:  # of a zip in memory: never the system's
        raise DamagedSidecar(file, type(error).__name__) from error


def stored_zip(members: dict[str, bytes]) -> bytes:
    """A zip of uncompressed members with short ASCII names, of less than 4 GB; the same whatever Python writes it."""
    parts, entries, offset = [], [], 0
    for name, data in members.items():
        about = (_FIRST_DAY, zlib.crc32(data), len(data), len(data), len(name), 0)
        member = _MEMBER.pack(b"PK\3\4", _VERSION, 0, 0, 0, *about) + name.encode("ascii", "replace") + data
        entry = _ENTRY.pack(b"PK\1\2", _VERSION | _UNIX, _VERSION, 0, 0, 0, *about, 0, 0, 0, _RIGHTS, offset)
        parts.append(member)
        entries.append(entry + name.encode("ascii", "replace"))
        offset += len(member)
    table = b"".join(entries)
    return b"".join((*parts, table, _END.pack(b"PK\5\6", 0, 0, len(entries), len(entries), len(table), offset, 0)))
