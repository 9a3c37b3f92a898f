"""AdamW with groups by parameter name, its state by parameter name, and clipping by module."""

from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any, cast

import torch
from torch import Tensor, nn

from zipmap_pl.errors import UserError
from zipmap_pl.training.step.optimizer_config import OptimizerConfig
from zipmap_pl.training.step.schedule import learning_rate
from zipmap_pl.training.step.slices import gradient_norm, sharded_like


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters of `model`.

    A group per peak rate and decay; parameters with one dimension and biases are not decayed, everything else is, fast weights and
    tokens included (ZipMap's recipe). Each group carries its `peak` rate and a readable `name`.

    Raises:
        UserError: two patterns of `rates` that match the same parameter; a limit for no module.
    """
    modules = [name for name, _ in model.named_children()]
    strangers = set(config.clip_norms) - set(modules)
    if strangers:
        raise UserError(
            f"optimizer.clip_norms: no module {', '.join(sorted(strangers))}, expected one of {', '.join(modules)}"
        )
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        patterns = [pattern for pattern in config.rates if fnmatch(name, pattern)]
        if len(patterns) > 1:
            raise UserError(
                f"optimizer.rates: {name} fits several patterns ({', '.join(patterns)}), expected one; make them disjoint"
            )
        decayed = parameter.ndim > 1 and not name.endswith(".bias")
        groups.setdefault((patterns[0] if patterns else "default", decayed), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "name": pattern if decayed else f"{pattern}, no decay",
                "peak": config.rates.get(pattern, config.learning_rate),
                "weight_decay": config.weight_decay if decayed else 0.0,
            }
            for (pattern, decayed), parameters in sorted(groups.items())
        ],
        lr=config.learning_rate,
        betas=(config.betas[0], config.betas[1]),
        fused=True,
    )


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
    """Parameter name -> its state (step, moments). Rates and groups are left out: those come from the settings."""
    return {name: dict(optimizer.state[p]) for name, p in model.named_parameters() if p in optimizer.state}


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, dict[str, Any]]) -> None:
    """Give `optimizer` a state of `optimizer_state`, whole also if the model is sharded; its own groups, rates and decay stay.

    Raises UserError for strangers.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    strangers = state.keys() - names.values()
    if strangers:
        raise UserError(
            f"optimiser state: {len(strangers)} unknown parameters, one is {min(strangers)}; expected the model's"
        )
    ordered = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    by_number = {
        number: {kind: sharded_like(value, parameter) for kind, value in state[names[parameter]].items()}
        for number, parameter in enumerate(ordered)
        if names[parameter] in state
    }
    optimizer.load_state_dict({"state": by_number, "param_groups": optimizer.state_dict()["param_groups"]})


def set_learning_rates(
    optimizer: torch.optim.Optimizer, step: int, total_steps: int, config: OptimizerConfig
) -> dict[str, float]:
    """Set every group's rate for `step`. Returns group name -> rate."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, total_steps, group["peak"], config.warmup_share, config.floor_learning_rate)
    return {group["name"]: group["lr"] for group in optimizer.param_groups}


def clip_by_module(model: nn.Module, config: OptimizerConfig) -> dict[str, Tensor]:
    """Clip the gradients of each child of `model` to its own L2 norm limit. Returns child name -> norm before clipping.

    The norm of a sharded module is that over all its shards.
    """
    norms = {}
    for name, module in model.named_children():
        parameters = [parameter for parameter in module.parameters() if parameter.grad is not None]
        if parameters:
            norms[name] = gradient_norm([cast(Tensor, parameter.grad) for parameter in parameters])
            limit = config.clip_norms.get(name, config.clip_norm)
            torch.nn.utils.clip_grads_with_norm_(parameters, limit, norms[name], foreach=True)
    return norms
