"""Dynamic Replica: 524 rendered stereo videos of rooms in which people and animals move, 1280x720, metric.

    RAW/train/                          valid and test likewise; or all in one folder
      frame_annotations_train.jgz       a list of all frames of both cameras: image and depth by path, camera
      <sequence>_source_left/           and _right; other folders in it (flow, masks, trajectories) are not read
        images/<sequence>_source_left-0000.png
        depths/<sequence>_source_left_0000.geometric.png     the bits of half floats, meters, planar

Unpacked or in the zips as downloaded, which are read in place. A scene is <split>/<sequence>/<camera>; `valid` is the split val.
Frames are those of the list, by their number. Sequences of the list that are not there are passed over, so that a part of the
download can be read.

Rotations are for row vectors (PyTorch3D). Forms processed by CUT3R before August 2025 have them transposed; this reader does not
take processed forms. Depths below 0.01 mm, infinity and NaN are unknown.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.convert.axes import pytorch3d_camera
from zipmap_pl.preprocess.formats.pictures import read_picture
from zipmap_pl.preprocess.formats.png_layers import read_half_png
from zipmap_pl.preprocess.formats.pytorch3d import Annotation, annotations_of, kept_frames
from zipmap_pl.preprocess.formats.sources import Source, find_folders, found_twice, join, parent, places_of
from zipmap_pl.preprocess.kept import KeptTable
from zipmap_pl.preprocess.options import names, option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene

log = logging.getLogger(__name__)

FOLDER = re.compile(r".*/([^/]+_source_(?:left|right))")
SPLITS = {"train": "train", "valid": "val", "test": "test"}  # folder -> split
CAMERAS = ("left", "right")
NEAREST = 1e-5  # meters

INFO = DatasetInfo(
    slug="dynamic-replica",
    title="Dynamic Replica",
    licence="CC BY-NC 4.0; the licence is accepted on the project page",
    kind="dynamic",
    source="synthetic",
    metres_per_raw_unit=1.0,
    url="https://dynamic-stereo.github.io",
    commercial=False,
    raw_size="1.8 TB unpacked for training, of which images and depth are needed",
)


@dataclass(frozen=True)
class DynamicReplica:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        cameras: left, right or both.
    """

    raw: Path = raw_folder("folder of train, valid and test, unpacked or in the zips as downloaded")
    cameras: tuple[str, ...] = option(
        ("left",),
        "left, right or both; each is a scene (default: left, as in the published training)",
        metavar="NAME,NAME",
        parse=names,
        recorded=sorted,
    )

    def __post_init__(self) -> None:
        if not self.cameras or not set(self.cameras) <= set(CAMERAS):
            raise UserError(f"--cameras {','.join(self.cameras)}: expected left, right or left,right")

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """Which cameras."""
        return settings_of(self)

    def containers(self) -> list[KeptTable]:
        """The lists of frames."""
        return [kept_frames(file) for file in lists_of(self.raw).values()]

    def scenes(self) -> list[RawScene]:
        """One scene per sequence and camera, sorted by split and name. Raises UserError if there are none."""
        found, lists = find_folders(self.raw, FOLDER), lists_of(self.raw)
        if not lists:
            some = f", though there is {next(iter(found.places))}" if found.places else ""
            raise UserError(
                f"{self.raw}: no frame_annotations_<split>.jgz beside or above the folders of sequences{some}"
            )
        return [*(scene for split in lists for scene in self._scenes(split, lists[split])), *found.unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera: the middle of the first pixel is (0.5, 0.5), as PyTorch3D's own functions have it."""
        return self._annotated(scene, frame)[1]

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        annotation, camera = self._annotated(scene, frame)
        image, _ = read_picture(file := self._file(annotation.image))
        if image.shape[:2] != annotation.size:
            (height, width), there = annotation.size, f"{image.shape[1]}x{image.shape[0]}"
            raise RawFault(file, f"image is {there}, but its entry in the list of frames says {width}x{height}")
        depth = read_half_png(self._file(annotation.depth))
        return RawFrame(camera, image, depth=np.where(np.isfinite(depth) & (depth >= NEAREST), depth, np.float32(0)))

    def _scenes(self, split: str, file: Source) -> Iterator[RawScene]:
        """The sequences of a list that are there, and whether it can be read."""
        try:
            frames = annotations_of(file)
        except RawFault as fault:
            yield RawScene(split, SPLITS[split], (), (LeftOut(fault.file, fault.reason),))
            return
        places, missing, scaled = find_folders(self.raw, FOLDER).places, 0, False
        lost = [LeftOut(str(file), frames.unnamed)] if frames.unnamed else []
        for sequence, camera in frames.sequences:
            if camera not in self.cameras:
                continue
            there = places.get(f"{sequence}_source_{camera}", ())
            missing += not there
            if there:
                of_scene = frames.frames(sequence, camera)
                scaled |= any(frame.scale != 1 for frame in of_scene)
                numbers = tuple(dict.fromkeys(f"{frame.number:04d}" for frame in of_scene))
                left_out = [*lost, *found_twice(there)]
                if twice := len(of_scene) - len(numbers):
                    left_out.append(LeftOut(str(file), f"frames with the number of another one: {twice}"))
                yield RawScene(f"{split}/{sequence}/{camera}", SPLITS[split], numbers, tuple(left_out))
                lost = []
        if missing:
            log.info("%s: %d of its sequences are not there, and not read", file, missing)
        if scaled:
            log.warning("%s: has scales of depth other than 1, which are not applied: nobody does", file)

    def _annotated(self, scene: RawScene, frame: str) -> tuple[Annotation, RawCamera]:
        split, sequence, camera = scene.name.split("/")
        file = lists_of(self.raw).get(split)
        if file is None:
            raise RawFault(self.raw / split / f"frame_annotations_{split}.jgz", "missing")
        found = _by_name(file, sequence, camera).get(frame)
        if found is None:
            raise RawFault(file, f"holds no frame {frame} of {sequence}, {camera}")
        if found.fault:
            raise RawFault(file, found.fault)
        view = found.rotation, found.translation, found.focal, found.principal_point
        if not found.has_viewpoint:
            raise RawFault(file, "a frame has no camera")
        return found, RawCamera(*pytorch3d_camera(*view, found.size, found.unit), file)

    def _file(self, path: str) -> Source:
        """The file of a path that a list tells: its folder may lie anywhere."""
        folder, _, name = path.partition("/")
        places = find_folders(self.raw, FOLDER).places.get(folder)
        if not places or not name:
            raise RawFault(self.raw / (path or "?"), "missing")
        return join(places[0], name)


@lru_cache(maxsize=2)
def lists_of(raw: Path) -> dict[str, Source]:
    """The list of frames of each split that has one: beside the folders of sequences, or above them."""
    folders = [place for places in find_folders(raw, FOLDER).places.values() for place in places]
    beside = dict.fromkeys(parent(folder) for folder in folders)
    tops = tuple(dict.fromkeys([*beside, *(parent(folder) for folder in beside), raw]))
    found = {split: places_of(tops, f"frame_annotations_{split}.jgz") for split in SPLITS}
    return {split: files[0] for split, files in found.items() if files}


@lru_cache(maxsize=4)
def _by_name(file: Source, sequence: str, camera: str) -> dict[str, Annotation]:
    return {f"{frame.number:04d}": frame for frame in annotations_of(file).frames(sequence, camera)}


READER = DynamicReplica
