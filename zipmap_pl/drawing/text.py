"""Readable text on images in OpenCV's own font: most scripts, sizes in pixels; what the font lacks (emoji) becomes "?"."""

from functools import cache

import cv2
import numpy as np

BACKGROUND = (250, 250, 250)
INK = (30, 30, 30)
FAINT_INK = (110, 110, 110)
CAPITAL = 0.75  # height of a capital letter as a share of the font's size
WEIGHT = 500  # of letters, 400 is regular: thin strokes fade on small images
MORE = "..."


def text_width(text: str, height: int) -> int:
    """Width in pixels of `text` with capital letters `height` pixels high."""
    left, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), _font(), _size(height), WEIGHT)
    return left + width


def put_text(
    picture: np.ndarray, text: str, left: int, baseline: int, height: int, colour: tuple[int, int, int]
) -> None:
    """Write `text` into `picture` [H, W, 3] uint8 in place, its first letter standing at (left, baseline)."""
    cv2.putText(picture, text, (left, baseline), colour, _font(), _size(height), WEIGHT)


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


def _size(height: int) -> int:
    return round(height / CAPITAL)


@cache
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")
