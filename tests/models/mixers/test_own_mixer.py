"""A mixer of one's own is one file, as docs/extending.md shows it: everything works with it, and nothing else is edited."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from published_models import tiny_config

from zipmap_pl.checkpoints.published import from_published, save_published
from zipmap_pl.checkpoints.recognition import model_config_of
from zipmap_pl.checkpoints.vggt import start_from_vggt
from zipmap_pl.contracts.scene_state import SceneState
from zipmap_pl.errors import UserError
from zipmap_pl.losses.config import LossConfig
from zipmap_pl.losses.normalisation import GroundTruth
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.models.config import CameraHeadConfig
from zipmap_pl.models.mixers import kinds
from zipmap_pl.models.sequences.token_store import Storage
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import compose

PAGE = Path(__file__).parents[3] / "docs" / "extending.md"
OUTPUTS = ("pose_enc", "depth", "depth_conf", "local_points")

# What VGG-T^3 needs of the contract: small heads, fixed random starting weights, a convolution of the values over the
# patches of each view, rotary keys, several steps that each see the weights after the one before, camera tokens in the state.
STEPS = """
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from zipmap_pl.models.layers.rope import Rotation, rotate
from zipmap_pl.models.mixers.scene_mixer import SceneMixer


@dataclass
class Settings:
    steps: int = 2


class Mixer(SceneMixer):
    key = "attn"
    Settings = Settings
    remembers = streams = in_chunks = keeps_camera_tokens = True
    from_attention = {"qkv": "qkv", "proj": "proj"}

    def __init__(self, dim, heads, settings):
        super().__init__(dim, heads, settings)
        self.heads, self.steps = heads, settings.steps
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False)
        self.register_buffer("w", torch.randn(heads, dim // heads, dim // heads) * (dim // heads) ** -0.5)

    @property
    def passes(self):
        return self.steps

    @classmethod
    def recognize(cls, shapes, known):
        return known if "attn.w" in shapes else None

    def start(self, scenes):
        return {"w": self.w.repeat(scenes, 1, 1)}

    def directions(self, x, grid, state):
        _, k, v = self.projected(x, grid)
        error = v - k @ state["w"]
        return {"w": k.mT @ error, "tokens": x.new_full((1,), x.shape[1])}

    def fit(self, state, directions):
        return {"w": state["w"] + 20 * directions["w"] / directions["tokens"]}

    def read(self, x, grid, state):
        q, _, _ = self.projected(x, grid)
        return self.proj((q @ state["w"]).unflatten(0, (len(x), self.heads)).transpose(1, 2).flatten(2))

    def projected(self, x, grid):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        views = v.unflatten(1, (grid.views, grid.tokens_per_view))
        specials, patches = views[:, :, : grid.specials], views[:, :, grid.specials :]
        image = patches.flatten(0, 1).mT.unflatten(2, (grid.rows, grid.columns))
        patches = self.conv(image).flatten(2).mT.unflatten(0, (len(x), grid.views))
        v = torch.cat([specials, patches], dim=2).flatten(1, 2)
        rotation = Rotation(*(table.repeat(grid.views, 1) for table in grid.rotation))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        q, k = (F.normalize(rotate(part, rotation), dim=-1) for part in (q, k))
        return [part.flatten(0, 1) for part in (q, k, v)]
"""


@pytest.fixture(scope="module")
def mixers(tmp_path_factory):
    """The room of mixers has one folder more: with the file of the docs, and one that takes several steps."""
    section = PAGE.read_text().partition("## A mixer\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "linear.py").write_text(code)
    (folder / "steps.py").write_text(STEPS)
    kinds.__path__.append(str(folder))
    yield
    kinds.__path__.remove(str(folder))
    for name in ("linear", "steps"):
        sys.modules.pop(f"{kinds.__name__}.{name}", None)


@pytest.fixture(scope="module", params=["linear", "steps"])
def make_model(request, mixers):
    def make(**changes):
        torch.manual_seed(0)
        return ZipMap(tiny_config(**{"global_mixer": request.param, **changes})).double().eval()

    return make


def images(views=3, scenes=1):
    return torch.rand(scenes, views, 3, 28, 42, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def rays(views=2):
    return torch.randn(1, views, 9, 28, 42, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def truth(views):
    torch.manual_seed(3)
    depth = torch.rand(1, views, 28, 42, dtype=torch.float64) + 1
    world_to_cam = torch.eye(4, dtype=torch.float64)[:3].repeat(1, views, 1, 1)
    world_to_cam[0, :, 0, 3] = torch.arange(views)
    return GroundTruth(
        world_to_cam=world_to_cam,
        intrinsics=torch.tensor([[30.0, 0, 21], [0, 30, 14], [0, 0, 1]], dtype=torch.float64).repeat(1, views, 1, 1),
        depth=depth,
        mask=torch.ones_like(depth, dtype=torch.bool),
        local_points=torch.rand(1, views, 28, 42, 3, dtype=torch.float64),
        normals=torch.ones(1, dtype=torch.bool),
        scale=torch.ones(1, dtype=torch.float64),
    )


def assert_close(found, expected, limit):
    """Outputs and states; cameras where they are kept."""
    for name in OUTPUTS:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=limit, atol=limit)
    one, other = found.state, expected.state
    torch.testing.assert_close(one.layers, other.layers, rtol=limit, atol=limit)
    assert (one.camera_tokens is None) == (other.camera_tokens is None)
    if one.camera_tokens is not None:
        torch.testing.assert_close(one.camera_tokens, other.camera_tokens, rtol=limit, atol=limit)


def test_the_command_line_knows_its_name_and_its_settings(mixers):
    config = compose(["model=tiny", "model.global_mixer=linear", "+model.mixer={width: 8}"]).model
    assert ZipMap(config).state_dict()["aggregator.global_blocks.3.linear.keys.weight"].shape == (8, 96)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"width": 0}, "mixer.width=0, expected 1 or more"),
        ({"widht": 8}, "expected settings of: width"),
        ({"width": "broad"}, "expected settings of: width"),
    ],
)
def test_its_settings_are_checked(mixers, settings, words):
    with pytest.raises(UserError, match=words) as error:
        tiny_config(global_mixer="linear", mixer=settings)
    assert "\n" not in str(error.value)


def test_views_see_each_other(make_model):
    model, views = make_model(), images()
    changed = views.clone()
    changed[:, 2] = 1 - changed[:, 2]
    with torch.no_grad():
        before, after = model(views), model(changed)
    assert (before.depth[:, 0] - after.depth[:, 0]).abs().max() > 1e-8


@pytest.mark.parametrize("views_per_chunk", [1, 2])
def test_chunks_give_what_one_pass_gives(make_model, views_per_chunk):
    """But for the rounding of what is stored: a pass less would differ by 1e-4 (the next test)."""
    model, views = make_model(), images(scenes=2)
    with torch.no_grad():
        expected = model(views, keep_state=True)
    found = model(views, views_per_chunk=views_per_chunk, storage=Storage("float32"), keep_state=True)
    assert_close(found, expected, 1e-5)


def test_several_steps_are_not_one(mixers):
    outputs = []
    for steps in (1, 2):
        torch.manual_seed(0)
        model = ZipMap(tiny_config(global_mixer="steps", mixer={"steps": steps})).eval()
        with torch.no_grad():
            outputs.append(model(images().float()).depth)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-4


def test_a_state_is_saved_loaded_and_queried(make_model, tmp_path):
    model, targets = make_model(query_head=True), rays()
    with torch.no_grad():
        expected = model(images(), target_rays=targets)
        model.compress(images()).save(tmp_path / "state.safetensors")
        found = model.query(SceneState.load(tmp_path / "state.safetensors"), targets)
    assert torch.equal(found.nvs_pred, expected.nvs_pred)


def test_camera_tokens_are_kept_where_the_mixer_says_so(mixers, tmp_path):
    model = ZipMap(tiny_config(global_mixer="steps", query_head=True)).eval()
    with torch.no_grad():
        state = model.compress(images().float())
    assert state.camera_tokens.shape == (1, 3, 2 * 96)
    state.save(tmp_path / "state.safetensors")
    assert torch.equal(SceneState.load(tmp_path / "state.safetensors").camera_tokens, state.camera_tokens)
    with pytest.raises(UserError, match="no camera tokens of 1 scenes"):
        model.query(replace(state, camera_tokens=None), rays().float())


def test_states_of_other_sizes_are_refused(mixers):
    narrow, wide = (ZipMap(tiny_config(global_mixer="linear", mixer={"width": w}, query_head=True)) for w in (8, 9))
    with pytest.raises(UserError, match=r"in layer 0 keys \(1, 8, 1\), expected \(1, 9, 1\)"):
        wide.eval().query(narrow.eval().compress(images().float()), rays().float())


def test_a_stream_gives_what_windows_give(make_model):
    model, views = make_model(camera_head=CameraHeadConfig(kind="mlp")), images()
    with torch.no_grad():
        whole = model(views, window=1, keep_state=True)
    stream = model.stream()
    parts = [stream.push(views[:, index : index + 1]) for index in range(3)]
    together = replace(whole, **{name: torch.cat([getattr(part, name) for part in parts], dim=1) for name in OUTPUTS})
    assert_close(replace(together, state=stream.state), whole, 1e-8)


def test_a_training_step_reaches_every_parameter_and_lowers_the_loss(make_model):
    model, loss = make_model(checkpoint_activations=True).train(), ReconstructionLoss(LossConfig())
    views = 3
    optimizer = torch.optim.SGD(model.aggregator.global_blocks.parameters(), 1e-3)

    def step():
        optimizer.zero_grad()
        total = loss(model(images(views)), truth(views))["total"]
        total.backward()
        optimizer.step()
        return float(total.detach())

    before = step()
    for name, parameter in model.aggregator.mixers[0].named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    assert step() < before


def test_a_compiled_block_gives_the_same(mixers):
    backbone = ZipMap(tiny_config(global_mixer="linear")).double().aggregator
    block = backbone.global_blocks[0]
    compiled = torch.compile(block, backend="eager", dynamic=True, fullgraph=True)
    for views in (2, 3):
        tokens = torch.randn(views, 11, 96, dtype=torch.float64)
        grid, x = backbone.grid(images(views), tokens), tokens.flatten(0, 1)[None]
        torch.testing.assert_close(compiled(x, grid)[0], block(x, grid)[0])


def test_weights_are_written_and_recognised(make_model, tmp_path):
    model = make_model().float()
    assert model_config_of(model.state_dict(), settings=model.config) == model.config
    save_published(model, tmp_path / "own.safetensors")
    again = from_published(tmp_path / "own.safetensors")
    assert again.config == model.config
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def test_what_it_shares_with_attention_can_start_from_vggt(mixers):
    torch.manual_seed(1)
    vggt = ZipMap(tiny_config(global_mixer="softmax")).state_dict()
    model = ZipMap(tiny_config(global_mixer="steps"))
    fixed = model.aggregator.mixers[1].w.clone()
    report = start_from_vggt(model, vggt)
    assert {key.rpartition("attn.")[2] for key in report.fresh} == {"conv.weight", "w"}
    assert torch.equal(model.aggregator.mixers[1].qkv.weight, vggt["aggregator.global_blocks.1.attn.qkv.weight"])
    assert torch.equal(model.aggregator.mixers[1].w, fixed)
