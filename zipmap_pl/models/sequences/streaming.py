"""Reconstruction of views that come one after another."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.contracts.scene_state import SceneState


@dataclass
class Stream:
    """A session of a streaming model (`ZipMap.stream`): time and memory per view do not grow with the views so far.

    Attributes:
        reconstruct: predicts for images, going on from a state; the prediction has the new state.
        state: what is remembered of the views so far; None before the first ones.
    """

    reconstruct: Callable[[Tensor, SceneState | None], Prediction]
    state: SceneState | None = None

    @torch.no_grad()
    def push(self, frames: Tensor) -> Prediction:
        """Cameras, depth and points of the next frames; views once predicted do not change any more.

        The frames are cut into windows from the first one on, and none is held back: fewer frames than the window
        make a short window. Pushes of whole windows give what one windowed pass over all frames gives.

        Args:
            frames: one [3, H, W], several [S, 3, H, W], or of several scenes at once [B, S, 3, H, W]; float in [0, 1].

        Returns:
            What the model says of these frames, [B, S, ...]; the state stays here.

        Raises:
            ValueError, UserError: the frames are not such images, or of another number of scenes than before; the
                session can go on with others.
        """
        one = isinstance(frames, Tensor) and frames.ndim == 3
        prediction = self.reconstruct(frames.unsqueeze(0) if one else frames, self.state)
        self.state = prediction.state
        return replace(prediction, state=None)
