"""A toy RGB-D sequence: a camera that walks and turns before a textured, slanted plane; exact depth."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from zipmap_pl.geometry import exact_cameras as cameras

WIDTH, HEIGHT = 48, 36
INTRINSICS = np.array((50.0, 51.0, 24.5, 17.5))
PLANE_NORMAL, PLANE_OFFSET = np.array((0.1, -0.2, 1.0)), 2.0


def toy_pose(place: int) -> np.ndarray:
    """Camera-to-world [4, 4]."""
    angle = 0.02 * place
    cosine, sine = np.cos(angle), np.sin(angle)
    pose = np.eye(4)
    pose[:3, :3] = ((cosine, 0, sine), (0, 1, 0), (-sine, 0, cosine))
    pose[:3, 3] = (0.05 * place, -0.01 * place, 0.02 * place)
    return pose


def toy_depth(pose: np.ndarray) -> np.ndarray:
    """Planar depth [H, W] of the plane."""
    rays = cameras.pixel_points(np.ones((HEIGHT, WIDTH)), INTRINSICS)
    turned = cameras.multiply(rays, pose[:3, :3].T)
    return (PLANE_OFFSET - pose[:3, 3] @ PLANE_NORMAL) / (turned @ PLANE_NORMAL)


def write_toy_frame(folder: Path, name: str, place: int, seed: int) -> None:
    """One frame in 7-Scenes style."""
    pose = toy_pose(place)
    picture = np.random.default_rng((seed, place)).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    depth = np.rint(toy_depth(pose) * 1000).astype(np.uint16)
    depth[0, :5] = 65535
    (folder / f"frame-{name}.color.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    (folder / f"frame-{name}.depth.png").write_bytes(cv2.imencode(".png", depth)[1].tobytes())
    np.savetxt(folder / f"frame-{name}.pose.txt", pose, fmt="%.17g")


def write_toy_sequence(folder: Path, frames: int = 10, seed: int = 0, names: list[str] | None = None) -> Path:
    """A sequence in 7-Scenes style; returns its folder."""
    folder.mkdir(parents=True)
    for place in range(frames):
        write_toy_frame(folder, names[place] if names else f"{place:06d}", place, seed)
    np.savetxt(folder / "camera-intrinsics.txt", cameras.intrinsics_matrix(INTRINSICS), fmt="%.17g")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but locks and kept tables (which may be deleted), by its path."""
    tables = folder / "plan/tables"
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    files = (path for path in found if tables not in path.parents)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Toys:
    """The functions of this file, for tests that cannot import it."""

    write_sequence = staticmethod(write_toy_sequence)
    write_frame = staticmethod(write_toy_frame)
    pose = staticmethod(toy_pose)
    depth = staticmethod(toy_depth)
    tree = staticmethod(tree)
    intrinsics = INTRINSICS
    size = (HEIGHT, WIDTH)


@pytest.fixture(scope="session")
def toys() -> type[Toys]:
    return Toys
