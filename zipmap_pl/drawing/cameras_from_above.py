"""Camera paths from above, to scale, with viewing directions; true and predicted paths in one picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from zipmap_pl.drawing.text import BACKGROUND, FAINT_INK, INK, put_text, text_width

PATH_COLOURS = (
    (20, 110, 200),
    (225, 85, 30),
    (40, 150, 70),
    (150, 60, 170),
)  # of the first, second ... path by default
POINT_COLOUR = (205, 205, 205)
MARGIN = 0.12  # of the shorter side, on all sides of the drawing
MAX_TICKS = 40  # viewing directions drawn per path
MAX_POINTS = 20_000
TEXT_HEIGHT = 10
SHIFT = 4  # fractional bits of OpenCV's drawing coordinates


@dataclass(frozen=True)
class CameraPath:
    """Cameras cam_to_world [N, 4, 4] or [N, 3, 4] (OpenCV axes), label, colour (None = the next of PATH_COLOURS).

    Cameras with a number that is not finite are left out.
    """

    cam_to_world: np.ndarray
    label: str = ""
    colour: tuple[int, int, int] | None = None


def cameras_from_above(
    paths: Sequence[CameraPath],
    points: np.ndarray | None = None,
    point_colours: np.ndarray | None = None,
    width: int = 360,
    height: int = 360,
    unit: str = "",
    text_height: int = TEXT_HEIGHT,
) -> np.ndarray:
    """Draw camera paths as seen from above, RGB [height, width, 3] uint8.

    The ground is perpendicular to the mean up direction of the first path that has cameras, whose mean viewing
    direction points up in the picture. Both axes have one scale: all cameras fit, and most of the `points` [P, 3]
    (world), but not far ones. Points are drawn faintly, grey or in `point_colours` [P, 3] uint8. A bar tells the scale
    in `unit`. A ring marks the first camera of each path. Lines are as strong as suits letters `text_height` pixels high.
    """
    poses = [finite_poses(path.cam_to_world) for path in paths]
    picture = np.full((height, width, 3), BACKGROUND, np.uint8)
    known = [pose for pose in poses if len(pose)]
    if not known:
        left = (width - text_width("no cameras", text_height)) // 2
        put_text(picture, "no cameras", left, height // 2, text_height, FAINT_INK)
        return picture
    ground = ground_axes(known[0])
    places = np.concatenate([pose[:, :, 3] for pose in known]) @ ground.T
    chosen = _some_finite(points)
    spots = points[chosen] @ ground.T if points is not None else np.zeros((0, 2))
    view = _View.around(_with_surroundings(places, spots), width, height, text_height / TEXT_HEIGHT)
    _draw_points(picture, view.pixels(spots), None if point_colours is None else point_colours[chosen])
    labels = []
    for number, (path, pose) in enumerate(zip(paths, poses, strict=True)):
        colour = path.colour or PATH_COLOURS[number % len(PATH_COLOURS)]
        _draw_path(picture, view, pose, ground, colour, text_height / TEXT_HEIGHT)
        labels.append((path.label, colour))
    _draw_labels(picture, labels, text_height)
    _draw_scale_bar(picture, view.pixels_per_unit, unit, text_height)
    return picture


@dataclass(frozen=True)
class _View:
    """The map from ground coordinates [P, 2] to pixels."""

    middle: np.ndarray
    pixels_per_unit: float
    picture_middle: np.ndarray

    @staticmethod
    def around(places: np.ndarray, width: int, height: int, strength: float) -> "_View":
        low, high = places.min(axis=0), places.max(axis=0)
        margin = MARGIN * min(width, height) + 12 * strength
        room = np.maximum(np.array([width - 2 * margin, height - 2 * margin - 24 * strength]), 8)
        span = max(np.max((high - low) / room), 1e-9 * max(1.0, float(np.abs(places).max())))
        spread = np.max(high - low)
        scale = 1 / span if spread > 1e-6 * max(1.0, float(np.abs(places).max())) else float(min(room)) / 2
        return _View((low + high) / 2, float(scale), np.array([width / 2, height / 2]))

    def pixels(self, places: np.ndarray) -> np.ndarray:
        """[P, 2] pixels (x right, y down) of ground coordinates [P, 2] (second axis up in the picture)."""
        return self.picture_middle + (places - self.middle) * self.pixels_per_unit * np.array([1, -1])


def finite_poses(cam_to_world: np.ndarray) -> np.ndarray:
    """[N, 3, 4] float64: those of cam_to_world [N, 4, 4] or [N, 3, 4] whose numbers are all finite."""
    poses = np.asarray(cam_to_world, np.float64)[..., :3, :4].reshape(-1, 3, 4)
    return poses[np.isfinite(poses).all(axis=(1, 2))]


def ground_axes(poses: np.ndarray) -> np.ndarray:
    """[2, 3] unit vectors of the ground plane: right and up in the picture."""
    up = _unit(-poses[:, :, 1].mean(axis=0), -poses[0, :, 1])
    forward = poses[:, :, 2].mean(axis=0)
    forward = forward - up * (forward @ up)
    if (
        np.linalg.norm(forward) < 0.1
    ):  # looking all around, or straight down: the first camera's direction, else its down axis
        forward = poses[0, :, 2] - up * (poses[0, :, 2] @ up)
    forward = _unit(forward, np.cross(up, poses[0, :, 0]))
    right = _unit(np.cross(forward, up), poses[0, :, 0])
    return np.stack([right, forward])


def _unit(vector: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    if length > 1e-6:
        return vector / length
    return otherwise / max(float(np.linalg.norm(otherwise)), 1e-12)


def _draw_path(
    picture: np.ndarray,
    view: _View,
    poses: np.ndarray,
    ground: np.ndarray,
    colour: tuple[int, int, int],
    strength: float,
) -> None:
    if not len(poses):
        return
    places = view.pixels(poses[:, :, 3] @ ground.T)
    tick = 0.07 * min(picture.shape[:2])
    directions = poses[:, :, 2] @ ground.T * np.array([1, -1])
    pale = tuple(int(0.45 * c + 0.55 * b) for c, b in zip(colour, BACKGROUND, strict=True))
    thickness, unit = max(1, round(strength)), round(strength * (1 << SHIFT))
    for k in np.unique(np.linspace(0, len(places) - 1, MAX_TICKS).round().astype(int)):
        draw_line(picture, places[k], places[k] + tick * directions[k], pale, thickness)
    for start, end in zip(places[:-1], places[1:], strict=True):
        draw_line(picture, start, end, colour, thickness)
    for place in places:
        cv2.circle(picture, _fixed(place), 2 * unit, colour, -1, cv2.LINE_AA, SHIFT)
    cv2.circle(picture, _fixed(places[0]), 5 * unit, colour, thickness, cv2.LINE_AA, SHIFT)


def _some_finite(points: np.ndarray | None) -> np.ndarray:
    """Numbers of at most MAX_POINTS finite points of [P, 3], evenly spread."""
    if points is None:
        return np.zeros(0, int)
    finite = np.flatnonzero(np.isfinite(points).all(axis=1))
    return finite[np.linspace(0, len(finite) - 1, min(len(finite), MAX_POINTS)).astype(int)]


def _with_surroundings(places: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """Corners [2, 2] of a box around the cameras and most points not much farther away than the median point."""
    low, high = places.min(axis=0), places.max(axis=0)
    if not len(spots):
        return np.stack([low, high])
    middle = (low + high) / 2
    reach = max(2 * max(high - low), 1.2 * np.median(np.linalg.norm(spots - middle, axis=1)))
    wide_low, wide_high = np.percentile(spots, [5, 95], axis=0)
    low = np.minimum(low, np.maximum(wide_low, middle - reach))
    high = np.maximum(high, np.minimum(wide_high, middle + reach))
    return np.stack([low, high])


def _draw_points(picture: np.ndarray, pixels: np.ndarray, colours: np.ndarray | None) -> None:
    """Dots of two by two pixels at `pixels` [P, 2], grey or in a pale shade of `colours` [P, 3]."""
    height, width = picture.shape[:2]
    corner = np.clip(np.floor(pixels), -2, max(height, width)).astype(int)
    seen = (corner >= 0).all(axis=1) & (corner[:, 0] < width - 1) & (corner[:, 1] < height - 1)
    pale = POINT_COLOUR if colours is None else (0.45 * colours[seen] + 0.55 * np.array(BACKGROUND)).astype(np.uint8)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        picture[corner[seen, 1] + down, corner[seen, 0] + right] = pale


def _draw_labels(picture: np.ndarray, labels: list[tuple[str, tuple[int, int, int]]], text_height: int) -> None:
    line, baseline = round(1.8 * text_height), round(1.8 * text_height)
    for label, colour in labels:
        if label:
            left, dot = round(2.2 * text_height), round(0.4 * text_height)
            top = max(0, baseline - round(1.4 * text_height))
            picture[top : baseline + dot, 4 : left + text_width(label, text_height) + 6] = BACKGROUND
            cv2.circle(picture, (left // 2 + 1, baseline - text_height // 2), dot, colour, -1, cv2.LINE_AA)
            put_text(picture, label, left, baseline, text_height, INK)
            baseline += line


def _draw_scale_bar(picture: np.ndarray, pixels_per_unit: float, unit: str, text_height: int) -> None:
    """A bar of 1, 2 or 5 times a power of ten, at most 40 % of the width."""
    height, width = picture.shape[:2]
    longest = 0.4 * width / pixels_per_unit
    power = 10.0 ** np.floor(np.log10(longest))
    length = max(step * power for step in (1, 2, 5) if step * power <= longest)
    pixels = round(length * pixels_per_unit)
    thickness, end_height = max(1, text_height // 10), round(0.4 * text_height)
    x, y = 10, height - 12
    text = f"{length:g} {unit}".strip()
    text_baseline = y - round(0.7 * text_height)
    over = max(pixels, text_width(text, text_height) + 4)
    picture[max(0, text_baseline - round(1.7 * text_height)) : y + 8, x - 6 : x + over + 6] = BACKGROUND
    cv2.line(picture, (x, y), (x + pixels, y), INK, 2 * thickness)
    for end in (x, x + pixels):
        cv2.line(picture, (end, y - end_height), (end, y + end_height), INK, thickness)
    put_text(picture, text, x + 4, text_baseline, text_height, INK)


def _fixed(place: np.ndarray) -> tuple[int, int]:
    # OpenCV counts from the centre of a pixel; far away points are kept inside its integers.
    x, y = np.clip((place - 0.5) * (1 << SHIFT), -(2**24), 2**24).round().astype(int)
    return int(x), int(y)


def draw_line(picture: np.ndarray, start: np.ndarray, end: np.ndarray, colour: tuple[int, ...], thickness: int) -> None:
    """A smooth line between pixels (x, y) [2], float, in place; what lies outside of the picture is cut off."""
    cv2.line(picture, _fixed(start), _fixed(end), colour, thickness, cv2.LINE_AA, SHIFT)
