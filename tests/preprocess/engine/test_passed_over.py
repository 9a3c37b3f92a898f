"""Frames that a dataset's own description says cannot be used are passed over: counted and named, but no faults."""

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from changed_reader import Changed
from kills import check_kills

from zipmap_pl.cli.main import main
from zipmap_pl.cli.preprocess import report_text
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.inspection import contact_sheet
from zipmap_pl.datasets.inspection.verification import verify
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.raw import RawFault, RawReader
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions

SETTINGS = EngineSettings(frames_per_shard=4)
OLD_SHARDS = Path(__file__).parents[2] / "data/before_rooms/shards"
NO_DEPTH = "the photo has no depth"
# Of scene a: the first frame and one that the plan probes; of scene c one in the middle of a shard.
USUAL = (("a", "000000"), ("a", "000005"), ("c", "000003"))


@dataclass(frozen=True)
class Photos:
    """A toy of photos, not all of which have depth; some files are damaged, too."""

    reader: RawReader
    usual: tuple[tuple[str, str], ...] = USUAL
    damaged: tuple[tuple[str, str], ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.reader, name)

    def frame(self, scene, frame):
        if (scene.name, frame) in self.damaged:
            raise RawFault(f"{frame}.png", "unreadable picture")
        if (scene.name, frame) in self.usual:
            raise RawFault(f"{frame}.h5", NO_DEPTH, usual=True)
        return self.reader.frame(scene, frame)


@pytest.fixture(scope="module")
def folder_reader(toys, tmp_path_factory):
    raw = tmp_path_factory.mktemp("raw")
    for seed, (name, frames) in enumerate({"a": 10, "b": 3, "c": 6}.items()):
        toys.write_sequence(raw / name, frames, seed)
    return RgbdFolder(raw, RgbdOptions("toy"))


@pytest.fixture(scope="module")
def photos(folder_reader):
    return Photos(folder_reader)


@pytest.fixture(scope="module")
def dataset(photos, tmp_path_factory):
    """The folder and the report of a run without any trouble."""
    output = tmp_path_factory.mktemp("unbroken") / "toy"
    return output, preprocess(photos, output, SETTINGS, workers=1)


def test_they_are_no_part_of_the_share_of_faults(dataset):
    output, report = dataset
    assert report.complete and report.faults == () and verify(output) == []
    assert SETTINGS.max_fault_share < 3 / 19


def test_planned_frames_are_written_faulty_or_passed_over(folder_reader, tmp_path):
    both = Photos(folder_reader, damaged=(("a", "000005"), ("b", "000001")))
    report = preprocess(both, tmp_path, EngineSettings(frames_per_shard=4, max_fault_share=0.2), workers=1)
    counts = json.loads((tmp_path / "dataset.json").read_text())["counts"]
    assert (counts["frames_planned"], counts["frames"], counts["faults"], counts["passed_over"]) == (19, 15, 2, 2)
    assert ShardIndex.open(tmp_path).frame_count == 15
    assert [fault.frame for fault in report.faults] == ["000005", "000001"]
    assert report.passed_over == {NO_DEPTH: {"a": ["000000"], "c": ["000003"]}}


def test_faults_are_a_share_of_the_frames_that_were_not_passed_over(folder_reader, tmp_path):
    """Otherwise a dataset that is mostly passed over could lose all the rest."""
    usual = tuple(("a", f"{k:06d}") for k in range(10))
    reader = Photos(folder_reader, usual, damaged=(("b", "000001"),))
    with pytest.raises(UserError, match=r"1 of 9 frames could not be used \(11.1%.*b/000001.*--max-fault-share 0\.12"):
        preprocess(reader, tmp_path, EngineSettings(max_fault_share=0.1), workers=1)


def test_they_are_named_in_dataset_json_by_reason(dataset):
    assert json.loads((dataset[0] / "dataset.json").read_text())["passed_over"] == {
        NO_DEPTH: {"a": ["000000", "000005"], "c": ["000003"]}
    }


def test_summary_info_and_sheet_show_them(dataset, capsys, monkeypatch):
    output, report = dataset
    line = f"passed over: 3 frames of 2 scenes: {NO_DEPTH} (a/000000 is the first)\n"
    assert f"\n  {line}" in report_text(report)
    assert main(["shards", "info", str(output)]) == 0
    assert f"\n{line}" in capsys.readouterr().out
    titles, draw = [], contact_sheet.draw_sheet
    monkeypatch.setattr(contact_sheet, "draw_sheet", lambda *a: (titles.append(a[1]), draw(*a))[1])
    contact_sheet.contact_sheet(output, "a")
    assert "8 of 8 frames (2 more were passed over)" in titles[0]


def test_a_finished_dataset_reports_them_again(photos, dataset):
    again = preprocess(photos, dataset[0], SETTINGS, workers=1)
    assert (again.shards_written, again.passed_over) == (0, dataset[1].passed_over)


def test_shards_that_lack_them_are_not_written_again_and_their_scenes_not_planned_again(photos, tmp_path):
    """Unlike faults, which may be fixed between two runs."""
    preprocess(photos, tmp_path, SETTINGS, workers=1, part=(1, 2))
    plan = (tmp_path / "plan/plan.jsonl").stat().st_mtime_ns
    seen = []
    watched = Changed(photos, lambda frame: seen.append(frame) or frame)
    report = preprocess(watched, tmp_path, SETTINGS, workers=1, part=(1, 2))
    assert (report.shards_written, seen) == (0, [])
    assert (tmp_path / "plan/plan.jsonl").stat().st_mtime_ns == plan


def test_a_finish_without_raw_data_names_them(dataset, tmp_path, capsys):
    output = shutil.copytree(dataset[0], tmp_path / "copy")
    before = (output / "dataset.json").read_bytes()
    (output / "dataset.json").unlink()
    assert main(["shards", "finish", str(output)]) == 0
    assert "complete, 0 unusable frames left out, 3 passed over\n" in capsys.readouterr().out
    assert (output / "dataset.json").read_bytes() == before


def test_nothing_but_passed_over_frames_is_no_dataset(folder_reader, tmp_path):
    usual = tuple((scene.name, frame) for scene in folder_reader.scenes() for frame in scene.frames)
    with pytest.raises(UserError, match=f"all 19 frames are passed over: .*{NO_DEPTH} .and 18 more") as raised:
        preprocess(Photos(folder_reader, usual), tmp_path, EngineSettings(max_fault_share=1.0), workers=1)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "dataset.json").exists()


def test_a_dataset_json_from_before_is_read(capsys):
    assert "passed_over" not in json.loads((OLD_SHARDS / "dataset.json").read_text())
    assert main(["shards", "info", str(OLD_SHARDS)]) == 0
    assert "passed over" not in capsys.readouterr().out


def test_parts_and_kills_write_the_same_bytes(toys, photos, dataset, tmp_path):
    unbroken = toys.tree(dataset[0])
    for part in (2, 3, 1):
        preprocess(photos, tmp_path / "parts", SETTINGS, workers=1, part=(part, 3))
    assert toys.tree(tmp_path / "parts") == unbroken
    moments = sorted(random.Random(0).sample(range(200), 3))
    assert check_kills(toys.tree, photos, unbroken, tmp_path, moments, SETTINGS) >= 2


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_killed_anywhere_the_bytes_are_the_same(toys, photos, dataset, tmp_path):
    assert check_kills(toys.tree, photos, toys.tree(dataset[0]), tmp_path, range(0, 240, 3), SETTINGS) >= 50
