"""Raw data for measurements: real frames, walked through to and fro until there are enough, linked in published layouts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zipmap_pl.preprocess.raw import RawReader
from zipmap_pl.preprocess.zoo import tartanair
from zipmap_pl.preprocess.zoo.rgbd_folder import reader as rgbd_folder

INTRINSICS = "525,525,319.5,239.5"  # of livingroom_open3d


@dataclass(frozen=True)
class Raw:
    """A raw dataset: its reader, and the picture and depth file of every frame."""

    name: str
    reader: RawReader
    files: list[tuple[Path, Path]]


def to_and_fro(items: list, count: int) -> list:
    """`count` items: forwards, backwards, forwards, ..., so that those that follow each other are neighbours."""
    round_trip = items + items[-2:0:-1]
    return [round_trip[place % len(round_trip)] for place in range(count)]


def lay_out_tartanair(data: Path, folder: Path, frames: int, sequences: int = 1) -> Raw:
    """Trajectories of TartanAir, of `frames` frames each, in the published layout: links to real files."""
    source = data / "tartanair_raw/hospital/hospital/Hard/P000"
    targets = [folder / f"hospital/hospital/Hard/P{number:03d}" for number in range(sequences)]
    files = [pair for target in targets for pair in link_tartanair(source, target, frames)]
    return Raw("TartanAir (PNG, npy)", tartanair.TartanAir(folder), files)


def link_tartanair(source: Path, target: Path, frames: int) -> list[tuple[Path, Path]]:
    """One trajectory; returns its files."""
    names = [file.name[:6] for file in sorted((source / "image_left").iterdir())]
    poses = dict(zip(names, (source / "pose_left.txt").read_text().splitlines(), strict=False))
    files = []
    for part in ("image_left", "depth_left"):
        (target / part).mkdir(parents=True)
    walk = to_and_fro(names, frames)
    for place, name in enumerate(walk):
        pair = []
        for part, ending in (("image_left", "_left.png"), ("depth_left", "_left_depth.npy")):
            file = target / part / f"{place:06d}{ending}"
            file.symlink_to((source / part / f"{name}{ending}").resolve())
            pair.append(file)
        files.append((pair[0], pair[1]))
    (target / "pose_left.txt").write_text("".join(f"{poses[name]}\n" for name in walk))
    return files


def lay_out_tum(data: Path, folder: Path, frames: int, sequences: int = 1) -> Raw:
    """Sequences in TUM layout, of `frames` frames each: lists of links to real files, poses as quaternions."""
    targets = [folder / f"sequence-{number}" for number in range(sequences)]
    files = [pair for target in targets for pair in link_tum(data / "livingroom_open3d", target, frames)]
    options = rgbd_folder.RgbdOptions("tum", intrinsics=INTRINSICS, pixel_origin="centre", depth_scale=1000.0)
    return Raw("RGB-D in TUM layout (JPEG, PNG)", rgbd_folder.RgbdFolder(folder, options), files)


def link_tum(source: Path, folder: Path, frames: int) -> list[tuple[Path, Path]]:
    """One sequence; returns its files."""
    lines = (source / "trajectory.log").read_text().splitlines()
    names = [file.stem for file in sorted((source / "image").iterdir())]
    walk = to_and_fro(list(range(len(names))), frames)
    lists: dict[str, list[str]] = {"rgb": [], "depth": [], "groundtruth": []}
    files = []
    for place, k in enumerate(walk):
        stamp = f"{1e9 + place / 30:.4f}"
        pair = []
        for part, kind, ending in (("rgb", "image", "jpg"), ("depth", "depth", "png")):
            file = folder / part / f"{stamp}.{ending}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.symlink_to((source / kind / f"{names[k]}.{ending}").resolve())
            lists[part].append(f"{stamp} {part}/{file.name}")
            pair.append(file)
        files.append((pair[0], pair[1]))
        pose = np.array([[float(word) for word in line.split()] for line in lines[5 * k + 1 : 5 * k + 4]])
        values = (*pose[:, 3], *quaternion_of(pose[:, :3]))
        lists["groundtruth"].append(f"{stamp} " + " ".join(f"{value:.12g}" for value in values))
    for name, entries in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(entries) + "\n")
    return files


def quaternion_of(rotation: np.ndarray) -> np.ndarray:
    """x, y, z, w [4] of a rotation [3, 3]: the eigenvector of the largest eigenvalue of its symmetric matrix."""
    (a, b, c), (d, e, f), (g, h, i) = rotation
    symmetric = np.array(
        [
            [a - e - i, b + d, c + g, h - f],
            [b + d, e - a - i, f + h, c - g],
            [c + g, f + h, i - a - e, d - b],
            [h - f, c - g, d - b, a + e + i],
        ]
    )
    return np.linalg.eigh(symmetric)[1][:, -1]
