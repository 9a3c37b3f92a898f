"""Frames that were stored lying on a side or upside down, turned upright: image, layers, intrinsics and pose together."""

from dataclasses import replace

import numpy as np

from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.raw import RawCamera, RawFrame

QUARTER = np.array(
    ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
)  # counterclockwise, from old camera axes to new


def quarter_turned(frame: RawFrame, turns: int) -> RawFrame:
    """The frame turned by `turns` quarter turns, counterclockwise as one looks at the image (as `np.rot90`); -1 = clockwise.

    A turned frame keeps no JPEG bytes. Raises ValueError for a camera with lens distortion: take that out first.
    """
    if turns % 4 == 0:
        return frame

    def turned(layer: np.ndarray | None) -> np.ndarray | None:
        return None if layer is None else np.ascontiguousarray(np.rot90(layer, turns))

    return RawFrame(
        camera=quarter_turned_camera(frame.camera, (frame.image.shape[0], frame.image.shape[1]), turns),
        image=np.ascontiguousarray(np.rot90(frame.image, turns)),
        depth=turned(frame.depth),
        sky=turned(frame.sky),
        dynamic=turned(frame.dynamic),
        object=turned(frame.object),
    )


def quarter_turned_camera(camera: RawCamera, size: tuple[int, int], turns: int) -> RawCamera:
    """The camera of an image turned like that; `size` is height, width before. The camera stays where it is in the world."""
    if turns % 4 == 0:
        return camera
    if any(camera.distortion):
        raise ValueError(
            f"{camera.file}: a camera with lens distortion cannot be turned; take the distortion out first"
        )
    height, width = size
    turn, corner = np.eye(3), {1: (0.0, width), 2: (width, height), 3: (height, 0.0)}[turns % 4]
    for _ in range(turns % 4):
        turn = cameras.multiply(QUARTER, turn)
    pixels = turn.copy()  # from old pixels to new: the same turn, then the new corner
    pixels[:2, 2] = corner
    cam_to_world = np.array(camera.cam_to_world, np.float64)
    with np.errstate(invalid="ignore"):
        cam_to_world[:3, :3] = cameras.multiply(cam_to_world[:3, :3], turn.T)
        intrinsics = cameras.multiply(cameras.multiply(pixels, camera.intrinsics), turn.T)
    return replace(camera, intrinsics=intrinsics, cam_to_world=cam_to_world)
