"""Ways to keep depth in shards, on real depth maps: size, time to decode and encode, and the largest relative error.

    python benchmarks/depth_coding.py --data FOLDER   # FOLDER holds the real sequences, see docs/real_data.md

Every way codes the same maps; sky and unknown pixels stay what they are. Decoding means to numbers [H, W] of 16 bits; what
makes depths of them is the same for all codes and done after resizing. Times are those of one thread that computes, and as
ratios to the way that is used; the fastest of all rounds counts. "Huge range" is a map from 1e-6 to 1e6 with noise. Needs
lz4 beside what the package needs; without it those lines are left out.
"""

import argparse
import importlib
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np
import zstandard

from zipmap_pl.datasets.format.depth_coding import decode_depth, encode_depth, read_codes, write_codes

USED = "log codes, zstd 9"
ERROR_LIMIT = 1e-3

PATTERNS = {
    "7-Scenes": ("sevenscenes_redkitchen/*.depth.png", 1000.0),
    "living room": ("livingroom_open3d/depth/*.png", 1000.0),
    "HoloLens": ("hololens_dvmvs/depth/*.png", 1000.0),
    "KITTI, sparse": ("kitti_depth_metric3d/depth/*.png", 256.0),
    "TartanAir": ("tartanair_raw/**/*_depth.npy", 1.0),
    "Hypersim": ("hypersim_raw/**/*depth_meters.hdf5", 1.0),
}

Coded = tuple[bytes, tuple[float, float]]


@dataclass(frozen=True)
class Way:
    """A way to keep depth: `encode` a map [H, W] float32, `decode` bytes to 16-bit numbers, `restore` those to depth."""

    encode: Callable[[np.ndarray], Coded]
    decode: Callable[[bytes, tuple[int, int]], np.ndarray]
    restore: Callable[[np.ndarray, tuple[float, float]], np.ndarray]


def coded(write: Callable[[np.ndarray], bytes], read: Callable[[bytes, tuple[int, int]], np.ndarray]) -> Way:
    """Logarithmic codes of 16 bits, kept by `write`."""

    def encode(depth: np.ndarray) -> Coded:
        codes, depth_range = encode_depth(depth)
        return write(codes), depth_range

    return Way(encode, read, lambda codes, depth_range: decode_depth(codes, *depth_range))


def png(level: int, strategy: int) -> Way:
    """16-bit PNG by OpenCV."""
    settings = (cv2.IMWRITE_PNG_COMPRESSION, level, cv2.IMWRITE_PNG_STRATEGY, strategy)
    return coded(
        lambda codes: cv2.imencode(".png", codes, settings)[1].tobytes(),
        lambda data, size: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED),
    )


def packed(pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes], predict: str = "") -> Way:
    """Codes as bytes through a general compressor, with what may make them easier: "shuffle", "up" differences or both."""

    def write(codes: np.ndarray) -> bytes:
        if "up" in predict:
            codes = np.diff(codes, axis=0, prepend=np.zeros_like(codes[:1]))
        return pack(
            np.stack(cv2.split(codes.view(np.uint8).reshape(*codes.shape, 2))) if "shuffle" in predict else codes
        )

    def read(data: bytes, size: tuple[int, int]) -> np.ndarray:
        content = np.frombuffer(unpack(data), np.uint8)
        if "shuffle" in predict:
            content = cv2.merge(list(content.reshape(2, *size)))
        codes = content.view(np.uint16).reshape(size)
        if "up" in predict:
            codes = codes.copy()
            for row in range(1, len(codes)):
                np.add(codes[row], codes[row - 1], out=codes[row])
        return codes

    return coded(write, read)


def half_floats(pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes]) -> Way:
    """Half floats of the depth itself."""

    def encode(depth: np.ndarray) -> Coded:
        with np.errstate(over="ignore"):
            return pack(depth.astype(np.float16)), (0.0, 0.0)

    return Way(
        encode,
        lambda data, size: np.frombuffer(unpack(data), np.float16).reshape(size),
        lambda values, _: values.astype(np.float32),
    )


def ways() -> Iterator[tuple[str, Way]]:
    """All by name."""
    unzstd = zstandard.ZstdDecompressor().decompress
    yield USED, coded(write_codes, read_codes)
    yield "log codes, PNG level 4", png(4, cv2.IMWRITE_PNG_STRATEGY_DEFAULT)
    yield "log codes, PNG level 9", png(9, cv2.IMWRITE_PNG_STRATEGY_DEFAULT)
    yield "log codes, PNG level 6, filtered", png(6, cv2.IMWRITE_PNG_STRATEGY_FILTERED)
    yield "log codes, PNG level 1, runs", png(1, cv2.IMWRITE_PNG_STRATEGY_RLE)
    for level in (3, 19):
        yield f"log codes, zstd {level}", packed(zstandard.ZstdCompressor(level=level).compress, unzstd)
    zstd = zstandard.ZstdCompressor(level=9).compress
    for predict in ("shuffle", "up", "up, shuffle"):
        yield f"log codes, {predict}, zstd 9", packed(zstd, unzstd, predict)
    yield (
        "log codes, up, shuffle, deflate 6",
        packed(lambda data: zlib.compress(data, 6), zlib.decompress, "up, shuffle"),
    )
    try:
        lz4 = importlib.import_module("lz4.block")
    except ImportError:
        pass
    else:
        high = {"mode": "high_compression"}
        yield "log codes, lz4", packed(lambda data: lz4.compress(np.ascontiguousarray(data), **high), lz4.decompress)
        shuffled = packed(lambda data: lz4.compress(np.ascontiguousarray(data), **high), lz4.decompress, "up, shuffle")
        yield "log codes, up, shuffle, lz4", shuffled
    yield "half floats, zstd 9", half_floats(zstd, unzstd)
    yield "half floats, deflate 6", half_floats(lambda data: zlib.compress(data, 6), zlib.decompress)


def maps(data: Path, each: int) -> dict[str, list[np.ndarray]]:
    """Depth maps [H, W] float32 of each set, 0 where unknown; `each` at most, evenly spaced."""
    found = {}
    for name, (pattern, scale) in PATTERNS.items():
        files = sorted(data.glob(pattern))
        chosen = files[:: max(1, len(files) // each)][:each]
        if chosen:
            found[name] = [read(file) / np.float32(scale) for file in chosen]
    noise = np.random.default_rng(0).normal(0, 0.01, (480, 640))
    found["huge range"] = [(np.geomspace(1e-6, 1e6, 480 * 640).reshape(480, 640) * np.exp(noise)).astype(np.float32)]
    return found


def read(file: Path) -> np.ndarray:
    """[H, W] float32 as stored, 0 where unknown."""
    if file.suffix == ".npy":
        values = np.load(file)
    elif file.suffix == ".hdf5":
        with h5py.File(file) as opened:
            values = opened["dataset"][:]
    else:
        values = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        values[values == 65535] = 0
    return np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)


@dataclass
class Measured:
    """Of one way and one set: bits a pixel, largest relative error, nanoseconds a pixel."""

    bits: float
    error: float
    decode: float = float("inf")
    encode: float = float("inf")


def measure(way: Way, depths: Sequence[np.ndarray], before: Measured | None) -> Measured:
    """One more round."""
    pixels = sum(depth.size for depth in depths)
    start = time.thread_time()
    kept = [way.encode(depth) for depth in depths]
    middle = time.thread_time()
    numbers = [way.decode(data, depth.shape) for (data, _), depth in zip(kept, depths, strict=True)]
    end = time.thread_time()
    if before is None:
        errors = []
        for depth, (_, depth_range), values in zip(depths, kept, numbers, strict=True):
            restored, known = way.restore(values, depth_range), depth > 0
            if (restored[~known] != 0).any():
                raise ValueError("an unknown pixel became a depth")
            errors.append(np.abs(restored[known] / depth[known].astype(np.float64) - 1).max())
        before = Measured(8 * sum(len(data) for data, _ in kept) / pixels, float(max(errors)))
    before.encode = min(before.encode, (middle - start) / pixels * 1e9)
    before.decode = min(before.decode, (end - middle) / pixels * 1e9)
    return before


def table(measured: dict[str, dict[str, Measured]]) -> list[str]:
    """Markdown."""
    sets = list(measured[USED])
    lines = [
        "| | " + " | ".join(f"{name}, bits a pixel" for name in sets) + " | size | decode | encode | largest error |",
        "|---|" + "---:|" * (len(sets) + 4),
    ]
    real = [name for name in sets if name != "huge range"]
    for name, found in measured.items():
        size, decode, encode = (
            np.mean([getattr(found[where], field) / getattr(measured[USED][where], field) for where in real])
            for field in ("bits", "decode", "encode")
        )
        bits = " | ".join(f"{found[where].bits:.2f}" for where in sets)
        error = max(each.error for each in found.values())
        shown = f"{100 * error:.4f} %" if error <= ERROR_LIMIT else f"**{100 * error:.3g} %**"
        lines.append(f"| {name} | {bits} | {size:.2f} | {decode:.1f} | {encode:.2f} | {shown} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table; 1 if the way that is used is not exact enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real sequences")
    parser.add_argument("--maps", type=int, default=4, help="of each sequence")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(arguments)
    cv2.setNumThreads(0)
    depths, all_ways = maps(args.data, args.maps), dict(ways())
    measured: dict[str, dict[str, Measured]] = {name: {} for name in all_ways}
    for _ in range(args.rounds):
        for name, way in all_ways.items():
            for where, these in depths.items():
                measured[name][where] = measure(way, these, measured[name].get(where))
    used = measured[USED]
    speed = np.mean([used[where].decode for where in used])
    lines = [
        *table(measured),
        f"\nSize and times: {USED} = 1, mean over the real sets. It decodes at {speed:.2f} ns a pixel here.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if max(each.error for each in used.values()) <= ERROR_LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
