"""Makes what lies in this folder; README.md says with which commit, and why it is not run again."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from published_models import golden_parameter
from training_results import scalars

from zipmap_pl.models.config import ModelConfig
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import compose

HERE = Path(__file__).parent
ZIPMAP = Path(sys.executable).with_name("zipmap")
ROOMS = "--scenes 3 --heldout 1 --views 4 --size 28x28 --moving-objects 1 --lossless --workers 1 --frames-per-shard 8"
RUN = "--config-dir conf data=old model=old stage=old"


def shards() -> None:
    subprocess.run([ZIPMAP, "preprocess", "synthetic", *ROOMS.split(), "--output", "shards"], cwd=HERE, check=True)


def stopped_run() -> list[float]:
    """A run whose last two steps are forgotten, as if it had been killed in them. Returns the losses of all four."""
    subprocess.run([ZIPMAP, "fit", *RUN.split(), "output=run"], cwd=HERE, check=True)
    losses = [value for _, value in scalars(HERE / "run", "loss/total")]
    checkpoints = HERE / "run" / "checkpoints"
    shutil.rmtree(checkpoints / "step-00000004")
    (checkpoints / "latest").write_text("step-00000002\n")
    shutil.rmtree(HERE / "run" / "tensorboard")
    return losses


def query_model(config: ModelConfig) -> ZipMap:
    """A model whose weights follow from their names and shapes."""
    model = ZipMap(config)
    model.load_state_dict({key: golden_parameter(key, tuple(value.shape)) for key, value in model.state_dict().items()})
    return model.eval()


@torch.no_grad()
def state(update_rule: str) -> dict[str, list[float]]:
    """Write the state of three images, and return what two queries of it give."""
    overrides = ["data=old", "model=old", "stage=old", "model.query_head=true", f"model.ttt.update_rule={update_rule}"]
    model = query_model(compose(overrides, str(HERE / "conf")).model)
    images = torch.linspace(0, 1, 3 * 3 * 28 * 28).view(1, 3, 3, 28, 28).sin()
    rays = torch.linspace(-1, 1, 2 * 9 * 28 * 28).view(1, 2, 9, 28, 28).cos()
    scene = model.compress(images)
    scene.save(HERE / f"{update_rule}.safetensors")
    found = model.query(scene, rays)
    # Every 97th number, so that all pixels and channels take part.
    return {"colors": found.nvs_pred.flatten()[::97].tolist(), "depth": found.nvs_depth_conf.flatten()[::97].tolist()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    shards()
    expected = {"losses": stopped_run(), "queries": {rule: state(rule) for rule in ("newton_schulz", "momentum")}}
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
