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
VERSION = 2  # of the table
NAMELESS = ("", "")  # sequence and camera of an entry that does not say whose it is
LARGEST = 1 << 20  # pixels of a side, frame numbers
# Texts of a frame, one behind the other: sequence, camera, paths, and why it cannot be used; empty where there is none.
TEXTS = ("sequence", "camera", "image", "depth", "depth_mask", "mask", "fault")
MISREAD = (AttributeError, KeyError, TypeError, ValueError, OverflowError)  # what an entry of another form raises


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
        fault: why the entry cannot be used, for a `RawFault`; "" = it can. Of one that cannot, only the names and the number
            are good.
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
    fault: str = ""

    @property
    def has_viewpoint(self) -> bool:
        """Return False where there is no camera; one that holds some NaN is damaged, but there."""
        return not all(np.isnan(part).all() for part in (self.rotation, self.translation, self.focal))


def table_of(file: Source) -> dict[str, np.ndarray]:
    """The frames of a `frame_annotations.jgz` as arrays, to keep, and to give to `Annotations`.

    An entry that is no frame costs that frame only: its fault stays with its names, or without a sequence if it has none.

    Returns:
        texts: uint8, UTF-8, the `TEXTS` of each frame with a zero after each;
        numbers: [N, 4] int64, frame number, height, width, place of the intrinsics' format in `FORMATS`;
        cameras: [N, 17] float64: scale of depth, R, T, focal length, principal point; NaN without a viewpoint.

    Raises:
        RawFault: missing, damaged, or none of its entries has the names of a frame.
    """
    texts, numbers, cameras = bytearray(), array("q"), array("d")
    first, named = "", False
    for place, entry in enumerate(stream(file)):
        try:
            names, row, camera = [*_texts(entry), ""], _numbers(entry), _camera(entry)
        except MISREAD as error:
            reason = f"has no {error}" if isinstance(error, KeyError) else str(error)[:200]
            names, row = _faulty(entry, place, reason)
            camera = [1.0, *[math.nan] * 16]
            first = first or f"entry {place} is no frame: {reason}"
        named |= bool(names[0])
        for text in names:
            texts += text.encode() + b"\0"
        numbers.extend(row)
        cameras.extend(camera)
    if first and not named:
        raise RawFault(file, first)
    return {
        "texts": np.frombuffer(bytes(texts), np.uint8),
        "numbers": np.array(numbers, np.int64).reshape(-1, 4),
        "cameras": np.array(cameras, np.float64).reshape(-1, 17),
    }


def _faulty(entry: dict[str, Any], place: int, reason: str) -> tuple[list[str], tuple[int, int, int, int]]:
    """Texts and numbers of an entry that is no frame."""
    try:
        names = _checked([entry["sequence_name"], entry.get("camera_name") or "", entry["image"]["path"]])
        number = _whole(entry["frame_number"])
    except MISREAD:
        return ["", "", "", "", "", "", f"entry {place} is no frame: {reason}"], (0, 0, 0, 0)
    return [*names, "", "", "", f"its entry is no frame: {reason}"], (number, 0, 0, 0)


def kept_frames(file: Source) -> KeptTable:
    """The table of a list of frames, on disk or in a zip, as the engine keeps it."""
    if isinstance(file, Path):
        return KeptTable(file, "frames", table_of, VERSION)
    return KeptTable(file.archive, f"frames of {file.name}", partial(_table_in_zip, file.name), VERSION)


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
        self._unnamed = [self._texts[-1][row] for row in rows.pop(NAMELESS, ())]
        self._rows = {
            name: sorted(found, key=lambda row: self._numbers[row, 0]) for name, found in sorted(rows.items())
        }

    @property
    def unnamed(self) -> str:
        """What to report of entries that are no frames and do not say whose they are; "" = there are none."""
        others = f" (and {len(self._unnamed) - 1} more)" if self._unnamed[1:] else ""
        return self._unnamed[0] + others if self._unnamed else ""

    @property
    def sequences(self) -> list[tuple[str, str]]:
        """Names of sequence and camera, sorted."""
        return list(self._rows)

    def frames(self, sequence: str, camera: str = "") -> list[Annotation]:
        """The frames of a sequence in order; none of one that is not there."""
        return [self._frame(row) for row in self._rows.get((sequence, camera), ())]

    def _frame(self, row: int) -> Annotation:
        sequence, camera, image, depth, depth_mask, mask, fault = (texts[row] for texts in self._texts)
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
            fault,
        )


def _texts(entry: dict[str, Any]) -> list[str]:
    image, depth, mask = entry["image"], entry.get("depth") or {}, entry.get("mask") or {}
    camera = entry.get("camera_name") or ""
    paths = (image["path"], depth.get("path"), depth.get("mask_path"), mask.get("path"))
    return _checked([entry["sequence_name"], camera, *(path or "" for path in paths)])


def _checked(texts: list[Any]) -> list[str]:
    """The texts, of which the first is not empty. Raises ValueError."""
    for text in texts:
        if not isinstance(text, str) or "\0" in text or not texts[0]:
            raise ValueError(f"{str(text)[:40]!r} is no name")
        text.encode()
    return texts


def _numbers(entry: dict[str, Any]) -> tuple[int, int, int, int]:
    height, width = entry["image"]["size"]
    number, height, width = map(_whole, (entry["frame_number"], height, width))
    unit = (entry.get("viewpoint") or {}).get("intrinsics_format") or FORMATS[0]
    if unit not in FORMATS:
        raise ValueError(f"intrinsics_format is {str(unit)[:40]!r}, expected {' or '.join(FORMATS)}")
    return number, height, width, FORMATS.index(unit)


def _whole(value: Any) -> int:  # noqa: ANN401
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LARGEST:
        raise ValueError(f"{ascii(value)[:40]} is no number of a frame, or of pixels")
    return value


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
    scale = 1.0 if scale is None else float(scale)
    if not 0 < scale < math.inf:
        raise ValueError(f"scale_adjustment is {scale:g}, expected a positive number")
    return [scale, *map(float, values)]
