"""ZipMap: cameras, depth and local points of all views of a scene in one pass, or of views as they come."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from zipmap_pl.contracts.prediction import Prediction, QueriedViews
from zipmap_pl.contracts.scene_state import SceneState
from zipmap_pl.errors import UserError
from zipmap_pl.models.aggregator import SPECIAL_TOKENS, Aggregator, Features
from zipmap_pl.models.config import ModelConfig, mixers_with
from zipmap_pl.models.heads import camera, table
from zipmap_pl.models.heads.dense import DPTHead
from zipmap_pl.models.heads.fields import activated, prediction_of
from zipmap_pl.models.heads.table import DenseRow
from zipmap_pl.models.input_checks import check_state, checked_images, checked_rays
from zipmap_pl.models.layers.precision import at_least_float32, no_autocast
from zipmap_pl.models.mixers.scene_mixer import FIT_THEN_READ_ALL, READ_ALL, Operator, windows
from zipmap_pl.models.sequences.long_sequence import (
    ChunkedPass,
    Walk,
    chunks_of,
    joined,
    query_in_chunks,
    stream_in_chunks,
)
from zipmap_pl.models.sequences.streaming import Stream
from zipmap_pl.models.sequences.token_store import Storage


class ZipMap(nn.Module):
    """The whole network. Its `state_dict` has the published keys and shapes: published weights load as they are.

    The backbone follows the caller's autocast; the heads always run in float32.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.terms = ""  # licence terms of the weights it was filled with; empty for own ones
        dim = 2 * config.embed_dim
        self.aggregator = Aggregator(config)
        row = table.CAMERA_HEADS[config.camera_head.kind]
        self.add_module(row.key, getattr(camera, row.layer)(dim, config.camera_head))
        for dense in table.dense_heads(config):
            head = DPTHead(dim, config.patch_size, dense.channels, config.dense_head, config.checkpoint_activations)
            self.add_module(dense.key, head)

    def set_reference_view(self, reference_view: bool) -> None:
        """Whether view 0 is the world frame from now on: a stage may change that in a model that is being trained."""
        self.config = replace(self.config, reference_view=reference_view)
        self.aggregator.reference_view = reference_view

    def forward(
        self,
        images: Tensor | Sequence[Tensor],
        target_rays: Tensor | None = None,
        window: int | None = None,
        keep_state: bool = False,
        views_per_chunk: int | None = None,
        storage: Storage | None = None,
    ) -> Prediction:
        """Reconstruct every scene of a batch.

        Args:
            images: [B, S, 3, H, W], or [S, 3, H, W] or a list of [3, H, W] for one scene; float in [0, 1]; H, W multiples
                of the patch size.
            target_rays: also predict what is seen along these rays, see `query`.
            window: how many views a streaming model takes at once; it predicts from them and those before. By default
                1 on a streaming model; other models look at all views.
            keep_state: also return what the model remembers of each scene.
            views_per_chunk, storage: look at so many views, and rays, at once: see `walk`. The results are on the CPU.

        Raises:
            ValueError: the images or rays have another shape or are not floating point, or (outside of training) images
                hold values outside [0, 1]; the window is below one view.
            UserError: the model cannot stream, or not be queried.
        """
        images = self._checked(images)
        rays = None if target_rays is None else self._checked_rays(target_rays)
        if rays is not None and len(rays) != len(images):
            raise ValueError(f"target rays are of {len(rays)} scenes, expected {len(images)} as the images")
        remember = keep_state or rays is not None
        if views_per_chunk is None:
            _refuse(storage)
            prediction = self._reconstruct(images, self._operators(images.shape[1], window), keep_state=remember)
        else:
            prediction = joined(self.walk(images, views_per_chunk, window, storage, remember))
        if rays is not None:
            state = cast(SceneState, prediction.state)  # a model with a query head has one
            queried = self._query(state, rays, views_per_chunk)
            prediction = replace(prediction, **vars(queried))
        if not keep_state:
            prediction.state = None
        return prediction

    def walk(
        self,
        images: Tensor,
        views_per_chunk: int,
        window: int | None = None,
        storage: Storage | None = None,
        keep_state: bool = False,
    ) -> Walk:
        """Reconstruct long sequences with the device memory of one chunk; results come chunk by chunk, on the CPU.

        Args:
            images: as for a call; they can be on the CPU while the model is on a GPU.
            views_per_chunk: how many views of each scene are on the device at once; whole windows if the model streams.
            storage: where the rest lies meanwhile, by default in bfloat16; with float32 the numbers are those of a call.
            window, keep_state: as for a call.

        Raises:
            ValueError, UserError: as a call; the scene mixer needs all views at once (softmax); what is kept fits nowhere.
        """
        images = self._checked(images)
        if self.config.streaming:
            size = 1 if window is None else window
            return stream_in_chunks(
                self.stream(size), images, chunks_of(images.shape[1], views_per_chunk, size), keep_state
            )
        chunked = self._chunked(images, views_per_chunk, window, self._dense_heads(table.IMAGES))
        return chunked.walk(chunked.layout(storage or Storage()), self._camera_head, keep_state)

    def compress(
        self,
        images: Tensor,
        window: int | None = None,
        views_per_chunk: int | None = None,
        storage: Storage | None = None,
    ) -> SceneState:
        """What the model remembers of every scene of a batch, without the work of the heads.

        Arguments and errors as for a call; UserError on a model whose scene mixer remembers nothing (softmax).
        """
        images = self._checked(images)
        if not self.config.mixer_kind.remembers:
            expected = f"expected {mixers_with('remembers')} to compress views"
            raise UserError(f"model: found global_mixer={self.config.global_mixer}, {expected}")
        if views_per_chunk is None:
            _refuse(storage)
        elif not self.config.streaming:
            chunked = self._chunked(images, views_per_chunk, window, {})
            return chunked.compress(chunked.layout(storage or Storage()))
        views = images.shape[1]
        state: SceneState | None = None
        with torch.set_grad_enabled(torch.is_grad_enabled() and views_per_chunk is None):
            for span in chunks_of(views, views if views_per_chunk is None else views_per_chunk, window or 1):
                chunk = images[:, span] if views_per_chunk is None else images[:, span].to(self._device)
                operators = self._operators(chunk.shape[1], window)
                state = self.aggregator(chunk, operators, state, keep_state=True, keep_levels=False).state
        return cast(SceneState, state)

    def query(self, state: SceneState, rays: Tensor, views_per_chunk: int | None = None) -> QueriedViews:
        """What is seen along rays: bit for bit what the call that made the state gives for them as `target_rays`.

        Args:
            state: of B scenes; it stays as it is.
            rays: [B, T, 9, H, W], or [T, 9, H, W] for one scene (`geometry.rays.query_rays`); H, W multiples of the
                patch size.
            views_per_chunk: look along the rays of so many views at once, without a gradient; they can be on the CPU
                while the model is on a GPU, and the results are.

        Raises:
            ValueError: the rays have another shape or are not floating point.
            UserError: the model has no query head; the state is that of another model or of other scenes.
        """
        rays = self._checked_rays(rays)
        self._check_state(state, rays if views_per_chunk is None else rays[:, :1].to(self._device))
        return self._query(state, rays, views_per_chunk)

    def stream(self, window: int = 1) -> Stream:
        """A session that takes views as they come, `window` of them at once; UserError if the model cannot stream."""
        self._operators(1, window)

        def go_on(frames: Tensor, state: SceneState | None) -> Prediction:
            frames = self._checked(frames).to(self._device)
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
                f"expected {mixers_with('streams')} and mlp to take views one after another; the published checkpoint_online.pt can"
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
            poses = self._camera_head(at_least_float32(features.levels[-1][:, :, 0]))
            levels = _patches(features)
            maps = {row: _maps(head, levels, images) for row, head in self._dense_heads(table.IMAGES).items()}
            return prediction_of(poses, maps, features.state)

    @property
    def _camera_head(self) -> nn.Module:
        return self.get_submodule(table.CAMERA_HEADS[self.config.camera_head.kind].key)

    def _dense_heads(self, looks_at: str) -> dict[DenseRow, DPTHead]:
        """Those that look at such views, by their rows of the table."""
        return {row: cast(DPTHead, self.get_submodule(row.key)) for row in table.dense_heads(self.config, looks_at)}

    def _query(self, state: SceneState, rays: Tensor, views_per_chunk: int | None = None) -> QueriedViews:
        if views_per_chunk is not None:
            return query_in_chunks(lambda part: self._query(state, part.to(self._device)), rays, views_per_chunk)
        features = self.aggregator(rays, READ_ALL, state)
        with no_autocast(rays):
            levels = _patches(features)
            maps = {row: _maps(head, levels, rays) for row, head in self._dense_heads(table.RAYS).items()}
            return QueriedViews(**activated(maps))

    def _chunked(
        self, images: Tensor, views_per_chunk: int, window: int | None, heads: Mapping[DenseRow, DPTHead]
    ) -> ChunkedPass:
        name = self.config.global_mixer
        if not self.config.mixer_kind.in_chunks:
            raise UserError(
                f"model: found global_mixer={name}, expected {mixers_with('in_chunks')} to look at views in chunks; "
                f"{name} needs all views at once"
            )
        self._operators(images.shape[1], window)
        return ChunkedPass(self.aggregator, heads, images, views_per_chunk)

    @property
    def _device(self) -> torch.device:
        return self.aggregator.camera_token.device

    def _check_state(self, state: SceneState, views: Tensor) -> None:
        """Raise UserError if the state is not one of this model and of the scenes of `views`."""
        check_state(state, self.aggregator.mixers, len(views), views.device)

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


def _refuse(storage: Storage | None) -> None:
    if storage is not None:
        raise ValueError(
            "storage is given without views_per_chunk; expected both, or neither to keep all on the device"
        )


def _patches(features: Features) -> list[Tensor]:
    """Of every level the patch features [B * S, h * w, 2C], as the dense heads read them."""
    return [at_least_float32(level)[:, :, SPECIAL_TOKENS:].flatten(0, 1) for level in features.levels]


def _maps(head: DPTHead, levels: list[Tensor], views: Tensor) -> Tensor:
    """The raw maps [B, S, H, W, channels] of a dense head, at the size of the views [B, S, *, H, W]."""
    return head(levels, *views.shape[-2:]).unflatten(0, views.shape[:2])
