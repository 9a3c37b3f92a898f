"""What reading holds on to: memory, file handles, processes and temporary files, also after a kill."""

import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.format import header_data_from_array_1_0, write_array_header_1_0
from stamp_batches import stamp_config
from torch.utils.data import get_worker_info

from zipmap_pl.datasets.config import DatasetConfig
from zipmap_pl.datasets.data_module import ZooDataModule, open_dataset
from zipmap_pl.datasets.draws.run_facts import RunFacts
from zipmap_pl.datasets.format.schema import FRAME_COLUMNS, FRAME_TEXT_COLUMNS, SCENE_COLUMNS, SCHEMA_VERSION
from zipmap_pl.datasets.format.shard_index import TEXT_COLUMNS
from zipmap_pl.datasets.loading.samples import SampleReader, TrainSamples
from zipmap_pl.datasets.remote.range_cache import RangeCache

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # this machine has fewer processors than workers

FORK = multiprocessing.get_context("fork")


def own_memory() -> float:
    """Megabytes of this process that are no file's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def in_a_process(work: Callable, *arguments: object) -> object:
    """What a function returns in a process of its own."""
    queue = FORK.Queue()

    def report() -> None:
        try:
            queue.put(work(*arguments))
        except BaseException as error:
            queue.put(error)

    process = FORK.Process(target=report)
    process.start()
    found = queue.get()  # the test has a limit of its own
    process.join(60)
    if isinstance(found, BaseException):
        raise found
    return found


# Memory.

FRAMES, SCENES = 30_000_000, 100_000


def write_column(file: Path, dtype: object, shape: tuple[int, ...], values: np.ndarray | None = None) -> None:
    """A column of zeros that takes no room on the disk, or of values."""
    if values is not None:
        np.save(file, values.astype(dtype))
        return
    with open(file, "wb") as stream:
        write_array_header_1_0(
            stream, header_data_from_array_1_0(np.empty((0,) * len(shape), dtype)) | {"shape": shape}
        )
        stream.truncate(stream.tell() + int(np.prod(shape)) * np.dtype(dtype).itemsize)


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """The index of 30 million frames."""
    folder = tmp_path_factory.mktemp("endless")
    (folder / "index").mkdir()
    each = FRAMES // SCENES
    given = {"scene.first_frame": np.arange(SCENES) * each, "scene.frame_count": np.full(SCENES, each)}
    for count, columns in ((FRAMES, FRAME_COLUMNS), (SCENES, SCENE_COLUMNS)):
        for name, (dtype, shape) in columns.items():
            write_column(folder / "index" / f"{name}.npy", dtype, (count, *shape), given.get(name))
    for name in TEXT_COLUMNS:
        count = FRAMES if name in FRAME_TEXT_COLUMNS else SCENES
        write_column(folder / "index" / f"{name}.offsets.npy", np.int64, (count + 1,))
        write_column(folder / "index" / f"{name}.bytes.npy", np.uint8, (1,))
    info = {"schema_version": SCHEMA_VERSION, "slug": "endless", "splits": ["train"], "licence": "none"}
    (folder / "dataset.json").write_text(json.dumps(info))
    return folder


def test_an_index_of_30_million_frames_takes_no_memory(endless):
    def opened():
        config = stamp_config(endless, views=[24, 24], images_per_gpu=24)
        before, handles = own_memory(), open_files()
        samples = TrainSamples(config, RunFacts(), [open_dataset(config.train["stamps"])])
        batches = ZooDataModule(config)._train_batches()
        scenes = set()
        for number in range(1000):
            pick = samples.pick(batches.batch(number)[0])
            index = samples.mixture.datasets[0].index
            row = index.scene_rows(pick.scene)[int(pick.positions[0])]
            index["frame.part_offset"][row], index["frame.world_to_cam"][row]
            scenes.add(pick.scene)
        return len(scenes), own_memory() - before, open_files() - handles

    scenes, megabytes, handles = in_a_process(opened)
    assert scenes > 900 and megabytes < 50 and handles < 40  # a mapped column keeps its file open


def test_many_datasets_may_have_more_columns_than_files_are_allowed(stamps):
    many = {str(number): DatasetConfig(str(stamps)) for number in range(12)}

    def loaded():
        few = open_files() + 190  # tests before may have left some
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        return len(list(ZooDataModule(stamp_config(stamps, train=many, workers=1), total_steps=3).train_dataloader()))

    assert in_a_process(loaded) == 3


def grown(config, samples_drawn):
    """Own memory and handles after a fifth of the samples, and after all of them."""
    batches = iter(ZooDataModule(config).train_dataloader())
    found = []
    for count in (samples_drawn // 5, samples_drawn - samples_drawn // 5):
        while count > 0:
            count -= len(next(batches).scene)
        found.append((own_memory(), open_files()))
    return found


@pytest.mark.parametrize("samples", [2_000, pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
@pytest.mark.parametrize("reading", ["random", "sequential"])
def test_memory_and_handles_stay_the_same_over_many_samples(stamps, reading, samples):
    config = stamp_config(stamps, reading=reading, views=[2, 2], images_per_gpu=16)
    (memory, handles), (later, handles_later) = in_a_process(grown, config, samples)
    assert handles_later <= handles + 1  # a stream has its shard open, or is between two
    assert later < 1.02 * memory


def test_handles_stay_the_same_when_everything_is_damaged(own_stamps):
    files = sorted(own_stamps.glob("train/*.tar"))
    for file in files[1:]:
        file.write_bytes(file.read_bytes()[:5000])
    config = stamp_config(own_stamps, views=[2, 2], max_faults=1000)
    (_, handles), (_, later) = in_a_process(grown, config, 200)
    assert later <= handles + len(files)


# Kills.


def told_of_a_death(config, kill_worker=None):
    """A trainer in a process of its own reads until a worker dies, `kill_worker` say, after the first batch.

    Torch raises where the trainer is when the death is signalled; here that could be anywhere in pytest. A worker that dies
    while it hands over a batch shows as a connection that broke.

    Returns:
        the worker that was killed, the number of batches before, the message, and what the data module makes of it.
    """
    receiver, sender = FORK.Pipe(duplex=False)

    def trainer():
        module, victim, number = ZooDataModule(config), None, 0
        try:
            batches = iter(module.train_dataloader())
            for _ in islice(batches, 1000):
                number += 1
                if number == 2 and kill_worker is not None:  # a batch of each worker is there
                    victim = batches._workers[kill_worker].pid
                    os.kill(victim, signal.SIGKILL)
        except (RuntimeError, ConnectionError, EOFError) as error:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # another death is not told
            sender.send((victim, number, str(error), module.last_samples(str(error))))
        os._exit(0)

    process = FORK.Process(target=trainer)
    process.start()
    sender.close()
    told = receiver.recv()
    process.join()
    return told


@pytest.mark.timeout(60)
@pytest.mark.parametrize("reading", ["random", "sequential"])
def test_a_killed_worker_ends_the_loader_by_name_and_last_sample(stamps, reading):
    config = stamp_config(stamps, workers=2, reading=reading)
    victim, _, message, lines = told_of_a_death(config, kill_worker=1)
    named = re.search(rf"DataLoader worker \(pid(\(s\))? {victim}\)", message)
    assert len(lines) == (1 if named else 2)
    of_victim = rf"worker {victim} was at step [1-9]\d*, slot \d+: synthetic, scene \S+"
    assert sum(re.fullmatch(of_victim, line) is not None for line in lines) == 1
    assert ZooDataModule(config).last_samples("DataLoader worker (pid 1) is killed by signal: Killed.") == []


@pytest.mark.timeout(60)
def test_a_worker_that_a_sample_kills_tells_which(stamps, monkeypatch):
    read = SampleReader.read

    def fatal(self, pick, *rest):
        if get_worker_info() is not None and pick.scene == 3:
            os.kill(os.getpid(), signal.SIGKILL)  # as the system does when memory runs out
        return read(self, pick, *rest)

    monkeypatch.setattr(SampleReader, "read", fatal)
    module = ZooDataModule(stamp_config(stamps, workers=2))
    samples = module.train_dataloader().dataset
    name = open_dataset(module.config.train["stamps"]).index.text("scene.name", 3)
    _, number, _, lines = told_of_a_death(module.config)
    line = next(line for line in lines if line.endswith(f"scene {name}"))
    _, step, slot = map(int, re.findall(r"\d+", line)[:3])
    assert step >= number
    (request,) = (request for request in module._train_batches().batch(step) if request.slot == slot)
    assert samples.pick(request).scene == 3


TRAINING = """
import sys
from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.datasets.data_module import ZooDataModule
if __name__ == "__main__":
    sizes = dict(width=14, aspect=[1.0, 1.0], views=[2, 4], images_per_gpu=8)
    config = DataConfig(train={"stamps": DatasetConfig(sys.argv[1])}, workers=2, **sizes)
    batches = iter(ZooDataModule(config).train_dataloader())
    held = [next(batches) for _ in range(10)]
    print(*[worker.pid for worker in batches._workers], flush=True)
    while True:
        held = [*held[1:], next(batches)]
"""


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.timeout(120)
@pytest.mark.parametrize("everybody", [False, True], ids=["the trainer", "the trainer and its workers"])
def test_nothing_is_left_of_a_killed_run(stamps, tmp_path, everybody):
    def memory_files():
        return {name for name in os.listdir("/dev/shm") if "torch" in name or "psm" in name or "pym" in name}

    before = memory_files()
    environment = os.environ | {"TMPDIR": str(tmp_path), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    command = [sys.executable, "-c", TRAINING, str(stamps)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        workers = [int(word) for word in process.stdout.readline().split()]
        assert len(workers) == 2
        for pid in [process.pid, *(workers if everybody else [])]:
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60  # a worker looks every five seconds whether its trainer is there
    while any(runs(pid) for pid in workers) and time.monotonic() < deadline:
        os.sched_yield()
    assert not any(runs(pid) for pid in workers)
    assert memory_files() <= before
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left == []
    if not everybody:  # Python's own folder of a socket stays where a worker had no time to end
        assert list(tmp_path.glob("pymp-*")) == []


def _keep_filling(folder: Path, start: int) -> None:
    cache = RangeCache(folder, 20_000)
    for number in range(start, start + 10**6):
        cache.put("u", number % 500, 200, bytes([number % 500 % 256]) * 200)


def test_a_cache_survives_writers_that_are_killed(tmp_path):
    generator = np.random.default_rng(0)
    for start in range(20):
        writers = [FORK.Process(target=_keep_filling, args=(tmp_path, 37 * start + n)) for n in range(2)]
        for writer in writers:
            writer.start()
        while not (tmp_path / ".bytes").exists():
            os.sched_yield()
        for _ in range(int(generator.integers(1, 2000))):
            os.sched_yield()
        for writer in writers:
            writer.kill()
            writer.join(30)
        for number in range(500):
            found = RangeCache(tmp_path, 20_000).get("u", number, 200)
            assert found is None or found == bytes([number % 256]) * 200
    cache = RangeCache(tmp_path, 20_000)
    for number in range(500):
        cache.put("u", number, 200, bytes([number % 256]) * 200)
        assert cache.get("u", number, 200) == bytes([number % 256]) * 200
    pieces = list(tmp_path.glob("??/*"))
    assert sum(piece.stat().st_size for piece in pieces) <= 20_000
    others = {path.name for path in tmp_path.rglob("*") if path.is_file()} - {piece.name for piece in pieces}
    assert others == {".bytes", ".lock"}, "the file that a kill left unfinished is gone"


def test_a_loader_that_is_given_up_leaves_no_worker(stamps):
    batches = iter(ZooDataModule(stamp_config(stamps, workers=2)).train_dataloader())
    list(islice(batches, 3))
    workers = [worker.pid for worker in batches._workers]
    del batches
    assert not any(runs(pid) for pid in workers)
