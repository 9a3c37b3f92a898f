"""Groups, decay and clipping of the optimiser on the real model's parameter names."""

import pytest
import torch
from torch import nn

from zipmap_pl.errors import UserError
from zipmap_pl.training.config import OptimizerConfig
from zipmap_pl.training.step.optimizer import (
    build_optimizer,
    clip_by_module,
    optimizer_state,
    restore_optimizer,
    set_learning_rates,
)


class Small(nn.Module):
    """Named like the parts of the real model that the rules are about."""

    def __init__(self) -> None:
        super().__init__()
        self.aggregator = nn.Module()
        self.aggregator.ttt_block = nn.Module()
        self.aggregator.ttt_block.w0 = nn.Parameter(torch.ones(1, 2, 3))
        self.aggregator.norm = nn.LayerNorm(3)
        self.aggregator.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)
        self.camera_head = nn.Linear(3, 2)


def groups_by_parameter(config: OptimizerConfig) -> dict[str, dict]:
    model = Small()
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[p]: group for group in build_optimizer(model, config).param_groups for p in group["params"]}


def test_weights_and_fast_weights_decay_norms_and_biases_do_not() -> None:
    groups = groups_by_parameter(OptimizerConfig(weight_decay=0.05))
    decays = {name: group["weight_decay"] for name, group in groups.items()}
    assert decays == {
        "aggregator.ttt_block.w0": 0.05,
        "aggregator.norm.weight": 0.0,
        "aggregator.norm.bias": 0.0,
        "camera_head.weight": 0.05,
        "camera_head.bias": 0.0,
    }


def test_patterns_choose_the_peak_rate() -> None:
    groups = groups_by_parameter(OptimizerConfig(learning_rate=1e-5, rates={"*ttt_block*": 1e-4}))
    assert groups["aggregator.ttt_block.w0"]["peak"] == 1e-4
    assert groups["camera_head.weight"]["peak"] == 1e-5


@pytest.mark.parametrize(("rates", "told"), [({"*ttt*": 1.0, "*w0": 1.0}, "several patterns")])
def test_patterns_that_miss_or_overlap_are_refused(rates: dict[str, float], told: str) -> None:
    with pytest.raises(UserError, match=told):
        build_optimizer(Small(), OptimizerConfig(rates=rates))


def test_a_limit_for_a_module_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="camera_haed, expected one of aggregator, camera_head"):
        build_optimizer(Small(), OptimizerConfig(clip_norms={"camera_haed": 2.0}))


def test_state_follows_the_parameters_names_into_other_groups_with_other_settings() -> None:
    model = Small()
    old = build_optimizer(model, OptimizerConfig(rates={"*ttt_block*": 1e-4}))
    for number, parameter in enumerate(p for p in model.parameters() if p.requires_grad):
        parameter.grad = torch.full_like(parameter, float(number))
    old.step()
    saved = optimizer_state(model, old)
    assert set(saved) == {name for name, p in model.named_parameters() if p.requires_grad}
    new = build_optimizer(model, OptimizerConfig(rates={"camera_head*": 1e-3}, weight_decay=0.5))
    restore_optimizer(model, new, saved)
    for name, state in optimizer_state(model, new).items():
        assert all(torch.equal(state[key], saved[name][key]) for key in ("step", "exp_avg", "exp_avg_sq"))
    assert {(group["name"], group["peak"], group["weight_decay"]) for group in new.param_groups} == {
        ("camera_head*", 1e-3, 0.5),
        ("camera_head*, no decay", 1e-3, 0.0),
        ("default", 1e-5, 0.5),
        ("default, no decay", 1e-5, 0.0),
    }
    with pytest.raises(UserError, match="1 unknown parameters, one is query_head"):
        restore_optimizer(model, new, {"query_head": {}})


def test_every_group_follows_the_schedule_of_its_own_peak() -> None:
    config = OptimizerConfig(learning_rate=1e-5, rates={"*ttt_block*": 1e-4}, floor_learning_rate=0.0)
    rates = set_learning_rates(build_optimizer(Small(), config), step=5, total_steps=100, config=config)
    assert rates["*ttt_block*"] == pytest.approx(1e-4)
    assert rates["default"] == rates["default, no decay"] == pytest.approx(1e-5)


def test_each_module_is_clipped_to_its_own_limit() -> None:
    model = Small()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 10.0)
    model.aggregator.frozen.grad = None
    norms = clip_by_module(model, OptimizerConfig(clip_norm=1.0, clip_norms={"camera_head": 2.0}))
    assert norms["camera_head"] == pytest.approx(10 * 8**0.5)
    lengths = {
        name: torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None]).norm().item()
        for name, module in model.named_children()
    }
    assert lengths == pytest.approx({"aggregator": 1.0, "camera_head": 2.0}, rel=1e-5)
