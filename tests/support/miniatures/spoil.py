"""Ways to spoil a raw file, for the damages of miniatures."""

import io
import json
import shutil
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
from miniatures import files

Harm = Callable[[Path], object]  # spoils a file

GARBAGE = bytes(range(7, 256)) * 9


def truncate(file: Path) -> None:
    """Keep the first half."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def remove(file: Path) -> None:
    """The file, or the folder with all that is in it, is gone."""
    if file.is_dir():
        shutil.rmtree(file)
    else:
        file.unlink()


def put(text: str) -> Harm:
    """Another text altogether."""
    return lambda file: file.write_text(text)


def put_picture(picture: np.ndarray) -> Harm:
    """Another picture altogether, [H, W] or [H, W, 3] uint8 or uint16."""
    return lambda file: cv2.imwrite(str(file), picture)


def empty(file: Path) -> None:
    """Keep nothing."""
    file.write_bytes(b"")


def garbage(file: Path) -> None:
    """Other bytes altogether."""
    file.write_bytes(GARBAGE)


def turn_into_folder(file: Path) -> None:
    """A folder of the same name."""
    file.unlink()
    file.mkdir()


def other_size(file: Path) -> None:
    """A picture half as large."""
    picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(file), picture[::2, ::2])


def lying_png_header(file: Path) -> None:
    """A PNG whose header, checksum and all, promises 30,000 x 30,000 pixels."""
    data = bytearray(file.read_bytes())
    data[16:24] = struct.pack(">II", 30_000, 30_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    file.write_bytes(data)


def lying_npy_header(file: Path) -> None:
    """A .npy whose header promises 37 GB."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (100_000, 100_000)})
    file.write_bytes(stream.getvalue() + file.read_bytes()[128:])


def npy(change: Callable[[np.ndarray], np.ndarray]) -> Harm:
    """Another array in a .npy."""
    return lambda file: np.save(file, change(np.load(file)), allow_pickle=True)


def npz(change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Harm:
    """Other arrays in a .npz."""

    def harm(file: Path) -> None:
        with np.load(file) as arrays:
            changed = change(dict(arrays))
        np.savez(file, **changed)

    return harm


def json_of(change: Callable[[dict], object]) -> Harm:
    """Other values in a JSON, changed in place."""

    def harm(file: Path) -> None:
        values = json.loads(file.read_text())
        change(values)
        file.write_text(json.dumps(values))

    return harm


def exr(**channels: np.ndarray) -> Harm:
    """Another EXR altogether."""
    return lambda file: file.write_bytes(files.exr(**channels))


def lying_exr_header(file: Path) -> None:
    """An EXR whose header promises 30,000 x 30,000 pixels."""
    data = bytearray(file.read_bytes())
    for window in (b"dataWindow\0box2i\0", b"displayWindow\0box2i\0"):
        start = data.index(window) + len(window) + 4
        data[start : start + 16] = struct.pack("<4i", 0, 0, 29_999, 29_999)
    file.write_bytes(data)


def hdf5_of(array: np.ndarray, key: str = "dataset") -> Harm:
    """A file of one array."""

    def harm(file: Path) -> None:
        with h5py.File(file, "w") as opened:
            opened.create_dataset(key, data=array)

    return harm


def hdf5(change: Callable[[np.ndarray], np.ndarray], key: str = "dataset") -> Harm:
    """Another array in a file of one."""

    def harm(file: Path) -> None:
        with h5py.File(file) as opened:
            array = opened[key][()]
        hdf5_of(change(array), key)(file)

    return harm


def hdf5_at(path: str, change: Callable[[np.ndarray], object]) -> Harm:
    """Another array at a path of a file of many; none if `change` returns None."""

    def harm(file: Path) -> None:
        with h5py.File(file, "r+") as opened:
            array = change(opened[path][()])
            del opened[path]
            if array is not None:
                opened[path] = array

    return harm


def lying_hdf5_header(file: Path) -> None:
    """An array that promises 20 GB, of which nothing is there."""
    with h5py.File(file, "w") as opened:
        opened.create_dataset("dataset", (100_000, 100_000), np.float16, chunks=(100, 100))


def hdf5_that_links(file: Path) -> None:
    """A link to an array in another file."""
    hdf5_of(np.ones((4, 4), np.float16))(file.with_suffix(".linked"))
    with h5py.File(file, "w") as opened:
        opened["dataset"] = h5py.ExternalLink(str(file.with_suffix(".linked")), "dataset")


def hdf5_kept_elsewhere(file: Path) -> None:
    """An array whose numbers are the bytes of another file."""
    with h5py.File(file, "w") as opened:
        opened.create_dataset("dataset", (72, 96), np.float16, external=[("/etc/passwd", 0, 72 * 96 * 2)])


def line(number: int, text: str) -> Harm:
    """Another text on a line, counted from 0."""

    def harm(file: Path) -> None:
        lines = file.read_text().splitlines()
        lines[number] = text
        file.write_text("\n".join(lines) + "\n")

    return harm


def keep_lines(count: int) -> Harm:
    """The first lines only."""
    return lambda file: file.write_text("\n".join(file.read_text().splitlines()[:count]) + "\n")


def flip_in_member(archive: Path, member: str) -> None:
    """Another byte in the middle of a member's data: its checksum does not fit any more."""
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo(member)
    data = bytearray(archive.read_bytes())
    start = info.header_offset + 30 + sum(struct.unpack("<HH", data[info.header_offset + 26 : info.header_offset + 30]))
    data[start + info.compress_size // 2] ^= 0x55
    archive.write_bytes(data)


def add_member(archive: Path, member: str, data: bytes = GARBAGE) -> None:
    """One more member, whatever its name."""
    with zipfile.ZipFile(archive, "a") as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there
        opened.writestr(member, data)


def link_member(archive: Path, member: str, target: str = "/etc/passwd") -> None:
    """The zip again, but with a link in place of a member."""
    with zipfile.ZipFile(archive) as opened:
        members = {info.filename: opened.read(info) for info in opened.infolist()}
    with zipfile.ZipFile(archive, "w") as opened:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if name == member else 0o100644) << 16
            opened.writestr(info, target.encode() if name == member else data)
