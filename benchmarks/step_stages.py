"""The stages of training as a step needs them: model, loss, and a batch of random images."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.losses.config import LossConfig
from zipmap_pl.models.config import CameraHeadConfig, ModelConfig, TokenizerConfig, TTTConfig


@dataclass(frozen=True)
class Size:
    """How large the model and its batches are.

    `batches`: stage -> scenes and views of a batch; of a state-query batch half of the views are inputs, half targets.
    """

    model: ModelConfig
    side: int
    batches: dict[str, tuple[int, int]]


STAGES = ("static", "affine_invariant", "state_query", "streaming_12")  # dynamic is static with other data
FULL = Size(
    ModelConfig(checkpoint_activations=True),
    518,
    {"static": (2, 24), "affine_invariant": (2, 24), "state_query": (1, 44), "streaming_12": (3, 12)},
)
SMALL = Size(
    ModelConfig(
        embed_dim=384,
        heads=6,
        checkpoint_activations=True,
        tokenizer=TokenizerConfig(depth=12, heads=6),
        ttt=TTTConfig(head_dim=384),
    ),
    98,
    dict.fromkeys(STAGES, (1, 4)) | {"streaming_12": (1, 2)},
)


@dataclass(frozen=True)
class Stage:
    """What a step needs to know of a stage of training."""

    name: str
    model: ModelConfig
    loss: LossConfig
    scenes: int
    views: int
    side: int

    @property
    def images(self) -> int:
        """Of a batch."""
        return self.scenes * self.views

    @property
    def inputs(self) -> int:
        """Views of a scene that the model sees; it is asked for the others."""
        return self.views // 2 if self.model.query_head else self.views


def stage_of(name: str, size: Size) -> Stage:
    """A stage by name, as conf/stage/ and conf/model/ have it."""
    model, loss = size.model, LossConfig()
    if name in ("affine_invariant", "streaming_12"):
        model = replace(model, reference_view=False)
    if name == "streaming_12":
        model = replace(model, camera_head=CameraHeadConfig(kind="mlp"))
    if name == "state_query":
        model = replace(model, query_head=True)
    return Stage(name, model, loss, *size.batches[name], size.side)


def synthetic_batch(stage: Stage) -> Batch:
    """A batch as it leaves the loader: random pictures of gently curved surfaces, a tenth of the depth unknown."""
    scenes, views, side = stage.scenes, stage.views, stage.side
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    slope = 0.3 * torch.rand(scenes, views, 2, 1, 1, generator=generator)
    depth = 2 + slope[:, :, 0] * x + slope[:, :, 1] * y + 0.1 * (6 * x).sin() * (6 * y).cos()
    mask = torch.rand(depth.shape, generator=generator) > 0.1
    turn = 0.2 * torch.randn(scenes, views, 3, 3, generator=generator)
    rotation = torch.linalg.matrix_exp(turn - turn.mT)
    intrinsics = torch.tensor([[side, 0, side / 2], [0, side, side / 2], [0, 0, 1.0]]).repeat(scenes, views, 1, 1)
    asked = torch.arange(stage.inputs, views).expand(scenes, -1).contiguous() if stage.model.query_head else None
    return Batch(
        images=torch.randint(256, (scenes, views, 3, side, side), generator=generator, dtype=torch.uint8),
        depth=depth * mask,
        mask=mask,
        world_to_cam=torch.cat([rotation, torch.randn(scenes, views, 3, 1, generator=generator)], dim=-1),
        intrinsics=intrinsics,
        normals=torch.ones(scenes, dtype=torch.bool),
        dataset=["synthetic"] * scenes,
        scene=[str(number) for number in range(scenes)],
        frames=torch.arange(views).expand(scenes, -1).contiguous(),
        input_count=None if asked is None else stage.inputs,
        targets=asked,
    )


def to_device(batch: Batch, device: torch.device) -> Batch:
    """What Lightning and the data module do with a batch; from page-locked memory if it lies there."""
    values = {entry.name: getattr(batch, entry.name) for entry in fields(batch)}
    moved = {n: v.to(device, non_blocking=True) for n, v in values.items() if isinstance(v, Tensor)}
    return Batch(**{**values, **moved, "images": moved["images"].float().div_(255)})
