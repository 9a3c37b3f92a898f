"""Tars as GNU tar writes them, compressed and in parts by their names."""

import gzip
import io
import tarfile
from pathlib import Path


def written_tar(archive: Path, files: dict[str, bytes], odd: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    """Write files, and headers without contents (links and the like), below `./`.

    By the name: `.gz`, `.tgz` compressed; `.tar00`, `.partaa` cut into three parts. Returns the (first) file.
    """
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for info in odd:
            tar.addfile(info)
        for name, contents in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(contents)
            tar.addfile(info, io.BytesIO(contents))
    return written_parts(archive, data.getvalue())


def written_parts(archive: Path, tar: bytes) -> Path:
    """Write the bytes of a tar as the archive's name says."""
    data = gzip.compress(tar) if ".gz" in archive.name or archive.suffix == ".tgz" else tar
    ends = {"00": ("00", "01", "02"), "aa": ("aa", "ab", "ac")}.get(archive.name[-2:])
    if ends is None:
        archive.write_bytes(data)
    else:
        third = len(data) // 3
        cuts = (0, third, 2 * third, len(data))
        for end, first, last in zip(ends, cuts, cuts[1:], strict=False):
            archive.with_name(archive.name[:-2] + end).write_bytes(data[first:last])
    return archive
