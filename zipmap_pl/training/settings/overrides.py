"""KEY=VALUE as users type it, written so that Hydra takes it, or refused in one line: key, value, a form that works, the
nearest key.

Hydra's grammar refuses letters outside ASCII, `=` and brackets in text, and reads `2,8` as two runs. Which of these a value is
follows from the type of its setting, so text is quoted here, and what is neither text nor readable is refused.
"""

import dataclasses
import os
import re
import types
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Union, get_args, get_origin, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from zipmap_pl.errors import UserError
from zipmap_pl.training.settings.retired import RETIRED

GROUPS = ("data", "model", "stage")
EVERY = "`zipmap fit --show` prints every setting"
PARTS = re.compile(r"(?P<sign>\+\+|\+|~|)(?P<key>[^=]*)(?:(?P<equals>=)(?P<value>.*))?", re.DOTALL)
HOME_INSIDE = re.compile(r"(?<=[\[{,:\s])~(?:/[^,\]}\s]*)?(?=[,\]}\s])")  # `~/folder` in a list or a block
IN_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """The place of a setting in the schema.

    Attributes:
        kind: its type.
        open: it, or its block, is a dictionary to which names may be added.
        example: a value that it may have, as it is typed; empty if there is none to show.
    """

    kind: Any
    open: bool = False
    example: str = ""


@dataclasses.dataclass(frozen=True)
class Override:
    """One override: `sign` is "", "+", "++" or "~"; `value` is None where there is no `=`."""

    sign: str
    key: str
    value: str | None

    @classmethod
    def of(cls, text: str) -> "Override":
        """Take an override apart; spaces around the key and the value do not count. Raises UserError if it is none."""
        parts = PARTS.fullmatch(text.strip())
        assert parts is not None  # it matches anything
        key, value = parts["key"].strip(), parts["value"]
        bare = parts["equals"] is None
        if not key or re.search(r"\s", key) or key.startswith("-") or (bare and parts["sign"] != "~"):
            words = re.fullmatch(r"-*([\w./]+)(?:\s+(\S+))?", text.strip())
            form = f"{words[1]}={words[2] or 'VALUE'}" if words else "stage.steps=500"
            raise UserError(f"settings: found {text!r}, expected KEY=VALUE, for example {form}; {EVERY}")
        return cls(parts["sign"], key, None if bare else value.strip())

    @property
    def chooses_group(self) -> bool:
        """It chooses a YAML of a group (stage=own, +data/zoo=[...]), or something of Hydra's grammar around groups."""
        whole = self.key in GROUPS and not (self.value or "").startswith("{")
        return whole or "/" in self.key or "@" in self.key

    def __str__(self) -> str:
        return f"{self.sign}{self.key}" + ("" if self.value is None else f"={self.value}")


def prepared(text: str, config: type) -> str:
    """An override for Hydra out of one as it was typed.

    Args:
        text: KEY=VALUE, +KEY=VALUE, ++KEY=VALUE, ~KEY or ~KEY=VALUE.
        config: the dataclass of all settings.

    Raises:
        UserError: no override, an unknown or a retired key, a value that cannot be read as its type.
    """
    override = Override.of(text)
    key, value = override.key, override.value
    if re.split(r"[./@]", key)[0] == "hydra":
        raise UserError(
            f"settings: {key} belongs to Hydra and has no effect here; output=FOLDER says where a run writes"
        )
    if override.chooses_group:
        if value in ("", "null"):
            raise UserError(f"settings: {key} is {value or 'empty'}, expected {_options(key)}")
        return str(override)
    if key in RETIRED:
        if override.sign == "~":
            raise UserError(f"settings: {text}: {key} is no setting any more, it follows from {RETIRED[key].successor}")
        return str(override)
    setting = setting_at(key, config)
    if override.value is None:
        return str(override)
    if override.value == "???":  # OmegaConf's word for a value that is missing; it would be passed over
        raise UserError(refusal(key, "???", setting))
    override = dataclasses.replace(override, value=_readable(override.value, setting))
    if setting.open and not override.sign and _plain(setting.kind):
        override = dataclasses.replace(override, sign="++")
    _check_grammar(override, value or "", setting)
    return str(override)


def setting_at(key: str, config: type) -> Setting:
    """The setting of a dotted key. Raises UserError for a key that cannot exist, and names those nearest to it."""
    setting, way = Setting(config), ""
    for name in key.split("."):
        kind = _required(setting.kind)
        if kind is Any:
            return Setting(Any, open=True)
        if get_origin(kind) is dict:
            inner = get_args(kind)[1]
            setting = Setting(inner, open=_plain(inner))
        elif dataclasses.is_dataclass(kind):
            setting = _field(kind, name, key, way, config)  # type: ignore[arg-type]
        else:
            raise UserError(f"settings: no key {key}: {way} is {in_words(kind)}{_example(way, setting)}")
        way = f"{way}.{name}" if way else name
    kind = _required(setting.kind)
    return dataclasses.replace(setting, open=setting.open or (get_origin(kind) is dict and _plain(get_args(kind)[1])))


def refusal(key: str, value: str, setting: Setting) -> str:
    """What to say of a value that a setting cannot have."""
    found = value or "empty"
    wanted = in_words(setting.kind)
    if re.fullmatch(r"[^\[\]{}()'\"]*,[^\[\]{}()'\"]*", value) and get_origin(_required(setting.kind)) is list:
        return f"settings: {key} is {found}, expected {wanted}: {key}=[{value}]"
    return f"settings: {key} is {found}, expected {wanted}{_example(key, setting)}"


def in_words(kind: Any) -> str:
    """A type in words for users."""
    required = _required(kind)
    if dataclasses.is_dataclass(required):
        words = "a block of settings, which are set one by one"
    elif get_origin(required) is list:
        words = "a list in brackets"
    elif get_origin(required) is dict:
        words = "a block {NAME: VALUE}"
    else:
        words = IN_WORDS.get(required, "a value")
    return f"{words} or null" if required is not kind else words


def nearest(name: str, names: Sequence[str], block: str = "") -> str:
    """ "; did you mean ...?" with the name most like `name`, in its block; empty if none is like it."""
    near = get_close_matches(name, names, 1, 0.6)
    return f"; did you mean {block}{near[0]}?" if near else ""


def quoted(text: str) -> str:
    """A value that Hydra takes as it is, whatever signs are in it."""
    return "'" + re.sub(r"(\\*)('|$)", lambda end: end[1] * 2 + ("\\'" if end[2] else ""), text) + "'"


def _readable(value: str, setting: Setting) -> str:
    """The value with quotes around text, and with the home folder for `~`."""
    kind = _required(setting.kind)
    if "${" in value or _is_quoted(value):
        return value
    if kind is str and value != "null":
        return quoted(os.path.expanduser(value)) if value else "''"
    if get_origin(kind) is list and get_args(kind) == (str,) and value.startswith("[") and value.endswith("]"):
        entries = (entry.strip() for entry in _split(value[1:-1]))
        return (
            f"[{','.join(each if _is_quoted(each) else quoted(os.path.expanduser(each)) for each in entries if each)}]"
        )
    if value.startswith("~"):
        return quoted(os.path.expanduser(value))
    return HOME_INSIDE.sub(lambda found: quoted(os.path.expanduser(found[0])), value)


def _check_grammar(override: Override, typed: str, setting: Setting) -> None:
    """Raise UserError if Hydra cannot read the value, or reads several values out of it."""
    try:
        parsed = OverridesParser.create().parse_override(str(override))
        readable = not parsed.is_sweep_override()
    except (HydraException, ValueError):  # ValueError: thousands of digits
        readable = False
    if not readable:
        raise UserError(refusal(override.key, typed, setting))


def _split(text: str) -> list[str]:
    """The entries of a list: cut at the commas that are in no bracket and no quotes."""
    entries, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "[{(":
            depth += 1
        elif sign in "]})":
            depth -= 1
        if sign == "," and depth == 0 and not quote:
            entries.append("")
        else:
            entries[-1] += sign
    return entries


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]


def _field(kind: type, name: str, key: str, way: str, config: type) -> Setting:
    """The setting `name` of a block."""
    hints = get_type_hints(kind)
    entry = next((each for each in dataclasses.fields(kind) if each.name == name), None)
    if entry is None:
        siblings = [each.name for each in dataclasses.fields(kind)]
        elsewhere = [each for each in _keys(config) if each.rpartition(".")[2] == name]
        there = f"; did you mean {' or '.join(elsewhere[:3])}?" if elsewhere else ""
        near = there or nearest(name, siblings, f"{way}." if way else "") or nearest(key, list(_keys(config)))
        raise UserError(f"settings: no key {key}{near}; {EVERY}")
    default = entry.default if entry.default_factory is dataclasses.MISSING else entry.default_factory()
    shown = default if isinstance(default, list) and default else None
    return Setting(hints[name], example=str(shown).replace(" ", "") if shown else "")


def _keys(kind: Any, way: str = "") -> Iterator[str]:
    """All dotted keys of a dataclass, those in dictionaries of blocks left out."""
    for entry in dataclasses.fields(kind):
        key = f"{way}.{entry.name}" if way else entry.name
        yield key
        inner = _required(get_type_hints(kind)[entry.name])
        if dataclasses.is_dataclass(inner):
            yield from _keys(inner, key)


def _required(kind: Any) -> Any:
    """The type without `| None`."""
    if get_origin(kind) in (Union, types.UnionType):
        return next(each for each in get_args(kind) if each is not types.NoneType)
    return kind


def _plain(kind: Any) -> bool:
    """No block of settings: names may be added to a dictionary of these by whoever writes an override."""
    kind = _required(kind)
    return not dataclasses.is_dataclass(kind) and not (get_origin(kind) is dict and not _plain(get_args(kind)[1]))


def _example(key: str, setting: Setting) -> str:
    kind = _required(setting.kind)
    if dataclasses.is_dataclass(kind):
        return f", for example {key}.{dataclasses.fields(kind)[0].name}=..."
    return f", for example {key}={setting.example}" if setting.example else ""


def _options(group: str) -> str:
    import importlib

    folder = importlib.import_module(f"zipmap_pl.conf.{group}").__path__[0]
    return f"one of {', '.join(sorted(name.removesuffix('.yaml') for name in os.listdir(folder) if name.endswith('.yaml')))}"
