"""The settings of a run, kept beside its results; what changed since is named."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from zipmap_pl.files import write_file
from zipmap_pl.training.config import RunConfig, to_yaml

log = logging.getLogger(__name__)


def keep_settings(path: Path, config: RunConfig) -> None:
    """Write the run's settings beside its results; say what has changed since they were last written."""
    settings = to_yaml(config)
    if path.is_file():
        before, now = (OmegaConf.to_container(OmegaConf.create(text)) for text in (path.read_text(), settings))
        for name, old, new in changes(cast(dict, before), cast(dict, now)):
            log.info("changed since this run was last started: %s is %s, was %s", name, new, old)
    write_file(path, settings.encode())


def changes(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, old and new value of all that differs; None where there is none."""
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from changes(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key}", old, new
