"""Do two folders of shards hold the same, though not the same bytes? Other processors may round a grey level the other way."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zipmap_pl.datasets.format.frame_reader import FrameReader
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.progress import track

CAMERA = 1e-9  # relative, of intrinsics and poses
DEPTH = 0.002  # relative: twice what the coding may be off
GREY_LEVELS = 0.1  # mean difference of two pictures
FEW = 1e-3  # share of the pixels that may be known in one only
NAMED = 20


def compare_datasets(folder: str | Path, other: str | Path) -> list[str]:
    """Compare settings, scenes, frames, and of each frame cameras, depth, masks and picture, all decoded.

    Library versions may differ. Returns one line per difference, the first 20; empty if the two hold the same. Raises
    UserError if one is no complete dataset.
    """
    left, right = ShardIndex.open(folder), ShardIndex.open(other)
    differences = list(_of_contents(left, right))
    if differences:  # frames cannot be matched
        return differences
    for name in ("scene.unit", "scene.metres_per_unit", "scene.raw_from_world"):
        if not np.allclose(left[name], right[name], rtol=CAMERA, atol=CAMERA, equal_nan=True):
            differences.append(f"{name} differs")
    first, second = FrameReader(left), FrameReader(right)
    for row in track(range(left.frame_count), "compare", left.frame_count):
        scene = left.text("scene.name", int(left["frame.scene"][row]))
        where = f"{scene}/{left.text('frame.name', row)}"
        differences += [f"{where}: {what}" for what in _of_frame(first, second, row)]
        if len(differences) > NAMED:
            return [*differences[:NAMED], "... and perhaps more; not all frames were compared"]
    return differences


def _of_contents(left: ShardIndex, right: ShardIndex) -> Iterator[str]:
    for name in ("dataset", "reader", "engine"):
        mine, theirs = left.info["settings"][name], right.info["settings"][name]
        changed = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
        yield from (f"{name}.{key}: {mine.get(key)!r} and {theirs.get(key)!r}" for key in changed)
    for name, count in (("scene.name", "scene_count"), ("frame.name", "frame_count")):
        if getattr(left, count) != getattr(right, count):
            yield f"{getattr(left, count)} and {getattr(right, count)} {name.split('.')[0]}s"
            return
        for row in range(getattr(left, count)):
            if left.text(name, row) != right.text(name, row):
                yield f"{name} {row}: {left.text(name, row)!r} and {right.text(name, row)!r}"
                return
    if not np.array_equal(left["frame.scene"], right["frame.scene"]):
        yield "frames belong to other scenes"


def _of_frame(left: FrameReader, right: FrameReader, row: int) -> Iterator[str]:
    """What differs."""
    one, two = left.read(row), right.read(row)
    if one.image.shape != two.image.shape:
        yield f"picture of {one.image.shape[:2]} and {two.image.shape[:2]} pixels"
        return
    for name in ("intrinsics", "world_to_cam"):
        mine, theirs = getattr(one, name), getattr(two, name)
        if not np.allclose(mine, theirs, rtol=CAMERA, atol=CAMERA):
            yield f"{name} differ by {np.abs(mine - theirs).max():.2g}"
    grey = float(np.abs(one.image.astype(np.int16) - two.image).mean())
    if grey > GREY_LEVELS:
        yield f"pictures differ by {grey:.2f} grey levels"
    known = (one.depth > 0) & (two.depth > 0)
    off = np.abs(one.depth[known] / two.depth[known] - 1)
    if off.size and float(np.quantile(off, 1 - FEW)) > DEPTH:
        yield f"depths differ by {float(off.max()):.2%}"
    layers = {"which depths are known": (one.depth > 0, two.depth > 0), "sky": (one.sky, two.sky)}
    layers |= {name: (getattr(one, name), getattr(two, name)) for name in ("dynamic", "object")}
    for name, (mine, theirs) in layers.items():
        if (mine is None) != (theirs is None):
            yield f"{name}: there in one only"
        elif mine is not None and float((mine != theirs).mean()) > FEW:
            yield f"{name}: another on {float((mine != theirs).mean()):.1%} of the pixels"
