"""Picture and depth that show the same at different sizes: both are brought to the size of one of them."""

from dataclasses import replace
from typing import Literal

import numpy as np

from zipmap_pl.images.resample import resample_layer, shrink_image
from zipmap_pl.preprocess.convert.depth_samples import halved_depth, sampled_depth
from zipmap_pl.preprocess.formats.sources import Source
from zipmap_pl.preprocess.raw import RawCamera, RawFault, RawFrame

MAX_STRETCH = 0.02  # share by which proportions may differ: ScanNet's 1296x968 and 640x480 do by 0.4 %


def registered(
    camera: RawCamera,
    image: np.ndarray,
    jpeg: bytes | None,
    depth: np.ndarray,
    picture: Source,
    *,
    to: Literal["smaller", "picture"] = "smaller",
) -> RawFrame:
    """The frame of a picture [H, W, 3] and a depth map [h, w], of which a pixel of one is the same place in the other.

    Args:
        camera: with the intrinsics of the depth map; with to="picture", of the picture.
        image: never enlarged.
        jpeg: its bytes, kept if the picture keeps its size.
        depth: planar z, 0 = unknown.
        picture: the file that is blamed.
        to: "smaller": the smaller of the two; pictures are averaged, depth takes the nearest sample. "picture": the
            picture stays, and depth is brought to it (`depth_at`), also where that enlarges it.

    Raises:
        RawFault: the two have other proportions.
    """
    size, wanted = image.shape[:2], depth.shape
    if abs(size[1] * wanted[0] / (size[0] * wanted[1]) - 1) > MAX_STRETCH:
        text = f"picture is {size[1]}x{size[0]}, depth is {wanted[1]}x{wanted[0]}; expected the same proportions"
        raise RawFault(picture, text)
    if to == "picture":
        depth = depth_at(depth, *size)
    elif size == wanted:
        pass
    elif wanted[0] <= size[0] and wanted[1] <= size[1]:
        image, jpeg = shrink_image(image, *wanted), None
    else:  # larger, or, by rounding, one side larger and one smaller
        depth = resample_layer(depth, *size)
        shares = np.array(((size[1] / wanted[1],), (size[0] / wanted[0],), (1.0,)))
        camera = replace(camera, intrinsics=camera.intrinsics * shares)
    return RawFrame(camera, image, jpeg, depth)


def depth_at(depth: np.ndarray, height: int, width: int) -> np.ndarray:
    """A dense depth map [h, w] at [height, width], larger or smaller: its values at the new pixels' centers.

    Interpolated where the four samples around are of one surface, the nearest sample elsewhere. At half the size no new
    center is nearer to one of the four than to another: the median of those that agree, else the first of them. A map
    that has the size already comes back bit for bit.
    """
    if depth.shape == (height, width):
        return depth
    if depth.shape == (2 * height, 2 * width):
        return halved_depth(depth)
    columns = (np.arange(width) + 0.5) * (depth.shape[1] / width)
    rows = (np.arange(height) + 0.5) * (depth.shape[0] / height)
    return sampled_depth(depth, columns, rows[:, None])
