"""Depth of a triangle mesh as a pinhole camera sees it, by rays on the CPU (embreex, extra `mesh`).

A graphics driver would decide the bytes of a rasterized image. Here the library only says which triangle a ray hits
first; the depth is that triangle's plane in float64. Only on the very edge between two triangles may processors differ.
"""

from typing import Any

import numpy as np

from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.formats.extras import library

PURPOSE = "the depth of a mesh"
RAYS_AT_ONCE = 1 << 17  # bounds the memory: some 500 bytes for a ray
SAME_HIT = 1e-3  # share of the depth; nearer to edge-on, a plane in float64 and a hit in float32 are too far apart


class RayMesh:
    """A mesh that is ready for rays, made once for all images of a scene.

    That takes 3 s for a million triangles, half of it with the first rays, and some 130 MB.

    Args:
        vertices: [n, 3] in the world's unit, finite.
        faces: [m, 3] whole numbers of vertices, counterclockwise as seen from the front.

    Raises:
        ValueError: faces of vertices that are not there, or vertices that are not finite.
        UserError: embreex is not installed.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        self.vertices, self.faces = np.array(vertices, np.float64), np.array(faces, np.int64)
        if self.faces.size and not (self.faces.min() >= 0 and self.faces.max() < len(self.vertices)):
            raise ValueError(
                f"a face of vertex {self.faces.max()} or {self.faces.min()}, of {len(self.vertices)} vertices"
            )
        if not np.isfinite(self.vertices).all():
            raise ValueError("a vertex that is not finite")
        self._middle = (
            (self.vertices.min(axis=0) + self.vertices.max(axis=0)) / 2 if self.vertices.size else np.zeros(3)
        )
        self._scene = _scene(self.vertices - self._middle, self.faces)

    def depth_along(self, origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """How many times its direction each ray goes to the first triangle, [n] float64; 0 = none, or seen from behind.

        Args:
            origin: [3] in the world, of all rays.
            directions: [n, 3] in the world, of any length.
        """
        if not (self.faces.size and np.isfinite(origin).all() and np.isfinite(directions).all()):
            return np.zeros(len(directions))
        origins = np.broadcast_to((origin - self._middle).astype(np.float32), directions.shape)
        hit = self._scene.run(np.ascontiguousarray(origins), directions.astype(np.float32), output=True)
        depth, rays = np.zeros(len(directions)), np.flatnonzero(hit["primID"] >= 0)
        first, second, third = np.moveaxis(self.vertices[self.faces[hit["primID"][rays]]], 1, 0)
        normals = np.cross(second - first, third - first)
        towards = np.sum(normals * directions[rays], axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            exact = np.sum(normals * (first - origin), axis=1) / towards
        near = hit["tfar"][rays].astype(np.float64)
        exact = np.where(np.abs(exact - near) <= SAME_HIT * near, exact, near)
        depth[rays] = np.where(towards < 0, exact, 0.0)
        return depth


def mesh_depth(mesh: RayMesh, intrinsics: np.ndarray, cam_to_world: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Planar z [H, W] float32 of a mesh at the pixels' centers, in the world's unit.

    Args:
        mesh: in the world.
        intrinsics: [3, 3], no skew, pixels from the image's corner.
        cam_to_world: [4, 4], OpenCV axes.
        size: height, width.

    Returns:
        0 where nothing is hit, or a triangle from behind: that is no surface that the scanner saw. Everything is 0 for a
        pose that is not finite.
    """
    rays = cameras.pixel_points(np.ones(size), intrinsics[(0, 1, 0, 1), (0, 1, 2, 2)]).reshape(-1, 3)
    depth = np.zeros(len(rays), np.float32)
    with np.errstate(invalid="ignore"):
        for start in range(0, len(rays), RAYS_AT_ONCE):
            part = slice(start, start + RAYS_AT_ONCE)
            directions = cameras.multiply(rays[part], np.swapaxes(cam_to_world[:3, :3], 0, 1))
            depth[part] = mesh.depth_along(cam_to_world[:3, 3], directions)
    return depth.reshape(size)


def _scene(vertices: np.ndarray, faces: np.ndarray) -> Any:
    scenes, meshes = (library(f"embreex.{name}", "mesh", PURPOSE) for name in ("rtcore_scene", "mesh_construction"))
    scene = scenes.EmbreeScene(robust=True)
    if faces.size:
        meshes.TriangleMesh(scene, vertices.astype(np.float32), faces.astype(np.int32))
    return scene
