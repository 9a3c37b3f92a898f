"""Photos or a video to the tensor that the model takes, and the way back to the pixels of the user's own pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from zipmap_pl.errors import UserError
from zipmap_pl.progress import track

PICTURE_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
VIDEO_ENDINGS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"}


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
    """Read a folder of photos (sorted by name) or a video, all brought to one size that the model takes.

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
    first = read(chosen[0])
    size = model_size(first.shape[0], first.shape[1], width, patch, aspect)
    return [fit_picture(names[number], read(number), size) for number in track(chosen, "reading pictures", len(chosen))]


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
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_ENDINGS and not path.name.startswith(".")
    )
    if not names:
        raise UserError(f"{folder}: found no photos, expected files ending in {', '.join(sorted(PICTURE_ENDINGS))}")

    def read(number: int) -> np.ndarray:
        return read_picture(folder / names[number])

    return names, read


def read_picture(path: Path) -> np.ndarray:
    """A picture file as [H, W, 3] uint8 RGB, turned upright as its EXIF says; transparency is laid over white.

    Raises:
        UserError: the file cannot be decoded.
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.has_transparency_data:
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture.convert("RGBA"))
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: Pillow's word for a broken PNG
        raise UserError(f"{path}: not a picture that can be decoded ({error}); repair or remove it") from error


def _open_video(path: Path) -> tuple[list[str], Callable[[int], np.ndarray]]:
    if path.suffix.lower() in PICTURE_ENDINGS:
        raise UserError(f"{path}: a single photo, expected a folder of photos or a video; give its folder")
    video = cv2.VideoCapture(str(path))
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    if count < 1:
        raise UserError(
            f"{path}: not a video that can be decoded, expected a folder of photos or one of {', '.join(sorted(VIDEO_ENDINGS))}"
        )

    def read(number: int) -> np.ndarray:
        if int(video.get(cv2.CAP_PROP_POS_FRAMES)) != number:
            video.set(cv2.CAP_PROP_POS_FRAMES, number)
        decoded, frame = video.read()
        if not decoded:
            raise UserError(
                f"{path}: frame {number} of {count} cannot be decoded; re-encode the video or use --max-views"
            )
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    return [f"frame-{number:06d}" for number in range(count)], read
