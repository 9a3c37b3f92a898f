"""ScanNet (v2): 1,613 walks through 807 rooms with a tablet and a depth camera, 30 pictures a second.

    RAW/<scans|scans_train|scans_test>/scene<nnnn>_<nn>/
      scene<nnnn>_<nn>.sens                as downloaded: read in place, see `zipmap_pl.preprocess.formats.sens`
    or, as the official exporter writes it:
      color/0.jpg, 1.jpg, ...              8-bit RGB, 1296x968 (two rooms: 640x480)
      depth/0.png, 1.png, ...              16-bit millimetres, 640x480; 0 = unknown
      pose/0.txt, 1.txt, ...               camera to world, 4x4; -inf where tracking was lost
      intrinsic/intrinsic_depth.txt        4x4 (or intrinsics_depth.txt beside the folders, as in scannet_frames_25k)

Such folders may lie at any depth; exported ones also in zips. Where both are there, the .sens is read. Depth is
registered to the pictures: they are brought to its size and take its intrinsics. The test scans (scene0707_00 and later,
and whatever lies in scans_test) become the split test; --splits takes the official lists. Frames without tracking are
passed over: counted and named, but no faults.
"""

import hashlib
import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.convert.match_sizes import registered
from zipmap_pl.preprocess.convert.rectify import HALF
from zipmap_pl.preprocess.formats import sens
from zipmap_pl.preprocess.formats.pictures import decoded_picture, in_units, read_depth_in_16_bits, read_picture
from zipmap_pl.preprocess.formats.sources import (
    Source,
    exists,
    find_folders,
    found_twice,
    join,
    names_in,
    parent,
    read_bytes,
)
from zipmap_pl.preprocess.formats.split_lists import read_split_lists
from zipmap_pl.preprocess.options import option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene

log = logging.getLogger(__name__)

SCAN = re.compile(r".*/(scene\d{4}_\d{2})")
PARTS = {"color": r"(\d+)\.(?:jpe?g|png)", "depth": r"(\d+)\.png", "pose": r"(\d+)\.txt"}  # names below each folder
ENDINGS = {"color": ".jpg", "depth": ".png", "pose": ".txt"}  # as the exporter writes them
INTRINSICS = ("intrinsic/intrinsic_depth.txt", "intrinsics_depth.txt")
EXTRINSICS = ("intrinsic/extrinsic_depth.txt", "intrinsic/extrinsic_color.txt")
FIRST_TEST_ROOM = 707
LISTS = {split: f"scannetv2_{split}.txt" for split in ("train", "val", "test")}
VALUES_PER_METRE = 1000.0  # of exported depth


def listed_splits(folder: Path | None) -> dict[str, str]:
    """Split of each scan that the official lists in a folder name. Raises UserError."""
    return {} if folder is None else read_split_lists("--splits", folder, LISTS, "scene0000_00")


def checksum_of_splits(folder: Path | None) -> str:
    """What the fingerprint has of the official lists."""
    if folder is None:
        return "by scan"
    return hashlib.sha256(repr(sorted(listed_splits(folder).items())).encode()).hexdigest()


INFO = DatasetInfo(
    slug="scannet",
    title="ScanNet (v2)",
    licence="ScanNet Terms of Use (www.scan-net.org): a signed agreement, research only",
    kind="static",
    source="real",
    metres_per_raw_unit=1.0,
    url="http://www.scan-net.org",
    commercial=False,
    raw_size="1.2 TB",
)


@dataclass(frozen=True)
class ScanNet:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        splits: folder of the official lists scannetv2_{train,val,test}.txt; None = by the scan's number and folder.
    """

    raw: Path = raw_folder("folder of scans, as .sens or exported")
    splits: Path | None = option(
        None,
        "folder of scannetv2_{train,val,test}.txt (default: the test scans are test, as in the published training)",
        metavar="FOLDER",
        parse=Path,
        recorded=checksum_of_splits,
    )

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """The official lists, by their checksum."""
        return settings_of(self)

    def scenes(self) -> list[RawScene]:
        """One scene per scan, sorted by name. Raises UserError if there are none, or the lists are unreadable."""
        found = find_folders(self.raw, SCAN)
        if not found.places:
            raise UserError(f"{self.raw}: no scan scene<nnnn>_<nn> in folders or zips")
        listed = listed_splits(self.splits)
        scenes = [self._scene(name, listed) for name in found.places]
        self._warn_of_extrinsics([scene.name for scene in scenes if scene.frames])
        return [*scenes, *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The depth camera."""
        file, folder = self._container(scene.name)
        if file is not None:
            intrinsics = _pinhole(file, sens.read_header(file).depth_intrinsics)
            cam_to_world = sens.read_cam_to_world(file, int(frame))
            return RawCamera(intrinsics, cam_to_world, file, lost=_lost(cam_to_world))
        pose = _exported(folder, "pose", frame)
        cam_to_world = read_matrix(pose)
        return RawCamera(_exported_intrinsics(folder), cam_to_world, pose, lost=_lost(cam_to_world))

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame, at the size of the depth (or of the picture, should that be smaller)."""
        file, folder = self._container(scene.name)
        camera = self.camera(scene, frame)
        if file is not None:
            image, jpeg, depth = _frame_of_sens(file, int(frame))
            return registered(camera, image, jpeg, depth, file)
        picture = _exported(folder, "color", frame)
        image, jpeg = read_picture(picture)
        depth = read_depth_in_16_bits(_exported(folder, "depth", frame), VALUES_PER_METRE)
        return registered(camera, image, jpeg, depth, picture)

    def _scene(self, name: str, listed: dict[str, str]) -> RawScene:
        used, *others = self._places(name)
        left_out = found_twice((used, *others))
        frames: tuple[str, ...] = ()
        try:
            frames, more = self._frames(name)
            left_out += more
        except RawFault as fault:
            left_out.append(LeftOut(fault.file, fault.reason))
        in_test = int(name[5:9]) >= FIRST_TEST_ROOM or Path(str(parent(used))).absolute().name == "scans_test"
        return RawScene(name, listed.get(name, "test" if in_test else "train"), frames, tuple(left_out))

    def _frames(self, name: str) -> tuple[tuple[str, ...], list[LeftOut]]:
        """Frames that are promised (.sens) or of which any part is there (exported)."""
        file, folder = self._container(name)
        if file is not None:
            header = sens.read_header(file)
            if header.frames == 0:
                raise RawFault(file, "promises no frames")
            if header.frames <= sens.MAX_FRAMES:
                return _numbers(header.frames), []
            count = len(sens.frame_index(file).places)
            return _numbers(count), [LeftOut(str(file), f"promises {header.frames} frames, {count} are there")]
        found = [stems(folder, part) for part in PARTS]
        if not any(found):
            raise RawFault(folder, f"neither {name}.sens nor color, depth and pose in it")
        missing = [part for part, names in zip(PARTS, found, strict=True) if not names]
        if missing:
            raise RawFault(f"{folder}/{missing[0]}", "missing, or without frames")
        _intrinsics_file(folder)
        return tuple(sorted({stem for names in found for stem in names}, key=lambda stem: (int(stem), stem))), []

    def _container(self, name: str) -> tuple[Path | None, Source]:
        """The .sens of a scan, if it has one, and its folder."""
        folder = self._places(name)[0]
        if isinstance(folder, Path) and (file := folder / f"{name}.sens").exists():
            return file, folder
        return None, folder

    def _places(self, name: str) -> tuple[Source, ...]:
        """The folders of a scan; the one that is read, the first one with a .sens or else the first, before the others."""
        return _places(name, find_folders(self.raw, SCAN).places.get(name, (self.raw / name,)))

    def _warn_of_extrinsics(self, names: list[str]) -> None:
        """Depth that is not registered to the pictures would be somewhere else than it seems."""
        odd = [name for name in names if not self._is_registered(name)]
        if odd:
            text = "%s: %d scans (%s first) have extrinsics from picture to depth; expected none, they are not applied"
            log.warning(text, self.raw, len(odd), odd[0])

    def _is_registered(self, name: str) -> bool:
        file, folder = self._container(name)
        try:
            if file is not None:
                matrices = list(sens.read_header(file).extrinsics)
            else:
                files = [join(folder, extrinsics) for extrinsics in EXTRINSICS]
                matrices = [read_matrix(extrinsics) for extrinsics in files if exists(extrinsics)]
        except RawFault:
            return True  # unreadable, so unknown, and not needed
        return all(np.allclose(matrix, np.eye(4), atol=1e-6) for matrix in matrices)


def read_matrix(file: Source) -> np.ndarray:
    """The 4x4 numbers of a text file; nan and inf are numbers. Raises RawFault if it holds anything else."""
    try:
        values = np.array([float(word) for word in read_bytes(file).decode("utf-8", "replace").split()])
    except ValueError as error:
        raise RawFault(file, str(error)) from error
    if values.size != 16:
        raise RawFault(file, f"{values.size} numbers, expected a 4x4 matrix")
    return values.reshape(4, 4)


def _lost(cam_to_world: np.ndarray) -> str:
    """Why a frame has no pose, if ScanNet says so: all numbers of the matrix are -inf."""
    return "tracking was lost (the pose is -inf)" if np.isneginf(cam_to_world).all() else ""


@lru_cache(maxsize=12)
def stems(folder: Source, part: str) -> dict[str, str]:
    """Frame -> file's name of the files of one part of an exported scan."""
    matches = (re.fullmatch(PARTS[part], name) for name in names_in(join(folder, part)))
    return {match[1]: match[0] for match in matches if match}


def _frame_of_sens(file: Path, frame: int) -> tuple[np.ndarray, bytes | None, np.ndarray]:
    """Picture, its bytes if they can be kept, depth in metres."""
    header, record = sens.read_header(file), sens.read_record(file, frame)
    image, jpeg = decoded_picture(file, record.picture)
    if image.shape[:2] != header.colour_size:
        found, wanted = (f"{size[1]}x{size[0]}" for size in (image.shape, header.colour_size))
        raise RawFault(file, f"picture is {found}, the header says {wanted}")
    depth = sens.inflate_depth(file, record.depth, header.depth_size)
    return image, jpeg, in_units(depth, header.depth_shift)


def _pinhole(file: Source, matrix: np.ndarray) -> np.ndarray:
    """[3, 3] from the corner, of the raw [4, 4] that counts from the centre of the first pixel."""
    values = [float(matrix[place]) for place in ((0, 0), (1, 1), (0, 2), (1, 2))]
    if not all(0 < value < float("inf") for value in values):
        raise RawFault(file, f"intrinsics of depth fx, fy, cx, cy are {values}, expected numbers above 0")
    return matrix[:3, :3] + HALF


def _numbers(count: int) -> tuple[str, ...]:
    """As the official exporter calls the frames of a .sens."""
    return tuple(str(frame) for frame in range(count))


def _exported(folder: Source, part: str, frame: str) -> Source:
    return join(join(folder, part), stems(folder, part).get(frame, frame + ENDINGS[part]))


def _intrinsics_file(folder: Source) -> Source:
    for name in INTRINSICS:
        if exists(file := join(folder, name)):
            return file
    raise RawFault(f"{folder}/{INTRINSICS[0]}", "missing")


@lru_cache(maxsize=4)
def _exported_intrinsics(folder: Source) -> np.ndarray:
    file = _intrinsics_file(folder)
    return _pinhole(file, read_matrix(file))


@lru_cache(maxsize=64)
def _places(name: str, places: tuple[Source, ...]) -> tuple[Source, ...]:
    """See `ScanNet._places`."""
    return tuple(sorted(places, key=lambda place: not (isinstance(place, Path) and (place / f"{name}.sens").exists())))


READER = ScanNet
