"""Readable text on pictures: one typeface, sizes in pixels, ASCII only (other letters become "?")."""

import cv2
import numpy as np

BACKGROUND = (250, 250, 250)
INK = (30, 30, 30)
FAINT_INK = (110, 110, 110)
FONT = cv2.FONT_HERSHEY_SIMPLEX
UNIT_HEIGHT = 21  # pixels of a capital letter at scale 1
MORE = "..."


def text_width(text: str, height: int) -> int:
    """Width in pixels of `text` with capital letters `height` pixels high."""
    return cv2.getTextSize(_ascii(text), FONT, height / UNIT_HEIGHT, _thickness(height))[0][0]


def put_text(
    picture: np.ndarray, text: str, left: int, baseline: int, height: int, colour: tuple[int, int, int]
) -> None:
    """Write `text` into `picture` [H, W, 3] uint8 in place, its first letter standing at (left, baseline)."""
    scale, thickness = height / UNIT_HEIGHT, _thickness(height)
    cv2.putText(picture, _ascii(text), (left, baseline), FONT, scale, colour, thickness, cv2.LINE_AA)


def shortened(text: str, height: int, width: int) -> str:
    """`text`, or as much of its beginning as fits into `width` pixels, ending in '...'."""
    if text_width(text, height) <= width:
        return text
    while text and text_width(text + MORE, height) > width:
        text = text[:-1]
    return text + MORE if text else ""


def wrapped(text: str, height: int, width: int) -> list[str]:
    """`text` in lines of at most `width` pixels, broken between words; a longer word is shortened."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, height) <= width:
            lines[-1] = longer
        else:
            lines.append(shortened(word, height, width))
    return lines


def _thickness(height: int) -> int:
    return 1 if height < 16 else 2


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")
