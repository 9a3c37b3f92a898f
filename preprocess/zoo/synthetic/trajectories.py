"""Camera paths through a synthetic room: a straight path, an orbit, a hand-held walk.

World as in `ray_casting`: x right, y forward, z up, metres. A heading of 0 looks along +y at the back wall; positive
turns left.
"""

from collections.abc import Callable

import numpy as np

WALL_MARGIN = 0.35  # metres that every camera keeps from the walls


def look(positions: np.ndarray, headings: np.ndarray, pitches: np.ndarray, rolls: np.ndarray) -> np.ndarray:
    """Poses cam_to_world [N, 4, 4] float64, OpenCV axes, from positions [N, 3] in metres and angles [N] in radians.

    Pitch is positive upwards; roll turns the camera clockwise about its viewing direction.
    """
    ch, sh, cp, sp = np.cos(headings), np.sin(headings), np.cos(pitches), np.sin(pitches)
    zero = np.zeros_like(ch)
    forward = np.stack([-sh * cp, ch * cp, sp], axis=1)
    level_right = np.stack([ch, sh, zero], axis=1)
    level_down = np.stack([-sh * sp, ch * sp, -cp], axis=1)
    cr, sr = np.cos(rolls)[:, None], np.sin(rolls)[:, None]
    poses = np.zeros((len(positions), 4, 4))
    poses[:, :3, 0] = cr * level_right + sr * level_down
    poses[:, :3, 1] = cr * level_down - sr * level_right
    poses[:, :3, 2] = forward
    poses[:, :3, 3] = positions
    poses[:, 3, 3] = 1
    return poses


def straight(rng: np.random.Generator, half_extent: np.ndarray, height: float, views: int) -> np.ndarray:
    """A straight path of 0.6-1.6 m in the front half of the room, turning by 15-60 degrees, with jitter in every view.

    The path of the demonstration: the back wall, or what stands left and right of it, is always in sight.
    """
    progress = _progress(views) - 0.5
    start = np.array([0.0, -0.35 * half_extent[1], rng.uniform(1.2, 1.8)])
    direction = rng.uniform(0, 2 * np.pi)
    along = rng.uniform(0.6, 1.6) * np.array([np.cos(direction), np.sin(direction), 0])
    positions = start + progress[:, None] * along + rng.normal(0, 0.08, (views, 3))
    turn = np.radians(rng.uniform(15, 60)) * rng.choice([-1, 1])
    heading = np.radians(rng.uniform(-20, 20)) + progress * turn + np.radians(rng.normal(0, 3, views))
    pitch = np.radians(-5 + rng.normal(0, 3) + rng.normal(0, 3, views))
    roll = np.radians(rng.normal(0, 1.7, views))
    return look(_inside(positions, half_extent, height), heading, pitch, roll)


def orbit(rng: np.random.Generator, half_extent: np.ndarray, height: float, views: int) -> np.ndarray:
    """An arc of 60-330 degrees around the middle of the room, all views looking at one point there."""
    radius = rng.uniform(0.7, 0.9) * (min(half_extent) - WALL_MARGIN)
    target = np.array([*rng.uniform(-0.2, 0.2, 2), rng.uniform(0.7, 1.2)])
    arc = np.radians(rng.uniform(60, 330)) * rng.choice([-1, 1])
    angle = rng.uniform(0, 2 * np.pi) + arc * _progress(views)
    positions = np.stack(
        [radius * np.cos(angle), radius * np.sin(angle), np.full(views, rng.uniform(1.1, 1.7))], axis=1
    )
    positions = _inside(positions, half_extent, height)
    sight = target - positions
    heading = np.arctan2(-sight[:, 0], sight[:, 1])
    pitch = np.arctan2(sight[:, 2], np.hypot(sight[:, 0], sight[:, 1]))
    return look(positions, heading, pitch, np.zeros(views))


def walk(rng: np.random.Generator, half_extent: np.ndarray, height: float, views: int) -> np.ndarray:
    """A camera in the hand of a person who walks: some 5 cm and 2 degrees from view to view, with a slight tremor.

    View i does not depend on the number of views: a longer walk goes on where a shorter one ends.
    """
    step = np.arange(views)
    eye_height = rng.uniform(1.3, 1.7)
    room = 0.6 * half_extent

    def sway(amplitude: float, steps_per_turn: float) -> np.ndarray:
        return amplitude * np.sin(2 * np.pi * step / steps_per_turn + rng.uniform(0, 2 * np.pi))

    across = sway(room[0], rng.uniform(0.9, 1.1) * 120 * room[0])
    along = sway(room[1], rng.uniform(0.9, 1.1) * 170 * room[1])
    positions = np.stack([across, along, eye_height + sway(0.03, 9.0) + sway(0.05, 70.0)], axis=1)
    heading = rng.uniform(-np.pi, np.pi) + sway(1.2, 160.0) + sway(0.25, 37.0) + sway(0.02, 6.3)
    pitch = np.radians(-8) + sway(0.12, 53.0) + sway(0.015, 5.1)
    return look(_inside(positions, half_extent, height), heading, pitch, sway(0.03, 41.0) + sway(0.01, 4.7))


TRAJECTORIES: dict[str, Callable[[np.random.Generator, np.ndarray, float, int], np.ndarray]] = {
    "straight": straight,
    "orbit": orbit,
    "walk": walk,
}


def _progress(views: int) -> np.ndarray:
    """Place [views] of every view on its path, 0 to 1; a single view stands in the middle."""
    return np.linspace(0, 1, views) if views > 1 else np.array([0.5])


def _inside(positions: np.ndarray, half_extent: np.ndarray, height: float) -> np.ndarray:
    limit = half_extent - WALL_MARGIN
    low, high = np.array([-limit[0], -limit[1], WALL_MARGIN]), np.array([limit[0], limit[1], height - WALL_MARGIN])
    return np.clip(positions, low, high)
