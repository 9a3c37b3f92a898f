"""ZipMap: cameras, depth and local points of all views of a scene in one pass."""

from torch import Tensor, nn

from zipmap_pl.geometry.pose_encoding import decode_intrinsics
from zipmap_pl.geometry.projection import unproject
from zipmap_pl.models.activations import depth_and_confidence, local_points
from zipmap_pl.models.aggregator import SPECIAL_TOKENS, Aggregator
from zipmap_pl.models.camera_head import CameraHead
from zipmap_pl.models.config import ModelConfig
from zipmap_pl.models.dpt_head import DPTHead
from zipmap_pl.models.precision import at_least_float32, no_autocast
from zipmap_pl.models.prediction import Prediction


class ZipMap(nn.Module):
    """The whole network. Its `state_dict` has the published keys and shapes: published weights load as they are.

    The backbone follows the caller's autocast; the heads always run in float32.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.terms = ""  # licence terms of the weights it was filled with; empty for own ones
        dim = 2 * config.embed_dim

        def dense_head(out_channels: int) -> DPTHead:
            return DPTHead(dim, config.patch_size, out_channels, config.dense_head, config.checkpoint_activations)

        self.aggregator = Aggregator(config)
        self.camera_head = CameraHead(dim, config.camera_head)
        self.depth_head = dense_head(2)
        self.local_point_head = dense_head(3) if config.local_point_head else None

    def forward(self, images: Tensor, keep_state: bool = False) -> Prediction:
        """Reconstruct every scene of a batch.

        Args:
            images: [B, S, 3, H, W], or [S, 3, H, W] for one scene; float in [0, 1]; H, W multiples of the patch size.
            keep_state: also return what the scene blocks remember (three matrices per block and scene).

        Raises:
            ValueError: the images have another shape or are not floating point.
        """
        images = self._checked(images)
        height, width = images.shape[-2:]
        features = self.aggregator(images, keep_state)
        with no_autocast(images):
            levels = [at_least_float32(level) for level in features.levels]
            poses = self.camera_head(levels[-1][:, :, 0])
            patches = [level[:, :, SPECIAL_TOKENS:].flatten(0, 1) for level in levels]
            depth, confidence = depth_and_confidence(self.depth_head(patches, height, width))
            if self.local_point_head is not None:
                points = local_points(self.local_point_head(patches, height, width))
            else:
                intrinsics = decode_intrinsics(poses[-1].flatten(0, 1), height, width)
                points = unproject(depth[..., 0], intrinsics)
        scene_and_view = images.shape[:2]
        return Prediction(
            pose_enc=poses[-1],
            pose_enc_list=poses,
            depth=depth.unflatten(0, scene_and_view),
            depth_conf=confidence.unflatten(0, scene_and_view),
            local_points=points.unflatten(0, scene_and_view),
            state=features.state,
        )

    def _checked(self, images: Tensor) -> Tensor:
        """[B, S, 3, H, W] of a size that the network can take."""
        patch = self.config.patch_size
        shape = tuple(images.shape)
        if images.ndim not in (4, 5) or shape[-3] != 3 or 0 in shape:
            raise ValueError(f"images have shape {shape}, expected [B, S, 3, H, W] or [S, 3, H, W]")
        if shape[-2] % patch or shape[-1] % patch:
            raise ValueError(
                f"images are {shape[-2]} x {shape[-1]} pixels, expected multiples of the patch size {patch}"
            )
        if not images.is_floating_point():
            raise ValueError(f"images are {images.dtype}, expected floating point in [0, 1]")
        return images if images.ndim == 5 else images.unsqueeze(0)
