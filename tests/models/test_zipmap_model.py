"""The whole network at the size of the demo: shapes, symmetries, gradients, precision, refusals."""

from dataclasses import replace

import pytest
import torch
from published_models import set_newton_schulz_dtype, tiny_config

from zipmap_pl.errors import UserError
from zipmap_pl.models.config import CameraHeadConfig, DenseHeadConfig, ModelConfig, TokenizerConfig, TTTConfig
from zipmap_pl.models.zipmap import ZipMap


def make_model(config):
    torch.manual_seed(0)
    return ZipMap(config)


def pictures(*shape, dtype=torch.float32):
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(1))


def outputs(prediction):
    return [prediction.pose_enc, prediction.depth, prediction.depth_conf, prediction.local_points]


def some_loss(prediction):
    if prediction.nvs_pred is not None:
        queried = prediction.nvs_pred.square().mean() + prediction.nvs_depth_conf.log().mean()
        return queried + some_loss(replace(prediction, nvs_pred=None))
    maps = prediction.depth.mean() + prediction.depth_conf.log().mean() + prediction.local_points.square().mean()
    return maps + sum((encoding - 1).abs().mean() for encoding in prediction.pose_enc_list)


def test_tiny_size():
    model = make_model(tiny_config())
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(2.05e6, rel=5e-3)
    prediction = model(pictures(2, 3, 3, 42, 56), keep_state=True)
    assert prediction.pose_enc.shape == (2, 3, 9)
    assert len(prediction.pose_enc_list) == 4 and prediction.pose_enc_list[-1] is prediction.pose_enc
    assert prediction.depth.shape == (2, 3, 42, 56, 1) and (prediction.depth > 0).all()
    assert prediction.depth_conf.shape == (2, 3, 42, 56) and (prediction.depth_conf > 1).all()
    assert prediction.local_points.shape == (2, 3, 42, 56, 3)
    assert [state["weights.w0"].shape for state in prediction.state.layers] == [(2 * 3, 32, 64)] * 4


def test_one_scene_without_the_scene_axis():
    model, images = make_model(tiny_config()).eval(), pictures(2, 3, 28, 28)
    with torch.no_grad():
        prediction = model(images)
        for one, batch in zip(outputs(prediction), outputs(model(images[None])), strict=True):
            assert torch.equal(one, batch)
    assert prediction.state is None


def test_pictures_and_rays_as_numpy_makes_them():
    """In float64, which no convolution of a model in float32 takes."""
    model = make_model(tiny_config(query_head=True)).eval()
    images, rays = pictures(1, 2, 3, 28, 28, dtype=torch.float64), pictures(1, 1, 9, 28, 28, dtype=torch.float64)
    with torch.no_grad():
        found, expected = model(images, target_rays=rays), model(images.float(), target_rays=rays.float())
        in_chunks = model(images, views_per_chunk=1)
    for one, other in zip([*outputs(found), found.nvs_pred], [*outputs(expected), expected.nvs_pred], strict=True):
        assert torch.equal(one, other)
    assert in_chunks.depth.dtype == torch.float32


@pytest.mark.parametrize("mixer", ["ttt", "softmax"])
def test_affine_invariant_model_does_not_know_the_order_of_views(mixer):
    model = make_model(tiny_config(reference_view=False, global_mixer=mixer)).double().eval()
    set_newton_schulz_dtype(model, torch.float64)
    images = pictures(1, 4, 3, 28, 42, dtype=torch.float64)
    order = [2, 0, 3, 1]
    with torch.no_grad():
        for straight, permuted in zip(outputs(model(images)), outputs(model(images[:, order])), strict=True):
            torch.testing.assert_close(permuted, straight[:, order], rtol=1e-8, atol=1e-9)


def test_reference_view_is_the_first_one():
    model = make_model(tiny_config(reference_view=True)).double().eval()
    set_newton_schulz_dtype(model, torch.float64)
    images = pictures(1, 3, 3, 28, 28, dtype=torch.float64)
    with torch.no_grad():
        straight = model(images).pose_enc
        others_swapped = model(images[:, [0, 2, 1]]).pose_enc
        first_moved = model(images[:, [1, 0, 2]]).pose_enc
    torch.testing.assert_close(others_swapped, straight[:, [0, 2, 1]], rtol=1e-8, atol=1e-9)
    assert (first_moved - straight[:, [1, 0, 2]]).abs().max() > 1e-3


@pytest.mark.parametrize("changes", [{}, {"reference_view": False}, {"global_mixer": "softmax"}])
def test_every_trainable_parameter_gets_a_gradient(changes):
    model = make_model(tiny_config(**changes))
    some_loss(model(pictures(1, 2, 3, 56, 56))).backward()
    missing = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_query_and_streaming_parts_get_a_gradient():
    head = CameraHeadConfig(kind="mlp")
    model = make_model(tiny_config(camera_head=head, query_head=True, checkpoint_activations=True)).train()
    some_loss(model(pictures(1, 2, 3, 28, 28), target_rays=pictures(1, 1, 9, 28, 28))).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert all(gradient.isfinite().all() for gradient in gradients.values())


@pytest.mark.parametrize("queried", [False, True])
def test_checkpointed_activations_give_the_same_gradients(queried):
    images, gradients = pictures(1, 2, 3, 28, 42), []
    rays = pictures(1, 1, 9, 28, 28) if queried else None
    for checkpoint in (False, True):
        model = make_model(tiny_config(checkpoint_activations=checkpoint, query_head=queried)).train()
        some_loss(model(images, target_rays=rays)).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(
            gradients[1][name], gradient, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_checkpointing_forgets_activations():
    saved = []
    for checkpoint in (False, True):
        model, count = make_model(tiny_config(checkpoint_activations=checkpoint)).train(), 0

        def keep(tensor):
            nonlocal count
            count += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(pictures(1, 2, 3, 28, 28))
        saved.append(count)
    assert saved[1] < 0.5 * saved[0]


def test_heads_stay_in_float32_under_autocast():
    model = make_model(tiny_config()).eval()
    seen = {}
    for name, module in {
        "head": model.depth_head.projects[0],
        "backbone": model.aggregator.frame_blocks[1].mlp,
    }.items():
        module.register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: out.dtype}))
    images = pictures(1, 2, 3, 28, 28)
    with torch.no_grad():
        expected = model(images)
        with torch.autocast("cpu", torch.bfloat16):
            prediction = model(images, keep_state=True)
    assert seen == {"head": torch.float32, "backbone": torch.bfloat16}
    assert all(output.dtype == torch.float32 for output in outputs(prediction))
    assert all(w.dtype == torch.float32 for state in prediction.state.layers for w in state.values())
    assert (prediction.depth - expected.depth).norm() < 0.05 * expected.depth.norm()


def test_published_weights_load_from_the_meta_device():
    trained = make_model(tiny_config()).eval()
    with torch.device("meta"):
        model = ZipMap(tiny_config())
    model.load_state_dict(trained.state_dict(), assign=True)
    images = pictures(1, 2, 3, 28, 28)
    with torch.no_grad():
        assert torch.equal(model.eval()(images).depth, trained(images).depth)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"global_mixer": "sofmax"}, r"global_mixer=sofmax, expected one of .*\bsoftmax, .*\bttt\b"),
        ({"heads": 7}, "heads=7, expected embed_dim=96"),
        ({"ttt": TTTConfig(head_dim=64)}, "ttt.head_dim=64, expected a divisor of embed_dim=96"),
        ({"ttt": TTTConfig(head_dim=32, newton_schulz_dtype="fp32")}, "newton_schulz_dtype=fp32"),
        ({"feature_blocks": [0, 1, 2]}, r"feature_blocks=\[0, 1, 2\], expected four"),
        ({"depth": 5}, "with depth=5, expected the last one to be 4"),
        ({"dense_head": DenseHeadConfig(level_channels=[16, 24, 32])}, "level_channels"),
        ({"tokenizer": TokenizerConfig(heads=5)}, "tokenizer.heads=5"),
        ({"camera_head": CameraHeadConfig(kind="mpl")}, "camera_head.kind=mpl, expected one of iterative, mlp"),
        ({"query_head": True, "global_mixer": "softmax"}, "query_head=true with global_mixer=softmax"),
        ({"feature_blocks": []}, r"feature_blocks=\[\], expected four"),
        ({"heads": 0}, "found heads=0, expected 1 or more$"),
        (
            {"embed_dim": -96, "patch_size": 0},
            "found embed_dim=-96, expected 1 or more; found patch_size=0, expected 1 or",
        ),
        ({"ttt": TTTConfig(head_dim=0)}, "ttt.head_dim=0, expected 1 or more"),
        ({"ttt": TTTConfig(newton_schulz_steps=-1)}, "ttt.newton_schulz_steps=-1, expected 0 or more"),
        ({"ttt": TTTConfig(base_learning_rate=0)}, "ttt.base_learning_rate=0, expected more than 0"),
        ({"ttt": TTTConfig(global_learning_rate=-0.1)}, "ttt.global_learning_rate=-0.1, expected more than 0"),
        ({"tokenizer": TokenizerConfig(heads=0)}, "tokenizer.heads=0, expected 1 or more"),
        ({"camera_head": CameraHeadConfig(iterations=0)}, "camera_head.iterations=0, expected 1 or more"),
        ({"dense_head": DenseHeadConfig(views_per_chunk=0)}, "dense_head.views_per_chunk=0, expected 1 or more"),
        ({"dense_head": DenseHeadConfig(level_channels=[0, 4, 4, 4])}, "level_channels"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        tiny_config(**changes)


def test_default_sizes_fit():
    assert replace(ModelConfig(), reference_view=False).ttt.head_dim == 1024
