"""Hypersim in small: pictures planes as they are, turned, shifted and tilted; folders and a zip; splits; an excluded scene."""

import csv
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, found_twice, hdf5_damages, member_damages, rare, unreadable_archive
from miniatures.files import to_folder, to_zip
from miniatures.rooms import SCALE, Room, View, turned
from scipy.spatial.transform import Rotation

HEIGHT, WIDTH = 72 * SCALE, 96 * SCALE
KEYFRAMES = 100
MISSING = 3  # no frame of this number is published
CSV = "metadata_camera_parameters.csv"
SPLITS = "metadata_images_split_scene_v1.csv"
ORIENTATIONS, POSITIONS = "camera_keyframe_orientations.hdf5", "camera_keyframe_positions.hdf5"
OPENGL = np.diag((1.0, -1.0, -1.0))
# Rows: right, forward, up (the raw world) in a room's right, down, forward.
Z_UP = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)))
STANDARD = np.array(((1.7320509, 0, 0, 0), (0, 2.3094011, 0, 0), (0, 0, -1.002002, -2.002002), (0, 0, -1, 0)))
# Of ai_028_008 as published: tilted, shifted, and turned about all axes.
TILTED = np.array(
    (
        (1.71602933, 0.0, 0.0, 0.0),
        (0.04977691, 2.26579353, 0.3543544, 0.0),
        (-0.13854599, 0.0, -0.98628835, -2.002002),
        (-0.13826918, 0.0, -0.98431774, 0.0),
    )
)
# A picture plane that is hardly tilted: another standard camera, turned by this.
SLIGHT = Rotation.from_euler("xyz", (0.3, -0.2, 0.1), degrees=True).as_matrix()
TURNED = STANDARD.copy()
TURNED[:, :3] = STANDARD[:, :3] @ OPENGL @ SLIGHT @ OPENGL


@dataclass(frozen=True)
class Scene:
    """One trajectory: name, room in metres, M_proj, metres per asset unit, number of frames, split."""

    name: str
    room: Room
    projection: np.ndarray
    metres: float
    count: int
    split: str

    @property
    def scene(self) -> str:
        return self.name.split("/")[0]


PLAIN = Scene("ai_001_001/cam_00", Room(seed=1), STANDARD, 0.0254, 9, "train")
SECOND = Scene("ai_001_001/cam_02", Room(seed=6), STANDARD, 0.0254, 2, "train")
OUTSIDE = Scene("ai_028_008/cam_00", Room((5.0, 3.0, 6.0), open_sky=True, seed=2), TILTED, 1.0, 7, "val")
ZIPPED = Scene("ai_033_003/cam_01", Room(seed=3), TURNED, 0.01, 4, "train")
EXCLUDED = Scene("ai_004_007/cam_00", Room(seed=4), STANDARD, 0.01, 2, "train")
SCENES = (PLAIN, SECOND, OUTSIDE, ZIPPED, EXCLUDED)
ARCHIVE = f"{ZIPPED.scene}.zip"


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    _write_cameras(raw / CSV)
    _write_splits(raw / SPLITS)
    true = []
    for scene in SCENES:
        files, frames = _trajectory(scene)
        if scene is ZIPPED:
            to_zip(raw / ARCHIVE, files, top=scene.scene)
        else:
            to_folder(raw / scene.scene if scene is not OUTSIDE else raw / scene.scene / scene.scene, files)
        if scene is not EXCLUDED:
            true.append(TrueScene(scene.name, scene.split, frames))
    return sorted(true, key=lambda scene: (scene.split, scene.name))


def _write_cameras(file: Path) -> None:
    rows = []
    for scene in {scene.scene: scene for scene in SCENES}.values():
        row = {"scene_name": scene.scene, "settings_output_img_width": float(WIDTH)}
        row |= {"settings_output_img_height": float(HEIGHT)}
        row |= {"settings_units_info_meters_scale": float(np.float32(scene.metres)), "camera_physical_lens_file": ""}
        row |= {f"M_proj_{i}{j}": float(scene.projection[i, j]) for i in range(4) for j in range(4)}
        rows.append(row)
    _write_csv(file, rows)


def _write_splits(file: Path) -> None:
    columns = "scene_name,camera_name,frame_id,included_in_public_release,exclude_reason,split_partition_name"
    rows = []
    for scene in SCENES:
        camera = scene.name.split("/")[1]
        for k in range(scene.count + 1):
            public = k != MISSING
            values = (scene.scene, camera, k, public, "" if public else "people", scene.split if public else "")
            rows.append(dict(zip(columns.split(","), values, strict=True)))
    _write_csv(file, rows)


def _write_csv(file: Path, rows: list[dict[str, object]]) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _trajectory(scene: Scene) -> tuple[dict[str, bytes], tuple[TrueFrame, ...]]:
    camera = scene.name.split("/")[1]
    poses = [turned(scene.room.pose(k), Z_UP) for k in range(KEYFRAMES)]
    files = {
        "_detail/metadata_scene.csv": f"parameter_name,parameter_value\nmeters_per_asset_unit,{scene.metres}\n".encode(),
        "_detail/metadata_cameras.csv": b"camera_name\ncam_00\ncam_01\ncam_02\n",
        f"_detail/{camera}/{ORIENTATIONS}": hdf5(np.array([pose[:3, :3] @ OPENGL for pose in poses])),
        f"_detail/{camera}/{POSITIONS}": hdf5(np.array([pose[:3, 3] / scene.metres for pose in poses])),
        f"images/scene_{camera}_final_preview/frame.0000.tonemap.jpg": b"not read",
    }
    frames = []
    for k in numbers_of(scene):
        picture, frame = _frame(scene, k, poses[k])
        frames.append(frame)
        for name, array in picture.items():
            kind = "final" if name == "color" else "geometry"
            files[f"images/scene_{camera}_{kind}_hdf5/frame.{k:04d}.{name}.hdf5"] = hdf5(array)
    return files, tuple(frames)


def _frame(scene: Scene, k: int, cam_to_world: np.ndarray) -> tuple[dict[str, np.ndarray], TrueFrame]:
    """The arrays of the raw files, and the truth."""
    pose, rays = scene.room.pose(k), exact_rays(scene.projection)
    view = scene.room.trace(pose, rays)
    with np.errstate(invalid="ignore"):
        distance = np.where(view.sky, np.nan, view.depth).astype(np.float16)
    entity = np.where(view.sky, -1, 7).astype(np.int16)
    distance[:2, :3], entity[:2, :3] = np.nan, -1  # a window to nothing
    distance[5, 7] = np.nan  # a surface without depth
    colour = ((view.image / 255.0) ** 2.2 * (0.5 + 0.1 * k)).astype(np.float16)
    colour[0, 0] = (np.inf, np.nan, 1.0)
    brightness = colour.astype(np.float64) @ (0.30, 0.59, 0.11)
    scale = 0.8**2.2 / np.percentile(brightness[entity != -1], 90)
    clean = np.nan_to_num(colour.astype(np.float64), nan=0.0, posinf=6e4)
    image = np.floor(255 * np.clip((clean * scale) ** (1 / 2.2), 0, 1)).astype(np.uint8)
    arrays = {"color": colour, "depth_meters": distance, "render_entity_id": entity}
    known = np.where(np.isfinite(distance), distance, 0).astype(np.float64)
    name, sky = f"{k:04d}", entity == -1
    if scene.projection is not TILTED:
        turn = SLIGHT if scene.projection is TURNED else np.eye(3)
        written = cam_to_world.copy()
        written[:3, :3] = cam_to_world[:3, :3] @ turn.T
        intrinsics = np.diag((WIDTH / 2 * STANDARD[0, 0], HEIGHT / 2 * STANDARD[1, 1], 1.0))
        intrinsics[:2, 2] = WIDTH / 2, HEIGHT / 2
        return arrays, TrueFrame(name, image, intrinsics, written, known * (rays @ turn.T)[..., 2], sky)

    turn = towards_middle(scene.projection)
    there, written = np.eye(4), cam_to_world.copy()
    there[:3] = np.column_stack((pose[:3, :3] @ turn.T, pose[:3, 3]))
    written[:3, :3] = cam_to_world[:3, :3] @ turn.T
    gain = ((0.5 + 0.1 * k) * scale) ** (1 / 2.2)

    def seen(intrinsics: np.ndarray) -> View:
        there_is = scene.room.see(there, intrinsics, HEIGHT, WIDTH)
        return View(np.clip(there_is.image * gain, 0, 255).astype(np.uint8), there_is.depth, there_is.sky)

    return arrays, TrueFrame(name, image, np.eye(3), written, known, sky, seen=seen)


def exact_rays(projection: np.ndarray, columns: np.ndarray | None = None, rows: np.ndarray | None = None) -> np.ndarray:
    """Rays of length 1 [..., 3], right, down, forward, through places of the picture (default: the pixels' centres).

    By the inverse of the projection, which is what M_cam_from_uv holds: u to the right, v up, from -1 to 1.
    """
    if columns is None or rows is None:
        columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    uv = np.stack((2 * columns / WIDTH - 1, 1 - 2 * rows / HEIGHT, np.ones_like(rows)), axis=-1)
    rays = uv @ np.linalg.inv(projection[np.ix_((0, 1, 3), (0, 1, 2))]).T @ OPENGL
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def towards_middle(projection: np.ndarray) -> np.ndarray:
    """The rotation of a camera that looks at the mean of the rays through the corners, its x axis along the rows."""
    corners = exact_rays(projection, np.array((0.0, WIDTH, WIDTH, 0.0)), np.array((0.0, 0.0, HEIGHT, HEIGHT)))
    forward = corners.mean(axis=0) / np.linalg.norm(corners.mean(axis=0))
    # The rows' direction in space is where all of them meet: perpendicular to the planes of the first and the last row.
    first, last = np.cross(corners[0], corners[1]), np.cross(corners[3], corners[2])
    along = np.cross(last, first)
    along *= np.sign(along @ (corners[1] - corners[0]))
    right = along - forward * (along @ forward)
    right /= np.linalg.norm(right)
    return np.stack((right, np.cross(forward, right), forward))


def hdf5(array: np.ndarray, key: str = "dataset") -> bytes:
    """A file of one array; maps are compressed as published."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", track_order=False) as file:
        packed = {"compression": "gzip", "compression_opts": 9} if array.dtype.itemsize == 2 else {}
        file.create_dataset(key, data=array, **packed)
    return stream.getvalue()


def frames_of(scene: Scene) -> tuple[str, ...]:
    """Names of all frames of a scene."""
    return tuple(f"{k:04d}" for k in numbers_of(scene))


def numbers_of(scene: Scene) -> list[int]:
    """Their numbers: one is missing, as in every scene of the published data that shows people."""
    return [k for k in range(scene.count + 1) if k != MISSING][: scene.count]


# Damages.

IMAGES, PATH = f"{PLAIN.scene}/images/scene_cam_00", f"{PLAIN.scene}/_detail/cam_00"
DISTANCE_0 = Target(f"{IMAGES}_geometry_hdf5/frame.0000.depth_meters.hdf5", PLAIN.name, ("0000",))
COLOUR_5 = Target(f"{IMAGES}_final_hdf5/frame.0005.color.hdf5", PLAIN.name, ("0005",))
ENTITY_2 = Target(f"{IMAGES}_geometry_hdf5/frame.0002.render_entity_id.hdf5", PLAIN.name, ("0002",))
IN_ZIP = Target(f"{ZIPPED.scene}/images/scene_cam_01_final_hdf5/frame.0002.color.hdf5", ZIPPED.name, ("0002",))
ALL_TURNS, ALL_PLACES = (Target(f"{PATH}/{name}", PLAIN.name, frames_of(PLAIN)) for name in (ORIENTATIONS, POSITIONS))
SECOND_PICTURES = f"{SECOND.scene}/images/scene_cam_02_final_hdf5"
ROW = Target(CSV, OUTSIDE.name, frames_of(OUTSIDE))


def _at(kind: str, target: Target, place: tuple[int, ...], value: object, reason: str) -> Damage:
    """Another value in an array of the camera's path, of the frame `place[0]`; the orientations are to blame."""

    def change(array: np.ndarray) -> np.ndarray:
        array[place] = value
        return array

    return target.damage(kind, spoil.hdf5(change), reason, frames=(f"{place[0]:04d}",), blamed=f"cam_00/{ORIENTATIONS}")


def _row(kind: str, change: Callable[[dict], object], reason: str) -> Damage:
    """Another row of the list of cameras for the scene with the tilted picture plane; none if `change` says "none"."""

    def harm(file: Path) -> None:
        with file.open() as stream:
            rows = list(csv.DictReader(stream))
        _write_csv(file, [row for row in rows if row["scene_name"] != OUTSIDE.scene or change(row) != "none"])

    return ROW.damage(kind, harm, reason)


def _scale(raw: Path) -> list[Expected]:
    spoil.line(1, "meters_per_asset_unit,-0.01")(raw / PLAIN.scene / "_detail/metadata_scene.csv")
    reason, file = "meters_per_asset_unit is '-0.01', expected a positive number", "_detail/metadata_scene.csv"
    return [Expected(scene.name, file, reason, frames_of(scene)) for scene in (PLAIN, SECOND)]


def _scale_told_by_the_list(raw: Path) -> list[Expected]:
    (raw / PLAIN.scene / "_detail/metadata_scene.csv").unlink()
    return []


def _no_split(file: Path) -> None:
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line for line in lines if not line.startswith(OUTSIDE.scene)) + "\n")


def _unpack(raw: Path) -> None:
    with zipfile.ZipFile(raw / ARCHIVE) as archive:
        archive.extractall(raw)


MINIATURE = Miniature(
    name="hypersim",
    write=write,
    options=("--official-splits",),
    # The formula of the tone mapping ends in rounding down: another order of its operations may fall a level short.
    picture_tolerance=0.01,
    damages=(
        *hdf5_damages(DISTANCE_0),
        ENTITY_2.damage("entities missing", spoil.remove, "missing"),
        ENTITY_2.damage(
            "entities of another size",
            spoil.hdf5(lambda array: array[::2, ::2]),
            r"int16\[36, 48\], expected integers \[72, 96\]",
        ),
        *member_damages(IN_ZIP, ARCHIVE),
        _at("pose nan", ALL_TURNS, (0, 1, 1), np.nan, "pose holds nan"),
        ALL_TURNS.damage("no orientations", spoil.remove, "missing"),
        ALL_PLACES.damage(
            "fewer keyframes than frames",
            spoil.hdf5(lambda array: array[:8]),
            "8 keyframes, fewer than frames",
            frames=("0008", "0009"),
        ),
        Damage("scale negative", _scale),
        _row("scene not in the list of cameras", lambda row: "none", "no row for ai_028_008"),
        _row(
            "projection mirrored",
            lambda row: row.update(M_proj_00=-1.7),
            "M_proj of ai_028_008: the projection is none",
        ),
        Target(SPLITS, OUTSIDE.name, frames_of(OUTSIDE)).damage("no split", _no_split, f"no split for {OUTSIDE.scene}"),
        found_twice(ZIPPED.name, f"/{ZIPPED.scene}", _unpack),
        unreadable_archive(ARCHIVE, scenes=(ZIPPED.name,)),
        *rare(
            COLOUR_5.damage("picture truncated", spoil.truncate, "unreadable HDF5 file"),
            COLOUR_5.damage(
                "picture without channels",
                spoil.hdf5(lambda array: array[..., 0]),
                r"float16\[72, 96\], expected floats \[72, 96, 3\]",
            ),
            _at("pose -inf", ALL_PLACES, (5, 1), -np.inf, "pose holds -inf"),
            _at("pose without rotation", ALL_TURNS, (5,), 0.0, "pose is no rotation"),
            _at("pose mirrored", ALL_TURNS, (5,), np.diag((1.0, 1.0, -1.0)), "determinant -1.000"),
            ALL_PLACES.damage("positions garbage", spoil.garbage, "unreadable HDF5 file"),
            ALL_PLACES.damage(
                "positions in a plane",
                spoil.hdf5(lambda array: array[:, :2]),
                r"float64\[100, 2\], expected floats \[N, 3\]",
            ),
            Damage("scale in the list of cameras only", _scale_told_by_the_list),
            _row(
                "projection garbage",
                lambda row: row.update(M_proj_11="x"),
                "M_proj_11 of ai_028_008 is 'x', expected a",
            ),
            _row(
                "projection inf",
                lambda row: row.update(M_proj_30="inf"),
                "M_proj_30 of ai_028_008 is 'inf', expected a",
            ),
            _row(
                "size zero",
                lambda row: row.update(settings_output_img_width=0),
                "img_width of ai_028_008 is '0', expected",
            ),
            Target(SECOND_PICTURES, SECOND.name, frames_of(SECOND)).damage("no pictures", spoil.remove, "missing"),
        ),
    ),
)
MINIATURES = (MINIATURE,)
