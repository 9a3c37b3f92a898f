"""A scene that keeps causing steps that are not finite is named, not those that were there once."""

import logging

import pytest

from zipmap_pl.training.step.suspects import Suspects


def test_a_scene_is_named_from_the_second_time_on_at_every_doubling(caplog: pytest.LogCaptureFixture) -> None:
    suspects = Suspects()
    for step in range(1, 6):
        suspects.add(step, [("scannet", "bad"), ("scannet", f"good {step}")])
    assert [record.args[:3] for record in caplog.records] == [(2, "bad", "scannet"), (4, "bad", "scannet")]  # type: ignore[index]
    assert caplog.records[0].levelno == logging.WARNING
    assert "scene bad of scannet is in a step that is not finite for the 2. time" in caplog.text
