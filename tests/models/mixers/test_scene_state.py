"""The state of a scene as a value: queried, saved, loaded, moved, refused."""

import hashlib
import json

import pytest
import torch
from published_models import tiny_config
from safetensors.torch import load_file, save_file

from zipmap_pl.contracts.scene_state import FILE_FORMAT, SceneState
from zipmap_pl.errors import UserError
from zipmap_pl.geometry.rays import query_rays
from zipmap_pl.models.config import CameraHeadConfig, TTTConfig
from zipmap_pl.models.zipmap import ZipMap


@pytest.fixture
def make_query_model():
    def make(seed=0, **changes):
        torch.manual_seed(seed)
        return ZipMap(tiny_config(**{"query_head": True, **changes})).eval()

    return make


@pytest.fixture
def model(make_query_model):
    return make_query_model()


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def pictures(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def rays(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def assert_equal(found, expected):
    assert torch.equal(found.nvs_pred, expected.nvs_pred)
    assert torch.equal(found.nvs_depth_conf, expected.nvs_depth_conf)


@pytest.mark.parametrize("changes", [{}, {"camera_head": CameraHeadConfig(kind="mlp")}])
def test_a_query_gives_bit_for_bit_what_the_call_gives(make_query_model, changes):
    model, images, targets = make_query_model(**changes), pictures(2, 3, 3, 28, 42), rays(2, 4, 9, 28, 42)
    prediction = model(images, target_rays=targets)
    assert prediction.nvs_pred.shape == (2, 4, 28, 42, 4) and prediction.nvs_depth_conf.shape == (2, 4, 28, 42)
    assert prediction.state is None
    state = model.compress(images)
    assert_equal(model.query(state, targets), prediction)
    assert_equal(model.query(state, targets), prediction)  # the first query has left the state as it was
    assert_equal(model.query(model(images, keep_state=True).state, targets), prediction)


def test_queries_do_not_change_what_is_said_of_the_pictures(model):
    images = pictures(1, 3, 3, 28, 28)
    alone, queried = model(images), model(images, target_rays=rays(1, 2, 9, 28, 28))
    assert torch.equal(alone.depth, queried.depth) and torch.equal(alone.pose_enc, queried.pose_enc)
    assert alone.nvs_pred is None and alone.nvs_depth_conf is None


def test_a_query_depends_on_the_scene_and_its_rays(model):
    model.double()  # in a fresh model the scene matters little
    targets, images = rays(1, 1, 9, 28, 28).double(), pictures(1, 3, 3, 28, 28).double()
    state, other = model.compress(images), model.compress(1 - images)
    seen = model.query(state, targets).nvs_pred
    for different in (model.query(other, targets).nvs_pred, model.query(state, -targets).nvs_pred):
        assert (different - seen).norm() > 1e-6 * seen.norm()
    assert seen[..., :3].min() > 0 and seen[..., :3].max() < 1 and seen[..., 3].min() > 0


def test_queried_views_do_not_see_each_other(model):
    model.double()
    state, targets = model.compress(pictures(1, 3, 3, 28, 28).double()), rays(1, 2, 9, 28, 28).double()
    together, alone = (model.query(state, some).nvs_pred for some in (targets, targets[:, 1:]))
    torch.testing.assert_close(together[:, 1:], alone, rtol=1e-10, atol=0)


def test_rays_may_be_of_another_picture_size_and_one_scene_needs_no_scene_axis(model):
    state = model.compress(pictures(3, 3, 28, 28))
    assert_equal(model.query(state, rays(2, 9, 42, 56)), model.query(state, rays(2, 9, 42, 56)[None]))


def test_the_size_of_a_state_does_not_depend_on_the_number_of_views(model):
    few, many = (model.compress(pictures(views, 3, 28, 28)) for views in (1, 6))
    shapes = [[{name: w.shape for name, w in layer.items()} for layer in state.layers] for state in (few, many)]
    assert shapes[0] == shapes[1]


def test_a_state_comes_back_from_its_file_as_it_was(model, tmp_path):
    images, targets, path = pictures(2, 3, 3, 28, 28), rays(2, 1, 9, 28, 28), tmp_path / "kitchen.safetensors"
    state = model.compress(images)
    state.save(path)
    state.save(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    loaded = SceneState.load(path)
    torch.testing.assert_close(loaded.layers, state.layers, rtol=0, atol=0)
    assert_equal(model.query(loaded, targets), model.query(state, targets))


def test_the_file_is_bit_for_bit_what_it_was(tmp_path):
    """The checksum is of a file that was written when the layers of a state were tuples of the test-time-training layer."""

    def numbers(*shape, start):
        return (torch.arange(torch.Size(shape).numel(), dtype=torch.float32) / 8 + start).view(shape)

    def part(name, start, rows):
        shapes = {"w0": (2, rows or 3, 4), "w1": (2, rows or 4, 3), "w2": (2, rows or 3, 4)}
        return {f"{name}.{w}": numbers(*shape, start=start + i) for i, (w, shape) in enumerate(shapes.items())}

    layers = [
        part("weights", 10 * i, None) | part("norms", 10 * i + 5, 1) | part("velocity", -10 * i, None) for i in range(2)
    ]
    SceneState(layers).save(tmp_path / "state.safetensors")
    content = (tmp_path / "state.safetensors").read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True)  # safetensors writes the metadata in any order
    digest = hashlib.sha256(header.encode() + content[end:]).hexdigest()
    assert digest == "3c0c41229fd202049d114f40e6c836a51b7d7f4272a4a07a58acef97849fc35a"
    torch.testing.assert_close(SceneState.load(tmp_path / "state.safetensors").layers, layers, rtol=0, atol=0)


def test_a_state_moves_between_devices(model):
    state = model.compress(pictures(2, 3, 28, 28))
    moved = state.to("meta")
    assert {w.device.type for layer in moved.layers for w in layer.values()} == {"meta"}
    with pytest.raises(UserError, match="found it on meta, expected cpu"):
        model.query(moved, rays(1, 9, 28, 28))


@pytest.mark.parametrize(
    ("seed", "changes", "words"),
    [
        (0, {"depth": 5, "feature_blocks": [0, 1, 2, 4]}, "found 5 layers, expected 4"),
        (0, {"ttt": TTTConfig(head_dim=48, newton_schulz_dtype="float32")}, r"expected weights \(3, 32, 64\)"),
        (1, {}, "norms of other weights"),
    ],
)
def test_the_state_of_another_model_is_refused(make_query_model, model, seed, changes, words):
    state = make_query_model(seed, **changes).compress(pictures(2, 3, 28, 28))
    with pytest.raises(UserError, match=words):
        model.query(state, rays(1, 9, 28, 28))


def test_scenes_and_rays_belong_together(model):
    images = pictures(2, 2, 3, 28, 28)
    with pytest.raises(UserError, match="for 1 scenes"):
        model.query(model.compress(images), rays(1, 1, 9, 28, 28))
    with pytest.raises(ValueError, match="of 1 scenes, expected 2"):
        model(images, target_rays=rays(1, 1, 9, 28, 28))


def test_other_models_say_which_one_answers_queries(make_query_model):
    model = make_query_model(query_head=False)
    state = model.compress(pictures(1, 3, 28, 28))  # a state is there without a query head
    for refused in (
        lambda: model.query(state, rays(1, 9, 28, 28)),
        lambda: model(pictures(1, 3, 28, 28), rays(1, 9, 28, 28)),
    ):
        with pytest.raises(UserError, match="checkpoint_state_query.pt"):
            refused()
    with pytest.raises(UserError, match=r"global_mixer=softmax, expected .*\bttt\b.* to compress views"):
        make_query_model(query_head=False, global_mixer="softmax").compress(pictures(1, 3, 28, 28))


def test_files_that_hold_no_state_are_named(model, tmp_path):
    path = tmp_path / "kitchen.safetensors"
    with pytest.raises(UserError, match="kitchen.safetensors: not readable"):
        SceneState.load(path)
    model.compress(pictures(1, 3, 28, 28)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(UserError, match="kitchen.safetensors: not readable"):
        SceneState.load(path)
    path.write_bytes(whole)
    tensors = load_file(path)
    for spoil, told in (
        (lambda x: x.pop("0.norms.w1"), "norms.w1"),
        (lambda x: [x.pop(f"1.norms.{w}") for w in ("w0", "w1", "w2")], "1.norms.w0"),
        (lambda x: x.update({"0.velocity.w0": x["0.norms.w0"]}), "surplus 0.velocity.w0"),
        (lambda x: x.update({"mine.weights.w0": x["0.norms.w0"]}), "weights.w0"),
        (lambda x: x.update({"0.more.w0": x["0.norms.w0"].clone()}), "surplus 0.more.w0"),
    ):
        spoiled = {name: tensor.clone() for name, tensor in tensors.items()}
        spoil(spoiled)
        save_file({name: tensor.clone() for name, tensor in spoiled.items()}, path, FILE_FORMAT)
        with pytest.raises(UserError, match=f"kitchen.safetensors: not readable.*{told}"):
            SceneState.load(path)
    save_file(tensors, path)  # without what says that it is a state
    with pytest.raises(UserError, match="kitchen.safetensors: found None, expected"):
        SceneState.load(path)


def test_real_rays_are_taken(model):
    world_to_cam = torch.eye(4).repeat(2, 1, 1)
    world_to_cam[1, 0, 3] = 0.5
    intrinsics = torch.tensor([[30.0, 0, 14], [0, 30, 14], [0, 0, 1]]).expand(2, 3, 3)
    state = model.compress(pictures(2, 3, 28, 28))
    seen = model.query(state, query_rays(world_to_cam, intrinsics, 28, 28, input_world_to_cam=world_to_cam))
    assert seen.nvs_pred.isfinite().all()
