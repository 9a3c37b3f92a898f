"""Photos or a video as the images that the model takes, and the way back to the pixels of the user's own images."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.images.crop import center_crop, kept_share
from zipmap_pl.images.photo import Photo
from zipmap_pl.inference.sources.photos import PHOTO_ENDINGS, open_folder
from zipmap_pl.inference.sources.video import open_video
from zipmap_pl.progress import track

MUCH = 0.75  # what is kept of a 4:3 photo in a square; photos of which less is kept are named in the log
NAMED = 5  # of them

log = logging.getLogger(__name__)


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
        size: height, width of one, which is not decoded for it. Raises likewise.
    """

    source: Path
    names: list[str]
    read: Callable[[int], Photo]
    size: Callable[[int], tuple[int, int]]


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
    names, read, size = open_video(source) if source.is_file() else open_folder(source)
    chosen = list(range(0, len(names), every))
    if max_views is not None and len(chosen) > max_views:
        chosen = [chosen[position] for position in np.linspace(0, len(chosen) - 1, max_views).round().astype(int)]
    kept = [names[number] for number in chosen]
    return ChosenImages(source, kept, lambda place: read(chosen[place]), lambda place: size(chosen[place]))


def load_images(images: ChosenImages, width: int, patch: int, aspect: tuple[float, float]) -> list[ModelImage]:
    """Read images, all brought to one size that the model takes.

    The size is `width` pixels wide; see `choose_shape` for its height. What does not fit is cropped around the center; nothing is
    padded or squeezed. Photos of which less than 75 % is kept are named in the log.

    Raises:
        UserError: a file that cannot be decoded.
    """
    sizes: list[tuple[int, int]] = []
    loaded: list[ModelImage] = []
    try:
        for place in range(len(images.names)):
            sizes.append(images.size(place))
        shape = choose_shape(sizes, width, patch, aspect)
        _tell_cropped(images.source, images.names, sizes, shape)
        for place in track(range(len(images.names)), "reading images", len(images.names)):
            loaded.append(fit_photo(images.names[place], images.read(place), shape))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{images.source / images.names[place]}: not a picture that can be decoded ({error}); repair or remove it"
        ) from error
    return loaded


def choose_shape(
    sizes: Sequence[tuple[int, int]], width: int, patch: int, aspect: tuple[float, float]
) -> tuple[int, int]:
    """The one height and width at which the model sees images of these sizes (height, width).

    Of all heights in patches inside `aspect` (height / width, what the model was trained on) it is the one that keeps most of
    the photo of which it keeps least.
    """
    lowest, highest = (max(round(ratio * width / patch), 1) for ratio in aspect)
    extremes = min(sizes, key=lambda size: size[0] / size[1]), max(sizes, key=lambda size: size[0] / size[1])
    shapes = [(rows * patch, width) for rows in range(lowest, highest + 1)]
    return max(shapes, key=lambda shape: min(kept_share(size, shape) for size in extremes))


def _tell_cropped(source: Path, names: list[str], sizes: list[tuple[int, int]], shape: tuple[int, int]) -> None:
    shares = {name: kept_share(size, shape) for name, size in zip(names, sizes, strict=True)}
    bad = [f"{name} ({share:.0%})" for name, share in shares.items() if share < MUCH]
    if bad:
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        log.warning(
            "%s: the model sees %d x %d pixels; less than %.0f %% is kept of %d of %d photos: %s%s",
            *(source, shape[1], shape[0], 100 * MUCH, len(bad), len(names), ", ".join(bad[:NAMED]), more),
        )


def fit_photo(name: str, photo: Photo, size: tuple[int, int]) -> ModelImage:
    """Crop around the centre and resize to `size` with one scale, as training does. Raises ValueError if it cannot be decoded."""
    crop = center_crop(photo.size, size)
    return ModelImage(name, photo.resized(size), photo.size, (1 / crop.scale, 1 / crop.scale, crop.left, crop.top))
