"""Reading raw pictures and depth maps; what cannot be decoded is a `RawFault` that names the file."""

import io
from pathlib import Path

import numpy as np

from zipmap_pl.images.decode import is_jpeg, read_image, read_values, shows_turned
from zipmap_pl.images.limits import refuse_damage
from zipmap_pl.images.png_side_data import still
from zipmap_pl.preprocess.formats.npy_header import read_header
from zipmap_pl.preprocess.formats.sources import Source, Zipped, read_bytes
from zipmap_pl.preprocess.raw import RawFault


def read_picture(file: Source) -> tuple[np.ndarray, bytes | None]:
    """A picture [H, W, 3] uint8 RGB, in the layout of its sensor (an EXIF rotation is not applied).

    Returns:
        the picture, and the file's bytes if it is a JPEG that every decoder shows the same way.
    """
    return decoded_picture(file, read_bytes(file))


def decoded_picture(file: Source, data: bytes) -> tuple[np.ndarray, bytes | None]:
    """The same of the bytes of a JPEG or PNG that a file holds. RawFault blames the file."""
    try:
        refuse_damage(data)
        image = read_image(still(data))
    except ValueError as error:
        raise RawFault(file, str(error)) from error
    return image, data if is_jpeg(data) and not shows_turned(data, image) else None


def read_depth_png(file: Source) -> np.ndarray:
    """A one-channel 16-bit (or 8-bit) PNG [H, W], as stored."""
    data = read_bytes(file)
    try:
        refuse_damage(data)
        values = read_values(still(data))
    except ValueError as error:
        raise RawFault(file, str(error)) from error
    if values.ndim != 2:
        raise RawFault(file, f"depth has {values.shape[2]} channels, expected 1")
    return values


def read_depth_in_16_bits(file: Source, per_unit: float) -> np.ndarray:
    """Depth [H, W] float32 in raw units of a 16-bit PNG that holds so many values per unit; 0 stays 0."""
    values = read_depth_png(file)
    if values.dtype != np.uint16:
        raise RawFault(file, f"depth is {values.dtype}, expected 16 bits")
    return in_units(values, per_unit)


def in_units(values: np.ndarray, per_unit: float) -> np.ndarray:
    """Stored values by how many of them are a unit, float32: the nearest to the exact quotient."""
    wide = values.dtype.itemsize > 2 or per_unit != float(
        np.float32(per_unit)
    )  # a quotient of small integers is exact enough
    return (values / (np.float64(per_unit) if wide else np.float32(per_unit))).astype(np.float32, copy=False)


def read_depth_npy(file: Source) -> np.ndarray:
    """A numpy array [H, W] of numbers; never unpickled."""
    values = np.squeeze(read_npy(file))
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise RawFault(file, f"depth is {values.dtype}{list(values.shape)}, expected numbers [H, W]")
    return values


def read_npy(file: Source) -> np.ndarray:
    """The array of a .npy file; never unpickled. Its header is believed only if the file is as long as it says."""
    data = read_bytes(file)
    header = read_header(file, io.BytesIO(data))
    found = len(data) - header.start
    if found != header.byte_count:
        raise RawFault(file, f"unreadable numpy file (its header promises {header}, but {found} follow)")
    return header.shaped(data, header.start)


def read_npz(file: Path, *names: str) -> list[np.ndarray]:
    """The arrays of numbers of these names in a .npz on disk, float64."""
    read_bytes(file)  # a missing file, a folder: a fault
    arrays = []
    for name in names:
        values = read_npy(Zipped(file, f"{name}.npy"))
        if values.dtype.kind not in "fiu":
            raise RawFault(file, f"{name} is {values.dtype}, expected numbers")
        arrays.append(values.astype(np.float64))
    return arrays
