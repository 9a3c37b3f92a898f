"""Settings that have no effect in the mode that the others choose: somebody meant something by them.

Only settings that differ from their defaults are looked at. Sizes that the YAML files of conf/ set for every mode (such as
`model.ttt.head_dim`) are left out: whoever chose another mode did not set them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import reduce
from typing import Any

from zipmap_pl.datasets.view_sampling.settings import fields_in
from zipmap_pl.training.config import RunConfig


@dataclass(frozen=True)
class Condition:
    """Some settings and the mode that they need.

    Attributes:
        block: dotted name of the block that they are in.
        names: theirs in the block.
        needs: the mode, in words.
        holds: returns True in this mode.
    """

    block: str
    names: str
    needs: str
    holds: Callable[[RunConfig], bool]


JITTER = (
    "brightness contrast saturation hue jitter_probability grayscale_probability blur_probability shared_probability"
)
QUERY = "query_colour query_squared_error query_perceptual query_depth vgg_weights"
CAMERA = "translation rotation field_of_view"
CONDITIONS = (
    Condition("data", "window buffer", "data.reading=sequential", lambda run: run.data.reading == "sequential"),
    Condition("data", "time_order", "data.batches=streaming", lambda run: run.data.batches == "streaming"),
    Condition("data", "prefetch", "data.workers of 1 or more", lambda run: run.data.workers > 0),
    Condition(
        "data.augmentation",
        JITTER,
        "data.augmentation.colour=jitter",
        lambda run: run.data.augmentation.colour == "jitter",
    ),
    Condition(
        "data.augmentation",
        "gain offset",
        "data.augmentation.colour=gain_offset",
        lambda run: run.data.augmentation.colour == "gain_offset",
    ),
    Condition(
        "model.ttt",
        "momentum",
        "model.ttt.update_rule=momentum",
        lambda run: run.model.ttt.update_rule == "momentum",
    ),
    Condition(
        "model.ttt",
        "newton_schulz_steps",
        "model.ttt.update_rule=newton_schulz",
        lambda run: run.model.ttt.update_rule == "newton_schulz",
    ),
    Condition(
        "model.ttt",
        "base_learning_rate",
        "model.ttt.global_learning_rate=null",
        lambda run: run.model.ttt.global_learning_rate is None,
    ),
    Condition(
        "model.ttt",
        "hidden_multiple global_learning_rate update_rule gate",
        "model.global_mixer=ttt",
        lambda run: run.model.global_mixer == "ttt",
    ),
    Condition(
        "model.camera_head",
        "iterations",
        "model.camera_head.kind=iterative",
        lambda run: run.model.camera_head.kind == "iterative",
    ),
    Condition("stage.loss", QUERY, "data.batches=state_query", lambda run: run.data.batches == "state_query"),
    Condition("stage.loss.reference_view", CAMERA, "model.reference_view=true", lambda run: run.model.reference_view),
    Condition(
        "stage.loss.affine_invariant", CAMERA, "model.reference_view=false", lambda run: not run.model.reference_view
    ),
    Condition(
        "stage.loss", "camera_by_any_view", "model.reference_view=false", lambda run: not run.model.reference_view
    ),
    Condition("trainer", "validate_every", "validation data", lambda run: bool(run.data.validation)),
    Condition("curriculum", "common overrides", "curriculum.branches", lambda run: bool(run.curriculum.branches)),
)


def without_effect(stages: Sequence[RunConfig]) -> list[str]:
    """One line for each setting that differs from its default and has no effect in any of the stages that have it so."""
    defaults, useful, lines = RunConfig(), set(), {}
    for stage in stages:
        for condition in CONDITIONS:
            for name in (f"{condition.block}.{name}" for name in condition.names.split()):
                value = _value(stage, name)
                if value == _value(defaults, name):
                    continue
                if condition.holds(stage):
                    useful.add(name)
                else:
                    lines[name] = f"{name}={value} has no effect: it needs {condition.needs}"
        for field in _common_fields(stage):
            if any(field in fields_in(dataset.sampling) for dataset in stage.data.train.values()):
                useful.add(f"data.sampling_of_all.{field}")
            else:
                name = f"data.sampling_of_all.{field}"
                lines[name] = f"{name} has no effect: it needs a training dataset whose rule has {field}"
    return [line for name, line in lines.items() if name not in useful]


def overrides_without_effect(overrides: Iterable[str], stages: Sequence[RunConfig]) -> list[str]:
    """One line for each command-line override of a dataset's `sampling` that `data.sampling_of_all` replaces."""
    lines = []
    for override in overrides:
        name = override.lstrip("+").partition("=")[0]
        field = name.rpartition(".")[2]
        if fnmatchcase(name, "data.train.*.sampling.*") and any(field in s.data.sampling_of_all for s in stages):
            lines.append(
                f"{name} has no effect: data.sampling_of_all.{field} holds for every dataset;"
                f" change that one, or take it out with ~data.sampling_of_all.{field}"
            )
    return lines


def rates_without_effect(config: RunConfig, parameters: Iterable[str]) -> list[str]:
    """One line for each pattern of `stage.optimizer.rates` that matches none of the trainable parameters."""
    names = list(parameters)
    return [
        f"stage.optimizer.rates: {pattern} has no effect in stage {config.stage.name}: it matches no trained parameter"
        for pattern in config.stage.optimizer.rates
        if not any(fnmatchcase(name, pattern) for name in names)
    ]


def _common_fields(stage: RunConfig) -> list[str]:
    common = stage.data.sampling_of_all
    return [] if "rule" in common else sorted(common)


def _value(config: RunConfig, name: str) -> Any:
    return reduce(getattr, name.split("."), config)
