"""ScanNet in small: .sens as downloaded, exported folders, an exported zip, equally large cameras, test scans."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, found_twice, member_damages, picture_damages, rare
from miniatures.files import jpeg, png, to_folder, to_zip
from miniatures.rooms import SCALE, Room, turned

# As 1296x968 and 640x480 do, the sizes differ by factors that are no whole numbers and not the same for both sides.
COLOUR, DEPTH = (130 * SCALE, 97 * SCALE), (64 * SCALE, 48 * SCALE)  # width, height
K_DEPTH = np.array(
    ((57.2 * SCALE, 0.0, 32.0 * SCALE), (0.0, 57.4 * SCALE, 24.0 * SCALE), (0.0, 0.0, 1.0))
)  # from the picture's corner
Z_UP = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)))  # from right, down, forward
LOST = np.full((4, 4), -np.inf)
SENS, SAME_SIZE, TEST = "scene0000_00", "scene0704_00", "scene0707_00"
EXPORTED, SHORT, ZIPPED = "scene0001_01", "scene0002_00", "scene0705_00"
SENS_FILE, SAME_SIZE_FILE = f"scans/{SENS}/{SENS}.sens", f"scans/{SAME_SIZE}/{SAME_SIZE}.sens"


@dataclass
class Scan:
    """One scan: what is stored of each frame, and the truth.

    Attributes:
        colour: width, height of the pictures.
        jpegs, depths, poses: of each frame.
        truth: of the frames that can be used.
    """

    colour: tuple[int, int]
    jpegs: list[bytes] = field(default_factory=list)
    depths: list[np.ndarray] = field(default_factory=list)
    poses: list[np.ndarray] = field(default_factory=list)
    truth: list[TrueFrame] = field(default_factory=list)


def scan(seed: int, count: int, lost: tuple[int, ...] = (), colour: tuple[int, int] = COLOUR) -> Scan:
    """A walk through a room; tracking is lost at some frames."""
    room, made = Room(seed=seed), Scan(colour)
    scale = np.array(((colour[0] / DEPTH[0],), (colour[1] / DEPTH[1],), (1.0,)))
    for k in range(count):
        pose = room.pose(k)
        picture = room.see(pose, K_DEPTH * scale, colour[1], colour[0]).image
        made.jpegs.append(jpeg(picture, quality=98))
        view = room.see(pose, K_DEPTH, DEPTH[1], DEPTH[0])
        millimetres = np.rint(view.depth * 1000).astype(np.uint16)
        millimetres[3:9, 5:11] = 0
        made.depths.append(millimetres)
        cam_to_world = turned(pose, Z_UP)
        made.poses.append(LOST if k in lost else cam_to_world)
        if k not in lost:
            made.truth.append(TrueFrame(str(k), view.image, K_DEPTH, cam_to_world, millimetres / 1000))
    return made


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    scans = {
        SENS: scan(1, 8, lost=(0, 5)),
        EXPORTED: scan(2, 12, lost=(4,)),
        SHORT: scan(6, 3),
        SAME_SIZE: scan(3, 3, colour=DEPTH),
        ZIPPED: scan(4, 3),
        TEST: scan(5, 3),
    }
    write_sens(raw / SENS_FILE, scans[SENS], imu=1)
    (raw / f"scans/{SENS}/{SENS}.txt").write_text("numDepthFrames = 8\n")
    write_sens(raw / SAME_SIZE_FILE, scans[SAME_SIZE])
    write_sens(raw / f"scans_test/{TEST}/{TEST}.sens", scans[TEST])
    for name in (EXPORTED, SHORT):
        to_folder(raw / "scans_train" / name, exported(scans[name], "intrinsic/intrinsic_depth.txt"))
    to_zip(raw / "frames.zip", exported(scans[ZIPPED], "intrinsics_depth.txt"), top=f"frames/{ZIPPED}")
    return [TrueScene(name, "test" if name == TEST else "train", tuple(scans[name].truth)) for name in _by_split(scans)]


def _by_split(names: dict[str, Scan]) -> list[str]:
    return sorted(names, key=lambda name: (name != TEST, name))


def stored(intrinsics: np.ndarray) -> np.ndarray:
    """[4, 4] as ScanNet stores intrinsics: from the centre of the first pixel."""
    matrix = np.eye(4)
    matrix[:3, :3] = intrinsics
    matrix[:2, 2] -= 0.5
    return matrix


def write_sens(file: Path, made: Scan, imu: int = 0, **changes: object) -> None:
    """A .sens; `changes` are fields of the header that are not as they should be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    frames = [
        record(pose, picture, zlib.compress(depth.astype("<u2").tobytes()))
        for pose, picture, depth in zip(made.poses, made.jpegs, made.depths, strict=True)
    ]
    data = [header(made, **changes), *frames, struct.pack("<Q", imu)]
    data += [struct.pack("<15dQ", *range(15), k) for k in range(imu)]
    file.write_bytes(b"".join(data))


def header(made: Scan, **changes: object) -> bytes:
    """Header of a .sens."""
    scale = np.array(((made.colour[0] / DEPTH[0],), (made.colour[1] / DEPTH[1],), (1.0,)))
    is_: dict = {
        "version": 4,
        "name": b"StructureSensor",
        "colour_k": stored(K_DEPTH * scale),
        "colour_extrinsics": np.eye(4),
        "depth_k": stored(K_DEPTH),
        "depth_extrinsics": np.eye(4),
        "colour_kind": 2,
        "depth_kind": 1,
        "colour": made.colour,
        "depth": DEPTH,
        "shift": 1000.0,
        "frames": len(made.poses),
    } | changes
    parts = [struct.pack("<I", is_["version"]), struct.pack("<Q", len(is_["name"])), is_["name"]]
    for name in ("colour_k", "colour_extrinsics", "depth_k", "depth_extrinsics"):
        parts.append(np.asarray(is_[name], "<f4").tobytes())
    parts.append(struct.pack("<ii", is_["colour_kind"], is_["depth_kind"]))
    parts.append(struct.pack("<IIII", *is_["colour"], *is_["depth"]))
    parts.append(struct.pack("<f", is_["shift"]) + struct.pack("<Q", is_["frames"]))
    return b"".join(parts)


def record(pose: np.ndarray, picture: bytes, depth: bytes) -> bytes:
    """One frame of a .sens."""
    times = struct.pack("<QQ", 1_000, 1_000)
    return pose.astype("<f4").tobytes() + times + struct.pack("<QQ", len(picture), len(depth)) + picture + depth


def exported(made: Scan, intrinsics: str) -> dict[str, bytes]:
    """The files that the official exporter writes, by their path."""
    files = {intrinsics: as_text(stored(K_DEPTH))}
    if "/" in intrinsics:
        files["intrinsic/extrinsic_depth.txt"] = files["intrinsic/extrinsic_color.txt"] = as_text(np.eye(4))
    for k, (pose, picture, depth) in enumerate(zip(made.poses, made.jpegs, made.depths, strict=True)):
        files[f"color/{k}.jpg"] = picture
        files[f"depth/{k}.png"] = png(depth)
        files[f"pose/{k}.txt"] = as_text(pose)
    return files


def as_text(matrix: np.ndarray) -> bytes:
    """As the exporter writes a matrix."""
    return "".join(" ".join(f"{value:f}" for value in row) + "\n" for row in matrix).encode()


# Damages: of a .sens of eight frames, of one of three (whose header is spoilt), of an exported scan, of a small one.

THREE = ("0", "1", "2")
START = 304 + len("StructureSensor")
JPEG_COUNT, DEPTH_COUNT, BLOBS = 80, 88, 96  # in a record
EIGHT = Target(SENS_FILE, SENS)
SENS_OF_THREE = Target(SAME_SIZE_FILE, SAME_SIZE, THREE)
AGAIN, NOTHING = f"scans_train/{SAME_SIZE}", "scans_test/scene0708_00"
Change = Callable[[bytearray, list[int]], bytes]


def _export(file: str, frame: str, blamed: str = "") -> Target:
    return Target(f"scans_train/{EXPORTED}/{file}", EXPORTED, (frame,), blamed=blamed)


def _of_short(file: str) -> Target:
    return Target(f"scans_train/{SHORT}/{file}", SHORT, THREE)


PICTURE_10, POSE_6 = _export("color/10.jpg", "10"), _export("pose/6.txt", "6")
PICTURE_6, DEPTH_6 = (_export(file, "6", f"{EXPORTED}/6") for file in ("color/6.jpg", "depth/6.png"))


def _sens(kind: str, change: Change, reason: str, *lost: str) -> Damage:
    """Change the bytes of the .sens of eight frames; `change` is also given where its records start, and the last one ends."""

    def harm(file: Path) -> None:
        data, starts = bytearray(file.read_bytes()), [START]
        for _ in range(8):
            starts.append(starts[-1] + BLOBS + sum(struct.unpack_from("<QQ", data, starts[-1] + JPEG_COUNT)))
        file.write_bytes(change(data, starts))

    return EIGHT.damage(f".sens {kind}", harm, reason, frames=lost)


def _header(kind: str, reason: str, lost: tuple[str, ...] = THREE, **changes: object) -> Damage:
    """Another header of the .sens of three frames."""
    there = {"frames": 3} | changes
    harm = lambda file: file.write_bytes(header(Scan(DEPTH), **there) + file.read_bytes()[START:])  # noqa: E731
    return SENS_OF_THREE.damage(f".sens {kind}", harm, reason, frames=lost)


def _put(offset: int, new: bytes) -> Change:
    """Other bytes in the record of frame 3."""
    return lambda data, starts: data[: starts[3] + offset] + new + data[starts[3] + offset + len(new) :]


def _frame_3(picture: bytes | None = None, depth: bytes | None = None) -> Change:
    """Another picture or depth (deflated already) of frame 3."""

    def change(data: bytearray, starts: list[int]) -> bytes:
        count, _ = struct.unpack_from("<QQ", data, starts[3] + JPEG_COUNT)
        blobs = data[starts[3] + BLOBS : starts[4]]
        new = record(np.eye(4), picture or bytes(blobs[:count]), depth or bytes(blobs[count:]))
        return data[: starts[3]] + new + data[starts[4] :]

    return change


def _lying_jpeg(data: bytearray, starts: list[int]) -> bytes:
    """Frame 3's JPEG promises 30,000 x 30,000 pixels."""
    size = data.index(b"\xff\xc0", starts[3] + BLOBS) + 5
    data[size : size + 4] = struct.pack(">HH", 30_000, 30_000)
    return data


def _turned_picture(file: Path) -> None:
    cv2.imwrite(str(file), np.rot90(cv2.imread(str(file))))


SMALL_JPEG = jpeg(np.zeros((48, 64, 3), np.uint8), quality=95)
MIRRORED = np.diag((1, 1, -1, 1)).astype("<f4").tobytes()

MINIATURE = Miniature(
    name="scannet",
    write=write,
    already_lost=(
        Expected(SENS, SENS_FILE, "tracking was lost", ("0", "5"), usual=True),
        Expected(EXPORTED, f"{EXPORTED}/pose/4.txt", "tracking was lost", ("4",), usual=True),
    ),
    picture_tolerance=1.5,  # two JPEG steps away, and reduced from twice the size
    damages=(
        SENS_OF_THREE.damage(
            ".sens missing, and not exported",
            spoil.remove,
            f"neither {SAME_SIZE}.sens nor",
            blamed=f"scans/{SAME_SIZE}",
        ),
        SENS_OF_THREE.damage(".sens garbage", spoil.garbage, "version is"),
        _sens("cut off in a picture", lambda d, s: d[: s[6] + 300], "6 of 8 frames are there", "6", "7"),
        _header("with Occipital's depth", "depth is coded as 2 .Occipital", depth_kind=2),
        _header("promising 12 frames", "3 of 12 frames are there", tuple(map(str, range(3, 12))), frames=12),
        _sens("with a lying depth count", _put(DEPTH_COUNT, struct.pack("<Q", 2**64 - 1)), "3 of 8", *"34567"),
        _sens("with a small picture", _frame_3(SMALL_JPEG), "picture is 64x48, the header says 130x97", "3"),
        _sens("with a nan pose", _put(0, struct.pack("<f", np.nan)), "pose holds nan", "3"),
        *picture_damages(PICTURE_10),
        *member_damages(Target(f"frames/{ZIPPED}/color/1.jpg", ZIPPED, ("1",)), "frames.zip"),
        DEPTH_6.damage(
            "depth of another size", spoil.other_size, "picture is 32x24, the pictures of this scene are 64x48"
        ),
        DEPTH_6.damage("depth missing", spoil.remove, "missing", blamed="depth/6.png"),
        POSE_6.damage("pose missing", spoil.remove, "missing"),
        _of_short("intrinsic/intrinsic_depth.txt").damage("intrinsics missing", spoil.remove, "missing"),
        found_twice(
            SAME_SIZE,
            AGAIN,
            lambda raw: (raw / AGAIN / "color").mkdir(parents=True),
            "scan found twice",
            f"scans/{SAME_SIZE}",
        ),
        *rare(
            SENS_OF_THREE.damage(".sens empty", spoil.empty, "empty file"),
            SENS_OF_THREE.damage(".sens a folder", spoil.turn_into_folder, "is a folder"),
            SENS_OF_THREE.damage(
                ".sens cut off in its header", lambda f: f.write_bytes(f.read_bytes()[:200]), "in its header"
            ),
            _sens("cut off in a record's head", lambda d, s: d[: s[6] + 20], "6 of 8 frames are there", "6", "7"),
            _sens("cut off between frames", lambda d, s: d[: s[7]], "7 of 8 frames are there", "7"),
            _header("of another version", "version is 3, expected 4", version=3),
            _header("of an endless sensor", "name has 2000 bytes", name=b"x" * 2000),
            _header("with PNG pictures", r"pictures are coded as 1 \(PNG\)", colour_kind=1),
            _header("with unknown compression", "depth is coded as -1", depth_kind=-1),
            _header("with huge depth", "depth of 4000000000x48", depth=(4_000_000_000, 48)),
            _header("with other depth", "not the 6400 bytes of 64x50", depth=(64, 50)),
            _header("with other pictures", "the header says 4000x3000", colour=(4000, 3000)),
            _header("without depth shift", "depth shift is 0", shift=0.0),
            _header("with NaN intrinsics", "cy are .*nan", depth_k=np.full((4, 4), np.nan)),
            _header("with no focal length", r"cy are \[0.0, 0.0", depth_k=np.zeros((4, 4))),
            _header("promising no frames", "promises no frames", frames=0),
            _header("promising 2^60 frames", "promises 1152921504606846976 frames", (), frames=2**60),
            _sens("with a lying picture count", _put(JPEG_COUNT, struct.pack("<Q", 2**62)), "3 of 8", *"34567"),
            _sens("with a garbled picture", _put(BLOBS, bytes(200)), "unreadable picture", "3"),
            _sens("with a lying picture", _lying_jpeg, "promises 30000x30000 pixels", "3"),
            _sens("with short depth", _frame_3(depth=zlib.compress(bytes(1000))), "depth: not the 6144", "3"),
            _sens("with a depth bomb", _frame_3(depth=zlib.compress(bytes(1 << 24))), "depth: not the 6144", "3"),
            _sens("with a mirrored pose", _put(0, MIRRORED), "determinant", "3"),
            PICTURE_6.damage(
                "picture turned", _turned_picture, "picture is 97x130, depth is 64x48", blamed="color/6.jpg"
            ),
            DEPTH_6.damage("depth truncated", spoil.truncate, "cut off or altered", blamed="depth/6.png"),
            DEPTH_6.damage(
                "depth with a lying header", spoil.lying_png_header, "promises 30000x30000", blamed="depth/6.png"
            ),
            DEPTH_6.damage(
                "depth of 8 bits",
                spoil.put_picture(np.ones((48, 64), np.uint8)),
                "depth is uint8, expected 16 bits",
                blamed="depth/6.png",
            ),
            POSE_6.damage("pose cut off", spoil.keep_lines(3), "12 numbers, expected a 4x4"),
            POSE_6.damage("pose garbage", spoil.line(0, "a b c d"), "could not convert"),
            _of_short("intrinsic/intrinsic_depth.txt").damage(
                "intrinsics -inf", lambda file: file.write_bytes(as_text(LOST)), "cy are .*inf"
            ),
            _of_short("depth").damage("no depth at all", spoil.remove, "missing, or without frames"),
            Target(NOTHING, "scene0708_00").damage(
                "folder without frames", Path.mkdir, "neither scene0708_00.sens nor"
            ),
        ),
    ),
)
MINIATURES = (MINIATURE,)
