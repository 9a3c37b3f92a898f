"""The settings of an optimiser step as dataclasses; they need neither Hydra nor a loader."""

import math
from dataclasses import dataclass, field

from zipmap_pl.checks import expect


@dataclass
class OptimizerConfig:
    """AdamW, its groups and its schedule."""

    learning_rate: float = 1e-5  # peak
    rates: dict[str, float] = field(default_factory=dict)  # shell-style parameter name pattern -> another peak rate
    weight_decay: float = 0.05  # not on biases, norms and layer scales
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    warmup_share: float = 0.05
    floor_learning_rate: float = 1e-8
    clip_norm: float = 1.0  # per module: backbone, camera head, each dense head
    clip_norms: dict[str, float] = field(default_factory=dict)  # module name -> another limit

    def __post_init__(self) -> None:
        rates = {"learning_rate": self.learning_rate, **{f"rates.{name}": rate for name, rate in self.rates.items()}}
        norms = {"clip_norm": self.clip_norm, **{f"clip_norms.{name}": norm for name, norm in self.clip_norms.items()}}
        for name, value in (rates | norms).items():
            expect(0 < value < math.inf, f"settings: optimizer.{name}", value, "a positive number")
        for name, value in (("weight_decay", self.weight_decay), ("floor_learning_rate", self.floor_learning_rate)):
            expect(0 <= value < math.inf, f"settings: optimizer.{name}", value, "a number from 0 on")
        expect(
            0 <= self.warmup_share < 1,
            "settings: optimizer.warmup_share",
            self.warmup_share,
            "a share from 0 to below 1",
        )
        two_shares = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        expect(two_shares, "settings: optimizer.betas", self.betas, "two numbers from 0 to below 1")


@dataclass
class EmaConfig:
    """A running average of the weights, kept beside them."""

    decay: float = 0.999  # share of the old average that an optimiser step keeps; 0 = no average
    start_step: int = 200  # the average is set to the weights after this step (counted from 0) and runs from there

    def __post_init__(self) -> None:
        expect(0 <= self.decay < 1, "settings: ema.decay", self.decay, "a share from 0 (none) to below 1")
        expect(self.start_step >= 0, "settings: ema.start_step", self.start_step, "0 or more")
