"""What the processes of `training_processes` do: runs, with things that happen to one of them in the middle."""

import itertools
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import lightning
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from zipmap_pl import files
from zipmap_pl.checkpoints import folder as folders
from zipmap_pl.checkpoints import parts, sharded
from zipmap_pl.checkpoints.folder import Manifest, SeenPictures
from zipmap_pl.checkpoints.parts import by_parameter_and_kind
from zipmap_pl.cli.fit import speak_plainly
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.losses.normalisation import ground_truth
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.models.config import CameraHeadConfig, DenseHeadConfig, ModelConfig, TokenizerConfig, TTTConfig
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training import fit as fit_module
from zipmap_pl.training.config import compose
from zipmap_pl.training.fit import fit
from zipmap_pl.training.module import ZipMapModule
from zipmap_pl.training.parallel.sharding import shard
from zipmap_pl.training.step.optimizer import build_optimizer, clip_by_module, set_learning_rates


def train(overrides: list[str]) -> None:
    """What `zipmap fit` does for one stage, with one thread: several processes share the machine."""
    fit_module._leave_cores_to_the_loader = lambda *_: torch.set_num_threads(1)  # type: ignore[assignment]
    speak_plainly()
    fit(compose(overrides))


def train_in_folders(outputs: list[str], overrides: list[str]) -> None:
    """Every process has an output folder of its own."""
    train([*overrides, f"output={outputs[int(os.environ['RANK'])]}"])


def train_with(action: Callable[[], float | None], rank: int, call: int, overrides: list[str]) -> None:
    """In one process, `action` happens inside the loss of training step `call`, counted from 1; its answer multiplies it."""
    if int(os.environ.get("RANK", 0)) == rank:
        in_each_step(lambda number: action() if number == call else None)
    train(overrides)


def in_each_step(action: Callable[[int], float | None]) -> None:
    """Inside the loss of every training step, `action` gets its number, counted from 1; its answer multiplies the loss."""
    calls, forward = 0, ReconstructionLoss.forward

    def forward_and_act(self: ReconstructionLoss, *arguments: object) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        terms = forward(self, *arguments)
        answer = action(calls)
        return terms if answer is None else terms | {"total": terms["total"] * answer}

    ReconstructionLoss.forward = forward_and_act  # type: ignore[method-assign]


def nan() -> float:
    """A loss that is none."""
    return float("nan")


def warn() -> None:
    """What SLURM does some time before the end."""
    signal.raise_signal(signal.SIGUSR1)


def terminate() -> None:
    """What a machine that shuts down does."""
    signal.raise_signal(signal.SIGTERM)


def terminate_twice() -> None:
    """What a machine that has no more time does."""
    terminate()
    terminate()


def train_in_a_group(sent: dict[int, signal.Signals], overrides: list[str]) -> None:
    """This process and its loader's workers get signals together, inside the steps of these numbers (0: before training)."""
    os.setpgid(0, 0)
    world_of = fit_module.world_of

    def send(number: int) -> None:
        if number in sent:
            os.killpg(0, sent[number])

    def warned_early(*arguments: object) -> object:
        send(0)
        return world_of(*arguments)  # type: ignore[arg-type]

    fit_module.world_of = warned_early  # type: ignore[assignment]
    in_each_step(send)
    train(overrides)


def die() -> None:
    """What nobody can react to."""
    os.kill(os.getpid(), signal.SIGKILL)


def train_alone(ranks: int, overrides: list[str], result: Path) -> None:
    """One process that accumulates the micro-batches of `ranks` processes: what any way to share the work has to equal."""
    config = compose(overrides)
    lightning.seed_everything(config.seed, verbose=False)
    model = ZipMap(config.model)
    stage, loss = config.stage, ReconstructionLoss(config.stage.loss, reference_view=config.model.reference_view)
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


def train_and_look_inside(overrides: list[str], result: Path) -> None:
    """What `train` does; the first process writes down in which dtypes each module computed, and what its slices are."""
    computed: dict[str, str] = {}
    configure = ZipMapModule.configure_model

    def look(name: str) -> Callable[[nn.Module, object], None]:
        def note(module: nn.Module, _: object) -> None:
            computed[name] = " ".join(sorted({str(p.dtype).removeprefix("torch.") for p in module.parameters()}))

        return note

    def configure_and_look(self: ZipMapModule) -> None:
        configure(self)
        for name in LOOKED_INTO:
            self.model.get_submodule(name).register_forward_pre_hook(look(name))

    def keep(self: ZipMapModule) -> None:
        kept = {str(p.dtype).removeprefix("torch.") for p in self.model.parameters()}
        if torch.distributed.get_rank() == 0:
            torch.save({"computed": computed, "kept": kept}, result)

    ZipMapModule.configure_model = configure_and_look  # type: ignore[method-assign]
    ZipMapModule.on_train_end = keep  # type: ignore[method-assign]
    train(overrides)


LOOKED_INTO = (
    *(f"aggregator.{place}.0" for place in ("patch_embed.blocks", "frame_blocks", "global_blocks")),
    *("camera_head", "depth_head", "local_point_head"),
)


def _loader(config, rank: int, world: int):  # noqa: ANN001, ANN202
    data = ZooDataModule(config.data, total_steps=config.stage.steps, run=config.facts())
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


def save_twice(folder: Path, kind: str, action: Callable[[], None], rank: int, call: int) -> None:
    """Two checkpoints, of ones and of twos. In one process `action` happens at file operation `call` of the second."""
    model = _model_of_all(kind)
    save_one(folder, kind, model, 1)
    if torch.distributed.get_rank() == rank:
        arm(action, call)
    save_one(folder, kind, model, 2)


def save_on_and_on(folder: Path, kind: str, slow: int) -> None:
    """Checkpoints of ones, of twos, of threes, ... until somebody ends it; process `slow` takes its time to write."""
    model = _model_of_all(kind)
    if torch.distributed.get_rank() == slow:
        arm(lambda: time.sleep(0.01), None)
    for value in itertools.count(1):
        save_one(folder, kind, model, value)


def _model_of_all(kind: str) -> nn.Module:
    torch.distributed.init_process_group("gloo")
    model = nn.Sequential(nn.Linear(8, 5), nn.Linear(5, 3))
    if kind == "sharded":
        fully_shard(model, mesh=init_device_mesh("cpu", (torch.distributed.get_world_size(),)))
    return model


def save_one(folder: Path, kind: str, model: nn.Module, value: int) -> None:
    """A checkpoint of step `value` in which every number is `value`; of a "whole" model the first process writes it."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    state = {name: {"exp_avg": p.detach(), "step": torch.tensor(value)} for name, p in model.named_parameters()}
    manifest = Manifest(value, 0, "demo", ModelConfig(), SeenPictures(56, [1.0, 1.0], [2, 4]), {})
    if kind == "sharded":
        groups = {"weights": model.state_dict(), "optimizer": by_parameter_and_kind(state)}
        sharded.save_sharded(folder, manifest, groups, keep=2)
        return
    leader = torch.distributed.get_rank() == 0
    sharded.together(
        lambda: folders.save_checkpoint(folder, manifest, model.state_dict(), state, keep=2) if leader else None
    )


def train_and_die_saving(rank: int, call: int, overrides: list[str]) -> None:
    """In one process the end comes at file operation `call` in the folder of checkpoints."""
    if int(os.environ.get("RANK", 0)) == rank:
        arm(die, call, Path(compose(overrides).output) / "checkpoints")
    train(overrides)


def arm(action: Callable[[], None], call: int | None, below: Path = Path("/")) -> None:
    """Let `action` happen at one (None: every) operation that changes a file of a checkpoint `below` a folder.

    All of them go through here. Files of tensors count twice: before they are there and when half of them is.
    """
    calls = 0

    def act_if_due(path: Path) -> None:
        nonlocal calls
        calls += below in path.parents
        if below in path.parents and call in (calls, None):
            action()

    def counted(operation: Callable[..., object]) -> Callable[..., object]:
        def act_then_do(path: Path, *arguments: object, **options: object) -> object:
            act_if_due(Path(path))
            return operation(path, *arguments, **options)

        return act_then_do

    def torn(write: Callable[..., object]) -> Callable[..., object]:
        def act_then_write(path: Path, *arguments: object) -> None:
            act_if_due(path)
            write(path, *arguments)
            content = path.read_bytes()
            os.truncate(path, len(content) // 2)
            act_if_due(path)
            with path.open("wb") as file:
                file.write(content)

        return act_then_write

    folders.write_safetensors = parts.write_safetensors = torn(folders.write_safetensors)  # type: ignore[assignment]
    folders.write_pt = torn(folders.write_pt)  # type: ignore[assignment]
    sharded.sync = folders.sync = files.sync = counted(files.sync)  # type: ignore[assignment]
    os.replace = counted(os.replace)  # type: ignore[assignment]  # behind Path.replace too
    for name in ("mkdir", "write_text", "write_bytes", "rename"):
        setattr(Path, name, counted(getattr(Path, name)))


def fill_the_disk() -> None:
    """What the system says then."""
    raise OSError(28, "No space left on device")


def train_on_a_full_disk(rank: int, first: int, last: int, largest: int, overrides: list[str]) -> None:
    """In one process no file can grow beyond `largest` bytes from training step `first` to `last`, both included."""

    def limit(call: int) -> None:
        if call in (first, last + 1):
            unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest if call == first else unlimited, unlimited))

    if int(os.environ.get("RANK", 0)) == rank:
        in_each_step(limit)
    try:
        train(overrides)
    except OSError as error:
        print(f"told: {error}")
        sys.exit(2)
