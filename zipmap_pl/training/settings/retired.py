"""Settings that are none any more. YAML and commands that still have one are accepted where it agrees with what it follows from.

A retired key that agrees is ignored with a warning; one that contradicts is refused in one line that names its successor.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from zipmap_pl.errors import UserError

NOT_GIVEN = "???"  # OmegaConf's word for a value that is missing


class RetiredSetting(FutureWarning):
    """A setting that is ignored because it follows from another one."""


@dataclass(frozen=True)
class Retired:
    """`successor`: the setting that it follows from; `value_in`: its value in a `RunConfig`."""

    successor: str
    value_in: Callable[[Any], object]


RETIRED = {
    "data.seed": Retired("seed", lambda run: run.seed),
    "data.stage": Retired("stage.name", lambda run: run.stage.name),
    "data.patch_size": Retired("model.patch_size", lambda run: run.model.patch_size),
    "stage.loss.camera_mode": Retired(
        "model.reference_view", lambda run: "reference_view" if run.model.reference_view else "affine_invariant"
    ),
}


def schema_of(config: type) -> DictConfig:
    """The schema of a run's settings, with room for retired keys."""
    schema = OmegaConf.structured(config)
    with open_dict(schema):
        for key in RETIRED:
            OmegaConf.update(schema, key, NOT_GIVEN, force_add=True)
    return schema


def take_out(values: dict[str, Any]) -> dict[str, Any]:
    """Remove the retired keys from nested settings, in place. Returns those that were given, by dotted name."""
    given = {}
    for key in RETIRED:
        *path, name = key.split(".")
        block: Any = values
        for part in path:
            block = block.get(part, {}) if isinstance(block, Mapping) else {}
        if isinstance(block, dict) and name in block:
            value = block.pop(name)
            if value != NOT_GIVEN:
                given[key] = value
    return given


def judge(given: Mapping[str, Any], config: Any) -> None:
    """Warn of retired keys that agree with the `RunConfig`. Raises UserError for one that contradicts it."""
    for key, value in given.items():
        successor, now = RETIRED[key].successor, RETIRED[key].value_in(config)
        if str(value) != str(now):  # "42" is the 42 that a setting of whole numbers makes of it
            found = "null" if value is None else repr(value) if isinstance(value, str) and not value.strip() else value
            raise UserError(
                f"settings: {key} is {found}, but it follows from {successor} and is {now}; remove it, and set {successor}"
            )
        warnings.warn(f"{key} is ignored: it follows from {successor}; remove it", RetiredSetting, stacklevel=3)


@contextmanager
def retired_settings() -> Iterator[list[str]]:
    """Inside, warnings of retired settings are not shown; the list holds each of them once at the end."""
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RetiredSetting)
        yield told
    for warning in caught:
        if not issubclass(warning.category, RetiredSetting):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        elif str(warning.message) not in told:
            told.append(str(warning.message))
