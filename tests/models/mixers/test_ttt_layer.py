"""The test-time-training layer against its definition: the gradient of a virtual loss, and a slow twin."""

import pytest
import torch
import torch.nn.functional as F

from zipmap_pl.models.config import TTTConfig
from zipmap_pl.models.layers.rope import grid_positions, rotation_at
from zipmap_pl.models.mixers import fast_weights
from zipmap_pl.models.mixers.fast_weights import FastWeights
from zipmap_pl.models.mixers.kinds.ttt import Mixer
from zipmap_pl.models.mixers.newton_schulz import COEFFICIENTS
from zipmap_pl.models.mixers.scene_mixer import FIT_THEN_READ_ALL, Operator, TokenGrid, windows

DIM, SCENES, TOKENS = 24, 2, 15
WINDOWS = [Operator(0, 5, update=True, apply=True), Operator(5, 10, True, True), Operator(10, None, True, True)]
QUERY = [Operator(0, 10, update=True), Operator(apply=True)]


def make_layer(head_dim=DIM, **changes):
    torch.manual_seed(0)
    settings = TTTConfig(head_dim=head_dim, newton_schulz_dtype="float64", **changes)
    layer = Mixer(DIM, 3, settings).double()
    with torch.no_grad():
        layer.o_norm.weight.normal_(1, 0.2)
        if layer.lr_fc is not None:
            layer.lr_fc.weight.mul_(20)  # learning rates that differ between tokens
    return layer


def tokens(count=TOKENS):
    return torch.randn(SCENES, count, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def grid_of(x):
    """Every token is a view, so that operators count tokens."""
    return TokenGrid(x.shape[1], 1, 1, 0, rotation_at(grid_positions(1, 1, 0), 8))


def run(layer, x, operators=FIT_THEN_READ_ALL, state=None):
    return layer(x, grid_of(x), operators, state)


def slow_newton_schulz(matrix, steps):
    a, b, c = COEFFICIENTS
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def slow_head(layer, head, x, operators):
    """One head of one scene by the definition, with autograd for the inner gradient. x: [L, C] -> read-outs [L, d]."""
    part = slice(head * layer.head_dim, (head + 1) * layer.head_dim)
    q, k, v = (F.silu(y)[:, part] for y in layer.to_qkv(x).chunk(3, dim=-1))
    q, k = q / (q.norm(dim=-1, keepdim=True) + 1e-5), k / (k.norm(dim=-1, keepdim=True) + 1e-5)
    rates = slow_rates(layer, x)[..., head]
    weights = [w[head].detach().clone() for w in (layer.w0, layer.w1, layer.w2)]
    norms = [w.norm(dim=0) for w in weights]
    velocity = [torch.zeros_like(w) for w in weights]
    outputs = []
    for operator in operators:
        span = slice(operator.start, operator.end)
        if operator.update:
            gradients = [virtual_gradient(weights, k[span], v[span], rates[span, i], i) for i in range(3)]
            velocity = [layer.config.momentum * m - g for m, g in zip(velocity, gradients, strict=True)]
            size = 1 if layer.config.global_learning_rate is None else layer.config.global_learning_rate
            steps = {
                "newton_schulz": [slow_newton_schulz(-g, layer.config.newton_schulz_steps) for g in gradients],
                "gradient": [-g for g in gradients],
                "momentum": velocity,
            }[layer.config.update_rule]
            weights = [w + size * step for w, step in zip(weights, steps, strict=True)]
            weights = [w / (w.norm(dim=0) + 1e-5) * n for w, n in zip(weights, norms, strict=True)]
        if operator.apply:
            outputs.append(swiglu(weights, q[span]))
    return torch.cat(outputs)


def slow_rates(layer, x):
    """[L, 3, heads]"""
    if layer.lr_fc is None:
        return torch.ones(len(x), 3, layer.heads, dtype=x.dtype)
    shift = torch.tensor(0.01, dtype=torch.float64).expm1().log()
    return F.softplus(layer.lr_fc(x) + shift).unflatten(-1, (3, layer.heads))


def swiglu(weights, x):
    w0, w1, w2 = weights
    return (F.silu(x @ w0) * (x @ w2)) @ w1


def virtual_gradient(weights, k, v, rate, index):
    weights = [w.detach().requires_grad_() for w in weights]
    with torch.enable_grad():
        loss = -(rate.unsqueeze(-1) * swiglu(weights, k) * v).sum()
    return torch.autograd.grad(loss, weights[index])[0]


def slow_layer(layer, x, operators):
    outputs = []
    for scene in x:
        heads = [slow_head(layer, head, scene, operators) for head in range(layer.heads)]
        read_out = torch.cat(
            [h / (h.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * layer.o_norm.weight for h in heads], dim=-1
        )
        gate = F.silu(layer.gate_fn[0](scene)) if layer.gate_fn is not None else 1
        outputs.append(layer.c_proj(read_out * gate))
    return torch.stack(outputs)


@pytest.mark.parametrize("head_dim", [DIM, 8])
def test_descent_directions_are_the_gradient_of_the_virtual_loss(head_dim):
    generator = torch.Generator().manual_seed(2)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    weights = FastWeights(draw(1, head_dim, 16), draw(1, 16, head_dim), draw(1, head_dim, 16))
    k, v, rates = draw(1, 9, head_dim), draw(1, 9, head_dim), draw(3, 1, 9, 1).exp()
    found = fast_weights.descent_directions(weights, k, v, FastWeights(*rates))
    for index in range(3):
        expected = -virtual_gradient([w[0] for w in weights], k[0], v[0], rates[index, 0, :, 0], index)
        torch.testing.assert_close(found[index][0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("head_dim", [DIM, 8])
@pytest.mark.parametrize("operators", [[Operator(update=True), Operator(apply=True)], WINDOWS, QUERY])
def test_layer_equals_its_slow_twin(head_dim, operators):
    layer = make_layer(head_dim)
    with torch.no_grad():
        found, _ = run(layer, tokens(), operators)
        expected = slow_layer(layer, tokens(), operators)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    "changes",
    [
        {"gate": False},
        {"hidden_multiple": 1},
        {"newton_schulz_steps": 0},
        {"update_rule": "gradient"},
        {"update_rule": "momentum", "momentum": 0.7},
        {"global_learning_rate": 0.1},
        {"global_learning_rate": 1.0},
        {"global_learning_rate": 0.1, "update_rule": "gradient"},
    ],
    ids=str,
)
def test_settings_of_the_layer(changes):
    layer = make_layer(8, **changes)
    with torch.no_grad():
        found, _ = run(layer, tokens(), WINDOWS)
        expected = slow_layer(layer, tokens(), WINDOWS)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("changes", [{}, {"update_rule": "momentum"}], ids=str)
def test_windows_one_call_after_another_are_one_call(changes):
    layer, x = make_layer(8, **changes), tokens()
    together, _ = run(layer, x, WINDOWS)
    state, parts = None, []
    for start in range(0, TOKENS, 5):
        part, state = run(layer, x[:, start : start + 5], state=state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), together, rtol=1e-12, atol=1e-12)


def test_directions_of_parts_of_a_scene_add_up():
    layer, x = make_layer(8), tokens()
    state = layer.start(SCENES)
    parts = [layer.directions(part, grid_of(part), state) for part in (x[:, :4], x[:, 4:])]
    for name, whole in layer.directions(x, grid_of(x), state).items():
        torch.testing.assert_close(sum(part[name] for part in parts), whole, rtol=1e-12, atol=1e-12)


def test_token_order_does_not_matter():
    layer, x = make_layer(8), tokens()
    order = torch.randperm(TOKENS, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(run(layer, x[:, order])[0], run(layer, x)[0][:, order], rtol=1e-9, atol=1e-10)


def test_base_learning_rate_is_that_of_a_zero_projection():
    layer = make_layer(8, base_learning_rate=0.03)
    torch.nn.init.zeros_(layer.lr_fc.weight)
    torch.nn.init.zeros_(layer.lr_fc.bias)
    for rates in layer._learning_rates(tokens()):
        torch.testing.assert_close(rates, torch.full((6, TOKENS, 1), 0.03, dtype=torch.float64))


def test_update_restores_column_norms_and_changes_the_weights():
    layer = make_layer(8)
    _, state = run(layer, tokens(), WINDOWS)
    for name in FastWeights._fields:
        fitted, start = state[f"weights.{name}"], getattr(layer, name).repeat(SCENES, 1, 1)
        torch.testing.assert_close(fitted.norm(dim=1), start.norm(dim=1), rtol=3e-5, atol=0)
        assert (fitted - start).norm() > 0.1 * start.norm()


def test_reference_norms_carry_no_gradient():
    layer = make_layer(8)
    _, state = run(layer, tokens())
    assert {name: tensor.requires_grad for name, tensor in state.items()} == {
        f"{part}.{name}": part == "weights" for part in ("weights", "norms") for name in FastWeights._fields
    }


def test_operators_count_views_of_several_tokens():
    layer, x = make_layer(8), tokens()
    three_views = TokenGrid(3, 2, 2, 1, rotation_at(grid_positions(2, 2, 1), 8))
    found, _ = layer(x, three_views, windows(3, 1))
    assert torch.equal(found, run(layer, x, WINDOWS)[0])
    assert windows(3, 2) == (Operator(0, 2, True, True), Operator(2, 3, True, True))


def test_windows_are_causal():
    layer, x = make_layer(8), tokens()
    changed = x.clone()
    changed[:, 10:] += 1
    before, after = run(layer, x, WINDOWS)[0], run(layer, changed, WINDOWS)[0]
    assert torch.equal(before[:, :10], after[:, :10])
    assert not torch.allclose(before[:, 10:], after[:, 10:])


def test_continuing_from_a_state_equals_one_call():
    layer, x = make_layer(8), tokens()
    whole, final = run(layer, x, WINDOWS)
    state, parts = None, []
    for window in x.split(5, dim=1):
        part, state = run(layer, window, state=state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, final)


def test_queries_leave_the_answers_of_the_input_tokens_alone():
    layer, x = make_layer(8), tokens()
    inputs_only, state = run(layer, x[:, :10])
    with_queries, _ = run(layer, x, QUERY)
    torch.testing.assert_close(with_queries[:, :10], inputs_only, rtol=1e-12, atol=1e-12)
    later, unchanged = run(layer, x[:, 10:], [Operator(apply=True)], state)
    torch.testing.assert_close(later, with_queries[:, 10:], rtol=1e-12, atol=1e-12)
    assert all(torch.equal(a, b) for a, b in zip(unchanged.values(), state.values(), strict=True))


def test_scenes_do_not_touch_each_other():
    layer, x = make_layer(8), tokens()
    changed = x.clone()
    changed[1] += 1
    torch.testing.assert_close(run(layer, changed)[0][0], run(layer, x)[0][0], rtol=1e-12, atol=1e-12)
