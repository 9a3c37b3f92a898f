"""What Hydra and OmegaConf say of settings that do not fit, in one line of our own words."""

import re
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.errors import MissingConfigException

from zipmap_pl.training.settings.overrides import EVERY, GROUPS, Override, nearest, refusal, setting_at

NOISE = (
    "object_type", "reference_type", "full_key", "To append", "Config search path", "provider=", "Set the environment", "See https",
)  # fmt: skip
# OmegaConf's words for types -> ours.
WORDS = {
    r"\w+ is not a ListConfig, list or tuple\.?": "expected a list in brackets",
    r"Cannot merge DictConfig with ListConfig": "found a list where a block {NAME: VALUE} is expected, or a block for a list",
    r"Merge error: (\w+) is not a subclass of \w+\. value: (.*)": r"found \2, expected a block {NAME: VALUE}",
    r"Incompatible key type '(?:NoneType|\w+)'": "found a name that is no text, expected KEY: VALUE",
    r" of type '\w+'": "",
    r"\w+ raised while composing config: / ": "",
}
FULL_KEY = re.compile(r"^\s*full_key: (\S+)$", re.MULTILINE)
FROM_A_FILE = re.compile(r"In '([^']+)'")


def explained(error: BaseException, config: type) -> str:
    """One line for an error of composing the settings `config`: the file, the key or the value, and what is expected."""
    for each in _causes(error):
        if isinstance(each, MissingConfigException) and each.missing_cfg_file and each.options is not None:
            return _no_option(each)
    messages = [str(each) for each in _causes(error)]
    for message in messages:
        found = _of_override(message, config)
        if found:
            return found
    lines = dict.fromkeys(line.strip() for text in messages for line in text.splitlines() if _tells(line))
    key = next((key for text in messages for key in FULL_KEY.findall(text)), "")
    text = f"{key}: " * (key != "") + _plain(" / ".join(lines))
    return f"settings: {text}{_near_key(text, config)}; {EVERY}"


def _plain(text: str) -> str:
    for theirs, ours in WORDS.items():
        text = re.sub(theirs, ours, text)
    return text


def _causes(error: BaseException) -> list[BaseException]:
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    return causes


def _no_option(error: MissingConfigException) -> str:
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    options = sorted(error.options or [])
    source = FROM_A_FILE.search(str(error))
    where = f"{source[1]}.yaml: " if source and source[1] != "train" else "settings: "
    if not group or not options:
        return f"{where}there is no {error.missing_cfg_file}.yaml; {EVERY}"
    return f"{where}{group} is {name}, expected one of {', '.join(options)}{nearest(name, options)}"


def _of_override(message: str, config: type) -> str | None:
    """The line for an override that cannot be applied; None if the message is about something else."""
    if found := re.match(r"Error merging override (.*)", message):
        override = Override.of(found[1])
        return refusal(override.key, _bare(override.value or ""), setting_at(override.key, config))
    if found := re.match(r"Could not override '([^']+)'", message):
        return _no_such_name(found[1])
    if found := re.match(r"Could not append to config. An item is already at '([^']+)'", message):
        return f"settings: +{found[1]}: it is there already; leave the + out"
    if found := re.match(r"Could not delete from config. '([^']+)'", message):
        return f"settings: ~{found[1]}: there is no {found[1]} to leave out; {EVERY}"
    return None


def _no_such_name(key: str) -> str:
    found = re.match(r"(data\.(?:train|validation))\.([^.]+)", key)
    if found is None and re.search("[/@]", key):
        return f"settings: no group {key}, expected {', '.join(GROUPS)}, or a key with dots; {EVERY}"
    if found is None:
        return f"settings: no key {key}; if it is to be new, +{key}=...; {EVERY}"
    block, name = found.groups()
    return (
        f"settings: {block} has no dataset {name}; a new one is +data.also.{name}=FOLDER, or +{block}.{name}={{path: FOLDER}}; "
        "`zipmap fit --show` prints those that are there"
    )


def _bare(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == "'" else value


def _near_key(text: str, config: type) -> str:
    """The nearest keys of a block in which a YAML has an unknown one."""
    found = re.search(r"Key '([^']+)' not in '(\w+)'", text)
    block = _blocks(config).get(found[2]) if found else None
    return nearest(found[1], [entry.name for entry in fields(block)]) if found and block else ""


def _blocks(config: Any) -> dict[str, Any]:
    """The dataclasses inside a dataclass by name, those in dictionaries included."""
    from typing import get_args, get_type_hints

    found, ahead = {}, [config]
    while ahead:
        kind = ahead.pop()
        if is_dataclass(kind) and kind.__name__ not in found:  # type: ignore[union-attr]
            found[kind.__name__] = kind  # type: ignore[union-attr]
            ahead.extend(get_type_hints(kind).values())
        ahead.extend(get_args(kind))
    return found


def _tells(line: str) -> bool:
    return bool(line.strip()) and not line.strip().startswith(NOISE)
