"""Frame annotations of PyTorch3D's datasets (CO3Dv2, Dynamic Replica): a compressed JSON list of frames becomes arrays.

A list may have hundreds of megabytes and serves thousands of scenes, so it is read once and its arrays are kept. An entry:
`sequence_name`, `frame_number`, perhaps `camera_name`; `image`: `path`, `size` (height, width); `depth`: `path`,
`scale_adjustment`, `mask_path`; `mask`: `path`; `viewpoint`: `R`, `T`, `focal_length`, `principal_point`, `intrinsics_format`.
`convert.axes.pytorch3d_camera` makes a camera of the last ones.
"""

import math
from array import array
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from zipmap_pl.preprocess.formats.json_lists import stream
from zipmap_pl.preprocess.formats.sources import Source, Zipped
from zipmap_pl.preprocess.kept import KeptTable
from zipmap_pl.preprocess.raw import RawFault

FORMATS = ("ndc_norm_image_bounds", "ndc_isotropic")  # of intrinsics; PyTorch3D takes the first where none is given
LARGEST = 1 << 20  # pixels of a side, frame numbers
# Texts of a frame, one behind the other: sequence, camera, and paths, empty where there is none.
TEXTS = ("sequence", "camera", "image", "depth", "depth_mask", "mask")


@dataclass(frozen=True)
class Annotation:
    """One frame.

    Attributes:
        sequence, camera: names; a camera only where there are several (Dynamic Replica), else empty.
        number: of the frame in its sequence; not the number in its file's name.
        image, depth, depth_mask, mask: paths as they stand in the file; empty where there is none.
        size: height, width of the image.
        scale: depth = stored depth * scale.
        rotation, translation: R [3, 3], T [3], row vectors; NaN without a viewpoint.
        focal, principal_point: [2], in normalized device coordinates.
        unit: the intrinsics' format.
    """

    sequence: str
    camera: str
    number: int
    image: str
    depth: str
    depth_mask: str
    mask: str
    size: tuple[int, int]
    scale: float
    rotation: np.ndarray
    translation: np.ndarray
    focal: np.ndarray
    principal_point: np.ndarray
    unit: str

    @property
    def has_viewpoint(self) -> bool:
        """Return False where there is no camera; one that holds some NaN is damaged, but there."""
        return not all(np.isnan(part).all() for part in (self.rotation, self.translation, self.focal))


def table_of(file: Source) -> dict[str, np.ndarray]:
    """The frames of a `frame_annotations.jgz` as arrays, to keep, and to give to `Annotations`.

    Returns:
        texts: uint8, UTF-8, the `TEXTS` of each frame with a zero after each;
        numbers: [N, 4] int64, frame number, height, width, place of the intrinsics' format in `FORMATS`;
        cameras: [N, 17] float64: scale of depth, R, T, focal length, principal point; NaN without a viewpoint.

    Raises:
        RawFault: missing, damaged, no list of frames; the reason names the entry.
    """
    texts, numbers, cameras = bytearray(), array("q"), array("d")
    for place, entry in enumerate(stream(file)):
        try:
            for text in _texts(entry):
                texts += text.encode() + b"\0"
            numbers.extend(_numbers(entry))
            cameras.extend(_camera(entry))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = f"has no {error}" if isinstance(error, KeyError) else str(error)[:200]
            raise RawFault(file, f"entry {place} is no frame: {reason}") from error
    return {
        "texts": np.frombuffer(bytes(texts), np.uint8),
        "numbers": np.array(numbers, np.int64).reshape(-1, 4),
        "cameras": np.array(cameras, np.float64).reshape(-1, 17),
    }


def kept_frames(file: Source) -> KeptTable:
    """The table of a list of frames, on disk or in a zip, as the engine keeps it."""
    if isinstance(file, Path):
        return KeptTable(file, "frames", table_of)
    return KeptTable(file.archive, f"frames of {file.name}", partial(_table_in_zip, file.name))


def _table_in_zip(name: str, archive: Path) -> dict[str, np.ndarray]:
    return table_of(Zipped(archive, name))


@lru_cache(maxsize=3)
def annotations_of(file: Source) -> "Annotations":
    """The frames of a list. Raises RawFault as `table_of`."""
    return Annotations(kept_frames(file).read())


class Annotations:
    """The frames of a table, by sequence and camera, each sorted by number."""

    def __init__(self, table: dict[str, np.ndarray]) -> None:
        self._numbers, self._cameras = table["numbers"], table["cameras"]
        texts = table["texts"].tobytes().decode().split("\0")[:-1]
        self._texts = [texts[k :: len(TEXTS)] for k in range(len(TEXTS))]
        rows: dict[tuple[str, str], list[int]] = {}
        for row, name in enumerate(zip(self._texts[0], self._texts[1], strict=True)):
            rows.setdefault(name, []).append(row)
        self._rows = {
            name: sorted(found, key=lambda row: self._numbers[row, 0]) for name, found in sorted(rows.items())
        }

    @property
    def sequences(self) -> list[tuple[str, str]]:
        """Names of sequence and camera, sorted."""
        return list(self._rows)

    def frames(self, sequence: str, camera: str = "") -> list[Annotation]:
        """The frames of a sequence in order; none of one that is not there."""
        return [self._frame(row) for row in self._rows.get((sequence, camera), ())]

    def _frame(self, row: int) -> Annotation:
        sequence, camera, image, depth, depth_mask, mask = (texts[row] for texts in self._texts)
        number, height, width, unit = self._numbers[row].tolist()
        scale, *values = np.split(self._cameras[row], (1, 10, 13, 15))
        rotation, translation, focal, principal_point = values
        return Annotation(
            sequence,
            camera,
            number,
            image,
            depth,
            depth_mask,
            mask,
            (height, width),
            float(scale[0]),
            rotation.reshape(3, 3),
            translation,
            focal,
            principal_point,
            FORMATS[unit],
        )


def _texts(entry: dict[str, Any]) -> list[str]:
    image, depth, mask = entry["image"], entry.get("depth") or {}, entry.get("mask") or {}
    camera = entry.get("camera_name") or ""
    paths = (image["path"], depth.get("path"), depth.get("mask_path"), mask.get("path"))
    texts = [entry["sequence_name"], camera, *(path or "" for path in paths)]
    for text in texts:
        if not isinstance(text, str) or "\0" in text:
            raise ValueError(f"{str(text)[:40]!r} is no name")
    return texts


def _numbers(entry: dict[str, Any]) -> tuple[int, int, int, int]:
    height, width = entry["image"]["size"]
    number = entry["frame_number"]
    for value in (number, height, width):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LARGEST:
            raise ValueError(f"{str(value)[:40]} is no number of a frame, or of pixels")
    unit = (entry.get("viewpoint") or {}).get("intrinsics_format") or FORMATS[0]
    if unit not in FORMATS:
        raise ValueError(f"intrinsics_format is {str(unit)[:40]!r}, expected {' or '.join(FORMATS)}")
    return number, height, width, FORMATS.index(unit)


def _camera(entry: dict[str, Any]) -> list[float]:
    scale = (entry.get("depth") or {}).get("scale_adjustment")
    view = entry.get("viewpoint")
    values = [math.nan] * 16
    if view:
        (*rows,) = view["R"]
        parts = (*rows, view["T"], view["focal_length"], view["principal_point"])
        if [len(part) for part in parts] != [3, 3, 3, 3, 2, 2]:
            raise ValueError("viewpoint is not R [3, 3], T [3], focal_length [2] and principal_point [2]")
        values = [value for part in parts for value in part]
        if not all(isinstance(value, (int, float)) for value in values):
            raise ValueError("viewpoint holds something else than numbers")
    return [1.0 if scale is None else float(scale), *map(float, values)]
