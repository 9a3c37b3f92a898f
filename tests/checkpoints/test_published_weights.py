"""Published weights come in, give the published numbers and go out bit for bit; every bad input is told in one line."""

import json
import logging
import os
import pickle
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from published_models import golden, relative_error, set_newton_schulz_dtype, tiny_config
from published_weights import as_vggt, golden_weights, published_config
from safetensors.torch import load_file, save_file

import zipmap_pl
from zipmap_pl.checkpoints.load import load_any
from zipmap_pl.checkpoints.published import PUBLISHED_TERMS, from_published, save_published
from zipmap_pl.checkpoints.start import start_from
from zipmap_pl.errors import UserError
from zipmap_pl.geometry.pose_encoding import decode_intrinsics
from zipmap_pl.geometry.projection import unproject
from zipmap_pl.models.config import TTTConfig
from zipmap_pl.models.zipmap import ZipMap


def same(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)


def one_line(error):
    return "\n" not in str(error.value)


def test_the_package_offers_it_without_importing_it():
    assert zipmap_pl.from_published is from_published
    with pytest.raises(AttributeError, match="from_nowhere"):
        _ = zipmap_pl.from_nowhere


def test_small_model_in_and_out_and_its_golden_numbers(tmp_path):
    weights = golden_weights("keys_small_reference_view.json")
    first, second = tmp_path / "checkpoint_aff_inv.safetensors", tmp_path / "again.safetensors"
    save_file(weights, first)
    save_published(from_published(first, reference_view=False), second)
    first.unlink()  # 0.9 GB
    model = from_published(second)
    second.unlink()
    assert not model.training
    assert same(model.state_dict(), weights)
    expected = golden("bidirectional_affine.npz")
    set_newton_schulz_dtype(model, torch.float32)
    with torch.no_grad():
        prediction = model(expected["images"])
    for name in ("pose_enc", "depth", "depth_conf", "local_points"):
        assert relative_error(getattr(prediction, name), expected[f"fp32/{name}"]) < 1e-4, name


@pytest.mark.parametrize(
    ("keys", "file", "reference_view", "views", "names"),
    [
        ("keys_small_streaming.json", "streaming_window1.npz", False, 2, ("pose_enc", "depth", "local_points")),
        ("keys_small_state_query.json", "state_query.npz", True, 4, ("pose_enc", "nvs_pred", "nvs_depth_conf")),
    ],
)
def test_streaming_and_query_models(keys, file, reference_view, views, names):
    expected = golden(file)
    model = from_published(golden_weights(keys), reference_view)
    set_newton_schulz_dtype(model, torch.float32)
    with torch.no_grad():
        prediction = model(expected["images"][:, :views], target_rays=expected.get("target_rays"))
    for name in names:  # later views do not change earlier ones of a stream
        assert relative_error(getattr(prediction, name), expected[f"fp32/{name}"][:, :views]) < 1e-4, name


def test_vggt_is_the_softmax_sibling():
    expected = golden("softmax_global_attention.npz")
    model = from_published(as_vggt(golden_weights("keys_softmax_global_attention.json")))
    assert model.config.global_mixer == "softmax"
    assert model.config.reference_view
    with torch.no_grad():
        prediction = model(expected["images"])
    for name in ("pose_enc", "depth", "depth_conf"):
        assert relative_error(getattr(prediction, name), expected[name]) < 1e-4, name
    height, width = expected["images"].shape[-2:]
    intrinsics = decode_intrinsics(prediction.pose_enc, height, width)
    torch.testing.assert_close(prediction.local_points, unproject(prediction.depth[..., 0], intrinsics))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_the_way_back_keeps_tensors_and_settings(suffix, tmp_path):
    ttt = TTTConfig(head_dim=32, gate=False, update_rule="momentum", momentum=0.8, global_learning_rate=0.1)
    model = ZipMap(tiny_config(reference_view=False, ttt=ttt))
    path = tmp_path / f"mine{suffix}"
    save_published(model, path)
    again = from_published(path)
    assert again.config == model.config
    assert same(again.state_dict(), model.state_dict())
    plain = torch.load(path, weights_only=True)["model"] if suffix == ".pt" else load_file(path)
    assert same(plain, model.state_dict())
    save_published(again, path)  # over the file that it was read from
    assert same(from_published(path).state_dict(), model.state_dict())
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_whatever_the_tensors_are_wrapped_in(weights, tmp_path):
    prefixed = {
        "aggregator.camera_token": "module._orig_mod.aggregator.camera_token",
        "camera_head.token_norm.bias": "camera_head._fsdp_wrapped_module.token_norm.bias",
    }
    forms = [
        weights,
        {"model": weights, "optimizer": {"state": {}}, "epoch": 3, "ema": {}},
        {"ema": weights, "update_steps": 7},
        {prefixed.get(key, key): value for key, value in weights.items()},
        {f"module.{key}": value for key, value in weights.items()},
    ]
    for form in forms:
        torch.save(form, tmp_path / "file.pt")
        assert same(from_published(tmp_path / "file.pt", reference_view=True).state_dict(), weights)
    with pytest.raises(UserError, match="camera_token twice"):
        from_published({**weights, "module.aggregator.camera_token": torch.zeros(1)}, reference_view=True)


def test_a_state_dict_is_copied_for_training_and_half_precision_becomes_float32(weights):
    model = from_published(weights, reference_view=True)
    fixed = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert fixed == ["aggregator.patch_embed.mask_token"]
    with torch.no_grad():
        model.aggregator.camera_token.fill_(7)
    assert not (weights["aggregator.camera_token"] == 7).any()
    halves = {key: value.bfloat16() for key, value in weights.items()}
    loaded = from_published(halves, reference_view=True).state_dict()
    assert same(loaded, {key: value.float() for key, value in halves.items()})


def test_terms_of_published_weights_are_told_once_and_travel(weights, tmp_path, caplog):
    torch.save(weights, tmp_path / "theirs.pt")
    model = from_published(tmp_path / "theirs.pt", reference_view=True)
    assert caplog.text.count("CC BY-NC 4.0") == 1
    save_published(model, tmp_path / "saved.safetensors")
    assert caplog.text.count("CC BY-NC 4.0") == 1
    assert from_published(tmp_path / "saved.safetensors").terms == PUBLISHED_TERMS
    assert caplog.text.count("CC BY-NC 4.0") == 2


def test_own_weights_have_no_terms(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    save_published(ZipMap(published_config()), tmp_path / "own.pt")
    assert from_published(tmp_path / "own.pt").terms == ""
    assert not caplog.records


@pytest.mark.parametrize("name", ["checkpoint_aff_inv.pt", "checkpoint_with_ref_view.pt"])
def test_the_name_of_a_published_file_tells_the_flag(name, weights, tmp_path):
    torch.save(weights, tmp_path / name)
    carried = name == "checkpoint_with_ref_view.pt"
    model = from_published(tmp_path / name)
    assert model.config.reference_view is model.aggregator.reference_view is carried
    assert from_published(tmp_path / name, carried).config.reference_view is carried
    with pytest.raises(UserError, match=f"carries reference_view={carried}, found reference_view={not carried}"):
        from_published(tmp_path / name, reference_view=not carried)


def test_a_flag_that_nothing_tells_is_asked_for(weights):
    with pytest.raises(UserError, match="say so with reference_view=True or False") as error:
        from_published(weights)
    assert one_line(error)


def test_keys_and_shapes_that_do_not_fit_are_named_at_most_a_few(weights):
    for index in range(4):
        del weights[f"aggregator.global_blocks.{index}.mlp.fc1.bias"]
    weights["local_point_head.surplus"] = torch.zeros(1)
    weights["camera_head.trunk_norm.weight"] = torch.zeros(3)
    with pytest.raises(UserError) as error:
        from_published(weights, reference_view=True)
    assert one_line(error)
    told = str(error.value)
    assert "4 missing (aggregator.global_blocks.0.mlp.fc1.bias, " in told
    assert "global_blocks.3.mlp" not in told
    assert "1 not known (local_point_head.surplus)" in told
    assert "1 of another shape (camera_head.trunk_norm.weight (3,), expected (256,))" in told


class Intruder:
    """What must never happen while loading."""

    def __reduce__(self):
        return os.mkdir, (os.environ["INTRUDER"],)


def broken(kind, path, weights):
    """Write a file that is wrong in one way."""
    if kind.startswith("cut"):
        (save_file if path.suffix == ".safetensors" else torch.save)(weights, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "code":
        torch.save({**weights, "extra": Intruder()}, path)
    elif kind == "plain pickle with code":
        path.write_bytes(pickle.dumps(Intruder(), protocol=2))
    elif kind == "another model":
        torch.save({"conv1.weight": torch.zeros(2, 3), "fc.bias": torch.zeros(2)}, path)
    elif kind == "no tensors":
        torch.save({"model": {"epoch": 3}}, path)
    elif kind == "a list":
        torch.save([torch.zeros(2)], path)
    else:
        path.write_bytes({"empty": b"", "text": b"<html>404</html> and more than eight bytes"}[kind])


@pytest.mark.parametrize(
    ("kind", "suffix", "told"),
    [
        ("cut", ".pt", "not readable as weights"),
        ("cut", ".safetensors", "not readable as weights"),
        ("empty", ".pt", "not readable as weights"),
        ("empty", ".safetensors", "not readable as weights"),
        ("text", ".pt", "expected weights|not readable as weights"),
        ("text", ".safetensors", "not readable as weights"),
        ("code", ".pt", "nothing of it was executed"),
        ("plain pickle with code", ".pt", "nothing of it was executed"),
        ("another model", ".pt", r"found no aggregator.camera_token among its 2 tensors \(conv1.weight, fc.bias\)"),
        ("no tensors", ".pt", "entry 'epoch' is a value of type int, expected tensors by name"),
        ("a list", ".pt", "found a value of type list, expected tensors by name"),
    ],
)
def test_a_bad_file_is_one_line_and_never_executed(kind, suffix, told, weights, tmp_path, monkeypatch):
    monkeypatch.setenv("INTRUDER", str(tmp_path / "executed"))
    path = tmp_path / f"bad{suffix}"
    broken(kind, path, weights)
    with pytest.raises(UserError, match=told) as error:
        from_published(path, reference_view=True)
    assert one_line(error)
    assert str(error.value).startswith(str(path))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("carried", "told"),
    [
        ({"model": {"_target_": "os.system"}}, "hold `_target_`"),
        ({"model": {"depth": "${oc.env:HOME}"}}, "hold `\\${`"),
        ({"model": {"dpeth": 3}}, "dpeth"),
        ({"model": {"heads": 0}}, "its settings are not readable .*heads=0, expected 1 or more"),
        ({"model": "large"}, "its settings are not readable"),
        ([], "holds a value of type list"),
    ],
)
def test_settings_in_a_file_are_data(carried, told, weights, tmp_path):
    save_file(weights, tmp_path / "file.safetensors", metadata={"zipmap_pl": json.dumps(carried)})
    with pytest.raises(UserError, match=told) as error:
        from_published(tmp_path / "file.safetensors", reference_view=True)
    assert one_line(error)


def test_tensors_that_are_no_numbers_with_a_point_are_refused(weights):
    weights["camera_head.trunk_norm.weight"] = torch.zeros(256, dtype=torch.int8)
    with pytest.raises(UserError, match=r"camera_head.trunk_norm.weight is int8, expected a dense tensor of float32"):
        from_published(weights, reference_view=True)


def test_a_part_of_a_checkpoint_folder_is_refused(weights, tmp_path):
    save_file(weights, tmp_path / "weights.safetensors")
    (tmp_path / "manifest.json").touch()
    with pytest.raises(UserError, match="found a part of a checkpoint folder"):
        from_published(tmp_path / "weights.safetensors")


def test_other_suffixes_and_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="found suffix .ckpt, expected one of .pt, .safetensors"):
        save_published(ZipMap(published_config()), tmp_path / "model.ckpt")
    with pytest.raises(UserError, match="found a folder"):
        from_published(tmp_path)
    with pytest.raises(UserError, match="found no file"):
        from_published(tmp_path / "none.pt")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that is a folder; says what was asked of it."""
    from huggingface_hub.errors import EntryNotFoundError

    asked = []

    def download(repository, file):
        asked.append((repository, file))
        path = tmp_path / repository / file
        if not path.exists():
            raise EntryNotFoundError("404")
        return str(path)

    def add(repository, file, content):
        path = tmp_path / repository / file
        path.parent.mkdir(parents=True, exist_ok=True)
        content(path)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    add.asked = asked
    return add


def test_a_file_on_the_hub(hub, weights):
    hub("coast01/ZipMap", "checkpoint_with_ref_view.pt", lambda path: torch.save(weights, path))
    model = from_published("coast01/ZipMap/checkpoint_with_ref_view.pt")
    assert model.config.reference_view
    assert same(model.state_dict(), weights)
    with pytest.raises(UserError, match="checkpoint_aff_inv.pt: found no file here, and the hub does not give it"):
        from_published("coast01/ZipMap")
    assert hub.asked[-1] == ("coast01/ZipMap", "checkpoint_aff_inv.pt")


def test_a_name_on_the_hub_is_no_folder_and_a_folder_no_name_on_the_hub(hub, weights, tmp_path, monkeypatch):
    """Where a command takes either: it asks the hub for what no local path can be meant by, and for nothing else."""
    hub("coast01/ZipMap", "checkpoint_aff_inv.pt", lambda path: torch.save(weights, path))
    (tmp_path / "elsewhere" / "runs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    model, _ = load_any(Path("coast01/ZipMap"))
    assert same(model.state_dict(), weights)
    start_from(model, "coast01/ZipMap")
    asked = len(hub.asked)
    for folder in ("runs/forgotten", "runs", "word", str(tmp_path / "no" / "where")):
        for load in (lambda path: load_any(Path(path)), lambda path: start_from(model, path)):
            with pytest.raises(UserError, match="expected a checkpoint"):
                load(folder)
    assert len(hub.asked) == asked


def test_a_config_on_the_hub_answers_what_tensors_do_not(hub, weights):
    config = published_config(reference_view=False, token_std=0.5)
    hub("me/mine", "model.safetensors", lambda path: save_file(weights, path))
    with pytest.raises(UserError, match="me/mine/model.safetensors: does not tell"):
        from_published("me/mine")
    hub("me/mine", "config.json", lambda path: path.write_text(json.dumps({"zipmap_pl": {"model": asdict(config)}})))
    assert from_published("me/mine").config == config


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"model": {"_target_": "os.system"}}', "hold `_target_`"),
        ('{"zipmap_pl": {"model": {"depth": "${oc.env:HOME}"}}}', "hold `\\${`"),
        ('{"zipmap_pl": {"model": {"depth": "\\u0024{oc.env:HOME}"}}}', "hold `\\${`"),
        ('{"zipmap_pl": 3}', "expected a JSON object"),
        ("[1]", "expected a JSON object"),
        ("{", "not readable as JSON"),
    ],
)
def test_a_config_on_the_hub_is_data(text, told, hub, weights):
    hub("me/mine", "model.safetensors", lambda path: save_file(weights, path))
    hub("me/mine", "config.json", lambda path: path.write_text(text))
    with pytest.raises(UserError, match=told) as error:
        from_published("me/mine", reference_view=True)
    assert str(error.value).startswith("me/mine/config.json")
    assert one_line(error)


def test_offline_without_a_cached_file(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        UserError, match="nobody/nothing/model.safetensors: found neither a file here nor one in"
    ) as error:
        from_published("nobody/nothing")
    assert one_line(error)


@pytest.mark.parametrize("name", ["https://huggingface.co/a/b", "word", "../a/b", "runs/own.pt", "/a/b/c.pt"])
def test_what_is_no_hub_id_is_a_missing_file(name):
    with pytest.raises(UserError, match="found no file, expected a file here, or owner/name"):
        from_published(name)


def test_a_cached_file_offline(weights, tmp_path, monkeypatch):
    """The real client finds what an earlier download left, without a connection."""
    cache = tmp_path / "models--me--mine"
    (cache / "snapshots" / "abc").mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    save_file(weights, cache / "snapshots" / "abc" / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert same(from_published(Path("me/mine"), reference_view=True).state_dict(), weights)
