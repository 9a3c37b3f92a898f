"""Generated scenes through the engine: what was generated exactly is what the shards hold."""

import cv2
import numpy as np
import pytest

from zipmap_pl.datasets.format.depth_coding import read_png
from zipmap_pl.datasets.format.frame_reader import FrameReader
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.geometry.exact_cameras import intrinsics_matrix, raw_cam_to_world
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.synthetic.reader import SyntheticReader
from zipmap_pl.preprocess.zoo.synthetic.scenes import SceneOptions


@pytest.mark.parametrize("moving_objects", [0, 1])
def test_shards_hold_what_was_generated(tmp_path, moving_objects):
    options = SceneOptions(views=3, width=42, height=28, moving_objects=moving_objects, open_sky=moving_objects > 0)
    reader = SyntheticReader(options, train_scenes=2, heldout_scenes=1)
    report = preprocess(reader, tmp_path, EngineSettings(lossless=True), workers=1)
    assert report.complete and not report.faults
    index = ShardIndex.open(tmp_path)
    assert index.frame_count == 9
    scenes = {scene.name: scene for scene in reader.scenes()}
    for number in range(index.scene_count):
        scene = scenes[index.text("scene.name", number)]
        assert index.splits[index["scene.split"][number]] == scene.split
        unit = float(index["scene.unit"][number])
        assert np.isclose(index["scene.metres_per_unit"][number], unit)
        for view, row in enumerate(index.scene_rows(number)):
            expected = reader.generated(scene).frame(view)
            image = cv2.imdecode(np.frombuffer(FrameReader(index).part(row, "image"), np.uint8), cv2.IMREAD_COLOR)
            assert np.array_equal(image[..., ::-1], expected.image)
            depth, sky = FrameReader(index).depth(row)
            assert np.array_equal(sky, expected.sky) and np.array_equal(depth > 0, expected.depth > 0)
            assert np.allclose(depth * unit, expected.depth, rtol=1e-3, atol=0)
            pose = raw_cam_to_world(index["frame.world_to_cam"][row], index["scene.raw_from_world"][number], unit)
            assert np.abs(pose - expected.cam_to_world[:3]).max() < 1e-9
            assert np.allclose(intrinsics_matrix(index["frame.intrinsics"][row]), expected.intrinsics, atol=1e-12)
            dynamic = FrameReader(index).part(row, "dynamic")
            if moving_objects:
                assert np.array_equal(read_png(dynamic) > 0, expected.dynamic)
            else:
                assert dynamic is None


def test_adding_scenes_keeps_the_ones_that_exist(tmp_path):
    """The stored pictures of a scene do not depend on how many others were asked for."""
    stored = []
    for scenes in (1, 4):
        folder = tmp_path / str(scenes)
        reader = SyntheticReader(SceneOptions(views=2, width=28, height=28), train_scenes=scenes, heldout_scenes=0)
        preprocess(reader, folder, EngineSettings(), workers=1)
        index = ShardIndex.open(folder)
        number = [index.text("scene.name", k) for k in range(index.scene_count)].index("train-000000")
        rows = index.scene_rows(number)
        stored.append([FrameReader(index).part(row, part) for row in rows for part in ("image", "depth", "camera")])
    assert stored[0] == stored[1]
