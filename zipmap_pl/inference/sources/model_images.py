"""Photos or a video as the images that the model takes, and the way back to the pixels of the user's own images."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.images.crop import center_crop
from zipmap_pl.images.photo import Photo
from zipmap_pl.inference.sources.photos import PHOTO_ENDINGS, open_folder
from zipmap_pl.inference.sources.video import open_video
from zipmap_pl.progress import track


@dataclass(frozen=True)
class ModelImage:
    """An image at the model's size, and how it came about.

    Attributes:
        name: file name, or frame of the video.
        image: [h, w, 3] uint8 RGB at the model's size.
        source_size: height, width of the user's image.
        source_from_model: sx, sy, x0, y0; x_source = sx * x_model + x0 with pixel coordinates measured from the corner.
    """

    name: str
    image: np.ndarray
    source_size: tuple[int, int]
    source_from_model: tuple[float, float, float, float]


@dataclass(frozen=True)
class ChosenImages:
    """The images of a source that are to be read.

    Attributes:
        source: folder of photos or a video.
        names: of the images.
        read: opens one by its place in `names`, in rising order. Raises OSError, ValueError or UserError.
    """

    source: Path
    names: list[str]
    read: Callable[[int], Photo]


def choose_images(source: Path, max_views: int | None = None, every: int = 1) -> ChosenImages:
    """Look at a folder of photos (sorted by name, numbers in names by value) or a video; no photo is decoded.

    Args:
        max_views: keep at most that many, evenly spread; None keeps all.
        every: keep every n-th.

    Raises:
        UserError: nothing there.
    """
    if source.is_file() and source.suffix.lower() in PHOTO_ENDINGS:
        raise UserError(f"{source}: a single photo, expected a folder of photos or a video; give its folder")
    names, read = open_video(source) if source.is_file() else open_folder(source)
    chosen = list(range(0, len(names), every))
    if max_views is not None and len(chosen) > max_views:
        chosen = [chosen[position] for position in np.linspace(0, len(chosen) - 1, max_views).round().astype(int)]
    return ChosenImages(source, [names[number] for number in chosen], lambda place: read(chosen[place]))


def load_images(images: ChosenImages, width: int, patch: int, aspect: tuple[float, float]) -> list[ModelImage]:
    """Read images, all brought to one size that the model takes.

    The size follows the first image: `width` pixels wide, height a multiple of `patch`, height / width kept inside `aspect` (what
    the model was trained on). What does not fit is cropped around the centre; nothing is padded or squeezed.

    Raises:
        UserError: a file that cannot be decoded.
    """
    loaded: list[ModelImage] = []
    for place, name in track(list(enumerate(images.names)), "reading images", len(images.names)):
        try:
            photo = images.read(place)
            if not loaded:
                size = model_size(*photo.size, width, patch, aspect)
            loaded.append(fit_photo(name, photo, size))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{images.source / name}: not a picture that can be decoded ({error}); repair or remove it"
            ) from error
    return loaded


def model_size(height: int, width: int, model_width: int, patch: int, aspect: tuple[float, float]) -> tuple[int, int]:
    """Height, width at which the model sees images of `height` x `width`."""
    ratio = min(max(height / width, aspect[0]), aspect[1])
    return max(round(ratio * model_width / patch), 1) * patch, model_width


def fit_photo(name: str, photo: Photo, size: tuple[int, int]) -> ModelImage:
    """Crop around the centre and resize to `size` with one scale, as training does. Raises ValueError if it cannot be decoded."""
    crop = center_crop(photo.size, size)
    return ModelImage(name, photo.resized(size), photo.size, (1 / crop.scale, 1 / crop.scale, crop.left, crop.top))
