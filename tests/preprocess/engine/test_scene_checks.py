"""What the check of every scene notices, and what it does not mistake for a fault: scenes of every kind, right and wrong."""

import json
import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from changed_reader import Changed
from kinds_of_scenes import KINDS, PANORAMIC, SPARSE, STILL, UNMASKED, UNORDERED, KindOfScenes

from zipmap_pl.cli.main import main
from zipmap_pl.cli.shards import info_text
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.inspection.agreement import DepthView, written_agreements
from zipmap_pl.preprocess.engine.mistakes import MISTAKES, Mistake, Reading
from zipmap_pl.preprocess.engine.run import Report, preprocess
from zipmap_pl.preprocess.engine.scene_checks import KeptView, chosen_pairs
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.engine.watch import Disagreement
from zipmap_pl.preprocess.raw import RawFault, RawFrame, RawScene

PAGE = Path(__file__).parents[3] / "docs/agreement.md"


def moved(factor: float):
    def change(reading: Reading) -> Reading:
        pose = reading.cam_to_world.copy()
        pose[:3, 3] *= factor
        return replace(reading, cam_to_world=pose)

    return change


MIRRORED = Mistake("translation mirrored", moved(-1), moved(-1))
DOUBLED = Mistake("translation doubled", moved(2), moved(0.5))
COLUMNS = (None, *MISTAKES, MIRRORED, DOUBLED)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def written(kind: KindOfScenes, folder: Path, mistake: Mistake | None = None) -> Report:
    reader = kind if mistake is None else Changed(kind, mistake.made_in)
    settings = EngineSettings(frames_per_shard=kind.frames_per_shard)
    return preprocess(reader, folder, settings, workers=1, accept_disagreement=True)


def small(kind: KindOfScenes) -> KindOfScenes:
    return replace(kind, options=replace(kind.options, width=48, height=36), scene_count=1)


@pytest.mark.parametrize("mistake", [None, MIRRORED, DOUBLED], ids=lambda m: m.name if m else "right")
def test_a_wrong_translation_of_a_panorama_is_seen(tmp_path, mistake):
    report = written(small(PANORAMIC), tmp_path, mistake)
    assert report.checked == 1
    assert bool(report.disagreeing) == (mistake is not None)


def test_photos_in_any_order_are_compared_where_they_overlap(tmp_path):
    report = written(small(UNORDERED), tmp_path / "right")
    assert (report.checked, report.disagreeing) == (1, ())
    assert len(pairs_of(tmp_path)) >= 4


def pairs_of(folder: Path) -> list[tuple[int, int]]:
    """Ordinals of the frames that were compared, from the only sidecar."""
    (sidecar,) = folder.rglob("*.npz")
    with np.load(sidecar) as arrays:
        checks = json.loads(bytes(arrays["meta"]))["checks"]
    return [(check["ordinal"], check["other"]) for check in checks]


def seen_from(*distances: float) -> dict[int, KeptView]:
    """Frames that look at a wall from so many of its depths to the right, which is the share of the image that they miss."""
    depth, intrinsics = np.full((32, 32), 2, np.float32), np.array((32.0, 32, 16, 16))
    poses = [np.eye(4)[:3] - np.eye(4)[3] * [[2 * distance], [0], [0]] for distance in distances]
    return {k: KeptView(DepthView(depth, intrinsics, pose), 2.0, 1.0) for k, pose in enumerate(poses)}


@pytest.mark.parametrize("order", [(0.02, 0.25, 0.7), (0.7, 0.02, 0.25), (0.25, 0.7, 0.02)])
def test_without_a_good_frame_five_later_the_one_that_shows_most_is_taken(order):
    """Neither the nearest, from which no mistake shows, nor the furthest, which sees other things."""
    assert chosen_pairs(seen_from(0, *order), [0]) == [(0, 1 + order.index(0.25))]


def test_pairs_that_stand_too_near_each_other_to_show_a_mistake_are_left_out():
    assert chosen_pairs(seen_from(0, 0.01, 0.2, 0.21), [0, 2]) == [(0, 3), (2, 0)]
    near = seen_from(0, 0.01, 0.6, 0.9)
    assert (0, 1) not in chosen_pairs(near, [0, 1, 2, 3])


def test_frames_five_apart_that_hardly_move_are_passed_by_for_others():
    distances = [0.002 * k for k in range(7)] + [0.2]
    assert chosen_pairs(seen_from(*distances), [0]) == [(0, 7)]


def test_overlaps_that_the_raw_data_give_choose_the_pairs(tmp_path):
    kind = small(replace(STILL, options=replace(STILL.options, views=9)))
    given = Changed(kind, lambda frame: replace(frame, overlaps=(("006", 0.6), ("007", 0.5))))
    preprocess(given, tmp_path, EngineSettings(), workers=1)
    assert {other for ordinal, other in pairs_of(tmp_path) if ordinal not in (6, 7)} <= {6, 7}


def test_moving_things_without_masks_are_judged_by_the_median(tmp_path):
    report = written(small(UNMASKED), tmp_path)
    agreement = next(written_agreements(ShardIndex.open(tmp_path)))
    assert (report.checked, report.disagreeing) == (1, ())
    assert agreement.good_share < 0.8


def test_thin_depth_of_a_real_sensor_may_be_5_percent_off(tmp_path):
    kind = replace(SPARSE, scene_count=1, options=replace(SPARSE.options, views=7))
    report = written(kind, tmp_path)
    assert (report.checked, report.disagreeing) == (1, ())
    assert "100% of pixels within 5%" in info_text(ShardIndex.open(tmp_path), None)


@dataclass(frozen=True)
class LastFourBroken(Changed):
    """Of every scene, only the first four frames can be read."""

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        if int(frame) >= 4:
            raise RawFault(f"{frame}.png", "broken")
        return super().frame(scene, frame)


def test_a_scan_whose_last_half_is_unusable_is_compared(tmp_path):
    kind = small(replace(STILL, options=replace(STILL.options, views=8)))
    reader = LastFourBroken(kind, lambda frame: frame)
    report = preprocess(reader, tmp_path, EngineSettings(max_fault_share=0.5), workers=1)
    assert (report.checked, report.disagreeing) == (1, ())


def test_a_scene_that_compared_too_few_pixels_is_not_judged(tmp_path):
    kind = small(replace(STILL, known=0.004, source="real"))
    report = written(kind, tmp_path)
    assert (report.checked, report.disagreeing) == (0, ())
    assert "s0: 16 frames" in (text := info_text(ShardIndex.open(tmp_path), None)) and "; not checked: " in text


# The status of the command.


@pytest.fixture
def misread(toys, tmp_path):
    """Arguments of a command that reads axes wrongly, and the folder that it writes."""
    for number in range(3):
        toys.write_sequence(tmp_path / f"raw/s{number}", 8, seed=number)
    folder = tmp_path / "out"
    return ["preprocess", "rgbd_folder", str(tmp_path / "raw"), "--output", str(folder), "--workers", "1"], folder


def test_disagreeing_data_end_with_status_3_every_time(misread, capsys):
    command, _ = misread
    for _ in range(2):
        assert main([*command, "--axes", "opengl"]) == 3
        assert "DISAGREEMENT of depth and cameras in 3 of 3 compared scenes" in capsys.readouterr().out


def test_agreeing_data_end_with_status_0(misread, capsys):
    command, _ = misread
    assert main(command) == 0
    assert "DISAGREE" not in capsys.readouterr().out


def test_a_run_whose_first_scenes_disagree_stops_until_it_is_accepted(tmp_path, monkeypatch):
    monkeypatch.setattr("zipmap_pl.preprocess.engine.watch.FIRST_SCENES", 3)
    kind = small(replace(STILL, options=replace(STILL.options, views=4)))
    reader, settings = Changed(replace(kind, scene_count=4), MISTAKES[0].made_in), EngineSettings(frames_per_shard=4)
    for _ in range(2):
        with pytest.raises(Disagreement, match="disagree in 3 of the first 3 scenes; stopped"):
            preprocess(reader, tmp_path, settings, workers=1)
        assert len(list(tmp_path.rglob("*.tar"))) == 3
    report = preprocess(reader, tmp_path, settings, workers=1, accept_disagreement=True)
    assert report.complete and (len(report.disagreeing), report.checked) == (4, 4)
    assert preprocess(reader, tmp_path, settings, workers=1).disagreeing == report.disagreeing


def test_the_command_says_how_to_go_on(monkeypatch, misread, capsys):
    command, folder = misread
    monkeypatch.setattr("zipmap_pl.preprocess.engine.watch.FIRST_SCENES", 2)
    assert main([*command, "--axes", "opengl"]) == 3
    assert re.search(r"stopped\. `--check` .* with --yes the same command goes on\n", capsys.readouterr().err)
    assert main([*command, "--axes", "opengl", "--yes"]) == 3
    assert ShardIndex.open(folder).scene_count == 3


# The page's table.


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_table_of_what_is_caught(tmp_path):
    """docs/agreement.md shows what this test finds; if it fails, its message is the new table."""
    logging.disable(logging.WARNING)
    try:
        rows = [row_of(kind, tmp_path / kind.name) for kind in KINDS]
    finally:
        logging.disable(logging.NOTSET)
    head = ["kind of scene", "right data", *(mistake.name for mistake in COLUMNS if mistake)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))
    assert table in PAGE.read_text(), f"\n{table}\n"


def row_of(kind: KindOfScenes, folder: Path) -> list[str]:
    cells = [kind.name]
    for number, mistake in enumerate(COLUMNS):
        report = written(kind, folder / str(number), mistake)
        wrong = len(report.disagreeing)
        if mistake is None:
            cells.append("passes" if wrong == 0 and report.checked == kind.scene_count else f"{wrong} suspected")
        else:
            words = {1.0: "all", 0.5: "most", 0.01: "some", 0.0: "none"}
            cells.append(next(word for share, word in words.items() if wrong >= share * report.checked))
    return cells
