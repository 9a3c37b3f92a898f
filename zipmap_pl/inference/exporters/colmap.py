"""A COLMAP model: cameras of the user's own photos, and points with colors and tracks, binary and text.

COLMAP's axes and pixels are ours: OpenCV axes, positions measured from the image's corner. Written from COLMAP's description of
its files.
"""

import logging
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.inference.exporters._tracks import Tracks, find_tracks
from zipmap_pl.inference.points import PointCloud

log = logging.getLogger(__name__)

MAX_POINTS = 100_000
PINHOLE = 1  # COLMAP's number for the camera model fx, fy, cx, cy
OBSERVATION = np.dtype([("xy", "<f8", 2), ("point", "<u8")])
MEMBER = np.dtype([("image", "<u4"), ("place", "<u4")])  # of a track


def write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]:
    """Write colmap/sparse/0/{cameras,images,points3D}.{bin,txt}.

    Cameras are PINHOLE at the size of the user's photos, upright as EXIF says, with crop and scaling undone; views with the same
    intrinsics and size share one. Image numbers count the views from 1; views without a finite camera are left out. Of the
    cloud, `MAX_POINTS` points are written.
    """
    below = folder / "colmap" / "sparse" / "0"
    below.mkdir(parents=True)
    few = _thinned(cloud)
    model = _Model.of(scene, few, find_tracks(scene, few))
    _write_binary(below, model)
    _write_text(below, model)
    return {"colmap": below}


def _thinned(cloud: PointCloud) -> PointCloud:
    if len(cloud.points) <= MAX_POINTS:
        return cloud
    at = np.arange(MAX_POINTS) * len(cloud.points) // MAX_POINTS
    return PointCloud(cloud.points[at], cloud.colors[at], cloud.confidence[at], cloud.views[at], cloud.pixels[at])


@dataclass(frozen=True)
class _Camera:
    """Width, height and parameters fx, fy, cx, cy."""

    width: int
    height: int
    parameters: tuple[float, ...]


@dataclass(frozen=True)
class _Image:
    """Number, quaternion wxyz and translation of world-to-camera, number of the camera, name; its part of `Tracks`."""

    number: int
    pose: tuple[float, ...]
    camera: int
    name: str
    observations: slice


@dataclass(frozen=True)
class _Model:
    """What the three files hold. Cameras and points count from 1 in their order."""

    cameras: list[_Camera]
    images: list[_Image]
    cloud: PointCloud
    tracks: Tracks

    @staticmethod
    def of(scene: Scene, cloud: PointCloud, tracks: Tracks) -> "_Model":
        numbers: dict[_Camera, int] = {}
        images = []
        for view in np.flatnonzero(scene.usable):
            shown = scene.cameras[view]
            k = shown.intrinsics
            values = (float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]))
            number = numbers.setdefault(_Camera(shown.size[1], shown.size[0], values), len(numbers) + 1)
            x, y, z, w = Rotation.from_matrix(shown.world_to_cam[:, :3]).as_quat(canonical=True).tolist()
            start, end = np.searchsorted(tracks.views, (view, view + 1)).tolist()
            pose = (w, x, y, z, *shown.world_to_cam[:, 3].tolist())
            images.append(_Image(int(view) + 1, pose, number, shown.name, slice(start, end)))
        return _Model(list(numbers), images, cloud, tracks)

    def members(self) -> list[np.ndarray]:
        """The track of every point, as `MEMBER`s."""
        places = np.arange(len(self.tracks.views)) - np.searchsorted(self.tracks.views, self.tracks.views)
        rows = np.empty(len(places), MEMBER)
        rows["image"], rows["place"] = self.tracks.views + 1, places
        order = np.argsort(self.tracks.points, kind="stable")
        counts = np.bincount(self.tracks.points, minlength=len(self.cloud.points))
        return np.split(rows[order], np.cumsum(counts)[:-1])

    def points(self) -> Iterator[tuple[int, list[float], list[int], float, np.ndarray]]:
        """Number, position, color, error and track of every point."""
        columns = (
            self.cloud.points.astype(np.float64).tolist(),
            self.cloud.colors.tolist(),
            self.tracks.errors.tolist(),
        )
        for number, (xyz, rgb, error, track) in enumerate(zip(*columns, self.members(), strict=True), 1):
            yield number, xyz, rgb, error, track


def _write_binary(folder: Path, model: _Model) -> None:
    with (folder / "cameras.bin").open("wb") as file:
        file.write(struct.pack("<Q", len(model.cameras)))
        for number, camera in enumerate(model.cameras, 1):
            file.write(struct.pack("<IiQQ4d", number, PINHOLE, camera.width, camera.height, *camera.parameters))
    with (folder / "images.bin").open("wb") as file:
        file.write(struct.pack("<Q", len(model.images)))
        for image in model.images:
            rows = np.empty(image.observations.stop - image.observations.start, OBSERVATION)
            rows["xy"], rows["point"] = (
                model.tracks.pixels[image.observations],
                model.tracks.points[image.observations] + 1,
            )
            file.write(struct.pack("<I7dI", image.number, *image.pose, image.camera))
            file.write(
                image.name.encode(errors="surrogateescape") + b"\0" + struct.pack("<Q", len(rows)) + rows.tobytes()
            )
    with (folder / "points3D.bin").open("wb") as file:
        file.write(struct.pack("<Q", len(model.cloud.points)))
        for number, xyz, rgb, error, track in model.points():
            file.write(struct.pack("<Q3d3BdQ", number, *xyz, *rgb, error, len(track)) + track.tobytes())


def _write_text(folder: Path, model: _Model) -> None:
    spaced = [image.name for image in model.images if len(image.name.split()) > 1]
    if spaced:
        log.warning("COLMAP reads %r in images.txt up to its first space; images.bin holds it whole", spaced[0])
    _write_lines(
        folder / "cameras.txt",
        "CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy",
        (f"{i} PINHOLE {c.width} {c.height} {_row(c.parameters)}" for i, c in enumerate(model.cameras, 1)),
    )
    _write_lines(
        folder / "images.txt",
        "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of X Y POINT3D_ID",
        (line for image in model.images for line in _image_lines(model, image)),
    )
    _write_lines(
        folder / "points3D.txt",
        "POINT3D_ID X Y Z R G B ERROR, then the track: IMAGE_ID POINT2D_IDX",
        (
            f"{number} {_row(xyz)} {_row(rgb)} {error!r} {_row(track.view('<u4').tolist())}"
            for number, xyz, rgb, error, track in model.points()
        ),
    )


def _image_lines(model: _Model, image: _Image) -> Iterator[str]:
    yield f"{image.number} {_row(image.pose)} {image.camera} {image.name}"
    pixels, points = model.tracks.pixels[image.observations].tolist(), model.tracks.points[image.observations].tolist()
    yield " ".join(f"{x!r} {y!r} {point + 1}" for (x, y), point in zip(pixels, points, strict=True))


def _row(numbers: Iterable[float]) -> str:
    return " ".join(map(repr, numbers))


def _write_lines(path: Path, title: str, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        file.write(f"# {title}\n")
        file.writelines(f"{line}\n" for line in lines)
