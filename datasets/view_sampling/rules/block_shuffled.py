"""The rule `block_shuffled`."""

from dataclasses import dataclass, field

from zipmap_pl.datasets.view_sampling.rules.video_or_collection import VideoOrCollection


@dataclass(frozen=True)
class BlockShuffled(VideoOrCollection):
    """`VideoOrCollection` with collections only: views that are near in the list are near in time."""

    video: float = field(default=0.0, init=False)
    constant: float = field(default=0.0, init=False)
    block: int | None = 24
    start_share: float = field(default=1.0, init=False)


RULE = BlockShuffled
