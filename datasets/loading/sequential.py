"""The second way to read: every tar from its beginning to its end with webdataset, a scene's frames as they come along.

For stores that answer slowly and send fast. A sample's views come from one window, a run of frames of a scene inside one
shard; windows wait in a buffer, out of which they are taken in a random order, each once in every pass over the shards.
Which samples a run sees depends on the number of GPUs and workers and on where it was started; sizes and numbers of views
of a step do not, and are the same on all ranks as ever. How often a scene comes (`scenes`) is up to its length.
"""

import copy
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, BinaryIO, cast

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from zipmap_pl.contracts.batch import Batch
from zipmap_pl.datasets.config import DataConfig
from zipmap_pl.datasets.draws.draw import DrawKey, Purpose
from zipmap_pl.datasets.draws.run_facts import RunFacts
from zipmap_pl.datasets.draws.step_batches import TrainBatches, TrainRequest
from zipmap_pl.datasets.format.frame_reader import DamagedShard, FrameReader, OpenFiles
from zipmap_pl.datasets.format.schema import EXTENSIONS
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.loading.faults import TooManyFaults
from zipmap_pl.datasets.loading.last_samples import LastSamples
from zipmap_pl.datasets.loading.mixture import Pick, SceneList
from zipmap_pl.datasets.loading.samples import Sample, TrainSamples, arranged, collate
from zipmap_pl.datasets.remote.remote_files import RemoteFiles
from zipmap_pl.datasets.view_sampling.rule import SceneFrames

READ_AT_ONCE = 1 << 23  # bytes, from behind a URL
PART_OF = {extension: part for part, extension in EXTENSIONS.items()} | {"jpg": "image", "png": "image"}


@dataclass
class Window:
    """Some frames of a scene, encoded. `parts`: (row, name of the part) -> bytes."""

    scene: int
    rows: list[int] = field(default_factory=list)
    parts: dict[tuple[int, str], bytes] = field(default_factory=dict)

    def visible(self, index: ShardIndex) -> SceneFrames:
        """The scene as if it had no other frames, for the rules of view sampling."""
        first = index.scene_rows(self.scene).start
        place = np.full(int(index["scene.frame_count"][self.scene]), -1, np.int64)
        place[np.array(self.rows) - first] = np.arange(len(self.rows))
        neighbours = np.asarray(index["frame.neighbours"][self.rows])
        return SceneFrames(
            len(self.rows),
            np.where(neighbours >= 0, place[neighbours], -1),
            np.asarray(index["frame.neighbour_overlap"][self.rows]),
            np.asarray(index["frame.stream"][self.rows]),
        )


class StreamedFrames(FrameReader):
    """Reads the frames of one window; as every byte comes past only once, nothing is looked at again."""

    def __init__(self, index: ShardIndex) -> None:
        super().__init__(index, OpenFiles())
        self.window = Window(-1)

    def fetch(self, rows: object) -> None:
        """Nothing: a window is here already."""

    def _bytes(self, row: int, part: str, offset: int, length: int) -> bytes:
        return self.window.parts.get((row, part), b"")


class WindowStream:
    """Windows of one dataset without an end.

    Args:
        dataset: its scenes.
        config: window and buffer.
        files: how to read shards behind a URL.
        part, parts: this stream gets every `parts`-th shard, from `part` on; all of them where there are too few.
        seed: of the order.

    Attributes:
        faults: what could not be read since somebody last took them away.
    """

    def __init__(
        self, dataset: SceneList, config: DataConfig, files: RemoteFiles, part: int, parts: int, seed: list[int]
    ) -> None:
        self.dataset, self.config, self.files = dataset, config, files
        self.faults: list[str] = []
        self._told = False  # of the present shard
        index = dataset.index
        rows = np.concatenate([np.array(index.scene_rows(int(scene))) for scene in dataset.scenes])
        shards, frames = np.unique(index["frame.shard"][rows], return_counts=True)
        self._frames = dict(zip(shards.tolist(), frames.tolist(), strict=True))
        self.shards = shards[part::parts] if part < len(shards) else shards
        self._scenes = set(dataset.scenes.tolist())
        self._order = np.random.default_rng(seed)
        self._windows = self._forever()
        self._buffer: list[Window] = []

    def take(self) -> Window:
        """The next window. Raises TooManyFaults if a whole pass over the shards gave none."""
        for _ in range(2):  # the buffer grows while it is used: the first batch need not wait for all of it
            if len(self._buffer) < self.config.buffer:
                self._buffer.append(next(self._windows))
        place = int(self._order.integers(len(self._buffer)))
        self._buffer[place], self._buffer[-1] = self._buffer[-1], self._buffer[place]
        return self._buffer.pop()

    def _forever(self) -> Iterator[Window]:
        while True:
            windows = 0
            for shard in self._order.permutation(self.shards):
                for window in self._windows_of(int(shard)):
                    windows += 1
                    yield window
            if not windows:
                path, least = self.dataset.config.path, self.dataset.config.least_frames
                last = f"; the last fault: {self.faults[-1]}" if self.faults else ""
                raise TooManyFaults(f"{path}: no shard has {least} frames of a scene that can be streamed{last}")

    def _windows_of(self, shard: int) -> Iterator[Window]:
        window, missing, last, self._told = Window(-1), self._frames[shard], -1, False
        for sample in self._samples(shard):
            place = self._place(sample["__key__"])
            if place is None or place[1] <= last:
                url, key = sample["__url__"], sample["__key__"]
                what = "is not in the index" if place is None else "comes a second time, or too late"
                self._fault(f"{url}: sample {key}: {what}; delete the shard and preprocess again")
                continue
            scene, row = place
            last = row
            if scene != window.scene or len(window.rows) == self.config.window:
                if len(window.rows) >= self.dataset.config.least_frames:
                    yield window
                window = Window(scene)
            if scene in self._scenes:
                missing -= 1
                window.rows.append(row)
                window.parts |= {(row, PART_OF[name]): data for name, data in sample.items() if name in PART_OF}
        if missing and not self._told:  # webdataset does not notice a tar that was cut
            name = self.dataset.index.shard_location(shard)
            self.faults.append(
                f"{name}: sample of unknown name: {missing} of {self._frames[shard]} frames did not come"
            )
        if len(window.rows) >= self.dataset.config.least_frames:
            yield window

    def _fault(self, text: str) -> None:
        self.faults.append(text)
        self._told = True

    def _samples(self, shard: int) -> Iterator[dict[str, Any]]:
        """What webdataset makes of a shard, as far as it can be read."""
        from webdataset.tariterators import group_by_keys, tar_file_expander

        location = self.dataset.index.shard_location(shard)
        try:
            with self._opened(location) as stream:
                yield from group_by_keys(tar_file_expander([{"url": location, "stream": stream}]))
        except (OSError, EOFError, ValueError, tarfile.TarError) as error:
            reason = error.args[0] if error.args else type(error).__name__
            reason = getattr(error, "strerror", None) or reason
            self._fault(f"{location}: sample of unknown name: the tar cannot be read on ({reason})")

    def _opened(self, location: str) -> BinaryIO:
        if not self.dataset.index.remote:
            return open(location, "rb")
        return cast(BinaryIO, io.BufferedReader(RemoteStream(self.files, location), READ_AT_ONCE))

    def _place(self, key: str) -> tuple[int, int] | None:
        """Scene and row of a sample by its key, <scene>-<slug>/<ordinal>; None if the index knows no such sample."""
        scene, ordinal = key[:6], key.rpartition("/")[2]
        if not scene.isdecimal() or not ordinal.isdecimal() or int(scene) >= self.dataset.index.scene_count:
            return None
        rows = self.dataset.index.scene_rows(int(scene))
        ordinals = self.dataset.index["frame.ordinal"][rows.start : rows.stop]
        place = int(np.searchsorted(ordinals, int(ordinal)))
        known = place < len(rows) and int(ordinals[place]) == int(ordinal)
        return (int(scene), rows[place]) if known else None


class RemoteStream(io.RawIOBase):
    """A file behind a URL from its beginning to its end, with the patience of `RemoteFiles`."""

    def __init__(self, files: RemoteFiles, url: str) -> None:
        self.files, self.url = files, url
        self.length, self.place = files.size(url), 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; fewer bytes at the end of the file."""
        count = min(len(buffer), self.length - self.place)
        if count:
            buffer[:count] = self.files.read(self.url, self.place, count)
            self.files.fetch([])  # let go of it
        self.place += count
        return count


class SequentialBatches(IterableDataset[Batch]):
    """Training batches of one rank out of streams; worker k of n makes batches k, k + n, k + 2 n, ...

    A window that meets unreadable data is replaced by the next one, and named in the batch's `faults`.
    """

    def __init__(
        self, config: DataConfig, run: RunFacts, datasets: list[SceneList], batches: TrainBatches, last: LastSamples
    ) -> None:
        self.config, self.run, self.datasets, self.batches, self.last = config, run, datasets, batches, last

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        batches, number = self.batches, self.batches.first_number()
        part, parts = batches.rank * workers + worker, batches.world * workers
        files = RemoteFiles(replace(self.config.remote, cache_gigabytes=0.0))
        seed = [self.run.seed, batches.stage, number, part]
        streams = [
            WindowStream(dataset, self.config, files, part, parts, [*seed, place])
            for place, dataset in enumerate(self.datasets)
        ]
        readers = [StreamedFrames(dataset.index) for dataset in self.datasets]
        samples = TrainSamples(self.config, self.run, self.datasets, readers, self.last)
        number += worker
        while batches.total_steps is None or number < batches.total_steps * batches.accumulation:
            yield collate([self._sample(request, streams, readers, samples) for request in batches.batch(number)])
            number += workers

    def __len__(self) -> int:
        return len(self.batches)

    def __getstate__(self) -> dict[str, Any]:
        """For a process that is spawned: where it starts is settled here."""
        batches = copy.copy(self.batches)
        batches.first_number = partial(int, self.batches.first_number())
        return {**self.__dict__, "batches": batches}

    def _sample(
        self, request: TrainRequest, streams: list[WindowStream], readers: list[StreamedFrames], samples: TrainSamples
    ) -> Sample:
        faults: list[str] = []
        for attempt in range(self.config.max_faults + 1):
            key = DrawKey(self.run.seed, samples.stage, request.step, request.slot, attempt)
            generator = key.generator(Purpose.VIEWS)
            number = samples.mixture.draw_dataset(generator)
            stream, reader = streams[number], readers[number]
            reader.window = window = stream.take()
            faults += stream.faults
            stream.faults = []
            chosen = stream.dataset.rule_of(window.scene).draw(generator, window.visible(reader.index), request.views)
            positions = np.array(window.rows, np.int64)[chosen] - reader.index.scene_rows(window.scene).start
            pick = arranged(Pick(number, window.scene, positions), self.config, generator)
            self.last.note(request.step, request.slot, pick.dataset, pick.scene)
            try:
                sample = samples.read(pick, request, attempt)
            except DamagedShard as fault:
                faults.append(str(fault))
            else:
                sample.number, sample.faults = request.number, faults
                return sample
        raise TooManyFaults(f"{len(faults)} windows in a row cannot be read, the last one: {faults[-1]}")
