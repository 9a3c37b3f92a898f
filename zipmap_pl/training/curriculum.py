"""A curriculum: the stages of a tree one after another in one command, parents first.

Every stage is an ordinary run in a folder of its own below the curriculum's `output`: it can be looked at, gone on with
and started from as one. A stage whose model has the same modules as its parent's goes on in that model; one that has
others is built anew from the parent's checkpoint. What a killed curriculum has done is told by the manifests of the
checkpoints, before any trainer or optimiser is made, so the same command goes on inside a stage or around a switch.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from zipmap_pl.checkpoints.folder import latest_checkpoint, read_manifest
from zipmap_pl.errors import DamagedFile
from zipmap_pl.training.config import RunConfig
from zipmap_pl.training.fit import FitResult, fit
from zipmap_pl.training.stages import check_stage, same_modules

log = logging.getLogger(__name__)


def run(stages: Sequence[RunConfig]) -> FitResult:
    """Train stages, parents first, going on where an earlier command stopped.

    Returns the result of the last stage, with what held-out scenes said before the first.

    Raises:
        UserError, KeyboardInterrupt: as `fit`.
    """
    for stage in stages:
        check_stage(stage)
    if len(stages) > 1:
        log.info("curriculum: %s", ", ".join(f"{s.stage.name} ({s.stage.steps:,} steps)" for s in stages))
    results = []
    left = list(stages)
    while left:
        if len(left) > 1 and finished(left[0]):
            log.info("stage %s is done", left[0].stage.name)
            left.pop(0)
            continue
        chain = in_one_model(left)
        results.append(fit(*chain))
        left = left[len(chain) :]
    return replace(results[-1], before=results[0].before)


def in_one_model(stages: Sequence[RunConfig]) -> list[RunConfig]:
    """The first of the stages, and those right after it that can go on in its model and have not begun yet."""
    chain = [stages[0]]
    for stage in stages[1:]:
        follows = stage.stage.parent == chain[-1].stage.name and same_modules(chain[-1], stage)
        if not follows or _newest(stage) is not None:
            break
        chain.append(stage)
    return chain


def finished(config: RunConfig) -> bool:
    """Whether the stage's folder holds its end. If that cannot be told, `fit` goes on from the checkpoint before."""
    newest = _newest(config)
    try:
        return newest is not None and read_manifest(newest).step >= config.stage.steps
    except DamagedFile:
        return False


def _newest(config: RunConfig) -> Path | None:
    return latest_checkpoint(Path(config.output) / "checkpoints")
