"""Newton-Schulz, rotary embedding, attention, position grids and dense heads, each on its own."""

import pytest
import torch

from zipmap_pl.models.config import DenseHeadConfig, TokenizerConfig
from zipmap_pl.models.dinov2 import DinoV2
from zipmap_pl.models.heads.activations import colour_and_depth, depth_and_confidence, local_points, pose_encoding
from zipmap_pl.models.heads.dense import DPTHead
from zipmap_pl.models.layers.attention import RotaryAttention
from zipmap_pl.models.layers.rope import grid_positions, rotate, rotation_at
from zipmap_pl.models.mixers.newton_schulz import newton_schulz


@pytest.mark.parametrize("shape", [(3, 20, 40), (3, 40, 20), (3, 24, 24)])
def test_newton_schulz_pulls_singular_values_towards_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 7
    u, s, vt = torch.linalg.svd(matrices, full_matrices=False)
    found = newton_schulz(matrices, 5, torch.float32)
    values = torch.linalg.diagonal(u.mT @ found @ vt.mT)  # the singular vectors stay
    steep = s > 0.05 * s.amax(-1, keepdim=True)
    assert values[steep].min() > 0.6 and values[steep].max() < 1.2
    torch.testing.assert_close((u * values.unsqueeze(-2)) @ vt, found, rtol=0, atol=1e-4)


def test_newton_schulz_keeps_its_dtype_under_autocast():
    matrices = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        inside = newton_schulz(matrices, 5, torch.float32)
    assert torch.equal(inside, newton_schulz(matrices, 5, torch.float32))
    assert newton_schulz(matrices, 5, torch.bfloat16).dtype == torch.bfloat16


def test_newton_schulz_without_steps_divides_by_the_frobenius_norm():
    matrices = torch.randn(2, 8, 16, dtype=torch.float64)
    expected = matrices / matrices.flatten(1).norm(dim=1)[:, None, None]
    torch.testing.assert_close(newton_schulz(matrices, 0, torch.float64), expected, rtol=1e-6, atol=0)


def test_rotary_products_depend_on_the_difference_of_positions_only():
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 16, dtype=torch.float64, generator=generator)

    def product(position_q, position_k):
        rotation = rotation_at(torch.tensor([position_q, position_k]), 16, torch.float64)
        turned = rotate(torch.stack([q, k]), rotation)
        return turned[0] @ turned[1]

    torch.testing.assert_close(product((1, 2), (4, 7)), product((11, 22), (14, 27)))
    assert abs(product((1, 2), (4, 7)) - product((1, 2), (7, 4))) > 1e-3
    torch.testing.assert_close(product((0, 0), (0, 0)), q @ k)


def test_grid_positions_start_at_one_and_special_tokens_stay_at_the_origin():
    assert grid_positions(2, 3, specials=1).tolist() == [[0, 0], [1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3]]


def test_rotary_attention_equals_plain_softmax():
    torch.manual_seed(0)
    attention = RotaryAttention(24, 2).double()
    rotation = rotation_at(grid_positions(2, 3, specials=1), 12, torch.float64)
    x = torch.randn(2, 7, 24, dtype=torch.float64)
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    heads = []
    for part in (slice(0, 12), slice(12, 24)):
        turned_q = rotate(attention.q_norm(q[..., part]), rotation)
        turned_k = rotate(attention.k_norm(k[..., part]), rotation)
        heads.append((turned_q @ turned_k.mT / 12**0.5).softmax(-1) @ v[..., part])
    torch.testing.assert_close(attention(x, rotation), attention.proj(torch.cat(heads, -1)))


def test_tokenizer_at_its_trained_grid_uses_the_positions_as_they_are():
    torch.manual_seed(0)
    tokenizer = DinoV2(16, 4, TokenizerConfig(depth=1, heads=2, position_grid=3), checkpoint_activations=False)
    _, positions = tokenizer._positions(3, 3, torch.float32)
    assert torch.equal(positions, tokenizer.pos_embed[:, 1:])
    _, stretched = tokenizer._positions(5, 2, torch.float32)
    assert stretched.shape == (1, 10, 16)


def test_views_per_chunk_changes_nothing():
    torch.manual_seed(0)
    config = DenseHeadConfig(features=16, level_channels=[8, 8, 12, 16], hidden=8, views_per_chunk=8)
    head = DPTHead(32, 14, 3, config, checkpoint_activations=False).double()
    levels = [torch.randn(5, 6, 32, dtype=torch.float64) for _ in range(4)]
    whole = head(levels, 28, 42)
    head.views_per_chunk = 2
    assert whole.shape == (5, 28, 42, 3)
    torch.testing.assert_close(head(levels, 28, 42), whole, rtol=1e-12, atol=1e-12)


def test_activations():
    depth, confidence = depth_and_confidence(torch.tensor([0.5, -1.0]))
    torch.testing.assert_close(depth, torch.tensor([0.5]).exp())
    torch.testing.assert_close(confidence, 1 + torch.tensor(-1.0).exp())
    torch.testing.assert_close(
        local_points(torch.tensor([2.0, -3.0, 0.5])), torch.tensor([2.0, -3.0, 1.0]) * torch.tensor(0.5).exp()
    )
    seen, confidence = colour_and_depth(torch.tensor([0.0, 2.0, -2.0, 0.5, -1.0]))
    torch.testing.assert_close(seen[:3], torch.tensor([0.0, 2.0, -2.0]).sigmoid())
    torch.testing.assert_close((seen[3], confidence), (torch.tensor(0.5).exp(), 1 + torch.tensor(-1.0).exp()))
    raw = torch.tensor([-1.0, 2, -3, 4, -5, 6, -7, -0.5, 0.8])
    assert pose_encoding(raw).tolist() == [-1, 2, -3, 4, -5, 6, -7, 0, pytest.approx(0.8)]


def test_a_head_that_recomputes_keeps_the_features_and_nothing_in_the_size_of_the_pictures():
    config = DenseHeadConfig(features=8, level_channels=[8, 8, 8, 8], hidden=8, views_per_chunk=2)
    head = DPTHead(32, 14, 3, config, checkpoint_activations=True).train()
    levels = [torch.rand(3, 2 * 4, 32, requires_grad=True) for _ in range(4)]
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        head(levels, 28, 56).sum()
    assert sum(kept.values()) == sum(level.nbytes for level in levels)
