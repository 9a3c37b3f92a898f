"""An index of many frames: seconds to open it, memory of a worker, and time of a draw."""

import argparse
import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
from checks import Check, at_most, memory_of, say

from zipmap_pl.datasets.config import DatasetConfig
from zipmap_pl.datasets.data_module import open_dataset
from zipmap_pl.datasets.format.schema import (
    DATASET_FILE,
    FRAME_COLUMNS,
    FRAME_TEXT_COLUMNS,
    INDEX_FOLDER,
    MAX_NEIGHBOURS,
    SCENE_COLUMNS,
    SCENE_TEXT_COLUMNS,
    SCHEMA_VERSION,
    SHARD_TEXT_COLUMNS,
)
from zipmap_pl.datasets.format.shard_index import pack_text
from zipmap_pl.datasets.loading.mixture import Mixture

OPEN_SECONDS, ANONYMOUS_BYTES, DRAW_SECONDS = 0.5, 50e6, 2e-3
MOST_VIEWS = 48  # of a published sample
RULES = {  # with the settings of the dataset that makes the most work
    "video_or_collection": {"rule": "video_or_collection", "max": 20, "video": 0.8, "block": 24},
    "covisibility_walk": {"rule": "covisibility_walk"},
    "overlap_weighted": {"rule": "overlap_weighted", "repeat": 0.5},
    "covisible_group": {"rule": "covisible_group", "per_view": 2.0},
    "nearby_window": {"rule": "nearby_window", "reach": 8},
    "unordered": {"rule": "unordered"},
}


def index(args: argparse.Namespace, folder: Path) -> list[Check]:
    """Opening, memory and draws of an index of so many frames, and of one a thousand times smaller."""
    checks = []
    for frames in (max(args.frames // 1000, 2 * args.scene), args.frames):
        made = folder / f"index-{frames}"
        generate_index(made, frames, args.scene)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, grown, draws = pool.apply(look_at_index, (str(made), args.draws))
        say(
            f"{frames:,} frames: open {seconds * 1e3:.1f} ms, RssAnon + {grown / 1e6:.1f} MB after {args.draws} draws of each rule"
        )
        checks.append(at_most(f"{frames:,} frames: open, s", seconds, OPEN_SECONDS, "{:.3f}"))
        checks.append(
            at_most(f"{frames:,} frames: a worker's RssAnon grows, MB", grown / 1e6, ANONYMOUS_BYTES / 1e6, "{:.1f}")
        )
        for rule, slowest in draws.items():
            what = f"{frames:,} frames: draw of {MOST_VIEWS} views, {rule}, 99 % below, ms"
            checks.append(at_most(what, slowest * 1e3, DRAW_SECONDS * 1e3, "{:.2f}"))
    return checks


def look_at_index(folder: str, draws: int) -> tuple[float, float, dict[str, float]]:
    """In a fresh process: seconds to open, growth of RssAnon in bytes, and the 99th percentile of a draw's CPU seconds."""
    small = memory_of("self", "RssAnon")
    start = time.perf_counter()
    opened = open_dataset(DatasetConfig(folder))
    seconds = time.perf_counter() - start
    slowest = {}
    for name, sampling in RULES.items():
        mixture = Mixture([type(opened)(DatasetConfig(folder, sampling=sampling), opened.index)])
        times = []
        for number in range(draws):
            generator = np.random.default_rng(number)
            start = time.thread_time()
            mixture.draw(generator, MOST_VIEWS)
            times.append(time.thread_time() - start)
        slowest[name] = float(np.percentile(times, 99))
    return seconds, memory_of("self", "RssAnon") - small, slowest


def generate_index(folder: Path, frames: int, scene: int) -> None:
    """An index of `frames` frames in scenes of `scene` frames, with neighbours; columns that draws do not read are holes."""
    scenes, columns = frames // scene, folder / INDEX_FOLDER
    columns.mkdir(parents=True)
    frames = scenes * scene
    for names, rows in ((FRAME_COLUMNS, frames), (SCENE_COLUMNS, scenes)):
        for name, (dtype, shape) in names.items():
            np.lib.format.open_memmap(columns / f"{name}.npy", "w+", dtype, (rows, *shape))
    for name, values in zip(("neighbours", "neighbour_overlap"), neighbours_of_a_video(scene), strict=True):
        column = np.lib.format.open_memmap(columns / f"frame.{name}.npy", "r+")
        for first in range(0, frames, scene):
            column[first : first + scene] = values
    fill(columns, "scene.first_frame", np.arange(scenes) * scene)
    fill(columns, "scene.frame_count", scene)
    fill(columns, "scene.unit", 1.0)
    for name, rows in (
        *((n, frames) for n in FRAME_TEXT_COLUMNS),
        *((n, scenes) for n in (*SCENE_TEXT_COLUMNS, *SHARD_TEXT_COLUMNS)),
    ):
        packed, offsets = (
            pack_text([f"{row:06d}" for row in range(rows)]) if rows == scenes else (np.zeros(1, np.uint8), None)
        )
        np.save(columns / f"{name}.bytes.npy", packed)
        file = np.lib.format.open_memmap(columns / f"{name}.offsets.npy", "w+", np.int64, (rows + 1,))
        if offsets is not None:
            file[:] = offsets
    info = {"schema_version": SCHEMA_VERSION, "slug": "generated", "licence": "", "splits": ["train"]}
    (folder / DATASET_FILE).write_text(json.dumps(info))


def neighbours_of_a_video(scene: int) -> tuple[np.ndarray, np.ndarray]:
    """[scene, k] neighbours up to k / 2 frames away on both sides, and overlaps that fall with the distance."""
    steps = np.repeat(np.arange(1, MAX_NEIGHBOURS // 2 + 1), 2) * np.tile((1, -1), MAX_NEIGHBOURS // 2)
    neighbours = np.arange(scene)[:, None] + steps
    overlap = np.broadcast_to(250 - 12 * np.abs(steps), neighbours.shape)
    return np.where((neighbours >= 0) & (neighbours < scene), neighbours, -1), overlap


def fill(columns: Path, name: str, values: object) -> None:
    """Write a whole column."""
    np.lib.format.open_memmap(columns / f"{name}.npy", "r+")[:] = values
