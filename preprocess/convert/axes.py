"""Axes of raw poses, and the way to OpenCV's: x right, y down, z forward, right-handed, camera to world.

`to_opencv` changes the camera's axes; the world's stay what they are. `pytorch3d_camera`, `unreal_pose` and `right_handed` are
for cameras whose world, unit or order of multiplication is another one, too.
"""

import numpy as np

from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.convert.exact_angles import cosine_and_sine

# Columns: where OpenCV's x, y, z point in the raw camera's axes, so that cam_to_world_opencv = cam_to_world_raw @ AXES.
AXES = {
    "opencv": np.eye(3),
    "opengl": np.diag((1.0, -1.0, -1.0)),  # x right, y up, z back; Blender's and Nerfstudio's too
    "ned": np.array(((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))),  # x forward, y right, z down
    "sensor": np.array(
        ((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
    ),  # x forward, y left, z up; Waymo's, ROS's
    "pytorch3d": np.diag((-1.0, -1.0, 1.0)),  # x left, y up, z forward
}
ISOTROPIC, PER_SIDE = "ndc_isotropic", "ndc_norm_image_bounds"
CENTIMETERS = 100.0  # a meter has


def to_opencv(cam_to_world: np.ndarray, axes: str) -> np.ndarray:
    """The cam_to_world [4, 4] of a camera with the axes `axes`, with OpenCV's axes. What is not finite stays so."""
    turned = np.array(cam_to_world, np.float64)
    with np.errstate(invalid="ignore"):
        turned[:3, :3] = cameras.multiply(turned[:3, :3], AXES[axes])
    return turned


def right_handed(world_to_cam: np.ndarray) -> np.ndarray:
    """A pose [3, 4] or [4, 4] of a left-handed world, in that world with x and y swapped, which is right-handed.

    Only the determinant tells: poses between frames are the same either way. Returns a pose whose determinant is not
    negative (or NaN) unchanged.
    """
    pose = np.array(world_to_cam, np.float64)
    if cameras.determinant(pose[:3, :3]) < 0:
        pose[:3, :2] = pose[:3, 1::-1]
    return pose


def pytorch3d_camera(
    rotation: np.ndarray,
    translation: np.ndarray,
    focal: np.ndarray,
    principal_point: np.ndarray,
    size: tuple[int, int],
    unit: str = PER_SIDE,
) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics [3, 3] and cam_to_world [4, 4] (OpenCV's axes) of a camera as PyTorch3D stores it.

    Args:
        rotation, translation: R [3, 3] and T [3] of row vectors: x_camera = x_world R + T; x left, y up, z forward.
        focal, principal_point: [2], in normalized device coordinates, x left and y up from the image's center.
        size: height, width in pixels.
        unit: the intrinsics' format. "ndc_isotropic": half the shorter side is 1, along both axes;
            "ndc_norm_image_bounds" (PyTorch3D's value where none is given): half of each side is 1 along it.

    Returns:
        intrinsics in pixels from the image's corner; the pose in the unit of T.

    Raises:
        ValueError: another format.
    """
    if unit not in (ISOTROPIC, PER_SIDE):
        raise ValueError(f"intrinsics format {unit!r}, expected {ISOTROPIC!r} or {PER_SIDE!r}")
    middle = np.array((size[1], size[0]), np.float64) / 2
    scale = np.full(2, middle.min()) if unit == ISOTROPIC else middle
    pixels = np.asarray(focal, np.float64) * scale
    center = middle - np.asarray(principal_point, np.float64) * scale
    cam_to_world = np.eye(4)
    with np.errstate(invalid="ignore"):  # the engine refuses what is not finite
        cam_to_world[:3, :3] = rotation
        cam_to_world[:3, 3:] = -cameras.multiply(rotation, np.asarray(translation, np.float64)[:, None])
    return cameras.intrinsics_matrix(np.concatenate((pixels, center))), to_opencv(cam_to_world, "pytorch3d")


def unreal_pose(location: np.ndarray, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The cam_to_world [4, 4] (OpenCV's axes, meters) of a camera in Unreal Engine's world.

    The new world is Unreal's with x right, y down, z forward: (x, y, z) -> (y, -z, x), which also makes it right-handed.

    Args:
        location: [3], centimeters, left-handed: x forward, y right, z up.
        yaw: degrees about z; positive turns right.
        pitch: degrees about the new y; positive tilts up.
        roll: degrees about the new x; positive turns the camera clockwise.
    """
    (cy, sy), (cp, sp), (cr, sr) = (cosine_and_sine(float(angle)) for angle in (yaw, pitch, roll))
    turn = np.array(((cy, 0.0, sy), (0.0, 1.0, 0.0), (-sy, 0.0, cy)))
    tilt = np.array(((1.0, 0.0, 0.0), (0.0, cp, -sp), (0.0, sp, cp)))
    lean = np.array(((cr, -sr, 0.0), (sr, cr, 0.0), (0.0, 0.0, 1.0)))
    x, y, z = np.asarray(location, np.float64).tolist()
    cam_to_world = np.eye(4)
    cam_to_world[:3, :3] = cameras.multiply(cameras.multiply(turn, tilt), lean)
    cam_to_world[:3, 3] = np.array((y, -z, x)) / CENTIMETERS
    return cam_to_world
