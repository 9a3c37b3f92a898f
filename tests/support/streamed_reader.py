"""A reader whose scenes have streams, and images of several sizes, made of one whose scenes have neither."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zipmap_pl.preprocess.raw import RawCamera, RawFrame, RawReader, RawScene


@dataclass(frozen=True)
class Streamed:
    """`reader`, whose scenes have these streams; frames of every second stream are half as large.

    With sizes "any", every third frame is smaller still, in any stream.
    """

    reader: RawReader
    streams: tuple[tuple[str, int], ...] = ()
    sizes: str = "of streams"

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.reader, name)

    def scenes(self) -> list[RawScene]:
        return [replace(scene, streams=self.streams, sizes=self.sizes) for scene in self.reader.scenes()]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        return thinned_camera(self.reader.camera(scene, frame), self.step(scene, frame))

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        return thinned(self.reader.frame(scene, frame), self.step(scene, frame))

    def step(self, scene: RawScene, frame: str) -> int:
        """Rows and columns from one pixel that is kept to the next."""
        place = scene.frames.index(frame)
        if self.sizes == "any" and place % 3 == 2:
            return 3
        ends = np.cumsum([count for _, count in self.streams])
        return 1 + int(np.searchsorted(ends[:-1], place, side="right")) % 2


def thinned(frame: RawFrame, step: int) -> RawFrame:
    """Every `step`-th row and column, exactly: no pixel is mixed."""
    layers = {
        name: None if layer is None else np.ascontiguousarray(layer[::step, ::step])
        for name in ("image", "depth", "sky", "dynamic", "object")
        for layer in [getattr(frame, name)]
    }
    return replace(frame, camera=thinned_camera(frame.camera, step), jpeg=None, **layers)


def thinned_camera(camera: RawCamera, step: int) -> RawCamera:
    """The center of pixel k, at k + 0.5, was that of pixel k * step."""
    intrinsics = np.array(camera.intrinsics, np.float64)
    intrinsics[:2, 2] += (step - 1) / 2
    intrinsics[:2] /= step
    return replace(camera, intrinsics=intrinsics)
