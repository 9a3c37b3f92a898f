"""Several processes train as one would: DDP, shards, shards on every node; they stop, die and go on together."""

import shutil
from pathlib import Path

import pytest
import torch
import training_tasks as tasks
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_processes import run
from training_results import tensors_of

from zipmap_pl.checkpoints.folder import (
    checkpoints_of,
    find_checkpoint,
    read_averages,
    read_manifest,
    read_optimizer,
    read_weights,
)
from zipmap_pl.checkpoints.load import load_model
from zipmap_pl.checkpoints.published import from_published
from zipmap_pl.cli.main import main
from zipmap_pl.errors import UserError
from zipmap_pl.training.config import TrainerConfig
from zipmap_pl.training.parallel.sharding import shard_dimension
from zipmap_pl.training.parallel.strategies import world_of

STEPS = 10
SAVED = 8
MANY = 200


@pytest.fixture(scope="module")
def settings(unwatched_run: list[str]) -> list[str]:
    """Without validation, half of the pictures, and with a group of its own for the layers that are sharded oddly."""
    return [
        *unwatched_run,
        "model.ttt.newton_schulz_dtype=float32",
        "+stage.optimizer.rates={*ttt_block*: 1e-4}",  # the published rates; larger ones make a difference of rounding grow
        "stage.optimizer.learning_rate=1e-5",
        "stage.ema.decay=0.9",
        "stage.ema.start_step=1",
        f"stage.steps={STEPS}",
        f"trainer.checkpoint_every={SAVED}",
    ]


@pytest.fixture(scope="module")
def runs(settings: list[str], tmp_path_factory: pytest.TempPathFactory):  # noqa: ANN201
    """Runs by strategy, number of processes and of nodes; each is made once."""
    made: dict[tuple[str, int, int], Path] = {}

    def make(strategy: str, world: int, nodes: int = 1) -> Path:
        key = (strategy, world, nodes)
        if key not in made:
            output = tmp_path_factory.mktemp(strategy)
            run(tasks.train, world, with_output(settings, output, strategy), log=output / "log", nodes=nodes)
            made[key] = output
        return made[key]

    return make


def with_output(settings: list[str], output: Path, strategy: str) -> list[str]:
    return [*settings, f"output={output}", f"trainer.strategy={strategy}"]


def scalars(run: Path, name: str) -> list[float]:
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return [event.value for event in events.Scalars(name)]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def alone(settings: list[str], tmp_path_factory: pytest.TempPathFactory):  # noqa: ANN201
    """Losses, norms and rates of one process that accumulates the micro-batches of several; each is made once."""
    made: dict[int, dict] = {}

    def train(ranks: int) -> dict:
        if ranks not in made:
            output = tmp_path_factory.mktemp("alone")
            run(tasks.train_alone, 1, ranks, settings, output / "result.pt", log=output / "log")
            made[ranks] = torch.load(output / "result.pt")
        return made[ranks]

    return train


@pytest.mark.parametrize(
    ("strategy", "world", "nodes"),
    [
        ("fsdp", 2, 1),
        pytest.param("ddp", 2, 1, marks=pytest.mark.long),
        pytest.param("hsdp", 4, 2, marks=pytest.mark.long),
    ],
)
def test_processes_have_the_curve_of_one_that_accumulates(strategy: str, world: int, nodes: int, runs, alone) -> None:
    compare(runs(strategy, world, nodes), alone(world))


@pytest.mark.long
@pytest.mark.parametrize(("strategy", "world", "nodes"), [("fsdp", 2, 1), ("ddp", 2, 1), ("hsdp", 4, 2)])
def test_fast_weights_in_bfloat16_have_the_curve_to_a_hundredth(
    strategy: str, world: int, nodes: int, settings: list[str], tmp_path: Path
) -> None:
    """As published. Against itself, and against one process in float32."""
    narrow = [*settings, "model.ttt.newton_schulz_dtype=bfloat16"]
    run(tasks.train, world, with_output(narrow, tmp_path, strategy), log=tmp_path / "log", nodes=nodes)
    run(tasks.train_alone, 1, world, narrow, tmp_path / "alone.pt", log=tmp_path / "log alone")
    wanted = torch.load(tmp_path / "alone.pt")["losses"]
    assert scalars(tmp_path, "loss/total") == pytest.approx(wanted, rel=1e-2)


def test_shards_compute_the_backbone_in_bfloat16_and_all_else_in_float32(
    settings: list[str], alone, tmp_path: Path
) -> None:
    """As published. Slices, and what the optimiser does with them, are float32 too; the curve is that of float32 to 1e-2."""
    mixed = [*with_output(settings, tmp_path, "fsdp"), "trainer.precision=bf16-mixed"]
    run(tasks.train_and_look_inside, 2, mixed, tmp_path / "found.pt", log=tmp_path / "log")
    found = torch.load(tmp_path / "found.pt")
    assert found["computed"] == {
        name: "bfloat16" if name.startswith("aggregator") else "float32" for name in tasks.LOOKED_INTO
    }
    assert found["kept"] == {"float32"}
    assert {tensor.dtype for tensor in tensors_of(find_checkpoint(tmp_path)).values()} == {torch.float32}
    assert scalars(tmp_path, "loss/total") == pytest.approx(alone(2)["losses"], rel=1e-2)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_steps_of_changing_numbers_of_images_never_lock_and_have_the_curve(settings: list[str], tmp_path: Path) -> None:
    """200 steps in two shards, each of another number of views, scenes and rows of pixels.

    A tenth of the published rates: with those, two shards differ from one process by up to 1.5e-5 of the loss (8 of 200
    steps are beyond 1e-5), and one process whose first weights are changed in the last bit differs from itself by 1.6e-5.
    """
    changing = [
        *(setting for setting in settings if "optimizer" not in setting),
        "+stage.optimizer.rates={*ttt_block*: 1e-5}",
        "stage.optimizer.learning_rate=1e-6",
        f"stage.steps={MANY}",
        "data.views=[2,6]",
        "data.images_per_gpu=6",
        "data.aspect=[0.5,1.0]",
    ]
    run(tasks.train, 2, with_output(changing, tmp_path, "fsdp"), log=tmp_path / "log")
    run(tasks.train_alone, 1, 2, changing, tmp_path / "alone.pt", log=tmp_path / "log alone")
    assert set(scalars(tmp_path, "data/images")) >= {4, 5, 6}
    assert set(scalars(tmp_path, "data/views")) == {2, 3, 4, 5, 6}
    assert scalars(tmp_path, "loss/total") == pytest.approx(torch.load(tmp_path / "alone.pt")["losses"], rel=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["fsdp", "ddp"])
def test_two_that_accumulate_twice_have_the_curve_of_four(
    strategy: str, settings: list[str], alone, tmp_path: Path
) -> None:
    twice = [*with_output(settings, tmp_path, strategy), "trainer.global_images=16"]
    run(tasks.train, 2, twice, log=tmp_path / "log")
    compare(tmp_path, alone(4))


def compare(found: Path, wanted: dict) -> None:
    """Losses, norms before clipping and rates, step by step."""
    assert scalars(found, "loss/total") == pytest.approx(wanted["losses"], rel=1e-5)
    for module in wanted["norms"][0]:
        norms = [norms[module] for norms in wanted["norms"]]
        assert scalars(found, f"gradient_norm/{module}") == pytest.approx(norms, rel=1e-3)
    for group, rate in wanted["rates"].items():
        assert scalars(found, f"learning_rate/{group}")[-1] == pytest.approx(rate)


def killed(run: Path, at: Path) -> Path:
    """What is left of a run that was killed after it had saved."""
    shutil.copytree(run, at, ignore=shutil.ignore_patterns("log", f"step-{STEPS:08d}", "latest"))
    return at


def test_a_killed_run_in_shards_goes_on_bit_for_bit(runs, settings: list[str], tmp_path: Path) -> None:
    whole = runs("fsdp", 2)
    again = killed(whole, tmp_path / "again")
    run(tasks.train, 2, with_output(settings, again, "fsdp"), log=tmp_path / "log")
    ends = [checkpoints_of(folder / "checkpoints")[-1] for folder in (whole, again)]
    assert [read_manifest(end).step for end in ends] == [STEPS, STEPS]
    assert same(read_weights(ends[0]), read_weights(ends[1]))
    assert same(averages(ends[0]), averages(ends[1]))
    assert not same(averages(ends[0]), read_weights(ends[0]))
    first, second = (read_optimizer(end) for end in ends)
    assert first.keys() == second.keys() and all(same(state, second[name]) for name, state in first.items())


def averages(checkpoint: Path) -> dict[str, torch.Tensor]:
    found = read_averages(checkpoint)
    assert found is not None
    return dict(found)


def test_processes_that_do_not_see_the_same_folder_say_so(runs, settings: list[str], tmp_path: Path) -> None:
    """A folder on the disk of one node; without this they would wait for each other."""
    first = killed(runs("fsdp", 2), tmp_path / "first")
    outputs = [str(first), str(tmp_path / "other")]
    run(tasks.train_in_folders, 2, outputs, with_output(settings, first, "fsdp"), log=tmp_path / "log", expected=1)
    for path in (tmp_path / "log").iterdir():
        assert f"process 0 found the checkpoint of step {SAVED}, others that of 0" in path.read_text()


STANDING_STILL = [
    f"stage.steps={SAVED + 1}",
    "stage.optimizer.learning_rate=1e-30",
    "stage.optimizer.floor_learning_rate=0",
    "stage.optimizer.betas=[0.999999999999,0.999999999999]",
]


@pytest.mark.long
@pytest.mark.parametrize(("before", "after"), [(2, 1), (4, 2), (4, 1), (2, 4), (1, 2), (1, 4), (4, 4)])
def test_another_number_of_processes_goes_on_with_the_same_tensors(
    before: int, after: int, runs, settings: list[str], tmp_path: Path
) -> None:
    """One more step that moves nothing writes down what was read."""
    first = killed(runs("fsdp" if before > 1 else "auto", before), tmp_path / "first")
    strategy = "fsdp" if after > 1 else "auto"
    one_rate = [setting for setting in settings if "rates" not in setting]
    still = [*with_output(one_rate, first, strategy), *STANDING_STILL]
    run(tasks.train, after, still, log=tmp_path / "log")
    old, new = checkpoints_of(first / "checkpoints")
    assert [read_manifest(checkpoint).parts for checkpoint in (old, new)] == [
        0 if world == 1 else world for world in (before, after)
    ]
    weights, averaged = read_weights(old), averages(new)
    assert same(weights, read_weights(new))
    for name, average in averages(old).items():  # which came a tenth nearer to the weights
        torch.testing.assert_close(averaged[name], average.lerp(weights[name], 0.1))
    was, now = read_optimizer(old), read_optimizer(new)
    assert was.keys() == now.keys()
    for name, state in was.items():
        assert float(now[name]["step"]) == float(state["step"]) + 1
        for kind in ("exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(now[name][kind], state[kind], rtol=1e-5, atol=1e-8)


def test_shards_become_a_model_and_one_file_anywhere(runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = runs("fsdp", 2)
    model = load_model(output).model
    assert main(["checkpoint", "consolidate", str(output), "--output", str(tmp_path / "model.safetensors")]) == 0
    assert "model.safetensors" in capsys.readouterr().out
    published = from_published(tmp_path / "model.safetensors")
    assert published.config.reference_view == model.config.reference_view
    assert same(published.state_dict(), model.state_dict())
    assert main(["checkpoint", "consolidate", str(output), "--ema", "--output", str(tmp_path / "ema.pt")]) == 0
    averaged = from_published(tmp_path / "ema.pt").state_dict()
    found = averages(find_checkpoint(output))
    assert same(found, {name: averaged[name] for name in found})


@pytest.mark.parametrize("strategy", ["fsdp", pytest.param("ddp", marks=pytest.mark.long)])
def test_a_step_that_is_not_finite_on_one_process_is_skipped_by_all(
    strategy: str, settings: list[str], tmp_path: Path
) -> None:
    three = [*with_output(settings, tmp_path, strategy), "stage.steps=3", "trainer.checkpoint_every=1"]
    three.append("stage.ema.start_step=0")
    run(tasks.train_with, 2, tasks.nan, 1, 2, three, log=tmp_path / "log")
    first, second, third = checkpoints_of(tmp_path / "checkpoints")
    assert [read_manifest(folder).skipped for folder in (first, second, third)] == [0, 1, 1]
    assert not same(tensors_of(first), tensors_of(third))
    assert same(tensors_of(first), tensors_of(second))
    assert not same(read_weights(second), read_weights(third))
    assert {float(state["step"]) for state in read_optimizer(third).values()} == {2.0}


def test_a_warning_to_one_process_is_a_checkpoint_of_all(settings: list[str], tmp_path: Path) -> None:
    four = [*with_output(settings, tmp_path, "fsdp"), "stage.steps=4"]
    run(tasks.train_with, 2, tasks.warn, 1, 3, four, log=tmp_path / "log")
    assert [read_manifest(folder).step for folder in checkpoints_of(tmp_path / "checkpoints")] == [3, 4]


def test_the_end_of_one_process_ends_all_after_a_checkpoint(settings: list[str], tmp_path: Path) -> None:
    four = [*with_output(settings, tmp_path, "fsdp"), "stage.steps=4"]
    run(tasks.train_with, 2, tasks.terminate, 1, 3, four, log=tmp_path / "log", expected=130)
    assert [read_manifest(folder).step for folder in checkpoints_of(tmp_path / "checkpoints")] == [3]


@pytest.mark.parametrize("recompute", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_model_in_shards_is_queried_and_trained_like_a_whole_one(recompute: bool, tmp_path: Path) -> None:
    run(tasks.query_and_compare, 2, recompute, log=tmp_path)


@pytest.mark.parametrize(
    ("shape", "dimension"),
    [((1024, 8), 0), ((1, 1024, 2048), 2), ((1, 1370, 1024), 2), ((3, 5), 0), ((3,), 0), ((9, 2048), 0)],
)
def test_a_parameter_is_cut_where_it_is_long(shape: tuple[int, ...], dimension: int) -> None:
    assert shard_dimension(shape, 8) == dimension


TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "job"}
SRUN = {"SLURM_NTASKS": "16", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "8", "SLURM_JOB_NAME": "train"}


@pytest.mark.parametrize(("environment", "nodes", "devices"), [(TORCHRUN, 2, 4), (SRUN, 2, 8), ({}, 1, 1)])
def test_the_launcher_says_how_many_there_are(
    environment: dict[str, str], nodes: int, devices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    world = world_of(TrainerConfig())
    assert (world.nodes, world.devices) == (nodes, devices)
    if environment:
        with pytest.raises(UserError, match="trainer.devices is 3"):
            world_of(TrainerConfig(devices=3))
