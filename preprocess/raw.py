"""What a reader of raw data hands to the engine: scenes, frames, faults. One reader module per dataset implements `RawReader`."""

from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np


class RawFault(Exception):
    """A frame of the raw data that cannot be used: it is skipped, written down and counted.

    `file` is the raw file (or member of an archive) that is to blame. The reason tells what was found there; where one
    file serves many frames, it does not name the frame, so that people read it once. Never raised for errors of the
    system (disk full, permission, memory): those stop the run.

    A fault is damage and counts against `--max-fault-share`, unless it is `usual`: a frame that the dataset's own description
    says cannot be used, such as one with lost tracking. Then the frame is passed over: skipped, counted and named all the
    same. The reason is then the same for all such frames of a dataset. A file that cannot be decoded is never usual.
    """

    def __init__(self, file: object, reason: str, usual: bool = False) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = str(file)
        self.reason = reason
        self.usual = usual


@dataclass(frozen=True)
class RawCamera:
    """A camera in the raw world.

    Attributes:
        intrinsics: [3, 3] float64, pixels of the raw picture, corner origin (see `zipmap_pl.datasets.format.schema`).
        cam_to_world: [4, 4] float64, OpenCV axes, raw units.
        file: the raw file that the pose is from: named if the pose cannot be used.
        distortion: of the lens: OpenCV's k1, k2, p1, p2 (and k3, ...). The engine takes it out of the pictures.
        lost: why the dataset's own description says that the frame has no pose, such as "tracking was lost"; "" = it has
            one. The frame is passed over (see `RawFault`), but its depth still counts for the unit of the scene.
    """

    intrinsics: np.ndarray
    cam_to_world: np.ndarray
    file: object = None
    distortion: tuple[float, ...] = ()
    lost: str = ""


@dataclass(frozen=True)
class RawFrame:
    """One decoded frame.

    Attributes:
        camera: its camera.
        image: [H, W, 3] uint8 RGB.
        jpeg: the raw file's own bytes where it is a JPEG of exactly `image`, so that it can be kept byte for byte.
        depth: [H, W] float32 planar z in raw units, registered to `image`; 0, negative or non-finite = unknown. None = no depth.
        sky: [H, W] bool, infinitely far. None = the dataset cannot tell sky from unknown.
        dynamic: [H, W] bool, belongs to a moving object. None = the dataset does not say.
        object: [H, W] bool, belongs to the one object that the scene is about. None = the dataset does not say.
        overlaps: names of frames of the scene that see the same, each with the share (0 to 1) of this frame that it sees,
            in any order; at most 32 are kept, the largest. If a frame of the scene has any, they are the neighbours in the
            index, in place of those computed from depth and cameras. None = the dataset does not say.
    """

    camera: RawCamera
    image: np.ndarray
    jpeg: bytes | None = None
    depth: np.ndarray | None = None
    sky: np.ndarray | None = None
    dynamic: np.ndarray | None = None
    object: np.ndarray | None = None
    overlaps: tuple[tuple[str, float], ...] | None = None


@dataclass(frozen=True)
class LeftOut:
    """Something that was left out while scenes were listed: an unreadable archive, a folder found twice, and the like."""

    file: str
    reason: str


# How many sizes the images of a scene may have: one, one per stream, or as many as there are images.
SIZES = ("one", "of streams", "any")


@dataclass(frozen=True)
class RawScene:
    """A scene by name.

    Attributes:
        name: unique in the dataset.
        split: which split it belongs to.
        frames: their names in order; none = nothing of the scene can be used, and `left_out` says why.
        left_out: what cannot be used and is no matter of single frames. Frames that are merely damaged or incomplete
            are listed in `frames`, and `RawReader.frame` raises RawFault for them.
        streams: name and number of frames of each sequence or device, one after the other as they lie in `frames`; none =
            all are one stream. Videos are drawn from one stream, groups of frames that see the same from all.
        sizes: one of `SIZES`. An image of another size than most is a fault.
    """

    name: str
    split: str
    frames: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    streams: tuple[tuple[str, int], ...] = ()
    sizes: str = "one"


@dataclass(frozen=True)
class DatasetInfo:
    """What is true of a whole dataset, known without its raw data.

    Attributes:
        slug, title: short name for files and settings; the name that people know.
        licence: the terms, in a sentence.
        kind: "static" or "dynamic".
        source: "real" or "synthetic".
        metres_per_raw_unit: None = not metric.
        reader_version: raised with each correction after which a reader makes something else of the same raw data, so
            that shards made before it are refused.
        url: where to register for the raw data, or to get them.
        commercial: the licence allows commercial use; None = it does not say, which counts as no.
        raw_size: of what has to be downloaded, in a few words.
    """

    slug: str
    title: str
    licence: str
    kind: str
    source: str
    metres_per_raw_unit: float | None
    reader_version: int = 1
    url: str = ""
    commercial: bool | None = None
    raw_size: str = ""

    def written(self) -> dict[str, object]:
        """The part that dataset.json and the fingerprint hold: all but what only `zipmap datasets` shows."""
        return {name: value for name, value in asdict(self).items() if name not in ("url", "commercial", "raw_size")}


class RawReader(Protocol):
    """Reads one dataset. Instances are sent to worker processes: they hold options and paths, no open files.

    A reader of large containers may also have `containers() -> list[KeptTable]` (`preprocess.kept`): the tables of all its
    containers, which the workers make before `scenes` is called. It looks at names only.

    Where a description leaves more than one reading possible, it may have `alternatives() -> dict[str, RawReader]`: the same
    data read in the other ways, by a name that says how ("--axes opengl"). `zipmap preprocess NAME RAW --check` tries them.
    """

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset: `INFO` of the reader's module, or that with what an option changes."""

    def settings(self) -> dict[str, object]:
        """Every option that changes the bytes written; part of the fingerprint. Plain JSON values: `options.settings_of`."""

    def scenes(self) -> list[RawScene]:
        """All scenes, in a fixed order that does not depend on the file system. Raises UserError if there is nothing to read."""

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera alone, without decoding pictures. Raises RawFault."""

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame. Raises RawFault."""
