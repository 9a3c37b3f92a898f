"""Procedural scenes with exact depth, masks and cameras: rooms with textured walls, boxes and spheres, still or moving.

    scene = generate_scene(SceneOptions(views=8, width=56, height=56), seed=0, index=3)
    frame = scene.frame(0)          # image, depth, dynamic, sky, camera
    scene.geometry.cast(...)        # the world itself: any ray, at any time

Scene `index` of `seed` is a pure function of (options, seed, index): it depends on no other scene and not on their
number. Room, camera path, still objects and moving objects draw from sources of their own, so that, say, moving objects
can be added to a known room. World as in `ray_casting`; cameras as everywhere (OpenCV, corner origin); unit metre.
"""

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.options import option
from zipmap_pl.preprocess.zoo.synthetic.ray_casting import SKY, WALLS, Geometry, Solid, Texture, camera_rays
from zipmap_pl.preprocess.zoo.synthetic.trajectories import TRAJECTORIES

GENERATOR_VERSION = 1  # raise it when the same options give other pixels
STYLES = ("box", "free")
CLEARANCE = 0.6  # metres between every camera and the surface of every object: about 1 m to its centre
# The box style: the colour of a wall says where one looks.
BOX_COLOURS = {
    "left": (0.75, 0.24, 0.2),
    "right": (0.24, 0.62, 0.27),
    "front": (0.78, 0.7, 0.38),
    "back": (0.25, 0.36, 0.75),
    "floor": (0.48, 0.34, 0.22),
    "ceiling": (0.7, 0.7, 0.7),
}
BOX_LIGHT = (-0.36, -0.48, 0.8)
GROUND_HALF_EXTENT = 40.0  # metres of ground under an open sky
OPEN_SPREAD = 2  # under an open sky the objects stand this much farther apart, three times as many
TRIES = 64  # for a moving object that keeps its distance and is seen ...
ENOUGH_IN_SIGHT = 0.6  # ... in this share of the views


def count(text: str) -> int:
    """A whole number of 0 or more."""
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def width_and_height(text: str) -> tuple[int, int]:
    """A size like 56x56."""
    match = re.fullmatch(r"([0-9]{1,6})[xX]([0-9]{1,6})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write width x height, like 56x56")
    return int(match[1]), int(match[2])


@dataclass(frozen=True)
class SceneOptions:
    """What to generate.

    Attributes:
        views: frames per scene.
        width, height: of the pictures, pixels.
        style: "box" (every wall has its colour, field of view 70 degrees) or "free" (any colours, 60-80 degrees).
        trajectory: a name from `synthetic_trajectories.TRAJECTORIES`.
        moving_objects: objects that move over the frames, beside the still ones (2-5, fewer where the camera passes).
        open_sky: no walls and no ceiling: a wide ground under the sky.
    """

    views: int = option(8, "pictures per scene (default %(default)s)", metavar="N", parse=count)
    width: int = option(
        56, "width x height (default 56x56)", flag="--size", metavar="WxH", parse=width_and_height, also="height"
    )
    height: int = 56
    style: str = option("box", "box: every wall has its own colour (default); free: any colours", choices=STYLES)
    trajectory: str = option("straight", "camera path (default %(default)s)", choices=tuple(TRAJECTORIES))
    moving_objects: int = option(0, "moving objects per scene (default %(default)s)", metavar="N", parse=count)
    open_sky: bool = option(False, "open ground under the sky instead of a room")

    def __post_init__(self) -> None:
        for name, lowest, highest in (
            ("views", 1, 10**6),
            ("width", 2, 8192),
            ("height", 2, 8192),
            ("moving_objects", 0, 32),
        ):
            if not lowest <= getattr(self, name) <= highest:
                raise UserError(f"{name} of synthetic scenes is {getattr(self, name)}; give {lowest} to {highest}.")
        for name, known in (("style", STYLES), ("trajectory", tuple(TRAJECTORIES))):
            if getattr(self, name) not in known:
                raise UserError(f"{name} of synthetic scenes is {getattr(self, name)!r}; known are {', '.join(known)}.")


@dataclass(frozen=True)
class SyntheticFrame:
    """One frame, exact.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        depth: [H, W] float32 planar z in metres; 0 in the sky.
        dynamic: [H, W] bool, pixels of moving objects.
        sky: [H, W] bool, rays that hit nothing.
        surface: [H, W] int16, what is seen: 0..5 the walls in the order of `ray_casting.WALLS`, 6 + k the k-th object,
            -1 sky.
        intrinsics: [3, 3] float64, pixels, corner origin.
        cam_to_world: [4, 4] float64.
        points: [H, W, 3] float64, world points in metres; NaN in the sky.
    """

    image: np.ndarray
    depth: np.ndarray
    dynamic: np.ndarray
    sky: np.ndarray
    surface: np.ndarray
    intrinsics: np.ndarray
    cam_to_world: np.ndarray
    points: np.ndarray


@dataclass(frozen=True, eq=False)
class SyntheticScene:
    """A generated scene; pictures are cast frame by frame, when asked for.

    Attributes:
        options: what was asked for.
        geometry: walls and objects.
        intrinsics: [3, 3] float64, pixels, corner origin; of all views.
        cam_to_world: [N, 4, 4] float64.
    """

    options: SceneOptions
    geometry: Geometry
    intrinsics: np.ndarray
    cam_to_world: np.ndarray

    def __len__(self) -> int:
        return len(self.cam_to_world)

    def time(self, view: int) -> float:
        """Time of a view for the moving objects: 0 at the first, 1 at the last."""
        return view / (len(self) - 1) if len(self) > 1 else 0.0

    def frame(self, view: int) -> SyntheticFrame:
        """Cast one view."""
        size = self.options.height, self.options.width
        pose, time = self.cam_to_world[view], self.time(view)
        directions = camera_rays(self.intrinsics, pose, *size)
        hits = self.geometry.cast(pose[:3, 3], directions, time)
        sky = hits.surface == SKY
        distance = np.where(sky, np.nan, hits.distance)
        points = pose[:3, 3, None] + distance * directions
        colours = self.geometry.colours(points, hits.surface, time)
        if sky.any():
            colours[:, sky] = self.geometry.sky(directions[:, sky])
        return SyntheticFrame(
            image=_to_uint8(colours).reshape(*size, 3),
            depth=np.where(sky, 0, hits.distance).astype(np.float32).reshape(size),
            dynamic=self._is_moving[hits.surface + 1].reshape(size),
            sky=sky.reshape(size),
            surface=hits.surface.reshape(size),
            intrinsics=self.intrinsics,
            cam_to_world=pose,
            points=np.ascontiguousarray(points.T).reshape(*size, 3),
        )

    def frames(self) -> Iterator[SyntheticFrame]:
        """All views in order."""
        return (self.frame(view) for view in range(len(self)))

    @cached_property
    def _is_moving(self) -> np.ndarray:
        """[1 + walls + solids] bool by surface number + 1."""
        return np.array([False] * (1 + len(WALLS)) + [solid.moves for solid in self.geometry.solids])


def generate_scene(options: SceneOptions, seed: int, index: int) -> SyntheticScene:
    """Scene number `index` of `seed` (both 0 or more): the same on every call, in every process."""
    for_room, for_cameras, for_still, for_moving = (
        np.random.default_rng(source) for source in np.random.SeedSequence([seed, index]).spawn(4)
    )
    half_extent = for_room.uniform(4, 8, 2) / 2
    height = for_room.uniform(2.4, 3.4)
    walls, light, field_of_view = _appearance(for_room, options.style)
    intrinsics = _intrinsics(options, field_of_view)
    poses = TRAJECTORIES[options.trajectory](for_cameras, half_extent, height, options.views)
    spread, density = (OPEN_SPREAD, 3) if options.open_sky else (1, 1)
    still = [_solid(for_still, spread * half_extent) for _ in range(density * for_still.integers(2, 6))]
    solids = [solid for solid in still if _clearance(solid, poses) >= CLEARANCE]
    for source in for_moving.spawn(options.moving_objects):
        solids += _moving_solid(source, half_extent, height, poses, intrinsics, options)
    if options.open_sky:
        geometry = Geometry(np.full(2, GROUND_HALF_EXTENT), None, _coarser(walls), tuple(solids), light)
    else:
        geometry = Geometry(half_extent, height, walls, tuple(solids), light)
    return SyntheticScene(options, geometry, intrinsics, poses)


def _appearance(rng: np.random.Generator, style: str) -> tuple[tuple[Texture, ...], np.ndarray, float]:
    """Wall textures, direction to the light, field of view in radians."""
    if style == "box":
        colours = [np.clip(BOX_COLOURS[wall] + rng.normal(0, 0.08, 3), 0.05, 1) for wall in WALLS]
        return tuple(_texture(rng, colour) for colour in colours), np.array(BOX_LIGHT), float(np.radians(70))
    textures = tuple(_texture(rng, rng.uniform(0.15, 0.95, 3)) for _ in WALLS)
    turn, up = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.9)
    level = np.sqrt(1 - up**2)
    return textures, np.array([level * np.cos(turn), level * np.sin(turn), up]), float(np.radians(rng.uniform(60, 80)))


def _texture(rng: np.random.Generator, colour: np.ndarray, finest: float = 0.5, coarsest: float = 2.0) -> Texture:
    """A texture with wavelengths between `finest` and `coarsest` metres."""
    wavelengths = np.exp(rng.uniform(np.log(finest), np.log(coarsest), 2))
    return Texture(
        pattern=str(rng.choice(["checks", "stripes", "waves"])),
        colour=colour,
        darkest=rng.uniform(0.55, 0.9),
        frequency=2 * np.pi / wavelengths,
        phase=rng.uniform(0, 2 * np.pi, 2),
    )


def _coarser(textures: tuple[Texture, ...]) -> tuple[Texture, ...]:
    """The same with waves four times as long: fine ones turn to moire on a ground that is seen far away."""
    return tuple(replace(texture, frequency=texture.frequency / 4) for texture in textures)


def _solid(rng: np.random.Generator, half_extent: np.ndarray) -> Solid:
    """A box on the floor, or a sphere at up to 1.2 m above it, anywhere in the room."""
    texture = _texture(rng, rng.uniform(0.1, 1, 3), 0.25, 0.8)
    if rng.random() < 0.5:
        half_size = np.append(rng.uniform(0.2, 0.55, 2), rng.uniform(0.2, 0.8))
        lift = half_size[2]
    else:
        half_size = np.full(3, rng.uniform(0.2, 0.5))
        lift = half_size[0] + rng.choice([0, 1]) * rng.uniform(0, 1.2)
    shape = "sphere" if np.ptp(half_size) == 0 else "box"
    margin = np.sqrt(half_size[0] ** 2 + half_size[1] ** 2)
    centre = np.append(rng.uniform(-1, 1, 2) * (half_extent - margin), lift)
    return Solid(shape, centre, half_size, rng.uniform(0, np.pi), texture, travel=np.zeros(3))


def _moving_solid(
    rng: np.random.Generator,
    half_extent: np.ndarray,
    height: float,
    poses: np.ndarray,
    intrinsics: np.ndarray,
    options: SceneOptions,
) -> list[Solid]:
    """An object that travels and turns in the room, keeps its distance and is in sight as far as the path allows.

    A list, because it is empty where the cameras leave no room.
    """
    found: list[Solid] = []
    most_in_sight = -1.0
    for _ in range(TRIES):
        at_rest = _solid(rng, half_extent)
        end = _solid(rng, half_extent).centre
        travel = np.append(end[:2] - at_rest.centre[:2], 0)
        travel *= rng.uniform(0.6, 2.0) / np.sqrt(np.sum(travel**2))
        limit = half_extent - at_rest.reach
        last = np.clip(at_rest.centre[:2] + travel[:2], -limit, limit)
        travel[:2] = last - at_rest.centre[:2]
        rise = rng.uniform(0, 0.6) if at_rest.shape == "sphere" else 0.0
        travel[2] = np.clip(rise, 0, max(0, height - at_rest.reach - at_rest.centre[2]))
        turn = rng.uniform(-np.pi, np.pi)
        solid = Solid(at_rest.shape, at_rest.centre, at_rest.half_size, at_rest.yaw, at_rest.texture, travel, turn)
        in_sight = _share_in_sight(solid, poses, intrinsics, options)
        if in_sight > most_in_sight and _clearance(solid, poses) >= CLEARANCE:
            found, most_in_sight = [solid], in_sight
        if most_in_sight >= ENOUGH_IN_SIGHT:
            break
    return found


def _times(poses: np.ndarray) -> np.ndarray:
    return np.arange(len(poses)) / max(1, len(poses) - 1)


def _clearance(solid: Solid, poses: np.ndarray) -> float:
    """Smallest distance in metres between the solid and the cameras [N, 4, 4], each at its own time."""
    return float(solid.distance(poses[:, :3, 3].T, _times(poses)).min())


def _share_in_sight(solid: Solid, poses: np.ndarray, intrinsics: np.ndarray, options: SceneOptions) -> float:
    """Share of the pictures in which the solid's centre lies (occlusion by others not considered)."""
    centres = solid.centre[None, :] + _times(poses)[:, None] * solid.travel
    local = np.sum(poses[:, :3, :3] * (centres - poses[:, :3, 3])[:, :, None], axis=1)
    depth = np.maximum(local[:, 2], 1e-6)
    x = intrinsics[0, 0] * local[:, 0] / depth + intrinsics[0, 2]
    y = intrinsics[1, 1] * local[:, 1] / depth + intrinsics[1, 2]
    inside = (local[:, 2] > 0) & (x > 0) & (x < options.width) & (y > 0) & (y < options.height)
    return float(inside.mean())


def _intrinsics(options: SceneOptions, field_of_view: float) -> np.ndarray:
    """[3, 3] with square pixels, centred; the field of view is that of the longer side."""
    focal = max(options.width, options.height) / 2 / np.tan(field_of_view / 2)
    return np.array([[focal, 0, options.width / 2], [0, focal, options.height / 2], [0, 0, 1]])


def _to_uint8(colours: np.ndarray) -> np.ndarray:
    """[3, P] in 0..1 to [P, 3] uint8."""
    return np.ascontiguousarray((np.clip(colours, 0, 1) * 255 + 0.5).astype(np.uint8).T)
