"""The rule `turntable`."""

from dataclasses import dataclass, field

from zipmap_pl.datasets.view_sampling.rules.video_or_collection import VideoOrCollection


@dataclass(frozen=True)
class Turntable(VideoOrCollection):
    """Views all around an object, in any order: wide steps, shuffled as a whole (the published rule of OmniObject3D)."""

    min: int = field(default=1, init=False)
    max: int = 100
    video: float = field(default=0.0, init=False)
    constant: float = field(default=0.0, init=False)
    block: int | None = field(default=None, init=False)
    start_share: float = field(default=1.0, init=False)


RULE = Turntable
