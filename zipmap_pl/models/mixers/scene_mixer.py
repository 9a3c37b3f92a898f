"""The contract of a mixer: what the backbone, states, streams and long sequences may ask of it.

A scene mixer lets the tokens of all views of a scene see each other. Everything around it talks to `SceneMixer` only, so a
new mixer is one file in `kinds/`. B scenes, S views, P tokens per view (special tokens first, then the patches row by
row), L = S * P tokens of a scene, view-major; C channels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zipmap_pl.contracts.scene_state import LayerState
from zipmap_pl.models.layers.rope import Rotation

Directions = dict[str, Tensor]


@dataclass(frozen=True)
class Operator:
    """Over the views [start, end) of a scene: fit the state to them (update), then read it (apply), or one of the two.

    A list of operators is the whole behavior of a mixer: `FIT_THEN_READ_ALL` is bidirectional reconstruction; one
    operator with both steps per window is causal streaming; `READ_ALL` from a stored state is a query.
    `end=None`: to the last view.
    """

    start: int = 0
    end: int | None = None
    update: bool = False
    apply: bool = False


FIT_THEN_READ_ALL = (Operator(update=True, apply=True),)
READ_ALL = (Operator(apply=True),)


def windows(views: int, size: int) -> tuple[Operator, ...]:
    """Causal streaming over `views` views, in windows of `size` of them; the last one may be shorter."""
    return tuple(Operator(start, min(start + size, views), True, True) for start in range(0, views, size))


@dataclass(frozen=True)
class TokenGrid:
    """How tokens [B, S * P, C] lie in the images.

    Attributes:
        views: S.
        rows, columns: of the patches of a view.
        specials: tokens in front of the patches of each view; P = specials + rows * columns.
        rotation: rotary positions of the P tokens of one view, at the width of a frame block's head. For another width:
            `rotation_at(grid_positions(rows, columns, specials), width)`.
    """

    views: int
    rows: int
    columns: int
    specials: int
    rotation: Rotation

    @property
    def tokens_per_view(self) -> int:
        """P."""
        return self.specials + self.rows * self.columns


class SceneMixer(nn.Module):
    """Base class of the mixers. A subclass named `Mixer` in `kinds/<name>.py` is `global_mixer: <name>`.

    A pass over a scene is: `start`; then, `passes` times, the `directions` of all tokens and one `fit`; then `read`.
    Callers may cut the views of a scene into chunks, on one device or on several processes: they add up the directions of
    all chunks before each fit, so directions are plain sums over tokens. An average needs its own count among them.

    Parameters and buffers have the published names: `aggregator.global_blocks.<i>.<key>.*`. What is fixed but has to be
    saved (random starting weights) is a persistent buffer. Methods run under the caller's autocast.

    Attributes:
        key: name of the module in its scene block.
        Settings: dataclass of its settings, from `model.mixer` (or from the field of ModelConfig of the mixer's name). It
            may have a method `faults(dim)` that yields "width=5, expected a divisor of embed_dim=96".
        remembers: a state is worth keeping: it can be saved, and views can be asked of it.
        streams: a fit may go on from the state after other views, so views can come one after another.
        in_chunks: fit and read need no more than some whole views at once.
        keeps_camera_tokens: a scene state also keeps the camera tokens of all views (`SceneState.camera_tokens`).
        from_attention: own module -> module of softmax attention whose weights it can start from (VGGT); the others
            start fresh. Empty: it cannot.
    """

    key: ClassVar[str]
    Settings: ClassVar[type]
    remembers: ClassVar[bool]
    streams: ClassVar[bool]
    in_chunks: ClassVar[bool]
    keeps_camera_tokens: ClassVar[bool] = False
    from_attention: ClassVar[Mapping[str, str]] = {}

    def __init__(self, dim: int, heads: int, settings: Any) -> None:
        """`dim`: C; `heads`: those of the frame blocks."""
        super().__init__()

    @property
    def passes(self) -> int:
        """How often a fit reads all tokens: number of inner steps, each of which sees the weights after the one before."""
        return 1

    def start(self, scenes: int) -> LayerState:
        """What is remembered before the first fit: tensors by name, [scenes * n, ...], scene-major, float32 at least.

        They do not depend on the tokens, and neither do their shapes on the number of views.
        """
        raise NotImplementedError

    def directions(self, x: Tensor, grid: TokenGrid, state: LayerState) -> Directions:
        """Where normalized tokens [B, L, C] of whole views pull the state: sums over tokens, by name; zero for no views."""
        raise NotImplementedError

    def fit(self, state: LayerState, directions: Directions) -> LayerState:
        """A new state after one step along the directions of all tokens; `state` stays as it is."""
        raise NotImplementedError

    def read(self, x: Tensor, grid: TokenGrid, state: LayerState) -> Tensor:
        """What the state answers to normalized tokens [B, L, C] -> [B, L, C]; the block adds it to the tokens."""
        raise NotImplementedError

    def forward(
        self,
        x: Tensor,
        grid: TokenGrid,
        operators: Sequence[Operator] = FIT_THEN_READ_ALL,
        state: LayerState | None = None,
    ) -> tuple[Tensor, LayerState]:
        """Run the operators in order.

        Args:
            x: normalized tokens [B, L, C].
            operators: they count views; their read-outs are concatenated in order and must cover all views.
            state: where to continue; by default at the start.

        Returns:
            Tokens [B, L, C], and the state after the last update.
        """
        state = self.start(len(x)) if state is None else state
        outputs = []
        for operator in operators:
            tokens, part = _of_views(x, grid, operator)
            if operator.update:
                for _ in range(self.passes):
                    state = self.fit(state, self.directions(tokens, part, state))
            if operator.apply:
                outputs.append(self.read(tokens, part, state))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1), state

    def faults(self, state: LayerState, scenes: int) -> Iterator[str]:
        """What is wrong with a state that came from elsewhere, as a state of `scenes` scenes of this layer, in words.

        Here: names and shapes, compared with those of the start.
        """
        expected = {name: tuple(tensor.shape) for name, tensor in self.start(scenes).items()}
        found = {name: tuple(tensor.shape) for name, tensor in state.items()}
        for name in sorted(expected.keys() | found.keys()):
            if found.get(name) != expected.get(name):
                yield f"{name} {found.get(name, 'missing')}, expected {expected.get(name, 'no such tensor')}"

    def began_here(self, state: LayerState) -> bool:
        """Return False if the state (without faults) shows that it started from other weights than this layer's."""
        return True

    @classmethod
    def recognize(cls, shapes: Mapping[str, tuple[int, ...]], known: Any) -> Any | None:
        """The settings of a mixer of this kind whose tensors have these shapes, or None if they are of another kind.

        Args:
            shapes: of a scene block, by names such as "<key>.proj.weight".
            known: Settings that answer what shapes do not tell.
        """
        return known if any(name.startswith(f"{cls.key}.") for name in shapes) else None


def _of_views(x: Tensor, grid: TokenGrid, operator: Operator) -> tuple[Tensor, TokenGrid]:
    """The tokens that an operator is about, and their grid."""
    start, end = operator.start, operator.end
    if start == 0 and end is None:
        return x, grid
    end = grid.views if end is None else end
    tokens = x[:, start * grid.tokens_per_view : end * grid.tokens_per_view]
    return tokens, replace(grid, views=end - start)
