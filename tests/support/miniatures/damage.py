"""Ways to spoil raw files, and ready-made sets of `Damage` for files of a kind.

`picture_damages`, `npy_damages`, `hdf5_damages` and `member_damages` take the scene and frames of a miniature that they may spoil.
"""

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
from miniatures.contract import Damage, Expected

GARBAGE = bytes(range(7, 256)) * 9


def truncate(file: Path) -> None:
    """Keep the first half."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


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


def change_npy(file: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Another array."""
    np.save(file, change(np.load(file)), allow_pickle=True)


def write_hdf5(file: Path, array: np.ndarray, key: str = "dataset") -> None:
    """A file of one array; its bytes are always the same."""
    with h5py.File(file, "w") as opened:
        opened.create_dataset(key, data=array)


def change_hdf5(file: Path, change: Callable[[np.ndarray], np.ndarray], key: str = "dataset") -> None:
    """Another array."""
    with h5py.File(file) as opened:
        array = opened[key][()]
    write_hdf5(file, change(array), key)


def lying_hdf5_header(file: Path) -> None:
    """An array that promises 20 GB, of which nothing is there."""
    with h5py.File(file, "w") as opened:
        opened.create_dataset("dataset", (100_000, 100_000), np.float16, chunks=(100, 100))


def hdf5_that_links(file: Path) -> None:
    """A link to an array in another file."""
    write_hdf5(file.with_suffix(".linked"), np.ones((4, 4), np.float16))
    with h5py.File(file, "w") as opened:
        opened["dataset"] = h5py.ExternalLink(str(file.with_suffix(".linked")), "dataset")


def hdf5_kept_elsewhere(file: Path) -> None:
    """An array whose numbers are the bytes of another file."""
    with h5py.File(file, "w") as opened:
        opened.create_dataset("dataset", (72, 96), np.float16, external=[("/etc/passwd", 0, 72 * 96 * 2)])


def change_line(file: Path, line: int, text: str) -> None:
    """Another text on a line, counted from 0."""
    lines = file.read_text().splitlines()
    lines[line] = text
    file.write_text("\n".join(lines) + "\n")


def keep_lines(file: Path, count: int) -> None:
    """The first lines only."""
    file.write_text("\n".join(file.read_text().splitlines()[:count]) + "\n")


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


def make_link(archive: Path, member: str, target: str) -> None:
    """The zip again, but with a link in place of a member."""
    with zipfile.ZipFile(archive) as opened:
        members = {info.filename: opened.read(info) for info in opened.infolist()}
    with zipfile.ZipFile(archive, "w") as opened:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if name == member else 0o100644) << 16
            opened.writestr(info, target.encode() if name == member else data)


def one_frame(kind: str, file: str, harm: Callable[[Path], None], scene: str, frame: str, reason: str) -> Damage:
    """Spoil one file below the raw folder: this frame is lost, and this file is named."""

    def spoil(raw: Path) -> list[Expected]:
        harm(raw / file)
        return [Expected(scene, file, reason, (frame,))]

    return Damage(kind, spoil)


def picture_damages(scene: str, frame: str, file: str) -> list[Damage]:
    """For a frame's picture, a JPEG or PNG below the raw folder."""
    unreadable = "unreadable picture"
    damages = [
        one_frame("picture truncated", file, truncate, scene, frame, unreadable),
        one_frame("picture empty", file, empty, scene, frame, "empty file"),
        one_frame("picture missing", file, Path.unlink, scene, frame, "missing"),
        one_frame("picture garbage", file, garbage, scene, frame, unreadable),
        one_frame("picture a folder", file, turn_into_folder, scene, frame, "is a folder"),
    ]
    if file.endswith(".png"):
        damages.append(one_frame("picture with a lying header", file, lying_png_header, scene, frame, unreadable))
    return damages


def npy_damages(scene: str, frame: str, file: str) -> list[Damage]:
    """For a frame's depth, a .npy of floats below the raw folder."""
    unreadable = "unreadable numpy file"
    as_objects, as_integers = (lambda array: array.astype(object)), (lambda array: np.ones(array.shape, np.int16))
    return [
        one_frame("depth truncated", file, truncate, scene, frame, unreadable),
        one_frame("depth empty", file, empty, scene, frame, "empty file"),
        one_frame("depth missing", file, Path.unlink, scene, frame, "missing"),
        one_frame("depth garbage", file, garbage, scene, frame, unreadable),
        one_frame("depth with a lying header", file, lying_npy_header, scene, frame, "its header promises"),
        one_frame("depth pickled", file, lambda f: change_npy(f, as_objects), scene, frame, unreadable),
        one_frame("depth of another dtype", file, lambda f: change_npy(f, as_integers), scene, frame, "depth is int16"),
    ]


def hdf5_damages(scene: str, frame: str, file: str) -> list[Damage]:
    """For a frame's .hdf5 with an array "dataset" of floats below the raw folder."""
    unreadable, as_integers = "unreadable HDF5 file", (lambda array: np.ones(array.shape, np.int16))
    return [
        one_frame("hdf5 truncated", file, truncate, scene, frame, unreadable),
        one_frame("hdf5 empty", file, empty, scene, frame, "empty file"),
        one_frame("hdf5 missing", file, Path.unlink, scene, frame, "missing"),
        one_frame("hdf5 garbage", file, garbage, scene, frame, unreadable),
        one_frame("hdf5 with a lying header", file, lying_hdf5_header, scene, frame, "its header promises"),
        one_frame("hdf5 that links", file, hdf5_that_links, scene, frame, "holds no 'dataset'"),
        one_frame("hdf5 kept elsewhere", file, hdf5_kept_elsewhere, scene, frame, "is kept in other files"),
        one_frame(
            "hdf5 without its array",
            file,
            lambda f: write_hdf5(f, np.ones(3), "data"),
            scene,
            frame,
            "holds no 'dataset'",
        ),
        one_frame("hdf5 of another dtype", file, lambda f: change_hdf5(f, as_integers), scene, frame, "int16"),
    ]


def member_damages(scene: str, frame: str, archive: str, member: str) -> list[Damage]:
    """For a frame's file in a zip below the raw folder."""
    file = f"{archive}/{member}"

    def of(kind: str, harm: Callable[[Path], None], reason: str) -> Damage:
        def spoil(raw: Path) -> list[Expected]:
            harm(raw / archive)
            return [Expected(scene, file, reason, (frame,))]

        return Damage(kind, spoil)

    def leave(raw: Path) -> list[Expected]:
        add_member(raw / archive, f"../../{member}")
        return [Expected(archive, f"../../{member}", "leads out of its folder")]

    return [
        of("unreadable archive member", lambda zipped: flip_in_member(zipped, member), "unreadable in its archive"),
        of("duplicate archive members", lambda zipped: add_member(zipped, member), "two members"),
        of("archive member a link", lambda zipped: make_link(zipped, member, "/etc/passwd"), "is a link"),
        Damage("archive member that leaves its folder", leave),
    ]
