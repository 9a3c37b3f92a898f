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
        label: written left of the row, or above it.
        captions: one below each picture, or none at all.
        span: columns that each picture of this row covers; for drawings that would be unreadable in one.
        key: what the colours mean, RGB [H, W, 3] uint8; stands above the row at its right end, in its own size.
    """

    pictures: Sequence[np.ndarray | None]
    label: str = ""
    captions: Sequence[str] = ()
    span: int = 1
    key: np.ndarray | None = None


def draw_sheet(
    rows: Sequence[Row],
    title: str = "",
    cell_width: int = 180,
    text_height: int = TEXT_HEIGHT,
    labels_above: bool = False,
) -> np.ndarray:
    """RGB [H, W, 3] uint8 with columns `cell_width` wide and every row as high as its tallest picture.

    Small pictures are enlarged with nearest neighbours, so that their pixels can be seen; large ones shrink by area.
    The title is broken into lines; captions and labels are shortened where they do not fit. Their capital
    letters are `text_height` pixels high: large for a sheet that will be looked at in a smaller size.
    """
    columns = max((len(row.pictures) * row.span for row in rows), default=0)
    label_width = 0 if labels_above else max((text_width(row.label, text_height) for row in rows), default=0)
    left = GAP + (min(MAX_LABEL_WIDTH, label_width) + GAP if label_width else 0)
    width = max(left + columns * (cell_width + GAP), cell_width + 2 * GAP)
    strips = [_title(title, max(TITLE_HEIGHT, text_height), width)] if title else [_blank(GAP, width)]
    for row in rows:
        if row.key is not None or (labels_above and row.label):
            strips.append(_line_above(row, width, left, text_height, labels_above))
        strips.append(_draw_row(row, width, left, cell_width, text_height, not labels_above))
    return np.concatenate(strips, axis=0)


def fit_width(picture: np.ndarray, width: int) -> np.ndarray:
    """`picture` [H, W, 3] uint8 scaled to `width` pixels: nearest when it grows, area when it shrinks."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    how = cv2.INTER_NEAREST if width > picture.shape[1] else cv2.INTER_AREA
    return cv2.resize(picture, (width, height), interpolation=how)


def _line_above(row: Row, width: int, left: int, text_height: int, labels_above: bool) -> np.ndarray:
    """The key of a row at the right end; its label at the left end if that stands above."""
    key = _blank(0, 0) if row.key is None else row.key[:, : width - left - GAP]
    height = max(round(1.5 * text_height), len(key))
    strip = _blank(height + GAP // 2, width)
    top, right = (height - len(key)) // 2, width - GAP
    strip[top : top + len(key), right - key.shape[1] : right] = key
    if labels_above:
        label = shortened(row.label, text_height, right - key.shape[1] - 2 * GAP)
        put_text(strip, label, left, (height + text_height) // 2, text_height, INK)
    return strip


def _draw_row(row: Row, width: int, left: int, cell_width: int, text_height: int, with_label: bool) -> np.ndarray:
    cell_width = row.span * (cell_width + GAP) - GAP
    pictures = [None if picture is None else fit_width(picture, cell_width) for picture in row.pictures]
    height = max((picture.shape[0] for picture in pictures if picture is not None), default=2 * text_height)
    caption_height = round(LINE * text_height) if any(row.captions) else 0
    strip = _blank(height + caption_height + GAP, width)
    for column, picture in enumerate(pictures):
        if picture is not None:
            x = left + column * (cell_width + GAP)
            strip[: picture.shape[0], x : x + cell_width] = picture
    for column, caption in enumerate(row.captions):
        x, baseline = left + column * (cell_width + GAP), height + (caption_height + text_height) // 2
        put_text(strip, shortened(caption, text_height, cell_width), x, baseline, text_height, FAINT_INK)
    if row.label and with_label:
        label = shortened(row.label, text_height, left - 2 * GAP)
        put_text(strip, label, GAP, (height + text_height) // 2, text_height, INK)
    return strip


def _title(title: str, text_height: int, width: int) -> np.ndarray:
    lines = [line for part in title.split("\n") for line in wrapped(part, text_height, width - 2 * GAP)]
    line_height = round(LINE * text_height)
    strip = _blank(GAP + len(lines) * line_height + GAP // 2, width)
    for number, line in enumerate(lines, start=1):
        baseline = GAP + number * line_height - round(0.7 * text_height)
        put_text(strip, line, GAP, baseline, text_height, INK)
    return strip


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), BACKGROUND, np.uint8)
