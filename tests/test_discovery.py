"""Extension points are found by name."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from zipmap_pl import discovery
from zipmap_pl.errors import UserError


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    folder = tmp_path / "a_room_of_a_test"
    (folder / "large").mkdir(parents=True)
    for name in ("__init__", "small", "_shared", "large/__init__"):
        (folder / f"{name}.py").write_text(f"NAME = {name!r}\n")
    (folder / "note.txt").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    import a_room_of_a_test

    yield a_room_of_a_test
    for name in [name for name in sys.modules if name.startswith("a_room_of_a_test")]:
        del sys.modules[name]


def test_modules_and_packages_are_offered_but_not_imported(room: ModuleType) -> None:
    assert discovery.names_in(room) == ["large", "small"]
    assert "a_room_of_a_test.small" not in sys.modules


def test_a_module_is_loaded_by_its_name(room: ModuleType) -> None:
    assert discovery.load(room, "small", "thing", ["NAME"]).NAME == "small"


def test_a_folder_appended_to_the_path_of_a_room_is_part_of_it(room: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "own.py").write_text("NAME = 'own'\n")
    room.__path__.append(str(tmp_path / "more"))
    assert discovery.load(room, "own", "thing", []).NAME == "own"


def test_a_module_without_a_part_is_refused_with_its_file(room: ModuleType) -> None:
    with pytest.raises(UserError, match=r"small\.py: has no RULE; expected NAME and RULE in a file for a thing"):
        discovery.load(room, "small", "thing", ["NAME", "RULE"])


@pytest.mark.parametrize("file", ["foo-bar.py", "two words.py", ".hidden.py"])
def test_a_file_that_no_import_can_name_is_not_offered(room: ModuleType, tmp_path: Path, file: str) -> None:
    (tmp_path / "a_room_of_a_test" / file).touch()
    assert discovery.names_in(room) == ["large", "small"]


@pytest.mark.parametrize(("name", "hint"), [("smal", "; did you mean small?"), ("_shared", ""), ("x.y", "")])
def test_an_unknown_name_is_refused_with_those_that_there_are(room: ModuleType, name: str, hint: str) -> None:
    with pytest.raises(UserError, match=rf"^unknown thing {name!r}, expected one of large, small{re.escape(hint)}$"):
        discovery.load(room, name, "thing", [])
