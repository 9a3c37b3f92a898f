"""Every YAML of conf/ composes, and what it describes can be built: on the meta device, where size costs nothing."""

from pathlib import Path

import pytest
import torch

from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.stage_selection import selected_stages
from zipmap_pl.training.stages import check_stage
from zipmap_pl.training.step.optimizer import build_optimizer
from zipmap_pl.training.without_effect import rates_without_effect, without_effect

CONF = Path(__file__).resolve().parents[2] / "conf"
GROUPS = {group: sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in ("stage", "model", "data")}


@pytest.mark.parametrize("override", [f"{group}={name}" for group, names in GROUPS.items() for name in names])
def test_it_composes_and_builds(override: str) -> None:
    stages = selected_stages([override])
    assert without_effect(stages) == []
    for config in stages:
        with torch.device("meta"):
            model = ZipMap(config.model)
        build_optimizer(model, config.stage.optimizer)
        assert rates_without_effect(config, [name for name, _ in model.named_parameters()]) == []
        for dataset in config.data.train.values():
            dataset.rule()
        if override.startswith("stage="):
            check_stage(config)


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "data" / "zoo").glob("*.yaml")))
def test_every_dataset_of_the_zoo_alone(name: str) -> None:
    (config,) = selected_stages(["data=published", f"+data/zoo=[{name}]"])
    assert list(config.data.train) == [name]
