"""WildRGB-D: walks with a phone around objects of 46 kinds, with the phone's depth and a mask of the object.

    RAW/<category>/
      nvs_list.json, camera_eval_list.json   {"train": ["scenes/scene_001", ...], "val": [...]}
      scenes/scene_<id>/
        rgb/00000.png                        8-bit RGB
        depth/00000.png                      16-bit millimetres, 0 = unknown
        masks/00000.png                      8 bits, white = the object
        metadata                             JSON: w, h, and K by columns
        cam_poses.txt                        line k, frame k: k, then 4x4 by rows, camera to world

Such folders may lie at any depth, or in zips (joined: `zip -F apple.zip --out whole.zip`), which are read in place. A
scene's name is <category>/scenes/scene_<id>. It is for training if both lists say so, else a test. Of each scene 100
frames are read, evenly spaced, as in the published training, whose intervals count these; --frames takes others.
"""

import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.formats.json_files import number_in, read_json
from zipmap_pl.preprocess.formats.pictures import read_depth_in_16_bits, read_depth_png, read_picture
from zipmap_pl.preprocess.formats.sources import Source, find_folders, found_twice, join, names_in, parent
from zipmap_pl.preprocess.formats.text_rows import numbers_of_row
from zipmap_pl.preprocess.options import names, option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene

log = logging.getLogger(__name__)

SCENE = re.compile(r".*/([^/]+/scenes/scene_[^/]+)")
FRAME = re.compile(r"(\d{5})\.png")
PARTS = ("rgb", "depth", "masks")
POSES = "cam_poses.txt"
LISTS = ("nvs_list.json", "camera_eval_list.json")
EXCLUDED = ("box/scenes/scene_257",)  # not used by the published training
FRAMES = 100
VALUES_PER_METRE = 1000.0
OBJECT = 0.1 * 255  # what is brighter is the object, as in the published training


INFO = DatasetInfo(
    slug="wildrgbd",
    title="WildRGB-D (RGBD Objects in the Wild)",
    licence="MIT as the authors' repository states; the data carry no notice of their own",
    kind="static",
    source="real",
    metres_per_raw_unit=1.0,
    url="https://github.com/wildrgbd/wildrgbd",
    commercial=None,
    raw_size="3.4 TB of zips",
)


@dataclass(frozen=True)
class WildRgbd:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        frames: how many of each scene are read, evenly spaced; all, if it has fewer.
        exclude: scenes that are not read.
    """

    raw: Path = raw_folder("folder of categories, unpacked or zipped")
    frames: int = option(
        FRAMES, "frames of each scene, evenly spaced (default: %(default)s, as in the published training)", metavar="N"
    )
    exclude: tuple[str, ...] = option(
        EXCLUDED,
        "scenes that are not read (default: %(default)s, as in the published training)",
        metavar="NAME,NAME",
        parse=names,
        recorded=sorted,
    )

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise UserError(f"--frames {self.frames}: expected 1 or more")

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """How many frames, and what is not read."""
        return settings_of(self)

    def scenes(self) -> list[RawScene]:
        """Scenes sorted by name. Raises UserError if there are none."""
        found = find_folders(self.raw, SCENE)
        names = [name for name in found.places if name not in self.exclude]
        if not names:
            raise UserError(f"{self.raw}: no scene <category>/scenes/scene_<id> in folders or zips")
        return [*(self._scene(name, found.places[name]) for name in names), *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera; its intrinsics count from the picture's corner, as ARKit's do, from which they seem to come."""
        poses = join(self._folder(scene), POSES)
        return RawCamera(self._metadata(scene).intrinsics, _cam_to_world(poses, int(frame)), poses)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        camera = self.camera(scene, frame)
        rgb, depth, mask = (join(self._folder(scene), f"{part}/{frame}.png") for part in PARTS)
        image, _ = read_picture(rgb)
        metadata = self._metadata(scene)
        if image.shape[:2] != (metadata.height, metadata.width):
            text = f"picture is {image.shape[1]}x{image.shape[0]}, {metadata.file} says {metadata.width:g}x{metadata.height:g}"
            raise RawFault(rgb, text)
        return RawFrame(
            camera, image, depth=read_depth_in_16_bits(depth, VALUES_PER_METRE), object=read_depth_png(mask) > OBJECT
        )

    def _scene(self, name: str, places: tuple[Source, ...]) -> RawScene:
        """Frames are the numbers that pictures, depths and masks have between them."""
        folder, left_out = places[0], found_twice(places)
        try:
            split = _splits(parent(parent(folder))).get(name.split("/", 1)[1])
            if split is None:
                raise RawFault(folder, f"in neither list, {' or '.join(LISTS)}")
        except RawFault as fault:
            return RawScene(name, "train", (), (*left_out, LeftOut(fault.file, fault.reason)))
        matches = (FRAME.fullmatch(file) for part in PARTS for file in names_in(join(folder, part)))
        numbers = sorted({match[1] for match in matches if match})
        places_kept = np.rint(np.linspace(0, len(numbers) - 1, min(self.frames, len(numbers)))).astype(int)
        return RawScene(name, split, tuple(numbers[place] for place in places_kept), tuple(left_out))

    def _metadata(self, scene: RawScene) -> "Metadata":
        return _metadata(join(self._folder(scene), "metadata"))

    def _folder(self, scene: RawScene) -> Source:
        places = find_folders(self.raw, SCENE).places.get(scene.name)
        if not places:
            raise RawFault(self.raw / scene.name, "missing")
        return places[0]


@lru_cache(maxsize=2)
def _splits(category: Source) -> dict[str, str]:
    """Split of each scene that the category's lists name."""
    trained, named = [], set[str]()
    for file in (join(category, name) for name in LISTS):
        lists = read_json(file)
        for split, scenes in lists.items():
            odd = [scene for scene in scenes if not isinstance(scene, str)] if isinstance(scenes, list) else [scenes]
            if odd:
                raise RawFault(file, f"{split} holds {str(odd[0])[:40]}, expected scenes")
            named.update(scenes)
        trained.append(set(lists.get("train", ())))
    return {scene: "train" if all(scene in train for train in trained) else "test" for scene in named}


@dataclass(frozen=True)
class Metadata:
    """The camera in a scene's metadata: intrinsics [3, 3], and the size of the pictures that they are for."""

    file: Source
    intrinsics: np.ndarray
    height: float
    width: float


@lru_cache(maxsize=2)
def _metadata(file: Source) -> Metadata:
    """K stands in the file by columns."""
    values = read_json(file)
    k = values.get("K")
    if not isinstance(k, list) or len(k) != 9:
        raise RawFault(file, f"K is {str(k)[:40]}, expected 9 numbers")
    fx, fy, cx, cy = (number_in(file, "K", k[place]) for place in (0, 4, 6, 7))
    height, width = (number_in(file, side, values.get(side)) for side in ("h", "w"))
    return Metadata(file, cameras.intrinsics_matrix(np.array((fx, fy, cx, cy))), height, width)


def _cam_to_world(file: Source, frame: int) -> np.ndarray:
    """Camera to world [4, 4] of a frame."""
    values = numbers_of_row(file, frame, 17, "the frame's and a 4x4 matrix")
    if values[0] != frame:
        raise RawFault(file, f"line {frame + 1} is of frame {values[0]:g}, expected {frame}")
    return values[1:].reshape(4, 4)


READER = WildRgbd
