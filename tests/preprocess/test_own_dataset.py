"""A dataset is one file in preprocess/zoo: written literally from docs/own_data.md, it has all that other datasets have."""

import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from zipmap_pl.cli.main import main
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess import zoo
from zipmap_pl.preprocess.registry import dataset_names

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own_data.md"


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


def write_reader(folder):
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (folder / "turntable_own.py").write_text(code)


def test_a_file_in_the_folder_is_a_dataset(own_folder, scans, tmp_path, capsys):
    write_reader(own_folder)
    assert "turntable_own" in dataset_names()
    assert main(["preprocess", "turntable_own", str(scans), "--output", str(tmp_path / "out"), "--workers", "1"]) == 0
    assert "6 frames of 1 scene in 1 shard" in capsys.readouterr().out
    assert ShardIndex.open(tmp_path / "out").info["licence"] == "CC BY 4.0"


def test_its_fields_are_options_and_part_of_the_fingerprint(own_folder, scans, tmp_path, capsys):
    write_reader(own_folder)
    command = ["preprocess", "turntable_own", str(scans), "--output", str(tmp_path / "out"), "--workers", "1"]
    assert main([*command, "--every", "2"]) == 0
    assert "3 frames of 1 scene" in capsys.readouterr().out
    assert main([*command, "--every", "3"]) == 2
    assert "other settings: reader.every: 2 there, 3 now" in capsys.readouterr().err


def test_its_docstring_and_options_are_its_help(own_folder, capsys):
    write_reader(own_folder)
    with pytest.raises(SystemExit):
        main(["preprocess", "turntable_own", "--help"])
    text = capsys.readouterr().out
    assert "Turntable scans: RAW/<object>/ with cameras.json" in text
    assert "take every n-th frame only (default: 1)" in text


def test_a_module_that_lacks_a_part_is_named(own_folder, capsys):
    (own_folder / "half_own.py").write_text("INFO = None\n")
    assert main(["preprocess", "half_own", "x", "--output", "y"]) == 2
    assert "half_own.py: has no READER; expected INFO and READER" in capsys.readouterr().err
