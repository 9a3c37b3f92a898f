"""What happens to a folder of shards behind the engine's back: no changed bit is accepted, and what can be, is written again."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from changed_reader import Changed
from flipped_bits import flipped

from zipmap_pl.cli.main import main
from zipmap_pl.datasets.format.plan_file import parse_plan
from zipmap_pl.datasets.format.schema import INDEX_FOLDER, SIDECAR_FOLDER
from zipmap_pl.datasets.format.sidecar import DamagedSidecar, read_arrays
from zipmap_pl.datasets.inspection.verification import verify
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine.run import finish_folder, preprocess
from zipmap_pl.preprocess.engine.saved_plan import load_plan
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.engine.state import load_finished
from zipmap_pl.preprocess.raw import RawFrame
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions

SETTINGS = EngineSettings(frames_per_shard=4)
OLD = Path(__file__).parents[2] / "data" / "before_rooms" / "shards"
SIDECAR, PLAN = "sidecars/train/toy-000001.npz", "plan/plan.jsonl"
counts = pytest.mark.parametrize("count", [300, pytest.param(10**9, marks=pytest.mark.long)])


@pytest.fixture(scope="module")
def reader(toys, tmp_path_factory):
    raw = tmp_path_factory.mktemp("raw")
    for seed, (name, frames) in enumerate({"a": 6, "b": 3}.items()):
        toys.write_sequence(raw / name, frames, seed)
    return RgbdFolder(raw, RgbdOptions("toy"))


@pytest.fixture(scope="module")
def finished(reader, tmp_path_factory):
    """A dataset of three shards."""
    output = tmp_path_factory.mktemp("finished") / "toy"
    preprocess(reader, output, SETTINGS, workers=1)
    return output


@pytest.fixture
def copy(finished, tmp_path):
    """The same, to be damaged."""
    return shutil.copytree(finished, tmp_path / "toy")


def damage(file: Path, place: int | None = None) -> None:
    """Change one bit: the lowest of the byte in the middle, or at a place."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2 if place is None else place] ^= 1
    file.write_bytes(data)


# Every bit


@counts
@pytest.mark.parametrize("folder", ["new", "old"])
def test_no_flipped_bit_of_a_sidecar_is_accepted(finished, tmp_path, count, folder):
    source = finished / SIDECAR if folder == "new" else OLD / "sidecars/train/synthetic-000001.npz"
    file = tmp_path / "damaged.npz"
    for damaged in flipped(source.read_bytes(), count):
        file.write_bytes(damaged)
        with pytest.raises(DamagedSidecar, match=r"damaged\.npz: damaged .*writes its shard again") as caught:
            read_arrays(file)
        assert "\n" not in str(caught.value)


def test_a_sidecar_cut_anywhere_is_damaged(finished, tmp_path):
    whole, file = (finished / SIDECAR).read_bytes(), tmp_path / "cut.npz"
    for size in range(0, len(whole), 97):
        file.write_bytes(whole[:size])
        with pytest.raises(DamagedSidecar):
            read_arrays(file)


@counts
def test_no_flipped_bit_of_a_plan_is_accepted(finished, count):
    for damaged in flipped((finished / PLAN).read_bytes(), 4 * count):
        with pytest.raises(ValueError):
            parse_plan(damaged)


def test_no_flipped_bit_of_the_list_of_finished_files_is_believed(copy):
    file = copy / "plan/finished.json"
    whole = file.read_bytes()
    for damaged in flipped(whole, 300):
        file.write_bytes(damaged)
        assert load_finished(copy) is None
    finish_folder(copy, 0.01)
    assert file.read_bytes() == whole


def test_a_plan_of_the_first_release_is_read_and_its_settings_are_held_by_their_fingerprint(tmp_path):
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    assert load_plan(tmp_path).frame_count == 16
    file = tmp_path / PLAN
    file.write_bytes(file.read_bytes().replace(b'"lossless": true', b'"lossless": null'))
    with pytest.raises(UserError, match=r"plan\.jsonl: damaged plan .*fingerprint.*plans anew"):
        load_plan(tmp_path)


# What can be written again is.


@pytest.mark.parametrize("name", [SIDECAR, PLAN])
def test_verify_names_damaged_and_lost_files_of_the_writer(copy, name):
    damage(copy / name)
    (problem,) = verify(copy)
    assert name in problem and "damaged" in problem and "`zipmap preprocess` again" in problem
    (copy / name).unlink()
    assert [line for line in verify(copy) if name in line and "missing" in line]


def test_verify_names_a_sidecar_or_a_plan_that_belongs_elsewhere(reader, copy, tmp_path):
    shutil.copy(copy / "sidecars/train/toy-000000.npz", copy / SIDECAR)
    preprocess(reader, tmp_path / "other", replace(SETTINGS, max_side=32), workers=1)
    shutil.copy(tmp_path / "other" / PLAN, copy / PLAN)
    plan, sidecar = verify(copy)
    assert f"{PLAN}: the plan of another dataset" in plan and f"{SIDECAR}: the sidecar of another shard" in sidecar


def test_a_copy_without_the_files_of_the_writer_is_whole(copy):
    shutil.rmtree(copy / "plan")
    shutil.rmtree(copy / "sidecars")
    assert verify(copy) == []


def test_a_damaged_sidecar_is_named_by_finish_and_its_shard_written_again_by_the_same_command(
    toys, reader, finished, copy, capsys
):
    (copy / "dataset.json").unlink()
    damage(copy / SIDECAR)
    assert main(["shards", "finish", str(copy)]) == 2
    message = capsys.readouterr().err
    assert "1 damaged sidecars, first " in message and SIDECAR in message and message.count("\n") == 1
    assert "run the same `zipmap preprocess` again, which writes their shards again" in message
    report = preprocess(reader, copy, SETTINGS, workers=1)
    assert (report.complete, report.shards_written) == (True, 1)
    assert toys.tree(copy) == toys.tree(finished)


def test_a_sidecar_that_verify_found_is_repaired_as_verify_says(toys, reader, finished, copy):
    damage(copy / SIDECAR)
    assert "delete it and run the same" in verify(copy)[0]
    (copy / SIDECAR).unlink()
    preprocess(reader, copy, SETTINGS, workers=1)
    assert toys.tree(copy) == toys.tree(finished)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("place", [None, 5, -5])
def test_with_a_damaged_plan_the_same_command_plans_anew(toys, reader, finished, copy, complete, place):
    if not complete:
        (copy / "dataset.json").unlink()
    damage(copy / PLAN, place)
    report = preprocess(reader, copy, SETTINGS, workers=1)
    assert (report.complete, report.shards_written) == (True, 0)
    assert toys.tree(copy) == toys.tree(finished)


@pytest.mark.parametrize("place", [5, -5])
@pytest.mark.parametrize("complete", [True, False])
def test_a_damaged_plan_lets_no_other_settings_in(toys, reader, copy, complete, place):
    """If plan and dataset.json no longer say what the settings were, the shards do."""
    if not complete:
        (copy / "dataset.json").unlink()
    damage(copy / PLAN, place)
    before = toys.tree(copy)
    with pytest.raises(UserError, match="settings") as caught:
        preprocess(reader, copy, replace(SETTINGS, max_side=32), workers=1)
    assert "--rebuild" in str(caught.value) and "\n" not in str(caught.value)
    assert toys.tree(copy) == before


def test_with_a_damaged_plan_rebuild_starts_anew(toys, reader, finished, copy):
    damage(copy / PLAN)
    report = preprocess(reader, copy, replace(SETTINGS, max_side=32), workers=1, rebuild=True)
    assert (report.complete, report.shards_written) == (True, 3)
    assert toys.tree(copy).keys() == toys.tree(finished).keys()


def test_finish_says_who_repairs_a_damaged_plan(copy, capsys):
    damage(copy / PLAN)
    assert main(["shards", "finish", str(copy)]) == 2
    assert "run the same `zipmap preprocess` again, which plans anew" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["dataset.json", "plan/finished.json"])
def test_the_same_command_writes_these_again(toys, reader, finished, copy, name):
    damage(copy / name)
    assert preprocess(reader, copy, SETTINGS, workers=1).complete
    assert toys.tree(copy) == toys.tree(finished)


# Folders that go away, or cannot be written.


def test_output_that_is_removed_while_converting_ends_in_one_line_and_the_same_command_starts_anew(
    toys, reader, finished, tmp_path
):
    output, frames = tmp_path / "out", []

    def remove(frame: RawFrame) -> RawFrame:
        frames.append(frame)
        if len(frames) == removed_at and output.exists():
            shutil.rmtree(output)
        return frame

    for removed_at in (12, 15, 16, 20):  # the plan looks at 11, the shards at 9
        frames.clear()
        with pytest.raises(UserError, match="was removed while shards were being written; run the same") as caught:
            preprocess(Changed(reader, remove), output, SETTINGS, workers=1)
        assert "\n" not in str(caught.value)
        if removed_at == 16:
            preprocess(reader, output, SETTINGS, workers=1)
            assert toys.tree(output) == toys.tree(finished)
            shutil.rmtree(output)


@pytest.mark.parametrize("kept", [SIDECAR_FOLDER, INDEX_FOLDER])
def test_what_an_older_release_left_of_a_removed_folder_is_no_obstacle(toys, reader, finished, tmp_path, kept):
    shutil.copytree(finished / kept, tmp_path / kept)
    preprocess(reader, tmp_path, SETTINGS, workers=1)
    assert toys.tree(tmp_path) == toys.tree(finished)


def test_a_finished_dataset_on_a_read_only_file_system_is_complete(reader, copy, monkeypatch):
    (copy / ".lock").unlink()
    opened = os.open

    def read_only(path: object, flags: int, *rest: object, **options: object) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and str(path).startswith(str(copy)):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return opened(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", read_only)
    assert preprocess(reader, copy, SETTINGS, workers=1).complete


# Raw files that are exchanged between plan and shards.


def brighter(frame: RawFrame) -> RawFrame:
    return replace(frame, image=frame.image // 2 + 100)


def further(frame: RawFrame) -> RawFrame:
    return replace(frame, depth=frame.depth * np.float32(1.01))


def moved(frame: RawFrame) -> RawFrame:
    pose = frame.camera.cam_to_world.copy()
    pose[0, 3] += 1e-3
    return replace(frame, camera=replace(frame.camera, cam_to_world=pose))


@pytest.mark.parametrize(
    ("change", "what"), [(brighter, "mean gray level"), (further, "median depth"), (moved, "pose")]
)
def test_raw_files_that_changed_since_the_plan_are_named(reader, tmp_path, change, what):
    preprocess(reader, tmp_path, SETTINGS, workers=1, part=(1, 2))
    with pytest.raises(
        UserError, match=rf"a/00000\d: its raw files changed .*{what} .* then, .* now.*--rebuild"
    ) as told:
        preprocess(Changed(reader, change), tmp_path, SETTINGS, workers=1, part=(2, 2))
    assert "\n" not in str(told.value)
    assert preprocess(reader, tmp_path, SETTINGS, workers=1).complete


def test_last_bits_of_another_processor_are_no_change(reader, tmp_path):
    def rounded_otherwise(frame: RawFrame) -> RawFrame:
        image = frame.image.copy()
        image[0, 0, 0] ^= 1
        return replace(frame, image=image, depth=frame.depth * np.float32(1 + 2e-7))

    preprocess(reader, tmp_path, SETTINGS, workers=1, part=(1, 2))
    assert preprocess(Changed(reader, rounded_otherwise), tmp_path, SETTINGS, workers=1, part=(2, 2)).complete


def test_frames_that_the_plan_could_not_use_may_be_mended(toys, tmp_path):
    raw = toys.write_sequence(tmp_path / "raw", 6)
    good = (raw / "frame-000004.pose.txt").read_text()
    (raw / "frame-000004.pose.txt").write_text(" ".join(f"{2 * float(number)}" for number in good.split()))
    reader = RgbdFolder(raw, RgbdOptions("toy"))
    with pytest.raises(UserError, match=r"1 of 6 frames .*pose is"):
        preprocess(reader, tmp_path / "out", SETTINGS, workers=1)
    (raw / "frame-000004.pose.txt").write_text(good)
    assert preprocess(reader, tmp_path / "out", SETTINGS, workers=1).faults == ()


def test_marks_are_no_matter_of_the_shards(finished):
    """Shards of a plan without marks, of an older release, are those of a plan with them."""
    plan = load_plan(finished)
    bare = [replace(scene, marks=()) for scene in plan.scenes]
    digests = [[shard.digest("") for shard in replace(plan, scenes=tuple(s)).shards()] for s in (plan.scenes, bare)]
    assert digests[0] == digests[1] and json.dumps(plan.scenes[0].marks) != "[]"
