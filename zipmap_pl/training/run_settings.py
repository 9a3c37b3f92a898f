"""The settings of a run, kept beside its results; what changed since is named."""

import logging
from pathlib import Path
from typing import cast

from omegaconf import OmegaConf

from zipmap_pl.changes import changes
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
