"""The shard format: what a dataset folder holds, the columns of its index, the names of a sample's parts.

The writer (`zipmap_pl.preprocess`) and the reader (`zipmap_pl.datasets`) both take these facts from here;
shards/README.md tells them to people. Numpy only: preprocessing never imports torch.

    <dataset>/
      dataset.json                     written last: it is there = the dataset is complete
      plan/                            which frame goes to which shard; made first
      <split>/<slug>-000000.tar        standard WebDataset tars, one sample = one frame
      sidecars/<split>/<slug>-000000.npz   what a finished shard adds to the index; written before its tar
      index/<column>.npy               memory-mapped columns over all frames, scenes and shards

Conventions: OpenCV camera axes; `world_to_cam` maps normalised world to camera; the picture covers [0, W] x [0, H],
the centre of pixel (row i, column j) is (j + 0.5, i + 0.5); depth is planar z in normalised units.
"""

import re
import unicodedata
from typing import Final

import numpy as np

# Of dataset.json and the index. Older ones that can be read: schema 3 has no streams and no checksum of dataset.json.
SCHEMA_VERSION: Final = 4
READABLE_VERSIONS: Final = (3, 4)
# Of plans, tars and sidecars, a part of the fingerprint: the bytes of a scene with one stream are those of schema 3.
SHARD_VERSION: Final = 3

DATASET_FILE: Final = "dataset.json"
PLAN_FOLDER: Final = "plan"
SIDECAR_FOLDER: Final = "sidecars"
INDEX_FOLDER: Final = "index"

# Parts of a sample, in the order in which they lie in the tar. `image` is jpg or png, the rest has one extension.
PARTS: Final = ("image", "depth", "dynamic", "object", "camera")
EXTENSIONS: Final = {
    "depth": "depth.npy.zst",
    "dynamic": "dynamic.png",
    "object": "object.png",
    "camera": "camera.json",
}

DEPTH_PERCENTILES: Final = (0.1, 90.0, 95.0, 96.0, 97.0, 98.0, 99.0)
MAX_NEIGHBOURS: Final = 32
MAX_STREAMS: Final = 256
SLUG_LENGTH: Final = 40

# Where a scene's unit (raw units per normalised unit) comes from, and how people are told.
UNIT_FROM_DEPTH: Final = 0  # median valid depth of up to 16 evenly spaced frames
UNIT_FROM_CAMERAS: Final = 1  # no depth: median distance between neighbouring cameras
UNIT_IS_ONE: Final = 2  # neither depth nor motion
UNIT_SOURCES: Final = ("median depth", "median distance of neighbouring cameras", "no depth and no motion")

# Index columns: name -> (dtype, shape of one row). Text columns are two files, <name>.bytes.npy (uint8, UTF-8,
# concatenated) and <name>.offsets.npy (int64, one more than rows).
FRAME_COLUMNS: Final = {
    "frame.scene": (np.uint32, ()),
    "frame.ordinal": (np.uint32, ()),  # place in the planned order of the scene; gaps are faulty frames
    "frame.stream": (np.uint8, ()),  # which stream of the scene: another sequence or device; never falls within a scene
    "frame.shard": (np.uint32, ()),
    "frame.size": (np.uint16, (2,)),  # height, width of the stored picture
    "frame.intrinsics": (np.float64, (4,)),  # fx, fy, cx, cy in pixels of the stored picture
    "frame.world_to_cam": (np.float64, (3, 4)),
    "frame.depth_range": (np.float64, (2,)),  # near, far of the depth coding; 0, 0 without depth
    "frame.depth_percentiles": (np.float32, (len(DEPTH_PERCENTILES),)),  # over valid pixels of a grid of some 20,000
    "frame.valid_share": (np.float32, ()),
    "frame.part_offset": (np.uint64, (len(PARTS),)),  # first byte inside the tar
    "frame.part_length": (np.uint32, (len(PARTS),)),  # 0 = the frame has no such part
    "frame.part_crc32": (np.uint32, (len(PARTS),)),
    "frame.neighbours": (np.int32, (MAX_NEIGHBOURS,)),  # rows counted from the scene's first frame; -1 = none
    "frame.neighbour_overlap": (np.uint8, (MAX_NEIGHBOURS,)),  # share of pixels seen in both, 255 = all
}
FRAME_TEXT_COLUMNS: Final = ("frame.name",)
SCENE_COLUMNS: Final = {
    "scene.split": (np.uint8, ()),  # index into dataset.json "splits"
    "scene.first_frame": (np.int64, ()),
    "scene.frame_count": (np.uint32, ()),
    "scene.unit": (np.float64, ()),  # raw units per normalised unit
    "scene.unit_source": (np.uint8, ()),
    "scene.raw_from_world": (np.float64, (3, 4)),  # x_raw = R (unit * x) + t
    "scene.metres_per_unit": (np.float64, ()),  # metres per normalised unit; NaN where the dataset is not metric
    # Checked while writing; NaN where there is nothing to compare.
    "scene.agreement_median": (np.float32, ()),  # relative difference of depth carried into a later frame
    "scene.agreement_good": (np.float32, ()),  # share of pixels where it is at most 2 %
    "scene.valid_share": (np.float32, ()),  # of pixels with depth, mean over frames
    "scene.largest_step": (np.float32, ()),  # between frames that follow each other, in median steps
    "scene.largest_turn": (np.float32, ()),  # between frames that follow each other, degrees
}
SINCE_SCHEMA_4: Final = ("frame.stream",)  # missing in older ones: 0
SCENE_TEXT_COLUMNS: Final = ("scene.name",)
SHARD_TEXT_COLUMNS: Final = ("shard.path", "shard.sha256")  # path relative to the dataset folder


def slug_of(name: str) -> str:
    """A short name of lower-case ASCII letters, digits and dashes; many names may share one."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:SLUG_LENGTH].rstrip("-") or "scene"


def sample_key(scene_number: int, scene_slug: str, ordinal: int) -> str:
    """Key of one frame inside its tar; ours: webdataset cuts keys at the first dot, USTAR refuses long names."""
    return f"{scene_number:06d}-{scene_slug}/{ordinal:06d}"


def shard_path(split: str, slug: str, number: int) -> str:
    """Path of a shard below its dataset folder."""
    return f"{split}/{slug}-{number:06d}.tar"


def sidecar_path(shard: str) -> str:
    """Path of a shard's sidecar below its dataset folder, from the shard's path."""
    return f"{SIDECAR_FOLDER}/{shard.removesuffix('.tar')}.npz"
