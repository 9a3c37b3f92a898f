"""Settings that are none any more: where they agree they are ignored with a warning, otherwise refused in one line."""

from pathlib import Path

import pytest

from zipmap_pl.cli.main import main
from zipmap_pl.errors import UserError
from zipmap_pl.training.config import compose, to_yaml
from zipmap_pl.training.run_settings import keep_settings
from zipmap_pl.training.settings.retired import RETIRED, RetiredSetting

BEFORE = Path(__file__).with_name("settings_before.yaml")
NOW = [
    *(
        "stage=streaming_12",
        "data=demo",
        "data.batches=streaming",
        "data.views=[3,3]",
        "model=tiny",
        "seed=7",
        "prepare=[]",
    ),
    *("model.reference_view=false", "model.camera_head.kind=mlp"),
]
WIRES = "stage: ${stage.name}\nseed: ${seed}\npatch_size: ${model.patch_size}\n"


def own_data(folder: Path, lines: str) -> str:
    (folder / "data").mkdir()
    (folder / "data" / "mine.yaml").write_text(lines + "width: 56\nviews: [2, 4]\nimages_per_gpu: 8\n")
    return str(folder)


def test_data_of_ones_own_get_seed_stage_and_patch_size_from_the_run(tmp_path: Path) -> None:
    facts = compose(["stage=own", "data=mine", "seed=5", "model.patch_size=8"], own_data(tmp_path, "")).facts()
    assert (facts.seed, facts.stage, facts.patch_size) == (5, "own", 8)


def test_the_three_wiring_lines_are_ignored_with_a_warning(tmp_path: Path) -> None:
    folder = own_data(tmp_path, WIRES)
    with pytest.warns(RetiredSetting) as warned:
        config = compose(["stage=own", "data=mine", "seed=5"], folder)
    assert [str(warning.message) for warning in warned] == [
        "data.seed is ignored: it follows from seed; remove it",
        "data.stage is ignored: it follows from stage.name; remove it",
        "data.patch_size is ignored: it follows from model.patch_size; remove it",
    ]
    assert "seed: 5" in to_yaml(config) and config.data.width == 56


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("data.seed=5", "data.seed is 5, but it follows from seed and is 42; remove it, and set seed"),
        ("data.seed=null", "data.seed is null, but it follows from seed and is 42; remove it, and set seed"),
        ("data.stage=static", "data.stage is static, but it follows from stage.name and is demo"),
        ("data.patch_size=7", "data.patch_size is 7, but it follows from model.patch_size and is 14"),
        (
            "stage.loss.camera_mode=affine_invariant",
            "camera_mode is affine_invariant, but it follows from model.reference_view and is reference_view",
        ),
    ],
)
def test_a_retired_setting_that_contradicts_is_refused_in_one_line(override: str, told: str, capsys) -> None:
    assert main(["fit", "--show", override]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_the_camera_mode_of_before_is_accepted_where_it_agrees(capsys) -> None:
    assert main(["fit", "--show", "stage=affine_invariant", "stage.loss.camera_mode=affine_invariant"]) == 0
    told = capsys.readouterr()
    assert told.err == "settings: stage.loss.camera_mode is ignored: it follows from model.reference_view; remove it\n"
    assert "camera_mode" not in told.out


def test_a_setting_that_never_was_one_stays_unknown() -> None:
    with pytest.raises(UserError, match="no key data.sede; did you mean"):
        compose(["data.sede=5"])


def test_settings_kept_by_the_version_before_are_compared_with_those_of_now(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(BEFORE.read_text())
    caplog.set_level("INFO")
    keep_settings(path, compose(NOW))
    assert caplog.text == ""
    path.write_text(BEFORE.read_text())
    keep_settings(path, compose([*NOW, "seed=8"]))
    assert [record.getMessage() for record in caplog.records] == [
        "changed since this run was last started: seed is 8, was 7"
    ]


def test_settings_of_the_version_before_are_read_as_settings(tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "again.yaml").write_text("# @package _global_\n" + BEFORE.read_text())
    with pytest.warns(RetiredSetting) as warned:
        config = compose(["stage=again"], str(tmp_path))
    assert {str(warning.message).split()[0] for warning in warned} == set(RETIRED)
    assert config == compose(NOW)
