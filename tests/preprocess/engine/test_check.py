"""`zipmap preprocess NAME RAW --check`: what it says of right and of misread data, and that it leaves nothing behind."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from changed_reader import Changed
from kinds_of_scenes import STILL
from readers import reader_of
from real_sequences import SEQUENCES

from zipmap_pl.cli.check_text import check_text, is_wrong, verdict
from zipmap_pl.cli.main import main
from zipmap_pl.datasets.inspection.agreement import Agreement
from zipmap_pl.preprocess.engine.dry_run import look_at
from zipmap_pl.preprocess.engine.mistakes import MISTAKES
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.synthetic.trajectories import look

SMALL = replace(STILL, scene_count=1, options=replace(STILL.options, width=64, height=48, views=10))


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def looked_at(reader, scenes=1):
    return look_at(reader, EngineSettings(), 1, scenes)


@pytest.mark.parametrize("mistake", [None, MISTAKES[1]], ids=lambda mistake: mistake.name if mistake else "right")
def test_generated_rooms_are_right_and_a_mistake_is_named(mistake):
    look = looked_at(SMALL if mistake is None else Changed(SMALL, mistake.made_in))
    expected = "right: no other reading" if mistake is None else f"WRONG: without the mistake '{mistake.name}'"
    assert verdict(look).startswith(expected)
    assert is_wrong(look) == (mistake is not None)


@pytest.mark.long
@pytest.mark.parametrize("mistake", [None, *MISTAKES], ids=lambda mistake: mistake.name if mistake else "right")
@pytest.mark.parametrize("name", SEQUENCES)
def test_real_sequences_are_right_and_each_mistake_is_named(shared_data, name, mistake):
    sequence = SEQUENCES[name]
    raw = shared_data / sequence.folder
    if not raw.is_dir():
        pytest.skip(f"{raw} is not there")
    reader = reader_of(sequence.dataset, raw, *sequence.options)
    look = looked_at(reader if mistake is None else Changed(reader, mistake.made_in), scenes=2)
    expected = "right: no other reading" if mistake is None else f"WRONG: without the mistake '{mistake.name}'"
    assert verdict(look).startswith(expected), check_text(name, look, 1)


def test_the_factor_of_other_units_is_found():
    feet = Changed(SMALL, lambda frame: replace(frame, depth=frame.depth * np.float32(3.28)))
    factor = re.search(r"depth x ([\d.]+)", verdict(looked_at(feet)))
    assert float(factor[1]) == pytest.approx(1 / 3.28, rel=0.05)


def test_cameras_that_hardly_move_decide_nothing():
    def still(rng):
        return np.repeat(np.array(((1.0, 0, 0, 0), (0, 0, 1, -2), (0, -1, 0, 1.5), (0, 0, 0, 1)))[None], 4, axis=0)

    look = looked_at(replace(SMALL, poses=still))
    assert verdict(look).startswith("undecided: the cameras hardly move")
    assert not is_wrong(look)


def turning(step: float):
    """12 cameras that turn and go to the side by so many meters a frame."""

    def poses(rng):
        steps = np.arange(12)
        positions = np.column_stack((steps * step - 0.3, np.full(12, -0.4), np.full(12, 1.5)))
        return look(positions, 0.1 * steps if step == 0 else 0 * steps, np.full(12, -0.05), np.zeros(12))

    return poses


def shaken(frame):
    """Its position is some millimeters off, which is known to depend on nothing but the frame."""
    pose = frame.camera.cam_to_world.copy()
    pose[:3, 3] += np.random.default_rng(int(1e4 * abs(pose[:2, :3]).sum() + 1e3 * pose[0, 3])).normal(0, 0.006, 3)
    return replace(frame, camera=replace(frame.camera, cam_to_world=pose))


@pytest.mark.parametrize("step", [0, 0.008])
def test_positions_that_are_mostly_noise_name_no_other_units(step):
    """With depth a hundred times as far the noise is gone, and so is all motion: that is no reading that fits."""
    found = looked_at(Changed(replace(SMALL, poses=turning(step)), shaken))
    assert not is_wrong(found), check_text("x", found, 1)
    assert "depth in other units" in found.undecided()


@dataclass(frozen=True)
class WithAlternatives(Changed):
    """Two other readings, of which one finds no usable frame."""

    def alternatives(self):
        no_rotation = Changed(self.reader, lambda frame: replace(frame, camera=scaled(frame.camera)))
        return {"--scaled": no_rotation, "--opengl": Changed(self.reader, MISTAKES[1].made_in)}


def scaled(camera):
    return replace(camera, cam_to_world=camera.cam_to_world * np.array((2, 2, 2, 1)))


def test_another_reading_that_finds_no_usable_frame_is_told_and_the_others_are_compared(caplog):
    look = looked_at(WithAlternatives(SMALL, lambda frame: frame))
    assert caplog.messages == ["read with '--scaled', no frame can be used"]
    assert "--opengl" in (text := check_text("x", look, 1)) and "--scaled" not in text
    assert verdict(look).startswith("right: ")


def test_a_few_scenes_that_disagree_are_no_wrong_reading():
    """As in a whole run, where surfaces that hide each other explain 5 % of the scenes."""
    found = looked_at(SMALL)
    (scene,) = found.looks
    bad = replace(scene, agreement=Agreement(0.1, 0.5))
    few, more = (replace(found, looks=(bad,) * count + (scene,) * 20) for count in (1, 2))
    assert verdict(few).startswith("right: ") and "cameras of 1 in 21 scenes disagree all the same" in verdict(few)
    assert verdict(more) == "WRONG: depth and cameras disagree, and none of the known mistakes explains it"


def test_data_without_depth_are_not_checked():
    look = looked_at(Changed(SMALL, lambda frame: replace(frame, depth=None)))
    assert verdict(look).startswith("not checked: ")


# The command.


@pytest.fixture
def sequence(toys, tmp_path):
    return toys.write_sequence(tmp_path / "raw", 8)


def test_the_command_counts_measures_and_says_right(sequence, toys, capsys):
    before = toys.tree(sequence.parent)
    assert main(["preprocess", "rgbd_folder", str(sequence), "--check", "--workers", "1"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("rgbd_folder: 1 scene, 8 frames (train: 1 scene, 8 frames)\n  nothing is missing")
    assert re.search(r"expected: about \d\.\d MB of shards, 1 minute with 1 worker \(from 8 frames of 1 scene\)", text)
    assert re.search(
        r"train/raw: 8 frames, median depth 1\.9\d* m, camera step 0\.05\d* m per frame, depth on 100%", text
    )
    assert "sky 0%; 100% within 2%" in text
    assert all(f"without: {mistake.name}" in text for mistake in MISTAKES) and "--axes ned" in text
    assert text.splitlines()[-1].startswith("right: ")
    assert toys.tree(sequence.parent) == before


def test_what_is_missing_is_named(sequence, capsys):
    (sequence / "frame-000003.depth.png").unlink()
    assert main(["preprocess", "rgbd_folder", str(sequence), "--check", "--workers", "1"]) == 0
    assert re.search(r"unusable: raw/000003: .*depth", capsys.readouterr().out)


def test_another_reading_that_the_reader_offers_is_named_with_status_3(sequence, tmp_path, capsys):
    output = tmp_path / "out"
    for frame in sequence.glob("*.pose.txt"):  # as a dataset with axes forward, right, down has them
        np.savetxt(frame, np.loadtxt(frame) @ np.linalg.inv(np.eye(4)[[2, 0, 1, 3]]), fmt="%.17g")
    command = ["preprocess", "rgbd_folder", str(sequence), "--output", str(output), "--workers", "1", "--check"]
    assert main(command) == 3
    assert "WRONG: read with '--axes ned', " in capsys.readouterr().out.splitlines()[-1]
    assert not output.exists()


def test_a_number_of_workers_that_makes_no_sense_is_one_line(sequence, capsys):
    assert main(["preprocess", "rgbd_folder", str(sequence), "--check", "--workers", "0"]) == 2
    assert capsys.readouterr().err == "zipmap: --workers 0: expected 1 or more\n"


def test_output_is_required_without_check(sequence, capsys):
    assert main(["preprocess", "rgbd_folder", str(sequence)]) == 2
    assert "required: --output (or --check" in capsys.readouterr().err
