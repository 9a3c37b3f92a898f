"""Photos or a video and a checkpoint to a scene: what `zipmap reconstruct` and `zipmap_pl.reconstruct` do."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from zipmap_pl.checkpoints.load import load_any
from zipmap_pl.contracts.scene import FIRST_DOWN
from zipmap_pl.errors import UserError
from zipmap_pl.inference import reconstruct as passes
from zipmap_pl.inference.reconstruction import Reconstruction
from zipmap_pl.inference.shared_camera import share_cameras
from zipmap_pl.inference.sources.model_images import choose_images, load_images
from zipmap_pl.progress import working

log = logging.getLogger(__name__)


def reconstruct(
    source: str | Path,
    checkpoint: str | Path,
    *,
    reference_view: bool | None = None,
    max_views: int | None = None,
    every: int = 1,
    width: int | None = None,
    views_per_chunk: int | None = None,
    shared_camera: bool = False,
    upright: bool = True,
    device: str = "auto",
    tell: Callable[[str], None] = log.info,
) -> Reconstruction:
    """Cameras, depth and points of a folder of photos or of a video.

    Args:
        source: the folder or the video.
        checkpoint: a checkpoint or run folder, or published weights: a file, or owner/name[/file] on the Hugging Face hub.
        reference_view: whether the first view is the world frame, for published weights that do not say.
        max_views, every: at most that many views, evenly spread; every n-th photo or frame.
        width: at which the model sees the images; by default as trained.
        views_per_chunk: hold so many views at once on the device, for long sequences.
        shared_camera: one lens for all photos of one size.
        upright: estimate from the cameras which way is down; else it is the first camera's.
        device: "auto", "cpu", "cuda", "cuda:1", ...
        tell: gets the line that says what a long sequence keeps in the meantime, and where.

    Raises:
        UserError: an input that cannot be used, in one line.
    """
    source = Path(source)
    chosen_device = passes.choose_device(device)
    chosen = choose_images(source, max_views, every)
    with working(f"loading {checkpoint}"):
        model, seen = load_any(Path(checkpoint), reference_view)
    patch = model.config.patch_size
    width = width or seen.width
    if width % patch:
        raise UserError(f"width {width}: expected a multiple of the patch size {patch}")
    images = load_images(chosen, width, patch, (seen.aspect[0], seen.aspect[1]))
    with working(f"reconstructing {len(images)} views on {chosen_device}"):
        scene = passes.reconstruct(
            model, images, chosen_device, views_per_chunk, keep_state=model.config.query_head, tell=tell
        )
    scene.folder = source if source.is_dir() else None
    scene.down = scene.down if upright else np.array(FIRST_DOWN)
    return share_cameras(scene) if shared_camera else scene
