"""PointOdyssey (version 1.2): rendered people and animals in motion, videos of up to thousands of frames, 960x540.

    RAW/<train|val|test>/<sequence>/
      rgbs/rgb_00000.jpg
      depths/depth_00000.png      16 bits, 1000/65535 m, planar; 0 is unknown, 65535 the sky
      anno.npz                    intrinsics [T, 3, 3], from the first pixel's center; extrinsics [T, 4, 4], world to camera, meters

Unpacked, or in archives as downloaded (train.tar.gz.partaa and its other parts, val.tar.gz, test.tar.gz), which are read in
place: give the folder of one of the two. Reading through the archives takes some ten minutes, once.

A frame's number is its row in the arrays. The tracks in anno.npz are not read. A scene is a sequence, <split>/<sequence>. Of
the split `train`, the 33 sequences of the published training are read (--all reads every one); `val` and `test` are read whole.

Depth ends at 65535, which is exactly 1,000 m: there it is the sky, or anything farther. The published training cuts what is
*over* 1,000 m, so its skies stay in as 1,000 m. A frame without any depth, whose camera is inside of something, is passed over.
Version 1.0 (its cameras are in annot.npz) has other axes and mirrored images; it is refused.
"""

import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.rectify import HALF
from zipmap_pl.preprocess.formats.npz import read_arrays
from zipmap_pl.preprocess.formats.pictures import read_depth_in_16_bits, read_picture
from zipmap_pl.preprocess.formats.sources import Source, exists, find_folders, found_twice, join, names_in, tar_tables
from zipmap_pl.preprocess.kept import KeptTable
from zipmap_pl.preprocess.options import option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene

log = logging.getLogger(__name__)

SEQUENCE = re.compile(r".*/((?:train|val|test)/[^/]+)")
FRAME = re.compile(r"(?:rgb_(\d{5})\.jpg|depth_(\d{5})\.png)")
CAMERAS, CAMERAS_OF_VERSION_1 = "anno.npz", "annot.npz"
SHAPES = {"intrinsics": (3, 3), "extrinsics": (4, 4)}
VALUES_PER_METER = 65.535
SKY = 1000.0  # meters, the largest value
TRAINED = frozenset(
    (
        *("cnb_dlab_0215_3rd", "cnb_dlab_0215_ego1", "cnb_dlab_0225_3rd", "cnb_dlab_0225_ego1", "dancing"),
        *("dancingroom0_3rd", "footlab_3rd", "footlab_ego1", "footlab_ego2", "girl", "girl_egocentric"),
        *("human_egocentric", "human_in_scene", "human_in_scene1", "kg", "kg_ego1", "kg_ego2", "kitchen_gfloor"),
        *("kitchen_gfloor_ego1", "kitchen_gfloor_ego2", "scene_carb_h_tables", "scene_carb_h_tables_ego1"),
        *("scene_carb_h_tables_ego2", "scene_j716_3rd", "scene_j716_ego1", "scene_j716_ego2"),
        *("scene_recording_20210910_S05_S06_0_3rd", "scene_recording_20210910_S05_S06_0_ego2", "scene1_0129"),
        *("scene1_0129_ego", "seminar_h52_3rd", "seminar_h52_ego1", "seminar_h52_ego2"),
    )
)

INFO = DatasetInfo(
    slug="pointodyssey",
    title="PointOdyssey",
    licence="CC BY-NC-SA 4.0 as the authors' repository states; the download page says MIT: take the stricter one",
    kind="dynamic",
    source="synthetic",
    metres_per_raw_unit=1.0,
    url="https://pointodyssey.com",
    commercial=False,
    raw_size="181 GB compressed: train 135, val 20, test 27",
)


@dataclass(frozen=True)
class PointOdyssey:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        all: every sequence for training is read, not only those of the published training.
    """

    raw: Path = raw_folder("folder with train, val and test, unpacked, or in tars or zips")
    all: bool = option(False, "read every sequence of train (default: the 33 of the published training)")

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """Which sequences."""
        return settings_of(self)

    def containers(self) -> list[KeptTable]:
        """The tables of all tars."""
        return tar_tables(self.raw, SEQUENCE)

    def scenes(self) -> list[RawScene]:
        """One scene per sequence, sorted by name. Raises UserError if there are none."""
        found = find_folders(self.raw, SEQUENCE, tars=True)
        kept = [name for name in found.places if self.all or not name.startswith("train/") or name[6:] in TRAINED]
        if not kept:
            raise UserError(f"{self.raw}: no sequence <train|val|test>/<name> of the published training; see --all")
        if len(kept) < len(found.places):
            log.info("%s: %d sequences of train left out; --all reads them", self.raw, len(found.places) - len(kept))
        return [*(self._scene(name, found.places[name]) for name in kept), *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera in the row that the frame's number says."""
        file = join(self._folder(scene), CAMERAS)
        intrinsics, extrinsics = _cameras(file)
        row = int(frame)
        if row >= len(extrinsics):
            raise RawFault(file, f"{len(extrinsics)} cameras, fewer than frames")
        cam_to_world = np.eye(4)
        with np.errstate(invalid="ignore"):  # the engine refuses what is not finite
            cam_to_world[:3] = cameras.invert_rigid(extrinsics[row])
        return RawCamera(intrinsics[row] + HALF, cam_to_world, file)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        folder = self._folder(scene)
        image, jpeg = read_picture(join(folder, f"rgbs/rgb_{frame}.jpg"))
        file = join(folder, f"depths/depth_{frame}.png")
        depth = read_depth_in_16_bits(file, VALUES_PER_METER)
        if not depth.any():
            raise RawFault(file, "no pixel has depth: the camera is inside of something", usual=True)
        return RawFrame(self.camera(scene, frame), image, jpeg, depth, sky=depth >= np.float32(SKY))

    def _scene(self, name: str, places: tuple[Source, ...]) -> RawScene:
        """Frames are the numbers that images and depths have between them."""
        folder, left_out = places[0], found_twice(places)
        matches = (FRAME.fullmatch(file) for part in ("rgbs", "depths") for file in names_in(join(folder, part)))
        numbers = sorted({match[1] or match[2] for match in matches if match})
        if exists(join(folder, CAMERAS_OF_VERSION_1)) and not exists(join(folder, CAMERAS)):
            reason = f"missing; {CAMERAS_OF_VERSION_1} is of version 1.0, whose cameras differ: get version 1.2"
            left_out, numbers = [*left_out, LeftOut(str(join(folder, CAMERAS)), reason)], []
        return RawScene(name, name.split("/")[0], tuple(numbers), tuple(left_out))

    def _folder(self, scene: RawScene) -> Source:
        places = find_folders(self.raw, SEQUENCE, tars=True).places.get(scene.name)
        if not places:
            raise RawFault(self.raw / scene.name, "missing")
        return places[0]


@lru_cache(maxsize=4)
def _cameras(file: Source) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics [T, 3, 3] and world to camera [T, 4, 4] float64 of a sequence; of its tracks, which are large, nothing is read."""
    found = []
    for (name, shape), values in zip(SHAPES.items(), read_arrays(file, *SHAPES), strict=True):
        if values.dtype.kind != "f" or values.ndim != 3 or values.shape[1:] != shape:
            expected = "x".join(map(str, shape))
            raise RawFault(
                file, f"{name} are {values.dtype}{list(values.shape)}, expected a {expected} matrix per frame"
            )
        found.append(values.astype(np.float64))
    intrinsics, extrinsics = found
    if len(intrinsics) != len(extrinsics):
        raise RawFault(file, f"{len(intrinsics)} intrinsics and {len(extrinsics)} extrinsics, expected as many")
    return intrinsics, extrinsics


READER = PointOdyssey
