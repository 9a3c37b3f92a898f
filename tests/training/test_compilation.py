"""Compiled blocks: the same numbers, the same keys, and no new graphs for other numbers of views."""

from shutil import which

import pytest
import torch

from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import compose
from zipmap_pl.training.step.compilation import compile_blocks, compiled_graphs


@pytest.mark.skipif(which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.parametrize(
    ("dtype", "width", "head_dim", "error"),
    [pytest.param("float32", 24, 8, 1e-3, marks=pytest.mark.long), ("bfloat16", 96, 32, 0.6)],
)
def test_what_inductor_makes_of_the_blocks_has_the_same_gradients(dtype, width, head_dim, error) -> None:
    """Newton-Schulz in bfloat16 rounds so coarsely that pictures which differ by a millionth move the gradients by a third."""
    torch.manual_seed(0)
    settings = [
        f"embed_dim={width}",
        f"ttt.head_dim={head_dim}",
        f"ttt.newton_schulz_dtype={dtype}",
        "tokenizer.depth=1",
    ]
    model = ZipMap(compose([f"model.{setting}" for setting in settings]).model)
    images = torch.rand(1, 2, 3, 28, 28)
    gradients = []
    for _ in range(2):
        model(images).depth.sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        model.zero_grad(set_to_none=True)
        compile_blocks(model)
    plain, compiled = gradients
    assert plain.keys() == compiled.keys()
    rounding = 1e-6 * max(float(gradient.norm()) for gradient in plain.values())
    for name, gradient in plain.items():
        assert compiled[name].isfinite().all(), name
        # Only the ratios of the learning rates matter, so the gradient of what moves them all together is rounding.
        if dtype == "float32" or not name.endswith("lr_fc.bias"):
            assert (compiled[name] - gradient).norm() <= error * gradient.norm() + rounding, name


def test_compiled_blocks_give_the_same_and_are_not_compiled_anew_for_other_shapes() -> None:
    torch.manual_seed(0)
    model = ZipMap(compose(["model.embed_dim=48", "model.tokenizer.depth=1", "model.ttt.head_dim=16"]).model)
    images = torch.rand(1, 4, 3, 56, 56)
    plain = model(images[:, :3]).depth
    plain.sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    keys = list(model.state_dict())
    compile_blocks(model, backend="eager")  # the same graphs as inductor, without its compiler
    before = compiled_graphs()
    compiled = model(images[:, :3]).depth
    torch.testing.assert_close(compiled, plain)
    compiled.sum().backward()
    for name, gradient in gradients.items():
        torch.testing.assert_close(model.get_parameter(name).grad, gradient)
    model(images[:, :2, :, :42])
    warm = compiled_graphs()
    assert warm > before
    model(images)
    model(images[:, :4, :, :28])
    assert compiled_graphs() == warm
    assert list(model.state_dict()) == keys
