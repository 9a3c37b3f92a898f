"""Scenes of every kind that datasets consist of, as raw data: exact rooms, seen in other ways.

What a reader of each kind gives is right; `zipmap_pl.preprocess.engine.mistakes` makes it wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from zipmap_pl.preprocess.raw import DatasetInfo, RawCamera, RawFrame, RawScene
from zipmap_pl.preprocess.zoo.synthetic.scenes import SceneOptions, SyntheticScene, generate_scene
from zipmap_pl.preprocess.zoo.synthetic.trajectories import look

INFO = DatasetInfo("kinds", "Kinds of scenes", "Generated; free to use.", "static", "synthetic", 1.0)
Poses = Callable[[np.random.Generator], np.ndarray]


def turning_in_places(rng: np.random.Generator) -> np.ndarray:
    """Panoramas: four places, eight directions at each."""
    places = np.repeat(np.array(((-0.5, -0.4), (0.3, -0.5), (0.5, 0.4), (-0.3, 0.5))), 8, axis=0)
    positions = np.column_stack((places, np.full(32, 1.5)))
    headings = np.tile(np.arange(8) * np.pi / 4, 4) + np.repeat(rng.uniform(0, 0.5, 4), 8)
    return look(positions, headings, np.full(32, -0.1), np.zeros(32))


def anywhere(rng: np.random.Generator) -> np.ndarray:
    """Photos from anywhere in the middle of the room, in any direction and order."""
    positions = rng.uniform((-0.9, -0.9, 1.1), (0.9, 0.9, 1.8), (24, 3))
    return look(positions, rng.uniform(-np.pi, np.pi, 24), rng.uniform(-0.3, 0.1, 24), rng.normal(0, 0.05, 24))


@dataclass(frozen=True)
class KindOfScenes:
    """A reader of scenes of one kind.

    Attributes:
        name: for people.
        options: of the generated rooms.
        poses: other camera poses than the options'.
        known: share of the pixels with depth, scattered.
        masks: whether moving objects are marked.
        source: see `DatasetInfo`.
        frames_per_shard: that the kind is written with.
        scene_count: how many.
    """

    name: str
    options: SceneOptions
    poses: Poses | None = None
    known: float = 1.0
    masks: bool = True
    source: str = "synthetic"
    frames_per_shard: int = 256
    scene_count: int = 4

    @property
    def info(self) -> DatasetInfo:
        return replace(INFO, kind="dynamic" if self.options.moving_objects else "static", source=self.source)

    def settings(self) -> dict[str, object]:
        return {"kind": self.name}

    def scenes(self) -> list[RawScene]:
        counts = [len(_scene(self, k)) for k in range(self.scene_count)]
        return [RawScene(f"s{k}", "train", tuple(f"{f:03d}" for f in range(n))) for k, n in enumerate(counts)]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        generated = _scene(self, int(scene.name[1:]))
        return RawCamera(generated.intrinsics, generated.cam_to_world[int(frame)])

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        return _frame(self, int(scene.name[1:]), int(frame))


@lru_cache(maxsize=64)
def _scene(kind: KindOfScenes, number: int) -> SyntheticScene:
    scene = generate_scene(kind.options, 5, number)
    return scene if kind.poses is None else replace(scene, cam_to_world=kind.poses(np.random.default_rng(number)))


@lru_cache(maxsize=512)
def _frame(kind: KindOfScenes, scene: int, frame: int) -> RawFrame:
    generated = _scene(kind, scene)
    seen = generated.frame(frame)
    known = np.random.default_rng((scene, frame)).random(seen.depth.shape) < kind.known
    return RawFrame(
        RawCamera(generated.intrinsics, generated.cam_to_world[frame]),
        np.zeros_like(seen.image),  # nothing looks at it, and it is soon written
        depth=np.where(known, seen.depth, np.float32(0)),
        dynamic=seen.dynamic if kind.options.moving_objects and kind.masks else None,
    )


WALK = SceneOptions(views=16, width=96, height=72, trajectory="walk")
MOVING = replace(WALK, moving_objects=3)
STILL = KindOfScenes("still", WALK)
SPARSE = KindOfScenes("sparse (2 % of the pixels)", replace(WALK, width=320, height=240), known=0.02, source="real")
UNORDERED = KindOfScenes("unordered", WALK, anywhere)
PANORAMIC = KindOfScenes("panoramic", WALK, turning_in_places)
MASKED = KindOfScenes("moving, with masks", MOVING)
UNMASKED = KindOfScenes("moving, without masks", MOVING, masks=False)
SHORT = KindOfScenes("short shards", SceneOptions(views=4), frames_per_shard=8, scene_count=16)
FAR_APART = KindOfScenes("five frames far apart", SceneOptions(views=5, trajectory="orbit"), scene_count=16)
KINDS = (STILL, SPARSE, UNORDERED, PANORAMIC, MASKED, UNMASKED, SHORT, FAR_APART)
