"""Which samples a rank computes: batch samplers that yield requests instead of indices."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch.utils.data import Sampler

from zipmap_pl.datasets.draws.draw import ShapeRanges, slots, step_shape


@dataclass(frozen=True)
class TrainRequest:
    """One training sample: the draw of a slot in the step's shape. `number` counts the rank's batches."""

    number: int
    step: int
    slot: int
    views: int
    height: int
    width: int


@dataclass(frozen=True)
class ValidationRequest:
    """One fixed view set; `repeat` = a second look at it that only keeps the ranks in step."""

    view_set: int
    repeat: bool


class TrainBatches(Sampler[list[TrainRequest]]):
    """Batches of one rank: for step 0, 1, 2, ... and each micro-batch of the step, the rank's slots.

    It starts at `first_number()`, a batch number = step * accumulation + micro-batch, asked at each `iter`: the owner
    knows how far training has come, so a second `iter` (Lightning makes one per epoch) goes on and does not start over.

    Its length is the stage's total, also after a resume; without a total there is none. (The remaining length would
    make Lightning 2.6 repeat batches silently after a resume.)
    """

    def __init__(
        self,
        seed: int,
        stage: int,
        ranges: ShapeRanges,
        rank: int,
        world: int,
        accumulation: int,
        total_steps: int | None,
        first_number: Callable[[], int],
    ) -> None:
        self.seed, self.stage, self.ranges = seed, stage, ranges
        self.rank, self.world, self.accumulation = rank, world, accumulation
        self.total_steps, self.first_number = total_steps, first_number

    def __iter__(self) -> Iterator[list[TrainRequest]]:
        number = self.first_number()
        while self.total_steps is None or number < self.total_steps * self.accumulation:
            yield self.batch(number)
            number += 1

    def batch(self, number: int) -> list[TrainRequest]:
        """The requests of one batch; a pure function of the number."""
        step, micro = divmod(number, self.accumulation)
        shape = step_shape(self.seed, self.stage, step, self.ranges)
        mine = slots(micro, self.rank, self.world, shape.scenes)
        return [TrainRequest(number, step, slot, shape.views, shape.height, shape.width) for slot in mine]

    def __len__(self) -> int:
        if self.total_steps is None:
            raise TypeError("a loader without a number of steps has no length")
        return self.total_steps * self.accumulation


class ValidationBatches(Sampler[list[ValidationRequest]]):
    """Every view set exactly once over all ranks, in the same number of batches of the same size on each.

    Sharded models wait for each other in every forward pass, so a rank that has run out of sets repeats one, marked as
    such.
    """

    def __init__(self, view_sets: int, scenes: int, rank: int, world: int) -> None:
        self.view_sets, self.rank, self.world = view_sets, rank, world
        self.scenes = max(1, min(scenes, -(-view_sets // world)))

    def __iter__(self) -> Iterator[list[ValidationRequest]]:
        for batch in range(len(self)):
            mine = slots(batch, self.rank, self.world, self.scenes)
            yield [ValidationRequest(slot % self.view_sets, slot >= self.view_sets) for slot in mine]

    def __len__(self) -> int:
        return -(-self.view_sets // (self.world * self.scenes))
