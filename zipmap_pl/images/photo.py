"""Images that users bring, photos and frames of videos: upright, transparency over white, 8 bits; then cropped as in training.

JPEGs are decoded as in training, too: by OpenCV, as small as their crop allows. Everything else is decoded by Pillow,
which knows transparency, palettes, CMYK and more than 16 bits. What both read has the same values (colors of 16 bits in a
TIFF: to one grey level, because OpenCV rounds there).
"""

import io
import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from zipmap_pl.images.crop import center_crop
from zipmap_pl.images.decode import is_jpeg, read_image
from zipmap_pl.images.limits import UNREADABLE, refuse_size
from zipmap_pl.images.png_side_data import only_pixels
from zipmap_pl.images.resample import resize_image

TRANSPOSED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
PHOTOMETRIC = 262  # the tag of a TIFF that says what its zeros are: 0 white, 1 black
# The value that stands for white in what Pillow does not bring to 8 bits by itself.
WHITE = {"I": 65535.0, "F": 1.0}


class Photo(Protocol):
    """An image of the user's at its own size."""

    @property
    def size(self) -> tuple[int, int]:
        """Height, width, upright."""

    def resized(self, target: tuple[int, int]) -> np.ndarray:
        """`crop.center_crop` to the target's height and width: [height, width, 3] uint8 RGB. Raises ValueError."""


@dataclass(frozen=True)
class DecodedPhoto:
    """A photo or frame that is decoded: [H, W, 3] uint8 RGB, upright."""

    image: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[0], self.image.shape[1]

    def resized(self, target: tuple[int, int]) -> np.ndarray:
        return resize_image(self.image, center_crop(self.size, target))


@dataclass(frozen=True)
class JpegPhoto:
    """A JPEG that is decoded when its target is known: one of 200 megapixels never exists at its full size.

    Attributes:
        data: the file.
        stored_size: height, width as stored.
        orientation: how EXIF says it is to be shown, 1 to 8.
    """

    data: bytes
    stored_size: tuple[int, int]
    orientation: int

    @property
    def size(self) -> tuple[int, int]:
        return self._turned(self.stored_size)

    def resized(self, target: tuple[int, int]) -> np.ndarray:
        crop = center_crop(self.stored_size, self._turned(target))  # a centred crop is the same before and after a turn
        reduction = crop.reduction
        refuse_size(*(side // reduction for side in self.stored_size))
        image = resize_image(read_image(self.data, reduction), crop.of_reduced(reduction))
        return upright(image, self.orientation)

    def _turned(self, size: tuple[int, int]) -> tuple[int, int]:
        return (size[1], size[0]) if self.orientation in TRANSPOSED else size


def open_photo(data: bytes) -> Photo:
    """The photo that a file holds, of any format that Pillow reads. Raises ValueError if it cannot be decoded.

    Side data that are damaged, or too large for Pillow, are passed over: texts, color profiles, EXIF.
    """
    try:
        with warnings.catch_warnings():  # of side data that are damaged, of sizes that Pillow allows after all
            warnings.simplefilter("ignore")
            return _jpeg(data) if is_jpeg(data) else _decoded(data)
    except Image.DecompressionBombError as error:
        raise ValueError("too many pixels to decode at once; a JPEG of it would be decoded smaller") from error
    except UNREADABLE as error:
        raise ValueError(_reason(error)) from error


def photo_size(data: bytes) -> tuple[int, int]:
    """Height, width of the photo that a file holds, upright, without decoding it. Raises ValueError if they cannot be read."""
    if is_jpeg(data):
        return open_photo(data).size
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _upright_size(data)
    except Image.DecompressionBombError as error:
        raise ValueError("too many pixels to decode at once; a JPEG of it would be decoded smaller") from error
    except UNREADABLE as error:
        raise ValueError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Pillow's reason in a line, without the address of an object."""
    if isinstance(error, UnidentifiedImageError):
        return "it begins like no image of a known format, or is cut off at its start"
    return " ".join(str(error).split()) or type(error).__name__


def _jpeg(data: bytes) -> JpegPhoto:
    header = JpegImageFile(io.BytesIO(data))  # `Image.open` would refuse large ones
    return JpegPhoto(data, (header.height, header.width), _orientation(header))


def _decoded(data: bytes) -> DecodedPhoto:
    try:
        with Image.open(io.BytesIO(data)) as file:
            negative = _white_is_zero(file)
            image = _over_white(_in_8_bits(_turned_upright(file)))
            return DecodedPhoto(255 - image if negative else image)
    except UNREADABLE:
        pixels = only_pixels(data)
        if pixels == data:
            raise
        return _decoded(pixels)


def _white_is_zero(file: Image.Image) -> bool:
    """Return True for a TIFF whose zeros are white, and whose values Pillow leaves as they are: it turns those of 8 bits only."""
    wide = file.mode in WHITE or file.mode.startswith("I;16")
    return wide and file.format == "TIFF" and getattr(file, "tag_v2", {}).get(PHOTOMETRIC) == 0


def _turned_upright(file: Image.Image) -> Image.Image:
    file.load()
    try:
        return ImageOps.exif_transpose(file)
    except UNREADABLE:
        return file


def _upright_size(data: bytes) -> tuple[int, int]:
    try:
        with Image.open(io.BytesIO(data)) as file:
            # Pillow turns the size of a TIFF itself.
            turned = file.format != "TIFF" and _orientation(file) in TRANSPOSED
            return (file.width, file.height) if turned else (file.height, file.width)
    except UNREADABLE:
        pixels = only_pixels(data)
        if pixels == data:
            raise
        return _upright_size(pixels)


def _orientation(file: Image.Image) -> int:
    """The orientation noted in EXIF, 1 to 8; 1 where that is damaged."""
    try:
        return file.getexif().get(ExifTags.Base.Orientation, 1)
    except UNREADABLE:
        return 1


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """An image [H, W, ...] as its EXIF orientation says it is to be shown; as it is for what is no orientation."""
    if orientation in TRANSPOSED:
        image = image.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(image[rows, columns])


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Of 16 bits the upper 8; 32-bit integers from 0 to 65535 likewise; floats from 0, black, to 1, white."""
    if image.mode.startswith("I;16"):  # Pillow would cut it off at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode not in WHITE:
        return image
    values, white = np.asarray(image), WHITE[image.mode]
    least, most = values.min(), values.max()
    if not (least >= 0 and most <= white):  # NaN as well
        raise ValueError(f"its values go from {least:g} to {most:g}, expected 0 to {white:g}")
    if image.mode == "I" and most < 256:  # 8 bits in a wide type: nobody's photo is that dark
        return Image.fromarray(values.astype(np.uint8))
    return Image.fromarray((values >> 8 if image.mode == "I" else np.rint(values * 255)).astype(np.uint8))


def _over_white(image: Image.Image) -> np.ndarray:
    """[H, W, 3] uint8 RGB."""
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))
