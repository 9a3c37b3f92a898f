"""Unreadable data while training: shown, survived, and too much of it stops the run with the list."""

import logging
import os
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zipmap_pl.datasets.draws.step_batches import TrainRequest
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.loading.faults import FaultTally, TooManyFaults, list_of_faults, too_many
from zipmap_pl.datasets.loading.mixture import Pick
from zipmap_pl.datasets.loading.samples import TrainSamples
from zipmap_pl.errors import UserError
from zipmap_pl.training.config import compose
from zipmap_pl.training.fit import fit
from zipmap_pl.training.watching.callbacks import Faults


@pytest.fixture
def damaged_run(rooms: Path, smallest_run: list[str], tmp_path: Path) -> list[str]:
    """The smallest run, with one scene out of six whose pictures have all lost a bit."""
    shutil.copytree(rooms, tmp_path / "rooms")
    index = ShardIndex.open(tmp_path / "rooms")
    train = index.splits.index("train")
    scene = next(scene for scene in range(index.scene_count) if index["scene.split"][scene] == train)
    for row in index.scene_rows(scene):
        file = index.shard_file(int(index["frame.shard"][row]))
        data = bytearray(file.read_bytes())
        data[int(index["frame.part_offset"][row, 0]) + 60] ^= 1
        file.write_bytes(data)
    paths = [f"data.{kind}.rooms.path={tmp_path / 'rooms'}" for kind in ("train", "validation")]
    return [*smallest_run, *paths, f"output={tmp_path / 'run'}"]


def test_a_run_survives_damage_and_shows_it(
    damaged_run: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert fit(compose(damaged_run)).steps == 6
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    counts = [event.value for event in events.Scalars("data/faults")]
    assert len(counts) == 6 and counts == sorted(counts) and counts[-1] > 0
    shares = [event.value for event in events.Scalars("data/fault_share")]
    assert 0 < shares[-1] < 0.5
    named = [record.getMessage() for record in caplog.records if "replaced by another draw" in record.getMessage()]
    assert len(named) == 1 and ".tar: sample train-" in named[0]


def test_too_much_damage_stops_the_run_with_the_list(damaged_run: list[str], tmp_path: Path) -> None:
    with pytest.raises(TooManyFaults) as caught:
        fit(compose([*damaged_run, "data.max_fault_share=0"]))
    message = str(caught.value)
    assert "\n" not in message and "allowed is a share of 0 (data.max_fault_share)" in message
    assert f"worst: {tmp_path / 'rooms'}/train/synthetic-000000.tar (" in message


def test_a_worker_that_is_killed_is_told_in_one_line(
    smallest_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = TrainSamples.read

    def killed(self: TrainSamples, pick: Pick, request: TrainRequest, attempt: int) -> object:
        if request.step == 2:
            os.kill(os.getpid(), signal.SIGKILL)  # as the system does when memory runs out
        return read(self, pick, request, attempt)

    monkeypatch.setattr(TrainSamples, "read", killed)
    with pytest.raises(
        UserError,
        match=r"data: DataLoader worker \(pid.* (killed|exited).*was at step 2, slot 0: .*lower data\.workers",
    ) as caught:
        fit(compose([*smallest_run, "data.workers=1", f"output={tmp_path}"]))
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_an_index_that_is_cut_while_a_worker_reads_is_told_in_one_line(
    smallest_run: list[str], rooms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    read, own = TrainSamples.read, Path(shutil.copytree(rooms, tmp_path / "rooms"))

    def cut(self: TrainSamples, pick: Pick, request: TrainRequest, attempt: int) -> object:
        if request.step == 2:
            for column in (own / "index").iterdir():
                os.truncate(column, 0)
        return read(self, pick, request, attempt)

    monkeypatch.setattr(TrainSamples, "read", cut)
    paths = [f"data.{kind}.rooms.path={own}" for kind in ("train", "validation")]
    with pytest.raises(UserError, match=r"data: .*/index/.*: has 0 bytes, \d+ when this run opened it") as caught:
        fit(compose([*smallest_run, *paths, "data.workers=1", f"output={tmp_path}/run"]))
    told = str(caught.value) + capfd.readouterr().err
    assert "\n" not in str(caught.value) and "shared memory" not in told and "shm" not in told


def test_what_is_too_many() -> None:
    assert not too_many(50, 10, 0.05) and too_many(51, 10, 0.05)  # as if there had been 1,000
    assert not too_many(500, 10_000, 0.05) and too_many(501, 10_000, 0.05)
    assert too_many(1, 1, 0.0) and not too_many(0, 1, 0.0)


def test_the_tally_names_each_file_once_and_the_worst_first() -> None:
    tally = FaultTally()
    assert tally.add(4, ["a.tar: sample x: bad", "a.tar: sample y: bad", "b.tar: sample z: bad"]) == [
        "a.tar: sample x: bad",
        "b.tar: sample z: bad",
    ]
    assert tally.add(4, ["a.tar: sample z: bad"]) == []
    assert (tally.draws, tally.faults) == (12, 4)
    many = Counter({f"{number}.tar": number for number in range(1, 13)})
    told = list_of_faults(78, 100, 0.05, many)
    assert "worst: 12.tar (12x), 11.tar (11x)" in told and "5.tar (5x) and 4 more files" in told


def _rank(rank: int, folder: str) -> None:
    """One of two processes: the other one has all the faults."""
    from types import SimpleNamespace

    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)

    def reduced(value: torch.Tensor, reduce_op: str) -> torch.Tensor:
        torch.distributed.all_reduce(value)
        return value

    data = SimpleNamespace(faults=FaultTally(), config=SimpleNamespace(max_fault_share=0.01))
    data.faults.add(500, ["bad.tar: sample x: bad"] * (11 * rank))
    logged: dict[str, float] = {}
    module = SimpleNamespace(
        step=10,
        step_ended=True,
        config=SimpleNamespace(stage=SimpleNamespace(steps=99)),
        device="cpu",
        log_scalars=logged.update,
    )
    trainer = SimpleNamespace(world_size=2, strategy=SimpleNamespace(reduce=reduced))
    try:
        Faults(10, data).on_train_batch_end(trainer, module)
    except TooManyFaults as error:
        Path(folder, f"told-{rank}").write_text(f"{logged['data/faults']} {error}")
    torch.distributed.destroy_process_group()  # its threads would abort a process that just ends


@pytest.mark.long
def test_all_ranks_stop_together_and_name_the_files_of_all(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_rank, (str(tmp_path),), nprocs=2)
    told = [(tmp_path / f"told-{rank}").read_text() for rank in (0, 1)]
    assert told[0] == told[1]
    assert told[0].startswith("11 data: 11 of 1,011 draws") and "bad.tar (11x)" in told[0]
