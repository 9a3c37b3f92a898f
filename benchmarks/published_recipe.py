"""How far our pipeline is from the published one: the sizes on docs/mixtures.md. No training and no shards; under a minute.

    python benchmarks/published_recipe.py [PHOTO]

The published steps are written down once more here, from their description; ours are called. PHOTO: a real image for the
differences in grey levels (a generated one by default).
"""

import sys
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from zipmap_pl.datasets.draws.draw import ShapeRanges, stage_number, step_shape
from zipmap_pl.datasets.loading import augmentation
from zipmap_pl.datasets.view_sampling.groups import grow_group
from zipmap_pl.datasets.view_sampling.rule import SceneFrames
from zipmap_pl.datasets.view_sampling.rules.overlap_weighted import OverlapWeighted
from zipmap_pl.images.crop import plan_crop
from zipmap_pl.images.resample import resize_image

RANGES = ShapeRanges(views=(2, 48), aspect=(0.33, 1.0), width=518, patch_size=14, images_per_gpu=48)
SHAPES = {"4:3": (480, 640), "16:9": (720, 1280), "KITTI": (375, 1242)}
ZOOM = (1.0, 1.5)  # conf/data/published.yaml
NODE = 8  # GPUs that draw differently
DRAWS = 20_000


def numbers_of_views(rng: np.random.Generator) -> Iterator[str]:
    """One number of views for all GPUs of a step, or one for each of a node."""
    ours = np.array([step_shape(42, stage_number("static"), step, RANGES).views for step in range(DRAWS)])
    theirs = rng.integers(2, 48, size=(DRAWS, NODE), endpoint=True)
    for name, views in (("ours", ours[:, None]), ("published", theirs)):
        images = 48 // views * views
        of_step = images.mean(1)
        waiting = 1 - (of_step / images.max(1)).mean()
        yield (
            f"images per GPU and step, {name}: {of_step.mean():.1f}, deviation between steps {of_step.std():.1f}, "
            f"GPUs wait for the fullest {100 * waiting:.0f} % of the time"
        )
    yield f"steps with one scene per GPU: {100 * (ours >= 25).mean():.0f} %; a scene of 2 views weighs 1/24 of its step"


def published_zoom(rng: np.random.Generator, size: tuple[int, int], target: tuple[int, int], draws: int) -> np.ndarray:
    """How much narrower than `plan_crop`'s the published crop is: random crop of both axes, margin, random scale."""
    sides = np.array(size) * np.minimum(rng.uniform(0.8, 1.2, (draws, 2)), 1)
    margin = 4 + max(target) * rng.triangular(0, 0, 0.3, draws)
    scale = ((np.array(target) + margin[:, None]) / np.floor(sides)).max(1)
    return scale / max(target[0] / size[0], target[1] / size[1])


def zooms(rng: np.random.Generator) -> Iterator[str]:
    """The narrowing of the field of view, over the aspect ratios of training."""
    ours = rng.triangular(ZOOM[0], ZOOM[0], ZOOM[1], DRAWS)
    yield f"zoom, ours: mean {ours.mean():.2f}, 5 % above {np.percentile(ours, 95):.2f}"
    for name, size in SHAPES.items():
        heights = [step_shape(42, stage_number("static"), step, RANGES).height for step in range(400)]
        drawn = np.concatenate([published_zoom(rng, size, (height, 518), 50) for height in heights])
        beyond = 100 * (drawn > ZOOM[1]).mean()
        yield (
            f"zoom, published, images of {name}: mean {drawn.mean():.2f}, 5 % above {np.percentile(drawn, 95):.2f}, "
            f"{beyond:.1f} % above our maximum"
        )


def published_clip(depth: np.ndarray, percentile: float, max_depth: float) -> np.ndarray:
    """Which pixels of a depth map stay valid by the published rule: percentiles of the whole map, zeros included."""
    left = np.where(depth > max_depth, 0, depth)
    threshold = np.percentile(left, percentile)
    return (left > 0) & ((left <= threshold) | (threshold <= 0))


def clips(rng: np.random.Generator) -> Iterator[str]:
    """The share of valid pixels that a depth percentile leaves, of frames with holes and of frames with a far background."""
    for percentile, valid in ((98, 1.0), (98, 0.6), (98, 0.2), (90, 0.6), (90, 0.2), (90, 0.05)):
        depth = rng.uniform(1, 5, DRAWS) * (rng.random(DRAWS) < valid)
        theirs = published_clip(depth, percentile, np.inf).sum() / (depth > 0).sum()
        yield f"clip at {percentile} %, {100 * valid:g} % of the pixels valid: published keeps {theirs:.2f}, ours {percentile / 100:.2f}"
    depth = np.where(rng.random(DRAWS) < 0.4, rng.uniform(0.5, 2, DRAWS), rng.uniform(2.01, 6, DRAWS))
    near = depth <= 2
    theirs = (published_clip(depth, 90, 2.0) & near).sum() / near.sum()
    ours = (depth[near] <= np.percentile(depth, 90)).mean()
    yield f"WildRGB-D, 40 % of the pixels nearer than 2 m: published keeps {theirs:.2f} of them, ours {ours:.2f}"


def generated_photo(rng: np.random.Generator) -> np.ndarray:
    """[480, 640, 3] uint8, smooth with edges and fine texture."""
    noise = sum(cv2.resize(rng.normal(size=(480 // n, 640 // n, 3)), (640, 480)) * n**0.7 for n in (1, 4, 16, 64))
    return np.clip(128 + 10 * noise, 0, 255).astype(np.uint8)


def resampled(image: np.ndarray) -> Iterator[str]:
    """Grey levels between Pillow's Lanczos (smaller) or bicubic (larger) with whole pixels, and ours, without any zoom."""
    height, width = image.shape[:2]
    for target in ((378, 518), (168, 518)):
        scale = max((target[0] + 4) / height, (target[1] + 4) / width)
        size = (int(width * scale), int(height * scale))
        kernel = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
        resized = np.asarray(Image.fromarray(image).resize(size, kernel))
        top, left = (size[1] - target[0]) // 2, (size[0] - target[1]) // 2
        theirs = resized[top : top + target[0], left : left + target[1]]
        centre = np.array([1.0, 1.0, (left + target[1] / 2) / scale, (top + target[0] / 2) / scale])
        largest = plan_crop((height, width), centre, target)
        crop = plan_crop((height, width), centre, target, scale / largest.scale)
        difference = np.abs(theirs.astype(float) - resize_image(image, crop))
        yield f"resampling {width} x {height} to {target[1]} x {target[0]}: {difference.mean():.2f} grey levels on average"


def colors(image: np.ndarray, rng: np.random.Generator) -> Iterator[str]:
    """Grey levels between the four colour operations in 8 bits each, and the same in floating point."""
    from torchvision.transforms import functional
    from torchvision.transforms.functional import to_tensor

    differences = []
    for _ in range(20):
        light, contrast, saturation = rng.uniform(0.5, 1.5, 3)
        turn = rng.uniform(-0.1, 0.1)
        ours = augmentation._hue(
            augmentation._saturation(
                augmentation._contrast(augmentation._brightness(image, light), contrast), saturation
            ),
            turn,
        )
        theirs = functional.adjust_contrast(functional.adjust_brightness(to_tensor(image), light), contrast)
        theirs = functional.adjust_hue(functional.adjust_saturation(theirs, saturation), turn)
        differences.append(np.abs(theirs.numpy().transpose(1, 2, 0) * 255 - ours).mean())
    yield f"colours of a whole jitter: {np.mean(differences):.2f} grey levels on average"


def house(rng: np.random.Generator, reach: float, panoramas: int = 110) -> np.ndarray:
    """[n, n] overlaps in a flat of panoramas of 3 x 6 images: by the distance of what they look at, `reach` metres ahead."""
    place = np.repeat(rng.uniform(0, 2.2 * panoramas**0.5, (panoramas, 2)), 18, 0)
    yaw, pitch = (np.tile(part, panoramas) for part in (np.arange(18) % 6 * np.pi / 3, np.arange(18) // 6))
    seen = place + reach * np.stack([np.cos(yaw), np.sin(yaw)], 1)
    near = np.clip(1 - np.linalg.norm(seen[:, None] - seen, axis=-1) / reach, 0, 1)
    level = np.abs(pitch[:, None] - pitch)
    overlap = near * np.choose(np.minimum(level, 2), [1.0, 0.4, 0.0])
    np.fill_diagonal(overlap, 0)
    return overlap


def as_index(overlap: np.ndarray, neighbours: int = 32) -> SceneFrames:
    """What the index keeps of overlaps."""
    order = np.argsort(-overlap, axis=1)[:, :neighbours]
    shares = np.rint(255 * np.take_along_axis(overlap, order, 1)).astype(np.uint8)
    return SceneFrames(len(overlap), np.where(shares > 0, order, -1).astype(np.int32), shares)


def candidates(rng: np.random.Generator) -> Iterator[str]:
    """The share of drawn frames that the published rule of Matterport3D would not have drawn, with 32 neighbours known."""
    rule = OverlapWeighted()
    for reach in (1.5, 2.5, 4.0, 6.0):
        overlap = house(rng, reach)
        scene, known = as_index(overlap), (overlap > rule.min_overlap).sum(1)
        ours, unlimited = [], []
        for reference in map(int, rng.integers(len(overlap), size=60)):
            theirs = np.where(overlap[reference] > rule.min_overlap, overlap[reference], 0)
            ours.append(drawn_otherwise(theirs, rule._others(scene, reference)))
            group = grow_group(scene, reference, len(overlap), rule.min_overlap)
            unlimited.append(drawn_otherwise(theirs, group[1:]))
        yield (
            f"Matterport3D, {np.median(known):.0f} overlapping frames: {100 * np.nanmean(ours):.0f} % drawn otherwise, "
            f"without a limit {100 * np.nanmean(unlimited):.0f} %"
        )


def drawn_otherwise(theirs: np.ndarray, ours: list[tuple[int, float]]) -> float:
    """Half the sum of the differences between two distributions over frames; NaN where one has none."""
    if not theirs.any() or not ours:
        return float("nan")
    shares = np.zeros_like(theirs)
    for frame, share in ours:
        shares[frame] = share
    return float(np.abs(theirs / theirs.sum() - shares / shares.sum()).sum() / 2)


def pooled_errors(rng: np.random.Generator) -> Iterator[str]:
    """Which share of the depth errors of two scenes is dropped, where one has errors three times as large."""
    errors = rng.exponential(size=(2, DRAWS)) * [[1], [3]]
    kept = errors < np.quantile(errors, 0.98)
    one, other = 100 * (1 - kept.mean(1))
    yield f"the largest 2 % of two scenes' errors, 1 : 3: {one:.2f} % of the one, {other:.2f} % of the other"


def main() -> None:
    """Print every size."""
    rng = np.random.default_rng(0)
    image = np.asarray(Image.open(sys.argv[1]).convert("RGB")).copy() if len(sys.argv) > 1 else generated_photo(rng)
    for lines in (
        numbers_of_views(rng), zooms(rng), clips(rng), resampled(image), colors(image, rng), candidates(rng), pooled_errors(rng),
    ):  # fmt: skip
        for line in lines:
            print(line)


if __name__ == "__main__":
    main()
