"""Photos to a Scene with a loaded model."""

import numpy as np
import torch

from zipmap_pl.geometry.pose_encoding import decode_pose
from zipmap_pl.geometry.projection import unproject_to_world
from zipmap_pl.geometry.rigid import relative_to_first
from zipmap_pl.inference.pictures import ModelPicture
from zipmap_pl.inference.scene import Scene
from zipmap_pl.models.zipmap import ZipMap


@torch.inference_mode()
def reconstruct(model: ZipMap, pictures: list[ModelPicture], device: torch.device) -> Scene:
    """Run the model once over all pictures.

    The world of the result is the camera of the first view, whatever frame the model predicts in.
    """
    images = torch.from_numpy(np.stack([picture.image for picture in pictures]))
    tensor = (images.permute(0, 3, 1, 2).float() / 255)[None].to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        prediction = model.to(device)(tensor)
    height, width = tensor.shape[-2:]
    extrinsics, intrinsics = decode_pose(prediction.pose_enc.double(), height, width)
    extrinsics = relative_to_first(extrinsics)
    depth = prediction.depth[..., 0]
    points = unproject_to_world(depth.double(), intrinsics, extrinsics)
    intrinsics_array = intrinsics[0].cpu().numpy()
    return Scene(
        names=[picture.name for picture in pictures],
        images=images.numpy(),
        extrinsics=extrinsics[0].cpu().numpy(),
        intrinsics=intrinsics_array,
        source_intrinsics=np.stack([_at_source_size(k, p) for k, p in zip(intrinsics_array, pictures, strict=True)]),
        source_sizes=np.array([picture.source_size for picture in pictures]),
        depth=depth[0].float().cpu().numpy(),
        confidence=prediction.depth_conf[0].float().cpu().numpy(),
        points=points[0].float().cpu().numpy(),
    )


def _at_source_size(intrinsics: np.ndarray, picture: ModelPicture) -> np.ndarray:
    """Intrinsics [3, 3] of the user's own picture."""
    sx, sy, x0, y0 = picture.source_from_model
    return np.array([[sx, 0, x0], [0, sy, y0], [0, 0, 1]]) @ intrinsics
