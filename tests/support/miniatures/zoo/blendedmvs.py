"""BlendedMVS in small: a place in a folder, one with an image that shows no surface, one of the validation list in a zip."""

from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Miniature, TrueFrame, TrueScene
from miniatures.damage import (
    Target,
    found_twice,
    matrix_damages,
    member_damages,
    picture_damages,
    rare,
    unreadable_archive,
)
from miniatures.files import jpeg, to_folder, to_zip
from miniatures.rooms import SCALE, Room, pinhole, turned
from scipy.spatial.transform import Rotation

HEIGHT, WIDTH = 72 * SCALE, 96 * SCALE
K = pinhole(72.25 * SCALE, 48.125 * SCALE, 36.0625 * SCALE)
WORLD = Rotation.from_euler("xyz", (0.4, -1.0, 2.0)).as_matrix()  # the room's axes in the world of the reconstruction
PLAIN, EMPTY, ZIPPED = "5a3ca9cb270f0e3f14d0eddb", "000000000000000000000001", "5b7a3890fc8fcf6781e2593a"
ARCHIVE = "joined.zip"


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    plain, empty, zipped = (
        place(Room((60.0, 40.0, 90.0), seed=1), 8),
        place(Room((0.5, 0.3, 0.8), seed=2), 4, without_surface=3),
        place(Room(seed=3), 4, space=" "),
    )
    to_folder(raw / "BlendedMVS" / PLAIN, plain[0])
    to_folder(raw / EMPTY, empty[0])
    to_zip(raw / ARCHIVE, zipped[0], top=ZIPPED)
    (raw / "BlendedMVG_list.txt").write_text(f"{PLAIN}\n{EMPTY}\n{ZIPPED}\n")
    return [
        TrueScene(EMPTY, "train", empty[1]),
        TrueScene(PLAIN, "train", plain[1]),
        TrueScene(ZIPPED, "val", zipped[1]),
    ]


def place(
    room: Room, count: int, without_surface: int = -1, space: str = ""
) -> tuple[dict[str, bytes], tuple[TrueFrame, ...]]:
    """Files of a place, and the truth; `space` stands at the end of a line in the header of its depths."""
    files: dict[str, bytes] = {}
    frames = []
    for k in range(count):
        name, pose = f"{k:08d}", room.pose(k)
        view = room.see(pose, K, HEIGHT, WIDTH)
        depth = view.depth.astype("<f4")
        depth[: HEIGHT // 3, : WIDTH // 8] = 0
        if k == without_surface:
            depth[:] = 0
        cam_to_world = turned(pose, WORLD)
        files[f"blended_images/{name}.jpg"] = jpeg(view.image, 95)
        files[f"blended_images/{name}_masked.jpg"] = jpeg(
            np.where(depth[..., None] > 0, view.image, 0).astype(np.uint8), 95
        )
        files[f"cams/{name}_cam.txt"] = camera_text(np.linalg.inv(cam_to_world))
        files[f"rendered_depth_maps/{name}.pfm"] = pfm(depth, space)
        frames.append(TrueFrame(name, view.image, K, cam_to_world, depth.astype(np.float64)))
    scores = [f"{k}\n1 {(k + 1) % count} 250.5\n" for k in range(count)]
    files["cams/pair.txt"] = "".join([f"{count}\n", *scores]).encode()
    return files, tuple(frames)


def camera_text(world_to_cam: np.ndarray) -> bytes:
    """A file of a camera."""
    lines = ["extrinsic", *(" ".join(f"{value:.12g}" for value in row) for row in world_to_cam)]
    lines += ["", "intrinsic", *(" ".join(f"{value:.12g}" for value in row) for row in K)]
    return ("\n".join([*lines, "", "58.6333 1.46043515625 128.0 245.569"]) + "\n").encode()


def pfm(depth: np.ndarray, space: str = "") -> bytes:
    """A map [H, W] float32, the bottom row first."""
    height, width = depth.shape
    return f"Pf\n{width} {height}{space}\n-1.000000\n".encode() + np.ascontiguousarray(depth[::-1], "<f4").tobytes()


FOLDER = f"BlendedMVS/{PLAIN}"
IMAGE = Target(f"{FOLDER}/blended_images/00000002.jpg", PLAIN, ("00000002",))
CAMERA = Target(f"{FOLDER}/cams/00000003_cam.txt", PLAIN, ("00000003",))
DEPTH = Target(f"{FOLDER}/rendered_depth_maps/00000004.pfm", PLAIN, ("00000004",))
IN_ZIP = Target(f"{ZIPPED}/rendered_depth_maps/00000002.pfm", ZIPPED, ("00000002",))
COPY = f"z/{PLAIN}"


def _other_pose(change: object) -> spoil.Harm:
    """Another extrinsic of a camera."""

    def harm(file: Path) -> None:
        words = file.read_text().split()
        file.write_bytes(camera_text(np.asarray(change(np.array(words[1:17], np.float64).reshape(4, 4)))))

    return harm


def _other_depth(depth: np.ndarray) -> spoil.Harm:
    return lambda file: file.write_bytes(pfm(depth))


def _lying_pfm(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"96 72", b"30000 30000"))


MINIATURE = Miniature(
    name="blendedmvs",
    write=write,
    metres_per_raw_unit=None,
    picture_tolerance=3.0,  # JPEG
    damages=(
        *picture_damages(IMAGE),
        *matrix_damages(CAMERA, _other_pose),
        DEPTH.damage("depth missing", spoil.remove, "missing"),
        DEPTH.damage("depth truncated", spoil.truncate, "unreadable PFM: its header promises 96x72"),
        DEPTH.damage("depth garbage", spoil.garbage, "unreadable PFM: begins with"),
        DEPTH.damage(
            "depth of another size", _other_depth(np.ones((36, 48))), "depth is 48x36", blamed=f"{PLAIN}/00000004"
        ),
        CAMERA.damage("camera missing", spoil.remove, "missing"),
        CAMERA.damage("camera cut off", spoil.keep_lines(3), "8 numbers after 'extrinsic', expected 16"),
        CAMERA.damage("intrinsics of words", spoil.line(7, "a b c"), "intrinsic: could not convert"),
        CAMERA.damage(
            "intrinsics of another image",
            spoil.line(7, "72 0 900"),
            "principal point 900, 36.0625 is outside",
            blamed=f"{PLAIN}/00000003",
        ),
        *member_damages(IN_ZIP, ARCHIVE),
        unreadable_archive(ARCHIVE, scenes=(ZIPPED,)),
        found_twice(PLAIN, COPY, lambda raw: (raw / COPY).mkdir(parents=True), used=FOLDER),
        *rare(
            DEPTH.damage("depth empty", spoil.empty, "empty file"),
            DEPTH.damage("depth a folder", spoil.turn_into_folder, "is a folder"),
            DEPTH.damage("depth with a lying header", _lying_pfm, "promises 30000x30000"),
            IMAGE.damage("picture of another size", spoil.other_size, "picture is 48x36", blamed=f"{PLAIN}/00000002"),
        ),
    ),
)
MINIATURES = (MINIATURE,)
