"""Mid-Air in small: one climate unpacked and zipped, one with its records in a zip and a `frames` folder, a test flight."""

import shutil
from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, member_damages, picture_damages, rare
from miniatures.files import hdf5, jpeg, png, to_folder, to_zip
from miniatures.rooms import SCALE, Room, pinhole, turned
from scipy.spatial.transform import Rotation

SIDE = 48 * SCALE
K = pinhole(SIDE / 2, SIDE / 2, SIDE / 2)
KITE, PLE, TEST = "Kite_training/sunny", "PLE_training/fall", "Kite_test/foggy"
PLAIN, ZIPPED, NESTED, TESTED = (
    f"{place}/trajectory_{number}" for place, number in ((KITE, 3000), (KITE, 3001), (PLE, 4000), (TEST, 3000))
)
RECORDS = "sensor_records.hdf5"
POSITION, ATTITUDE, IMAGES = "groundtruth/position", "groundtruth/attitude", "camera_data/color_left"
# Rows: north, east, down (the flight's world) in a room's right, down, forward.
NED = np.array(((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
# Columns: the camera's right, down, forward in the body's forward, right, down.
CAMERA_IN_BODY = np.array(((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
CAMERA_PLACE = (0.5, 0.0, 0.0)  # in the body: half a meter in front of what is recorded
ROWS_PER_IMAGE = 4  # 100 Hz, 25 Hz
WIDE = Room((20.0, 8.0, 25.0), open_sky=True, seed=2)


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    plain, zipped, nested, tested = (
        _flight("trajectory_3000", Room(seed=1), 9, sky_from=0),
        _flight("trajectory_3001", WIDE, 3, more_images=2),
        _flight("trajectory_4000", WIDE, 4),
        _flight("trajectory_3000", Room(seed=4), 2),
    )
    to_folder(raw / KITE, {RECORDS: hdf5({**plain[0], **zipped[0]})})
    to_folder(raw / KITE, {f"{part}/trajectory_3000/{name}": data for part, name, data in plain[1]})
    for part in ("color_left", "depth"):
        files = {name: data for where, name, data in zipped[1] if where == part}
        to_zip(raw / KITE / f"{part}/trajectory_3001/frames.zip", files)
    to_zip(raw / PLE / "sensor_records.zip", {RECORDS: hdf5(nested[0])})
    to_folder(raw / PLE, {f"{part}/trajectory_4000/frames/{name}": data for part, name, data in nested[1]})
    to_folder(raw / TEST, {RECORDS: hdf5(tested[0])})
    to_folder(raw / TEST, {f"{part}/trajectory_3000/{name}": data for part, name, data in tested[1]})
    return [
        TrueScene(TESTED, "test", tested[2]),
        TrueScene(PLAIN, "train", plain[2]),
        TrueScene(ZIPPED, "train", zipped[2]),
        TrueScene(NESTED, "train", nested[2]),
    ]


def _flight(
    name: str, room: Room, count: int, sky_from: int | None = None, more_images: int = 0
) -> tuple[dict[str, object], list[tuple[str, str, bytes]], tuple[TrueFrame, ...]]:
    """Arrays of the records; part, name and bytes of each image; the truth."""
    camera = np.array([turned(room.pose(row / ROWS_PER_IMAGE), NED) for row in range(ROWS_PER_IMAGE * count)])
    body = camera[:, :3, :3] @ CAMERA_IN_BODY.T
    place = camera[:, :3, 3] - body @ CAMERA_PLACE
    names = [f"{k:06d}" for k in range(count)]
    listed = [*names, *(f"{k:06d}" for k in range(count, count + more_images))]
    records: dict[str, object] = {
        f"{name}/{POSITION}": place,
        f"{name}/{ATTITUDE}": Rotation.from_matrix(body).as_quat()[:, (3, 0, 1, 2)],  # w first
        f"{name}/groundtruth/velocity": np.zeros((len(place), 3)),
        f"{name}/{IMAGES}": [f"color_left/{name}/{k}.JPEG" for k in listed],
        f"{name}/camera_data/depth": [f"depth/{name}/{k}.PNG" for k in listed],
    }
    files, frames = [], []
    for k, frame in enumerate(names):
        view = room.see(room.pose(k), K, SIDE, SIDE)
        stored = (view.depth * lengths()).astype(np.float16)
        stored[view.sky] = 65504.0 if k % 2 else 31740.0
        stored[3, 4] = np.nan
        if sky_from is not None:
            stored[0, :3] = (999.5, 1000.0, np.inf)  # the first is a place far away
        files.append(("color_left", f"{frame}.JPEG", jpeg(view.image, 95)))
        files.append(("depth", f"{frame}.PNG", png(stored.view(np.uint16))))
        sky = stored >= 1000
        known = np.where(sky | np.isnan(stored), 0, stored.astype(np.float64)) / lengths()
        frames.append(TrueFrame(frame, view.image, K, camera[ROWS_PER_IMAGE * k], known, sky))
    return records, files, tuple(frames)


def lengths() -> np.ndarray:
    """How far away [SIDE, SIDE] what lies in the plane at distance 1 is, through each pixel's center."""
    u, v = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    return np.sqrt((u - SIDE / 2) ** 2 + (v - SIDE / 2) ** 2 + (SIDE / 2) ** 2) / (SIDE / 2)


def names(count: int) -> tuple[str, ...]:
    """Names of the first frames of a flight."""
    return tuple(f"{k:06d}" for k in range(count))


def _row(kind: str, key: str, row: int, value: object, reason: str) -> Damage:
    """Another row of the records of the first flight; the image taken then is lost."""

    def change(array: np.ndarray) -> np.ndarray:
        array[row] = value
        return array

    target = Target(f"{KITE}/{RECORDS}", PLAIN, (f"{row // 4:06d}",))
    return target.damage(kind, spoil.hdf5_at(f"trajectory_3000/{key}", change), reason)


def _no_records(kind: str, harm: spoil.Harm, reason: str) -> Damage:
    """The records of a climate: its flights are not known then, so the image that is too late is not told."""
    blamed = f"{PLE}/{RECORDS}" if harm is spoil.remove else ""
    target = Target(f"{PLE}/sensor_records.zip", PLE, scenes=(NESTED,), blamed=blamed)
    return target.damage(kind, harm, reason)


def _of_flight(kind: str, key: str, change: object, reason: str, lost: tuple[str, ...] = ()) -> Damage:
    """The records of the first flight: all of it is lost, or these frames."""
    target = Target(f"{KITE}/{RECORDS}", PLAIN, lost, scenes=() if lost else (PLAIN,))
    return target.damage(kind, spoil.hdf5_at(f"trajectory_3000/{key}", change), reason)


def _found_twice(raw: Path) -> list[Expected]:
    shutil.copytree(raw / KITE / "depth", raw / "copy" / KITE / "depth")
    return [
        Expected(PLAIN, f"copy/{KITE}/depth/trajectory_3000", "found twice"),
        Expected(ZIPPED, f"copy/{KITE}/depth/trajectory_3001/frames.zip", "found twice"),
    ]


IMAGE = Target(f"{KITE}/color_left/trajectory_3000/000004.JPEG", PLAIN, ("000004",))
DEPTH = Target(f"{KITE}/depth/trajectory_3000/000002.PNG", PLAIN, ("000002",))
BLAMED = {"blamed": f"{PLAIN}/000002"}
FRAMES_ZIP = f"{KITE}/color_left/trajectory_3001/frames.zip"
NO_FOLDER = Target(f"{KITE}/depth/trajectory_3000", PLAIN, scenes=(PLAIN,))

MINIATURE = Miniature(
    name="midair",
    write=write,
    already_lost=(Expected(ZIPPED, f"{KITE}/{RECORDS}", "2 images .*later than the last pose"),),
    picture_tolerance=3.0,  # JPEG, colors at half the resolution
    damages=(
        *picture_damages(IMAGE),
        *picture_damages(DEPTH, "depth", "cut off or altered|unreadable picture"),
        *member_damages(Target("000001.JPEG", ZIPPED, ("000001",)), FRAMES_ZIP)[:-1],  # what leads out is not looked at
        DEPTH.damage("depth of 8 bits", spoil.put_picture(np.ones((SIDE, SIDE), np.uint8)), "depth is uint8"),
        DEPTH.damage("depth of another size", spoil.other_size, "depth is 24x24, the picture is 48x48", **BLAMED),
        NO_FOLDER.damage("no depth of a flight", spoil.remove, "missing"),
        _row("pose nan", POSITION, 16, np.nan, "pose holds nan"),
        _row("pose without rotation", ATTITUDE, 20, 0.0, "pose holds nan"),
        _no_records("no records", spoil.remove, "missing"),
        _of_flight("fewer attitudes", ATTITUDE, lambda array: array[:28], "2 images .*later than", names(9)[7:]),
        Damage("folders found twice", _found_twice),
        *rare(
            _no_records("records truncated", spoil.truncate, "unreadable zip"),
            _of_flight("positions in a plane", POSITION, lambda array: array[:, :2], r"\[36, 2\], expected"),
            _of_flight("no list of images", IMAGES, lambda array: None, "holds no 'trajectory_3000/camera"),
            _of_flight("an image twice", IMAGES, lambda array: array[[0, 1, 1]], "names an image twice"),
            _of_flight("another list", IMAGES, lambda array: np.array([b"../a.JPEG"]), "names the image '../a.JPEG'"),
            Target(FRAMES_ZIP, ZIPPED, scenes=(ZIPPED,)).damage("unreadable archive", spoil.truncate, "unreadable zip"),
        ),
    ),
)
MINIATURES = (MINIATURE,)
