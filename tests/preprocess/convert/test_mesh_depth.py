"""Depth of meshes, against a room in closed form."""

import sys

import numpy as np
import pytest
import trimesh
from miniatures.rooms import Room, pinhole

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.convert.mesh_depth import RayMesh, mesh_depth

HEIGHT, WIDTH = 61, 83
INTRINSICS = np.array(((60.0, 0, 39.3), (0, 57.0, 31.6), (0, 0, 1)))


def box(half, subdivisions=3):
    """A closed box around the origin whose front sides look inwards, of some thousand triangles."""
    mesh = trimesh.creation.box(2 * np.array(half))
    for _ in range(subdivisions):
        mesh = mesh.subdivide()
    return mesh.vertices, mesh.faces[:, ::-1]


@pytest.mark.parametrize("shift", [(0, 0, 0), (3000.0, -500.0, 40.0)], ids=["at the origin", "far away"])
@pytest.mark.parametrize("place", [0, 3, 8])
def test_a_room_as_a_mesh_has_the_depth_of_the_room(place, shift):
    room = Room(seed=1)
    vertices, faces = box(room.half)
    pose = room.pose(place)
    moved = pose.copy()
    moved[:3, 3] += shift
    depth = mesh_depth(RayMesh(vertices + shift, faces), INTRINSICS, moved, (HEIGHT, WIDTH))
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, room.see(pose, INTRINSICS, HEIGHT, WIDTH).depth, rtol=2e-6)


def test_many_rays_are_traced_in_parts_that_fit_together(monkeypatch):
    mesh = RayMesh(*box((2, 1.5, 3)))
    whole = mesh_depth(mesh, INTRINSICS, Room().pose(1), (HEIGHT, WIDTH))
    monkeypatch.setattr("zipmap_pl.preprocess.convert.mesh_depth.RAYS_AT_ONCE", 1000)
    np.testing.assert_array_equal(mesh_depth(mesh, INTRINSICS, Room().pose(1), (HEIGHT, WIDTH)), whole)


def test_a_triangle_is_seen_from_its_front_side_only():
    vertices = np.array(((-9.0, -9, 2), (9, -9, 2), (0, 9, 2)))
    seen = mesh_depth(RayMesh(vertices, [[0, 2, 1]]), pinhole(50, 5, 5), np.eye(4), (10, 10))
    np.testing.assert_array_equal(seen, np.full((10, 10), 2))
    assert not mesh_depth(RayMesh(vertices, [[0, 1, 2]]), pinhole(50, 5, 5), np.eye(4), (10, 10)).any()


def test_a_back_face_hides_what_is_behind_it():
    vertices = np.array([(x, y, z) for z in (2.0, 4.0) for x, y in ((-9, -9), (9, -9), (0, 9))])
    mesh = RayMesh(vertices, [[0, 1, 2], [3, 5, 4]])
    assert not mesh_depth(mesh, pinhole(50, 5, 5), np.eye(4), (10, 10)).any()


def test_next_to_the_mesh_depth_is_unknown():
    vertices = np.array(((0.0, -9, 2), (9, -9, 2), (0, 9, 2), (9, 9, 2)))
    depth = mesh_depth(RayMesh(vertices, [[0, 2, 1], [1, 2, 3]]), pinhole(50, 5, 5), np.eye(4), (10, 10))
    assert not depth[:, :5].any() and (depth[:, 5:] == 2).all()


def test_an_empty_mesh_and_a_lost_pose_have_no_depth():
    assert not mesh_depth(RayMesh(np.zeros((0, 3)), np.zeros((0, 3))), INTRINSICS, np.eye(4), (4, 5)).any()
    lost = np.full((4, 4), np.nan)
    assert not mesh_depth(RayMesh(*box((1, 1, 1))), INTRINSICS, lost, (4, 5)).any()


@pytest.mark.parametrize("face", [(0, 1, 3), (-1, 0, 1)])
def test_faces_of_vertices_that_are_not_there_are_refused(face):
    with pytest.raises(ValueError, match="of 3 vertices"):
        RayMesh(np.eye(3), [face])


def test_vertices_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        RayMesh(np.diag((1.0, np.inf, 1.0)), [(0, 1, 2)])


def test_without_embreex_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "embreex.mesh_construction", None)
    with pytest.raises(UserError, match=r"the depth of a mesh needs .*zipmap_pl\[mesh\]"):
        RayMesh(np.eye(3), [(0, 1, 2)])


def test_depth_is_the_triangles_plane_in_float64_not_the_librarys_float32():
    plane = RayMesh(np.array(((-9.0, -9, 1.1), (9, -9, 1.1), (0, 9, 1.1))), [[0, 2, 1]])
    along = plane.depth_along(np.array((0.1, 0.2, 0.3)), np.array(((0, 0, 1.0), (0.3, 0.1, 0.7))))
    np.testing.assert_allclose(along, (0.8, 0.8 / 0.7), rtol=1e-14)
