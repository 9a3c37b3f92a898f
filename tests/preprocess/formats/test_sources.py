"""Raw files in folders, zips and tars: the same to a reader, and nothing leads out of any."""

import errno
import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from miniatures import spoil
from miniatures.tars import written_tar
from miniatures.zoo import tartanair

from zipmap_pl.cli.main import main
from zipmap_pl.preprocess.formats import sens, sources
from zipmap_pl.preprocess.formats.seekable import open_seekable
from zipmap_pl.preprocess.formats.sources import (
    Tarred,
    Zipped,
    exists,
    find_folders,
    first_holding,
    folders_in,
    join,
    names_in,
    parent,
    read_bytes,
)
from zipmap_pl.preprocess.raw import RawFault
from zipmap_pl.preprocess.registry import dataset_names

FILES = {"a/b/1.txt": b"one", "a/b/2.txt": b"two", "a/c/d/3.txt": b"three", "4.txt": b""}


@pytest.fixture
def places(tmp_path):
    """The same files in a folder, a zip, a tar, a compressed tar, and tars in parts: their tops."""
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, data in FILES.items():
            (tmp_path / "all" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "all" / name).write_bytes(data)
            archive.writestr(name, data)
    tars = [written_tar(tmp_path / name, FILES) for name in ("all.tar", "all.tgz", "all.tar00", "all.tar.gz.partaa")]
    return tmp_path / "all", Zipped(tmp_path / "all.zip", "."), *(Tarred(tar, ".") for tar in tars)


def test_an_archive_reads_like_a_folder(places):
    for top in places:
        assert names_in(top) == names_in(join(top, ".")) == ["4.txt"]
        assert str(top) == str(top if isinstance(top, Path) else top.archive)
        assert names_in(join(top, "a/b")) == ["1.txt", "2.txt"]
        assert names_in(join(top, "a")) == names_in(join(top, "nowhere")) == []
        assert first_holding((join(top, name) for name in ("x", "a", "a/b", "a/c/d")), ".txt") == join(top, "a/b")
        assert first_holding((top, join(top, "a/b")), ".png") is None
        assert folders_in(join(top, "a")) == ["b", "c"]
        assert folders_in(parent(join(top, "a"))) == ["a"]
        assert folders_in(join(top, "a/b")) == folders_in(join(top, "nowhere")) == []
        assert [exists(join(top, name)) for name in ("a", "a/c", "a/c/d/3.txt", "a/5", "x/y")] == [True] * 3 + [
            False
        ] * 2
        assert read_bytes(join(top, "a/c/../b/2.txt")) == b"two"
        assert str(join(top, "a/b")).endswith("/a/b")
        for name, reason in (("4.txt", "empty file"), ("a/5", "missing"), ("a/b/1.txt/x", "missing")):
            with pytest.raises(RawFault, match=reason):
                read_bytes(join(top, name))


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "..", "..\\x", "C:\\x"])
def test_names_that_lead_out_are_refused(places, name):
    for top in places:
        with pytest.raises(RawFault, match="leads out of its folder"):
            join(top, name)


def test_members_that_lead_out_are_in_no_folder(places, tmp_path):
    spoil.add_member(tmp_path / "all.zip", "a/../../b/1.txt")
    assert not exists(join(places[1], "b"))
    assert names_in(join(places[1], "a/b")) == ["1.txt", "2.txt"]
    (scene,) = find_folders(tmp_path, re.compile(".*/(nothing)")).unreadable
    assert [(out.file.rsplit("all.zip/")[-1], out.reason) for out in scene.left_out] == [
        ("a/../../b/1.txt", "its name leads out of its folder")
    ]


def test_folders_are_found_on_disk_and_in_zips_and_links_back_are_not_followed(places, tmp_path):
    for tar in tmp_path.glob("all.t*"):
        tar.unlink()
    (tmp_path / "all/c").symlink_to(tmp_path)
    found = find_folders(tmp_path, re.compile(".*/(a/[bc])")).places
    assert found == {
        "a/b": (Zipped(tmp_path / "all.zip", "a/b"), tmp_path / "all/a/b"),
        "a/c": (Zipped(tmp_path / "all.zip", "a/c"), tmp_path / "all/a/c"),
    }


def test_folders_of_scenes_are_not_looked_into(tmp_path, monkeypatch):
    """So that 100,000 scenes are found in seconds."""
    for number in range(3):
        (tmp_path / f"part/scene{number}/frames").mkdir(parents=True)
    looked, real = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: looked.append(folder) or real(folder))
    found = find_folders(tmp_path, re.compile(".*/(scene[0-9])")).places
    assert found == {f"scene{number}": (tmp_path / f"part/scene{number}",) for number in range(3)}
    assert looked == [str(tmp_path), f"{tmp_path}/part"]


def test_folders_are_found_in_the_order_of_their_names_above_first_and_once(tmp_path, monkeypatch):
    for name in ("b/s", "a/z/s", "s", "a/s"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a/again").symlink_to(tmp_path / "b")
    (tmp_path / "a/itself").symlink_to(tmp_path / "a/itself")
    (tmp_path / "a/nowhere").symlink_to(tmp_path / "nowhere")
    found = find_folders(tmp_path, re.compile(".*/(s)")).places
    assert found == {"s": tuple(tmp_path / name for name in ("a/again/s", "a/s", "a/z/s", "s"))}
    monkeypatch.chdir(tmp_path)
    assert find_folders(Path(), re.compile(".*/(s)")).places["s"][-1] == Path("s")


def test_what_macos_leaves_in_archives_and_next_to_files_is_passed_over(tmp_path):
    """`__MACOSX/a/b/._1.txt` would be found as another a/b, before the real one."""
    files = {"a/b/1.txt": b"one", "a/b/._1.txt": b"\0\5", "__MACOSX/a/b/._1.txt": b"\0\5", "__MACOSX/a/b/2.txt": b""}
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
            (tmp_path / "disk" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "disk" / name).write_bytes(data)
    (places,) = find_folders(tmp_path, re.compile(".*/(a/b)")).places.values()
    assert set(places) == {Zipped(tmp_path / "all.zip", "a/b"), tmp_path / "disk/a/b"}
    assert [names_in(place) for place in places] == [["1.txt"]] * 2


def test_an_archive_that_was_replaced_is_read_afresh(places, tmp_path):
    file = join(places[1], "a/b/1.txt")
    assert read_bytes(file) == b"one"
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a/b/1.txt", "another")
    assert read_bytes(file) == b"another"


def test_what_claims_to_be_huge_is_not_read(places, monkeypatch):
    monkeypatch.setattr(sources, "MAX_BYTES", 2)
    for top in places:
        with pytest.raises(RawFault, match="3 bytes, expected at most 2"):
            read_bytes(join(top, "a/b/1.txt"))


@pytest.mark.parametrize("bit", [2, 5])
def test_a_zip_with_any_bit_of_its_table_flipped_is_a_fault_or_read(tmp_path, bit):
    """An OSError of zipfile's would be taken for one of the system."""
    archive, data = tmp_path / "a.zip", bytes(range(256))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("a.txt", data)
    whole = archive.read_bytes()
    for place in range(whole.index(b"PK\1\2"), len(whole)):
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        try:
            assert read_bytes(Zipped(archive, "a.txt")) == data
        except RawFault as fault:
            assert fault.file.startswith(str(archive))


@pytest.mark.parametrize("place", range(0, 420, 7))
def test_a_zip_with_any_byte_altered_is_a_fault_or_read(places, tmp_path, place):
    """Never another exception: it would stop the run."""
    archive = tmp_path / "all.zip"
    data = bytearray(archive.read_bytes())
    data[place % len(data)] ^= 0xFF
    archive.write_bytes(data)
    for name, wanted in FILES.items():
        try:
            assert read_bytes(join(places[1], name)) == wanted
        except RawFault as fault:
            assert fault.file.startswith(str(archive))


def test_lost_scenes_stop_the_run_unless_they_are_accepted(tmp_path, capsys):
    tartanair.write(tmp_path / "raw")
    spoil.truncate(tmp_path / "raw/seasidetown/Easy/depth_left.zip")
    command = ["preprocess", "tartanair", str(tmp_path / "raw"), "--output", str(tmp_path / "out"), "--workers", "1"]
    assert main(command) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert re.search(
        r"2 of 4 scenes could not be used .*depth_left\.zip: unreadable zip .*--max-fault-share 0\.5", message
    )
    assert main([*command, "--max-fault-share", "0.5"]) == 0
    told = capsys.readouterr().out
    assert "left out: seasidetown/Easy/depth_left.zip: " in told
    assert "left out: seasidetown/Easy/P001: " in told
    assert main(["shards", "info", str(tmp_path / "out")]) == 0
    assert "left out: seasidetown/Easy/P001: " in capsys.readouterr().out


def test_a_folder_that_is_a_trajectory_itself_is_read(tmp_path):
    tartanair.write(tmp_path / "raw")
    shutil.rmtree(tmp_path / "raw/hospital")
    raw = tmp_path / "raw" / tartanair.PLAIN
    assert main(["preprocess", "tartanair", str(raw), "--output", str(tmp_path / "out"), "--workers", "1"]) == 0


def test_excluded_environments_and_a_folder_without_any(tmp_path, capsys):
    tartanair.write(tmp_path / "raw")
    for options, scenes in (((), 3), (("--exclude", ""), 4), (("--exclude", "ocean,hospital"), 2)):
        output = tmp_path / f"{scenes}"
        command = ["preprocess", "tartanair", str(tmp_path / "raw"), "--output", str(output), "--workers", "1"]
        assert main([*command, *options]) == 0
        assert f"frames of {scenes} scenes" in capsys.readouterr().out
    assert main(["preprocess", "tartanair", str(tmp_path / "raw/ocean"), "--output", str(tmp_path / "none")]) == 2
    assert "no trajectory <environment>/<Easy|Hard>/P<nnn>" in capsys.readouterr().err
    assert main(["preprocess", "tartanaur", str(tmp_path / "raw"), "--output", str(tmp_path / "none")]) == 2
    assert f"unknown dataset 'tartanaur', expected one of {', '.join(dataset_names())}" in capsys.readouterr().err


def test_names_of_messages_are_paths():
    assert str(Zipped(Path("/raw/a.zip"), "b/c.png")) == "/raw/a.zip/b/c.png"


def test_a_process_that_was_forked_does_not_disturb_the_archives_of_the_other(tmp_path):
    contents = {f"{k}.bin": np.random.default_rng(k).bytes(3000) for k in range(40)}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    for name, data in contents.items():
        assert read_bytes(Zipped(tmp_path / "a.zip", name)) == data
        child = os.fork()
        if child == 0:
            read_bytes(Zipped(tmp_path / "a.zip", "39.bin"))
            os._exit(0)
        os.waitpid(child, 0)


def no_files(folder):
    """What a folder may hold that is no file: reading it would wait without end, or never come to one."""
    os.mkfifo(folder / "pipe")
    (folder / "link to a pipe").symlink_to("pipe")
    (folder / "device").symlink_to("/dev/zero")
    (folder / "terminal").symlink_to("/dev/null")
    return sorted(folder.iterdir())


@pytest.mark.timeout(20)
def test_what_is_no_file_is_a_fault_and_is_not_read(tmp_path):
    for file in no_files(tmp_path):
        for read in (read_bytes, open_seekable, sens.frame_index):
            with pytest.raises(RawFault, match="is no file"):
                read(file)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("archive", [Zipped, Tarred])
def test_an_archive_that_is_no_file_is_a_fault(tmp_path, archive):
    for number, file in enumerate(no_files(tmp_path)):
        named = tmp_path / f"{number}.{'zip' if archive is Zipped else 'tar'}"
        named.symlink_to(file)
        with pytest.raises(RawFault, match="is no file"):
            read_bytes(archive(named, "a/b/1.txt"))


def test_an_error_of_the_disk_loses_no_scenes_without_a_word(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()

    def failing(path: object) -> object:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(OSError, match="Input/output error"):
        find_folders(tmp_path, re.compile(r".*/(scene)"))


def test_a_folder_with_the_name_of_a_zip_is_a_fault(tmp_path):
    (tmp_path / "x.zip").mkdir()
    with pytest.raises(RawFault, match="is a folder"):
        read_bytes(Zipped(tmp_path / "x.zip", "a"))
