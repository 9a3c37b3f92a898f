"""Options of a reader follow from its fields: parser, reader and fingerprint."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import pytest

from zipmap_pl.preprocess.options import add_options, names, option, options_of, raw_folder, reader_from, settings_of


@dataclass(frozen=True)
class Inner:
    width: int = option(4, "size", flag="--size", parse=lambda text: tuple(map(int, text.split("x"))), also="height")
    height: int = 3
    moving: bool = option(False, "things move", recorded=None)


@dataclass(frozen=True)
class Reader:
    raw: Path = raw_folder("a folder")
    inner: Inner = options_of(Inner, "more")
    exclude: tuple[str, ...] = option(("b", "c"), "left out (default: %(default)s)", parse=names)
    train_scenes: int = option(10, "scenes", flag="--scenes")
    depth: Path | None = option(None, "depth", parse=Path, recorded=lambda depth: depth is not None)
    axes: str = option("ned", "axes", choices=("ned", "opengl"))
    cached: int = 0


def parsed(*arguments: str) -> Reader:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser, Reader)
    return reader_from(Reader, parser.parse_args(arguments))


def test_defaults_of_the_command_line_are_those_of_the_fields():
    assert parsed("here") == Reader(Path("here"))


def test_what_is_typed_becomes_the_fields():
    reader = parsed(
        *"here --exclude z,a --scenes 2 --depth there --axes opengl --size 8x6 --moving".split()  # noqa: SIM905
    )
    assert reader == Reader(Path("here"), Inner(8, 6, True), ("a", "z"), 2, Path("there"), "opengl")


def test_settings_have_flags_as_keys_and_leave_out_what_changes_nothing():
    assert settings_of(parsed("here", "--depth", "there")) == {
        "exclude": ("b", "c"),
        "scenes": 10,
        "depth": True,
        "axes": "ned",
        "width": 4,
        "height": 3,
    }


def test_a_value_that_is_not_a_choice_is_refused():
    with pytest.raises(argparse.ArgumentError, match="invalid choice: 'up'"):
        parsed("here", "--axes", "up")


def test_a_field_that_is_no_option_has_no_flag():
    parser = argparse.ArgumentParser()
    add_options(parser, Reader)
    assert "cached" not in parser.format_help()
