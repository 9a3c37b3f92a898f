"""docs/own_data.md tells the truth: its reader works, its commands are those that the real sequences are tested with."""

import json
import re
import shlex
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from zipmap_pl.cli.main import main
from zipmap_pl.cli.preprocess import dataset_parser
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.inspection.agreement import scene_agreement
from zipmap_pl.errors import UserError
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess import zoo
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.registry import dataset_names, load_dataset
from zipmap_pl.preprocess.zoo.rgbd_folder import reader as rgbd_folder

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own_data.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def turntable():
    """The page's reader as a module."""
    (code,) = blocks("python")
    module = types.ModuleType("turntable")
    exec(compile(code, str(PAGE), "exec"), vars(module))
    return module


@pytest.fixture
def scans(toys, tmp_path):
    """A miniature of the page's raw format."""
    folder = tmp_path / "scans" / "teapot"
    folder.mkdir(parents=True)
    table = {}
    for k in range(6):
        pose = toys.pose(k)
        picture = np.random.default_rng(k).integers(0, 256, (*toys.size, 3), np.uint8)
        (folder / f"view{k}.jpg").write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
        np.save(folder / f"view{k}.npy", toys.depth(pose) * 1000)
        table[f"view{k}"] = {"K": cameras.intrinsics_matrix(toys.intrinsics).tolist(), "cam_to_world": pose.tolist()}
    (folder / "cameras.json").write_text(json.dumps(table))
    return folder.parent


def test_the_reader_of_the_page_makes_shards_that_agree(turntable, scans, tmp_path):
    preprocess(turntable.READER(scans), tmp_path / "out", EngineSettings(), workers=1)
    index = ShardIndex.open(tmp_path / "out")
    assert [index.text("frame.name", row) for row in range(6)] == [f"view{k}" for k in range(6)]
    assert scene_agreement(index, 0, step=2).median_relative < 2e-3


def test_the_reader_of_the_page_names_what_is_wrong(turntable, scans, tmp_path):
    (scans / "teapot/view3.npy").unlink()
    with pytest.raises(UserError, match=r"1 of 6 frames .* teapot/view3: .*view3\.npy: missing"):
        preprocess(turntable.READER(scans), tmp_path / "out", EngineSettings(), workers=1)
    with pytest.raises(UserError, match="expected turntable scans"):
        preprocess(turntable.READER(scans / "teapot"), tmp_path / "other", EngineSettings(), workers=1)


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """A folder whose modules are datasets, as those of preprocess/zoo are."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    monkeypatch.setattr(zoo, "__path__", [*zoo.__path__, str(folder)])
    yield folder
    for name in [
        name for name in sys.modules if name.startswith("zipmap_pl.preprocess.zoo.") and name.endswith("_own")
    ]:
        del sys.modules[name]


def test_a_file_in_the_folder_is_a_dataset(own_folder, scans, tmp_path, capsys):
    (own_folder / "turntable_own.py").write_text(blocks("python")[0])
    assert "turntable_own" in dataset_names()
    assert main(["preprocess", "turntable_own", str(scans), "--output", str(tmp_path / "out"), "--workers", "1"]) == 0
    assert "6 frames of 1 scene in 1 shard" in capsys.readouterr().out
    assert ShardIndex.open(tmp_path / "out").info["licence"] == "CC BY 4.0, Example University"


def test_its_fields_are_options_and_part_of_the_fingerprint(own_folder, scans, tmp_path, capsys):
    (own_folder / "turntable_own.py").write_text(blocks("python")[0])
    command = ["preprocess", "turntable_own", str(scans), "--output", str(tmp_path / "out"), "--workers", "1"]
    assert main([*command, "--every", "2"]) == 0
    assert "3 frames of 1 scene" in capsys.readouterr().out
    assert main([*command, "--every", "3"]) == 2
    assert "other settings: reader.every: 2 there, 3 now" in capsys.readouterr().err


def test_its_docstring_and_options_are_its_help(own_folder, capsys):
    (own_folder / "turntable_own.py").write_text(blocks("python")[0])
    with pytest.raises(SystemExit):
        main(["preprocess", "turntable_own", "--help"])
    text = capsys.readouterr().out
    assert "Turntable scans: RAW/<object>/ with cameras.json" in text
    assert "take every n-th frame only (default: 1)" in text


def test_a_module_that_lacks_a_part_is_named(own_folder, capsys):
    (own_folder / "half_own.py").write_text("INFO = None\n")
    assert main(["preprocess", "half_own", "x", "--output", "y"]) == 2
    assert "half_own.py: has no READER; expected INFO and READER" in capsys.readouterr().err


def documented_options():
    """The options of each command of the page, by the last word of its raw folder."""
    commands = [line for block in blocks("sh") for line in block.splitlines() if "preprocess rgbd_folder" in line]
    dataset = load_dataset("rgbd_folder")
    parser = dataset_parser(dataset)
    parsed = [parser.parse_args(shlex.split(command)[3:]) for command in commands]
    return {args.raw.name: dataset.reader_from(args).options for args in parsed}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("stairs", "sevenscenes_stairs_layout/stairs"),
        ("hololens", "hololens_dvmvs"),
        ("livingroom", "livingroom_open3d"),
        ("hospital", "tartanair_raw"),
    ],
)
def test_the_commands_of_the_page_read_the_real_sequences(shared_data, name, folder):
    """What they make of the raw data agrees between frames; test_real_sequences.py measures how well."""
    reader = rgbd_folder.RgbdFolder(shared_data / folder, documented_options()[name])
    scene = reader.scenes()[0]
    first, second = (reader.frame(scene, scene.frames[k]) for k in (0, 1))
    relative = cameras.compose(cameras.invert_rigid(second.camera.cam_to_world[:3]), first.camera.cam_to_world[:3])
    k = first.camera.intrinsics
    intrinsics = np.array((k[0, 0], k[1, 1], k[0, 2], k[1, 2]))
    points = cameras.transform_points(relative, cameras.pixel_points(first.depth, intrinsics)[first.depth > 0])
    row, column, inside = cameras.pixels_of(points, intrinsics, second.depth.shape)
    found = second.depth[row[inside], column[inside]]
    error = np.abs(points[inside, 2] - found)[found > 0] / found[found > 0]
    assert np.median(error) < 0.01 and error.size > 10_000


def test_the_page_has_the_five_sequences():
    assert set(documented_options()) == {
        "stairs",
        "rgbd_dataset_freiburg3_long_office_household",
        "hololens",
        "livingroom",
        "hospital",
    }
