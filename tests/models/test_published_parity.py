"""The network gives the published numbers for the published parameters' names and shapes."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from published_models import golden, golden_model, relative_error, set_newton_schulz_dtype, small_config
from torch.utils._python_dispatch import TorchDispatchMode

from zipmap_pl.models.config import CameraHeadConfig, ModelConfig, TTTConfig
from zipmap_pl.models.sequences.token_store import Storage
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import compose

OUTPUTS = ("pose_enc", "depth", "depth_conf", "local_points")


@pytest.fixture(scope="module")
def small_model():
    """In reference-view mode with Newton-Schulz in float32; tests put back what they change."""
    return golden_model(small_config())


def run(model, images, **more):
    with torch.no_grad():
        return model(images, keep_state=True, **more)


def errors(prediction, expected, prefix):
    """Relative error of every stored output, state included."""
    found = {name: getattr(prediction, name) for name in OUTPUTS}
    found["pose_enc_all"] = torch.stack(prediction.pose_enc_list)
    if prediction.nvs_pred is not None:
        found |= {name: getattr(prediction, name) for name in ("nvs_pred", "nvs_depth_conf")}
    if prediction.state is not None:
        layers = prediction.state.layers
        found["state_w0_layer0_slice"] = layers[0]["weights.w0"][:, :8, :8]
        found["state_w1_layer0_slice"] = layers[0]["weights.w1"][:, :8, :8]
        found["state_w2_last_slice"] = layers[-1]["weights.w2"][:, :8, :8]
        names = ("weights.w0", "weights.w1", "weights.w2")
        found["state_norms"] = torch.tensor([[float(state[name].norm()) for name in names] for state in layers])
    return {
        name: relative_error(value, expected[prefix + name])
        for name, value in found.items()
        if prefix + name in expected
    }


def test_reference_view(small_model):
    expected = golden("bidirectional_reference_view.npz")
    intermediate = {}
    modules = {
        "patch_tokens": small_model.aggregator.patch_embed,
        "after_frame0": small_model.aggregator.frame_blocks[0],
        "after_global0": small_model.aggregator.global_blocks[0],
    }
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, name=name: intermediate.update({name: out}))
        for name, module in modules.items()
    ]
    prediction = run(small_model, expected["images"])
    for hook in hooks:
        hook.remove()
    intermediate["after_global0"] = intermediate["after_global0"][0]
    for name, value in intermediate.items():
        assert relative_error(value, expected["fp32/" + name]) < 1e-5, name
    found = errors(prediction, expected, "fp32/")
    assert len(found) == 9 and max(found.values()) < 1e-4, found


def test_views_in_chunks(small_model):
    expected = golden("bidirectional_reference_view.npz")
    found = errors(
        run(small_model, expected["images"], views_per_chunk=2, storage=Storage("float32")),
        expected,
        "fp32/",
    )
    assert len(found) == 9 and max(found.values()) < 1e-4, found


def test_affine_invariant(small_model, monkeypatch):
    monkeypatch.setattr(small_model.aggregator, "reference_view", False)
    expected = golden("bidirectional_affine.npz")
    found = errors(run(small_model, expected["images"]), expected, "fp32/")
    assert len(found) == 9 and max(found.values()) < 1e-4, found


class FastProducts(TorchDispatchMode):
    """Products of bfloat16 matrices as units made for them give: sums in float32, rounded once at the end.

    A processor without such units takes 40 times longer for the same in its bfloat16 kernels.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.bmm, torch.ops.aten.baddbmm) and args[0].dtype == torch.bfloat16:
            return func(*(matrix.float() for matrix in args), **(kwargs or {})).bfloat16()
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("products", [FastProducts, pytest.param(nullcontext, marks=pytest.mark.long)])
def test_newton_schulz_in_bfloat16(small_model, products):
    expected = golden("bidirectional_reference_view.npz")
    set_newton_schulz_dtype(small_model, torch.bfloat16)
    try:
        with products():
            prediction = run(small_model, expected["images"])
    finally:
        set_newton_schulz_dtype(small_model, torch.float32)
    found = errors(prediction, expected, "bf16/")
    assert len(found) == 9 and max(found.values()) < 5e-2, found
    unrounded = errors(prediction, expected, "fp32/")
    assert max(unrounded.values()) > 1e-3, unrounded  # it was bfloat16


def test_softmax_scene_blocks():
    expected = golden("softmax_global_attention.npz")
    model = golden_model(small_config(global_mixer="softmax"))
    prediction = run(model, expected["images"])
    assert prediction.state is None
    found = errors(prediction, expected, "")
    assert len(found) == 4 and max(found.values()) < 1e-4, found


def test_streaming():
    expected = golden("streaming_window1.npz")
    model = golden_model(small_config(reference_view=False, camera_head=CameraHeadConfig(kind="mlp")))
    found = errors(run(model, expected["images"]), expected, "fp32/")
    assert len(found) == 8 and max(found.values()) < 1e-4, found


@pytest.mark.long
def test_streaming_session():
    expected = golden("streaming_window1.npz")
    model = golden_model(small_config(reference_view=False, camera_head=CameraHeadConfig(kind="mlp")))
    prediction, stream = run(model, expected["images"]), model.stream()
    frames = [stream.push(frame) for frame in expected["images"][0]]
    for name in OUTPUTS:
        one_by_one = torch.cat([getattr(frame, name) for frame in frames], dim=1)
        assert relative_error(one_by_one, getattr(prediction, name)) < 1e-5, name


def test_state_query():
    expected = golden("state_query.npz")
    model = golden_model(small_config(query_head=True))
    prediction = run(model, expected["images"], target_rays=expected["target_rays"])
    found = errors(prediction, expected, "fp32/")
    assert len(found) == 11 and max(found.values()) < 1e-4, found

    with torch.no_grad():
        again = model.query(prediction.state, expected["target_rays"])
        later = model.query(prediction.state, expected["render_rays"])
    assert torch.equal(again.nvs_pred, prediction.nvs_pred)
    assert torch.equal(again.nvs_depth_conf, prediction.nvs_depth_conf)
    assert relative_error(later.nvs_pred, expected["fp32/render_pred"]) < 1e-4
    assert relative_error(later.nvs_depth_conf, expected["fp32/render_conf"]) < 1e-4


@pytest.mark.long
def test_full_size():
    """Needs 8 GB of memory."""
    expected = golden("full_size_affine.npz")
    config = ModelConfig(reference_view=False, ttt=replace(TTTConfig(), newton_schulz_dtype="float32"))
    found = errors(run(golden_model(config), expected["images"]), expected, "fp32/")
    assert len(found) == 9 and max(found.values()) < 5e-3, found


@pytest.mark.parametrize(
    ("keys", "changes"),
    [
        ("keys_small_reference_view.json", {}),
        ("keys_softmax_global_attention.json", {"global_mixer": "softmax"}),
        ("keys_small_streaming.json", {"reference_view": False, "camera_head": CameraHeadConfig(kind="mlp")}),
        ("keys_small_state_query.json", {"query_head": True}),
    ],
)
def test_small_state_dict_is_the_published_key_layout(keys, changes):
    with torch.device("meta"):
        model = ZipMap(small_config(**changes))
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == golden(keys)


def test_default_config_is_the_published_model():
    with torch.device("meta"):
        model = ZipMap(ModelConfig())
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == golden(
        "keys_full_size_affine.json"
    )
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_366_873_663
    assert [name for name, parameter in model.named_parameters() if not parameter.requires_grad] == [
        "aggregator.patch_embed.mask_token"
    ]


@pytest.mark.parametrize(
    ("name", "reference_view", "parameters"),
    [
        ("zipmap", True, 1_366_873_663),
        ("zipmap_streaming", False, 1_167_558_198),
        ("zipmap_query", True, 1_401_342_852),
    ],
)
def test_settings_of_the_published_models(name, reference_view, parameters):
    config = compose([f"model={name}"]).model
    with torch.device("meta"):
        model = ZipMap(config)
    assert config.reference_view == reference_view
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
