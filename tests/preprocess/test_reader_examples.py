"""What docs/adding-a-dataset.md shows of a reader beyond scenes and frames does what it says, on the turntable scans of own_data.md."""

import gzip
import json
import types

import cv2
import numpy as np
import pytest
from pages import DOCS, blocks_of

from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings

PAGE = "adding-a-dataset.md"


@pytest.fixture
def examples():
    """The reader of own_data.md, and below it the readers of the page, as one module."""
    module = types.ModuleType("turntable")
    code = [
        *blocks_of("A new dataset in code", "python", "own_data.md"),
        *blocks_of("3. Write the reader", "python", PAGE),
    ]
    exec(compile("\n\n".join(code), str(DOCS / PAGE), "exec"), vars(module))
    return module


@pytest.fixture
def scans(toys, tmp_path):
    """A teapot from 6 views; view 2 has no depth."""
    folder = tmp_path / "scans/teapot"
    folder.mkdir(parents=True)
    table = {}
    for k in range(6):
        pose = toys.pose(k)
        picture = np.random.default_rng(k).integers(0, 256, (*toys.size, 3), np.uint8)
        (folder / f"view{k}.jpg").write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
        np.save(folder / f"view{k}.npy", toys.depth(pose) * (0 if k == 2 else 1000))
        table[f"view{k}"] = {"K": cameras.intrinsics_matrix(toys.intrinsics).tolist(), "cam_to_world": pose.tolist()}
    (folder / "cameras.json").write_text(json.dumps(table))
    return folder.parent


def test_a_view_without_depth_is_passed_over(examples, scans, tmp_path):
    report = preprocess(examples.WithoutDepth(scans), tmp_path / "out", EngineSettings(), workers=1)
    assert report.complete and report.passed_over == {"no depth was scanned": {"teapot": ["view2"]}}


def test_overlaps_that_the_data_give_are_the_neighbors(examples, scans, tmp_path):
    (scans / "teapot/overlaps.json").write_text(json.dumps({"view0": {"view5": 0.2, "view3": 0.8}}))
    preprocess(examples.WithOverlaps(scans), tmp_path / "out", EngineSettings(), workers=1)
    assert ShardIndex.open(tmp_path / "out")["frame.neighbours"][0, :3].tolist() == [3, 5, -1]


def test_the_table_of_a_container_is_kept(examples, scans, tmp_path):
    preprocess(examples.Turntable(scans), tmp_path / "out", EngineSettings(), workers=1)
    file = scans / "teapot/cameras.json"
    cameras = json.loads(file.read_text())
    rows = [{"frame": frame, **camera} for frame, camera in cameras.items()]
    file.with_suffix(".jgz").write_bytes(gzip.compress(json.dumps(rows).encode()))
    file.write_text(json.dumps(dict.fromkeys(cameras)))  # names only: the cameras come from the table
    preprocess(examples.WithTables(scans), tmp_path / "boxed", EngineSettings(), workers=1)
    poses = [ShardIndex.open(tmp_path / name)["frame.world_to_cam"] for name in ("out", "boxed")]
    np.testing.assert_array_equal(*poses)
    assert len([*(tmp_path / "boxed/plan/tables").iterdir()]) == 1
