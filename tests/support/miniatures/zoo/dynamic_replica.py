"""Dynamic Replica in small: a split in folders, one in a zip, one in the top folder; both cameras of each sequence."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, found_twice, member_damages, picture_damages, rare, unreadable_archive
from miniatures.files import png, rgba_png, to_folder, to_zip
from miniatures.rooms import SCALE, Room, pinhole, turned
from scipy.spatial.transform import Rotation

HEIGHT, WIDTH = 36 * SCALE, 64 * SCALE
K = pinhole(50.0 * SCALE, WIDTH / 2 + 1.25, HEIGHT / 2 - 0.75)
FLIP = np.diag((-1.0, -1.0, 1.0))  # from x right, y down to x left, y up
WORLD = Rotation.from_euler("xyz", (0.9, -1.2, 0.4)).as_matrix()
BASELINE = 0.2
TRAIN, SHORT, VALID, TEST, NOT_THERE = "009850-3_obj", "e0ff8f-3_obj", "1be301-3_obj", "7c8a1b-3_obj", "ffffff-7_obj"
VALID_ZIP = "valid_000.zip"

Files = dict[str, bytes]
Entries = list[dict[str, Any]]


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    train, short, valid, test = (
        sequence(TRAIN, Room((4.0, 2.5, 5.0), seed=1), 8),
        sequence(SHORT, Room(seed=2), 3, "ndc_norm_image_bounds"),
        sequence(VALID, Room(seed=3), 3),
        sequence(TEST, Room(seed=4), 2),
    )
    gone = sequence(NOT_THERE, Room(seed=5), 2)[1]
    to_folder(
        raw / "train", {**train[0], **short[0], "frame_annotations_train.jgz": listed(gone + short[1] + train[1])}
    )
    to_folder(raw / f"train/{TRAIN}_source_left/images", {"done.ok": b"x"})
    to_zip(raw / VALID_ZIP, {**valid[0], "frame_annotations_valid.jgz": listed(valid[1])}, top="valid")
    to_folder(raw, {**test[0], "frame_annotations_test.jgz": listed(test[1])})
    return [
        TrueScene(f"{folder}/{name}/{camera}", split, frames[camera])
        for folder, split, name, frames in (
            ("test", "test", TEST, test[2]),
            ("train", "train", TRAIN, train[2]),
            ("train", "train", SHORT, short[2]),
            ("valid", "val", VALID, valid[2]),
        )
        for camera in ("left", "right")
    ]


def sequence(
    name: str, room: Room, count: int, unit: str = "ndc_isotropic"
) -> tuple[Files, Entries, dict[str, tuple[TrueFrame, ...]]]:
    """Files of both cameras, entries of the list (all left ones first, backwards), truth by camera."""
    files, entries, truth = Files(), Entries(), dict[str, tuple[TrueFrame, ...]]()
    for camera in ("left", "right"):
        frames, folder = [], f"{name}_source_{camera}"
        for k in range(count):
            pose = room.pose(3 * k)  # far enough apart that a wrong scale shows
            pose[:3, 3] += BASELINE * pose[:3, 0] * (camera == "right")
            view = room.see(pose, K, HEIGHT, WIDTH)
            stored = view.depth.astype(np.float16)
            stored[2, 3:8] = 0.0, np.inf, np.nan, 9e-6, -1.0
            image = f"{folder}/images/{folder}-{k:04d}.png"
            depth = f"{folder}/depths/{folder}_{k:04d}.geometric.png"
            alpha = np.full((HEIGHT, WIDTH), 200, np.uint8)
            files[image] = rgba_png(view.image, alpha) if name == SHORT else png(view.image)
            files[depth] = png(stored.view(np.uint16))
            cam_to_world = turned(pose, WORLD)
            entries.insert(0 if camera == "left" else count, entry(name, camera, k, image, depth, cam_to_world, unit))
            with np.errstate(invalid="ignore"):
                known = np.where(np.isfinite(stored) & (stored >= 1e-5), stored, 0).astype(np.float64)
            frames.append(TrueFrame(f"{k:04d}", view.image, K, cam_to_world, known))
        truth[camera] = tuple(frames)
    return files, entries, truth


def entry(
    name: str, camera: str, k: int, image: str, depth: str, cam_to_world: np.ndarray, unit: str
) -> dict[str, Any]:
    """One frame as the list has it."""
    world_to_cam, middle = np.linalg.inv(cam_to_world), np.array((WIDTH, HEIGHT)) / 2
    half = middle if unit != "ndc_isotropic" else np.full(2, middle.min())
    flow = {f"flow_{way}{part}": {"path": None} for way in ("forward", "backward") for part in ("", "_mask")}
    return {
        "sequence_name": name,
        "frame_number": k,
        "frame_timestamp": k / 30,
        "camera_name": camera,
        "image": {"path": image, "size": [HEIGHT, WIDTH]},
        "depth": {"path": depth, "scale_adjustment": 1.0, "mask_path": None},
        "mask": {"path": "not/there.png", "mass": 1.0, "bounding_box_xywh": [0, 0, 1, 1]},
        "viewpoint": {
            "R": (FLIP @ world_to_cam[:3, :3]).T.tolist(),
            "T": (FLIP @ world_to_cam[:3, 3]).tolist(),
            "focal_length": (np.diag(K)[:2] / half).tolist(),
            "principal_point": ((middle - K[:2, 2]) / half).tolist(),
            "intrinsics_format": unit,
        },
        "meta": None,
        "instance_id_map_path": {"path": "not/there.png"},
        "trajectories": {"path": None},
        **flow,
    }


def listed(entries: Entries) -> bytes:
    """A .jgz."""
    return gzip.compress(json.dumps(entries).encode(), mtime=0)


def changed(change: dict[str, Any], **parts: Any) -> spoil.Harm:  # noqa: ANN401
    """Another entry of the fourth left frame of TRAIN: parts of its viewpoint, or of the entry itself."""

    def harm(file: Path) -> None:
        entries = json.loads(gzip.decompress(file.read_bytes()))
        found = next(
            e for e in entries if (e["sequence_name"], e["camera_name"], e["frame_number"]) == (TRAIN, "left", 3)
        )
        found["viewpoint"].update(change)
        found.update(parts)
        file.write_bytes(listed(entries))

    return harm


LEFT = f"train/{TRAIN}/left"
IMAGE = Target(f"train/{TRAIN}_source_left/images/{TRAIN}_source_left-0002.png", LEFT, ("0002",))
DEPTH = Target(f"train/{TRAIN}_source_left/depths/{TRAIN}_source_left_0004.geometric.png", LEFT, ("0004",))
ENTRY = Target("train/frame_annotations_train.jgz", LEFT, ("0003",))
IN_ZIP = Target(f"valid/{VALID}_source_left/images/{VALID}_source_left-0001.png", f"valid/{VALID}/left", ("0001",))
OF_TRAIN = tuple(f"train/{name}/{camera}" for name in (TRAIN, SHORT) for camera in ("left", "right"))
COPY = f"z/{TRAIN}_source_left"


def _list(kind: str, harm: spoil.Harm, reason: str) -> Damage:
    def spoil_it(raw: Path) -> list[Expected]:
        harm(raw / ENTRY.file)
        return [Expected("train", ENTRY.file, reason, lost_scenes=OF_TRAIN)]

    return Damage(kind, spoil_it)


MINIATURE = Miniature(
    name="dynamic_replica",
    write=write,
    options=("--cameras", "left,right"),
    damages=(
        *picture_damages(IMAGE),
        *picture_damages(DEPTH, "depth", "cut off or altered|unreadable picture"),
        DEPTH.damage("depth of 8 bits", spoil.put_picture(np.ones((HEIGHT, WIDTH), np.uint8)), "expected 16 bits"),
        DEPTH.damage("depth of another size", spoil.other_size, "depth is 32x18", blamed=f"{LEFT}/0004"),
        ENTRY.damage("pose nan", changed({"T": [float("nan")] * 3}), "pose holds nan"),
        ENTRY.damage("pose without rotation", changed({"R": [[0, 0, 0]] * 3}), "pose is no rotation"),
        ENTRY.damage("no camera", changed({}, viewpoint=None), "a frame has no camera"),
        _list("list truncated", spoil.truncate, "unreadable gzip"),
        _list("list garbage", spoil.garbage, "unreadable gzip"),
        *member_damages(IN_ZIP, VALID_ZIP),
        unreadable_archive(VALID_ZIP, scenes=tuple(f"valid/{VALID}/{camera}" for camera in ("left", "right"))),
        found_twice(LEFT, COPY, lambda raw: (raw / COPY).mkdir(parents=True), used=f"train/{TRAIN}_source_left"),
        *rare(
            ENTRY.damage("pose mirrored", changed({"R": [[1, 0, 0], [0, 1, 0], [0, 0, -1]]}), "determinant -1"),
            _list("list with an entry that is none", spoil.put("[{}]"), "unreadable gzip"),
        ),
    ),
)
MINIATURES = (MINIATURE,)
