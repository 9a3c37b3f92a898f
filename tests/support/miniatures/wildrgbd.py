"""WildRGB-D in small: a category in folders, one in a zip, one whose lists do not name its scene; an excluded scene."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from miniatures import damage
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.rooms import Room, pinhole

WIDTH, HEIGHT = 48, 64
LONG, OTHER, ONE_LIST = "box/scenes/scene_001", "box/scenes/scene_002", "box/scenes/scene_0100"
BAD, UNLISTED = "box/scenes/scene_257", "ball/scenes/scene_300"
ZIPPED = "TV/scenes/scene_014"
KEPT = 9  # of the frames of LONG, by --frames
FRAMES_OF_LONG = 21
K = pinhole(55.0, 23.25, 32.5)


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    long, other, one_list, zipped = (
        _scene(Room(seed=1), FRAMES_OF_LONG),
        _scene(Room((0.6, 0.5, 0.7), seed=2), 6),
        _scene(Room(seed=3), 3),
        _scene(Room(seed=4), 4),
    )
    for name, (files, _) in ((LONG, long), (OTHER, other), (ONE_LIST, one_list), (BAD, one_list), (UNLISTED, one_list)):
        _put(raw, {f"{name}/{file}": data for file, data in files.items()})
    short = [name.removeprefix("box/") for name in (LONG, OTHER, ONE_LIST, BAD)]
    _put(raw, _lists("box", nvs={"train": short[:2] + short[3:], "val": [short[2], "scenes/scene_999"]}))
    nothing: dict[str, list[str]] = {"train": [], "val": []}
    _put(raw, _lists("ball", nothing, nothing))
    _put(raw, _lists("box", eval_={"train": short, "val": ["scenes/scene_999"]}))
    members = {f"{ZIPPED}/{file}": data for file, data in zipped[0].items()}
    train = {"train": [ZIPPED.removeprefix("TV/")], "val": []}
    with zipfile.ZipFile(raw / "TV.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file, data in (members | _lists("TV", nvs=train) | _lists("TV", eval_=train)).items():
            archive.writestr(file, data)
    kept = [int(np.rint(place)) for place in np.linspace(0, FRAMES_OF_LONG - 1, KEPT)]
    return [
        TrueScene(ONE_LIST, "test", one_list[1]),
        TrueScene(ZIPPED, "train", zipped[1]),
        TrueScene(LONG, "train", tuple(long[1][place] for place in kept)),
        TrueScene(OTHER, "train", other[1]),
    ]


def _scene(room: Room, count: int) -> tuple[dict[str, bytes], tuple[TrueFrame, ...]]:
    """Files below the folder of a scene, and the truth."""
    files, frames, lines = {}, [], []
    rows, columns = np.indices((HEIGHT, WIDTH))
    middle = (rows - 30) ** 2 + (columns - 25) ** 2 < 144
    for place in range(count):
        pose = room.pose(place)
        view = room.see(pose, K, HEIGHT, WIDTH)
        stored = np.rint(view.depth * 1000).astype(np.uint16)
        stored[2:4, 5:9] = 0
        name = f"{place:05d}"
        files[f"rgb/{name}.png"] = _png(view.image[..., ::-1])
        files[f"depth/{name}.png"] = _png(stored)
        mask = np.where(middle, 255, 0).astype(np.uint8)
        mask[0, 0:2] = (25, 26)  # a tenth of white, and a little more
        files[f"masks/{name}.png"] = _png(mask)
        seen = middle.copy()
        seen[0, 0:2] = (False, True)
        lines.append(" ".join(f"{value:.10f}" for value in (float(place), *pose.ravel())))
        depth = (stored / 1000).astype(np.float32)
        frames.append(TrueFrame(name, view.image, K, pose, depth, object=seen))
    files["cam_poses.txt"] = ("\n".join(lines) + "\n").encode()
    files["metadata"] = json.dumps({"w": WIDTH, "h": HEIGHT, "K": K.T.ravel().tolist(), "fps": 60}).encode()
    return files, tuple(frames)


def _lists(category: str, nvs: dict | None = None, eval_: dict | None = None) -> dict[str, bytes]:
    named = {"nvs_list.json": nvs, "camera_eval_list.json": eval_}
    return {f"{category}/{name}": json.dumps(values).encode() for name, values in named.items() if values is not None}


def _put(raw: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(data)


def _png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


ALL = tuple(f"{place:05d}" for place in range(6))  # of OTHER


def _of_other(kind: str, file: str, harm: Callable[[Path], None], reason: str, lost: tuple[str, ...] = ALL) -> Damage:
    def spoil(raw: Path) -> list[Expected]:
        harm(raw / OTHER / file)
        return [Expected(OTHER, f"{OTHER}/{file}", reason, lost)]

    return Damage(kind, spoil)


def _metadata(kind: str, reason: str, **changes: object) -> Damage:
    def harm(file: Path) -> None:
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return _of_other(f"metadata with {kind}", "metadata", harm, reason)


def _depth(kind: str, harm: Callable[[Path], None], reason: str) -> Damage:
    return damage.one_frame(f"depth {kind}", f"{OTHER}/depth/00002.png", harm, OTHER, "00002", reason)


def _pose(kind: str, text: str, reason: str) -> Damage:
    return _of_other(f"pose {kind}", "cam_poses.txt", lambda f: damage.change_line(f, 2, text), reason, ("00002",))


def _list(kind: str, harm: Callable[[Path], None], reason: str) -> Damage:
    """A list of the category: none of its scenes can be given to a split."""

    def spoil(raw: Path) -> list[Expected]:
        harm(raw / "box/nvs_list.json")
        names = (LONG, OTHER, ONE_LIST)
        return [Expected(name, "box/nvs_list.json", reason, lost_scenes=(name,)) for name in names]

    return Damage(f"list {kind}", spoil)


def _found_twice(raw: Path) -> list[Expected]:
    (raw / "more" / OTHER).mkdir(parents=True)
    return [Expected(OTHER, f"more/{OTHER}", f"found twice; .*/{OTHER} is used")]


def _smaller_mask(raw: Path) -> list[Expected]:
    damage.other_size(raw / OTHER / "masks/00002.png")
    return [Expected(OTHER, f"{OTHER}/00002", "object mask is 24x32, the picture is 48x64", ("00002",))]


def _smaller_picture(raw: Path) -> list[Expected]:
    damage.other_size(raw / OTHER / "rgb/00002.png")
    return [Expected(OTHER, f"{OTHER}/rgb/00002.png", "picture is 24x32, .*/metadata says 48x64", ("00002",))]


def _narrow(value: float) -> list[float]:
    k = K.T.ravel().tolist()
    k[0] = value
    return k


MINIATURE = Miniature(
    name="wildrgbd",
    write=write,
    options=("--frames", str(KEPT)),
    already_lost=(Expected(UNLISTED, UNLISTED, "in neither list"),),
    damages=(
        *damage.picture_damages(OTHER, "00003", f"{OTHER}/rgb/00003.png"),
        *damage.member_damages(ZIPPED, "00001", "TV.zip", f"{ZIPPED}/depth/00001.png"),
        _depth("missing", Path.unlink, "missing"),
        _depth("truncated", damage.truncate, "cut off or altered"),
        _depth("with a lying header", damage.lying_png_header, "promises 30000x30000"),
        _depth("of 8 bits", lambda f: cv2.imwrite(str(f), np.ones((64, 48), np.uint8)), "depth is uint8"),
        Damage("mask of another size", _smaller_mask),
        _of_other("mask missing", "masks/00002.png", Path.unlink, "missing", ("00002",)),
        _pose("nan", " ".join(["2", "nan", *["0"] * 15]), "pose holds nan"),
        _pose("-inf", " ".join(["2", "-inf", *["0"] * 15]), "pose holds -inf"),
        _pose("cut off", "2 1 0 0", "line 3: 4 numbers, expected"),
        _pose("garbage", "a b c", "line 3: could not convert"),
        _pose("of another frame", " ".join(["3", *map(str, np.eye(4).ravel())]), "line 3 is of frame 3, expected 2"),
        _of_other("fewer poses", "cam_poses.txt", lambda f: damage.keep_lines(f, 4), "4 lines", ("00004", "00005")),
        _of_other("no poses", "cam_poses.txt", Path.unlink, "missing"),
        _of_other("metadata missing", "metadata", Path.unlink, "missing"),
        _of_other("metadata garbage", "metadata", damage.garbage, "unreadable JSON"),
        _of_other("metadata a folder", "metadata", damage.turn_into_folder, "is a folder"),
        _metadata("a short K", "K is .*, expected 9 numbers", K=[1.0] * 8),
        _metadata("a K of NaN", "K is nan, expected a number", K=_narrow(float("nan"))),
        _metadata("no size", "w is None, expected a number", w=None),
        Damage("picture of another size", _smaller_picture),
        _list("missing", Path.unlink, "missing"),
        _list("garbage", damage.garbage, "unreadable JSON"),
        _list("another JSON", lambda f: f.write_text("[1]"), "holds list, expected an object"),
        _list("of numbers", lambda f: f.write_text('{"train": [1], "val": []}'), "train holds 1, expected scenes"),
        Damage("scene found twice", _found_twice),
    ),
)
