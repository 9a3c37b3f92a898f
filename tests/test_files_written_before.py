"""Shards, checkpoints and states of commit 1926d2d are read, resumed and gone on with. data/before_rooms/README.md."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import zstandard
from published_models import golden_parameter
from safetensors.torch import load_file
from training_results import scalars

from zipmap_pl.checkpoints.folder import checkpoints_of
from zipmap_pl.checkpoints.load import load_model
from zipmap_pl.cli.main import main
from zipmap_pl.contracts.scene_state import SceneState
from zipmap_pl.datasets.format.frame_reader import FrameReader
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.inspection.verification import verify
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training import fit
from zipmap_pl.training.config import compose

OLD = Path(__file__).parent / "data" / "before_rooms"
EXPECTED = json.loads((OLD / "expected.json").read_text())
ROOMS = "--scenes 3 --heldout 1 --views 4 --size 28x28 --moving-objects 1 --lossless --workers 1 --frames-per-shard 8"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work on, which is also the current folder."""
    folder = Path(shutil.copytree(OLD, tmp_path / "old"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def same_libraries(monkeypatch: pytest.MonkeyPatch) -> bool:
    """Versions of libraries are part of the settings: they are given out as those of then. True if they really are."""
    then = json.loads((OLD / "shards" / "dataset.json").read_text())["settings"]["libraries"]
    now = {"numpy": np.__version__, "opencv": cv2.__version__, "zstd": ".".join(map(str, zstandard.ZSTD_VERSION))}
    monkeypatch.setattr(np, "__version__", then["numpy"])
    monkeypatch.setattr(cv2, "__version__", then["opencv"])
    monkeypatch.setattr(zstandard, "ZSTD_VERSION", tuple(map(int, then["zstd"].split("."))))
    return now == then


def contents(folder: Path, pattern: str = "*") -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob(pattern) if path.is_file()}


def preprocess(output: Path, *more: str) -> int:
    return main(["preprocess", "synthetic", *ROOMS.split(), *more, "--output", str(output)])


def test_shards_verify() -> None:
    assert verify(OLD / "shards") == []


def test_every_frame_of_the_shards_is_read() -> None:
    reader = FrameReader(ShardIndex.open(OLD / "shards"))
    frames = [reader.read(row) for row in range(16)]
    assert {frame.image.shape for frame in frames} == {(28, 28, 3)}
    assert all(np.isfinite(frame.depth).all() and frame.depth.max() > 0 for frame in frames)


@pytest.mark.usefixtures("same_libraries")
def test_the_same_command_finds_the_shards_complete(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(old / "shards")
    assert preprocess(old / "shards") == 0
    assert "3 shards, 0 of them written now" in capsys.readouterr().out
    assert contents(old / "shards") == before


def test_a_shard_that_was_lost_is_written_again_byte_for_byte(old: Path, same_libraries: bool) -> None:
    if not same_libraries:
        pytest.skip("other versions of numpy, OpenCV or zstd may give other bytes")
    before = contents(old / "shards", "*.tar")
    (old / "shards/train/synthetic-000001.tar").unlink()
    assert preprocess(old / "shards") == 0
    assert contents(old / "shards", "*.tar") == before


def test_the_index_of_a_shard_written_again_differs_in_the_check_of_its_scenes_only(
    old: Path, same_libraries: bool
) -> None:
    """The check has learned since then; what it found is no part of the shards."""
    if not same_libraries:
        pytest.skip("other versions of numpy, OpenCV or zstd may give other bytes")
    index, checked = old / "shards/index", {"scene.agreement_good.npy", "scene.agreement_median.npy"}
    before = contents(index)
    (old / "shards/train/synthetic-000001.tar").unlink()
    assert preprocess(old / "shards") == 0
    after = contents(index)
    assert {name for name in before if before[name] != after[name]} <= checked
    assert after.keys() - before.keys() == {"frame.stream.npy"}  # since schema 4
    assert verify(old / "shards") == []


@pytest.mark.usefixtures("same_libraries")
def test_other_settings_are_refused_by_name(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preprocess(old / "shards", "--seed", "1") != 0
    assert "seed" in capsys.readouterr().err


def test_the_model_of_a_checkpoint_loads() -> None:
    loaded = load_model(OLD / "run")
    assert loaded.model(torch.rand(2, 3, 28, 28)).depth.shape == (1, 2, 28, 28, 1)


def test_a_run_resumes_with_the_losses_that_it_would_have_had(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_leave_cores_to_the_loader", lambda *_: torch.set_num_threads(1))
    assert main(["fit", "--config-dir", "conf", "data=old", "model=old", "stage=old", "output=run"]) == 0
    assert [step for step, _ in scalars(old / "run", "loss/total")] == [3, 4]
    losses = [loss for _, loss in scalars(old / "run", "loss/total")]
    assert losses == pytest.approx(EXPECTED["losses"][2:], rel=1e-5)
    assert [path.name for path in checkpoints_of(old / "run" / "checkpoints")] == ["step-00000002", "step-00000004"]


def query_model(update_rule: str) -> ZipMap:
    """As in make.py."""
    overrides = ["data=old", "model=old", "stage=old", "model.query_head=true", f"model.ttt.update_rule={update_rule}"]
    model = ZipMap(compose(overrides, str(OLD / "conf")).model)
    model.load_state_dict({key: golden_parameter(key, tuple(value.shape)) for key, value in model.state_dict().items()})
    return model.eval()


@pytest.mark.parametrize("update_rule", ["newton_schulz", "momentum"])
def test_a_state_answers_a_query_with_the_same_numbers(update_rule: str) -> None:
    rays = torch.linspace(-1, 1, 2 * 9 * 28 * 28).view(1, 2, 9, 28, 28).cos()
    with torch.no_grad():
        found = query_model(update_rule).query(SceneState.load(OLD / f"{update_rule}.safetensors"), rays)
    expected = EXPECTED["queries"][update_rule]
    assert found.nvs_pred.flatten()[::97].tolist() == pytest.approx(expected["colors"], rel=1e-5, abs=1e-6)
    assert found.nvs_depth_conf.flatten()[::97].tolist() == pytest.approx(expected["depth"], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("update_rule", ["newton_schulz", "momentum"])
def test_the_same_images_give_the_old_state(update_rule: str, tmp_path: Path) -> None:
    images = torch.linspace(0, 1, 3 * 3 * 28 * 28).view(1, 3, 3, 28, 28).sin()
    with torch.no_grad():
        query_model(update_rule).compress(images).save(tmp_path / "state")
    found, old = load_file(tmp_path / "state"), load_file(OLD / f"{update_rule}.safetensors")
    assert found.keys() == old.keys()
    for name, tensor in old.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5)
