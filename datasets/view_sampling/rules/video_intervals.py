"""The rule `video_intervals`."""

from dataclasses import dataclass, field

from zipmap_pl.datasets.view_sampling.rules.video_or_collection import VideoOrCollection


@dataclass(frozen=True)
class VideoIntervals(VideoOrCollection):
    """`VideoOrCollection` with videos only: views in the order of time, with a constant or varying step."""

    video: float = field(default=1.0, init=False)
    block: int | None = field(default=None, init=False)
    start_share: float = field(default=1.0, init=False)


RULE = VideoIntervals
