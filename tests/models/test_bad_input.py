"""Everything that a model refuses to look at, one line each: pictures, rays and states."""

import re

import pytest
import torch
from published_models import tiny_config

from zipmap_pl.errors import UserError
from zipmap_pl.models.config import CameraHeadConfig, TTTConfig
from zipmap_pl.models.input_checks import checked_images
from zipmap_pl.models.sequences.token_store import Storage
from zipmap_pl.models.zipmap import ZipMap


@pytest.fixture(scope="module")
def make_model():
    def make(seed=0, **changes):
        torch.manual_seed(seed)
        return ZipMap(tiny_config(**{"query_head": True, **changes})).eval()

    return make


@pytest.fixture(scope="module")
def model(make_model):
    return make_model()


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def pictures(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def with_one(value):
    images = pictures(1, 2, 3, 28, 28)
    images[0, 1, 2, 27, 27] = value
    return images


NAN, INFINITY = float("nan"), float("inf")
IMAGES = {
    "height no multiple of 14": (pictures(1, 2, 3, 30, 28), "images are 30 x 28 pixels, expected multiples"),
    "width no multiple of 14": (pictures(1, 2, 3, 28, 30), "images are 28 x 30 pixels, expected multiples"),
    "no views": (pictures(1, 0, 3, 28, 28), "shape (1, 0, 3, 28, 28), expected [B, S, 3, H, W]"),
    "an empty list": ([], "images hold no views"),
    "no scenes": (pictures(0, 2, 3, 28, 28), "shape (0, 2, 3, 28, 28), expected"),
    "no pixels": (pictures(1, 2, 3, 0, 28), "shape (1, 2, 3, 0, 28), expected"),
    "views of different sizes": (
        [pictures(3, 28, 42), pictures(3, 28, 28)],
        "view 0 has shape (3, 28, 42), view 1 has (3, 28, 28)",
    ),
    "one picture without the view axis": (pictures(3, 28, 28), "shape (3, 28, 28), expected [B, S, 3, H, W]"),
    "colours last": (pictures(1, 2, 28, 28, 3), "shape (1, 2, 28, 28, 3), expected [B, S, 3, H, W]"),
    "four channels": (pictures(2, 4, 28, 28), "shape (2, 4, 28, 28), expected [B, S, 3, H, W]"),
    "arrays": ([[0.5]], "images are a list, expected a tensor, or a sequence of tensors"),
    "values up to 255": (with_one(254.0), "to 254, expected them in [0, 1]: divide by 255"),
    "values up to 65535": (with_one(6e4), "to 6e+04, expected them in [0, 1]: scale them"),
    "values from -1": (with_one(-1.0), "values from -1 to 1, expected them in [0, 1]: do not normalise"),
    "mean and deviation removed": (4 * pictures(2, 3, 28, 28) - 2, "do not normalise them, the model does"),
    "a little too light": (with_one(1.25), "to 1.25, expected them in [0, 1]"),
    "not a number": (with_one(NAN), "values from nan to nan, expected them in [0, 1]"),
    "infinity": (with_one(INFINITY), "to inf, expected them in [0, 1]"),
    "integers": (torch.zeros(1, 3, 28, 28, dtype=torch.uint8), "images are torch.uint8, expected floating point"),
    "integers in a list": ([torch.zeros(3, 28, 28, dtype=torch.int64)], "images are torch.int64"),
}
RAYS = {
    "wrong channels": (pictures(1, 6, 28, 28), "rays have shape (1, 6, 28, 28), expected [B, S, 9, H, W]"),
    "width no multiple of 14": (pictures(1, 9, 28, 30), "rays are 28 x 30 pixels"),
    "no views": (pictures(1, 0, 9, 28, 28), "rays have shape (1, 0, 9, 28, 28)"),
    "integers": (torch.zeros(1, 9, 28, 28, dtype=torch.int32), "rays are torch.int32"),
}
STATES = {
    "of a model with other layers": ({"depth": 5, "feature_blocks": [0, 1, 2, 4]}, "found 5 layers, expected 4"),
    "of a model of another size": (
        {"ttt": TTTConfig(head_dim=48, newton_schulz_dtype="float32")},
        "expected weights (3, 32, 64)",
    ),
    "of another training": ({"seed": 1}, "norms of other weights"),
}


@pytest.mark.parametrize(("images", "words"), IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("call", ["__call__", "compress"])
def test_images(model, call, images, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        getattr(model, call)(images)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("rays", "words"), RAYS.values(), ids=RAYS)
def test_rays(model, rays, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        model.query(model.compress(pictures(1, 3, 28, 28)), rays)
    with pytest.raises(ValueError, match=re.escape(words)):
        model(pictures(1, 3, 28, 28), target_rays=rays)


@pytest.mark.parametrize(("other", "words"), STATES.values(), ids=STATES)
def test_states(make_model, model, other, words):
    state = make_model(**other).compress(pictures(2, 3, 28, 28))
    with pytest.raises(UserError, match=re.escape(words)):
        model.query(state, pictures(1, 9, 28, 28))


@pytest.mark.parametrize("case", ["values up to 255", "not a number", "height no multiple of 14"])
def test_frames_of_a_stream(make_model, case):
    frame, words = IMAGES[case]
    stream = make_model(camera_head=CameraHeadConfig(kind="mlp")).stream()
    with pytest.raises(ValueError, match=re.escape(words)):
        stream.push(frame)
    assert stream.state is None


def test_a_stream_takes_a_list_as_a_call_does(make_model):
    model, frames = make_model(camera_head=CameraHeadConfig(kind="mlp")), pictures(2, 3, 28, 28)
    assert torch.equal(model.stream().push(list(frames)).depth, model.stream().push(frames).depth)
    with pytest.raises(ValueError, match="images hold no views"):
        model.stream().push([])


@pytest.mark.parametrize("call", ["__call__", "compress"])
def test_a_setting_without_effect(model, call):
    with pytest.raises(ValueError, match="storage is given without views_per_chunk"):
        getattr(model, call)(pictures(1, 3, 28, 28), storage=Storage())


def test_a_list_of_views_is_one_scene(model):
    images = pictures(3, 3, 28, 42)
    assert torch.equal(model(list(images)).depth, model(images).depth)
    assert torch.equal(model(tuple(images)).pose_enc, model(images).pose_enc)


def test_overshoot_of_resizing_is_let_pass(model):
    coarse = torch.tensor([0.0, 1.0, 1.0, 0.0]).repeat(2, 3, 4, 1)
    images = torch.nn.functional.interpolate(coarse, (28, 28), mode="bicubic", antialias=True)
    assert images.max() > 1.01 and images.min() < -0.01
    assert model(images).depth.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_types_are_looked_at_too(model, dtype):
    with pytest.raises(ValueError, match="divide by 255"):
        model(with_one(254.0).to(dtype))


def test_in_training_the_loader_answers_for_the_values(model):
    model.train()
    try:
        assert model(with_one(1.5)).depth.isfinite().all()
        with pytest.raises(ValueError, match="30 x 28"):
            model(pictures(1, 2, 3, 30, 28))
    finally:
        model.eval()


def test_while_compiling_the_values_are_not_looked_at():
    """They would break the graph."""
    compiled = torch.compile(checked_images, backend="eager", fullgraph=True)
    assert compiled(with_one(1.5), 14, values=True).shape == (1, 2, 3, 28, 28)
