"""The plan: which frame goes to which shard, and each scene's world and unit. Made first; all else follows.

`saved_plan` keeps it in a file.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipmap_pl.datasets.format.schema import (
    INDEX_FOLDER,
    PLAN_FOLDER,
    SIDECAR_FOLDER,
    UNIT_FROM_CAMERAS,
    UNIT_FROM_DEPTH,
    UNIT_IS_ONE,
    shard_path,
    sidecar_path,
    slug_of,
)
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine.frame_checks import usable_cam_to_world
from zipmap_pl.preprocess.engine.raw_changes import Marks, usable_marks
from zipmap_pl.preprocess.engine.settings import fingerprint
from zipmap_pl.preprocess.engine.streams import check_streams, sizes_of, spans, stream_of, with_every_stream
from zipmap_pl.preprocess.raw import RawFault, RawFrame, RawReader, RawScene

PROBED_FRAMES = 16
PROBED_PIXELS = 65536  # of each probed frame, on a regular grid
NOT_OF_SHARDS = ("marks",)  # what a scene's plan holds and no shard depends on
LATER = {
    "streams": (),
    "sizes": "one",
    "stream_sizes": (),
    "marks": (),
}  # of a scene's plan, with what they were before


@dataclass(frozen=True)
class ScenePlan:
    """One scene of the plan.

    Attributes:
        number: place among all scenes, sorted by split; row of the scene columns of the index.
        name: original name.
        slug: short safe name for sample keys.
        split: its split.
        first: place of its first frame among the planned frames of the split.
        frames: original names of all frames, in order.
        size: height, width that its raw pictures must have; None if no probed picture could be read, or they may differ.
        unit: raw units per normalised unit.
        unit_source: see schema.
        world_frame: the frame whose camera is the world; None if no pose is usable, then every frame is a fault.
        raw_from_world: [3, 4], x_raw = R (unit * x) + t.
        metres_per_unit: None where the dataset is not metric.
        troubled: a frame that the plan wanted to look at had a fault that may be fixed; the scene is planned anew while
            the dataset is incomplete.
        streams: as in `RawScene`.
        sizes: likewise.
        stream_sizes: height, width that the raw images of each stream must have, if those of streams may differ.
        marks: ordinal -> what the frame looked like, of those that the plan looked at (`raw_changes`).
    """

    number: int
    name: str
    slug: str
    split: str
    first: int
    frames: tuple[str, ...]
    size: tuple[int, int] | None
    unit: float
    unit_source: int
    world_frame: str | None
    raw_from_world: tuple[tuple[float, ...], ...]
    metres_per_unit: float | None
    troubled: bool
    streams: tuple[tuple[str, int], ...] = ()
    sizes: str = "one"
    stream_sizes: tuple[tuple[int, int] | None, ...] = ()
    marks: tuple[tuple[int, Marks], ...] = ()

    @property
    def raw(self) -> RawScene:
        """The scene as its reader knows it."""
        return RawScene(self.name, self.split, self.frames, streams=self.streams, sizes=self.sizes)

    def stream_of(self, ordinal: int) -> int:
        """Number of the stream that a frame belongs to."""
        return int(stream_of(self.streams, np.array(ordinal)))

    def size_of(self, ordinal: int) -> tuple[int, int] | None:
        """Height, width that the raw image of a frame must have; None = any."""
        return self.stream_sizes[self.stream_of(ordinal)] if self.stream_sizes else self.size

    def written(self) -> dict[str, object]:
        """All fields, but for those that older plans did not have and that say nothing here."""
        return {key: value for key, value in vars(self).items() if key not in LATER or value != LATER[key]}


@dataclass(frozen=True)
class ShardSpan:
    """Frames of one scene in one shard: ordinals from `first` on, as many as `count`."""

    scene: ScenePlan
    first: int
    count: int


@dataclass(frozen=True)
class ShardPlan:
    """One shard: its number among all shards, its path below the dataset folder, and the frames planned for it."""

    number: int
    path: str
    spans: tuple[ShardSpan, ...]

    @property
    def frame_count(self) -> int:
        """Planned frames."""
        return sum(span.count for span in self.spans)

    def digest(self, fingerprint: str) -> str:
        """Hash of all that the plan says about this shard: a shard of another plan is not taken for it."""
        hashed = hashlib.sha256(f"{fingerprint} {self.number} {self.path}".encode())
        for span in self.spans:
            names = span.scene.frames[span.first : span.first + span.count]
            about = {key: value for key, value in span.scene.written().items() if key not in NOT_OF_SHARDS}
            hashed.update(json.dumps({**about, "frames": names, "span": span.first}).encode())
        return hashed.hexdigest()

    def tar(self, output: Path) -> Path:
        """Its tar."""
        return output / self.path

    def sidecar(self, output: Path) -> Path:
        """Its sidecar."""
        return output / sidecar_path(self.path)


@dataclass(frozen=True)
class Plan:
    """The whole plan.

    Attributes:
        settings: `settings.all_settings`.
        scenes: those with frames.
        left_out: what the reader left out while listing scenes, each as (scene, file, reason).
    """

    settings: dict
    scenes: tuple[ScenePlan, ...]
    left_out: tuple[tuple[str, str, str], ...] = ()

    @property
    def fingerprint(self) -> str:
        """Hash of the settings."""
        return fingerprint(self.settings)

    @property
    def splits(self) -> list[str]:
        """Split names, sorted."""
        return sorted({scene.split for scene in self.scenes})

    @property
    def frame_count(self) -> int:
        """Planned frames of all scenes."""
        return sum(len(scene.frames) for scene in self.scenes)

    @property
    def lost_scenes(self) -> list[str]:
        """Names of the scenes of which nothing can be used, sorted."""
        return sorted({scene for scene, _, _ in self.left_out} - {scene.name for scene in self.scenes})

    def shards(self) -> list[ShardPlan]:
        """All shards, split by split; each holds `frames_per_shard` planned frames but the last of its split."""
        shards: list[ShardPlan] = []
        for split in self.splits:
            shards += self._shards_of_split(split, len(shards))
        return shards

    def _shards_of_split(self, split: str, start: int) -> Iterator[ShardPlan]:
        size: int = self.settings["engine"]["frames_per_shard"]
        spans: dict[int, list[ShardSpan]] = {}
        for scene in self.scenes:
            if scene.split != split:
                continue
            place, last = scene.first, scene.first + len(scene.frames)
            while place < last:
                shard = place // size
                count = min((shard + 1) * size, last) - place
                spans.setdefault(shard, []).append(ShardSpan(scene, place - scene.first, count))
                place += count
        for shard, parts in sorted(spans.items()):
            path = shard_path(split, self.settings["dataset"]["slug"], shard)
            yield ShardPlan(start + shard, path, tuple(parts))


def list_scenes(reader: RawReader) -> list[RawScene]:
    """The reader's scenes sorted by split, its own order within; checked. Raises UserError, also if there are none.

    Scenes without frames stay only if they say what was left out.
    """
    if slug_of(reader.info.slug) != reader.info.slug:
        raise UserError(f"dataset slug {reader.info.slug!r}: expected lower-case letters, digits and dashes")
    listed = (scene for scene in reader.scenes() if scene.frames or scene.left_out)
    scenes = sorted(listed, key=lambda scene: scene.split)
    if not any(scene.frames for scene in scenes):
        first = next((f" ({out.file}: {out.reason})" for scene in scenes for out in scene.left_out), "")
        raise UserError(f"the reader found no frames{first}; check the raw folder and the reader's options")
    for split in {scene.split for scene in scenes}:
        if slug_of(split) != split or split in (PLAN_FOLDER, SIDECAR_FOLDER, INDEX_FOLDER):
            raise UserError(
                f"split {split!r}: expected a name of lower-case letters, digits and dashes, not a folder of ours"
            )
    if name := _first_repeated([scene.name for scene in scenes]):
        raise UserError(f"scene {name!r}: the reader lists it more than once; scene names must be unique")
    for scene in scenes:
        if frame := _first_repeated(scene.frames):
            raise UserError(f"scene {scene.name!r}: the reader lists frame {frame!r} more than once")
        _refuse_other_letters(scene)
        check_streams(scene)
    return scenes


def _first_repeated(names: Sequence[str]) -> str | None:
    """A name that is there more than once, or None."""
    return None if len(set(names)) == len(names) else Counter(names).most_common(1)[0][0]


def _refuse_other_letters(scene: RawScene) -> None:
    """Raise UserError for a name that cannot be stored as text: a file's, of letters that are not UTF-8."""
    names = (scene.name, *scene.frames)
    if _is_text("".join(names)):
        return
    name = next(name for name in names if not _is_text(name))
    what = "its name" if name == scene.name else f"the name of frame {ascii(name)}"
    raise UserError(f"scene {ascii(scene.name)}: {what} is not UTF-8; rename the raw files")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def plan_scene(reader: RawReader, scene: RawScene, number: int, first: int) -> ScenePlan:
    """Choose world and unit of one scene; looks at few of its frames."""
    probe = Probe(reader, scene)
    world_frame, raw_from_world = probe.world()
    count = len(scene.frames)
    seen = dict(probe.frames(with_every_stream(probed_places(count), scene.streams, count)))
    size, stream_sizes = sizes_of(scene, seen)
    unit, source = _unit(reader, scene, list(seen.values()))
    metres = reader.info.metres_per_raw_unit
    return ScenePlan(
        number=number,
        name=scene.name,
        slug=slug_of(scene.name),
        split=scene.split,
        first=first,
        frames=tuple(scene.frames),
        size=size,
        unit=unit,
        unit_source=source,
        world_frame=world_frame,
        raw_from_world=tuple(map(tuple, raw_from_world.tolist())),
        metres_per_unit=None if metres is None else metres * unit,
        troubled=probe.troubled,
        streams=tuple((name, int(count)) for name, count in scene.streams),
        sizes=scene.sizes,
        stream_sizes=stream_sizes,
        marks=tuple((place, marks) for place, frame in seen.items() if (marks := usable_marks(frame)) is not None),
    )


@dataclass
class Probe:
    """Looks at frames of a scene; `troubled` afterwards if one of them had a fault that is not usual."""

    reader: RawReader
    scene: RawScene
    troubled: bool = False

    def world(self) -> tuple[str | None, np.ndarray]:
        """The first frame with a usable pose, and its camera-to-world [3, 4]."""
        for frame in self.scene.frames:
            try:
                return frame, usable_cam_to_world(frame, self.reader.camera(self.scene, frame))
            except RawFault as fault:
                self.troubled |= not fault.usual
        return None, np.eye(4)[:3]

    def frames(self, places: list[int]) -> Iterator[tuple[int, RawFrame]]:
        """The frames at these places, by place; those that cannot be used are left out."""
        for place in places:
            try:
                yield place, self.reader.frame(self.scene, self.scene.frames[place])
            except RawFault as fault:
                self.troubled |= not fault.usual


def probed_places(count: int) -> list[int]:
    """Up to 16 evenly spaced places among `count` frames."""
    probes = min(count, PROBED_FRAMES)
    return [k * (count - 1) // max(probes - 1, 1) for k in range(probes)]


def _unit(reader: RawReader, scene: RawScene, probed: list[RawFrame]) -> tuple[float, int]:
    """Median valid depth; without depth, median distance between neighbouring cameras; without motion, 1."""
    depths = [_grid_of_valid(frame) for frame in probed if frame.depth is not None]
    if depths and sum(map(len, depths)) > 0:
        return float(np.median(np.concatenate(depths))), UNIT_FROM_DEPTH
    steps = np.array(list(_steps(reader, scene)))
    steps = steps[steps > 0]
    return (float(np.median(steps)), UNIT_FROM_CAMERAS) if len(steps) else (1.0, UNIT_IS_ONE)


def _grid_of_valid(frame: RawFrame) -> np.ndarray:
    """Valid depths on a regular grid of at most 65,536 pixels, float64."""
    assert frame.depth is not None
    stride = max(1, int(np.ceil(np.sqrt(frame.depth.size / PROBED_PIXELS))))
    depth = frame.depth[::stride, ::stride].astype(np.float64)
    valid = np.isfinite(depth) & (depth > 0)
    if frame.sky is not None and frame.sky.shape == frame.depth.shape:
        valid &= ~frame.sky[::stride, ::stride]
    return depth[valid]


def _steps(reader: RawReader, scene: RawScene) -> Iterator[float]:
    """Distances between the centres of cameras of one stream that follow each other, over usable poses."""
    last, starts = None, {span.start for span in spans(scene.streams, len(scene.frames))}
    for place, frame in enumerate(scene.frames):
        last = None if place in starts else last
        try:
            centre = usable_cam_to_world(frame, reader.camera(scene, frame))[:, 3]
        except RawFault:
            continue
        if last is not None:
            yield float(np.sqrt(np.sum((centre - last) ** 2)))
        last = centre
