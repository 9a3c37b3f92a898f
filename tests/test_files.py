"""Files are whole or not there, whatever happens while they are written, and have the usual rights."""

import os
import stat
import threading
from pathlib import Path

import pytest

from zipmap_pl.files import new_file, write_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_and_its_folder_are_written(tmp_path: Path) -> None:
    write_file(tmp_path / "new" / "a.json", b"{}")
    assert names(tmp_path / "new") == ["a.json"]
    assert (tmp_path / "new" / "a.json").read_bytes() == b"{}"


def test_an_error_while_writing_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    final = tmp_path / "a"
    write_file(final, b"old")
    with pytest.raises(OSError, match="full"), new_file(final) as temporary:
        temporary.write_bytes(b"ha")
        raise OSError("full")
    assert final.read_bytes() == b"old" and names(tmp_path) == ["a"]


def test_what_a_killed_process_with_the_same_number_left_is_overwritten(tmp_path: Path) -> None:
    final = tmp_path / "a"
    with pytest.raises(KeyboardInterrupt), new_file(final) as temporary:
        left = temporary
        raise KeyboardInterrupt
    left.write_bytes(b"much more than comes now")
    left.chmod(0o400)
    write_file(final, b"new")
    assert final.read_bytes() == b"new" and names(tmp_path) == ["a"]


def test_two_processes_that_write_one_file_at_once_never_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = tmp_path / "a"
    with new_file(final) as temporary:
        temporary.write_bytes(b"first")
        with monkeypatch.context() as other_process:
            other_process.setattr(os, "getpid", lambda: 1)
            with new_file(final) as second:
                second.write_bytes(b"seco")
        assert final.read_bytes() == b"seco" and temporary.read_bytes() == b"first"
    assert final.read_bytes() == b"first" and names(tmp_path) == ["a"]


@pytest.mark.parametrize(("umask", "rights"), [(0o022, 0o644), (0o007, 0o660)])
def test_a_file_has_the_rights_that_the_umask_leaves_even_if_a_library_gives_others(
    tmp_path: Path, umask: int, rights: int
) -> None:
    before = os.umask(umask)
    try:
        with new_file(tmp_path / "a") as temporary:
            temporary.write_bytes(b"")
            temporary.chmod(0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == rights


def test_a_library_may_put_another_file_in_the_place_of_the_temporary(tmp_path: Path) -> None:
    with new_file(tmp_path / "a") as temporary:
        (tmp_path / "other").write_bytes(b"whole")
        (tmp_path / "other").replace(temporary)
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_two_threads_of_one_process_do_not_share_a_temporary(tmp_path: Path) -> None:
    final = tmp_path / "file"

    def of_another_thread() -> None:
        with new_file(final) as other:
            other.write_bytes(b"theirs")

    with new_file(final) as mine:
        mine.write_bytes(b"mine")
        thread = threading.Thread(target=of_another_thread)
        thread.start()
        thread.join()
        assert final.read_bytes() == b"theirs" and mine.read_bytes() == b"mine"
    assert final.read_bytes() == b"mine"
