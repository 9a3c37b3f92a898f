"""The YAML files of conf/model: the models that they name, and the sizes of DINOv2 that they can ask for."""

from dataclasses import replace

import pytest
import timm
import torch
from published_models import golden, small_config

from zipmap_pl.checkpoints.recognition import is_vggt, model_config_of
from zipmap_pl.models.config import CameraHeadConfig, ModelConfig, TokenizerConfig
from zipmap_pl.models.dinov2 import DinoV2
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import compose

PLAIN = ["model.checkpoint_activations=false", "model.ttt.newton_schulz_dtype=float32"]  # as the golden files were made
MLP = CameraHeadConfig(kind="mlp")


def settings_of(name, *overrides):
    return compose([f"model={name}", *overrides]).model


def on_meta(build):
    with torch.device("meta"):
        return build()


def parameters_of(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "reference_view", "tensors", "parameters"),
    [
        ("zipmap", True, 1499, 1_366_873_663),
        ("zipmap_streaming", False, 1434, 1_167_558_198),
        ("zipmap_query", True, 1566, 1_401_342_852),
        ("vggt", True, 1797 - 62 - 394, 1_157_941_492),  # VGGT-1B without its heads for points and tracks
        ("small", True, 1499 - 12 * 14, 220_631_999),
    ],
)
def test_sizes(name, reference_view, tensors, parameters):
    config = settings_of(name)
    model = on_meta(lambda: ZipMap(config))
    assert config.reference_view == reference_view
    assert config.ttt.newton_schulz_dtype == "bfloat16"
    assert len(model.state_dict()) == tensors
    assert parameters_of(model) == parameters


def test_vggt_is_what_the_published_tensors_of_vggt_mean():
    """The tensors of VGGT-1B: those of ZipMap with the names of the frame blocks in the global blocks, other heads."""
    shapes = {key: shape for key, shape in golden("keys_full_size_affine.json").items() if ".ttt_block." not in key}
    frame = {key: shape for key, shape in shapes.items() if ".frame_blocks." in key}
    shapes |= {key.replace("frame_blocks", "global_blocks"): shape for key, shape in frame.items()}
    vggt = {
        key.replace("local_point_head", "point_head"): torch.empty(shape, device="meta")
        for key, shape in shapes.items()
    }
    config = model_config_of(vggt)
    assert is_vggt(config)
    assert settings_of("vggt", "model.checkpoint_activations=false") == replace(config, reference_view=True)


@pytest.mark.parametrize(
    ("overrides", "changes", "keys"),
    [
        ([], {}, "keys_small_reference_view.json"),
        (["model.global_mixer=softmax"], {"global_mixer": "softmax"}, "keys_softmax_global_attention.json"),
        (
            ["model.reference_view=false", "model.camera_head.kind=mlp"],
            {"reference_view": False, "camera_head": MLP},
            "keys_small_streaming.json",
        ),
        (["model.query_head=true"], {"query_head": True}, "keys_small_state_query.json"),
    ],
)  # fmt: skip
def test_the_small_golden_models_are_settings_of_small(overrides, changes, keys):
    config = settings_of("small", *PLAIN, *overrides)
    assert config == small_config(**changes)
    state = on_meta(lambda: ZipMap(config)).state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == golden(keys)


@pytest.mark.parametrize(
    ("size", "dim", "depth", "heads"), [("small", 384, 12, 6), ("base", 768, 12, 12), ("large", 1024, 24, 16)]
)
def test_tokenizers_are_the_dinov2_of_their_size(size, dim, depth, heads):
    tokenizer = TokenizerConfig(depth=depth, heads=heads)
    ours = on_meta(lambda: DinoV2(dim, 14, tokenizer, checkpoint_activations=False))
    theirs = on_meta(lambda: timm.create_model(f"vit_{size}_patch14_reg4_dinov2"))
    # timm adds the class position to the class token, and has no mask token.
    assert parameters_of(ours) == parameters_of(theirs) + dim + dim
    assert {key: value.shape for key, value in ours.blocks.state_dict().items()} == {
        key: value.shape for key, value in theirs.blocks.state_dict().items()
    }
    assert [block.attn.num_heads for block in ours.blocks] == [block.attn.num_heads for block in theirs.blocks]


def test_a_base_model_looks_at_pictures():
    """The middle size of DINOv2, from settings alone; four block pairs, so that it is quick."""
    pairs = ["model.depth=4", "model.feature_blocks=[0,1,2,3]"]
    sizes = ["model.embed_dim=768", "model.heads=12", "model.ttt.head_dim=768", "model.tokenizer.heads=12"]
    torch.manual_seed(0)
    model = ZipMap(settings_of("small", *PLAIN, *sizes, *pairs, "model.tokenizer.depth=2")).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 2, 3, 28, 28)).depth.isfinite().all()


def test_the_defaults_are_the_published_model():
    assert settings_of("zipmap", "model.checkpoint_activations=false") == ModelConfig()
