"""A tiny model reconstructs a made-up scene on each device, and the numbers are compared with recorded ones.

Run as a program, `python -m zipmap_pl.doctor.self_test DEVICE`, so that a driver that hangs or a library that crashes ends
the test and not the report.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from zipmap_pl.checkpoints.folder import Manifest, SeenPictures, save_checkpoint
from zipmap_pl.doctor.section import Section, first_line
from zipmap_pl.errors import UserError
from zipmap_pl.inference.from_photos import reconstruct
from zipmap_pl.inference.reconstruction import Reconstruction
from zipmap_pl.models.config import CameraHeadConfig, DenseHeadConfig, ModelConfig, TokenizerConfig, TTTConfig
from zipmap_pl.models.zipmap import ZipMap

SECONDS = 20  # for all devices together
SIZE, VIEWS = 56, 3
PROGRAM = (sys.executable, "-m", "zipmap_pl.doctor.self_test")
# What the scene has on a CPU in float32, and the relative error allowed: 5 to 10 times that of bfloat16, which GPUs compute in.
RECORDED = {
    "10th percentile of depth": (0.8171, 0.02),
    "median depth": (0.9457, 0.02),
    "90th percentile of depth": (1.0583, 0.02),
    "90th percentile of confidence": (2.2147, 0.02),
    "median distance of local points": (0.9197, 0.02),
    "distance of the last camera": (0.8132, 0.2),
}


def self_test(devices: Sequence[str], program: Sequence[str] = PROGRAM, seconds: float = SECONDS) -> Section:
    """A line for each device: passed, and in which time. Broken is a device that gives wrong numbers, an error or no answer.

    Args:
        program: gets the device's name as its last argument, exits with 0 and prints a line if all is well.
        seconds: for all devices together.
    """
    section, end = Section("Self-test"), time.monotonic() + seconds
    for device in devices:
        begin = time.monotonic()
        fault = _fault_of([*program, device], max(end - begin, 0.1))
        section.add(device, "FAILED" if fault else f"passed in {time.monotonic() - begin:.1f} s")
        if fault:
            remedy = "set --device to another one, and report this" if device != "cpu" else "report this"
            section.broken.append(f"self-test on {device}: {fault}; {remedy}")
    return section


def _fault_of(command: Sequence[str], seconds: float) -> str:
    """What went wrong when the program ran; empty if nothing did. A program that does not end in time is killed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"no answer within {seconds:.0f} seconds"
    if done.returncode == 0:
        return ""
    lines = [line for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    if done.returncode < 0:
        return f"ended by signal {-done.returncode}"
    return lines[-1] if lines else f"ended with status {done.returncode} and without a word"


def run_on(device: str, folder: Path) -> Reconstruction:
    """Reconstruct the made-up scene with the tiny model, by way of files in `folder`, as a user would.

    Raises:
        UserError: the numbers are not the recorded ones.
    """
    photos, config = folder / "photos", tiny_model()
    photos.mkdir()
    for view in range(VIEWS):
        cv2.imwrite(str(photos / f"{view}.png"), made_up_photo(view))
    model = ZipMap(config)
    model.load_state_dict(made_up_weights(model))
    manifest = Manifest(0, 0, "self-test", config, SeenPictures(SIZE, [1.0, 1.0], [2, VIEWS]), {})
    checkpoint = save_checkpoint(folder / "checkpoints", manifest, model.state_dict(), {})
    scene = reconstruct(photos, checkpoint, device=device)
    for (name, (expected, tolerance)), value in zip(RECORDED.items(), numbers_of(scene), strict=True):
        if not abs(value - expected) <= tolerance * expected:  # NaN is no agreement either
            raise UserError(f"wrong result: {name} is {value:.4g}, expected {expected} to {tolerance:.0%}")
    return scene


def numbers_of(scene: Reconstruction) -> tuple[float, ...]:
    """The numbers that `RECORDED` has, in its order."""
    depths = np.percentile(scene.depth, [10, 50, 90])
    distance = np.linalg.norm(scene.cam_to_world[-1, :3, 3])
    local = np.median(np.linalg.norm(scene.local_points, axis=-1))
    return (*map(float, depths), float(np.percentile(scene.confidence, 90)), float(local), float(distance))


def tiny_model() -> ModelConfig:
    """0.6 million parameters, all parts of the published model."""
    return ModelConfig(
        embed_dim=48,
        depth=4,
        heads=3,
        feature_blocks=[0, 1, 2, 3],
        layer_scale=0.2,
        tokenizer=TokenizerConfig(depth=1, heads=3, registers=0, position_grid=4),
        ttt=TTTConfig(head_dim=16, newton_schulz_dtype="float32"),
        camera_head=CameraHeadConfig(trunk_depth=1, heads=3, layer_scale=0.2),
        dense_head=DenseHeadConfig(features=16, level_channels=[16, 16, 16, 16], hidden=16),
    )


def made_up_weights(model: ZipMap) -> dict[str, torch.Tensor]:
    """Weights by name: sines, because random numbers of a seed differ between versions and devices.

    Their sizes let every part have a say in the result, the exchange between views above all.
    """
    weights = {}
    for number, (name, value) in enumerate(sorted(model.state_dict().items())):
        wave = np.sin(1.7 * np.arange(value.numel()) ** 1.1 + number)
        like_input = np.sqrt(2 / max(np.prod(value.shape[1:]), 1))  # then outputs are as large as inputs
        if name.endswith("gamma"):
            wave = 0.3 + 0.05 * wave
        elif "pose_branch.fc2" in name:
            wave = 0.7 + 0.1 * wave if value.ndim < 2 else 0.3 * like_input * wave
        elif value.ndim < 2:
            wave = 1 + 0.1 * wave if name.endswith("weight") else 0.05 * wave
        else:
            wave *= like_input * (3.0 if "ttt_block.c_proj" in name else 1.3)
        weights[name] = torch.from_numpy(wave.reshape(value.shape)).to(value.dtype)
    return weights


def made_up_photo(view: int) -> np.ndarray:
    """[SIZE, SIZE, 3] uint8: waves of three directions, which move from view to view."""
    y, x = np.indices((SIZE, SIZE)) / SIZE
    waves = [np.sin(9 * x + view), np.sin(7 * y - view), np.sin(5 * (x + y) + 0.5 * view)]
    return np.rint(127 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)


def main(device: str) -> int:
    """Run on one device in a temporary folder, which is removed. Returns 0 if all is well."""
    try:
        with tempfile.TemporaryDirectory(prefix="zipmap-self-test-") as folder:
            run_on(device, Path(folder))
    except Exception as error:  # whatever it is, the report wants it in one line
        sys.stderr.write(f"\n{type(error).__name__}: {first_line(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
