"""A sheet: pictures in rows and columns with captions and labels, to look at or to send around."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from zipmap_pl.drawing.text import BACKGROUND, FAINT_INK, INK, put_text, shortened, text_width, wrapped

GAP = 8  # pixels between pictures and at the edges
TEXT_HEIGHT = 10  # of captions and labels
TITLE_HEIGHT = 13
LINE = 2.0  # line height over text height
MAX_LABEL_WIDTH = 160


@dataclass(frozen=True)
class Row:
    """One row of a sheet.

    Attributes:
        pictures: [H, W, 3] uint8 each, any size; None leaves the place empty.
        label: written left of the row.
        captions: one below each picture, or none at all.
        span: columns that each picture of this row covers; for drawings that would be unreadable in one.
    """

    pictures: Sequence[np.ndarray | None]
    label: str = ""
    captions: Sequence[str] = ()
    span: int = 1


def draw_sheet(rows: Sequence[Row], title: str = "", cell_width: int = 180) -> np.ndarray:
    """RGB [H, W, 3] uint8 with columns `cell_width` wide and every row as high as its tallest picture.

    Small pictures are enlarged with nearest neighbours, so that their pixels can be seen; large ones shrink by area.
    The title is broken into lines; captions and labels are shortened where they do not fit.
    """
    columns = max((len(row.pictures) * row.span for row in rows), default=0)
    label_width = min(MAX_LABEL_WIDTH, max((text_width(row.label, TEXT_HEIGHT) for row in rows), default=0))
    left = GAP + (label_width + GAP if label_width else 0)
    width = max(left + columns * (cell_width + GAP), cell_width + 2 * GAP)
    strips = [_title(title, width)] if title else [_blank(GAP, width)]
    strips += [_draw_row(row, width, left, cell_width) for row in rows]
    return np.concatenate(strips, axis=0)


def fit_width(picture: np.ndarray, width: int) -> np.ndarray:
    """`picture` [H, W, 3] uint8 scaled to `width` pixels: nearest when it grows, area when it shrinks."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    how = cv2.INTER_NEAREST if width > picture.shape[1] else cv2.INTER_AREA
    return cv2.resize(picture, (width, height), interpolation=how)


def _draw_row(row: Row, width: int, left: int, cell_width: int) -> np.ndarray:
    cell_width = row.span * (cell_width + GAP) - GAP
    pictures = [None if picture is None else fit_width(picture, cell_width) for picture in row.pictures]
    height = max((picture.shape[0] for picture in pictures if picture is not None), default=2 * TEXT_HEIGHT)
    caption_height = round(LINE * TEXT_HEIGHT) if any(row.captions) else 0
    strip = _blank(height + caption_height + GAP, width)
    for column, picture in enumerate(pictures):
        if picture is not None:
            x = left + column * (cell_width + GAP)
            strip[: picture.shape[0], x : x + cell_width] = picture
    for column, caption in enumerate(row.captions):
        x = left + column * (cell_width + GAP)
        put_text(
            strip, shortened(caption, TEXT_HEIGHT, cell_width), x, height + caption_height - 5, TEXT_HEIGHT, FAINT_INK
        )
    if row.label:
        label = shortened(row.label, TEXT_HEIGHT, left - 2 * GAP)
        put_text(strip, label, GAP, (height + TEXT_HEIGHT) // 2, TEXT_HEIGHT, INK)
    return strip


def _title(title: str, width: int) -> np.ndarray:
    lines = [line for part in title.split("\n") for line in wrapped(part, TITLE_HEIGHT, width - 2 * GAP)]
    line_height = round(LINE * TITLE_HEIGHT)
    strip = _blank(GAP + len(lines) * line_height + GAP // 2, width)
    for number, line in enumerate(lines, start=1):
        put_text(strip, line, GAP, GAP + number * line_height - 9, TITLE_HEIGHT, INK)
    return strip


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), BACKGROUND, np.uint8)
