"""`zipmap preprocess NAME RAW --check`: a look at the first scenes, before a night of work. Nothing is written that stays.

Lists everything, turns at most 64 frames of a few scenes of each split into shards in a temporary folder, and compares how
depth and cameras agree as they are read, with each common mistake undone, and in the other ways that the reader offers
(`alternatives`, see `preprocess.raw.RawReader`).
"""

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from zipmap_pl.datasets.format.frame_reader import FrameReader
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.inspection.agreement import Agreement, read_view, thinned, written_agreements
from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.engine.mistakes import Reading
from zipmap_pl.preprocess.engine.output_folder import TABLES_FOLDER
from zipmap_pl.preprocess.engine.plan import list_scenes
from zipmap_pl.preprocess.engine.readings import BETTER, SceneTable, table_of
from zipmap_pl.preprocess.engine.run import Report, preprocess
from zipmap_pl.preprocess.engine.scene_checks import KEPT_PIXELS
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.engine.streams import first_frames
from zipmap_pl.preprocess.engine.tables import make_tables
from zipmap_pl.preprocess.engine.workers import workers_of
from zipmap_pl.preprocess.kept import kept_in
from zipmap_pl.preprocess.raw import RawReader, RawScene

log = logging.getLogger(__name__)

FRAMES = 64  # of a scene, that are read


@dataclass(frozen=True)
class SceneLook:
    """What the first frames of a scene show.

    Attributes:
        name, split: of the scene.
        frames: that could be used.
        median_depth: in metres, or raw units where the dataset is not metric; NaN without depth.
        step: median distance between cameras that follow each other, likewise.
        unit: "m", or "raw units".
        known, sky: share of the pixels.
        agreement: as every scene is checked while it is written.
        table: the readings; None if no two frames have depth.
    """

    name: str
    split: str
    frames: int
    median_depth: float
    step: float
    unit: str
    known: float
    sky: float
    agreement: Agreement
    table: SceneTable | None


@dataclass(frozen=True)
class Look:
    """What a dry run shows.

    Attributes:
        scenes: scenes and frames by split, of the whole dataset.
        left_out: what the reader left out, as (scene, file, reason).
        report: of the frames that were read.
        gigabytes, hours: that the whole dataset will take; hours of one process.
        looks: the scenes that were read.
    """

    scenes: dict[str, tuple[int, int]]
    left_out: tuple[tuple[str, str, str], ...]
    report: Report
    gigabytes: float
    hours: float
    looks: tuple[SceneLook, ...]

    def better(self) -> list[tuple[str, float]]:
        """Other readings that agree better by 5 points, and by how much on average; the best first."""
        found = []
        for place, name in enumerate(self._names()):
            gains = self._gains(place)
            if sum(gain >= BETTER for gain in gains) > sum(gain <= -BETTER for gain in gains):
                found.append((name, float(np.mean(gains))))
        return sorted(found, key=lambda item: -item[1])

    def undecided(self) -> list[str]:
        """Other readings that agree as well in all scenes: the cameras show no difference."""
        return [n for p, n in enumerate(self._names()) if p and all(abs(g) < BETTER for g in self._gains(p))]

    def tables(self) -> list[SceneTable]:
        """Those of the scenes in which depth and cameras could be compared as they are read."""
        return [look.table for look in self.looks if look.table is not None]

    def _names(self) -> list[str]:
        return [fit.name for fit in self.tables()[0].fits] if self.tables() else []

    def _gains(self, place: int) -> list[float]:
        return [table.gain(place) for table in self.tables()]


@dataclass(frozen=True)
class FirstScenes:
    """A reader of a few scenes of another one."""

    reader: RawReader
    chosen: tuple[RawScene, ...]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.reader, name)

    def containers(self) -> list:
        """None: those that are needed have their tables, or get them when they are read."""
        return []

    def scenes(self) -> list[RawScene]:
        """The chosen scenes."""
        return list(self.chosen)


def look_at(reader: RawReader, settings: EngineSettings, workers: int, scenes: int) -> Look:
    """Look at the first scenes of every split.

    Args:
        reader: the raw data.
        settings: of the engine.
        workers: processes that make the tables of large containers.
        scenes: how many of each split.

    Raises:
        UserError: nothing to read, or no frame that can be used.
    """
    with TemporaryDirectory(prefix="zipmap-check-") as temporary:
        output = Path(temporary) / "read"
        raw = getattr(reader, "raw", None)
        with kept_in(output / TABLES_FOLDER, raw), workers_of(reader, workers) as run:
            make_tables(reader, (1, 1), run)
            listed = list_scenes(reader)
        chosen = tuple(_chosen(listed, scenes))
        start = time.monotonic()
        report = _written(reader, chosen, output, settings)
        seconds = time.monotonic() - start
        others = {}
        for number, (name, other) in enumerate(getattr(reader, "alternatives", dict)().items()):
            folder = Path(temporary) / str(number)
            try:
                _written(other, chosen, folder, settings)
            except UserError:  # poses that are no rotations, say: so it is not that
                log.warning("read with %r, no frame can be used", name)
                continue
            others[name] = ShardIndex.open(folder)
        index = ShardIndex.open(output)
        looks = tuple(_scene_looks(index, others))
        frames = sum(len(scene.frames) for scene in listed)
        return Look(
            _counts(listed),
            tuple((scene.name, out.file, out.reason) for scene in listed for out in scene.left_out),
            report,
            index.info["counts"]["bytes"] / max(index.frame_count, 1) * frames / 1e9,
            seconds / report.frames_planned * frames / 3600,
            looks,
        )


def _counts(scenes: list[RawScene]) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for scene in scenes:
        number, frames = counts.get(scene.split, (0, 0))
        counts[scene.split] = (number + bool(scene.frames), frames + len(scene.frames))
    return counts


def _chosen(scenes: list[RawScene], count: int) -> Iterator[RawScene]:
    """The first frames of the first scenes of every split."""
    taken: dict[str, int] = {}
    for scene in scenes:
        if scene.frames and taken.get(scene.split, 0) < count:
            taken[scene.split] = taken.get(scene.split, 0) + 1
            yield replace(first_frames(scene, FRAMES), left_out=())


def _written(reader: RawReader, chosen: tuple[RawScene, ...], output: Path, settings: EngineSettings) -> Report:
    everything = replace(settings, max_fault_share=1.0)
    return preprocess(FirstScenes(reader, chosen), output, everything, workers=1, accept_disagreement=True)


def _scene_looks(index: ShardIndex, others: dict[str, ShardIndex]) -> Iterator[SceneLook]:
    for scene, agreement in enumerate(written_agreements(index)):
        rows = index.scene_rows(scene)
        if not len(rows):
            continue
        frames = _frames(index, scene)
        alternatives = {name: _frames(other, scene) for name, other in others.items()}
        metric = float(index["scene.metres_per_unit"][scene])
        unit = float(index["scene.unit"][scene]) if math.isnan(metric) else metric
        centres = cameras.invert_rigid(index["frame.world_to_cam"][rows.start : rows.stop])[:, :, 3]
        steps = np.sqrt(np.sum(np.diff(centres, axis=0) ** 2, axis=1))
        depths = np.concatenate([frame.depth[frame.depth > 0] for frame in frames.values()])
        reader = FrameReader(index)
        yield SceneLook(
            index.text("scene.name", scene),
            index.splits[int(index["scene.split"][scene])],
            len(rows),
            float(np.median(depths)) / float(index["scene.unit"][scene]) * unit if depths.size else math.nan,
            float(np.median(steps)) * unit if len(steps) else math.nan,
            "raw units" if math.isnan(metric) else "m",
            float(index["scene.valid_share"][scene]),
            float(np.mean([reader.depth(row)[1].mean() for row in rows])),
            agreement,
            table_of(frames, alternatives) if depths.size and len(frames) > 1 else None,
        )


def _frames(index: ShardIndex, scene: int) -> dict[int, Reading]:
    """The frames of a scene as they were read, by ordinal, thinned."""
    reader, unit = FrameReader(index), float(index["scene.unit"][scene])
    raw_from_world = np.array(index["scene.raw_from_world"][scene])
    found = {}
    for row in index.scene_rows(scene):
        view = thinned(read_view(reader, row), KEPT_PIXELS)
        pose = cameras.raw_cam_to_world(np.array(view.world_to_cam), raw_from_world, unit)
        matrix = cameras.intrinsics_matrix(view.intrinsics)
        square = np.concatenate((pose, [[0.0, 0.0, 0.0, 1.0]]))
        found[int(index["frame.ordinal"][row])] = Reading(view.depth * np.float32(unit), matrix, square)
    return found
