"""Ray casting in numpy: a room or an open ground with textured boxes and spheres, exact to rounding.

World: x right, y forward (away from the viewer, towards the back wall), z up, metres; the floor is z = 0 and its centre
the origin. Arrays of points and directions put the component first, [3, P], so that each component lies contiguous in
memory. Algebra is written out per component, without BLAS, whose last bit differs between processors.
"""

from dataclasses import dataclass

import numpy as np

SKY = -1  # the surface number of a ray that hits nothing
WALLS = ("left", "right", "front", "back", "floor", "ceiling")  # surfaces 0..5; two per axis, negative side first
FLOOR = WALLS.index("floor")
# Shading = AMBIENT + DIRECT * cos(angle to the light), down to a half: surfaces in shadow keep their texture.
AMBIENT, DIRECT = 0.75, 0.25
ZENITH, HORIZON = np.array([0.35, 0.55, 0.9]), np.array([0.8, 0.88, 0.95])  # colours of the sky
TINY = 1e-12


@dataclass(frozen=True)
class Texture:
    """A colour and a darker second tone, mixed by a smooth pattern over two surface coordinates.

    Attributes:
        pattern: "checks" (product of sines), "stripes" or "waves".
        colour: [3] RGB in 0..1.
        darkest: the second tone is `darkest * colour`.
        frequency: [2] radians per metre along the two coordinates.
        phase: [2] radians.
    """

    pattern: str
    colour: np.ndarray
    darkest: float
    frequency: np.ndarray
    phase: np.ndarray

    def tone(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Brightness factor [P] in darkest..1 at surface coordinates `u`, `v` [P] in metres."""
        a = self.frequency[0] * u + self.phase[0]
        b = self.frequency[1] * v + self.phase[1]
        if self.pattern == "checks":
            wave = np.sin(a) * np.sin(b)
        elif self.pattern == "stripes":
            wave = np.sin(a + b)
        else:
            wave = np.sin(a + 1.5 * np.sin(b))
        return 1 + (self.darkest - 1) * (0.5 + 0.5 * wave)


@dataclass(frozen=True)
class Solid:
    """An upright box or a sphere, still or moving: its pose is linear in time, 0 at the first frame, 1 at the last.

    Attributes:
        shape: "box" or "sphere".
        centre: [3] metres at time 0.
        half_size: [3] metres; the radius three times for a sphere.
        yaw: radians about +z at time 0.
        texture: its surface; moves with it.
        travel: [3] metres over the whole scene.
        turn: radians over the whole scene.
    """

    shape: str
    centre: np.ndarray
    half_size: np.ndarray
    yaw: float
    texture: Texture
    travel: np.ndarray
    turn: float = 0.0

    @property
    def moves(self) -> bool:
        """Whether its pose depends on time."""
        return bool(np.any(self.travel != 0)) or self.turn != 0

    @property
    def reach(self) -> float:
        """Radius of the sphere around the centre that encloses it, metres."""
        return float(self.half_size[0]) if self.shape == "sphere" else float(np.sqrt(np.sum(self.half_size**2)))

    def centre_at(self, time: float) -> np.ndarray:
        """[3] centre in metres at `time`."""
        return self.centre + time * self.travel

    def turned_in(self, vectors: np.ndarray, time: float | np.ndarray) -> np.ndarray:
        """World vectors [3, ...] in the axes of the solid."""
        return _about_z(vectors, -(self.yaw + time * self.turn))

    def distance(self, points: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Distance [P] in metres from world points [3, P], each at its own time [P], to the solid; 0 inside."""
        local = self.turned_in(points - self.centre[:, None] - times * self.travel[:, None], times)
        if self.shape == "sphere":
            return np.maximum(np.sqrt(_dot(local, local)) - self.half_size[0], 0)
        outside = np.maximum(np.abs(local) - self.half_size[:, None], 0)
        return np.sqrt(_dot(outside, outside))

    def normals(self, local: np.ndarray) -> np.ndarray:
        """Outward unit normals [3, P] in its own axes at surface points `local` [3, P] in its own axes."""
        if self.shape == "sphere":
            return local / self.half_size[0]
        face = np.argmax(np.abs(local) / self.half_size[:, None], axis=0)
        columns = np.arange(local.shape[1])
        normals = np.zeros_like(local)
        normals[face, columns] = np.sign(local[face, columns])
        return normals

    def surface_coordinates(self, local: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The two texture coordinates [P] in metres of surface points and normals in its own axes."""
        if self.shape == "sphere":
            # Longitude would have a seam: two of the three Cartesian coordinates have none.
            return local[0] + local[1], local[2]
        sideways = np.where(normals[0] != 0, local[1], local[0])
        upwards = np.where(normals[2] != 0, local[1], local[2])
        return sideways, upwards


@dataclass(frozen=True)
class Hits:
    """What rays meet first.

    Attributes:
        distance: [P] float64, in lengths of the ray's direction; inf where nothing is hit.
        surface: [P] int16: 0..5 the walls in the order of WALLS, 6 + k the k-th solid, -1 nothing.
    """

    distance: np.ndarray
    surface: np.ndarray


@dataclass(frozen=True)
class Geometry:
    """Everything that a ray can meet, and its colours.

    Attributes:
        half_extent: [2] metres: the floor covers [-x, x] by [-y, y].
        height: of the ceiling, metres; None = no walls and no ceiling, the sky above a ground of `half_extent`.
        wall_textures: one per wall, in the order of WALLS.
        solids: boxes and spheres.
        light: [3] unit vector towards the light.
    """

    half_extent: np.ndarray
    height: float | None
    wall_textures: tuple[Texture, ...]
    solids: tuple[Solid, ...]
    light: np.ndarray

    def cast(self, origin: np.ndarray, directions: np.ndarray, time: float) -> Hits:
        """First hits of rays from `origin` [3], inside the room, along `directions` [3, P] of any length at `time`."""
        distance, surface = self._hit_walls(origin, directions)
        squared_length = _dot(directions, directions)
        for number, solid in enumerate(self.solids, start=len(WALLS)):
            rays, along = _hit_solid(solid, origin, directions, squared_length, time)
            nearer = along < distance[rays]
            distance[rays[nearer]] = along[nearer]
            surface[rays[nearer]] = number
        return Hits(distance, surface)

    def colours(self, points: np.ndarray, surface: np.ndarray, time: float) -> np.ndarray:
        """RGB [3, P] in 0..1 of surface points [3, P], the same from everywhere (Lambert); 0 where `surface` is -1."""
        colours = np.zeros_like(points)
        for number in (np.flatnonzero(np.bincount(surface + 1)) - 1).tolist():
            if number == SKY:
                continue
            rays = np.flatnonzero(surface == number)
            if number < len(WALLS):
                texture, tone = self._wall_tone(number, points[:, rays])
            else:
                solid = self.solids[number - len(WALLS)]
                texture, tone = solid.texture, self._solid_tone(solid, points[:, rays], time)
            for channel in range(3):
                colours[channel, rays] = texture.colour[channel] * tone
        return colours

    def sky(self, directions: np.ndarray) -> np.ndarray:
        """RGB [3, P] float64 in 0..1 of the sky along `directions` [3, P]."""
        height = np.clip(directions[2] / np.sqrt(_dot(directions, directions)), 0, 1) ** 0.5
        return HORIZON[:, None] + (ZENITH - HORIZON)[:, None] * height

    def _hit_walls(self, origin: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.height is None:
            return self._hit_ground(origin, directions)
        low = np.array([-self.half_extent[0], -self.half_extent[1], 0.0])
        high = np.array([self.half_extent[0], self.half_extent[1], self.height])
        distance = np.full(directions.shape[1], np.inf)
        surface = np.full(directions.shape[1], SKY, np.int16)
        for axis in range(3):
            away = directions[axis] > 0
            along = np.where(away, high[axis] - origin[axis], low[axis] - origin[axis]) / _nonzero(directions[axis])
            nearer = (along < distance) & (along > 0)
            distance[nearer] = along[nearer]
            surface[nearer] = 2 * axis + away[nearer]
        return distance, surface

    def _hit_ground(self, origin: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        along = -origin[2] / np.minimum(directions[2], -TINY)
        x, y = origin[0] + along * directions[0], origin[1] + along * directions[1]
        on_ground = (directions[2] < 0) & (np.abs(x) <= self.half_extent[0]) & (np.abs(y) <= self.half_extent[1])
        return np.where(on_ground, along, np.inf), np.where(on_ground, FLOOR, SKY).astype(np.int16)

    def _wall_tone(self, wall: int, points: np.ndarray) -> tuple[Texture, np.ndarray]:
        axis, side = divmod(wall, 2)
        u, v = (points[k] for k in range(3) if k != axis)
        cosine = self.light[axis] * (-1 if side else 1)  # walls face inwards
        texture = self.wall_textures[wall]
        return texture, texture.tone(u, v) * (AMBIENT + DIRECT * cosine)

    def _solid_tone(self, solid: Solid, points: np.ndarray, time: float) -> np.ndarray:
        local = solid.turned_in(points - solid.centre_at(time)[:, None], time)
        normals = solid.normals(local)
        light = solid.turned_in(self.light[:, None], time)
        return solid.texture.tone(*solid.surface_coordinates(local, normals)) * (
            AMBIENT + DIRECT * _dot(normals, light)
        )


def _hit_solid(
    solid: Solid, origin: np.ndarray, directions: np.ndarray, squared_length: np.ndarray, time: float
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers [K] of the rays that enter the solid from outside and the distances [K] at which they do."""
    centre = solid.centre_at(time)
    towards = centre - origin
    # Quadratic of the enclosing sphere: exact for a sphere, a quick sieve for a box.
    half_b = towards[0] * directions[0] + towards[1] * directions[1] + towards[2] * directions[2]
    c = float(np.sum(towards**2)) - solid.reach**2
    discriminant = half_b * half_b - squared_length * c
    rays = np.flatnonzero((discriminant > 0) & (half_b > 0))
    if solid.shape == "sphere":
        along = (half_b[rays] - np.sqrt(discriminant[rays])) / squared_length[rays]
        outside = along > 0
        return rays[outside], along[outside]
    start = solid.turned_in(-towards, time)[:, None]
    step = _nonzero(solid.turned_in(directions[:, rays], time))
    half = solid.half_size[:, None]
    first, second = (-half - start) / step, (half - start) / step
    enter = np.minimum(first, second).max(axis=0)
    leave = np.maximum(first, second).min(axis=0)
    hit = (enter < leave) & (enter > 0)
    return rays[hit], enter[hit]


def camera_rays(intrinsics: np.ndarray, cam_to_world: np.ndarray, height: int, width: int) -> np.ndarray:
    """World directions [3, H*W] float64 through all pixel centres, row by row, with z = 1 in the camera.

    A ray's distance is therefore the planar depth itself. `intrinsics` [3, 3] with corner origin, `cam_to_world` [4,
    4].
    """
    x = (np.arange(width) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (np.arange(height) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
    rotation = cam_to_world[:3, :3]
    directions = np.empty((3, height, width))
    for k in range(3):
        directions[k] = (rotation[k, 0] * x + rotation[k, 2])[None, :] + (rotation[k, 1] * y)[:, None]
    return directions.reshape(3, -1)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _nonzero(values: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) < TINY, TINY, values)


def _about_z(vectors: np.ndarray, angle: float | np.ndarray) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * vectors[0] - sin * vectors[1], sin * vectors[0] + cos * vectors[1], vectors[2]])
