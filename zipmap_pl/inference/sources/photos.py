"""A folder of photos, in the order in which their numbers count."""

import logging
from collections.abc import Callable
from pathlib import Path

from zipmap_pl.errors import UserError
from zipmap_pl.images.photo import Photo, open_photo, photo_size
from zipmap_pl.natural_order import natural_order

PHOTO_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
# Images that people have next to those, and that Pillow cannot read by itself or would read one frame of.
OTHER_ENDINGS = {".heic", ".heif", ".gif", ".avif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw", ".exr"}

log = logging.getLogger(__name__)


def open_folder(folder: Path) -> tuple[list[str], Callable[[int], Photo], Callable[[int], tuple[int, int]]]:
    """Names of the photos of a folder, sorted (numbers in names by value), and what opens one by its place among them.

    The third says its height and width, upright, without decoding it.

    Raises:
        UserError: no photos there. The functions raise OSError or ValueError for a file that cannot be read.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder or video, expected photos ({', '.join(sorted(PHOTO_ENDINGS))}) or a video"
        )
    found = sorted((path.name for path in folder.iterdir() if not path.name.startswith(".")), key=natural_order)
    names, others = (
        [name for name in found if Path(name).suffix.lower() in endings] for endings in (PHOTO_ENDINGS, OTHER_ENDINGS)
    )
    beside = (
        f"{len(others)} pictures like {others[0]} that cannot be read; convert them to JPEG or PNG" if others else ""
    )
    if not names:
        text = f"expected files ending in {', '.join(sorted(PHOTO_ENDINGS))}"
        raise UserError(f"{folder}: found no photos, {text}" + (f"; found {beside}" if beside else ""))
    if beside:
        log.warning("%s: left out %s", folder, beside)

    def data(number: int) -> bytes:
        file = folder / names[number]
        if not file.is_file():  # reading would wait for a named pipe, and take from a device without end
            raise ValueError("is no file" if file.exists() else "a link to nothing")
        return file.read_bytes()

    def read(number: int) -> Photo:
        return open_photo(data(number))

    def size(number: int) -> tuple[int, int]:
        return photo_size(data(number))

    return names, read, size
