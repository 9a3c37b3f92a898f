"""The folder of a result: whole or not there, and nothing of anybody else's is touched."""

import errno
import os
import resource
from dataclasses import replace

import numpy as np
import pytest
from made_up_scenes import exact_scene

from zipmap_pl.cli import reconstruct
from zipmap_pl.errors import UserError
from zipmap_pl.files import owned
from zipmap_pl.inference.export import MARK, find_exporters, new_folder, write_scene
from zipmap_pl.inference.exporters import USUAL
from zipmap_pl.inference.points import choose_points


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", [".result.partial", ".result.1-0.partial", ".result.{pid}-0.partial"])
def test_a_folder_of_the_users_with_the_name_of_a_temporary_one_stays(tmp_path, name):
    name = name.format(pid=os.getpid())
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.txt").write_text("mine")
    with new_folder(tmp_path / "result") as folder:
        (folder / "x").write_text("new")
    assert (tmp_path / name / "mine.txt").read_text() == "mine"
    assert names(tmp_path) == sorted([name, "result"]) and names(tmp_path / "result") == ["x"]


def test_what_a_killed_command_left_is_removed_and_what_a_running_one_writes_is_not(tmp_path):
    killed, running, of_another = (
        tmp_path / f".{name}.7-{n}.partial" for n, name in enumerate(["result", "result", "other"])
    )
    for folder in (killed, running, of_another):
        folder.mkdir()
        (folder / MARK).write_text("")
    pid = os.fork()
    if pid == 0:  # another process, which runs until it is told
        with owned(running / MARK, "running"):
            (tmp_path / "ready").write_text("")
            while not (tmp_path / "done").exists():
                os.sched_yield()
        os._exit(0)
    while not (tmp_path / "ready").exists():
        os.sched_yield()
    with new_folder(tmp_path / "result"):
        pass
    assert not killed.exists() and running.is_dir() and of_another.is_dir()
    (tmp_path / "done").write_text("")
    os.waitpid(pid, 0)


@pytest.mark.parametrize("name", ["x" * 255, "日" * 85, "a b [c]*?", "-"])
def test_any_name_that_the_file_system_takes_will_do(tmp_path, name):
    for _ in range(2):
        with new_folder(tmp_path / name):
            pass
    assert names(tmp_path) == [name]


def test_a_name_that_is_too_long_is_one_line_before_anything_is_done(tmp_path):
    with pytest.raises(UserError, match="too long; choose another --output"), new_folder(tmp_path / ("x" * 256)):
        raise AssertionError("the block must not begin")


@pytest.mark.parametrize("room", [100, 3_000, 20_000])
def test_a_full_disk_is_told_with_folder_and_cause_and_leaves_nothing(tmp_path, room):
    """The limit on the size of files is the one fault of writing that needs no rights: it strikes inside of the system."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with (
            pytest.raises(UserError, match="result: File too large; make room"),
            new_folder(tmp_path / "result") as folder,
        ):
            write_scene(folder, large_scene(), find_exporters(("depth", "ply", "glb", "preview", "maps")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == []


@pytest.mark.parametrize("exporter", ["depth", "ply", "glb", "preview", "maps", "colmap"])
def test_every_exporter_says_why_it_cannot_write(tmp_path, exporter):
    (module,) = (each for each in find_exporters((exporter,)) if each.__name__.endswith(exporter))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    scene = large_scene()
    cloud = choose_points(scene)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60, before[1]))
    try:
        with pytest.raises(OSError) as caught:
            module.write(tmp_path, scene, cloud)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG


def large_scene():
    scene = exact_scene()
    return replace(scene, maps={"normals": np.zeros((*scene.depth.shape, 3), np.float32)})


def test_photo_names_as_long_as_they_can_be_are_written(tmp_path):
    scene = exact_scene()
    letters = ["x" * 251 + ".jpg", "日" * 83 + ".jpg", "x" * 250 + ".tiff", *scene.names[3:]][: len(scene.names)]
    scene = replace(scene, names=letters)
    with new_folder(tmp_path / "result") as folder:
        write_scene(folder, scene, find_exporters(USUAL))
    assert len(names(tmp_path / "result" / "depth")) == 2 * len(scene.names)
    assert scene.stems[0].startswith("000000-xxx") and scene.stems[1].startswith("000001-日日")
    assert exact_scene().stems == [f"{n:06d}-{os.path.splitext(name)[0]}" for n, name in enumerate(exact_scene().names)]


def test_the_input_is_looked_at_before_the_model_is_loaded(tmp_path, monkeypatch):
    def load(*_):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("zipmap_pl.inference.from_photos.load_any", load)
    for source in (tmp_path / "gone", tmp_path):
        with pytest.raises(UserError, match="expected photos|found no photos"):
            reconstruct.reconstruct_photos(source, tmp_path / "run", tmp_path / "result")
    assert names(tmp_path) == []
