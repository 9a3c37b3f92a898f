"""Camera poses in the text formats that people have. Each is told by how many numbers stand on a line.

    16 or 12 numbers a line            row-major 4x4 or 3x4 matrix
    7 numbers a line                   tx ty tz qx qy qz qw
    8 numbers a line                   timestamp tx ty tz qx qy qz qw (TUM)
    4 numbers a line, 3 in every fifth trajectory.log of Open3D: `i i i+1`, then a 4x4 matrix
    3 or 4 lines of 4 numbers          one matrix (a file per frame)

Lines that start with # and empty lines are left out. Poses are returned as they stand: no axes are changed here.
"""

from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.formats.raw_file import read_listing

FORMATS = "16, 12, 8 or 7 numbers a line, or 5 lines a frame (trajectory.log)"


def matrix_of_quaternion(values: np.ndarray) -> np.ndarray:
    """The [4, 4] matrix of tx ty tz qx qy qz qw; the quaternion is normalised."""
    tx, ty, tz, x, y, z, w = np.asarray(values, np.float64).tolist()
    norm = x * x + y * y + z * z + w * w
    scale = 2.0 / norm if norm > 0 else float("nan")
    return np.array(
        (
            (1 - scale * (y * y + z * z), scale * (x * y - z * w), scale * (x * z + y * w), tx),
            (scale * (x * y + z * w), 1 - scale * (x * x + z * z), scale * (y * z - x * w), ty),
            (scale * (x * z - y * w), scale * (y * z + x * w), 1 - scale * (x * x + y * y), tz),
            (0.0, 0.0, 0.0, 1.0),
        )
    )


def read_trajectory(file: Path) -> np.ndarray:
    """All poses of a file, [n, 4, 4] float64, in the order of its lines. Raises UserError for another format."""
    rows = read_numbers(file)
    widths = [len(row) for row in rows]
    if widths == [3, 4, 4, 4, 4] * (len(rows) // 5):
        return np.array([rows[k + 1 : k + 5] for k in range(0, len(rows), 5)])
    if len(set(widths)) != 1:
        odd = next((k for k, width in enumerate(widths) if width != widths[0]), 0)
        raise UserError(
            f"{file}: line of data {odd + 1} has {widths[odd]} numbers, the first has {widths[0]}; expected {FORMATS}"
        )
    return np.array([_pose(file, row) for row in rows])


def read_timed_trajectory(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """A TUM groundtruth.txt: times [n] float64 in seconds, sorted, and poses [n, 4, 4]."""
    rows = read_numbers(file)
    for number, row in enumerate(rows, start=1):
        if len(row) != 8:
            raise UserError(
                f"{file}: line of data {number} has {len(row)} numbers, expected timestamp tx ty tz qx qy qz qw"
            )
    rows.sort(key=lambda row: row[0])
    return np.array([row[0] for row in rows]), np.array([matrix_of_quaternion(np.array(row[1:])) for row in rows])


def read_matrix(file: Path) -> np.ndarray:
    """The one pose of a file: 4x4 or 3x4 numbers in lines -> [4, 4]. Raises ValueError if it holds anything else."""
    values = np.array(_parse(file.read_bytes()), np.float64).ravel()
    if values.size == 12:
        values = np.append(values, (0.0, 0.0, 0.0, 1.0))
    if values.size != 16:
        raise ValueError(f"{values.size} numbers, expected a 4x4 matrix")
    return values.reshape(4, 4)


def read_intrinsics(file: Path) -> np.ndarray:
    """Intrinsics [4] = fx, fy, cx, cy of a file with a 3x3 (or 3x4, 4x4) matrix or those four numbers."""
    values = np.array([number for row in read_numbers(file) for number in row])
    if values.size == 4:
        return values
    columns = {9: 3, 12: 4, 16: 4}.get(values.size)
    if columns is None:
        raise UserError(f"{file}: {values.size} numbers, expected a 3x3 matrix or fx fy cx cy")
    matrix = values.reshape(-1, columns)
    return matrix[(0, 1, 0, 1), (0, 1, 2, 2)]


def read_numbers(file: Path) -> list[list[float]]:
    """The numbers of each line. Raises UserError if there are none or something else stands there."""
    try:
        rows = _parse(read_listing(file))
    except ValueError as error:
        raise UserError(f"{file}: {error}") from error
    if not rows:
        raise UserError(f"{file}: no numbers in it; expected {FORMATS}")
    return rows


def _parse(data: bytes) -> list[list[float]]:
    rows = []
    for number, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), start=1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            rows.append([float(word) for word in words])
        except ValueError as error:
            raise ValueError(f"line {number} is {line.strip()[:60]!r}, expected numbers") from error
    return rows


def _pose(file: Path, row: list[float]) -> np.ndarray:
    if len(row) == 16:
        return np.array(row).reshape(4, 4)
    if len(row) == 12:
        return np.array([*row, 0.0, 0.0, 0.0, 1.0]).reshape(4, 4)
    if len(row) in (7, 8):
        return matrix_of_quaternion(np.array(row[-7:]))
    raise UserError(f"{file}: {len(row)} numbers a line; expected {FORMATS}")
