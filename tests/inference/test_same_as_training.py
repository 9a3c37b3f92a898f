"""What the model sees of a photo is the same, bit for bit, through a shard and the loader and straight through `reconstruct`."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from zipmap_pl.datasets.config import DatasetConfig
from zipmap_pl.datasets.data_module import open_dataset
from zipmap_pl.datasets.format.frame_reader import FrameReader
from zipmap_pl.datasets.loading.mixture import Pick
from zipmap_pl.datasets.loading.samples import SampleReader, collate
from zipmap_pl.inference.sources.model_images import choose_images, load_images
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.rgbd_folder.reader import RgbdFolder, RgbdOptions

WIDTH, VIEWS = 98, 2


def write_sequence(folder: Path, ending: str, height: int, width: int) -> None:
    """Photos with structure at every scale, and the depth and cameras that the reader wants with them."""
    for name in ("photos", "depth", "poses"):
        (folder / name).mkdir(parents=True)
    for view in range(VIEWS):
        noise = np.random.default_rng(view).integers(0, 256, (height, width, 3), np.uint8)
        image = cv2.addWeighted(noise, 0.5, cv2.GaussianBlur(noise, (0, 0), 5), 0.5, 0)
        cv2.imwrite(str(folder / f"photos/{view}.{ending}"), image)
        cv2.imwrite(str(folder / f"depth/{view}.png"), np.full((height, width), 1000 + view, np.uint16))
        pose = np.eye(4)
        pose[0, 3] = 0.01 * view
        np.savetxt(folder / f"poses/{view}.txt", pose)


def through_a_shard(
    raw: Path, ending: str, shards: Path, size: tuple[int, int], target: tuple[int, int]
) -> torch.Tensor:
    """Images of the views [S, 3, h, w] as the loader hands them to training, without augmentation."""
    patterns = {"color": f"photos/*.{ending}", "depth": "depth/*.png", "poses": "poses/*.txt"}
    options = RgbdOptions("own", **patterns, intrinsics=f"{size[1]},{size[1]},{size[1] / 2},{size[0] / 2}")
    preprocess(RgbdFolder(raw, options), shards, EngineSettings(lossless=True), workers=1)
    dataset = open_dataset(DatasetConfig(str(shards)))
    reader = SampleReader([dataset], [FrameReader(dataset.index)])
    return collate([reader.read(Pick(0, 0, np.arange(VIEWS)), target, np.ones(VIEWS))]).images[0]


@pytest.mark.parametrize(
    ("ending", "size"),
    [
        ("png", (240, 320)),
        ("png", (313, 97)),
        ("png", (60, 80)),
        ("jpg", (768, 1024)),  # decoded eight times smaller
        ("jpg", (411, 307)),
    ],
)
def test_a_photo_is_the_same_tensor_through_a_lossless_shard_and_straight(
    ending: str, size: tuple[int, int], tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    write_sequence(raw, ending, *size)
    straight = load_images(choose_images(raw / "photos"), WIDTH, 14, (0.33, 1.0))
    loaded = through_a_shard(raw, ending, tmp_path / "shards", size, straight[0].image.shape[:2])
    assert torch.equal(torch.from_numpy(np.stack([image.image for image in straight])).permute(0, 3, 1, 2), loaded)
