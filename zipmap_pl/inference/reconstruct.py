"""Photos to a Scene with a loaded model."""

import logging
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.contracts.scene import Scene
from zipmap_pl.contracts.scene_state import SceneState
from zipmap_pl.errors import UserError
from zipmap_pl.geometry.gravity import estimate_down
from zipmap_pl.geometry.pose_encoding import decode_pose
from zipmap_pl.geometry.rigid import relative_to_first
from zipmap_pl.inference.reconstruction import Reconstruction
from zipmap_pl.inference.sources.model_images import ModelImage
from zipmap_pl.models.heads.table import extra_maps
from zipmap_pl.models.sequences.long_sequence import gather
from zipmap_pl.models.zipmap import ZipMap

# Radians. Fields of view outside of it, which only a badly trained model gives, are taken to its ends, because a field
# of view of nothing or of half a turn has no focal length.
FIELD_OF_VIEW = (0.02, 3.1)

log = logging.getLogger(__name__)


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU if there is one. Raises UserError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for CUDA
        reason = str(error).splitlines()[0].split(". ")[0]
        raise UserError(
            f"--device {name}: not usable here ({reason}); expected auto, cpu or a GPU like cuda:0"
        ) from error
    return device


@torch.inference_mode()
def reconstruct(
    model: ZipMap,
    pictures: list[ModelImage],
    device: torch.device,
    views_per_chunk: int | None = None,
    tell: Callable[[str], None] = log.info,
    keep_state: bool = False,
) -> Reconstruction:
    """Run the model once over all pictures.

    The world of the result is the camera of the first view, whatever frame the model predicts in. Views whose camera is
    not finite are named in the log; see `Scene.usable`.

    Args:
        views_per_chunk: hold so many views at once on the device, for long sequences (`ZipMap.walk`).
        tell: gets the line that says what a long sequence keeps in the meantime, and where.
        keep_state: also keep the model and what it remembers of the views, for `Reconstruction.query`.

    Raises:
        UserError: no view has a finite camera and depth; the model cannot look at views in chunks.
    """
    images = torch.from_numpy(np.stack([picture.image for picture in pictures]))
    pictures_at = images.to(device) if views_per_chunk is None else images  # as bytes: a quarter of the way
    tensor = (pictures_at.permute(0, 3, 1, 2).float() / 255)[None]
    model = model.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        predictions: Iterable[Prediction]
        if views_per_chunk is None:
            predictions = [model(tensor, keep_state=True) if keep_state else model(tensor)]
        else:
            predictions = model.walk(tensor, views_per_chunk, keep_state=keep_state)
            tell(str(predictions.layout))
        states: list[SceneState] = []
        tensors = gather(_in_first_camera(predictions, states), len(pictures))
    found = {name: tensor[0].numpy() for name, tensor in tensors.items()}
    world_to_cam = found.pop("world_to_cam")
    scene = Reconstruction(
        names=[picture.name for picture in pictures],
        images=images.numpy(),
        world_to_cam=world_to_cam,
        intrinsics=found.pop("intrinsics"),
        source_sizes=np.array([picture.source_size for picture in pictures]),
        source_from_model=np.array([picture.source_from_model for picture in pictures]),
        depth=found.pop("depth"),
        confidence=found.pop("confidence"),
        local_points=found.pop("local_points"),
        maps=found,
        down=estimate_down(world_to_cam),
        model=model if keep_state else None,
        state=states[-1] if states else None,
    )
    _tell_unusable(scene)
    return scene


def _in_first_camera(predictions: Iterable[Prediction], states: list[SceneState]) -> Iterator[dict[str, Tensor]]:
    """Cameras (on the CPU, where float64 exists), depth, confidence, local points and further maps by name.

    The world is the very first camera. `states` gets the last state that comes along.
    """
    first: Tensor | None = None
    for prediction in predictions:
        states[:] = states if prediction.state is None else [prediction.state]
        height, width = prediction.depth.shape[2:4]
        pose_encoding = prediction.pose_enc.cpu().to(torch.float64, copy=True)
        pose_encoding[..., 7:].clamp_(*FIELD_OF_VIEW)
        world_to_cam, intrinsics = decode_pose(pose_encoding, height, width)
        first = world_to_cam[:, :1] if first is None else first
        world_to_cam = relative_to_first(torch.cat([first, world_to_cam], dim=1))[:, 1:]
        maps = {"depth": prediction.depth[..., 0], "confidence": prediction.depth_conf}
        maps |= {"local_points": prediction.local_points}
        maps |= {name: values for name, values in prediction.of_views().items() if name in extra_maps()}
        cameras = {"world_to_cam": world_to_cam, "intrinsics": intrinsics}
        yield cameras | {name: tensor.float().cpu() for name, tensor in maps.items()}


def _tell_unusable(scene: Scene) -> None:
    bad = [name for name, usable in zip(scene.names, scene.usable, strict=True) if not usable]
    if len(bad) == len(scene.names):
        raise UserError(
            f"the model gave no finite camera and depth for any of {len(bad)} views; take another checkpoint, "
            "of a training whose loss fell"
        )
    if bad:
        log.warning("no finite camera for %d of %d views, the first is %s", len(bad), len(scene.names), bad[0])
