"""ScanNet in small: .sens as downloaded, exported folders, an exported zip, equally large cameras, test scans."""

import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from miniatures import damage
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.rooms import Room, turned

# As 1296x968 and 640x480 do, the sizes differ by factors that are no whole numbers and not the same for both sides.
COLOUR, DEPTH = (130, 97), (64, 48)  # width, height
K_DEPTH = np.array(((57.2, 0.0, 32.0), (0.0, 57.4, 24.0), (0.0, 0.0, 1.0)))  # from the picture's corner
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
        made.jpegs.append(cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 98))[1].tobytes())
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
        for file, data in exported(scans[name], "intrinsic/intrinsic_depth.txt").items():
            (raw / "scans_train" / name / file).parent.mkdir(parents=True, exist_ok=True)
            (raw / "scans_train" / name / file).write_bytes(data)
    with zipfile.ZipFile(raw / "frames.zip", "w") as archive:
        for file, data in exported(scans[ZIPPED], "intrinsics_depth.txt").items():
            archive.writestr(f"frames/{ZIPPED}/{file}", data)
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
        record(pose, jpeg, zlib.compress(depth.astype("<u2").tobytes()))
        for pose, jpeg, depth in zip(made.poses, made.jpegs, made.depths, strict=True)
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


def record(pose: np.ndarray, jpeg: bytes, depth: bytes) -> bytes:
    """One frame of a .sens."""
    times = struct.pack("<QQ", 1_000, 1_000)
    return pose.astype("<f4").tobytes() + times + struct.pack("<QQ", len(jpeg), len(depth)) + jpeg + depth


def exported(made: Scan, intrinsics: str) -> dict[str, bytes]:
    """The files that the official exporter writes, by their path."""
    files = {intrinsics: as_text(stored(K_DEPTH))}
    if "/" in intrinsics:
        files["intrinsic/extrinsic_depth.txt"] = files["intrinsic/extrinsic_color.txt"] = as_text(np.eye(4))
    for k, (pose, jpeg, depth) in enumerate(zip(made.poses, made.jpegs, made.depths, strict=True)):
        files[f"color/{k}.jpg"] = jpeg
        files[f"depth/{k}.png"] = cv2.imencode(".png", depth)[1].tobytes()
        files[f"pose/{k}.txt"] = as_text(pose)
    return files


def as_text(matrix: np.ndarray) -> bytes:
    """As the exporter writes a matrix."""
    return "".join(" ".join(f"{value:f}" for value in row) + "\n" for row in matrix).encode()


# Damages.

THREE = ("0", "1", "2")
LOST_IN_SENS = Expected(SENS, SENS_FILE, "pose holds -inf", ("0", "5"))
START = 304 + len("StructureSensor")
JPEG_COUNT, DEPTH_COUNT, BLOBS = 80, 88, 96  # in a record


def _starts(data: bytes) -> list[int]:
    """Where the records of the undamaged .sens start, and where the last one ends."""
    starts = [START]
    for _ in range(8):
        starts.append(starts[-1] + BLOBS + sum(struct.unpack_from("<QQ", data, starts[-1] + JPEG_COUNT)))
    return starts


def _sens(kind: str, change: Callable[[bytearray, list[int]], bytes], reason: str, lost: tuple[str, ...]) -> Damage:
    """Change the bytes of the .sens, of which the starts of its records are given."""

    def harm(raw: Path) -> list[Expected]:
        data = bytearray((raw / SENS_FILE).read_bytes())
        (raw / SENS_FILE).write_bytes(change(data, _starts(data)))
        return [Expected(SENS, SENS_FILE, reason, lost)]

    return Damage(f".sens {kind}", harm)


def _header(kind: str, reason: str, lost: tuple[str, ...] = THREE, **changes: object) -> Damage:
    """Another header of a .sens of three frames."""

    def harm(file: Path) -> None:
        data = file.read_bytes()
        file.write_bytes(header(Scan(DEPTH), **({"frames": 3} | changes)) + data[START:])

    return _scan(kind, harm, reason, lost)


def _put(frame: int, offset: int, new: bytes) -> Callable[[bytearray, list[int]], bytes]:
    def change(data: bytearray, starts: list[int]) -> bytes:
        place = starts[frame] + offset
        data[place : place + len(new)] = new
        return data

    return change


def _depth_of(values: bytes) -> Callable[[bytearray, list[int]], bytes]:
    """Frame 3 with another depth: what deflates to `values`."""

    def change(data: bytearray, starts: list[int]) -> bytes:
        count, depth = struct.unpack_from("<Q", data, starts[3] + JPEG_COUNT)[0], zlib.compress(values)
        struct.pack_into("<Q", data, starts[3] + DEPTH_COUNT, len(depth))
        return data[: starts[3] + BLOBS + count] + depth + data[starts[4] :]

    return change


def _lying_jpeg(data: bytearray, starts: list[int]) -> bytes:
    """Frame 3's JPEG promises 30,000 x 30,000 pixels."""
    size = data.index(b"\xff\xc0", starts[3] + BLOBS) + 5
    data[size : size + 4] = struct.pack(">HH", 30_000, 30_000)
    return data


def _small_jpeg(data: bytearray, starts: list[int]) -> bytes:
    """Frame 3's picture has another size than the header says."""
    count, depth = struct.unpack_from("<QQ", data, starts[3] + JPEG_COUNT)
    jpeg = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    new = record(np.eye(4), jpeg, bytes(data[starts[3] + BLOBS + count :][:depth]))
    return data[: starts[3]] + new + data[starts[4] :]


def _scan(kind: str, harm: Callable[[Path], None], reason: str, lost: tuple[str, ...] = THREE) -> Damage:
    """Spoil all of a .sens of three frames."""

    def spoil(raw: Path) -> list[Expected]:
        harm(raw / SAME_SIZE_FILE)
        return [Expected(SAME_SIZE, SAME_SIZE_FILE, reason, lost)]

    return Damage(f".sens {kind}", spoil)


def _no_sens(raw: Path) -> list[Expected]:
    (raw / SAME_SIZE_FILE).unlink()
    return [Expected(SAME_SIZE, f"scans/{SAME_SIZE}", f"neither {SAME_SIZE}.sens nor", THREE)]


def _exported(kind: str, file: str, harm: Callable[[Path], None], frame: str, reason: str) -> Damage:
    return damage.one_frame(kind, f"scans_train/{EXPORTED}/{file}", harm, EXPORTED, frame, reason)


def _whole_export(kind: str, file: str, harm: Callable[[Path], None], reason: str) -> Damage:
    def spoil(raw: Path) -> list[Expected]:
        harm(raw / "scans_train" / SHORT / file)
        return [Expected(SHORT, f"{SHORT}/{file}", reason, THREE)]

    return Damage(kind, spoil)


def _small_depth(raw: Path) -> list[Expected]:
    damage.other_size(raw / "scans_train" / EXPORTED / "depth/6.png")
    return [Expected(EXPORTED, f"{EXPORTED}/6", "picture is 32x24, the pictures of this scene are 64x48", ("6",))]


def _turned_picture(file: Path) -> None:
    cv2.imwrite(str(file), np.rot90(cv2.imread(str(file))))


def _bytes_as_depth(file: Path) -> None:
    cv2.imwrite(str(file), cv2.imread(str(file), cv2.IMREAD_UNCHANGED).astype(np.uint8))


def _found_twice(raw: Path) -> list[Expected]:
    (raw / "scans_train" / SAME_SIZE / "color").mkdir(parents=True)
    return [Expected(SAME_SIZE, f"scans_train/{SAME_SIZE}", f"found twice; .*scans/{SAME_SIZE} is used")]


def _nothing_there(raw: Path) -> list[Expected]:
    (raw / "scans_test/scene0708_00").mkdir()
    return [Expected("scene0708_00", "scans_test/scene0708_00", "neither scene0708_00.sens nor")]


def _rmtree(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


MINIATURE = Miniature(
    name="scannet",
    write=write,
    already_lost=(
        LOST_IN_SENS,
        Expected(EXPORTED, f"{EXPORTED}/pose/4.txt", "pose holds -inf", ("4",)),
    ),
    picture_tolerance=1.5,  # two JPEG steps away, and reduced from twice the size
    damages=(
        Damage(".sens missing, and not exported", _no_sens),
        _scan("empty", damage.empty, "empty file"),
        _scan("a folder", damage.turn_into_folder, "is a folder"),
        _scan("garbage", damage.garbage, "version is"),
        _scan("cut off in its header", lambda file: file.write_bytes(file.read_bytes()[:200]), "in its header"),
        _sens("cut off in a picture", lambda d, s: d[: s[6] + 300], "6 of 8 frames are there", ("6", "7")),
        _sens("cut off in a record's head", lambda d, s: d[: s[6] + 20], "6 of 8 frames are there", ("6", "7")),
        _sens("cut off between frames", lambda d, s: d[: s[7]], "7 of 8 frames are there", ("7",)),
        _header("of another version", "version is 3, expected 4", version=3),
        _header("of an endless sensor", "name has 2000 bytes", name=b"x" * 2000),
        _header("with PNG pictures", r"pictures are coded as 1 \(PNG\)", colour_kind=1),
        _header("with Occipital's depth", "depth is coded as 2 .Occipital", depth_kind=2),
        _header("with unknown compression", "depth is coded as -1", depth_kind=-1),
        _header("with huge depth", "depth of 4000000000x48", depth=(4_000_000_000, 48)),
        _header("with other depth", "not the 6400 bytes of 64x50", depth=(64, 50)),
        _header("with other pictures", "the header says 4000x3000", colour=(4000, 3000)),
        _header("without depth shift", "depth shift is 0", shift=0.0),
        _header("with NaN intrinsics", "cy are .*nan", depth_k=np.full((4, 4), np.nan)),
        _header("with no focal length", r"cy are \[0.0, 0.0", depth_k=np.zeros((4, 4))),
        _header("promising no frames", "promises no frames", frames=0),
        _header("promising 12 frames", "3 of 12 frames are there", tuple(map(str, range(3, 12))), frames=12),
        _header("promising 2^60 frames", "promises 1152921504606846976 frames", (), frames=2**60),
        _sens("with a lying picture count", _put(3, JPEG_COUNT, struct.pack("<Q", 2**62)), "3 of 8", tuple("34567")),
        _sens("with a lying depth count", _put(3, DEPTH_COUNT, struct.pack("<Q", 2**64 - 1)), "3 of 8", tuple("34567")),
        _sens("with a garbled picture", _put(3, BLOBS, bytes(200)), "unreadable picture", ("3",)),
        _sens("with a lying picture", _lying_jpeg, "promises 30000x30000 pixels", ("3",)),
        _sens("with a small picture", _small_jpeg, "picture is 64x48, the header says 130x97", ("3",)),
        _sens("with short depth", _depth_of(bytes(1000)), "unreadable depth: not the 6144", ("3",)),
        _sens("with a depth bomb", _depth_of(bytes(1 << 24)), "unreadable depth: not the 6144", ("3",)),
        _sens("with a nan pose", _put(3, 0, struct.pack("<f", np.nan)), "pose holds nan", ("3",)),
        _sens(
            "with a mirrored pose", _put(3, 0, np.diag((1, 1, -1, 1)).astype("<f4").tobytes()), "determinant", ("3",)
        ),
        *damage.picture_damages(EXPORTED, "10", f"scans_train/{EXPORTED}/color/10.jpg"),
        *damage.member_damages(ZIPPED, "1", "frames.zip", f"frames/{ZIPPED}/color/1.jpg"),
        Damage("depth of another size", _small_depth),
        _exported("picture turned", "color/6.jpg", _turned_picture, "6", "picture is 97x130, depth is 64x48"),
        _exported("depth missing", "depth/6.png", Path.unlink, "6", "missing"),
        _exported("depth truncated", "depth/6.png", damage.truncate, "6", "cut off or altered"),
        _exported("depth with a lying header", "depth/6.png", damage.lying_png_header, "6", "promises 30000x30000"),
        _exported("depth of 8 bits", "depth/6.png", _bytes_as_depth, "6", "depth is uint8, expected 16 bits"),
        _exported("pose missing", "pose/6.txt", Path.unlink, "6", "missing"),
        _exported("pose cut off", "pose/6.txt", lambda f: damage.keep_lines(f, 3), "6", "12 numbers, expected a 4x4"),
        _exported(
            "pose garbage", "pose/6.txt", lambda f: damage.change_line(f, 0, "a b c d"), "6", "could not convert"
        ),
        _whole_export("intrinsics missing", "intrinsic/intrinsic_depth.txt", Path.unlink, "missing"),
        _whole_export(
            "intrinsics -inf",
            "intrinsic/intrinsic_depth.txt",
            lambda file: file.write_bytes(as_text(LOST)),
            "cy are .*inf",
        ),
        _whole_export("no depth at all", "depth", _rmtree, "missing, or without frames"),
        Damage("scan found twice", _found_twice),
        Damage("folder without frames", _nothing_there),
    ),
)
