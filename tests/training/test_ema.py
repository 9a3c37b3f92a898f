"""The running average of the weights: when it starts, what it holds, and that swapping it in leaves nothing behind."""

import pytest
import torch
from torch import nn

from zipmap_pl.errors import UserError
from zipmap_pl.training.config import EmaConfig
from zipmap_pl.training.step.ema import Ema


@pytest.fixture
def model() -> nn.Linear:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    return model


def move(model: nn.Linear) -> torch.Tensor:
    with torch.no_grad():
        model.weight.add_(torch.randn_like(model.weight))
    return model.weight.detach().clone()


def test_the_average_is_the_weights_at_the_start_step_and_runs_from_there(model: nn.Linear) -> None:
    ema = Ema(model, EmaConfig(decay=0.9, start_step=2))
    weights = []
    for step in range(5):
        weights.append(move(model))
        ema.update(step, changed=True)
        assert ema.started(step + 1) == (step >= 2)
        if step == 2:
            assert torch.equal(ema.averages["weight"], weights[2])
    expected = 0.9 * (0.9 * weights[2] + 0.1 * weights[3]) + 0.1 * weights[4]
    torch.testing.assert_close(ema.averages["weight"], expected)
    assert list(ema.averages) == ["weight"]  # what is not trained has no average


def test_a_skipped_step_leaves_the_average_but_does_not_miss_the_start(model: nn.Linear) -> None:
    ema = Ema(model, EmaConfig(decay=0.9, start_step=1))
    start = move(model)
    ema.update(1, changed=False)
    assert torch.equal(ema.averages["weight"], start)
    move(model)
    ema.update(2, changed=False)
    assert torch.equal(ema.averages["weight"], start)


def test_swapped_in_and_out_again_also_after_an_error(model: nn.Linear) -> None:
    ema = Ema(model, EmaConfig())
    average, weights = ema.averages["weight"].clone(), move(model)
    parameter = model.weight
    with pytest.raises(KeyError), ema.swapped_in():
        assert torch.equal(model.weight, average)
        raise KeyError
    assert model.weight is parameter
    assert torch.equal(model.weight, weights)
    assert torch.equal(ema.averages["weight"], average)


def test_averages_of_another_model_are_refused(model: nn.Linear) -> None:
    ema = Ema(model, EmaConfig())
    with pytest.raises(UserError, match="one is bias"):
        ema.load({"weight": torch.zeros(2, 3), "bias": torch.zeros(2)})
    ema.load({"weight": torch.zeros(2, 3)})
    assert not ema.averages["weight"].any()
