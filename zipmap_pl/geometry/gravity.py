"""Which way is down, as the cameras tell: people hold them level far more often than they point them straight ahead."""

import numpy as np

# Weight of the cameras' mean down axis against their x axes. It decides where all of these are parallel.
MEAN_DOWN = 0.01


def estimate_down(world_to_cam: np.ndarray) -> np.ndarray:
    """The direction [3] of gravity in the world, a unit vector, from cameras [S, 3, 4] in OpenCV axes.

    A camera that is not rolled has its x axis in the horizontal plane, wherever it looks, so gravity is the direction to
    which the x axes are most nearly perpendicular. Where they leave that open (a camera that only moves, or nods), it is the
    one nearest to the mean of the cameras' y axes. Cameras with a number that is not finite are left out; without any it
    is the world's y axis.
    """
    axes = world_to_cam[np.isfinite(world_to_cam).all((1, 2))][:, :, :3]  # rows: the cameras' axes in the world
    if not len(axes):
        return np.array([0.0, 1.0, 0.0])
    x, y = axes[:, 0], axes[:, 1]
    mean = y.mean(axis=0)
    length = np.linalg.norm(mean)
    mean = mean / length if length > 1e-6 else y[0]
    _, directions = np.linalg.eigh(x.T @ x / len(x) + MEAN_DOWN * (np.eye(3) - np.outer(mean, mean)))
    down = directions[:, 0]
    return down if down @ mean >= 0 else -down


def turn_between(direction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The smallest rotation [3, 3] that takes one unit vector [3] to another; for opposite ones half a turn about some axis."""
    # Half a turn about the direction itself, then one about the middle between the two: a rotation whatever rounding does.
    middle = direction + target
    if np.linalg.norm(middle) < 1e-9:
        middle = np.cross(direction, [1.0, 0, 0] if abs(direction[0]) < 0.9 else [0, 0, 1.0])
    middle /= np.linalg.norm(middle)
    return (2 * np.outer(middle, middle) - np.eye(3)) @ (2 * np.outer(direction, direction) - np.eye(3))
