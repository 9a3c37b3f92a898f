"""Long sequences on small devices: views in chunks, so that what the device holds does not grow with their number.

A scene block sees the other views only through the state of its mixer, and that only through sums over all tokens
(`SceneMixer.directions`). So the chunks are walked once per block: read the state that was fitted to all of them, go
through the next frame block, add up the directions of the next fit; and once more for every further pass of a fit.
Between two walks the tokens lie in a store outside the device, and so does what the dense heads need.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from zipmap_pl.contracts.prediction import Prediction, QueriedViews
from zipmap_pl.contracts.scene_state import LayerState, SceneState
from zipmap_pl.models.aggregator import SPECIAL_TOKENS, Aggregator
from zipmap_pl.models.heads.dense import DPTHead
from zipmap_pl.models.heads.fields import prediction_of
from zipmap_pl.models.heads.table import DenseRow
from zipmap_pl.models.layers.precision import at_least_float32, no_autocast
from zipmap_pl.models.mixers.blocks import SceneBlock
from zipmap_pl.models.mixers.scene_mixer import Directions
from zipmap_pl.models.sequences.streaming import Stream
from zipmap_pl.models.sequences.token_store import Storage, StorageLayout, TokenStore, choose_storage

TOKENS = "tokens"  # of the frame block at hand
CAMERA_TOKEN = "camera_token"  # of the last feature level

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Walk:
    """A walk over the views of a long sequence that is planned but not begun. Iterating over it walks.

    Attributes:
        layout: what is kept of the views meanwhile, and where.
        begin: starts the walk; it gives the predictions [B, n, ...] of one chunk of views after another, on the CPU.
    """

    layout: StorageLayout
    begin: Callable[[], Iterator[Prediction]]

    def __iter__(self) -> Iterator[Prediction]:
        log.info("%s", self.layout)
        return self.begin()


def chunks_of(views: int, size: int, window: int = 1) -> list[slice]:
    """The chunks of `size` views, of as many whole windows as fit into that but at least one; the last is what is left.

    Raises ValueError for a size below one view.
    """
    if size < 1:
        raise ValueError(f"views_per_chunk is {size}, expected one view or more")
    step = max(size // window, 1) * window
    return [slice(start, min(start + step, views)) for start in range(0, views, step)]


def stream_in_chunks(stream: Stream, images: Tensor, spans: Sequence[slice], keep_state: bool) -> Walk:
    """The walk of a streaming model: a session of its own, a chunk at once; nothing needs to be kept.

    images: [B, S, 3, H, W] on any device.
    keep_state: every prediction has what the model remembers of the views so far.
    """

    def begin() -> Iterator[Prediction]:
        session = replace(stream)
        for span in spans:
            prediction = session.push(images[:, span]).on("cpu")
            yield replace(prediction, state=session.state if keep_state else None)

    return Walk(choose_storage({}, images.shape[0], images.shape[1], Storage()), begin)


@torch.no_grad()
def query_in_chunks(query: Callable[[Tensor], QueriedViews], rays: Tensor, size: int) -> QueriedViews:
    """What is seen along rays [B, T, 9, H, W], `size` views at once; on the CPU."""
    queried = (query(rays[:, span]) for span in chunks_of(rays.shape[1], size))
    there = ({name: maps for name, maps in vars(part).items() if maps is not None} for part in queried)
    return QueriedViews(**gather(there, rays.shape[1]))


class ChunkedPass:
    """One bidirectional pass over scenes whose views come in chunks; without a gradient."""

    def __init__(
        self, aggregator: Aggregator, heads: Mapping[DenseRow, DPTHead], images: Tensor, views_per_chunk: int
    ) -> None:
        """To be run once or more.

        Args:
            aggregator: with a scene mixer that works in chunks.
            heads: dense heads that will decode what is kept of the feature levels; without any, nothing is.
            images: [B, S, 3, H, W] on any device; the chunk at hand is moved to that of the aggregator.
            views_per_chunk: of each scene.
        """
        self.aggregator = aggregator
        self.heads = heads
        self.images = images
        self.spans = chunks_of(images.shape[1], views_per_chunk)
        self.device = aggregator.camera_token.device
        height, width = (side // aggregator.patch_size for side in images.shape[-2:])
        self.grid = (height, width)

    @property
    def kept(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of everything that is kept of a view."""
        height, width = self.grid
        dim = self.aggregator.camera_token.shape[-1]
        shapes: dict[str, tuple[int, ...]] = {TOKENS: (SPECIAL_TOKENS + height * width, dim)}
        if self._reads_last:
            shapes[CAMERA_TOKEN] = (2 * dim,)
        for row, head in self.heads.items():
            for level, shape in enumerate(head.compact_shapes(self.grid)):
                shapes[_compact(row, level)] = shape
        return shapes

    def layout(self, storage: Storage) -> StorageLayout:
        """Where that will be kept. Raises UserError if it fits nowhere."""
        return choose_storage(self.kept, self.images.shape[0], self.images.shape[1], storage)

    def walk(self, layout: StorageLayout, camera_head: nn.Module, keep_state: bool) -> Walk:
        """The whole reconstruction; with `keep_state` every prediction has what the model remembers of all views."""
        return Walk(layout, lambda: self._reconstruct(layout, camera_head, keep_state))

    @torch.no_grad()
    def compress(self, layout: StorageLayout) -> SceneState:
        """What the model remembers of the scenes in the end."""
        log.info("%s", layout)
        with TokenStore(layout, self.device) as store:
            return self._remembered(store, list(self._fitted_states(store)))

    @torch.no_grad()
    def _reconstruct(self, layout: StorageLayout, camera_head: nn.Module, keep_state: bool) -> Iterator[Prediction]:
        """The predictions of one chunk after another, on the CPU; the first one comes when all blocks are done."""
        with TokenStore(layout, self.device) as store:
            states = [state for state in self._fitted_states(store) if keep_state]
            memory = self._remembered(store, states) if keep_state else None
            poses = self._poses(store, camera_head)
            for span in self.spans:
                yield replace(self._decoded(store, poses, span).on("cpu"), state=memory)

    def _fitted_states(self, store: TokenStore) -> Iterator[LayerState]:
        """Of every scene block, fitted to all views; meanwhile what the heads need is kept in the store."""
        mixers = self.aggregator.mixers
        state = mixers[0].start(len(self.images))
        directions = _sum(self._tokenised(store, span, state) for span in self.spans)
        for index, mixer in enumerate(mixers):
            state = mixer.fit(state, directions)
            for _ in range(mixer.passes - 1):
                directions = _sum(self._looked_again(store, span, index, state) for span in self.spans)
                state = mixer.fit(state, directions)
            yield state
            if index + 1 < len(mixers):
                following = mixers[index + 1].start(len(self.images))
                directions = _sum(self._advanced(store, span, index, state, following) for span in self.spans)
                state = following
            elif self._reads_last:
                for span in self.spans:
                    self._read(store, span, index, state)

    def _tokenised(self, store: TokenStore, span: slice, state: LayerState) -> Directions:
        """From pictures to the first scene block: its directions."""
        images = self.images[:, span].to(self.device)
        return self._arrived(store, span, 0, self.aggregator.picture_tokens(images, span.start == 0), state)

    def _advanced(
        self, store: TokenStore, span: slice, index: int, state: LayerState, following: LayerState
    ) -> Directions:
        """From a scene block to the next one: its directions."""
        return self._arrived(store, span, index + 1, self._read(store, span, index, state), following)

    def _arrived(self, store: TokenStore, span: slice, index: int, tokens: Tensor, state: LayerState) -> Directions:
        """From tokens [B * n, P, C] through a frame block to the scene block behind it: its directions."""
        grid = self.aggregator.grid(self.images, tokens)
        within_views = self.aggregator.frame_blocks[index](tokens, grid.rotation)
        within_views = within_views.unflatten(0, (len(self.images), -1))
        store.put(TOKENS, span.start, within_views)
        return self._scene_block(index).directions(within_views.flatten(1, 2), grid, state)

    def _looked_again(self, store: TokenStore, span: slice, index: int, state: LayerState) -> Directions:
        """The directions of a scene block once more, now that its state has changed."""
        within_views = store.get(TOKENS, span)
        grid = self.aggregator.grid(self.images, within_views.flatten(0, 1))
        return self._scene_block(index).directions(within_views.flatten(1, 2), grid, state)

    def _read(self, store: TokenStore, span: slice, index: int, state: LayerState) -> Tensor:
        """Tokens [B * n, P, C] after a scene block; at a feature block the heads' part is kept."""
        within_views = store.get(TOKENS, span)
        grid = self.aggregator.grid(self.images, within_views.flatten(0, 1))
        over_scene = self._scene_block(index).read(within_views.flatten(1, 2), grid, state)
        over_scene = over_scene.view_as(within_views)
        if index in self.aggregator.feature_blocks and self._reads_last:
            level = self.aggregator.feature_blocks.index(index)
            self._keep(store, span, level, at_least_float32(torch.cat([within_views, over_scene], dim=-1)))
        return over_scene.flatten(0, 1)

    def _keep(self, store: TokenStore, span: slice, level: int, features: Tensor) -> None:
        """Of the features [B, n, P, 2C] of a level."""
        with no_autocast(features):
            for row, head in self.heads.items():
                compact = head.compact(level, features[:, :, SPECIAL_TOKENS:].flatten(0, 1), self.grid)
                store.put(_compact(row, level), span.start, compact.unflatten(0, features.shape[:2]))
        if level == len(self.aggregator.feature_blocks) - 1:
            store.put(CAMERA_TOKEN, span.start, features[:, :, 0])

    def _scene_block(self, index: int) -> SceneBlock:
        return cast(SceneBlock, self.aggregator.global_blocks[index])

    @property
    def _reads_last(self) -> bool:
        """Return True if somebody reads the tokens after the last scene block: heads, or who asks the state for cameras."""
        return bool(self.heads) or self.aggregator.mixer_kind.keeps_camera_tokens

    def _remembered(self, store: TokenStore, states: list[LayerState]) -> SceneState:
        if not self.aggregator.mixer_kind.keeps_camera_tokens:
            return SceneState(states)
        return SceneState(states, store.get(CAMERA_TOKEN, slice(None)))

    def _poses(self, store: TokenStore, camera_head: nn.Module) -> list[Tensor]:
        """Of all views at once [B, S, 9], because they look at each other; for every iteration of the head."""
        camera_tokens = store.get(CAMERA_TOKEN, slice(None))
        with no_autocast(camera_tokens):
            return camera_head(camera_tokens)

    def _decoded(self, store: TokenStore, poses: list[Tensor], span: slice) -> Prediction:
        height, width = self.images.shape[-2:]
        shape = (len(self.images), span.stop - span.start)
        maps = {}
        with no_autocast(poses[0]):
            for row, head in self.heads.items():
                names = [_compact(row, level) for level in range(len(self.aggregator.feature_blocks))]
                compacts = [store.get(name, span).flatten(0, 1) for name in names]
                maps[row] = head.decode(compacts, height, width).unflatten(0, shape)
            return prediction_of([pose[:, span] for pose in poses], maps, None)


def gather(chunks: Iterable[Mapping[str, Tensor]], views: int) -> dict[str, Tensor]:
    """Several tensors that come in chunks [B, n, ...] -> each as one [B, views, ...], without holding anything twice."""
    whole: dict[str, Tensor] = {}
    start = end = 0
    for parts in chunks:
        whole = whole or {name: part.new_empty(len(part), views, *part.shape[2:]) for name, part in parts.items()}
        for name, part in parts.items():
            end = start + part.shape[1]
            whole[name][:, start:end] = part
        start = end
    return whole


def joined(walk: Walk) -> Prediction:
    """The predictions of a whole walk as one, in host memory; the state is that of the last chunk."""
    last: Prediction | None = None

    def parts() -> Iterator[dict[str, Tensor]]:
        nonlocal last
        for last in walk:
            yield last.of_views()

    tensors = gather(parts(), walk.layout.views)
    return cast(Prediction, last).with_views(tensors)


def _compact(row: DenseRow, level: int) -> str:
    return f"{row.key}.{level}"


def _sum(parts: Iterable[Directions]) -> Directions:
    """Of the directions of all chunks; holds one sum and one part."""
    parts = iter(parts)
    total = next(parts)
    for part in parts:
        for name, more in part.items():
            total[name].add_(more)
    return total
