"""Spring: an animated film in stereo, 1920x1080, with disparities at 3840x2160. Metric; by default only the left camera is read.

    RAW/train/<nnnn>/
      frame_left/frame_left_0001.png       8-bit RGB; frames count from 1
      disp1_left/disp1_left_0001.dsp5      HDF5, "disparity": pixels of the image, twice as fine as it; 0 = sky, NaN = unknown
      cam_data/extrinsics.txt              line k, frame k + 1: 4x4 by rows, world to left camera, meters
      cam_data/intrinsics.txt              line k, frame k + 1: fx fy cx cy

The tree may lie in zips as downloaded, one per kind of file, which are read in place. A scene is what one camera sees of a
sequence, <nnnn>/left. Test sequences have no poses and no disparities: they are not listed.

No center of a disparity is the center of a pixel of the image. The published readers take every second one, a quarter of
a pixel beside; here the four around a pixel's center are used where they are of one surface. Sky is kept apart from unknown.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.depth_of import of_disparity
from zipmap_pl.preprocess.convert.match_sizes import depth_at
from zipmap_pl.preprocess.formats.hdf5 import read_hdf5
from zipmap_pl.preprocess.formats.pictures import read_picture
from zipmap_pl.preprocess.formats.sources import Source, find_folders, found_twice, join, names_in, places_of
from zipmap_pl.preprocess.formats.text_rows import numbers_of_row, text_rows
from zipmap_pl.preprocess.options import names, option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene

SEQUENCE = re.compile(r".*/train/(\d{4})")
CAMERAS = {"left": 0.0, "right": 0.065}  # meters to the right of the left one
BASELINE = CAMERAS["right"]
POSES, INTRINSICS = "cam_data/extrinsics.txt", "cam_data/intrinsics.txt"


INFO = DatasetInfo(
    slug="spring",
    title="Spring",
    licence="as its record at DaRUS says (CC BY 4.0 is often quoted, not verified)",
    kind="dynamic",
    source="synthetic",
    metres_per_raw_unit=1.0,
    url="https://spring-benchmark.org",
    commercial=None,
    raw_size="not known",
)


def parse_cameras(text: str) -> tuple[str, ...]:
    """`parse` of --cameras."""
    chosen = names(text)
    if not chosen or not set(chosen) <= set(CAMERAS):
        raise ValueError("expected left, right or both")
    return chosen


@dataclass(frozen=True)
class Spring:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        cameras: which are read.
    """

    raw: Path = raw_folder("folder of train, unpacked or in zips")
    cameras: tuple[str, ...] = option(
        ("left",), "left, right or both (default: %(default)s)", metavar="NAME,NAME", parse=parse_cameras, recorded=list
    )

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """Which cameras are read."""
        return settings_of(self)

    def scenes(self) -> list[RawScene]:
        """One scene per sequence and camera, sorted by name. Raises UserError if there are none."""
        found = find_folders(self.raw, SEQUENCE)
        if not found.places:
            raise UserError(f"{self.raw}: no sequence train/<nnnn> in folders or archives")
        return [*(self._scene(name, side) for name in found.places for side in self.cameras), *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera of one line of each of the two files."""
        sequence, side = scene.name.split("/")
        poses, row = self._part(sequence, POSES), int(frame) - 1
        world_to_cam = numbers_of_row(poses, row, 16, "a 4x4 matrix").reshape(4, 4)
        world_to_cam[0, 3] -= CAMERAS[side]
        cam_to_world = np.eye(4)
        with np.errstate(invalid="ignore"):  # the engine refuses what is not finite
            cam_to_world[:3] = cameras.invert_rigid(world_to_cam)
        intrinsics = numbers_of_row(self._part(sequence, INTRINSICS), row, 4, "fx fy cx cy")
        return RawCamera(cameras.intrinsics_matrix(intrinsics), cam_to_world, poses)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        camera = self.camera(scene, frame)
        sequence, side = scene.name.split("/")
        rgb, disp = (
            join(self._part(sequence, part), f"{part}_{frame}.{ending}") for part, ending in parts_of(side).items()
        )
        image, _ = read_picture(rgb)
        disparity = read_hdf5(disp, "disparity", "f", (None, None))
        (height, width), found = image.shape[:2], disparity.shape
        if found != (2 * height, 2 * width):
            raise RawFault(disp, f"disparity is {found[1]}x{found[0]}, expected twice the image's {width}x{height}")
        disparity = depth_at(disparity, height, width)
        depth = of_disparity(disparity, camera.intrinsics[0, 0], BASELINE)
        return RawFrame(camera, image, depth=depth, sky=disparity == 0)

    def _scene(self, sequence: str, side: str) -> RawScene:
        """Frames are the numbers that images, disparities and lines of poses have between them."""
        name, left_out, numbers = f"{sequence}/{side}", list[LeftOut](), set[str]()
        for part, ending in {**parts_of(side), POSES: "", INTRINSICS: ""}.items():
            places = self._places(sequence, part)
            left_out += found_twice(places)
            if not places:
                left_out.append(
                    LeftOut(str(self.raw / "train" / sequence / part), "missing, in every folder and archive")
                )
            elif ending:
                matches = (re.fullmatch(rf"{part}_(\d{{4}})\.{ending}", file) for file in names_in(places[0]))
                numbers |= {match[1] for match in matches if match}
            elif part == POSES:
                numbers |= {f"{k + 1:04d}" for k in range(_row_count(places[0]))}
        whole = all(self._places(sequence, part) for part in (*parts_of(side), POSES, INTRINSICS))
        return RawScene(name, "train", tuple(sorted(numbers)) if whole else (), tuple(left_out))

    def _part(self, sequence: str, part: str) -> Source:
        """The folder or file of a sequence that is used."""
        places = self._places(sequence, part)
        if not places:
            raise RawFault(self.raw / "train" / sequence / part, "missing")
        return places[0]

    def _places(self, sequence: str, part: str) -> tuple[Source, ...]:
        return places_of(find_folders(self.raw, SEQUENCE).places.get(sequence, ()), part)


def parts_of(side: str) -> dict[str, str]:
    """Folders of the images and disparities of a camera, and the endings of their files."""
    return {f"frame_{side}": "png", f"disp1_{side}": "dsp5"}


def _row_count(file: Source) -> int:
    try:
        return len(text_rows(file))
    except RawFault:
        return 0  # every frame will say so


READER = Spring
