"""Settings that have no effect in the mode that the others choose are named, once, at the start."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from omegaconf import OmegaConf

from zipmap_pl.cli.main import main
from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.training import curriculum
from zipmap_pl.training.config import RunConfig
from zipmap_pl.training.stage_selection import selected_stages
from zipmap_pl.training.without_effect import overrides_without_effect, rates_without_effect, without_effect

DOCUMENTED = [  # commands of docs/; test_every_yaml.py has the YAML files
    ["model.global_mixer=softmax"],
    ["model.ttt.gate=false"],
    ["model.ttt.update_rule=gradient"],
    ["model.ttt.update_rule=momentum"],
    ["model.ttt.global_learning_rate=0.1"],
    ["stage=static", "data.augmentation.blur_probability=0.05"],
    ["stage=state_query", "stage.loss.query_perceptual=0"],
    ["data=published", "+data/zoo=[tartanair,hypersim]"],
    ["stage=own", "data=real_rgbd", "data.reading=sequential", "data.window=32"],
]


def settings(words: str) -> RunConfig:
    """The defaults with some settings changed, without composing YAML."""
    changed = OmegaConf.merge(OmegaConf.structured(RunConfig), OmegaConf.from_dotlist(words.split()))
    return cast(RunConfig, OmegaConf.to_object(changed))


@pytest.mark.parametrize(
    ("words", "needs"),
    [
        ("data.window=32", "data.reading=sequential"),
        ("data.buffer=2", "data.reading=sequential"),
        ("data.augmentation.colour=none data.augmentation.brightness=0.1", "data.augmentation.colour=jitter"),
        ("data.augmentation.gain=0.3", "data.augmentation.colour=gain_offset"),
        ("model.ttt.momentum=0.5", "model.ttt.update_rule=momentum"),
        ("stage.loss.query_colour=2.0", "data.batches=state_query"),
        ("stage.loss.vgg_weights=vgg.pth", "data.batches=state_query"),
        ("stage.loss.affine_invariant.rotation=1.0", "model.reference_view=false"),
        ("model.reference_view=false stage.loss.reference_view.rotation=2.0", "model.reference_view=true"),
        ("data.workers=0 data.prefetch=4", "data.workers of 1 or more"),
        ("model.ttt.update_rule=gradient model.ttt.newton_schulz_steps=3", "model.ttt.update_rule=newton_schulz"),
        ("model.ttt.global_learning_rate=0.1 model.ttt.base_learning_rate=0.1", "model.ttt.global_learning_rate=null"),
        ("model.global_mixer=softmax model.ttt.gate=false", "model.global_mixer=ttt"),
        ("model.camera_head.kind=mlp model.camera_head.iterations=2", "model.camera_head.kind=iterative"),
        ("trainer.validate_every=7", "validation data"),
        ("curriculum.common=[x]", "curriculum.branches"),
    ],
)
def test_a_setting_without_effect_is_named_with_what_it_needs(words: str, needs: str) -> None:
    (line,) = without_effect([settings(words)])
    name = words.split()[-1].partition("=")[0]
    assert line.startswith(name) and line.endswith(f"no effect: it needs {needs}")


def test_a_field_for_all_rules_that_no_rule_has_is_named() -> None:
    config = RunConfig(
        data=DataConfig({"a": DatasetConfig("a", sampling={"rule": "unordered"})}, sampling_of_all={"max": 3})
    )
    (line,) = without_effect([config])
    assert line == "data.sampling_of_all.max has no effect: it needs a training dataset whose rule has max"
    assert without_effect([config, RunConfig(data=replace(config.data, train={"b": DatasetConfig("b")}))]) == []


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_the_sampling_of_one_dataset_that_the_sampling_of_all_replaces_is_named(sign: str) -> None:
    stage = settings("data.sampling_of_all.video=1.0")
    (line,) = overrides_without_effect([f"{sign}data.train.own.sampling.video=0.5", "stage.steps=3"], [stage])
    assert line.startswith("data.train.own.sampling.video has no effect: data.sampling_of_all.video holds")


def test_the_sampling_of_one_dataset_that_nothing_replaces_is_not_named() -> None:
    overrides = ["data.train.own.sampling.max=4"]
    assert overrides_without_effect(overrides, [settings("data.sampling_of_all.video=1.0")]) == []


@pytest.mark.parametrize("overrides", DOCUMENTED, ids=" ".join)
def test_no_documented_command_has_a_setting_without_effect(overrides: list[str]) -> None:
    assert without_effect(selected_stages(overrides)) == []


def test_a_setting_that_counts_in_one_stage_of_a_curriculum_is_not_named() -> None:
    stages = [settings("stage.loss.query_colour=2.0 data.window=32"), settings("data.window=32")]
    stages[1].data.batches, stages[1].stage.loss.query_colour = "state_query", 2.0
    (line,) = without_effect(stages)
    assert line.startswith("data.window=32")


def test_a_pattern_of_rates_that_matches_no_parameter_is_named() -> None:
    config = settings("stage.name=mine")
    config.stage.optimizer.rates = {"*ttt_block*": 1e-4, "*tttblock*": 1e-4}
    assert rates_without_effect(config, ["aggregator.ttt_block.w0", "camera_head.weight"]) == [
        "stage.optimizer.rates: *tttblock* has no effect in stage mine: it matches no trained parameter"
    ]


@pytest.mark.parametrize("words", [["--show"], []])
def test_each_is_shown_once_at_the_start(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curriculum, "run", lambda stages: SimpleNamespace(summary=lambda: "done"))
    commanded = ["data.window=32", "data.seed=42", "prepare=[]"]
    assert main(["fit", *words, "stage=curriculum", "curriculum.branches=[dynamic]", *commanded]) == 0
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "settings: data.seed is ignored: it follows from seed; remove it",
        "settings: data.window=32 has no effect: it needs data.reading=sequential",
    ]
    assert "no effect" not in told.out
