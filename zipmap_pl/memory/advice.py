"""What to change where a stage does not fit on a GPU, each change with the memory that it leads to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from zipmap_pl.memory.estimate import MemoryEstimate, estimate_memory
from zipmap_pl.training.config import RunConfig
from zipmap_pl.training.parallel.strategies import World
from zipmap_pl.training.stages import PUBLISHED_IMAGES, PUBLISHED_RANKS, accumulation_for

MORE_DEVICES = 8  # of one node, where there were fewer
SMALLER_PICTURE = 0.75  # share of the width
FEWEST_IMAGES = {"reconstruction": 2, "streaming": 2, "state_query": 3}  # a stage with fewer has nothing to compare
SMALL_COUNT = 8  # of images, quickly counted


@dataclass(frozen=True)
class Change:
    """Settings, as on the command line, and what they lead to."""

    settings: str
    estimate: MemoryEstimate


def with_images(config: RunConfig, images: int) -> RunConfig:
    """The same stage with at most so many images on each GPU, and no more views than that."""
    views = [min(count, images) for count in config.data.views]
    return replace(config, data=replace(config.data, images_per_gpu=images, views=views))


def image_settings(config: RunConfig, images: int) -> str:
    """What `with_images` changes, as on the command line."""
    views = with_images(config, images).data.views
    told = f"data.images_per_gpu={images}"
    return told if views == list(config.data.views) else f"{told} data.views=[{views[0]},{views[1]}]"


def sensible_images(config: RunConfig, limit: int) -> list[int]:
    """Numbers of images per GPU, rising; streams have a number of views, so there only whole scenes."""
    numbers = range(FEWEST_IMAGES[config.data.batches], limit + 1)
    views = config.data.views[0]
    if config.data.batches != "streaming":
        return list(numbers)
    return [images for images in numbers if images <= views or images % views == 0]


def most_images(config: RunConfig, world: World, capacity: int, limit: int) -> Change | None:
    """The largest number of images per GPU up to `limit` that fits, counted; None if not even the fewest do.

    Memory grows in proportion to the images, so a line through two numbers tells where to look.
    """
    numbers = sensible_images(config, limit)

    def estimate(place: int) -> MemoryEstimate:
        return estimate_memory(with_images(config, numbers[place]), world, capacity)

    def change(place: int, found: MemoryEstimate) -> Change:
        return Change(image_settings(config, numbers[place]), found)

    low, high = min(SMALL_COUNT, len(numbers) - 1), len(numbers) - 1
    below, above = estimate(low), estimate(high)
    if above.fits:
        return change(high, above)
    if not below.fits:
        low, below, high, above = 0, estimate(0), low, below
    if not below.fits:
        return None
    while high - low > 1:
        share = (capacity - below.total) / (above.total - below.total)
        wanted = numbers[low] + share * (numbers[high] - numbers[low])
        place = max([low + 1, *(between for between in range(low + 1, high) if numbers[between] <= wanted)])
        tried = estimate(place)
        if tried.fits:
            low, below = place, tried
        else:
            high, above = place, tried
    return change(low, below)


def changes(
    config: RunConfig, estimate: MemoryEstimate, world: World, compose: Callable[[str], RunConfig]
) -> Iterator[Change]:
    """What may help a stage that does not fit, the mildest first.

    Args:
        config, estimate: the stage, and why it does not fit.
        world: its processes.
        compose: the same stage with other settings, as on the command line.
    """
    capacity = estimate.capacity
    yield from filter(None, [most_images(config, world, capacity, config.data.images_per_gpu)])
    if config.stage.ema.decay > 0:
        yield Change("stage.ema.decay=0", without_averages(estimate))
    if not config.model.checkpoint_activations:
        settings = "model.checkpoint_activations=true"
        yield Change(settings, estimate_memory(compose(settings), world, capacity))
    if world.size < MORE_DEVICES or not estimate.sharing.sharded:
        devices = max(MORE_DEVICES, world.devices)
        settings = f"trainer.strategy=fsdp trainer.devices={devices}"
        yield Change(settings, estimate_memory(compose(settings), World(world.nodes, devices, None), capacity))
    width = int(config.data.width * SMALLER_PICTURE) // config.model.patch_size * config.model.patch_size
    if width >= config.model.patch_size:
        settings = f"data.width={width}"
        yield Change(settings, estimate_memory(compose(settings), world, capacity))
    if config.model.embed_dim > 384:
        settings = small_model_settings(config)
        yield Change(settings, estimate_memory(compose(settings), world, capacity))


def without_averages(estimate: MemoryEstimate) -> MemoryEstimate:
    """The same estimate without averaged weights."""
    return replace(estimate, averages=0).with_reserve()


def small_model_settings(config: RunConfig) -> str:
    """The small model with the heads of this stage."""
    model = config.model
    return (
        f"model=small model.reference_view={str(model.reference_view).lower()} "
        f"model.camera_head.kind={model.camera_head.kind} model.query_head={str(model.query_head).lower()}"
        + (f" model.extra_heads=[{','.join(model.extra_heads)}]" if model.extra_heads else "")
    )


def accumulated(config: RunConfig, world: World, capacity: int, images: int) -> tuple[str, Change]:
    """What so many images per GPU mean for the published batch, and what it takes: gradients wait for the last micro-batch."""
    wanted = config.trainer.global_images or PUBLISHED_RANKS * PUBLISHED_IMAGES
    fewer = replace(with_images(config, images), trainer=replace(config.trainer, global_images=wanted))
    estimate = estimate_memory(fewer, world, capacity)
    processes = estimate.sharing.processes
    told = (
        f"{accumulation_for(fewer, processes)} micro-batches of {processes} x {images} images per step"
        f" (published: {PUBLISHED_RANKS} x {PUBLISHED_IMAGES})"
    )
    return told, Change(f"trainer.global_images={wanted}", estimate)
