"""ZipMap: cameras, depth and local points of all views of a scene in one pass, or of views as they come."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from zipmap_pl.errors import UserError
from zipmap_pl.geometry.pose_encoding import decode_intrinsics
from zipmap_pl.geometry.projection import unproject
from zipmap_pl.models.activations import colour_and_depth, depth_and_confidence, local_points
from zipmap_pl.models.aggregator import SPECIAL_TOKENS, Aggregator, Features
from zipmap_pl.models.camera_head import CameraHead, MLPCameraHead
from zipmap_pl.models.config import ModelConfig
from zipmap_pl.models.dpt_head import DPTHead
from zipmap_pl.models.input_checks import checked_images, checked_rays
from zipmap_pl.models.precision import at_least_float32, no_autocast
from zipmap_pl.models.prediction import Prediction, QueriedViews
from zipmap_pl.models.scene_state import SceneState
from zipmap_pl.models.streaming import Stream
from zipmap_pl.models.ttt import FIT_THEN_READ_ALL, READ_ALL, Operator, TTTLayer, windows


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
        if config.camera_head.kind == "mlp":
            self.camera_mlp_head = MLPCameraHead(dim)
        else:
            self.camera_head = CameraHead(dim, config.camera_head)
        self.depth_head = dense_head(2)
        if config.local_point_head:
            self.local_point_head = dense_head(3)
        if config.query_head:
            self.nvs_head = dense_head(5)

    def forward(
        self,
        images: Tensor | Sequence[Tensor],
        target_rays: Tensor | None = None,
        window: int | None = None,
        keep_state: bool = False,
    ) -> Prediction:
        """Reconstruct every scene of a batch.

        Args:
            images: [B, S, 3, H, W], or [S, 3, H, W] or a list of [3, H, W] for one scene; float in [0, 1]; H, W multiples
                of the patch size.
            target_rays: also predict what is seen along these rays, see `query`.
            window: how many views a streaming model takes at once; it predicts from them and those before. By default
                1 on a streaming model; other models look at all views.
            keep_state: also return what the model remembers (three matrices per scene block and scene).

        Raises:
            ValueError: the images or rays have another shape or are not floating point, or (outside of training) images
                hold values outside [0, 1]; the window is below one view.
            UserError: the model cannot stream, or not be queried.
        """
        images = self._checked(images)
        operators = self._operators(images.shape[1], window)
        rays = None if target_rays is None else self._checked_rays(target_rays)
        if rays is not None and len(rays) != len(images):
            raise ValueError(f"target rays are of {len(rays)} scenes, expected {len(images)} as the images")
        prediction = self._reconstruct(images, operators, keep_state=keep_state or rays is not None)
        if rays is not None:
            queried = self._query(cast(SceneState, prediction.state), rays)  # a model with a query head has a state
            prediction.nvs_pred, prediction.nvs_depth_conf = queried.nvs_pred, queried.nvs_depth_conf
        if not keep_state:
            prediction.state = None
        return prediction

    def compress(self, images: Tensor, window: int | None = None) -> SceneState:
        """What the model remembers of every scene of a batch, without the work of the heads.

        Arguments and errors as for a call; UserError on a model with softmax scene blocks, which remember nothing.
        """
        images = self._checked(images)
        if self.config.global_mixer != "ttt":
            raise UserError(f"model: found global_mixer={self.config.global_mixer}, expected ttt to compress views")
        operators = self._operators(images.shape[1], window)
        return cast(SceneState, self.aggregator(images, operators, keep_state=True).state)

    def query(self, state: SceneState, rays: Tensor) -> QueriedViews:
        """What is seen along rays: bit for bit what the call that made the state gives for them as `target_rays`.

        Args:
            state: of B scenes; it stays as it is.
            rays: [B, T, 9, H, W], or [T, 9, H, W] for one scene (`geometry.rays.query_rays`); H, W multiples of the
                patch size.

        Raises:
            ValueError: the rays have another shape or are not floating point.
            UserError: the model has no query head; the state is that of another model or of other scenes.
        """
        rays = self._checked_rays(rays)
        self._check_state(state, rays)
        return self._query(state, rays)

    def stream(self, window: int = 1) -> Stream:
        """A session that takes views as they come, `window` of them at once; UserError if the model cannot stream."""
        self._operators(1, window)

        def go_on(frames: Tensor, state: SceneState | None) -> Prediction:
            frames = self._checked(frames)
            if state is not None:
                self._check_state(state, frames)
            return self._reconstruct(frames, self._operators(frames.shape[1], window), state, keep_state=True)

        return Stream(go_on)

    def _operators(self, views: int, window: int | None) -> Sequence[Operator]:
        """What the scene blocks do with `views` pictures."""
        if window is None and not self.config.streaming:
            return FIT_THEN_READ_ALL
        if not self.config.streaming:
            raise UserError(
                f"model: found global_mixer={self.config.global_mixer}, camera_head.kind={self.config.camera_head.kind}, "
                "expected ttt and mlp to take views one after another; the published checkpoint_online.pt can"
            )
        size = 1 if window is None else window
        if size < 1:
            raise ValueError(f"window is {size}, expected one view or more")
        return windows(views, size)

    def _reconstruct(
        self,
        images: Tensor,
        operators: Sequence[Operator],
        state: SceneState | None = None,
        keep_state: bool = False,
    ) -> Prediction:
        features = self.aggregator(images, operators, state, keep_state)
        with no_autocast(images):
            camera_head = self.camera_mlp_head if self.config.camera_head.kind == "mlp" else self.camera_head
            poses = camera_head(at_least_float32(features.levels[-1][:, :, 0]))
            levels = _patches(features)
            depth, confidence = depth_and_confidence(_maps(self.depth_head, levels, images))
            if self.config.local_point_head:
                points = local_points(_maps(self.local_point_head, levels, images))
            else:
                points = unproject(depth[..., 0], decode_intrinsics(poses[-1], *images.shape[-2:]))
        return Prediction(
            pose_enc=poses[-1],
            pose_enc_list=poses,
            depth=depth,
            depth_conf=confidence,
            local_points=points,
            state=features.state,
        )

    def _query(self, state: SceneState, rays: Tensor) -> QueriedViews:
        features = self.aggregator(rays, READ_ALL, state)
        with no_autocast(rays):
            return QueriedViews(*colour_and_depth(_maps(self.nvs_head, _patches(features), rays)))

    def _check_state(self, state: SceneState, views: Tensor) -> None:
        """Raise UserError if the state is not one of this model and of the scenes of `views`."""
        layers = [layer for layer in self.aggregator.global_blocks.modules() if isinstance(layer, TTTLayer)]
        state.check([layer.learned_weights for layer in layers], scenes=len(views), device=views.device)

    def _checked_rays(self, rays: Tensor) -> Tensor:
        if not self.config.query_head:
            raise UserError(
                "model: found query_head=false, expected true to predict along rays; "
                "the published checkpoint_state_query.pt can"
            )
        return checked_rays(rays, self.config.patch_size)

    def _checked(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        # In training the loader answers for the values.
        return checked_images(images, self.config.patch_size, values=not self.training)


def _patches(features: Features) -> list[Tensor]:
    """Of every level the patch features [B * S, h * w, 2C], as the dense heads read them."""
    return [at_least_float32(level)[:, :, SPECIAL_TOKENS:].flatten(0, 1) for level in features.levels]


def _maps(head: DPTHead, levels: list[Tensor], views: Tensor) -> Tensor:
    """The raw maps [B, S, H, W, channels] of a dense head, at the size of the views [B, S, *, H, W]."""
    return head(levels, *views.shape[-2:]).unflatten(0, views.shape[:2])
