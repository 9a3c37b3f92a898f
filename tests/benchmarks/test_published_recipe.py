"""The sizes on docs/mixtures.md are those that the benchmark measures."""

import re
from pathlib import Path

import numpy as np
import published_recipe
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "mixtures.md").read_text()


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.setattr(published_recipe, "DRAWS", 4000)
    return published_recipe


def row(what):
    return next(line for line in PAGE.splitlines() if line.startswith(f"| {what} |"))


def test_the_clip_of_depth_percentiles_is_the_one_on_the_page(recipe):
    keeps = [
        re.findall(r"published keeps (\S+?)(?: of them)?, ours (\S+)", line)[0]
        for line in recipe.clips(np.random.default_rng(0))
    ]
    cells = row("depth percentile")
    for theirs, ours in (keeps[1], keeps[4], keeps[6]):  # 98 % with 60 % valid, 90 % with 20 %, WildRGB-D
        found = re.search(rf"0\.\d+(?= are kept, ours {ours})|0\.\d+(?=, ours {ours})", cells)
        assert found and abs(float(found[0]) - float(theirs)) < 0.04


def test_the_zoom_is_the_one_on_the_page(recipe):
    rng = np.random.default_rng(0)
    means = [recipe.published_zoom(rng, size, (350, 518), 4000).mean() for size in recipe.SHAPES.values()]
    assert all(1.17 < mean < 1.27 for mean in means)
    assert means == sorted(means)  # the wider the image, the narrower the published crop


def test_a_shared_number_of_views_lets_no_gpu_wait(recipe):
    ours, theirs, one = recipe.numbers_of_views(np.random.default_rng(0))
    assert "wait for the fullest 0 %" in ours and re.search("fullest 1[5-7] %", theirs)
    assert re.search("per GPU: 5[0-3] %", one)
