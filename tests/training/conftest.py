"""A handful of generated rooms in shards, and the settings of the smallest run on them."""

from pathlib import Path

import pytest
import torch

from zipmap_pl.cli.main import main
from zipmap_pl.training import fit


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """More threads than idle cores wait for each other: on a busy machine that makes these small models 20 times slower."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "_leave_cores_to_the_loader", lambda *_: torch.set_num_threads(1))
        yield


@pytest.fixture(scope="session")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "rooms"
    options = "--scenes 6 --heldout 2 --views 4 --lossless --workers 1"
    assert main(["preprocess", "synthetic", *options.split(), "--output", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def smallest_run(rooms: Path) -> list[str]:
    """Overrides for a run of seconds: two block pairs narrower than tiny, eight pictures a step, no extra processes."""
    return [
        f"data.train.rooms.path={rooms}",
        f"data.validation.rooms.path={rooms}",
        "data.validation_sets.positions=[0,3]",
        "data.images_per_gpu=8",
        "data.workers=0",
        "model.embed_dim=48",
        "model.tokenizer.depth=1",
        "model.ttt.head_dim=16",
        "stage.loss.scale_samples=256",
        "stage.steps=6",
        "trainer.log_every=1",
        "trainer.pictures_every=3",
        "trainer.checkpoint_every=3",
        "trainer.validate_every=3",
        "trainer.accelerator=cpu",
        "prepare=[]",
    ]


@pytest.fixture(scope="session")
def unwatched_run(smallest_run: list[str]) -> list[str]:
    """The same with half of the pictures, and without validation and panels."""
    return [
        *(setting for setting in smallest_run if "data.validation" not in setting),
        "~data.validation.rooms",
        "data.images_per_gpu=4",
        "trainer.pictures_every=1000",
        "trainer.validate_every=1000",
    ]
