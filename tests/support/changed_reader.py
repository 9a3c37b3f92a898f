"""A reader of raw data that gives other frames than the one it stands for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zipmap_pl.preprocess.raw import RawCamera, RawFrame, RawReader, RawScene


@dataclass(frozen=True)
class Changed:
    """`reader`, with `change` done to every frame. It is sent to worker processes, as readers are."""

    reader: RawReader
    change: Callable[[RawFrame], RawFrame]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.reader, name)

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        return self.frame(scene, frame).camera

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        return self.change(self.reader.frame(scene, frame))
