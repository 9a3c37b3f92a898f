"""Picture and depth that show the same at different sizes: both are brought to the smaller one."""

from dataclasses import replace

import numpy as np

from zipmap_pl.images.resample import resample_layer, shrink_image
from zipmap_pl.preprocess.formats.sources import Source
from zipmap_pl.preprocess.raw import RawCamera, RawFault, RawFrame

MAX_STRETCH = 0.02  # share by which proportions may differ: ScanNet's 1296x968 and 640x480 do by 0.4 %


def registered(
    camera: RawCamera, image: np.ndarray, jpeg: bytes | None, depth: np.ndarray, picture: Source
) -> RawFrame:
    """The frame of a picture [H, W, 3] and a depth map [h, w], of which a pixel of one is the same place in the other.

    Pictures are averaged, depth takes the nearest sample. `camera` has the intrinsics of the depth map. Raises RawFault,
    which blames the file `picture`, if the two have other proportions.
    """
    size, wanted = image.shape[:2], depth.shape
    if abs(size[1] * wanted[0] / (size[0] * wanted[1]) - 1) > MAX_STRETCH:
        text = f"picture is {size[1]}x{size[0]}, depth is {wanted[1]}x{wanted[0]}; expected the same proportions"
        raise RawFault(picture, text)
    if size > wanted:
        image, jpeg = shrink_image(image, *wanted), None
    elif size < wanted:
        depth = resample_layer(depth, *size)
        shares = np.array(((size[1] / wanted[1],), (size[0] / wanted[0],), (1.0,)))
        camera = replace(camera, intrinsics=camera.intrinsics * shares)
    return RawFrame(camera, image, jpeg, depth)
