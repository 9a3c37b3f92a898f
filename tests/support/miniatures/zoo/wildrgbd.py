"""WildRGB-D in small: a category in folders, one in a zip, one whose lists do not name its scene; an excluded scene."""

import json
from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected, Miniature, TrueFrame, TrueScene
from miniatures.damage import Target, found_twice, member_damages, picture_damages, rare
from miniatures.files import png, to_folder, to_zip
from miniatures.rooms import SCALE, Room, pinhole

WIDTH, HEIGHT = 48 * SCALE, 64 * SCALE
LONG, OTHER, ONE_LIST = "box/scenes/scene_001", "box/scenes/scene_002", "box/scenes/scene_0100"
BAD, UNLISTED = "box/scenes/scene_257", "ball/scenes/scene_300"
ZIPPED = "TV/scenes/scene_014"
KEPT = 9  # of the frames of LONG, by --frames
FRAMES_OF_LONG = 21
K = pinhole(55.0 * SCALE, 23.25 * SCALE, 32.5 * SCALE)


def write(raw: Path) -> list[TrueScene]:
    """The raw tree."""
    long, other, one_list, zipped = (
        _scene(Room(seed=1), FRAMES_OF_LONG),
        _scene(Room((0.6, 0.5, 0.7), seed=2), 6),
        _scene(Room(seed=3), 3),
        _scene(Room(seed=4), 4),
    )
    for name, (files, _) in ((LONG, long), (OTHER, other), (ONE_LIST, one_list), (BAD, one_list), (UNLISTED, one_list)):
        to_folder(raw, {f"{name}/{file}": data for file, data in files.items()})
    short = [name.removeprefix("box/") for name in (LONG, OTHER, ONE_LIST, BAD)]
    to_folder(raw, _lists("box", nvs={"train": short[:2] + short[3:], "val": [short[2], "scenes/scene_999"]}))
    nothing: dict[str, list[str]] = {"train": [], "val": []}
    to_folder(raw, _lists("ball", nothing, nothing))
    to_folder(raw, _lists("box", eval_={"train": short, "val": ["scenes/scene_999"]}))
    members = {f"{ZIPPED}/{file}": data for file, data in zipped[0].items()}
    train = {"train": [ZIPPED.removeprefix("TV/")], "val": []}
    to_zip(raw / "TV.zip", members | _lists("TV", nvs=train) | _lists("TV", eval_=train))
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
        files[f"rgb/{name}.png"] = png(view.image)
        files[f"depth/{name}.png"] = png(stored)
        mask = np.where(middle, 255, 0).astype(np.uint8)
        mask[0, 0:2] = (25, 26)  # a tenth of white, and a little more
        files[f"masks/{name}.png"] = png(mask)
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


ALL = tuple(f"{place:05d}" for place in range(6))  # of OTHER
RGB, DEPTH, MASK = (Target(f"{OTHER}/{part}/00002.png", OTHER, ("00002",)) for part in ("rgb", "depth", "masks"))
POSES, METADATA = (Target(f"{OTHER}/{name}", OTHER, ALL) for name in ("cam_poses.txt", "metadata"))


def _pose(kind: str, text: str, reason: str) -> Damage:
    return POSES.damage(f"pose {kind}", spoil.line(2, text), reason, frames=("00002",))


def _metadata(kind: str, reason: str, **changes: object) -> Damage:
    return METADATA.damage(f"metadata with {kind}", spoil.json_of(lambda values: values.update(changes)), reason)


def _list(kind: str, harm: spoil.Harm, reason: str) -> Damage:
    """A list of the category: none of its scenes can be given to a split."""

    def spoil_it(raw: Path) -> list[Expected]:
        harm(raw / "box/nvs_list.json")
        names = (LONG, OTHER, ONE_LIST)
        return [Expected(name, "box/nvs_list.json", reason, lost_scenes=(name,)) for name in names]

    return Damage(f"list {kind}", spoil_it)


NARROW = [float("nan"), *K.T.ravel().tolist()[1:]]
TWICE = f"more/{OTHER}"

MINIATURE = Miniature(
    name="wildrgbd",
    write=write,
    options=("--frames", str(KEPT)),
    already_lost=(Expected(UNLISTED, UNLISTED, "in neither list"),),
    damages=(
        *picture_damages(RGB),
        *picture_damages(DEPTH, "depth", "cut off or altered|unreadable picture"),
        *member_damages(Target(f"{ZIPPED}/depth/00001.png", ZIPPED, ("00001",)), "TV.zip"),
        DEPTH.damage("depth of 8 bits", spoil.put_picture(np.ones((64, 48), np.uint8)), "depth is uint8"),
        RGB.damage("picture of another size", spoil.other_size, "picture is 24x32, .*/metadata says 48x64"),
        MASK.damage(
            "mask of another size",
            spoil.other_size,
            "object mask is 24x32, the picture is 48x64",
            blamed=f"{OTHER}/00002",
        ),
        MASK.damage("mask missing", spoil.remove, "missing"),
        _pose("nan", " ".join(["2", "nan", *["0"] * 15]), "pose holds nan"),
        _pose("cut off", "2 1 0 0", "line 3: 4 numbers, expected"),
        POSES.damage("fewer poses", spoil.keep_lines(4), "4 lines", frames=("00004", "00005")),
        POSES.damage("no poses", spoil.remove, "missing"),
        METADATA.damage("metadata missing", spoil.remove, "missing"),
        _metadata("a short K", "K is .*, expected 9 numbers", K=[1.0] * 8),
        _list("missing", spoil.remove, "missing"),
        _list("another JSON", spoil.put("[1]"), "holds list, expected an object"),
        found_twice(OTHER, TWICE, lambda raw: (raw / TWICE).mkdir(parents=True), used=f"/{OTHER}"),
        *rare(
            _pose("-inf", " ".join(["2", "-inf", *["0"] * 15]), "pose holds -inf"),
            _pose("garbage", "a b c", "line 3: could not convert"),
            _pose(
                "of another frame", " ".join(["3", *map(str, np.eye(4).ravel())]), "line 3 is of frame 3, expected 2"
            ),
            METADATA.damage("metadata garbage", spoil.garbage, "unreadable JSON"),
            METADATA.damage("metadata a folder", spoil.turn_into_folder, "is a folder"),
            _metadata("a K of NaN", "K is nan, expected a number", K=NARROW),
            _metadata("no size", "w is None, expected a number", w=None),
            _list("garbage", spoil.garbage, "unreadable JSON"),
            _list("of numbers", spoil.put('{"train": [1], "val": []}'), "train holds 1, expected scenes"),
        ),
    ),
)
MINIATURES = (MINIATURE,)
