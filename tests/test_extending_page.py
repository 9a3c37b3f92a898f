"""The examples of docs/extending.md work when they are followed to the letter."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import zipmap_pl.drawing
from zipmap_pl.cli.main import main
from zipmap_pl.errors import UserError
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import compose

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs" / "extending.md"


def example(path: str) -> str:
    """The block of code that the page says to save as `path`."""
    text = PAGE.read_text()
    assert f"`{path}`" in text, path
    block = re.search(r"```(?:yaml|python)\n(.*?)```", text[text.index(f"`{path}`:") :], flags=re.DOTALL)
    assert block is not None
    return block[1]


def save(path: str, folder: Path) -> Path:
    """Write the example of the page into a folder, as the page names it; the file."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(example(path))
    return file


def test_a_stage_in_a_folder_of_settings_is_found_and_composes(tmp_path: Path) -> None:
    save("my_settings/stage/short.yaml", tmp_path)
    config = compose(["stage=short"], str(tmp_path / "my_settings"))
    assert (config.stage.name, config.stage.steps, config.output) == ("short", 200, "runs/short")
    assert config.model.embed_dim == compose(["model=small"]).model.embed_dim
    assert list(config.data.train) == ["own"]


def test_a_stage_of_the_package_is_found_next_to_one_of_a_folder(tmp_path: Path) -> None:
    save("my_settings/stage/short.yaml", tmp_path)
    assert compose(["stage=static"], str(tmp_path / "my_settings")).stage.steps == 80000


def test_a_misspelled_key_in_a_stage_is_named(tmp_path: Path) -> None:
    file = save("my_settings/stage/short.yaml", tmp_path)
    file.write_text(file.read_text().replace("steps:", "stepps:"))
    with pytest.raises(UserError, match="stepps"):
        compose(["stage=short"], str(tmp_path / "my_settings"))


def test_a_stage_shows_its_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save("my_settings/stage/short.yaml", tmp_path)
    assert main(["fit", "--config-dir", str(tmp_path / "my_settings"), "stage=short", "--show"]) == 0
    assert "learning_rate: 0.0003" in capsys.readouterr().out


def test_a_model_size_in_a_folder_of_settings_builds_a_model(tmp_path: Path) -> None:
    save("my_settings/model/medium.yaml", tmp_path)
    with torch.device("meta"):
        model = ZipMap(compose(["model=medium"], str(tmp_path / "my_settings")).model)
    assert len(model.aggregator.global_blocks) == 12


def test_a_drawing_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save("zipmap_pl/drawing/error_bars.py", tmp_path)
    monkeypatch.setattr(
        zipmap_pl.drawing, "__path__", [*zipmap_pl.drawing.__path__, str(tmp_path / "zipmap_pl/drawing")]
    )
    image = importlib.import_module("zipmap_pl.drawing.error_bars").error_bars([1.0, 0.5, float("nan")], 90, 60)
    assert image.shape == (60, 90, 3)
    drawn = (image != image[0, -1]).any(axis=-1).sum(axis=0)  # pixels of each column
    np.testing.assert_array_equal(drawn[[10, 40, 70]], [60, 30, 0])


def test_a_benchmark_measures_from_its_command_line(tmp_path: Path) -> None:
    file = save("benchmarks/gram_matrix.py", tmp_path)
    ran = subprocess.run(
        [sys.executable, str(file), "--rounds", "1"],
        env={"PYTHONPATH": str(CHECKOUT / "benchmarks")},
        capture_output=True,
        text=True,
    )
    assert "times as long" in ran.stdout, ran.stderr
