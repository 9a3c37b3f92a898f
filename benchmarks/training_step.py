"""Images per second and peak memory of a training step by stage, and where its time goes.

    python benchmarks/training_step.py                        # a GPU if there is one, else a small model on the CPU
    python benchmarks/training_step.py --stages static state_query --rounds 5

On a GPU: the published size, up to 48 pictures of 518 x 518, bfloat16 autocast, activation checkpointing. Elsewhere:
`model=small` and a few small pictures on one CPU thread, of which only the ratios mean something. Weights, pictures and
cameras are random, LPIPS has random weights; they change no time. Model, losses, clipping, optimiser and averages are
those of training; the loader is not: "data" is the copy to the device. Exit status 1 if the losses, forward and
backward, take 10 % of a step or more.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from loss_terms import CAMERA, TERMS, recording
from measurement import machine_name, prepare_cpu, seconds_and_peak_bytes_of, seconds_of
from model_flops import model_flops, peak_tflops
from step_stages import FULL, SMALL, STAGES, Stage, stage_of
from timed_step import LOSS, LOSS_BACKWARD, PARTS, Training

LOSS_LIMIT = 0.10  # of a step, forward and backward together
NAMED_FROM = 0.05  # of a step: terms of the loss that are named


@dataclass
class Measured:
    """A stage: seconds of every round by part, and of every term; bytes at the peak; FLOPs of a step or None."""

    stage: Stage
    rounds: list[dict[str, float]] = field(default_factory=list)
    terms: dict[str, float] = field(default_factory=dict)
    peak: int = 0
    flops: int | None = None

    @property
    def best(self) -> dict[str, float]:
        """The fastest round: the others were disturbed."""
        return min(self.rounds, key=lambda parts: sum(parts.values()))

    @property
    def seconds(self) -> float:
        """Of a step."""
        return sum(self.best.values())

    @property
    def loss_share(self) -> float:
        """Of a step: the losses, forward and backward."""
        return (self.best[LOSS] + self.best[LOSS_BACKWARD]) / self.seconds


def measure(stage: Stage, device: torch.device, rounds: int) -> Measured:
    """One stage after a step that warms up and one that is watched."""
    training = Training(stage, device)
    with recording() as calls:
        training.step()
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        terms = {name: min(seconds_of(call.again, device) for _ in range(1 + rounds)) for name, call in calls.items()}
    del calls
    peak = training.held + seconds_and_peak_bytes_of(training.step, device)[1]
    found = [training.step() for _ in range(rounds)]
    flops = model_flops(stage) if device.type == "cuda" else None
    return Measured(stage, found, terms, peak, flops)


def faults_of(results: Sequence[Measured]) -> list[str]:
    """What is wrong, in words."""
    return [
        f"{found.stage.name}: the losses take {found.loss_share:.1%} of a step, expected less than {LOSS_LIMIT:.0%}"
        for found in results
        if found.loss_share >= LOSS_LIMIT
    ]


def step_table(results: Sequence[Measured], peak: float | None) -> str:
    """A line per stage: how fast, how large, and the share of every part, as Markdown."""
    head = ["stage", "images", "seconds", "images/s", "peak GiB", *PARTS, "losses in all"]
    head += ["share of peak FLOP/s"] if peak else []
    rows = []
    for found in results:
        row = [found.stage.name, str(found.stage.images), f"{found.seconds:.3g}"]
        row += [f"{found.stage.images / found.seconds:.3g}", f"{found.peak / 2**30:.3g}"]
        row += [f"{found.best[part] / found.seconds:.1%}" for part in PARTS] + [f"{found.loss_share:.1%}"]
        if peak:
            row.append("-" if found.flops is None else f"{found.flops / found.seconds / peak / 1e12:.1%}")
        rows.append(row)
    return _markdown(head, rows)


def term_table(results: Sequence[Measured]) -> str:
    """A line per term of the loss: its share of each stage's step, forward and backward, as Markdown."""
    names = [name for name in (*TERMS, CAMERA) if any(name in found.terms for found in results)]
    rows = [
        [name, *(f"{found.terms[name] / found.seconds:.1%}" if name in found.terms else "-" for found in results)]
        for name in names
    ]
    return _markdown(["term", *(found.stage.name for found in results)], rows)


def large_terms(results: Sequence[Measured]) -> str:
    """One line that names the terms above 5 % of their stage's step."""
    large = [
        f"{name} ({found.stage.name}, {seconds / found.seconds:.1%})"
        for found in results
        for name, seconds in found.terms.items()
        if seconds > NAMED_FROM * found.seconds
    ]
    return f"Above {NAMED_FROM:.0%} of a step: {', '.join(large) or 'no term'}."


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ruler, *rows])


def main(arguments: Sequence[str]) -> int:
    """Measure, print, judge. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--rounds", type=int, default=3, help="timed steps, of which the fastest counts (default: 3)")
    parser.add_argument("--side", type=int, help="of the square pictures, a multiple of 14")
    parser.add_argument("--views", type=int, help="of one scene, instead of the stage's batch")
    parser.add_argument("--cpu", action="store_true", help="the small model on the CPU, although there is a GPU")
    chosen = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() and not chosen.cpu else "cpu")
    if device.type == "cpu":
        prepare_cpu()
    size = FULL if device.type == "cuda" else SMALL
    if chosen.side:
        size = replace(size, side=chosen.side)
    if chosen.views:
        size = replace(size, batches=dict.fromkeys(STAGES, (1, chosen.views)))
    results = [measure(stage_of(name, size), device, chosen.rounds) for name in chosen.stages]
    precision = "bfloat16 autocast" if device.type == "cuda" else "float32"
    print(f"{machine_name(device)}; torch {torch.__version__}; {precision}; pictures of {size.side} x {size.side}.\n")
    print(
        f"{step_table(results, peak_tflops(machine_name(device)))}\n\n{term_table(results)}\n\n{large_terms(results)}"
    )
    faults = faults_of(results)
    print("\n".join(["", *faults]) if faults else f"The losses take less than {LOSS_LIMIT:.0%} of every step.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
