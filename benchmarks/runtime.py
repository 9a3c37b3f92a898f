"""Seconds and peak memory over the number of views: ZipMap, and the same model with softmax attention between views.

    python benchmarks/runtime.py --output runs/runtime

On a GPU: the published size under bfloat16 autocast, pictures of 392 x 518. Elsewhere: a small model on one CPU thread,
of which only the shape of the curve means something. Weights are random; they change no time. The folder gets
runtime.md (tables), runtime.json (every repetition) and runtime.svg (milliseconds per view); the exit status is 1 if
the time per view is not constant for ZipMap or does not grow for softmax.

On a GPU softmax with 750 views takes minutes for one call: `--softmax-up-to 200` leaves that out. `--compile` compiles the
blocks first. `--long` adds up to 3,000 views, most of which wait in the memory of the machine.
"""

import argparse
import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import torch
from log_plot import log_plot
from measurement import Call, machine_name, prepare_cpu, seconds_and_peak_bytes_of, seconds_of
from torch import nn

from zipmap_pl.models.aggregator import RAY_CHANNELS
from zipmap_pl.models.config import CameraHeadConfig, DenseHeadConfig, ModelConfig, TokenizerConfig, TTTConfig
from zipmap_pl.models.sequences.streaming import Stream
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.step.compilation import compile_blocks

ZIPMAP, SOFTMAX, QUERY, FRAME = "ZipMap", "softmax", "query of one view", "next frame of a stream"
IN_CHUNKS = "ZipMap in chunks"
CHECKED = range(32, 513)  # numbers of views between which the shape is checked
CONSTANT = 1.15  # largest over smallest time per view of ZipMap
GROWING = 1.5  # time per view of softmax with the most views over that with the fewest, at least
SLOW = 20.0  # seconds after which a point is not repeated
OFTEN = 8  # times per round that a call is made that is as much shorter than the longest: it is disturbed as often
LONG_VIEWS = (750, 1500, 3000)
VIEWS_PER_CHUNK = 32

# Views -> seconds of ZipMap and of VGGT (ZipMap, table 7): one H100 SXM5 80 GB, 392 x 518.
PUBLISHED = {
    5: (0.125, 0.102),
    10: (0.183, 0.194),
    25: (0.383, 0.569),
    50: (0.712, 1.524),
    100: (1.362, 4.689),
    200: (2.681, 16.040),
    300: (4.017, 34.022),
    400: (5.348, 58.842),
    500: (6.671, 90.389),
    750: (9.999, 200.364),
}


@dataclass(frozen=True)
class Setting:
    """What is measured: the model, the size of its pictures, and numbers of views.

    `softmax_up_to`: views beyond which softmax is left out. `in_chunks`: numbers of views that ZipMap also takes in chunks.
    """

    config: ModelConfig
    height: int
    width: int
    views: Sequence[int]
    softmax_up_to: int | None = None
    in_chunks: Sequence[int] = ()
    compiled: bool = False


FULL = Setting(ModelConfig(), 392, 518, (1, 2, *PUBLISHED))
# So small that it takes minutes, so large that what every call costs is little beside 32 views.
SMALL = Setting(
    ModelConfig(
        embed_dim=96,
        depth=4,
        heads=3,
        feature_blocks=[0, 1, 2, 3],
        tokenizer=TokenizerConfig(depth=2, heads=3, registers=0, position_grid=4),
        ttt=TTTConfig(head_dim=32, newton_schulz_dtype="float32"),
        camera_head=CameraHeadConfig(trunk_depth=1, heads=3, iterations=1),
        dense_head=DenseHeadConfig(features=16, level_channels=[16, 24, 32, 32], hidden=16),
    ),
    70,
    70,
    (1, 2, 5, 10, 32, 64, 128, 256, 512),
)


@dataclass
class Point:
    """Measured with `views` views. No seconds: out of memory. `peak_bytes`: weights, inputs and what a call adds."""

    views: int
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None

    @property
    def best(self) -> float | None:
        """Seconds of the fastest repetition: the others were disturbed."""
        return min(self.seconds, default=None)


Curves = dict[str, list[Point]]


def measure(setting: Setting, device: torch.device, repeats: int) -> Curves:
    """All points of all curves, one model on the device at a time."""
    zipmap, softmax = setting.config, replace(setting.config, global_mixer="softmax")
    both = replace(zipmap, query_head=True, camera_head=CameraHeadConfig(kind="mlp"))
    few = [views for views in setting.views if setting.softmax_up_to is None or views <= setting.softmax_up_to]
    curves = {
        ZIPMAP: _curve(_passes(zipmap, setting, device), setting.views, device, repeats),
        SOFTMAX: _curve(_passes(softmax, setting, device), few, device, repeats),
        QUERY: _curve(_after_views(both, setting, device, query=True), setting.views, device, repeats),
        FRAME: _curve(_after_views(both, setting, device, query=False), setting.views, device, repeats),
    }
    if setting.in_chunks:
        prepare = _passes(zipmap, setting, device, VIEWS_PER_CHUNK)
        curves[IN_CHUNKS] = _curve(prepare, setting.in_chunks, device, repeats)
    return curves


@dataclass(frozen=True)
class Prepared:
    """A call ready to be measured; `held`: bytes of the weights and inputs that it needs."""

    call: Call
    held: int


def _passes(
    config: ModelConfig, setting: Setting, device: torch.device, views_per_chunk: int | None = None
) -> Callable[[int], Prepared]:
    """Reconstruction of all views in one call; in chunks, pictures and results are in the memory of the machine."""
    model = _model(config, setting, device)

    def prepare(views: int) -> Prepared:
        place = device if views_per_chunk is None else torch.device("cpu")
        images = torch.rand(1, views, 3, setting.height, setting.width, device=place)
        on_device = images.nbytes if place == device else 0
        return Prepared(lambda: model(images, views_per_chunk=views_per_chunk), _bytes_of(model) + on_device)

    return prepare


def _after_views(config: ModelConfig, setting: Setting, device: torch.device, query: bool) -> Callable[[int], Prepared]:
    """One view along given rays, or one more frame of a stream, when the model has seen some views."""
    model = _model(config, setting, device)
    one = torch.rand(1, 1, RAY_CHANNELS if query else 3, setting.height, setting.width, device=device)

    @functools.cache
    def prepare(views: int) -> Prepared:
        images = torch.rand(1, views, 3, setting.height, setting.width, device=device)
        state = model.compress(images, window=views)
        remembered = sum(tensor.nbytes for layer in state.layers for tensor in layer.values())
        held = _bytes_of(model) + one.nbytes + remembered
        if query:
            return Prepared(lambda: model.query(state, one), held)
        reconstruct = model.stream().reconstruct
        return Prepared(lambda: Stream(reconstruct, state).push(one), held)

    return prepare


def _model(config: ModelConfig, setting: Setting, device: torch.device) -> ZipMap:
    with torch.device(device):
        model = ZipMap(config).to(device).eval()
    if setting.compiled:
        compile_blocks(model)
    return model


def _bytes_of(model: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())


def _curve(prepare: Callable[[int], Prepared], views: Sequence[int], device: torch.device, repeats: int) -> list[Point]:
    """Peak memory from a first call, then seconds, all points taking turns: what disturbs a while hits all of them."""
    points = [Point(count) for count in views]
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
    with torch.inference_mode(), autocast:
        alive = []
        for point in points:
            try:
                prepared = prepare(point.views)
                seconds, added = seconds_and_peak_bytes_of(prepared.call, device)
            except torch.OutOfMemoryError:
                continue
            point.peak_bytes = prepared.held + added
            point.seconds = [seconds] if seconds > SLOW else []
            alive.append(point)
        longest = max((point.views for point in alive), default=0)
        for _ in range(repeats):
            for point in alive:
                for _ in range(min(OFTEN, longest // point.views)):
                    if sum(point.seconds) < SLOW:
                        point.seconds.append(seconds_of(prepare(point.views).call, device))
    return points


def per_view(points: Sequence[Point]) -> dict[int, float]:
    """Number of views -> seconds per view, of the points that were measured."""
    return {point.views: point.best / point.views for point in points if point.best is not None}


def shape_faults(zipmap: dict[int, float], softmax: dict[int, float]) -> list[str]:
    """What is wrong with two curves of seconds per view, in words; empty if the shape is right."""
    return [*_not_constant(_checked(zipmap)), *_not_growing(_checked(softmax))]


def _checked(curve: dict[int, float]) -> list[tuple[int, float]]:
    return [(views, curve[views]) for views in sorted(curve) if views in CHECKED]


def _not_constant(curve: list[tuple[int, float]]) -> Iterator[str]:
    if len(curve) < 2:
        return
    (fast, least), (slow, most) = (choose(curve, key=lambda point: point[1]) for choose in (min, max))
    if most > CONSTANT * least:
        yield (
            f"{ZIPMAP}: {1e3 * most:.3g} ms per view of {slow} and {1e3 * least:.3g} of {fast}, "
            f"a ratio of {most / least:.2f}; expected at most {CONSTANT}"
        )


def _not_growing(curve: list[tuple[int, float]]) -> Iterator[str]:
    if len(curve) < 2:
        return
    (few, first), (many, last) = curve[0], curve[-1]
    if last < GROWING * first:
        yield (
            f"{SOFTMAX}: {1e3 * last:.3g} ms per view of {many} and {1e3 * first:.3g} of {few}, "
            f"a ratio of {last / first:.2f}; expected at least {GROWING}"
        )


def measured_table(curves: Curves) -> str:
    """All curves side by side, one line per number of views, as Markdown."""
    found = {name: {point.views: point for point in points} for name, points in curves.items()}
    head = [
        "views",
        "ZipMap s",
        "softmax s",
        "softmax / ZipMap",
        "ZipMap ms per view",
        "softmax ms per view",
        "ZipMap peak GB",
        "softmax peak GB",
        "query ms",
        "next frame ms",
    ]
    rows = []
    for views in sorted(found[ZIPMAP]):
        best = {name: points[views].best if views in points else None for name, points in found.items()}
        peak = {name: points[views].peak_bytes if views in points else None for name, points in found.items()}
        zipmap, softmax = best[ZIPMAP], best[SOFTMAX]
        rows.append(
            [
                str(views),
                _number(zipmap),
                _number(softmax),
                _number(softmax / zipmap if softmax and zipmap else None),
                _number(zipmap, 1e3 / views),
                _number(softmax, 1e3 / views),
                _number(peak[ZIPMAP], 1e-9),
                _number(peak[SOFTMAX], 1e-9),
                _number(best[QUERY], 1e3),
                _number(best[FRAME], 1e3),
            ]
        )
    return _markdown(head, rows)


def chunked_table(points: Sequence[Point]) -> str:
    """Long sequences, most of which wait in the memory of the machine, in the same form."""
    rows = [
        [str(p.views), _number(p.best), _number(p.best, 1e3 / p.views), _number(p.peak_bytes, 1e-9)] for p in points
    ]
    return _markdown(["views", "seconds", "ms per view", "peak GB"], rows)


def published_table() -> str:
    """The paper's numbers in the same form."""
    head = ["views", "ZipMap s", "VGGT s", "VGGT / ZipMap", "ZipMap ms per view", "VGGT ms per view"]
    rows = [
        [str(views), *map(_number, (ours, theirs, theirs / ours, 1e3 * ours / views, 1e3 * theirs / views))]
        for views, (ours, theirs) in PUBLISHED.items()
    ]
    return _markdown(head, rows)


def _number(value: float | None, factor: float = 1.0) -> str:
    """Three digits that count; "-" for what was not measured or did not fit into memory."""
    if value is None:
        return "-"
    return f"{value * factor:.0f}" if value * factor >= 100 else f"{value * factor:.3g}"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, ["---:"] * len(head), *rows])


def report(curves: Curves, faults: list[str], about: str, with_plot: bool = True) -> str:
    """The page that the run leaves."""
    checked = min(len(_checked(per_view(curves[name]))) for name in (ZIPMAP, SOFTMAX)) > 1
    between = f"between {CHECKED.start} and {CHECKED.stop - 1} views"
    shape = f"as it should be {between}" if checked else f"not checked: fewer than two points {between}"
    chunks = f"## ZipMap, {VIEWS_PER_CHUNK} views at once\n\n{chunked_table(curves.get(IN_CHUNKS, []))}\n"
    image = "![milliseconds per view](runtime.svg)\n\n" if with_plot else ""
    return (
        f"# Runtime over the number of views\n\n{about}\n\n{measured_table(curves)}\n"
        f"Shape: {'; '.join(faults) or shape}.\n\n{image}"
        f"{chunks if IN_CHUNKS in curves else ''}"
        f"## Published\n\nOne H100 SXM5 80 GB, pictures of 392 x 518 (ZipMap, table 7).\n\n{published_table()}"
    )


def plot(curves: Curves, with_published: bool) -> str:
    """Milliseconds per view over the number of views: a flat curve is linear time."""
    lines = {
        name: [(views, 1e3 * seconds) for views, seconds in per_view(curves[name]).items()]
        for name in (ZIPMAP, SOFTMAX)
    }
    if with_published:
        lines["ZipMap (published, H100)"] = [(views, 1e3 * pair[0] / views) for views, pair in PUBLISHED.items()]
        lines["VGGT (published, H100)"] = [(views, 1e3 * pair[1] / views) for views, pair in PUBLISHED.items()]
    return log_plot(lines, "views", "milliseconds per view")


def about(setting: Setting, device: torch.device, repeats: int) -> str:
    """What was measured where, in a few sentences."""
    with torch.device("meta"):
        models = [ZipMap(setting.config), ZipMap(replace(setting.config, global_mixer="softmax"))]
    zipmap, softmax = (sum(parameter.numel() for parameter in model.parameters()) for model in models)
    clock = "bfloat16 autocast, GPU time" if device.type == "cuda" else "float32, CPU time"
    clock += ", compiled blocks" if setting.compiled else ""
    return (
        f"Machine: {machine_name(device)}; torch {torch.__version__}. ZipMap with {zipmap:,} parameters, softmax with "
        f"{softmax:,}; pictures of {setting.height} x {setting.width}; {clock}, the fastest call of {repeats} rounds "
        f"(one call where that takes over {SLOW:.0f} s). Peak memory is that of weights, pictures and what a call adds. "
        "Query and next frame: one view, when so many were seen before."
    )


def main(arguments: Sequence[str]) -> int:
    """Measure, write the three files, print the page. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for runtime.md, runtime.json, runtime.svg")
    parser.add_argument("--views", type=int, nargs="+", help="numbers of views instead of the usual ones")
    parser.add_argument("--repeats", type=int, default=8, help="timed calls per number of views (default: %(default)s)")
    parser.add_argument("--long", action="store_true", help=f"ZipMap also with {LONG_VIEWS} views in chunks; for a GPU")
    parser.add_argument("--softmax-up-to", type=int, metavar="VIEWS", help="leave softmax out beyond so many views")
    parser.add_argument("--compile", action="store_true", help="compile the blocks, as trainer.compile does")
    parser.add_argument("--cpu", action="store_true", help="the small model on the CPU, although there is a GPU")
    options = parser.parse_args(arguments)

    gpu = torch.cuda.is_available() and not options.cpu
    device = torch.device("cuda" if gpu else "cpu")
    setting = FULL if gpu else SMALL
    setting = replace(
        setting,
        views=sorted(options.views or setting.views),
        softmax_up_to=options.softmax_up_to,
        in_chunks=LONG_VIEWS if options.long else (),
        compiled=options.compile,
    )
    if not gpu:
        prepare_cpu()
    curves = measure(setting, device, options.repeats)
    faults = shape_faults(per_view(curves[ZIPMAP]), per_view(curves[SOFTMAX]))

    options.output.mkdir(parents=True, exist_ok=True)
    can_plot = find_spec("matplotlib") is not None
    page = report(curves, faults, about(setting, device, options.repeats), with_plot=can_plot)
    points = {name: [asdict(point) for point in points] for name, points in curves.items()}
    found = {"machine": machine_name(device), "setting": asdict(setting), "faults": faults, "points": points}
    (options.output / "runtime.md").write_text(page)
    (options.output / "runtime.json").write_text(json.dumps(found, indent=1) + "\n")
    if can_plot:
        (options.output / "runtime.svg").write_text(plot(curves, with_published=gpu))
    else:
        print("runtime.svg is not drawn: matplotlib is not installed (pip install zipmap_pl[bench])", file=sys.stderr)
    print(page)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
