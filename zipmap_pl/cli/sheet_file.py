"""Where a command puts the sheet that it draws."""

from pathlib import Path
from typing import TYPE_CHECKING

from zipmap_pl.errors import UserError
from zipmap_pl.files import write_file

if TYPE_CHECKING:
    import numpy as np


def check_sheet_file(output: Path) -> None:
    """Raise UserError, before any work is done, for a file that cannot be written."""
    if output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"--output {output}: expected a name that ends in .png or .jpg")
    if not output.parent.is_dir():
        raise UserError(f"--output {output}: folder {output.parent} does not exist")


def write_sheet(output: Path, sheet: "np.ndarray") -> None:
    """Write RGB [H, W, 3] uint8. Raises UserError if there is no room, no right to write, ..."""
    import cv2

    encoded = cv2.imencode(output.suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1]
    try:
        write_file(output, encoded.tobytes())
    except OSError as error:
        raise UserError(f"--output {output}: could not be written ({error.strerror})") from error
