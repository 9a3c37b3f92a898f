"""The settings beside a run's results are whole, whatever happens while they are written."""

from pathlib import Path

import pytest

from zipmap_pl.training.config import RunConfig
from zipmap_pl.training.run_settings import keep_settings


def test_a_kill_while_settings_are_written_is_not_in_the_way_of_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, config, write = tmp_path / "settings.yaml", RunConfig(), Path.write_bytes
    keep_settings(path, config)
    config.stage.steps = 7

    def half(self: Path, text: bytes) -> int:
        write(self, text[: text.index(b"steps:") + 3])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "write_bytes", half)
        keep_settings(path, config)
    caplog.set_level("INFO")
    keep_settings(path, config)
    assert "stage.steps is 7, was 1100" in caplog.text
    keep_settings(path, config)
    assert caplog.text.count("changed since") == 1
