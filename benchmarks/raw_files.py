"""The raw files of a frame of every dataset of the zoo, as a loop decodes them that spares everything but the decoding.

Each dataset has one scene of its miniature here (tests/support/miniatures), and how the files of that scene's frames are found.
What a reader does beyond decoding (conversions, checks, cameras) is not in here.
"""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np
import OpenEXR

# Decodes the files of one frame.
Decode = Callable[[], list[np.ndarray]]


@dataclass(frozen=True)
class RawFiles:
    """Where the frames of a scene lie.

    Attributes:
        scale: how many times larger than in the tests the images must be to have the published size, or nearly.
        scene: its name, as the reader lists it.
        layers: patterns of the files below the raw folder, image first, then depth and masks; by name, each frame has one of each.
        frames: instead of patterns, what yields the decoding of one frame after the other from the raw folder.
        opens: a container or a mesh has to be opened for each frame, so that the limit is lower.
    """

    scale: int
    scene: str
    layers: tuple[str, ...] = ()
    frames: Callable[[Path], Iterator[Decode]] | None = None
    opens: bool = False

    def decoders(self, raw: Path) -> list[Decode]:
        """One for each frame of the scene."""
        if self.frames is not None:
            return list(self.frames(raw))
        files = [sorted(raw.glob(pattern)) for pattern in self.layers]
        if not files[0] or len({len(of_layer) for of_layer in files}) != 1:
            raise ValueError(f"{self.scene}: {[len(of_layer) for of_layer in files]} files of {self.layers}")
        return [lambda frame=frame: [decode(file) for file in frame] for frame in zip(*files, strict=True)]


def decode(file: Path) -> np.ndarray:
    """A file's one array, by its ending. Images are BGR, as OpenCV gives them."""
    if file.suffix == ".npy":
        return np.load(file)
    if file.suffix == ".exr":
        return next(iter(OpenEXR.File(str(file), separate_channels=True, num_threads=0).channels().values())).pixels
    if file.suffix in (".hdf5", ".dsp5"):
        with h5py.File(file) as opened:
            return next(iter(opened.values()))[()]
    if file.suffix == ".pfm":
        _, size, _, values = file.read_bytes().split(b"\n", 3)
        return np.frombuffer(values, "<f4").reshape([int(side) for side in size.split()[::-1]])[::-1]
    return cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)


def of_dl3dv(raw: Path) -> Iterator[Decode]:
    """A video's images lie in a zip; there is no depth."""
    file = next(raw.glob("2K/*.zip"))
    with zipfile.ZipFile(file) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        images = {name: archive.read(name) for name in names}

    def read(name: str) -> list[np.ndarray]:
        return [cv2.imdecode(np.frombuffer(images[name], np.uint8), cv2.IMREAD_COLOR)]

    return (lambda name=name: read(name) for name in names)


def of_gta_sfm(raw: Path) -> Iterator[Decode]:
    """All of a sequence lies in one HDF5 file."""
    file = raw / "train/20190124_203632.hdf5"
    with h5py.File(file) as opened:
        numbers = sorted(int(name.removeprefix("image_")) for name in opened if name.startswith("image_"))

    def read(number: int) -> list[np.ndarray]:
        with h5py.File(file) as opened:
            return [cv2.imdecode(opened[f"image_{number}"][()], cv2.IMREAD_COLOR), opened[f"depth_{number}"][()]]

    return (lambda number=number: read(number) for number in numbers)


RAW_FILES = {
    "arkitscenes": RawFiles(
        8,
        "Training/40000001",
        tuple(f"Training/40000001/{part}/*_10[01]*.png" for part in ("vga_wide", "lowres_depth")),
    ),
    "bedlam": RawFiles(
        20,
        "20221013_3_250_batch01hand_static_bigOffice/seq_000000",
        ("*bigOffice/png/seq_000000/*[05].png", "*bigOffice/depth/seq_000000/*.exr"),
    ),
    "blendedmvs": RawFiles(
        8,
        "5a3ca9cb270f0e3f14d0eddb",
        ("BlendedMVS/*/blended_images/????????.jpg", "BlendedMVS/*/rendered_depth_maps/*.pfm"),
    ),
    "co3dv2": RawFiles(
        12,
        "apple/189_20393_38136",
        tuple(
            f"apple/189_20393_38136/{part}"
            for part in ("images/*.jpg", "depths/*.png", "depth_masks/*.png", "masks/*.png")
        ),
    ),
    "dl3dv": RawFiles(10, f"2K/{'2e' * 32}", frames=of_dl3dv),
    "dynamic_replica": RawFiles(
        20,
        "train/009850-3_obj/left",
        tuple(f"train/009850-3_obj_source_left/{part}/*.png" for part in ("images", "depths")),
    ),
    "gta_sfm": RawFiles(10, "train/20190124_203632", frames=of_gta_sfm, opens=True),
    "hypersim": RawFiles(
        11,
        "ai_001_001/cam_00",
        tuple(
            f"ai_001_001/images/scene_cam_00_{part}.hdf5"
            for part in ("final_hdf5/*.color", "geometry_hdf5/*.depth_meters", "geometry_hdf5/*.render_entity_id")
        ),
        opens=True,
    ),
    "kubric": RawFiles(12, "0001", ("0001/0001/frames/*.png", "0001/0001/depths/*.npy")),
    "matrixcity": RawFiles(
        25,
        "small_city/street/test/small_city_road_down_test",
        ("small_city/street/test/*/*.png", "small_city_depth/street/test/*/*.exr"),
    ),
    "matterport3d": RawFiles(
        20,
        "17DRP5sb8fy",
        tuple(f"v1/scans/17DRP5sb8fy/17DRP5sb8fy/undistorted_{part}_images/*" for part in ("color", "depth")),
    ),
    "midair": RawFiles(
        21,
        "Kite_training/sunny/trajectory_3000",
        ("Kite_training/sunny/color_left/*_3000/*.JPEG", "Kite_training/sunny/depth/*_3000/*.PNG"),
    ),
    "mvs_synth": RawFiles(20, "0000", ("GTAV_720/0000/images/*.png", "GTAV_720/0000/depths/*.exr")),
    "omniobject3d": RawFiles(
        17,
        "anise_001",
        tuple(f"blender_renders/anise/anise_001/render/{part}" for part in ("images/*.png", "depths/*.exr")),
    ),
    "pointodyssey": RawFiles(
        15, "train/dancing", tuple(f"train/dancing/{part}" for part in ("rgbs/*.jpg", "depths/*.png"))
    ),
    "scannet": RawFiles(
        10, "scene0001_01", ("scans_train/scene0001_01/color/*.jpg", "scans_train/scene0001_01/depth/*.png")
    ),
    "spring": RawFiles(30, "0001/left", ("spring/train/0001/frame_left/*.png", "spring/train/0001/disp1_left/*.dsp5")),
    "tartanair": RawFiles(
        10,
        "abandonedfactory/Easy/P000",
        tuple(f"abandonedfactory/Easy/P000/{part}" for part in ("image_left/*.png", "depth_left/*.npy")),
    ),
    "tartanground": RawFiles(
        13,
        "AbandonedCable/Data_easy/P000/lcam_front",
        tuple(f"AbandonedCable/Data_easy/P000/{part}_lcam_front/*.png" for part in ("image", "depth")),
    ),
    "unreal4k": RawFiles(60, "00000/0", ("00000/Image0/*.png", "00000/Disp0/*.npy")),
    "vkitti2": RawFiles(
        19,
        "Scene01/clone/Camera_0",
        tuple(f"vkitti_2.0.3_{part}/Scene01/clone/frames/{part}/Camera_0/*" for part in ("rgb", "depth")),
    ),
    "wildrgbd": RawFiles(
        10, "box/scenes/scene_002", tuple(f"box/scenes/scene_002/{part}/*.png" for part in ("rgb", "depth", "masks"))
    ),
}
