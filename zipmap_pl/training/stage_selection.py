"""Which stages a command trains: the one that it names, or those of a curriculum. Imports no torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from zipmap_pl.errors import UserError
from zipmap_pl.training.config import RunConfig, compose
from zipmap_pl.training.settings.overrides import Override

OF_THE_WHOLE = ("stage=", "curriculum.", "output=", "init_from=")  # overrides that are not about each stage


def selected_stages(overrides: Sequence[str] = (), config_dir: str | None = None) -> list[RunConfig]:
    """The stages that the settings ask for, parents first: one, or those of a curriculum.

    Settings on the command line hold for every stage of a curriculum; `init_from` for the first one. The others start
    from their parents.

    Raises:
        UserError: as `compose`; a stage that is not in the tree; parents in a circle.
    """
    overrides = [str(Override.of(text)) for text in overrides]
    whole = compose(overrides, config_dir)
    if not whole.curriculum.branches:
        return [whole]
    for_all = [text for text in overrides if not text.lstrip("+~").startswith(OF_THE_WHOLE)]
    stages: dict[str, RunConfig] = {}
    for branch in whole.curriculum.branches:
        path: list[RunConfig] = []
        name: str | None = branch
        while name is not None and name not in stages:
            if name in [stage.stage.name for stage in path]:
                raise UserError(f"settings: stage {name} is before itself in the curriculum; look at stage.parent")
            path.append(_stage(name, whole, for_all, config_dir))
            name = path[-1].stage.parent
        stages |= {stage.stage.name: stage for stage in reversed(path)}
    return list(stages.values())


def _stage(name: str, whole: RunConfig, for_all: Sequence[str], config_dir: str | None) -> RunConfig:
    """The settings of one stage of the curriculum `whole`."""
    own = whole.curriculum.overrides.get(name, [])
    config = compose([f"stage={name}", *whole.curriculum.common, *own, *for_all], config_dir)
    if config.stage.name != name:
        raise UserError(
            f"settings: stage/{name}.yaml has the name {config.stage.name}, expected {name} in a curriculum"
        )
    parent = config.stage.parent
    start = whole.init_from if parent is None else str(Path(whole.output) / parent)
    return replace(config, output=str(Path(whole.output) / name), init_from=start)
