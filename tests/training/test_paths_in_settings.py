"""Folders with any name: the home folder as `~`, and spaces, letters and signs in that of the user's own YAML groups."""

from pathlib import Path

import pytest

from zipmap_pl.training.config import RunConfig, compose
from zipmap_pl.training.stage_selection import selected_stages

PATHS = {
    "output": lambda config: config.output,
    "init_from": lambda config: config.init_from,
    "data.shards": lambda config: config.data.shards,
    "data.train.rooms.path": lambda config: config.data.train["rooms"].path,
    "data.validation.rooms.path": lambda config: config.data.validation["rooms"].path,
    "+data.also.kitchen": lambda config: config.data.train["kitchen"].path,
    "stage.loss.vgg_weights": lambda config: config.stage.loss.vgg_weights,
}


@pytest.fixture(params=[*(pytest.param(name, marks=pytest.mark.long) for name in ("me", "my home")), "it's 日本"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HOME", str(tmp_path / request.param))
    return str(tmp_path / request.param)


@pytest.mark.parametrize("key", PATHS)
@pytest.mark.parametrize("value", ["~/x", "'~/x'", '"~/x"'])
def test_the_home_folder_is_written_out_in_every_path_setting(home: str, key: str, value: str) -> None:
    assert PATHS[key](compose([f"{key}={value}"])) == f"{home}/x"


def test_other_tildes_stay_as_they_are(home: str) -> None:
    assert compose(["output='runs/~x'"]).output == "runs/~x"
    assert "rooms" not in compose(["~data.validation.rooms"]).data.validation


def test_datasets_of_the_zoo_and_stages_of_a_curriculum_lie_in_the_home_folder(home: str) -> None:
    stages = selected_stages(["stage=curriculum", "output=~/runs", "data.shards=~/zoo"])
    assert {Path(stage.output).parent for stage in stages} == {Path(home, "runs")}
    assert stages[1].init_from == f"{home}/runs/{stages[0].stage.name}"
    assert all(data.path.startswith(f"{home}/zoo/") for stage in stages for data in stage.data.train.values())


NAMES = [
    "my settings",
    "日本 ü",
    "a,b",
    "it's",
    'a "b"',
    "a=b",
    "[x] {y} (z)",
    "50% #1",
    "back\\slash\\",
    "\\'",
    "$x",
    "a:b",
]


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_found_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name / "stage").mkdir(parents=True)
    (tmp_path / name / "stage" / "mine.yaml").write_text("name: mine\nsteps: 7\n")
    config = compose(["stage=mine"], config_dir=str(tmp_path / name))
    assert isinstance(config, RunConfig) and config.stage.steps == 7
