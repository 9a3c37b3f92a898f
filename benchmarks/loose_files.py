"""The published way from loose files to a batch, for comparison: every frame's picture and depth from files of their own.

OpenCV decodes, numpy cleans the depth by a percentile over the full map, a random crop around the principal point, Pillow
resizes the picture, OpenCV the depth, a second crop gives the exact size; depth is unprojected to points in the camera's
frame and the world's. Colours are jittered in floats, with torchvision. Own words for what facts of the paper and its code
say, not a copy; it is as fast as that way can be written down simply.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import default_collate
from torchvision.transforms import ColorJitter, RandomGrayscale

PERCENTILE = 98.0
MARGIN = 4


@dataclass(frozen=True)
class LooseFrame:
    """A frame's files and its camera, which the published way holds in memory.

    Attributes:
        picture, depth: files; depth as 16-bit PNG or numpy array.
        depth_scale: stored values per unit of the poses.
        intrinsics: [3, 3].
        world_to_cam: [3, 4].
    """

    picture: Path
    depth: Path
    depth_scale: float
    intrinsics: np.ndarray
    world_to_cam: np.ndarray


def load_batch(
    samples: Sequence[Sequence[LooseFrame]], target: tuple[int, int], jitter: bool, generator: np.random.Generator
) -> dict[str, Tensor]:
    """A batch of samples, each of as many frames, at the target's height and width."""
    stacked = []
    for sample in samples:
        views = [load_frame(frame, target, generator) for frame in sample]
        fields = {name: np.stack([view[name] for view in views]) for name in views[0]}
        tensors = {name: torch.from_numpy(values) for name, values in fields.items()}
        images = tensors["images"].permute(0, 3, 1, 2).float().div(255)
        tensors["images"] = jittered(images, generator) if jitter else images
        stacked.append(tensors)
    return default_collate(stacked)


def load_frame(frame: LooseFrame, target: tuple[int, int], generator: np.random.Generator) -> dict[str, np.ndarray]:
    """One frame: picture, depth, mask, camera and both point maps."""
    image = cv2.cvtColor(cv2.imread(str(frame.picture), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    depth = cleaned(read_depth(frame))
    intrinsics = frame.intrinsics.copy()
    shares = np.minimum(generator.uniform(0.8, 1.2, size=2), 1)
    image, depth, intrinsics = centred(
        image, depth, intrinsics, [int(n * s) for n, s in zip(depth.shape, shares, strict=True)]
    )
    margin = MARGIN + generator.triangular(0, 0, 0.3) * max(target)
    scale = max((target[0] + margin) / depth.shape[0], (target[1] + margin) / depth.shape[1])
    height, width = int(depth.shape[0] * scale), int(depth.shape[1] * scale)
    kind = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    actual = max(height / depth.shape[0], width / depth.shape[1])
    image = np.asarray(Image.fromarray(image).resize((width, height), kind))
    depth = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)
    intrinsics[:2, 2] = (intrinsics[:2, 2] + 0.5) * actual - 0.5
    intrinsics[[0, 1], [0, 1]] *= actual
    image, depth, intrinsics = exact(image, depth, intrinsics, target)
    camera, world = points_of(depth, intrinsics, frame.world_to_cam)
    return {
        "images": image,
        "depth": depth,
        "mask": depth > 1e-8,
        "intrinsics": intrinsics.astype(np.float32),
        "world_to_cam": frame.world_to_cam.astype(np.float32),
        "cam_points": camera,
        "world_points": world,
    }


def read_depth(frame: LooseFrame) -> np.ndarray:
    """[H, W] float32, 0 where there is none."""
    if frame.depth.suffix == ".npy":
        return np.load(frame.depth).astype(np.float32) / np.float32(frame.depth_scale)
    stored = cv2.imread(str(frame.depth), cv2.IMREAD_UNCHANGED).astype(np.float32)
    stored[stored == 65535] = 0
    return stored / np.float32(frame.depth_scale)


def cleaned(depth: np.ndarray) -> np.ndarray:
    """Without what is not finite or above the percentile over the whole map."""
    depth = np.where(np.isfinite(depth), depth, np.float32(0))
    limit = np.nanpercentile(depth, PERCENTILE)
    return np.where(depth > limit, np.float32(0), depth) if limit > 0 else depth


def centred(
    image: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray, size: Sequence[int]
) -> tuple[np.ndarray, ...]:
    """At most `size` (height, width) around the principal point, in whole pixels."""
    bounds = []
    for extent, wanted, centre in zip(depth.shape, size, (intrinsics[1, 2], intrinsics[0, 2]), strict=True):
        half = int(min(wanted / 2, centre, extent - centre))
        bounds.append((int(centre) - half, int(centre) + half))
    (top, bottom), (left, right) = bounds
    intrinsics[:2, 2] -= (left, top)
    return image[top:bottom, left:right], depth[top:bottom, left:right], intrinsics


def exact(
    image: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray, target: tuple[int, int]
) -> tuple[np.ndarray, ...]:
    """Exactly the target's size, padded with zeros where the picture ends before."""
    top, left = (
        int(centre) - int(min(wanted / 2, centre))
        for wanted, centre in zip(target, (intrinsics[1, 2], intrinsics[0, 2]), strict=True)
    )
    image, depth = (
        image[top : top + target[0], left : left + target[1]],
        depth[top : top + target[0], left : left + target[1]],
    )
    missing = (target[0] - depth.shape[0], target[1] - depth.shape[1])
    intrinsics[:2, 2] -= (left, top)
    return (
        np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0))),
        np.pad(depth, ((0, missing[0]), (0, missing[1]))),
        intrinsics,
    )


def points_of(depth: np.ndarray, intrinsics: np.ndarray, world_to_cam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points [H, W, 3] float32 in the camera's frame and in the world's."""
    u, v = np.meshgrid(np.arange(depth.shape[1]), np.arange(depth.shape[0]))
    x = (u - intrinsics[0, 2]) * depth / intrinsics[0, 0]
    y = (v - intrinsics[1, 2]) * depth / intrinsics[1, 1]
    camera = np.stack((x, y, depth), axis=-1).astype(np.float32)
    rotation, translation = world_to_cam[:, :3].astype(np.float32), world_to_cam[:, 3].astype(np.float32)
    return camera, (camera - translation) @ rotation


def jittered(images: Tensor, generator: np.random.Generator) -> Tensor:
    """[S, 3, H, W] floats, all views alike in 70 % of the samples; always, where it is published for 90 %."""
    jitter, gray = ColorJitter(0.5, 0.5, 0.5, 0.1), RandomGrayscale(0.05)
    with torch.random.fork_rng():
        torch.manual_seed(int(generator.integers(2**31)))
        parts = [images] if generator.random() > 0.3 else list(images.split(1))
        return torch.cat([gray(jitter(part)) for part in parts])
