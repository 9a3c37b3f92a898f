"""Time and peak memory of one test-time-training update, forward and backward: our operator against plain autograd.

    python benchmarks/ttt_update.py                      # a GPU if there is one, else a smaller problem on the CPU
    python benchmarks/ttt_update.py --tokens 200000 --dtype bfloat16

"Plain" is autograd through the same closed forms of `fast_weights`. The update is the sum over tokens and the step; the
layer adds projections, reading and gate, the scene block norms and MLP, which are the same in both. Results are ratios
of one run: rounds alternate between the two, the fastest round of each counts. Exit status 1 if gradients differ or a
peak is above half.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from unittest import mock

import torch
import torch.nn.functional as F
from measurement import machine_name, prepare_cpu, seconds_and_peak_bytes_of, seconds_of
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from zipmap_pl.models.config import ModelConfig, TokenizerConfig, TTTConfig
from zipmap_pl.models.layers.rope import Rotation
from zipmap_pl.models.mixers import fast_weight_operators, fast_weights
from zipmap_pl.models.mixers.blocks import SceneBlock
from zipmap_pl.models.mixers.fast_weights import FastWeights
from zipmap_pl.models.mixers.scene_mixer import TokenGrid

MEMORY_LIMIT = 0.5
SAME = {torch.float32: 1e-4, torch.bfloat16: 3e-2}  # relative L2 difference of the gradients


@dataclass(frozen=True)
class Problem:
    """What is measured: tokens of one scene, in the width of the model, with products in `dtype`."""

    tokens: int
    dim: int
    dtype: torch.dtype
    device: torch.device

    @property
    def config(self) -> ModelConfig:
        """A model of that width, for its scene blocks."""
        ttt = TTTConfig(head_dim=self.dim, newton_schulz_dtype=str(self.dtype).removeprefix("torch."))
        return ModelConfig(embed_dim=self.dim, heads=4, tokenizer=TokenizerConfig(heads=4), ttt=ttt)

    def draw(self, *shape: int) -> Tensor:
        """Normally distributed, with a gradient."""
        generator = torch.Generator().manual_seed(sum(shape))
        return torch.randn(*shape, generator=generator).to(self.device).requires_grad_()

    def autocast(self) -> torch.autocast:
        """As in training."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)


@dataclass(frozen=True)
class Measured:
    """Seconds, the bytes that a call takes at its peak, and the gradients."""

    seconds: float
    peak: int
    gradients: list[Tensor]


@contextmanager
def plain() -> Iterator[None]:
    """The layer without the operators: autograd keeps what it needs."""
    with (
        mock.patch.object(fast_weight_operators, "descent_directions", plain_directions),
        mock.patch.object(fast_weight_operators, "apply", plain_apply),
    ):
        yield


def plain_directions(weights: FastWeights, k: Tensor, v: Tensor, rates: FastWeights) -> FastWeights:
    """As the operator of that name."""
    return fast_weights.descent_directions(weights, fast_weights.unit_features(k), F.silu(v), rates)


def plain_apply(weights: FastWeights, q: Tensor) -> Tensor:
    """As the operator of that name."""
    return fast_weights.apply(weights, fast_weights.unit_features(q))


def update(problem: Problem, recompute: bool) -> Callable[[], list[Tensor]]:
    """Directions of all tokens and the step along them; `recompute`: inside of activation checkpointing."""
    dim, hidden = problem.dim, 2 * problem.dim
    weights = FastWeights(*(problem.draw(1, *shape) for shape in ((dim, hidden), (hidden, dim), (dim, hidden))))
    # As a layer under autocast has them: products of the tokens, in its dtype.
    k, v = (problem.draw(1, problem.tokens, dim).detach().to(problem.dtype).requires_grad_() for _ in range(2))
    rates = FastWeights(*(problem.draw(1, problem.tokens, 1) for _ in range(3)))
    state = fast_weights.start(weights)

    def fit() -> FastWeights:
        directions = fast_weight_operators.descent_directions(weights, k, v, rates)
        return fast_weights.step(state, directions, problem.config.ttt).weights

    def run() -> list[Tensor]:
        with problem.autocast():
            fitted = checkpoint(fit, use_reentrant=False) if recompute else fit()
            loss = sum((w * before.detach()).sum() for w, before in zip(fitted, weights, strict=True))
        return list(torch.autograd.grad(loss, [k, v, *weights, *rates]))

    return run


def layer_or_block(problem: Problem, part: str) -> Callable[[], list[Tensor]]:
    """The layer, or the scene block with its MLP around it; activations are computed again in the backward pass."""
    torch.manual_seed(0)
    block = SceneBlock(problem.config).to(problem.device)
    x = problem.draw(1, problem.tokens, problem.dim)
    grid = TokenGrid(1, 1, problem.tokens, 0, Rotation(x, x))  # which this mixer does not read
    module, inputs = (block if part == "block" else block.mixer), (x, grid)

    def run() -> list[Tensor]:
        with problem.autocast():
            loss = (checkpoint(module, *inputs, use_reentrant=False)[0] * x.detach()).sum()  # any fixed weights
        return list(torch.autograd.grad(loss, [x, *module.parameters()]))

    return run


def compare(run: Callable[[], list[Tensor]], device: torch.device, rounds: int) -> list[Measured]:
    """Ours and the plain one."""
    ways = (nullcontext, plain)
    seconds: list[list[float]] = [[], []]
    peaks, gradients = [], []
    for way in ways:
        with way():
            gradients.append(run())
            peaks.append(seconds_and_peak_bytes_of(run, device)[1])
    for _ in range(rounds):
        for way, times in zip(ways, seconds, strict=True):
            with way():
                times.append(seconds_of(run, device))
    return [Measured(min(times), *rest) for times, *rest in zip(seconds, peaks, gradients, strict=True)]


def difference(ours: Measured, other: Measured) -> float:
    """Relative L2 difference of all gradients together."""
    pairs = list(zip(ours.gradients, other.gradients, strict=True))
    off = sum((a.double() - b.double()).square().sum() for a, b in pairs)
    return float((off / sum(b.double().square().sum() for _, b in pairs)).sqrt())


def table(results: dict[str, list[Measured]]) -> str:
    """Markdown."""
    lines = [
        "| | seconds, plain | seconds, ours | times faster | peak, plain | peak, ours | peak ratio | gradients differ by |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, (ours, other) in results.items():
        lines.append(
            f"| {name} | {other.seconds:.3f} | {ours.seconds:.3f} | {other.seconds / ours.seconds:.2f} "
            f"| {other.peak / 2**20:.0f} MiB | {ours.peak / 2**20:.0f} MiB | {ours.peak / other.peak:.2f} "
            f"| {difference(ours, other):.1e} |"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measure, print, judge."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=1024 if gpu else 128, help="width of tokens and model")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16" if gpu else "float32")
    parser.add_argument("--rounds", type=int, default=10 if gpu else 3)
    chosen = parser.parse_args(arguments)
    dtype = getattr(torch, chosen.dtype)
    problem = Problem(chosen.tokens, chosen.dim, dtype, torch.device("cuda" if gpu else "cpu"))
    if not gpu:
        prepare_cpu()
    cases = {
        "update": update(problem, recompute=False),
        "update, checkpointed": update(problem, recompute=True),
        "layer, checkpointed": layer_or_block(problem, "layer"),
        "scene block, checkpointed": layer_or_block(problem, "block"),
    }
    results = {name: compare(run, problem.device, chosen.rounds) for name, run in cases.items()}
    print(f"{chosen.tokens} tokens of width {chosen.dim}, {chosen.dtype}, {machine_name(problem.device)}\n")
    print(table(results))
    good = all(
        difference(ours, other) <= SAME[dtype] and ours.peak <= MEMORY_LIMIT * other.peak
        for ours, other in results.values()
    )
    if not good:
        print(f"\nexpected peaks of at most {MEMORY_LIMIT}, gradients that differ by at most {SAME[dtype]}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
