"""What the processes of `training_processes` do: runs, with things that happen to one of them in the middle."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import lightning
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from zipmap_pl.checkpoints import folder as folders
from zipmap_pl.checkpoints import sharded
from zipmap_pl.checkpoints.folder import Manifest, SeenPictures
from zipmap_pl.checkpoints.parts import by_parameter_and_kind
from zipmap_pl.cli.fit import speak_plainly
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.losses.normalisation import ground_truth
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.models.config import CameraHeadConfig, DenseHeadConfig, ModelConfig, TokenizerConfig, TTTConfig
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import compose
from zipmap_pl.training.fit import fit
from zipmap_pl.training.module import ZipMapModule
from zipmap_pl.training.optimizer import build_optimizer, clip_by_module, set_learning_rates
from zipmap_pl.training.sharding import shard


def train(overrides: list[str]) -> None:
    """What `zipmap fit` does for one stage."""
    speak_plainly()
    fit(compose(overrides))


def train_with(action: Callable[[], float | None], rank: int, call: int, overrides: list[str]) -> None:
    """In one process, `action` happens inside the loss of training step `call`, counted from 1; its answer multiplies it."""
    if int(os.environ.get("RANK", 0)) == rank:
        calls, forward = 0, ReconstructionLoss.forward

        def forward_and_act(self: ReconstructionLoss, *arguments: object) -> dict[str, Tensor]:
            nonlocal calls
            calls += 1
            terms = forward(self, *arguments)
            answer = action() if calls == call else None
            return terms if answer is None else terms | {"total": terms["total"] * answer}

        ReconstructionLoss.forward = forward_and_act  # type: ignore[method-assign]
    train(overrides)


def nan() -> float:
    """A loss that is none."""
    return float("nan")


def warn() -> None:
    """What SLURM does some time before the end."""
    signal.raise_signal(signal.SIGUSR1)


def terminate() -> None:
    """What a machine that shuts down does."""
    signal.raise_signal(signal.SIGTERM)


def die() -> None:
    """What nobody can react to."""
    os.kill(os.getpid(), signal.SIGKILL)


def train_alone(ranks: int, overrides: list[str], result: Path) -> None:
    """One process that accumulates the micro-batches of `ranks` processes: what any way to share the work has to equal."""
    config = compose(overrides)
    lightning.seed_everything(config.seed, verbose=False)
    model = ZipMapModule(config).model
    stage, loss = config.stage, ReconstructionLoss(config.stage.loss)
    optimizer = build_optimizer(model, stage.optimizer)
    losses, norms = [], []
    for step, batches in enumerate(zip(*(_loader(config, rank, ranks) for rank in range(ranks)), strict=True)):
        rates = set_learning_rates(optimizer, step, stage.steps, stage.optimizer)
        total = 0.0
        for batch in batches:
            batch.images = batch.images.float() / 255
            part = loss(model(batch.images), *ground_truth(batch))["total"] / ranks
            part.backward()
            total += float(part.detach())
        losses.append(total)
        norms.append({name: float(norm) for name, norm in clip_by_module(model, stage.optimizer).items()})
        optimizer.step()
        optimizer.zero_grad()
    torch.save({"losses": losses, "norms": norms, "rates": rates}, result)


def _loader(config, rank: int, world: int):  # noqa: ANN001, ANN202
    data = ZooDataModule(config.data, total_steps=config.stage.steps)
    data._rank_and_world = lambda: (rank, world)  # type: ignore[method-assign]
    return data.train_dataloader()


QUERIED = ModelConfig(
    embed_dim=48,
    depth=4,
    heads=3,
    feature_blocks=[0, 1, 2, 3],
    layer_scale=0.2,
    token_std=0.3,
    query_head=True,
    tokenizer=TokenizerConfig(depth=1, heads=3, position_grid=4),
    ttt=TTTConfig(head_dim=48, newton_schulz_dtype="float32"),  # one head: cut along another dimension
    camera_head=CameraHeadConfig(trunk_depth=1, heads=3),
    dense_head=DenseHeadConfig(features=16, level_channels=[8, 8, 8, 8], hidden=8),
)


def query_and_compare(recompute: bool) -> None:
    """A sharded model that is queried has the outputs and gradients of a whole one, also by its other methods."""
    QUERIED.checkpoint_activations = recompute
    model, whole = _same_twice()
    torch.distributed.init_process_group("gloo")
    shard(model, init_device_mesh("cpu", (2,)), narrow_backbone=False)
    images, rays = torch.rand(1, 2, 3, 28, 28), torch.rand(1, 2, 9, 28, 28)
    for network in (whole, model):
        answer = network(images, target_rays=rays)
        maps = (answer.pose_enc, answer.depth, answer.depth_conf, answer.local_points, answer.nvs_pred)
        torch.stack([(x * torch.linspace(0, 1, x.shape[-1])).sum() for x in maps]).sum().backward()
    wanted = dict(whole.named_parameters())
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and wanted[name].grad is not None:
            torch.testing.assert_close(parameter.grad.full_tensor(), wanted[name].grad, rtol=1e-4, atol=1e-4)
            assert parameter.to_local().numel() < wanted[name].numel() or parameter.shape[0] == 1
    for network in (whole.eval(), model.eval()):
        with torch.no_grad():
            answer = network.query(network.compress(images), rays)
        found = answer.nvs_pred if network is whole else found - answer.nvs_pred  # noqa: F821
    assert found.abs().max() < 1e-5


def _same_twice() -> tuple[ZipMap, ZipMap]:
    torch.manual_seed(0)
    model, whole = ZipMap(QUERIED), ZipMap(QUERIED)
    whole.load_state_dict(model.state_dict())
    return model, whole


def save_twice(folder: Path, action: Callable[[], None], rank: int, call: int) -> None:
    """Two checkpoints, of ones and of twos. In one process `action` happens at file operation `call` of the second."""
    torch.distributed.init_process_group("gloo")
    world = torch.distributed.get_world_size()
    model = nn.Sequential(nn.Linear(8, 5), nn.Linear(5, 3))
    fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    for value in (1, 2):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(value)
        if value == 2 and torch.distributed.get_rank() == rank:
            _arm(action, call)
        state = {name: {"exp_avg": p.detach(), "step": torch.tensor(value)} for name, p in model.named_parameters()}
        groups = {"weights": model.state_dict(), "optimizer": by_parameter_and_kind(state)}
        pictures = SeenPictures(56, [1.0, 1.0], [2, 4])
        sharded.save_sharded(folder, Manifest(value, 0, "demo", ModelConfig(), pictures, {}), groups)


def _arm(action: Callable[[], None], call: int) -> None:
    """All that changes files on the way to a checkpoint goes through here."""
    calls = 0

    def counted(operation: Callable[..., object]) -> Callable[..., object]:
        def act_then_do(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == call:
                action()
            return operation(*arguments, **options)

        return act_then_do

    sharded.write_part = counted(sharded.write_part)  # type: ignore[assignment]
    sharded.sync = folders.sync = counted(folders.sync)  # type: ignore[assignment]
    for name in ("mkdir", "write_text", "rename", "replace"):
        setattr(Path, name, counted(getattr(Path, name)))


def fill_the_disk() -> None:
    """What the system says then."""
    raise OSError(28, "No space left on device")
