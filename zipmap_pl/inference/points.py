"""Which points of a scene are worth showing."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from zipmap_pl.contracts.scene import Scene
from zipmap_pl.geometry.exact_cameras import invert_rigid, transform_points
from zipmap_pl.inference.filters import at_edges, in_sky

SOURCES = ("depth", "head")
MOST_RANKED = 10_000_000  # confidences from which the percentile is taken; of more than that an even sample
LARGEST_CUBE = float(1 << 40)  # number of a cube along an axis; points farther out share the last one

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PointChoice:
    """Which points of a scene are wanted.

    Attributes:
        confidence_percentile: leave out the points whose confidence is below this percentile of all.
        max_points: at most that many, spread evenly over the views.
        edge_angle: leave out the points at depth edges: where the surface would be seen at less than so many degrees. 0 keeps them.
        sky: keep what looks like sky by its color.
        voxel: side of cubes in the scene's unit, of each of which only the most confident point stays; 0 = no cubes.
        source: "depth" = depth and camera; "head" = the local points of the point head, and camera.
    """

    confidence_percentile: float = 20.0
    max_points: int = 1_000_000
    edge_angle: float = 3.0
    sky: bool = True
    voxel: float = 0.0
    source: str = "depth"


USUAL_POINTS = PointChoice()


@dataclass(frozen=True)
class PointCloud:
    """N points of a scene, in the order of the views.

    Attributes:
        points: [N, 3] float32 in the scene's world, OpenCV axes.
        colors: [N, 3] uint8 RGB, those of their pixels.
        confidence: [N] float32.
        views: [N] int32, the view that each comes from.
        pixels: [N, 2] int32, its row and column there, at the model's size.
    """

    points: np.ndarray
    colors: np.ndarray
    confidence: np.ndarray
    views: np.ndarray
    pixels: np.ndarray


def choose_points(scene: Scene, choice: PointChoice = USUAL_POINTS) -> PointCloud:
    """The points of the usable views that are finite and wanted; at least one has to be finite.

    A filter that would leave none is not applied, and the log says so.
    """
    chosen = _wanted(scene, choice)
    places = list(_places(chosen))
    if choice.voxel > 0:
        places = _one_of_each_cube(scene, places, choice)
    places = list(_thinned(places, choice.max_points))
    parts = [_points_at(scene, view, at, choice.source) for view, at in places]
    return PointCloud(
        np.concatenate(parts).astype(np.float32),
        np.concatenate([scene.images[view].reshape(-1, 3)[at] for view, at in places]),
        np.concatenate([scene.confidence[view].reshape(-1)[at] for view, at in places]),
        np.concatenate([np.full(len(at), view, np.int32) for view, at in places]),
        np.concatenate([np.stack(np.unravel_index(at, scene.depth.shape[1:]), 1).astype(np.int32) for _, at in places]),
    )


def _wanted(scene: Scene, choice: PointChoice) -> np.ndarray:
    """[S, h, w] bool."""
    keep = np.stack([_finite(scene, view, choice.source) for view in range(len(scene.names))])
    keep[~scene.usable] = False
    if choice.edge_angle > 0:
        focal = [(float(k[0, 0]), float(k[1, 1])) for k in scene.intrinsics]
        edges = [at_edges(depth, f, choice.edge_angle) for depth, f in zip(scene.depth, focal, strict=True)]
        keep = _fewer(keep, ~np.stack(edges), "depth edges")
    if not choice.sky:
        keep = _fewer(keep, ~np.stack([in_sky(image) for image in scene.images]), "sky")
    ranked = scene.confidence[keep]
    ranked = np.nan_to_num(ranked[:: -(-len(ranked) // MOST_RANKED)])
    threshold = np.percentile(ranked, choice.confidence_percentile)
    for view, confidence in enumerate(scene.confidence):
        keep[view] &= np.nan_to_num(confidence) >= threshold
    return keep


def _finite(scene: Scene, view: int, source: str) -> np.ndarray:
    """[h, w] bool."""
    depth = scene.depth[view] if source == "depth" else scene.local_points[view].sum(axis=-1)
    return np.isfinite(depth)


def _fewer(keep: np.ndarray, good: np.ndarray, what: str) -> np.ndarray:
    fewer = keep & good
    if fewer.any():
        return fewer
    log.warning("all points would be left out as %s; they are kept", what)
    return keep


Places = list[tuple[int, np.ndarray]]  # a view, and the flat indices of its pixels, ascending


def _places(chosen: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for view, mask in enumerate(chosen):
        yield view, np.flatnonzero(mask)


def _thinned(places: Places, budget: int) -> Iterator[tuple[int, np.ndarray]]:
    """One pixel of each of `budget` equal ranges, at random: spread evenly, none twice, and no list of all."""
    total = sum(len(at) for _, at in places)
    if total <= budget:
        yield from places
        return
    edges = np.arange(budget + 1) * total // budget
    ranks = np.random.default_rng(0).integers(edges[:-1], edges[1:])
    start = 0
    for view, at in places:
        low, high = np.searchsorted(ranks, (start, start + len(at)))
        yield view, at[ranks[low:high] - start]
        start += len(at)


def _points_at(scene: Scene, view: int, at: np.ndarray, source: str) -> np.ndarray:
    """World points [n, 3] float64 of pixels [n] of a view."""
    if source == "head":
        local = scene.local_points[view].reshape(-1, 3)[at].astype(np.float64)
    else:
        rows, columns = np.unravel_index(at, scene.depth.shape[1:])
        k, z = scene.intrinsics[view], scene.depth[view].reshape(-1)[at].astype(np.float64)
        local = np.stack([(columns + 0.5 - k[0, 2]) / k[0, 0] * z, (rows + 0.5 - k[1, 2]) / k[1, 1] * z, z], axis=-1)
    return transform_points(invert_rigid(scene.world_to_cam[view]), local)


def _one_of_each_cube(scene: Scene, places: Places, choice: PointChoice) -> Places:
    """The most confident pixel of every cube of the scene."""
    kept, cubes = [], []
    for view, at in places:
        cube = _points_at(scene, view, at, choice.source) / choice.voxel
        cube = np.floor(np.clip(cube, -LARGEST_CUBE, LARGEST_CUBE)).astype(np.int64)
        best = _best_of_each(cube, scene.confidence[view].reshape(-1)[at])
        kept.append((view, at[best]))
        cubes.append(cube[best])
    confidence = np.concatenate([scene.confidence[view].reshape(-1)[at] for view, at in kept])
    best = _best_of_each(np.concatenate(cubes), confidence)
    ends = np.cumsum([len(at) for _, at in kept])
    parts = np.split(best, np.searchsorted(best, ends[:-1]))
    starts = np.r_[0, ends[:-1]]
    return [(view, at[part - start]) for (view, at), part, start in zip(kept, parts, starts, strict=True)]


def _best_of_each(cubes: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The place [m] of the most confident of each cube, ascending. cubes: [n, 3] int64; confidence: [n]."""
    order = np.lexsort((-np.nan_to_num(confidence), cubes[:, 2], cubes[:, 1], cubes[:, 0]))
    begins = np.ones(len(order), bool)
    begins[1:] = (np.diff(cubes[order], axis=0) != 0).any(axis=1)
    return np.sort(order[begins])
