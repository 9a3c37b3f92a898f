"""How weights were made: what a checkpoint folder says of itself, and files of weights carry on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zipmap_pl.checkpoints.folder import Figures, Manifest
from zipmap_pl.checkpoints.recognition import parse_settings

HISTORY = "history"  # its name among what a file carries


@dataclass
class History:
    """See `Manifest` for the fields.

    Attributes:
        averages: the weights are the averages of those that were trained; then `validation` is of the latter.
    """

    stage: str
    step: int
    skipped: int
    trained_on: dict[str, str] = field(default_factory=dict)
    zipmap_pl_version: str = ""
    torch_version: str = ""
    commit: str = ""
    validation: Figures | None = None
    averages: bool = False


def history_of(manifest: Manifest, averages: bool = False) -> History:
    """The history of a checkpoint folder's weights."""
    return History(
        manifest.stage,
        manifest.step,
        manifest.skipped,
        manifest.trained_on,
        manifest.zipmap_pl_version,
        manifest.torch_version,
        manifest.commit,
        manifest.validation,
        averages,
    )


def carried_history(carried: Mapping[str, Any], name: str) -> History | None:
    """The history that a file of weights, or a repository, carries; None if it has none. `name` is the file's.

    Raises:
        UserError: it is not readable.
    """
    return parse_settings(carried[HISTORY], name, History) if HISTORY in carried else None
