"""Photos or a video to the tensor that the model takes, and the way back to the pixels of the user's own pictures."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from zipmap_pl.errors import UserError
from zipmap_pl.natural_order import natural_order
from zipmap_pl.progress import track, working

PICTURE_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
# Pictures that people have beside those, and that Pillow cannot read by itself or would read one frame of.
OTHER_ENDINGS = {".heic", ".heif", ".gif", ".avif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw", ".exr"}
VIDEO_ENDINGS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelPicture:
    """A picture at the model's size, and how it came about.

    Attributes:
        name: file name, or frame of the video.
        image: [h, w, 3] uint8 RGB at the model's size.
        source_size: height, width of the user's picture.
        source_from_model: sx, sy, x0, y0; x_source = sx * x_model + x0 with pixel coordinates measured from the corner.
    """

    name: str
    image: np.ndarray
    source_size: tuple[int, int]
    source_from_model: tuple[float, float, float, float]


def load_pictures(
    source: Path, width: int, patch: int, aspect: tuple[float, float], max_views: int | None, every: int
) -> list[ModelPicture]:
    """Read a folder of photos (sorted by name, numbers in names by value) or a video, all brought to one size that the model takes.

    The size follows the first picture: `width` pixels wide, height a multiple of `patch`, height / width kept inside `aspect` (what
    the model was trained on). What does not fit is cropped around the centre; nothing is padded or squeezed.

    Args:
        max_views: keep at most that many, evenly spread; None keeps all.
        every: keep every n-th.

    Raises:
        UserError: nothing there, or a file that cannot be decoded.
    """
    names, read = _open_video(source) if source.is_file() else _open_folder(source)
    chosen = list(range(0, len(names), every))
    if max_views is not None and len(chosen) > max_views:
        chosen = [chosen[position] for position in np.linspace(0, len(chosen) - 1, max_views).round().astype(int)]
    pictures: list[ModelPicture] = []
    for number in track(chosen, "reading pictures", len(chosen)):
        image = read(number)
        if not pictures:
            size = model_size(image.shape[0], image.shape[1], width, patch, aspect)
        pictures.append(fit_picture(names[number], image, size))
    return pictures


def model_size(height: int, width: int, model_width: int, patch: int, aspect: tuple[float, float]) -> tuple[int, int]:
    """Height, width at which the model sees pictures of `height` x `width`."""
    ratio = min(max(height / width, aspect[0]), aspect[1])
    return max(round(ratio * model_width / patch), 1) * patch, model_width


def fit_picture(name: str, image: np.ndarray, size: tuple[int, int]) -> ModelPicture:
    """Resize and crop around the centre to `size` with one common scale.

    `image` is [H, W, 3] uint8 RGB. Shrinking averages over the covered pixels, enlarging is bicubic.
    """
    height, width = image.shape[:2]
    scale = min(height / size[0], width / size[1])  # source pixels per model pixel
    crop_height, crop_width = min(round(size[0] * scale), height), min(round(size[1] * scale), width)
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    crop = image[top : top + crop_height, left : left + crop_width]
    shrinks = crop_height >= size[0]
    resized = cv2.resize(crop, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return ModelPicture(
        name, resized, (height, width), (crop_width / size[1], crop_height / size[0], float(left), float(top))
    )


def _open_folder(folder: Path) -> tuple[list[str], Callable[[int], np.ndarray]]:
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder or video, expected photos ({', '.join(sorted(PICTURE_ENDINGS))}) or a video"
        )
    found = sorted((path.name for path in folder.iterdir() if not path.name.startswith(".")), key=natural_order)
    names, others = (
        [name for name in found if Path(name).suffix.lower() in endings] for endings in (PICTURE_ENDINGS, OTHER_ENDINGS)
    )
    beside = (
        f"{len(others)} pictures like {others[0]} that cannot be read; convert them to JPEG or PNG" if others else ""
    )
    if not names:
        text = f"expected files ending in {', '.join(sorted(PICTURE_ENDINGS))}"
        raise UserError(f"{folder}: found no photos, {text}" + (f"; found {beside}" if beside else ""))
    if beside:
        log.warning("%s: left out %s", folder, beside)

    def read(number: int) -> np.ndarray:
        return read_picture(folder / names[number])

    return names, read


def read_picture(path: Path) -> np.ndarray:
    """A picture file as [H, W, 3] uint8 RGB, turned upright as its EXIF says; transparency is laid over white.

    Of 16 bits the upper 8 are kept.

    Raises:
        UserError: the file cannot be decoded.
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode.startswith("I;16"):  # Pillow would cut it off at 255
                picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            if picture.has_transparency_data:
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture.convert("RGBA"))
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: Pillow's word for a broken PNG
        raise UserError(f"{path}: not a picture that can be decoded ({error}); repair or remove it") from error


def _open_video(path: Path) -> tuple[list[str], Callable[[int], np.ndarray]]:
    if path.suffix.lower() in PICTURE_ENDINGS:
        raise UserError(f"{path}: a single photo, expected a folder of photos or a video; give its folder")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: what is wrong is said below
    with working(f"counting the frames of {path}"):
        count = _count_frames(path)
    if count < 1:
        raise UserError(
            f"{path}: found no frame that can be decoded, expected a folder of photos or a video "
            f"({', '.join(sorted(VIDEO_ENDINGS))})"
        )
    video = cv2.VideoCapture(str(path))
    position = 0

    def read(number: int) -> np.ndarray:
        """Frames are asked for in rising order: seeking is inexact in many videos."""
        nonlocal position
        while position < number:
            video.grab()
            position += 1
        decoded, frame = video.read()
        position += 1
        if not decoded:
            raise UserError(f"{path}: frame {number} of {count} cannot be decoded; re-encode the video")
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    return [f"frame-{number:06d}" for number in range(count)], read


def _count_frames(path: Path) -> int:
    """By decoding: the number that a video states of itself is often a guess."""
    video, count = cv2.VideoCapture(str(path)), 0
    while video.grab():
        count += 1
    return count
