"""Whatever happens to a shard, a frame is read as it was written or not at all."""

import shutil

import numpy as np
import pytest

from zipmap_pl.datasets.format.frame_reader import DamagedShard, FrameReader
from zipmap_pl.datasets.format.schema import PARTS
from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.synthetic.reader import SyntheticReader
from zipmap_pl.preprocess.zoo.synthetic.scenes import SceneOptions


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "rooms"
    options = SceneOptions(width=28, height=28, views=4, moving_objects=1)
    preprocess(SyntheticReader(options, 2, 1), folder, EngineSettings(lossless=True, frames_per_shard=4), workers=1)
    return folder


@pytest.fixture
def own(rooms, tmp_path):
    shutil.copytree(rooms, tmp_path / "own")
    return ShardIndex.open(tmp_path / "own")


def rows_of(index, shard):
    return [int(row) for row in np.flatnonzero(index["frame.shard"] == shard)]


def pixels(frame):
    return frame.image.tobytes(), frame.depth.tobytes(), frame.sky.tobytes(), frame.dynamic.tobytes()


def read(reader, row):
    """The frame's pixels, or None where it is refused by name."""
    try:
        return pixels(reader.read(row))
    except DamagedShard as damage:
        assert str(damage).startswith(f"{reader.index.shard_file(0)}: sample {reader.index.sample_name(row)}: ")
        return None


def test_a_shard_cut_anywhere_gives_whole_frames_or_none(own):
    file, rows = own.shard_file(0), rows_of(own, 0)
    whole = file.read_bytes()
    wanted = [pixels(FrameReader(own).read(row)) for row in rows]
    decoded = [PARTS.index(part) for part in ("image", "depth", "dynamic")]
    ends = (own["frame.part_offset"] + own["frame.part_length"])[rows][:, decoded].max(axis=1)
    cuts = {*range(0, len(whole), 512), *np.random.default_rng(0).integers(0, len(whole), 200).tolist()}
    for cut in sorted(cuts):
        file.write_bytes(whole[:cut])
        reader = FrameReader(own)
        for row, end, pixels_wanted in zip(rows, ends, wanted, strict=True):
            assert read(reader, row) == (pixels_wanted if end <= cut else None)


def test_every_flipped_bit_of_a_part_is_found(own):
    file, row = own.shard_file(0), rows_of(own, 0)[1]
    whole = file.read_bytes()
    generator = np.random.default_rng(1)
    for _ in range(1000):
        part = PARTS.index(str(generator.choice(["image", "depth", "dynamic"])))
        place = int(own["frame.part_offset"][row, part]) + int(generator.integers(own["frame.part_length"][row, part]))
        data = bytearray(whole)
        data[place] ^= 1 << int(generator.integers(8))
        file.write_bytes(data)
        assert read(FrameReader(own), row) is None


def test_another_shard_in_its_place_is_never_taken_for_it(own):
    reader = FrameReader(own)
    first, row = pixels(reader.read(rows_of(own, 0)[0])), rows_of(own, 0)[1]
    aside = own.folder / "aside"
    own.shard_file(0).rename(aside)
    shutil.copy(own.shard_file(1), own.shard_file(0))
    assert read(FrameReader(own), row) is None
    found = read(reader, row)  # the open handle still is the old file
    aside.replace(own.shard_file(0))
    assert found is None or found == pixels(FrameReader(own).read(row))
    assert pixels(reader.read(rows_of(own, 0)[0])) == first


def test_a_shard_mended_while_it_is_open_is_read_again(own):
    file, row = own.shard_file(0), rows_of(own, 0)[1]
    whole = file.read_bytes()
    reader = FrameReader(own)
    wanted = pixels(reader.read(row))
    damaged = file.with_name("damaged")
    damaged.write_bytes(whole[:600])
    damaged.replace(file)
    reader.files.close()
    assert read(reader, row) is None
    mended = file.with_name("mended")
    mended.write_bytes(whole)
    mended.replace(file)  # another file under the same name, while the cut one is open
    assert pixels(reader.read(row)) == wanted


def test_open_handles_stay_few(own):
    reader = FrameReader(own)
    reader.files.limit = 2
    for _ in range(20):
        for row in range(own.frame_count):
            reader.read(row)
    assert len(reader.files._handles) <= 2
