"""A tree of stages in one command: in one model where the modules stay, anew where they change, and after every kill."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zipmap_pl.checkpoints.folder import find_checkpoint, read_averages, read_manifest, read_optimizer, read_weights
from zipmap_pl.errors import UserError
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.training import curriculum
from zipmap_pl.training.config import RunConfig
from zipmap_pl.training.stage_selection import selected_stages

TREE = ["static", "dynamic", "affine_invariant", "streaming_12", "streaming_24", "state_query"]


@pytest.fixture
def tree(smallest_run: list[str]) -> list[str]:
    """Settings of the curriculum of `smallest_run`, without looking at held-out scenes."""
    left_out = ("data.validation", "stage.steps", "trainer.pictures_every", "trainer.validate_every")
    kept = [setting for setting in smallest_run if not setting.startswith(left_out)]
    return [
        "stage=demo_curriculum",
        *kept,
        "~data.validation.rooms",
        "trainer.pictures_every=100",
        "stage.ema.start_step=1",
    ]


class Killed(Exception):
    """Stands for kill -9: nothing of ours runs after it."""


def kill_in_step(numbers: set[int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Kill in the loss of these training steps, counted over all attempts from 1, each step once."""
    forward = ReconstructionLoss.forward
    calls: list[int] = [0]

    def forward_or_die(self: ReconstructionLoss, *arguments: object) -> dict[str, Tensor]:
        calls[0] += 1
        if calls[0] in numbers:
            raise Killed
        return forward(self, *arguments)

    monkeypatch.setattr(ReconstructionLoss, "forward", forward_or_die)
    return calls


def ends(stages: list[RunConfig]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """All tensors of the checkpoint at the end of each stage."""
    for stage in stages:
        checkpoint = find_checkpoint(Path(stage.output))
        assert read_manifest(checkpoint).step == stage.stage.steps
        state = read_optimizer(checkpoint)
        moments = {f"{name} {kind}": tensor for name, kinds in state.items() for kind, tensor in kinds.items()}
        averages = {f"average of {name}": tensor for name, tensor in (read_averages(checkpoint) or {}).items()}
        yield stage.stage.name, read_weights(checkpoint) | moments | averages


def differing(one: list[RunConfig], other: list[RunConfig]) -> list[str]:
    return [
        f"{name}: {key}"
        for (name, expected), (_, found) in zip(ends(one), ends(other), strict=True)
        for key in expected.keys() | found.keys()
        if key not in expected or key not in found or not torch.equal(expected[key], found[key])
    ]


def test_the_plan_of_a_tree() -> None:
    stages = selected_stages(["stage=curriculum", "output=runs/all", "trainer.devices=8", "init_from=vggt.pt"])
    assert [stage.stage.name for stage in stages] == TREE
    assert [stage.init_from for stage in stages] == [
        "vggt.pt", "runs/all/static", "runs/all/dynamic", "runs/all/affine_invariant", "runs/all/streaming_12",
        "runs/all/dynamic",
    ]  # fmt: skip
    assert {stage.trainer.devices for stage in stages} == {8}
    assert stages[1].output == "runs/all/dynamic"
    chain = curriculum.in_one_model(stages)
    assert [stage.stage.name for stage in chain] == ["static", "dynamic", "affine_invariant"]
    assert [stage.stage.name for stage in curriculum.in_one_model(stages[3:])] == ["streaming_12", "streaming_24"]
    some = selected_stages(["stage=curriculum", "curriculum.branches=[state_query]"])
    assert [stage.stage.name for stage in some] == ["static", "dynamic", "state_query"]
    assert selected_stages(["stage=dynamic"])[0].init_from == "./runs/static"


def test_settings_of_one_stage_and_of_all() -> None:
    own = "+curriculum.overrides.dynamic=['stage.steps=7']"
    stages = {stage.stage.name: stage for stage in selected_stages(["stage=demo_curriculum", own, "seed=3"])}
    assert stages["dynamic"].stage.steps == 7
    assert stages["affine_invariant"].stage.steps == 100
    assert stages["static"].stage.steps == 700
    assert {stage.seed for stage in stages.values()} == {3}
    assert stages["state_query"].model.query_head and not stages["dynamic"].model.query_head


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["curriculum.branches=[dynamik]"], "dynamik"),
        (["curriculum.branches=[dynamic]", "+curriculum.overrides.static=['stage.parent=dynamic']"], "before itself"),
        (["curriculum.branches=[demo]", "curriculum.common=['stage.name=other']"], "has the name other"),
    ],
)
def test_a_tree_that_is_none_is_one_line(overrides: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        selected_stages(["stage=curriculum", *overrides])


def test_stages_go_on_in_one_model_or_are_built_anew(
    tree: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A switch inside the model and one to other modules; killed inside the second stage, where one checkpoint is."""
    branch = [*tree, "curriculum.branches=[state_query]", "stage.steps=2", "trainer.checkpoint_every=1"]
    whole, killed = (
        selected_stages([*branch, f"output={tmp_path / 'whole'}"]),
        selected_stages([*branch, f"output={tmp_path / 'killed'}"]),
    )
    with caplog.at_level(logging.INFO):
        curriculum.run(whole)
    assert "stage static is done after 2 steps; dynamic goes on in the same model" in caplog.text
    assert "left fresh (aggregator.ray_cond_token, aggregator.ray_patch_embed, nvs_head)" in caplog.text
    assert "published: 64 x 48 = 3,072" in caplog.text
    kill_in_step({4}, monkeypatch)
    with pytest.raises(Killed):
        curriculum.run(killed)
    assert read_manifest(find_checkpoint(tmp_path / "killed" / "dynamic")).step == 1
    caplog.clear()
    with caplog.at_level(logging.INFO):
        result = curriculum.run(killed)
    assert "stage static is done" in caplog.text
    assert differing(whole, killed) == []
    assert result.output == tmp_path / "killed" / "state_query"
    manifest = read_manifest(result.checkpoint)
    assert (manifest.stage, list(manifest.trained_on)) == ("state_query", ["synthetic"])


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_the_whole_tree_goes_on_inside_each_stage_and_around_each_switch(
    tree: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps and a checkpoint after each, killed in every step of the tree once: before its first, before its second."""
    settings = [*tree, "stage.steps=2", "trainer.checkpoint_every=1"]
    whole, killed = (
        selected_stages([*settings, f"output={tmp_path / 'whole'}"]),
        selected_stages([*settings, f"output={tmp_path / 'killed'}"]),
    )
    curriculum.run(whole)
    # Every attempt but the first repeats the step that it was killed in, and is killed in the one after it.
    calls = kill_in_step({1, *range(3, 2 * 2 * len(TREE), 2)}, monkeypatch)
    attempts = 0
    for attempts in range(1, 100):  # noqa: B007
        try:
            curriculum.run(killed)
            break
        except Killed:
            continue
    assert (attempts, calls[0]) == (2 * len(TREE) + 1, 2 * 2 * len(TREE))
    flags = [read_manifest(find_checkpoint(Path(stage.output))).model.reference_view for stage in killed]
    assert flags == [name in ("static", "dynamic", "state_query") for name in TREE]
    assert differing(whole, killed) == []
