"""One raw frame to the parts of a sample and its row of the index."""

import json
import math
from dataclasses import dataclass

import cv2
import numpy as np

from zipmap_pl.datasets.format.depth_coding import SKY, UNKNOWN, decode_depth, encode_depth, write_codes, write_png
from zipmap_pl.datasets.format.schema import DEPTH_PERCENTILES, EXTENSIONS
from zipmap_pl.datasets.inspection.agreement import DepthView
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.images.resample import fitting_size, nearest_in_cells, resample_depth, resample_layer, shrink_image
from zipmap_pl.preprocess.convert.rectify import rectified
from zipmap_pl.preprocess.engine.frame_checks import (
    usable_cam_to_world,
    usable_distortion,
    usable_intrinsics,
    usable_layers,
)
from zipmap_pl.preprocess.engine.given_overlaps import Overlaps, usable_overlaps
from zipmap_pl.preprocess.engine.plan import ScenePlan
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.raw import RawFault, RawFrame

JPEG_SLACK = 1.25
JPEG_SETTINGS = (
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)
PNG_SETTINGS = (cv2.IMWRITE_PNG_COMPRESSION, 6)
THUMBNAIL_SIDE = 40
PERCENTILE_PIXELS = 20000
SMALLEST_HALF, LARGEST_HALF = 6.2e-5, 65504.0


@dataclass(frozen=True)
class EncodedFrame:
    """A frame as it goes into a shard.

    Attributes:
        parts: part name -> (extension, bytes), in the order of `schema.PARTS`.
        row: values of the index columns that the shard does not decide.
        thumbnail: [h, w] float16 depth in normalised units, 40 pixels on the longer side; 0 where it is not known.
        still: [H, W] uint16 depth codes, 0 where something is known to move.
        overlaps: with other frames of the scene, as the raw data give them.
    """

    parts: dict[str, tuple[str, bytes]]
    row: dict[str, object]
    thumbnail: np.ndarray
    still: np.ndarray
    overlaps: Overlaps

    def depth_view(self) -> DepthView:
        """Depth and camera as they are stored, of what does not move."""
        near, far = np.asarray(self.row["frame.depth_range"]).tolist()
        intrinsics, world_to_cam = (np.asarray(self.row[f"frame.{name}"]) for name in ("intrinsics", "world_to_cam"))
        return DepthView(decode_depth(self.still, near, far), intrinsics, world_to_cam)


def encode_frame(frame: RawFrame, scene: ScenePlan, ordinal: int, settings: EngineSettings) -> EncodedFrame:
    """Check, resize, normalise and code one frame. Raises RawFault if it cannot be used."""
    name = scene.frames[ordinal]
    file = f"{scene.name}/{name}"
    usable_layers(file, frame, scene.size_of(ordinal))
    usable_distortion(file, frame.camera)
    overlaps = usable_overlaps(file, frame, ordinal, scene.frames)
    cam_to_world = usable_cam_to_world(file, frame.camera)  # says what is wrong with this one
    if scene.world_frame is None:
        raise RawFault(file, "no pose of the scene was usable when it was planned; run the same command again")
    world_to_cam = cameras.normalized_world_to_cam(cam_to_world, np.array(scene.raw_from_world), scene.unit)
    raw_height, raw_width = frame.image.shape[:2]
    usable_intrinsics(file, frame.camera, raw_height, raw_width)
    frame = rectified(frame)
    intrinsics = usable_intrinsics(file, frame.camera, raw_height, raw_width)
    height, width = stored_size(raw_height, raw_width, frame.jpeg is not None, settings.max_side)
    intrinsics = cameras.scale_intrinsics(intrinsics, width / raw_width, height / raw_height)
    row: dict[str, object] = {
        "frame.scene": scene.number,
        "frame.ordinal": ordinal,
        "frame.size": (height, width),
        "frame.intrinsics": intrinsics,
        "frame.world_to_cam": world_to_cam,
        "frame.depth_range": (0.0, 0.0),
        "frame.depth_percentiles": np.zeros(len(DEPTH_PERCENTILES)),
        "frame.valid_share": 0.0,
    }
    parts = {"image": _encode_picture(frame, height, width, settings.lossless)}
    codes = np.zeros((height, width), np.uint16)
    thumbnail = np.zeros(fitting_size(height, width, THUMBNAIL_SIDE), np.float16)
    if frame.depth is not None or frame.sky is not None:
        depth, codes = _encode_layers(frame, scene.unit, height, width, row)
        thumbnail = _thumbnail(depth, codes)
        parts["depth"] = (EXTENSIONS["depth"], write_codes(codes))
    still = codes
    if frame.dynamic is not None:
        dynamic = resample_layer(frame.dynamic, height, width)
        parts["dynamic"] = (EXTENSIONS["dynamic"], write_png(dynamic.astype(np.uint8) * 255))
        still = np.where(dynamic, np.uint16(UNKNOWN), codes)
    if frame.object is not None:
        seen = resample_layer(frame.object, height, width)
        parts["object"] = (EXTENSIONS["object"], write_png(seen.astype(np.uint8) * 255))
    parts["camera"] = (EXTENSIONS["camera"], _camera_json(scene, ordinal, row))
    return EncodedFrame(parts, row, thumbnail, still, overlaps)


def stored_size(height: int, width: int, is_jpeg: bool, max_side: int) -> tuple[int, int]:
    """Height and width of the stored picture: never larger than the raw one; a JPEG may be 1.25 times `max_side`."""
    if max(height, width) <= max_side * (JPEG_SLACK if is_jpeg else 1.0):
        return height, width
    return fitting_size(height, width, max_side)


def _encode_picture(frame: RawFrame, height: int, width: int, lossless: bool) -> tuple[str, bytes]:
    if frame.jpeg is not None and frame.image.shape[:2] == (height, width):
        return "jpg", frame.jpeg
    bgr = cv2.cvtColor(shrink_image(frame.image, height, width), cv2.COLOR_RGB2BGR)
    extension, settings = ("png", PNG_SETTINGS) if lossless else ("jpg", JPEG_SETTINGS)
    return extension, cv2.imencode(f".{extension}", bgr, settings)[1].tobytes()


def _encode_layers(
    frame: RawFrame, unit: float, height: int, width: int, row: dict[str, object]
) -> tuple[np.ndarray, np.ndarray]:
    """Depth [height, width] float32 in normalised units and its codes uint16; fills the depth columns of the row."""
    raw = np.zeros(frame.image.shape[:2], np.float32) if frame.depth is None else frame.depth
    depth = resample_depth(raw, height, width).astype(np.float32, copy=False) / np.float32(unit)
    sky = None if frame.sky is None else resample_layer(frame.sky, height, width)
    codes, depth_range = encode_depth(depth, sky)
    known = np.count_nonzero(codes) - np.count_nonzero(codes == SKY)
    if known:
        row["frame.depth_range"] = depth_range
        row["frame.depth_percentiles"] = _percentiles(depth, codes)
        row["frame.valid_share"] = known / codes.size
    return depth, codes


def _percentiles(depth: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Percentiles of the known depths on a regular grid of about 20,000 pixels (of all, if no pixel there is known)."""
    stride = math.ceil(math.sqrt(codes.size / PERCENTILE_PIXELS))
    for grid in ((slice(None, None, stride),) * 2, ...):
        known = depth[grid][(codes[grid] != UNKNOWN) & (codes[grid] != SKY)]
        if known.size:
            break
    return np.percentile(known, DEPTH_PERCENTILES, overwrite_input=True)


def _thumbnail(depth: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """See `EncodedFrame`: known depths stay positive and finite in half precision. Of scattered points, the nearest of each cell."""
    height, width = depth.shape
    size = fitting_size(height, width, THUMBNAIL_SIDE)
    known = np.where((codes != UNKNOWN) & (codes != SKY), depth, np.float32(0))
    cells = ((2 * np.arange(old) + 1) * new // (2 * old) for old, new in zip(depth.shape, size, strict=True))
    thumbnail = nearest_in_cells(known, resample_layer(known, *size), *cells)
    return np.where(thumbnail > 0, np.clip(thumbnail, SMALLEST_HALF, LARGEST_HALF), 0).astype(np.float16)


def _camera_json(scene: ScenePlan, ordinal: int, row: dict[str, object]) -> bytes:
    """The camera part: what someone who streams the tar needs, and the way back to the raw numbers."""
    values = {
        "scene": scene.name,
        "frame": scene.frames[ordinal],
        "size": row["frame.size"],
        "intrinsics": np.asarray(row["frame.intrinsics"]).tolist(),
        "world_to_cam": np.asarray(row["frame.world_to_cam"]).tolist(),
        "depth_range": row["frame.depth_range"],
        "unit": scene.unit,
        "raw_from_world": scene.raw_from_world,
        "metres_per_unit": scene.metres_per_unit,
    }
    if scene.streams:
        values["stream"] = scene.streams[scene.stream_of(ordinal)][0]
    return json.dumps(values, sort_keys=True).encode()
