"""MVS-Synth (of DeepMVS): 120 clips of 100 frames from a game (GTA V), in units of the game, not metric.

    RAW/GTAV_720/                 or GTAV_540, GTAV_1080: one of the three sizes
      num_images.json             not needed
      0000/                       to 0119
        images/0000.png           8-bit RGB
        depths/0000.exr           channel Y, planar; infinity is the sky, 0 unknown
        poses/0000.json           f_x, f_y, c_x, c_y; extrinsic: 4x4, world to camera, left-handed world

Unpacked, or in the .tar.gz as downloaded, which is read in place: give the folder of one of the two. Reading through the
archive takes minutes, once. The published training uses the size 720. All clips are for training. People and cars move, and
nothing marks them.

The world is mirrored (its rotations have the determinant -1), so its x and y are swapped. Only where the determinant is
negative: published code swaps without looking, which mirrors a pose that is right.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.axes import right_handed
from zipmap_pl.preprocess.formats.exr import read_exr
from zipmap_pl.preprocess.formats.json_files import number_in, read_json
from zipmap_pl.preprocess.formats.pictures import read_picture
from zipmap_pl.preprocess.formats.sources import Folders, Source, find_folders, found_twice, join, names_in, tar_tables
from zipmap_pl.preprocess.kept import KeptTable
from zipmap_pl.preprocess.options import raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, RawCamera, RawFault, RawFrame, RawScene

CLIP = re.compile(r".*/(0[01]\d\d)")
SIZE = re.compile(r"GTAV_\d+")
ENDINGS = {"images": ".png", "depths": ".exr", "poses": ".json"}
PINHOLE = ("f_x", "f_y", "c_x", "c_y")

INFO = DatasetInfo(
    slug="mvs-synth",
    title="MVS-Synth",
    licence="not stated; images of a commercial game (GTA V), offered for research",
    kind="static",
    source="synthetic",
    metres_per_raw_unit=None,
    url="https://phuang17.github.io/DeepMVS/mvs-synth.html",
    commercial=None,
    raw_size="about 16 GB (GTAV_720; 9 for 540, 34 for 1080)",
)


@dataclass(frozen=True)
class MvsSynth:
    """The reader."""

    raw: Path = raw_folder("folder of clips 0000 to 0119 of one size, unpacked, or in a tar or zip")

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """There are no options."""
        return settings_of(self)

    def containers(self) -> list[KeptTable]:
        """The tables of all tars."""
        return tar_tables(self.raw, CLIP)

    def scenes(self) -> list[RawScene]:
        """One scene per clip, sorted by name. Raises UserError if there are none, or if there are several sizes."""
        found = find_folders(self.raw, CLIP, tars=True)
        if not found.places:
            raise UserError(f"{self.raw}: no clip <nnnn>, such as 0000, in folders or archives")
        refuse_several_sizes(self.raw, found)
        return [*(self._scene(name, places) for name, places in found.places.items()), *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera, in the world with x and y swapped if it is mirrored. The principal point stays as it is stored.

        Whether it counts from the corner or the first pixel's center is not published.
        """
        file = self._file(scene, frame, "poses")
        values = read_json(file)
        rows = values.get("extrinsic")
        if not isinstance(rows, list) or [len(row) if isinstance(row, list) else 0 for row in rows] != [4, 4, 4, 4]:
            raise RawFault(file, f"extrinsic is {str(rows)[:40]}, expected 4 lists of 4 numbers")
        world_to_cam = np.array([[number_in(file, "extrinsic", value) for value in row] for row in rows])
        cam_to_world = np.eye(4)
        cam_to_world[:3] = cameras.invert_rigid(right_handed(world_to_cam))
        pinhole = np.array([number_in(file, name, values.get(name)) for name in PINHOLE])
        return RawCamera(cameras.intrinsics_matrix(pinhole), cam_to_world, file)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        camera = self.camera(scene, frame)
        image, _ = read_picture(self._file(scene, frame, "images"))
        depth = read_exr(self._file(scene, frame, "depths"), "Y")
        return RawFrame(camera, image, depth=depth, sky=np.isposinf(depth))

    def _scene(self, name: str, places: tuple[Source, ...]) -> RawScene:
        """Frames are the numbers that images, depths and poses have between them."""
        numbers = {
            file.removesuffix(ending)
            for part, ending in ENDINGS.items()
            for file in names_in(join(places[0], part))
            if re.fullmatch(rf"\d{{4}}{ending}", file)
        }
        return RawScene(name, "train", tuple(sorted(numbers)), tuple(found_twice(places)))

    def _file(self, scene: RawScene, frame: str, part: str) -> Source:
        places = find_folders(self.raw, CLIP, tars=True).places.get(scene.name)
        if not places:
            raise RawFault(self.raw / scene.name, "missing")
        return join(places[0], f"{part}/{frame}{ENDINGS[part]}")


def refuse_several_sizes(raw: Path, found: Folders) -> None:
    """Raise UserError if the clips are there in several sizes: their scenes have the same names."""
    sizes = {size for places in found.places.values() for place in places for size in SIZE.findall(str(place))}
    if len(sizes) > 1:
        raise UserError(
            f"{raw}: holds {' and '.join(sorted(sizes))}; give the folder of one size (published: GTAV_720)"
        )


READER = MvsSynth
