"""Poses between the poses of a trajectory: positions on the straight line, rotations on the shortest arc (slerp).

The shares of the arc come from a power series in the cosine of its angle, which needs no sine (D. Eberly, "A Fast and
Accurate Algorithm for Computing SLERP", 2011): the same bits on every processor, and exact for small angles too.
"""

import numpy as np

TERMS = 52  # of a series whose terms halve, at the worst, for rotations half a turn apart


def interpolated(times: np.ndarray, poses: np.ndarray, t: float, longest_gap: float) -> np.ndarray | None:
    """The pose [4, 4] at the time t, between its two neighbors in a trajectory.

    Args:
        times: [n] float64, ascending, in any one unit.
        poses: [n, 4, 4] cam_to_world: what is interpolated is where the camera is. Rotations may be a little off.
        t: the time asked for. At a time of the trajectory, its pose is returned as it stands.
        longest_gap: the farthest that two neighbors may be apart, in the unit of `times`.

    Returns:
        None if t is outside the trajectory, not finite, or in a longer gap.
    """
    after = int(np.searchsorted(times, t))  # the first that is not before t; NaN is after all
    if after < len(times) and times[after] == t:
        return np.array(poses[after], np.float64)
    if after in (0, len(times)) or not times[after] - times[after - 1] <= longest_gap:
        return None
    share = float((t - times[after - 1]) / (times[after] - times[after - 1]))
    before, end = np.asarray(poses[after - 1], np.float64), np.asarray(poses[after], np.float64)
    pose = np.eye(4)
    pose[:3, :3] = _matrix(_slerp(_quaternion(before[:3, :3]), _quaternion(end[:3, :3]), share))
    pose[:3, 3] = (1 - share) * before[:3, 3] + share * end[:3, 3]
    return pose


def _slerp(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """The unit quaternion [4] at a share of the arc between two."""
    cosine = float(np.sum(start * end))
    sign, cosine = (-1.0, -cosine) if cosine < 0 else (1.0, cosine)  # q and -q are one rotation: the nearer one
    return _share_of_arc(1 - share, cosine) * start + sign * _share_of_arc(share, cosine) * end


def _share_of_arc(share: float, cosine: float) -> float:
    """sin(share * angle) / sin(angle) for the angle, up to 90 degrees, with that cosine."""
    term = total = share
    for k in range(1, TERMS):
        term *= (share * share - k * k) / (k * (2 * k + 1)) * (cosine - 1)
        total += term
    return total


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    """Unit quaternion [4] = w, x, y, z of a rotation [3, 3], through the largest of the four."""
    (a, b, c), (d, e, f), (g, h, i) = rotation.tolist()
    four = (
        (1 + a + e + i, h - f, c - g, d - b),
        (h - f, 1 + a - e - i, b + d, c + g),
        (c - g, b + d, 1 - a + e - i, f + h),
        (d - b, c + g, f + h, 1 - a - e + i),
    )
    values = np.array(four[int(np.argmax([four[k][k] for k in range(4)]))])
    return values / np.sqrt(np.sum(values * values))


def _matrix(quaternion: np.ndarray) -> np.ndarray:
    w, x, y, z = (quaternion / np.sqrt(np.sum(quaternion * quaternion))).tolist()
    return np.array(
        (
            (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
            (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
            (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
        )
    )
