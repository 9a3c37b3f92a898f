"""Options of a reader are the fields of its dataclass: the command line and the fingerprint both follow from them.

    @dataclass(frozen=True)
    class MyReader:
        raw: Path = raw_folder("folder of scenes")
        exclude: tuple[str, ...] = option(("ocean",), "scenes that are not read (default: %(default)s)", parse=names)

gives `RAW` and `--exclude NAME,NAME`, and `settings_of(reader)` has `exclude`. A field that is itself a dataclass of options
stands for all of them. Fields that were made by neither function are no options.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

OPTION, TITLE = "option", "title"  # keys of a field's metadata


@dataclass(frozen=True)
class Option:
    """What `option` says of a field; see there."""

    help: str
    flag: str | None
    metavar: str | None
    choices: Sequence[str] | None
    parse: Callable[[str], Any] | None
    recorded: Callable[[Any], object] | None
    also: str | None


def unchanged(value: object) -> object:
    """The value as it is: what `recorded` is by default."""
    return value


def option(
    default: object,
    help: str,
    *,
    flag: str | None = None,
    metavar: str | None = None,
    choices: Sequence[str] | None = None,
    parse: Callable[[str], Any] | None = None,
    recorded: Callable[[Any], object] | None = unchanged,
    also: str | None = None,
) -> Any:  # noqa: ANN401
    """A field of a reader's dataclass that is an option of `zipmap preprocess NAME`.

    Args:
        default: of the field and of the option. False makes a switch that takes no value.
        help: as argparse shows it; `%(default)s` stands for the default.
        flag: "--scenes"; None = the field's name with dashes.
        metavar: what the help writes for the value.
        choices: the values that are possible.
        parse: what makes the value of the text; None = the type of the default. It may raise ValueError,
            argparse.ArgumentTypeError or UserError.
        recorded: the plain JSON value that `settings_of` has of it; None = it does not change what is written.
        also: a second field that the same option decides; `parse` returns both values.
    """
    settings = Option(help, flag, metavar, choices, parse, recorded, also)
    return field(default=default, metadata={OPTION: settings})


def raw_folder(help: str) -> Any:  # noqa: ANN401
    """The field `raw`, the folder of raw data: the one argument without a flag. Not part of the fingerprint."""
    return field(metadata={OPTION: Option(help, "raw", "RAW", None, Path, None, None)})


def options_of(default_factory: type, title: str | None = None) -> Any:  # noqa: ANN401
    """A field that holds a dataclass of options, shown by `--help` under a title."""
    return field(default_factory=default_factory, metadata={TITLE: title})


def names(text: str) -> tuple[str, ...]:
    """`parse` of names with commas between them: sorted."""
    return tuple(sorted(name for name in text.split(",") if name))


def add_options(parser: argparse.ArgumentParser, reader: type) -> None:
    """Give a parser the options of a reader's class: its own first, then those of the dataclasses in it."""
    _add_own(parser, reader)
    for place in _inner(reader):
        title = place.metadata[TITLE]
        _add_own(parser.add_argument_group(title) if title else parser, _class_of(place))


def reader_from(reader: type, args: argparse.Namespace) -> Any:  # noqa: ANN401
    """The reader that parsed arguments describe. Raises UserError where its `__post_init__` does."""
    values: dict[str, Any] = {place.name: reader_from(_class_of(place), args) for place in _inner(reader)}
    for name, of in _options(reader):
        value = getattr(args, _key(name, of))
        values |= {name: value} if of.also is None else dict(zip((name, of.also), value, strict=True))
    return reader(**values)


def settings_of(reader: Any) -> dict[str, object]:  # noqa: ANN401
    """Every option that changes the bytes written, by its flag's name: what `RawReader.settings` returns.

    An option that decides two fields is recorded under the names of both.
    """
    found: dict[str, object] = {}
    for name, of in _options(type(reader)):
        if of.recorded is not None:
            keys = {_key(name, of): name} if of.also is None else {name: name, of.also: of.also}
            found |= {key: of.recorded(getattr(reader, attribute)) for key, attribute in keys.items()}
    for place in _inner(type(reader)):
        found |= settings_of(getattr(reader, place.name))
    return found


def _options(reader: type) -> Iterator[tuple[str, Option]]:
    """Field and option, in the order of the fields."""
    yield from ((place.name, place.metadata[OPTION]) for place in fields(reader) if OPTION in place.metadata)


def _inner(reader: type) -> Iterator[Field]:
    """Fields that hold a dataclass of options."""
    yield from (place for place in fields(reader) if TITLE in place.metadata)


def _class_of(inner: Field) -> type:
    assert isinstance(inner.default_factory, type)
    return inner.default_factory


def _key(name: str, of: Option) -> str:
    """Where argparse puts the option's value: the name of its flag."""
    return name if of.flag is None else of.flag.lstrip("-").replace("-", "_")


def _add_own(parser: Any, reader: type) -> None:  # noqa: ANN401
    """The options of one dataclass, to a parser or a group of one."""
    defaults = {place.name: place.default for place in fields(reader)}
    for name, of in _options(reader):
        default = defaults[name]
        if default is MISSING:
            parser.add_argument(name, type=of.parse, metavar=of.metavar, help=of.help)
            continue
        flag = of.flag or f"--{name.replace('_', '-')}"
        if default is False:
            parser.add_argument(flag, action="store_true", help=of.help)
            continue
        shown = default if of.also is None else (default, defaults[of.also])
        if default and isinstance(default, tuple):
            shown = ",".join(map(str, default))  # argparse parses it as it does what a user types
        parse = of.parse or (str if default is None else type(default))
        parser.add_argument(flag, type=parse, default=shown, metavar=of.metavar, choices=of.choices, help=of.help)
