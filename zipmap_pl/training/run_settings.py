"""The settings of a run, kept beside its results; what changed since is named."""

import logging
from pathlib import Path
from typing import cast

from omegaconf import OmegaConf

from zipmap_pl.changes import changes
from zipmap_pl.files import write_file
from zipmap_pl.training.config import RunConfig, to_yaml
from zipmap_pl.training.settings.retired import take_out

log = logging.getLogger(__name__)


def keep_settings(path: Path, config: RunConfig) -> None:
    """Write the run's settings beside its results; say what has changed since they were last written."""
    settings = to_yaml(config)
    if path.is_file():
        # A setting that an earlier version did not know had the default; what retired ones follow from is compared.
        known = OmegaConf.merge(OmegaConf.create(to_yaml(RunConfig())), OmegaConf.create(path.read_text()))
        before, now = (cast(dict, OmegaConf.to_container(each)) for each in (known, OmegaConf.create(settings)))
        take_out(before)
        for name, old, new in changes(before, now):
            log.info("changed since this run was last started: %s is %s, was %s", name, new, old)
    write_file(path, settings.encode())
