"""Generated scenes are exact: depth is geometry, views agree, masks are the objects', seeds decide everything."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.zoo.synthetic.ray_casting import FLOOR, SKY, WALLS, Solid, Texture
from zipmap_pl.preprocess.zoo.synthetic.scenes import STYLES, SceneOptions, generate_scene
from zipmap_pl.preprocess.zoo.synthetic.trajectories import TRAJECTORIES, WALL_MARGIN

any_options = st.builds(
    SceneOptions,
    views=st.integers(1, 6),
    width=st.integers(8, 48),
    height=st.integers(8, 48),
    style=st.sampled_from(STYLES),
    trajectory=st.sampled_from(list(TRAJECTORIES)),
    moving_objects=st.integers(0, 2),
    open_sky=st.booleans(),
)


def unprojected(frame):
    """World points [H, W, 3] from depth, intrinsics and pose alone."""
    height, width = frame.depth.shape
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    k = frame.intrinsics
    local = (
        np.stack([(column - k[0, 2]) / k[0, 0], (row - k[1, 2]) / k[1, 1], np.ones_like(row)], -1)
        * frame.depth[..., None]
    )
    return local @ frame.cam_to_world[:3, :3].T + frame.cam_to_world[:3, 3]


def surface_residual(scene, surface, points, time):
    """How far, in metres, points [P, 3] are from fulfilling the equation of surface number `surface`."""
    if surface < len(WALLS):
        axis, side = divmod(surface, 2)
        height = scene.geometry.height
        limit = (
            (-scene.geometry.half_extent[axis], scene.geometry.half_extent[axis])[side]
            if axis < 2
            else (0, height)[side]
        )
        return np.abs(points[:, axis] - limit)
    solid = scene.geometry.solids[surface - len(WALLS)]
    angle = solid.yaw + time * solid.turn
    offset = points - (solid.centre + time * solid.travel)
    if solid.shape == "sphere":
        return np.abs(np.linalg.norm(offset, axis=1) - solid.half_size[0])
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return np.abs(np.max(np.abs(offset @ turn.T) - solid.half_size, axis=1))


def digest(scene):
    frames = list(scene.frames())
    data = [
        np.ascontiguousarray(part).tobytes()
        for f in frames
        for part in (f.image, f.depth, f.dynamic, f.sky, f.cam_to_world)
    ]
    return hashlib.sha256(b"".join(data)).hexdigest()


@given(any_options, st.integers(0, 10**6), st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_every_pixel_lies_on_the_surface_it_names(options, seed, index):
    scene = generate_scene(options, seed, index)
    view = len(scene) - 1
    frame = scene.frame(view)
    points = unprojected(frame)
    assert np.array_equal(frame.depth > 0, ~frame.sky)
    for surface in np.unique(frame.surface[~frame.sky]):
        seen = frame.surface == surface
        reach = 1 + frame.depth[seen].max() / 10  # the ground under an open sky is seen tens of metres away in float32
        assert surface_residual(scene, surface, points[seen], scene.time(view)).max() < 1e-5 * reach
    assert np.allclose(frame.points[~frame.sky], points[~frame.sky], atol=2e-5)


@given(any_options, st.integers(0, 10**6))
@settings(deadline=None, max_examples=30)
def test_cameras_are_rotations_inside_the_room_and_clear_of_objects(options, seed):
    scene = generate_scene(options, seed, 0)
    rotation = scene.cam_to_world[:, :3, :3]
    assert np.allclose(np.einsum("nij,nik->njk", rotation, rotation), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(rotation), 1)
    centres = scene.cam_to_world[:, :3, 3]
    assert (np.abs(centres[:, :2]) <= scene.geometry.half_extent - WALL_MARGIN + 1e-9).all()
    assert (rotation[:, 2, 1] < 0).all(), "the camera's down axis points down"
    for view in range(len(scene)):
        for solid in scene.geometry.solids:
            assert np.linalg.norm(centres[view] - solid.centre_at(scene.time(view))) > solid.half_size.min() + 0.5


@pytest.mark.parametrize("trajectory", list(TRAJECTORIES))
def test_warping_one_view_into_another_finds_the_same_depth_and_colour(trajectory):
    """Static scene: where view j sees the point of view i, it sees it at the projected depth and in the same colour."""
    scene = generate_scene(SceneOptions(width=160, height=120, trajectory=trajectory), 3, 1)
    source, target = scene.frame(2), scene.frame(3)
    world_to_cam = np.linalg.inv(target.cam_to_world)
    local = source.points.reshape(-1, 3) @ world_to_cam[:3, :3].T + world_to_cam[:3, 3]
    pixel = local @ target.intrinsics.T
    pixel = np.floor(pixel[:, :2] / pixel[:, 2:]).astype(int)
    inside = (local[:, 2] > 0) & (pixel >= 0).all(1) & (pixel[:, 0] < 160) & (pixel[:, 1] < 120)
    assert inside.mean() > 0.3
    column, row = pixel[inside].T
    same_surface = target.surface[row, column] == source.surface.ravel()[inside]
    error = np.abs(target.depth[row, column] - local[inside, 2])[same_surface] / local[inside, 2][same_surface]
    assert same_surface.mean() > 0.85
    assert np.median(error) < 0.005  # half a pixel of a slanted wall
    colour = np.abs(target.image[row, column].astype(int) - source.image.reshape(-1, 3)[inside].astype(int))
    assert np.median(colour[same_surface]) <= 3


def test_a_point_has_one_colour_from_everywhere():
    shares = []
    for index in range(12):
        scene = generate_scene(SceneOptions(trajectory="orbit"), 0, index)
        first = scene.frame(0)
        eye = scene.cam_to_world[7, :3, 3]
        directions = (first.points.reshape(-1, 3) - eye).T
        hits = scene.geometry.cast(eye, directions, 0.0)
        assert hits.distance.max() < 1 + 1e-6, "nothing behind a surface is seen through it"
        seen = hits.distance > 1 - 1e-6
        there = eye[:, None] + hits.distance[seen] * directions[:, seen]
        colours = scene.geometry.colours(there, hits.surface[seen], 0.0)
        assert np.abs(colours.T * 255 - first.image.reshape(-1, 3)[seen]).max() < 0.51
        shares.append(seen.mean())
    assert min(shares) < 0.95 and np.mean(shares) > 0.5, "some points are hidden, most are not"


def test_scene_is_a_function_of_seed_and_index_in_every_process():
    options = SceneOptions(views=3, moving_objects=1, open_sky=True, trajectory="walk")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_synthetic_scenes import *;"
        f"print(digest(generate_scene({options!r}, 11, 4)))"
    )
    folder = __file__.rsplit("/", 1)[0]
    other = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True, cwd="/")
    assert digest(generate_scene(options, 11, 4)) == digest(generate_scene(options, 11, 4)) == other.stdout.strip()
    assert digest(generate_scene(options, 11, 5)) != other.stdout.strip()
    assert digest(generate_scene(options, 12, 4)) != other.stdout.strip()


def test_generating_leaves_the_global_generator_alone():
    np.random.seed(3)
    state = np.random.get_state()[1].copy()
    list(generate_scene(SceneOptions(moving_objects=1), 0, 0).frames())
    assert np.array_equal(np.random.get_state()[1], state)


def test_more_moving_objects_do_not_change_the_rest():
    still = generate_scene(SceneOptions(width=64, height=64), 2, 7)
    moving = generate_scene(SceneOptions(width=64, height=64, moving_objects=2), 2, 7)
    assert np.array_equal(still.cam_to_world, moving.cam_to_world)
    covered = 0
    for a, b in zip(still.frames(), moving.frames(), strict=True):
        assert np.array_equal(a.image[~b.dynamic], b.image[~b.dynamic])
        assert (b.depth[b.dynamic] < a.depth[b.dynamic]).all(), "a moving object hides what is behind it"
        covered += b.dynamic.sum()
    assert covered > 0


def test_dynamic_mask_is_the_moving_objects_pixels():
    for index in range(8):
        scene = generate_scene(SceneOptions(moving_objects=2), 0, index)
        movers = [k for k, solid in enumerate(scene.geometry.solids) if solid.moves]
        assert len(movers) == 2
        for frame in scene.frames():
            assert np.array_equal(frame.dynamic, np.isin(frame.surface, [len(WALLS) + k for k in movers]))
        assert any(frame.dynamic.any() for frame in scene.frames()), "somebody sees it"
        static = generate_scene(SceneOptions(), 0, index)
        assert not any(frame.dynamic.any() for frame in static.frames())


def test_moving_objects_move():
    scene = generate_scene(SceneOptions(moving_objects=1), 0, 0)
    mover = next(solid for solid in scene.geometry.solids if solid.moves)
    assert 0.3 < np.linalg.norm(mover.centre_at(1.0) - mover.centre_at(0.0)) < 3


def test_sky_is_what_hits_nothing():
    closed = generate_scene(SceneOptions(), 0, 0)
    assert not any(frame.sky.any() for frame in closed.frames())
    scene = generate_scene(SceneOptions(width=64, height=64, open_sky=True), 0, 0)
    for frame in scene.frames():
        assert 0.1 < frame.sky.mean() < 0.9
        assert np.array_equal(frame.sky, frame.surface == SKY)
        assert (frame.depth[frame.sky] == 0).all() and np.isnan(frame.points[frame.sky]).all()
        assert set(np.unique(frame.surface)) <= {SKY, FLOOR} | set(range(len(WALLS), 64))


def test_box_style_tells_where_one_looks():
    """Mean colours over scenes: left wall reddish, right greenish, back bluish; field of view 70 degrees."""
    means = {}
    for index in range(20):
        scene = generate_scene(SceneOptions(style="box"), 0, index)
        assert np.isclose(scene.intrinsics[0, 0], 28 / np.tan(np.radians(35)))
        for wall, texture in zip(WALLS, scene.geometry.wall_textures, strict=True):
            means.setdefault(wall, []).append(texture.colour)
    colour = {wall: np.mean(values, axis=0) for wall, values in means.items()}
    assert colour["left"].argmax() == 0 and colour["right"].argmax() == 1 and colour["back"].argmax() == 2
    assert np.ptp(colour["ceiling"]) < 0.1
    assert np.all(np.diff(colour["floor"]) < 0), "brown"


def test_straight_path_has_the_measured_difficulty():
    """What the demonstration promises is relative to these baselines: constant depth 0.289, identity 18.5 degrees."""
    depth_error, turn = [], []
    for index in range(48):
        scene = generate_scene(SceneOptions(), 1, index)
        depths = np.concatenate([scene.frame(view).depth.ravel() for view in (0, 2, 4, 6)])
        depth_error.append(np.mean(np.abs(np.median(depths) - depths) / depths))
        rotation = scene.cam_to_world[[0, 2, 4, 6], :3, :3]
        for i in range(4):
            cosine = [(np.trace(rotation[i].T @ rotation[j]) - 1) / 2 for j in range(i)]
            turn += list(np.degrees(np.arccos(cosine)))
    assert 0.25 < np.mean(depth_error) < 0.33
    assert 16 < np.mean(turn) < 21


def test_walk_goes_on_where_a_shorter_one_ends():
    short = generate_scene(SceneOptions(trajectory="walk", views=10), 0, 0).cam_to_world
    long = generate_scene(SceneOptions(trajectory="walk", views=300), 0, 0).cam_to_world
    assert np.array_equal(short, long[:10])
    steps = np.linalg.norm(np.diff(long[:, :3, 3], axis=0), axis=1)
    assert 0.01 < np.median(steps) < 0.12 and steps.max() < 0.2


def test_orbit_looks_at_one_point():
    poses = generate_scene(SceneOptions(trajectory="orbit", views=12), 0, 3).cam_to_world
    centres, forward = poses[:, :3, 3], poses[:, :3, 2]
    projectors = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    target = np.linalg.solve(projectors.sum(0), (projectors @ centres[:, :, None]).sum(0)[:, 0])
    assert np.linalg.norm(np.cross(target - centres, forward), axis=1).max() < 1e-9


def test_rays_of_any_length_and_time_reach_solids():
    texture = Texture("checks", np.ones(3), 0.5, np.ones(2), np.zeros(2))
    ball = Solid("sphere", np.array([0.0, 1.5, 1.0]), np.full(3, 0.25), 0.0, texture, np.array([1.0, 0, 0]))
    room = replace(generate_scene(SceneOptions(), 0, 0).geometry, solids=(ball,))
    eye = np.array([0.0, 0.0, 1.0])
    forward = np.array([[0.0], [2.0], [0.0]])
    hits = room.cast(eye, forward, 0.0)
    assert hits.surface[0] == len(WALLS) and np.isclose(hits.distance[0], 1.25 / 2)
    assert room.cast(eye, forward, 1.0).surface[0] == WALLS.index("back"), "the ball has moved aside"
    assert room.cast(eye, -forward, 0.0).surface[0] == WALLS.index("front"), "not what is behind the eye"


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"views": 0}, "views"),
        ({"width": 1}, "width"),
        ({"height": 9000}, "height"),
        ({"style": "baroque"}, "baroque"),
        ({"trajectory": "spiral"}, "spiral"),
    ],
)
def test_impossible_options_end_in_one_line(wrong, word):
    with pytest.raises(UserError, match=word) as caught:
        SceneOptions(**wrong)
    assert "\n" not in str(caught.value)
