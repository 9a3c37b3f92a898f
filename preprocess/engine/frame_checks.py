"""What must be true of a raw frame before it is written; a failed check is a `RawFault` that tells the value found."""

import numpy as np

from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.raw import RawCamera, RawFault, RawFrame

ROTATION_TOLERANCE = 1e-3
SKEW_TOLERANCE = 1e-6
FARTHEST = 1e12  # raw units from the origin; squares of what is far beyond are no numbers
FOCAL_RANGE = (0.05, 100.0)  # of the longer side


def usable_cam_to_world(file: str, camera: RawCamera) -> np.ndarray:
    """The camera-to-world [3, 4] float64 with the nearest exact rotation.

    Raises:
        RawFault: not finite, out of all proportion, or not a rotation to 1e-3; a usual one if the camera is lost.
    """
    file = str(camera.file or file)
    if camera.lost:
        raise RawFault(file, camera.lost, usual=True)
    cam_to_world = np.asarray(camera.cam_to_world, np.float64)
    if cam_to_world.shape != (4, 4):
        raise RawFault(file, f"pose has shape {list(cam_to_world.shape)}, expected [4, 4]")
    if not np.isfinite(cam_to_world).all():
        raise RawFault(file, f"pose holds {cam_to_world[~np.isfinite(cam_to_world)][0]}, expected finite numbers")
    rotation = cam_to_world[:3, :3]
    if (far := float(np.abs(cam_to_world).max())) > FARTHEST:
        raise RawFault(file, f"pose holds {far:.3g}, expected at most {FARTHEST:g}")
    error, determinant = cameras.rotation_error(rotation), cameras.determinant(rotation)
    scale = abs(determinant) ** (1 / 3)
    if error > ROTATION_TOLERANCE and scale and cameras.rotation_error(rotation / scale) <= ROTATION_TOLERANCE:
        raise RawFault(file, f"pose is a rotation times {scale:.6g}, expected a rotation and a translation")
    if error > ROTATION_TOLERANCE:
        raise RawFault(file, f"pose is no rotation: orthonormal only to {error:.2g}, expected {ROTATION_TOLERANCE:g}")
    if determinant < 0:
        raise RawFault(file, f"pose is no rotation: determinant {determinant:.3f}, expected +1 (a mirrored axis?)")
    return np.concatenate((cameras.nearest_rotation(rotation), cam_to_world[:3, 3:4]), axis=1)


def usable_intrinsics(file: str, camera: RawCamera, height: int, width: int) -> np.ndarray:
    """Intrinsics fx, fy, cx, cy [4] float64 of a picture of this size.

    Raises:
        RawFault: not finite, skewed, a focal length out of all proportion, or a principal point outside of the picture.
    """
    matrix = np.asarray(camera.intrinsics, np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise RawFault(file, f"intrinsics are {matrix.tolist()}, expected a finite 3x3 matrix")
    fx, fy, cx, cy = (float(matrix[place]) for place in ((0, 0), (1, 1), (0, 2), (1, 2)))
    if abs(matrix[0, 1]) > SKEW_TOLERANCE * abs(fx) or abs(matrix[1, 0]) > SKEW_TOLERANCE * abs(fy):
        raise RawFault(file, f"intrinsics are skewed by {matrix[0, 1]:g}, expected 0")
    low, high = (share * max(height, width) for share in FOCAL_RANGE)
    if not (low <= fx <= high and low <= fy <= high):
        raise RawFault(
            file, f"focal lengths {fx:g}, {fy:g} do not fit a picture of {width}x{height}; expected {low:g} to {high:g}"
        )
    if not (0 < cx < width and 0 < cy < height):
        raise RawFault(file, f"principal point {cx:g}, {cy:g} is outside of the picture of {width}x{height}")
    return np.array((fx, fy, cx, cy))


def usable_distortion(file: str, camera: RawCamera) -> None:
    """Distortion is finite and has as many numbers as OpenCV knows: 0, 4, 5, 8. Raises RawFault."""
    values = camera.distortion
    if len(values) not in (0, 4, 5, 8) or not np.isfinite(np.array(values, np.float64)).all():
        raise RawFault(camera.file or file, f"lens distortion is {list(values)}, expected 4, 5 or 8 finite numbers")


def usable_layers(file: str, frame: RawFrame, scene_size: tuple[int, int] | None) -> None:
    """Picture, depth and masks fit each other and the scene.

    Raises:
        RawFault: they do not; names both sizes (width x height).
    """
    image = frame.image
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise RawFault(file, f"picture is {image.dtype}{list(image.shape)}, expected uint8 [H, W, 3]")
    size = image.shape[:2]
    if scene_size is not None and size != scene_size:
        raise RawFault(file, f"picture is {_text(size)}, the pictures of this scene are {_text(scene_size)}")
    layers = {"depth": frame.depth, "sky mask": frame.sky, "dynamic mask": frame.dynamic, "object mask": frame.object}
    for name, layer in layers.items():
        if layer is not None and layer.shape != size:
            raise RawFault(file, f"{name} is {_text(layer.shape)}, the picture is {_text(size)}")


def _text(size: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in reversed(size))
