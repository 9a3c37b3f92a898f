"""docs/extending.md, "An exporter", followed to the letter: a file in a folder, and the command knows the format."""

import sys
from pathlib import Path

import pytest
from pages import blocks_of
from photos_and_model import two_photos, untrained_checkpoint

from zipmap_pl.cli.main import main
from zipmap_pl.inference import exporters


def test_a_file_in_the_folder_of_exporters_is_a_format_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = blocks_of("An exporter", "python")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "xyz.py").write_text(code)
    monkeypatch.setattr(exporters, "__path__", [*exporters.__path__, str(tmp_path / "more")])
    photos, checkpoint, output = two_photos(tmp_path), untrained_checkpoint(tmp_path), tmp_path / "out"
    arguments = ("reconstruct", photos, "--checkpoint", checkpoint, "--output", output)
    try:
        assert main([str(word) for word in (*arguments, "--max-points", 50, "--export", "xyz")]) == 0
    finally:
        sys.modules.pop(f"{exporters.__name__}.xyz", None)
    assert {path.name for path in output.iterdir()} == {"cameras.json", "points.xyz"}
    assert len((output / "points.xyz").read_text().splitlines()) == 50
    assert f"points (xyz)   {output / 'points.xyz'}" in capsys.readouterr().out
