"""CO3Dv2 in small: apples in folders (upright and wide, one of bad quality, one whose cameras failed), a vase in two zips."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, member_damages, picture_damages, rare
from miniatures.files import jpeg, png, to_folder, to_zip
from miniatures.rooms import SCALE, Room, pinhole, turned
from scipy.spatial.transform import Rotation

TALL, WIDE = (60 * SCALE, 40 * SCALE), (40 * SCALE, 60 * SCALE)  # height, width
FOCAL = 52.0 * SCALE
FLIP = np.diag((-1.0, -1.0, 1.0))  # from x right, y down to x left, y up
WORLD = Rotation.from_euler("xyz", (0.5, 1.5, -0.7)).as_matrix()
APPLE, BOTH, BAD, FAILED, UNLISTED, VASE = (
    "110_13051_23361",
    "189_20393_38136",
    "5_1_2",
    "6_1_2",
    "7_1_2",
    "62_4318_10726",
)
FIRST_FILE = 5  # the number of the first file's name
NO_DEPTH, NO_CAMERA = 6, 7  # frames of APPLE
EXPECTED = "no pixel has a depth that several views agree on"

Files = dict[str, bytes]
Entries = list[dict[str, Any]]


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    apple = sequence("apple", APPLE, Room((8.0, 5.0, 9.0), seed=1), 9, TALL)
    both = sequence("apple", BOTH, Room(seed=2), 4, WIDE, per_side=(1, 3))
    bad, failed, unlisted = (sequence("apple", name, Room(seed=3), 2, WIDE) for name in (BAD, FAILED, UNLISTED))
    failed[1][1]["viewpoint"]["T"] = [9e4, 9e4, 0.0]
    vase = sequence("vase", VASE, Room((0.5, 0.6, 0.5), seed=4), 4, TALL)
    apple[1][NO_CAMERA]["viewpoint"] = None
    usable = [frame for k, frame in enumerate(apple[2]) if k not in (NO_DEPTH, NO_CAMERA)]

    apples = (apple, both, bad, failed, unlisted)
    entries = [entry for made in reversed(apples) for entry in reversed(made[1])]  # in no order
    scores = {APPLE: 0.9, BOTH: 0.51, BAD: 0.5, FAILED: 0.8, UNLISTED: 2.0}
    to_folder(
        raw,
        {**lists("apple", entries, scores, "fewview_train"), **{k: v for made in apples for k, v in made[0].items()}},
    )
    to_folder(
        raw, {"apple/set_lists/set_lists_fewview_dev.json": json.dumps({"train": [], "val": [], "test": []}).encode()}
    )
    masks = {name: data for name, data in vase[0].items() if "/masks/" in name}
    to_zip(raw / "vase_000.zip", {name: data for name, data in vase[0].items() if name not in masks})
    to_zip(raw / "vase_001.zip", {**masks, **lists("vase", vase[1], {VASE: 1.0}, "fewview_dev")})
    to_folder(raw, {"ball/notes.txt": b"one of the ten that are not read"})
    return [
        TrueScene(f"apple/{APPLE}", "train", tuple(usable)),
        TrueScene(f"apple/{BOTH}", "train", tuple(both[2])),
        TrueScene(f"vase/{VASE}", "train", tuple(vase[2])),
    ]


def sequence(
    category: str, name: str, room: Room, count: int, size: tuple[int, int], per_side: tuple[int, ...] = ()
) -> tuple[Files, Entries, list[TrueFrame]]:
    """Files, entries of the list of frames, truth; `per_side` are frames whose intrinsics are in units of each side's half."""
    files, entries, frames = Files(), Entries(), list[TrueFrame]()
    height, width = size
    intrinsics = pinhole(FOCAL, width / 2 + 1.5, height / 2 - 0.5)
    for k in range(count):
        pose, stem = room.pose(k), f"frame{k + FIRST_FILE:06d}"
        view = room.see(pose, intrinsics, height, width)
        scale = 1.0 if k % 2 else 1.25
        stored = (view.depth / scale).astype(np.float16)
        stored[2, 3:6] = np.nan, np.inf, 0.0
        agreed = np.full(size, 255, np.uint8)
        agreed[: height // 6], agreed[-2, :2] = 0, (127, 128)
        if k == NO_DEPTH and name == APPLE:
            agreed[:] = 0
        seen = np.full(size, 102, np.uint8)  # 0.4 is not enough
        seen[height // 4 : -height // 4, width // 4 : -width // 4] = 103
        top = f"{category}/{name}"
        files[f"{top}/images/{stem}.jpg"] = jpeg(view.image, 95)
        files[f"{top}/depths/{stem}.jpg.geometric.png"] = png(stored.view(np.uint16))
        files[f"{top}/depth_masks/{stem}.png"] = png(agreed)
        files[f"{top}/masks/{stem}.png"] = png(seen)
        cam_to_world = turned(pose, WORLD)
        entries.append(entry(top, name, k, stem, size, scale, cam_to_world, intrinsics, k in per_side))
        with np.errstate(invalid="ignore"):
            known = np.where((agreed > 127) & np.isfinite(stored), stored.astype(np.float64) * scale, 0)
        frames.append(TrueFrame(stem, view.image, intrinsics, cam_to_world, known, object=seen > 102))
    return files, entries, frames


def entry(
    top: str,
    name: str,
    k: int,
    stem: str,
    size: tuple[int, int],
    scale: float,
    cam_to_world: np.ndarray,
    intrinsics: np.ndarray,
    per_side: bool,
) -> dict[str, Any]:
    """One frame as the list of frames has it."""
    world_to_cam = np.linalg.inv(cam_to_world)
    height, width = size
    half = np.array((width, height)) / 2 if per_side else np.full(2, min(size) / 2)
    return {
        "sequence_name": name,
        "frame_number": k,
        "frame_timestamp": k / 30,
        "image": {"path": f"{top}/images/{stem}.jpg", "size": list(size)},
        "depth": {
            "path": f"{top}/depths/{stem}.jpg.geometric.png",
            "scale_adjustment": scale,
            "mask_path": f"{top}/depth_masks/{stem}.png",
        },
        "mask": {"path": f"{top}/masks/{stem}.png", "mass": 1.0},
        "viewpoint": {
            "R": (FLIP @ world_to_cam[:3, :3]).T.tolist(),
            "T": (FLIP @ world_to_cam[:3, 3]).tolist(),
            "focal_length": (np.diag(intrinsics)[:2] / half).tolist(),
            "principal_point": ((np.array((width, height)) / 2 - intrinsics[:2, 2]) / half).tolist(),
            **({} if per_side else {"intrinsics_format": "ndc_isotropic"}),
        },
        "meta": None,
    }


def lists(category: str, entries: Entries, scores: dict[str, float], subset: str) -> Files:
    """The lists of a category; all sequences but UNLISTED are for training."""
    sequences = [
        {
            "sequence_name": name,
            "category": category,
            "video": None,
            "point_cloud": None,
            "viewpoint_quality_score": score,
        }
        for name, score in scores.items()
    ]
    train = [
        [e["sequence_name"], e["frame_number"], e["image"]["path"]] for e in entries if e["sequence_name"] != UNLISTED
    ]
    test = [
        [e["sequence_name"], e["frame_number"], e["image"]["path"]] for e in entries if e["sequence_name"] == UNLISTED
    ]
    return {
        f"{category}/frame_annotations.jgz": compressed(entries),
        f"{category}/sequence_annotations.jgz": compressed(sequences),
        f"{category}/set_lists/set_lists_{subset}.json": json.dumps({"train": train, "val": [], "test": test}).encode(),
    }


def compressed(values: object) -> bytes:
    """A .jgz."""
    return gzip.compress(json.dumps(values).encode(), mtime=0)


def _entry(change: dict[str, Any], **parts: Any) -> spoil.Harm:  # noqa: ANN401
    """Another entry of the fourth frame of APPLE: parts of its viewpoint, or of the entry itself."""

    def harm(file: Path) -> None:
        entries = json.loads(gzip.decompress(file.read_bytes()))
        found = next(e for e in entries if e["sequence_name"] == APPLE and e["frame_number"] == 3)
        found["viewpoint"].update(change)
        found.update(parts)
        file.write_bytes(compressed(entries))

    return harm


SCENE = f"apple/{APPLE}"
STEM_2, STEM_3, STEM_4 = (f"frame{k + FIRST_FILE:06d}" for k in (2, 3, 4))
IMAGE = Target(f"{SCENE}/images/{STEM_2}.jpg", SCENE, (STEM_2,))
DEPTH = Target(f"{SCENE}/depths/{STEM_4}.jpg.geometric.png", SCENE, (STEM_4,))
MASK = Target(f"{SCENE}/depth_masks/{STEM_4}.png", SCENE, (STEM_4,))
OBJECT = Target(f"{SCENE}/masks/{STEM_4}.png", SCENE, (STEM_4,))
ENTRY = Target("apple/frame_annotations.jgz", SCENE, (STEM_3,), blamed=f"{SCENE}/images/{STEM_3}.jpg")
APPLES = tuple(f"apple/{name}" for name in (APPLE, BOTH))
IN_ZIP = Target(f"vase/{VASE}/depths/{STEM_2}.jpg.geometric.png", f"vase/{VASE}", (STEM_2,))


def _category(kind: str, file: str, harm: spoil.Harm, reason: str) -> Damage:
    """A list that all of a category needs: its other faults go with it."""

    def spoil_it(raw: Path) -> list[Expected]:
        harm(raw / file)
        return [Expected("apple", file, reason, lost_scenes=APPLES)]

    return Damage(kind, spoil_it)


ALREADY = (
    Expected(SCENE, "", EXPECTED, (f"frame{NO_DEPTH + FIRST_FILE:06d}",), usual=True),
    Expected(SCENE, "", "has no camera", (f"frame{NO_CAMERA + FIRST_FILE:06d}",), usual=True),
    Expected(f"apple/{FAILED}", "apple/frame_annotations.jgz", "is nowhere, or further away than 100000"),
)

MINIATURE = Miniature(
    name="co3dv2",
    write=write,
    metres_per_raw_unit=None,
    picture_tolerance=3.0,  # JPEG
    already_lost=ALREADY,
    damages=(
        *picture_damages(IMAGE),
        *picture_damages(DEPTH, "depth", "cut off or altered|unreadable picture"),
        MASK.damage("depth mask missing", spoil.remove, "missing"),
        MASK.damage("depth mask of another size", spoil.other_size, "mask is 20x30, depth 40x60"),
        OBJECT.damage("object mask truncated", spoil.truncate, "cut off or altered|unreadable picture"),
        DEPTH.damage("depth of 8 bits", spoil.put_picture(np.ones(TALL, np.uint8)), "depth is uint8, expected 16 bits"),
        ENTRY.damage("pose nan", _entry({"R": [[float("nan")] * 3] * 3}), "pose holds nan"),
        ENTRY.damage("pose without rotation", _entry({"R": [[0, 0, 0]] * 3}), "pose is no rotation"),
        ENTRY.damage(
            "size of another image",
            _entry({}, image={"path": f"{SCENE}/images/{STEM_3}.jpg", "size": [40, 60]}),
            "image is 40x60",
        ),
        *member_damages(IN_ZIP, "vase_000.zip"),
        *rare(
            ENTRY.damage("pose mirrored", _entry({"R": [[1, 0, 0], [0, 1, 0], [0, 0, -1]]}), "determinant -1"),
            DEPTH.damage("depth of another size", spoil.other_size, "depth 20x30"),
        ),
    ),
)
MINIATURES = (MINIATURE,)
