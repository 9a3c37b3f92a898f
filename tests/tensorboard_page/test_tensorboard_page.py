"""What a person sees in TensorBoard, looked at with a real browser: a short run's curves, panels and points are drawn there.

Skips where there is no Chromium.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from headless_browser import Browser, find_browser

from zipmap_pl.cli.main import main
from zipmap_pl.training.config import compose
from zipmap_pl.training.fit import fit

PROGRAM = find_browser()
pytestmark = [pytest.mark.long, pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")]

SMALLEST = [
    "model.embed_dim=48",
    "model.tokenizer.depth=1",
    "model.ttt.head_dim=16",
    "model.query_head=true",
    "data.batches=state_query",
    "data.views=[4,4]",
    "data.images_per_gpu=8",
    "data.workers=0",
    "data.validation_sets={positions:[0,1,2,3,4,5]}",
    "stage.steps=2",
    "stage.loss.query_perceptual=0",
    "stage.loss.scale_samples=256",
    "stage.ema={decay:0.9,start_step:1}",
    "trainer.accelerator=cpu",
    "trainer.log_every=1",
    "trainer.pictures_every=2",
    "prepare=[]",
]
# Every curve that docs/training.md names, one of each kind.
CURVES = {
    "data": ["views", "images", "faults"],
    "gradient_norm": ["aggregator", "camera_head", "nvs_head"],
    "learning_rate": ["default"],
    "loss": ["total", "camera", "depth_regression", "query_psnr"],
    "mixture": ["synthetic"],
    "speed": ["images_per_second", "peak_memory_gib"],
    "steps": ["skipped", "skipped_share"],
    "validation": ["depth_abs_rel", "depth_abs_rel_baseline", "pose_auc_30", "trajectory_error", "query_psnr"],
    "validation_ema": ["depth_abs_rel", "pose_auc_30", "query_psnr"],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    options = "--scenes 2 --heldout 2 --views 6 --size 56x56 --lossless --workers 1"
    assert main(["preprocess", "synthetic", *options.split(), "--output", str(folder / "rooms")]) == 0
    rooms = [f"data.{part}.rooms.path={folder / 'rooms'}" for part in ("train", "validation")]
    return fit(compose([*SMALLEST, *rooms, f"output={folder / 'run'}"])).output


@pytest.fixture(scope="module")
def address(run: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(run), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    said = []
    for line in server.stderr:  # it says where it is when it is ready, and ends when it cannot be
        said.append(line)
        if found := re.search(r"at (http://\S+)", line):
            yield found[1]
            break
    else:
        pytest.fail("".join(said))
    server.terminate()
    server.wait()
    server.stderr.close()


@pytest.fixture(scope="module")
def browser(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with Browser(PROGRAM, tmp_path_factory.mktemp("profile")) as browser:
        browser.open(address)
        # Of two points TensorBoard takes both for outliers and draws none.
        browser.until("(localStorage.setItem('_ignoreYOutliers', 'false'), true)")
        yield browser


def colours(picture: np.ndarray) -> int:
    """How many different ones."""
    return len(np.unique(picture.reshape(-1, 3), axis=0))


def coloured_pixels(picture: np.ndarray) -> int:
    """Those that are not grey, as text, axes and background are."""
    return int((np.ptp(picture.astype(int), axis=-1) > 60).sum())


def test_curves_are_in_groups(browser: Browser, address: str) -> None:
    browser.open(f"{address}#scalars")
    names = "all('.category-name').map(name => name.title)"
    browser.until(f"{names}.includes('validation_ema')")
    assert set(browser.value(names)) == set(CURVES)


@pytest.mark.parametrize("group", CURVES)
def test_every_curve_is_drawn(browser: Browser, address: str, group: str) -> None:
    browser.open(f"{address}#scalars&tagFilter=^{group}/({'|'.join(CURVES[group])})$")
    for curve in CURVES[group]:
        browser.until(f"words().includes('tag: {group}/{curve} ')")
    chart = "all('tf-scalar-card')[0].shadowRoot.querySelector('tf-line-chart-data-loader')"
    browser.until_seen(chart, lambda seen: coloured_pixels(seen) > 50)


def test_panels_are_drawn_and_large_enough_to_be_read(browser: Browser, address: str) -> None:
    browser.open(f"{address}#images")
    drawn = "all('img').filter(one => one.complete && one.naturalWidth > 300)"
    browser.until(f"{drawn}.length == 2")
    words = browser.value("words()")
    assert "tag: fixed scene" in words
    assert "tag: queried views" in words
    for number in range(2):
        panel = f"{drawn}[{number}]"
        browser.until_seen(panel, lambda seen: colours(seen) > 1000)
        # Letters of 20 pixels in a panel that is shown at less than a third of its size could not be read.
        assert browser.value(f"{panel}.clientWidth / {panel}.naturalWidth") > 0.33


def test_the_points_are_drawn(browser: Browser, address: str) -> None:
    browser.open(f"{address}#mesh")
    browser.until_seen("all('canvas')[0]", lambda seen: colours(seen) > 100)
