"""How many processes train together, who started them, and how they share the model: one Lightning strategy for each way."""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch.distributed import PrefixStore
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.rendezvous import rendezvous

from zipmap_pl.errors import UserError
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import TrainerConfig
from zipmap_pl.training.parallel.sharding import is_sharded, shard


@dataclass(frozen=True)
class World:
    """The processes that train together: `devices` on each of `nodes`, and who started them (None: we do)."""

    nodes: int
    devices: int
    environment: ClusterEnvironment | None

    @property
    def size(self) -> int:
        """How many processes."""
        return self.nodes * self.devices


def world_of(config: TrainerConfig) -> World:
    """What torchrun or srun say; without them, what the settings say.

    Raises:
        UserError: settings and launcher contradict each other, or a launcher started another number on every node.
    """
    if TorchElasticEnvironment.detect():
        size, devices = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        world, launcher = World(size // devices, devices, TorchElasticEnvironment()), "torchrun"
    elif SLURMEnvironment.detect():
        size, nodes = int(os.environ["SLURM_NTASKS"]), int(os.environ["SLURM_NNODES"])
        # Lightning's own answer to the warning signal would be a checkpoint in another format.
        world, launcher = World(nodes, size // nodes, SLURMEnvironment(auto_requeue=False)), "srun"
    else:
        return World(config.nodes, config.devices, None)
    if world.size != size:
        raise UserError(
            f"{launcher} started {size} processes, {world.devices} on a node; expected the same number on every node"
        )
    for name, told, found in (("devices", config.devices, world.devices), ("nodes", config.nodes, world.nodes)):
        if told not in (1, found):
            raise UserError(
                f"settings: trainer.{name} is {told}, but {launcher} started {found}; leave trainer.{name} out, the launcher decides"
            )
    return world


def is_first(world: World) -> bool:
    """Return True in the process that writes the run's files; to be asked before the processes have met."""
    environment = world.environment or LightningEnvironment()
    return environment.node_rank() == 0 and environment.local_rank() == 0


def meet(world: World, on_gpu: bool) -> None:
    """Let processes that torchrun started find each other, and see to it that any leave their group before they end.

    After a death torchrun starts all of them again beside the store in which the dead have left their addresses. Lightning
    would look for the others there (torch 2.14); here every attempt has names of its own.
    """
    if world.size == 1:
        return
    atexit.register(_part)
    if isinstance(world.environment, TorchElasticEnvironment) and not torch.distributed.is_initialized():
        store, rank, size = next(rendezvous("env://"))
        store = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_gpu else None
        backend = "nccl" if on_gpu else "gloo"
        torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=size, device_id=device)


def _part() -> None:
    """Threads of a group that was not left can abort a process that has done everything."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def build_strategy(name: str, world: World) -> Strategy | str:
    """Lightning's strategy for `trainer.strategy`; `auto`: nothing for one process, fsdp on one node, hsdp on several."""
    if name == "ddp":
        return DDPStrategy(gradient_as_bucket_view=True)
    if name == "auto" and world.size == 1:
        return "auto"
    if name == "hsdp" or (name == "auto" and world.nodes > 1):
        return ShardingStrategy(replicas=world.nodes, shards=world.devices)
    return ShardingStrategy(replicas=1, shards=world.size)


class ShardingStrategy(ModelParallelStrategy):
    """FSDP2: the model in as many shards, in as many replicas; neighbouring processes hold the shards of one replica."""

    def __init__(self, replicas: int, shards: int) -> None:
        super().__init__(data_parallel_size=replicas * shards, tensor_parallel_size=1)
        self.replicas, self.shards = replicas, shards

    def mesh(self) -> DeviceMesh:
        """The processes as FSDP wants to see them; called by all of them together."""
        kind = self.root_device.type
        if self.replicas == 1:
            return init_device_mesh(kind, (self.shards,), mesh_dim_names=("shard",))
        return init_device_mesh(kind, (self.replicas, self.shards), mesh_dim_names=("replicate", "shard"))


def share(model: ZipMap, strategy: Strategy) -> None:
    """Shard a whole model if the strategy says so and it is not done yet."""
    if isinstance(strategy, ShardingStrategy) and not is_sharded(model):
        shard(model, strategy.mesh(), narrow_backbone=isinstance(strategy.precision_plugin, MixedPrecision))


@contextmanager
def gradient_exchange(strategy: Strategy, model: ZipMap, wanted: bool) -> Iterator[None]:
    """Without it, a backward pass adds to this process's own gradients: all micro-batches of a step but the last."""
    if isinstance(strategy, ShardingStrategy):
        from torch.distributed.fsdp import FSDPModule

        sharded = cast(FSDPModule, model)
        sharded.set_requires_gradient_sync(wanted)
        try:
            yield
        finally:
            sharded.set_requires_gradient_sync(True)
    elif isinstance(strategy, DDPStrategy) and not wanted:
        with strategy.block_backward_sync():
            yield
    else:
        yield
