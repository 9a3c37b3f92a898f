"""The settings of a run as dataclasses, and their composition from the YAML groups of conf/ by Hydra.

Every YAML is checked against these dataclasses: an unknown key or a value of the wrong type is an error that names it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from zipmap_pl.checks import expect, expect_one_of
from zipmap_pl.datasets.config import DataConfig
from zipmap_pl.datasets.draws.run_facts import RunFacts
from zipmap_pl.errors import UserError
from zipmap_pl.losses.config import LossConfig
from zipmap_pl.models.config import ModelConfig
from zipmap_pl.training.settings.retired import judge, schema_of, take_out
from zipmap_pl.training.step.optimizer_config import EmaConfig, OptimizerConfig

ACCELERATORS = ("auto", "cpu", "gpu")
STRATEGIES = ("auto", "ddp", "fsdp", "hsdp")
PRECISIONS = ("auto", "bf16-mixed", "32-true")


@dataclass
class StageConfig:
    """One stage of training. With `data`, `model.reference_view` and the heads that `model` has, all that a stage changes."""

    name: str = "demo"
    steps: int = 1100
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    parent: str | None = None  # the stage before it in a curriculum

    def __post_init__(self) -> None:
        expect(self.steps >= 1, "settings: stage.steps", self.steps, "1 or more")


@dataclass
class CurriculumConfig:
    """Stages one after another in one command, see `training.curriculum`.

    Attributes:
        branches: the stages to end in; those before them follow from `stage.parent`. Empty = one stage alone.
        common: settings of all stages, as on the command line.
        overrides: stage -> settings of this one.
    """

    branches: list[str] = field(default_factory=list)
    common: list[str] = field(default_factory=list)
    overrides: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class TrainerConfig:
    """Where and how often; handed to Lightning's Trainer and our callbacks. All intervals count optimiser steps."""

    accelerator: str = "auto"  # auto, cpu or gpu
    devices: int = 1  # per node; torchrun and srun know better
    nodes: int = 1
    strategy: str = "auto"  # ddp: the model whole on every device; fsdp: in shards; hsdp: in shards on every node
    precision: str = "auto"  # bf16-mixed, 32-true, or auto: the first on a GPU, the second on a CPU
    tf32: bool = (
        True  # GPU: products and convolutions in float32 (heads, losses) round their factors to TF32, as published
    )
    log_every: int = 10
    pictures_every: int = 100
    validate_every: int = 500
    checkpoint_every: int = 500
    keep_checkpoints: int = 3  # the newest; 0 keeps all
    checkpoint_or_stop: bool = (
        True  # false: if one cannot be written (disk full), say so and train on; the last one has to be
    )
    max_skipped: int = 100  # so many steps in a row whose numbers are not finite end the run
    global_images: int | None = (
        None  # per optimiser step, reached by accumulating micro-batches; None = one of each rank
    )
    compile: bool = False  # torch.compile of the backbone's blocks

    def __post_init__(self) -> None:
        for name, allowed in (
            ("accelerator", ACCELERATORS),
            ("strategy", STRATEGIES),
            ("precision", PRECISIONS),
        ):
            expect_one_of(f"settings: trainer.{name}", getattr(self, name), allowed)
        for name in (
            "devices",
            "nodes",
            "log_every",
            "pictures_every",
            "validate_every",
            "checkpoint_every",
            "max_skipped",
        ):
            expect(getattr(self, name) >= 1, f"settings: trainer.{name}", getattr(self, name), "1 or more")
        images = self.global_images
        expect(images is None or images >= 1, "settings: trainer.global_images", images, "1 or more, or null")
        expect(self.keep_checkpoints >= 0, "settings: trainer.keep_checkpoints", self.keep_checkpoints, "0 or more")


@dataclass
class RunConfig:
    """Everything about a run. `prepare` lists `zipmap preprocess` commands for data that is generated."""

    stage: StageConfig = field(default_factory=StageConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    prepare: list[str] = field(default_factory=list)
    seed: int = 42
    output: str = "runs/demo"
    init_from: str | None = None  # checkpoint or run folder, file or hub id whose weights the run starts from

    def __post_init__(self) -> None:
        expect(0 <= self.seed < 1 << 32, "settings: seed", self.seed, "0 to 4294967295")
        expect(bool(self.output.strip()), "settings: output", "empty", "a folder for what the run writes")
        self.output = os.path.expanduser(self.output)
        if self.init_from is not None:
            self.init_from = os.path.expanduser(self.init_from)
        self.data.check_patch_size(self.model.patch_size)

    def facts(self) -> RunFacts:
        """What the data are handed by the run."""
        return RunFacts(self.seed, self.stage.name, self.model.patch_size)


def compose(overrides: Sequence[str] = (), config_dir: str | None = None) -> RunConfig:
    """Compose conf/train.yaml with overrides as on the command line, and with an own folder of YAML groups.

    Raises:
        UserError: no override, unknown key, group or option, value of the wrong type, unreadable YAML, a retired key that contradicts
            its successor (see `retired`; one that agrees is a warning).
    """
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from zipmap_pl.training.settings.composition_errors import explained
    from zipmap_pl.training.settings.overrides import GROUPS, prepared, quoted
    from zipmap_pl.training.settings.yaml_groups import check_groups, check_interpolations

    ready = [prepared(text, RunConfig) for text in overrides]
    search_path = []
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise UserError(f"{config_dir}: no such folder, expected one with YAML groups (--config-dir)")
        check_groups(Path(config_dir), GROUPS)
        search_path = [f"hydra.searchpath=[{quoted(f'file://{Path(config_dir).resolve()}')}]"]
    ConfigStore.instance().store(name="run_schema", node=schema_of(RunConfig))
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_module("zipmap_pl.conf", version_base="1.3"):
            composed = hydra.compose("train", overrides=[*search_path, *ready])
        check_interpolations(cast(dict[str, Any], OmegaConf.to_container(composed, resolve=False)))
        # Merged once more, because `+key=value` gets past the schema.
        values = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
        retired = take_out(values)
        config = cast(RunConfig, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(RunConfig), values)))
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        raise UserError(explained(error, RunConfig)) from error
    finally:
        GlobalHydra.instance().clear()
    judge(retired, config)
    return config


def to_yaml(config: RunConfig) -> str:
    """All settings of a run as YAML."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))
