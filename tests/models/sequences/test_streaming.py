"""Views that come one after another: the windowed pass, the session, and who may not have them."""

import gc
from dataclasses import replace

import pytest
import torch
from published_models import relative_error, set_newton_schulz_dtype, tiny_config

from zipmap_pl.contracts.scene_state import SceneState
from zipmap_pl.errors import UserError
from zipmap_pl.models.config import CameraHeadConfig, TTTConfig
from zipmap_pl.models.zipmap import ZipMap

OUTPUTS = ("pose_enc", "depth", "depth_conf", "local_points")


@pytest.fixture
def make_streaming_model():
    """In float64: a fresh model's fast weights matter too little for float32 to show a mistake."""

    def make(**changes):
        torch.manual_seed(0)
        settings = {"reference_view": False, "camera_head": CameraHeadConfig(kind="mlp")}
        model = ZipMap(tiny_config(**{**settings, **changes})).double().eval()
        set_newton_schulz_dtype(model, torch.float64)
        return model

    return make


def pictures(*shape):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def predict(model, images, **more):
    with torch.no_grad():
        return model(images, **more)


def test_momentum_is_a_part_of_the_state(make_streaming_model, tmp_path):
    ttt = TTTConfig(head_dim=32, update_rule="momentum")
    model, images = make_streaming_model(ttt=ttt), pictures(1, 4, 3, 28, 28)
    whole, stream = predict(model, images, window=1), model.stream()
    stream.push(images[:, :2])
    stream.state.save(tmp_path / "state.safetensors")
    assert "velocity.w0" in stream.state.layers[0]
    later = replace(model.stream(), state=SceneState.load(tmp_path / "state.safetensors"))
    for session in (stream, later):
        torch.testing.assert_close(session.push(images[:, 2:]).depth, whole.depth[:, 2:], rtol=1e-10, atol=0)


@pytest.mark.parametrize("reference_view", [False, True])
@pytest.mark.parametrize(("window", "pushes"), [(1, [1] * 5), (1, [3, 2]), (2, [2, 2, 1]), (2, [4, 1])])
def test_a_session_equals_the_windowed_pass(make_streaming_model, reference_view, window, pushes):
    model, images = make_streaming_model(reference_view=reference_view), pictures(2, 5, 3, 28, 42)
    whole = predict(model, images, window=window, keep_state=True)
    stream = model.stream(window)
    parts = [stream.push(frames) for frames in images.split(pushes, dim=1)]
    for name in OUTPUTS:
        together = torch.cat([getattr(part, name) for part in parts], dim=1)
        assert relative_error(together, getattr(whole, name)) < 1e-10, name
    for found, expected in zip(stream.state.layers, whole.state.layers, strict=True):
        assert found.keys() == expected.keys()
        for name in expected:
            assert relative_error(found[name], expected[name]) <= (1e-10 if name.startswith("weights.") else 0), name


def test_the_window_is_one_view_unless_told(make_streaming_model):
    model, images = make_streaming_model(), pictures(1, 3, 3, 28, 28)
    for name in OUTPUTS:
        by_default, by_one, by_two = (getattr(predict(model, images, window=window), name) for window in (None, 1, 2))
        assert torch.equal(by_default, by_one)
        assert (by_one - by_two).norm() > 1e-6 * by_one.norm(), name


def test_later_views_do_not_change_earlier_ones(make_streaming_model):
    model, images = make_streaming_model(), pictures(1, 4, 3, 28, 28)
    changed = images.clone()
    changed[:, 2:] = 1 - changed[:, 2:]
    before, after = predict(model, images, window=2), predict(model, changed, window=2)
    for name in OUTPUTS:
        assert torch.equal(getattr(before, name)[:, :2], getattr(after, name)[:, :2])
        assert not torch.equal(getattr(before, name)[:, 2:], getattr(after, name)[:, 2:])


def test_a_push_takes_a_frame_or_some_frames(make_streaming_model):
    model, images = make_streaming_model(), pictures(2, 3, 28, 28)
    frame, frames, scenes = (
        model.stream().push(images[0]),
        model.stream().push(images),
        model.stream().push(images[None]),
    )
    assert frame.depth.shape == (1, 1, 28, 28, 1) and len(frame.pose_enc_list) == 1
    assert frames.depth.shape == (1, 2, 28, 28, 1) and torch.equal(frames.depth, scenes.depth)


def test_memory_does_not_grow_with_the_stream(make_streaming_model):
    stream, frame = make_streaming_model().stream(), pictures(3, 28, 28)

    def living():
        gc.collect()
        return sum(tensor.nbytes for tensor in gc.get_objects() if type(tensor) is torch.Tensor)

    sizes = []
    for _ in range(4):
        prediction = stream.push(frame)
        assert prediction.state is None and prediction.depth.grad_fn is None
        sizes.append(living())
    assert len(set(sizes)) == 1


def test_a_refused_push_leaves_the_session_as_it_was(make_streaming_model):
    model, images = make_streaming_model(), pictures(2, 3, 28, 28)
    undisturbed, disturbed = model.stream(), model.stream()
    for stream in (undisturbed, disturbed):
        stream.push(images[0])
    with pytest.raises(ValueError, match="30 x 28 pixels"):
        disturbed.push(torch.zeros(3, 30, 28))
    with pytest.raises(UserError, match="for 2 scenes"):
        disturbed.push(torch.zeros(2, 1, 3, 28, 28))
    assert torch.equal(disturbed.push(images[1]).depth, undisturbed.push(images[1]).depth)


@pytest.mark.parametrize(
    "changes", [{"camera_head": CameraHeadConfig(trunk_depth=1, heads=3)}, {"global_mixer": "softmax"}]
)
def test_other_models_say_which_one_streams(make_streaming_model, changes):
    model = make_streaming_model(**changes)
    for refused in (lambda: model(pictures(1, 2, 3, 28, 28), window=1), model.stream):
        with pytest.raises(UserError, match="checkpoint_online.pt"):
            refused()


def test_a_window_has_views(make_streaming_model):
    with pytest.raises(ValueError, match="window is 0"):
        make_streaming_model().stream(window=0)
