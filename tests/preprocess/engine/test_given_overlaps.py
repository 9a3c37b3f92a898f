"""Overlaps that a dataset gives become the neighbours of its frames; they are kept in the sidecars."""

import random
import shutil
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from kills import check_kills

from zipmap_pl.cli.main import main
from zipmap_pl.datasets.format.schema import MAX_NEIGHBOURS
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.inspection.verification import verify
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine.given_overlaps import usable_overlaps
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.raw import RawCamera, RawFault, RawFrame, RawReader
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions

SETTINGS = EngineSettings(frames_per_shard=4, max_fault_share=0.1)
GIVEN = {
    ("a", "000000"): (("000007", 0.25), ("000002", 0.75)),
    ("a", "000002"): (("000000", 0.5), ("nobody", 0.9), ("000002", 1.0), ("000004", 1.0)),
    ("a", "000009"): (("000000", 1), ("000001", 0.0), ("000000", 0.5)),
}


@dataclass(frozen=True)
class Tracks:
    """A toy whose raw data say which frames see the same points; frame 4 of scene a is damaged."""

    reader: RawReader
    overlaps: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.reader, name)

    def frame(self, scene, frame):
        if (scene.name, frame) == ("a", "000004"):
            raise RawFault("4.png", "unreadable picture")
        return replace(self.reader.frame(scene, frame), overlaps=self.overlaps.get((scene.name, frame)))


@pytest.fixture(scope="module")
def folder_reader(toys, tmp_path_factory):
    raw = tmp_path_factory.mktemp("raw")
    for seed, (name, frames) in enumerate({"a": 10, "b": 3}.items()):
        toys.write_sequence(raw / name, frames, seed)
    return RgbdFolder(raw, RgbdOptions("toy"))


@pytest.fixture(scope="module")
def computed(folder_reader, tmp_path_factory):
    """The dataset without any overlaps given."""
    output = tmp_path_factory.mktemp("computed") / "toy"
    preprocess(Tracks(folder_reader, {}), output, SETTINGS, workers=1)
    return output


@pytest.fixture(scope="module")
def given(folder_reader, tmp_path_factory):
    output = tmp_path_factory.mktemp("given") / "toy"
    preprocess(Tracks(folder_reader, GIVEN), output, SETTINGS, workers=1)
    assert verify(output) == []
    return output


def neighbours(folder, scene, frame):
    """Names of the neighbours of a frame, and their overlap, 255 = all."""
    index = ShardIndex.open(folder)
    rows = [row for row in range(index.frame_count) if index.sample_name(row) == f"{scene}/{frame}"]
    first, row = index.scene_rows(index["frame.scene"][rows[0]])[0], rows[0]
    pairs = zip(index["frame.neighbours"][row], index["frame.neighbour_overlap"][row], strict=True)
    return [(index.text("frame.name", first + place), int(overlap)) for place, overlap in pairs if place >= 0]


def test_given_overlaps_are_the_neighbours_by_falling_share(given):
    """Places count written frames: frame 4 is lost, so that 7 is the seventh of the scene."""
    assert neighbours(given, "a", "000000") == [("000002", 191), ("000007", 64)]
    assert neighbours(given, "a", "000009") == [("000000", 255)]


def test_names_of_no_written_frame_and_the_frame_itself_are_dropped(given):
    assert neighbours(given, "a", "000002") == [("000000", 128)]


def test_frames_without_overlaps_of_such_a_scene_have_no_neighbours(given):
    assert neighbours(given, "a", "000001") == []


def test_other_scenes_have_computed_neighbours(given, computed):
    assert neighbours(given, "b", "000000") == neighbours(computed, "b", "000000") != []


def test_sidecars_without_overlaps_are_as_they_were(given, computed):
    """Of four shards the third one holds the end of scene a, with an overlap."""
    hold = {}
    for file in sorted((given / "sidecars").rglob("*.npz")):
        with np.load(file) as arrays:
            hold[file.stem] = any(name.startswith("overlap") for name in arrays.files)
        same = file.read_bytes() == (computed / file.relative_to(given)).read_bytes()
        assert same != hold[file.stem]
    assert [*hold.values()] == [True, False, True, False]


def test_a_finish_without_raw_data_uses_them(toys, given, tmp_path):
    output = shutil.copytree(given, tmp_path / "copy")
    (output / "dataset.json").unlink()
    shutil.rmtree(output / "index")
    assert main(["shards", "finish", str(output), "--max-fault-share", "0.1"]) == 0
    assert toys.tree(output) == toys.tree(given)


def test_neighbours_found_part_by_part_are_the_same(toys, folder_reader, given, tmp_path, monkeypatch):
    monkeypatch.setattr("zipmap_pl.preprocess.engine.finish.NEIGHBOURS_AT_ONCE", 4)
    preprocess(Tracks(folder_reader, GIVEN), tmp_path, SETTINGS, workers=1)
    assert toys.tree(tmp_path) == toys.tree(given)


def test_a_scene_whose_overlaps_name_no_written_frame_is_told_and_computed(folder_reader, computed, tmp_path, caplog):
    overlaps = {("a", "000000"): (("photo1.jpg", 0.5),), ("a", "000001"): (("000004", 0.5),)}
    preprocess(Tracks(folder_reader, overlaps), tmp_path, SETTINGS, workers=1)
    told = "the overlaps given for 1 scenes (a first) name no frame that was written; they are computed instead"
    assert caplog.messages == [f"{tmp_path}: {told}"]
    assert neighbours(tmp_path, "a", "000000") == neighbours(computed, "a", "000000") != []


@pytest.mark.parametrize(("share", "word"), [(float("nan"), "nan"), (-0.1, "-0.1"), (1.5, "1.5")])
def test_a_share_that_is_none_is_refused_in_one_line(folder_reader, tmp_path, share, word):
    reader = Tracks(folder_reader, {("b", "000001"): (("000000", share),)})
    with pytest.raises(
        UserError, match=f"b/000001: overlap with 000000 is {word}, expected a share from 0 to 1"
    ) as raised:
        preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "overlaps",
    [
        (("0", None),),
        (("0", "0.5"),),
        (("0", 10**400),),
        (("0", np.array([0.5, 0.6])),),
        ((["0"], 0.5),),
        (("0",),),
        ("0", 0.5),
        np.zeros((2, 2)),
    ],
)
def test_what_is_no_name_and_share_is_damage_of_its_frame(overlaps):
    """Arrays of a raw file may have any type and shape: they must not end the run."""
    frame = RawFrame(RawCamera(np.eye(3), np.eye(4)), np.zeros((1, 1, 3), np.uint8), overlaps=overlaps)
    with pytest.raises(RawFault, match="expected a(| name and a) share from 0 to 1"):
        usable_overlaps("x", frame, 1, ("0", "1"))


def test_the_best_are_kept():
    names = tuple(f"{k}" for k in range(50))
    shares = np.random.default_rng(0).permutation(50) / 50
    frame = RawFrame(
        RawCamera(np.eye(3), np.eye(4)), np.zeros((1, 1, 3), np.uint8), overlaps=(*zip(names, shares, strict=True),)
    )
    kept = usable_overlaps("x", frame, 50, names)
    assert len(kept.ordinals) == MAX_NEIGHBOURS
    assert kept.ordinals.tolist() == np.argsort(-shares)[:MAX_NEIGHBOURS].tolist()


def test_parts_and_kills_write_the_same_bytes(toys, folder_reader, given, tmp_path):
    reader, unbroken = Tracks(folder_reader, GIVEN), toys.tree(given)
    for part in (2, 3, 1):
        preprocess(reader, tmp_path / "parts", SETTINGS, workers=1, part=(part, 3))
    assert toys.tree(tmp_path / "parts") == unbroken
    moments = sorted(random.Random(0).sample(range(150), 3))
    assert check_kills(toys.tree, reader, unbroken, tmp_path, moments, SETTINGS) >= 2


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_killed_anywhere_the_bytes_are_the_same(toys, folder_reader, given, tmp_path):
    reader = Tracks(folder_reader, GIVEN)
    assert check_kills(toys.tree, reader, toys.tree(given), tmp_path, range(0, 180, 3), SETTINGS) >= 40
