"""What a dataset brings to the suite (tests/preprocess/test_every_dataset.py): miniatures of its raw format, and the truth.

A miniature is written from the format's description and shares no code with the reader: no import of
`zipmap_pl.preprocess`. docs/adding-a-dataset.md tells how to make one; `zoo/tartanair.py` is an example.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from miniatures.rooms import View


@dataclass(frozen=True)
class TrueFrame:
    """What the shards must give back of a frame.

    Attributes:
        name: as the reader names it.
        image: [H, W, 3] uint8 RGB, at the raw size.
        intrinsics: [3, 3], pixels of `image`, from the corner of the picture.
        cam_to_world: [4, 4], OpenCV camera axes, in the raw world and its units.
        depth: [H, W] planar, raw units, 0 = unknown or sky; None where the dataset has none.
        sky: [H, W] bool; None = none anywhere.
        dynamic: [H, W] bool; None where the dataset does not say.
        object: [H, W] bool, the one object of the scene; None where the dataset does not say.
        seen: where pictures are rectified (by the engine or the reader), what a camera at the same place with the
            intrinsics [3, 3] that come out sees. Then `intrinsics` is not compared, and `image`, `depth` and `sky` only
            say the size and what there is: picture and depth must be those of `seen`, to the accuracy of resampling.
        stream: number of the stream of its scene, counted over all streams that the reader lists.
    """

    name: str
    image: np.ndarray
    intrinsics: np.ndarray
    cam_to_world: np.ndarray
    depth: np.ndarray | None = None
    sky: np.ndarray | None = None
    dynamic: np.ndarray | None = None
    object: np.ndarray | None = None
    seen: Callable[[np.ndarray], View] | None = None
    stream: int = 0


@dataclass(frozen=True)
class TrueScene:
    """A scene as the reader must list it: name, split, and its usable frames in order."""

    name: str
    split: str
    frames: tuple[TrueFrame, ...]


@dataclass(frozen=True)
class Expected:
    """How a damage must be told: once, by scene, the end of the file's path, and a reason that holds this expression.

    `lost` are the frames that go with it, all others stay; none where something superfluous is left out. `lost_scenes`
    are other scenes that go with it as a whole: those of an archive. A `usual` one is passed over: only for what is unusable
    in undamaged data, because no damage ever is usual. No file is compared then.
    """

    scene: str
    file: str
    reason: str
    lost: tuple[str, ...] = ()
    lost_scenes: tuple[str, ...] = ()
    usual: bool = False


@dataclass(frozen=True)
class Damage:
    """A kind of damage: `harm(raw)` spoils a fresh miniature in the folder `raw` and says what must be reported."""

    kind: str
    harm: Callable[[Path], list[Expected]]
    rare: bool = False  # run by `make test-long` only


@dataclass(frozen=True)
class Miniature:
    """A dataset in the suite.

    Attributes:
        name: the dataset's, as in `zipmap preprocess NAME`.
        variant: what tells it from the dataset's other miniatures.
        write: writes the raw tree into an empty folder and returns all scenes, sorted by split, then as the reader
            lists them. At least one scene of 6 frames or more, and one of fewer than 5 or in another kind of container.
        damages: at least ten that are not rare.
        metres_per_raw_unit: None where the dataset is not metric.
        options: more arguments of `zipmap preprocess NAME RAW`.
        already_lost: what is unusable in the undamaged miniature: `usual` if such data always hold it (lost tracking, say).
        depth_tolerance: relative; more than 0.001 only where the raw format itself is coarser, and say why.
        picture_tolerance: mean difference in grey levels; more than the default where raw pictures are lossy.
        agreement: share of pixels within 2 % when depth is carried into another frame; None without depth.
    """

    name: str
    write: Callable[[Path], list[TrueScene]]
    damages: tuple[Damage, ...]
    metres_per_raw_unit: float | None = 1.0
    options: tuple[str, ...] = ()
    already_lost: tuple[Expected, ...] = ()
    depth_tolerance: float = 0.001
    picture_tolerance: float = 0.0
    agreement: float | None = 0.9
    variant: str = ""

    @property
    def id(self) -> str:
        """Name and variant: its name in tests, and in the golden numbers of its dataset."""
        return f"{self.name}_{self.variant}" if self.variant else self.name
