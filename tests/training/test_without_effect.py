"""Settings that have no effect in the mode that the others choose are named, once, at the start."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from zipmap_pl.cli.main import main
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training import curriculum
from zipmap_pl.training.config import compose
from zipmap_pl.training.stage_selection import plan
from zipmap_pl.training.without_effect import rates_without_effect, without_effect

CONF = Path(__file__).resolve().parents[2] / "conf"
GROUPS = [
    f"{group}={path.stem}" for group in ("stage", "model", "data") for path in sorted((CONF / group).glob("*.yaml"))
]
DOCUMENTED = [  # commands of docs/
    ["model.global_mixer=softmax"],
    ["model.ttt.gate=false"],
    ["model.ttt.update_rule=gradient"],
    ["model.ttt.update_rule=momentum"],
    ["model.ttt.global_learning_rate=0.1"],
    ["stage=static", "data.augmentation.blur_probability=0.05"],
    ["stage=state_query", "stage.loss.query_perceptual=0"],
    ["stage=curriculum", "stage.loss.query_perceptual=0"],  # counts in one of the stages
    ["data=published", "+data/zoo=[tartanair,hypersim]"],
    ["stage=own", "data=real_rgbd", "data.reading=sequential", "data.window=32"],
]


@pytest.mark.parametrize(
    ("override", "needs"),
    [
        ("data.window=32", "data.reading=sequential"),
        ("data.buffer=2", "data.reading=sequential"),
        ("data.augmentation.brightness=0.1", "data.augmentation.colour=jitter"),
        ("data.augmentation.blur_probability=0.1", "data.augmentation.colour=jitter"),
        ("model.ttt.momentum=0.5", "model.ttt.update_rule=momentum"),
        ("stage.loss.query_colour=2.0", "data.batches=state_query"),
        ("stage.loss.vgg_weights=vgg.pth", "data.batches=state_query"),
        ("stage.loss.affine_invariant.rotation=1.0", "model.reference_view=false"),
        ("data.workers=0 data.prefetch=4", "data.workers of 1 or more"),
        ("data.augmentation.colour=none data.augmentation.gain=0.3", "data.augmentation.colour=gain_offset"),
        ("model.ttt.update_rule=gradient model.ttt.newton_schulz_steps=3", "model.ttt.update_rule=newton_schulz"),
        ("model.ttt.global_learning_rate=0.1 model.ttt.base_learning_rate=0.1", "model.ttt.global_learning_rate=null"),
        ("model.global_mixer=softmax model.ttt.gate=false", "model.global_mixer=ttt"),
        ("model.camera_head.kind=mlp model.camera_head.iterations=2", "model.camera_head.kind=iterative"),
        ("model.reference_view=false stage.loss.reference_view.rotation=2.0", "model.reference_view=true"),
        ("~data.validation.rooms trainer.validate_every=7", "validation data"),
        ("curriculum.common=[x]", "curriculum.branches"),
        ("+data.sampling_of_all={video: 1.0}", "a training dataset whose rule has video"),
    ],
)
def test_a_setting_without_effect_is_named_with_what_it_needs(override: str, needs: str) -> None:
    (line,) = without_effect([compose(override.replace(": ", ":").split())])
    name = override.replace(": ", ":").split()[-1].partition("=")[0].lstrip("+")
    assert line.startswith(name) and line.endswith(f"no effect: it needs {needs}")


@pytest.mark.parametrize("overrides", [*([group] for group in GROUPS), *DOCUMENTED], ids=" ".join)
def test_our_own_settings_all_have_an_effect(overrides: list[str]) -> None:
    assert without_effect(plan(overrides)) == []


def test_a_setting_that_counts_in_one_stage_of_a_curriculum_is_not_named() -> None:
    assert without_effect(plan(["stage=demo_curriculum", "stage.loss.query_colour=2.0"])) == []
    (line,) = without_effect(plan(["stage=demo_curriculum", "data.window=32"]))
    assert line.startswith("data.window=32")


def test_a_pattern_of_rates_that_matches_no_parameter_is_named() -> None:
    config = compose(["stage.name=mine", "+stage.optimizer.rates={*ttt_block*: 1e-4, *tttblock*: 1e-4}"])
    with torch.device("meta"):
        names = [name for name, _ in ZipMap(config.model).named_parameters()]
    assert rates_without_effect(config, names) == [
        "stage.optimizer.rates: *tttblock* has no effect in stage mine: it matches no trained parameter"
    ]


@pytest.mark.parametrize("words", [["--show"], []])
def test_each_is_shown_once_at_the_start(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curriculum, "run", lambda stages: SimpleNamespace(summary=lambda: "done"))
    commanded = ["data.window=32", "data.seed=42", "prepare=[]"]
    assert main(["fit", "stage=demo_curriculum", *words, *commanded]) == 0
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "settings: data.seed is ignored: it follows from seed; remove it",
        "settings: data.window=32 has no effect: it needs data.reading=sequential",
    ]
    assert "no effect" not in told.out
