"""Scenes of several streams and sizes, from raw data to batches and sheets."""

from pathlib import Path

import numpy as np
import pytest
from streamed_reader import Streamed

from zipmap_pl.cli.main import main
from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.synthetic.reader import SyntheticReader
from zipmap_pl.preprocess.zoo.synthetic.scenes import SceneOptions

STREAMS = (("large", 8), ("small", 8))


@pytest.fixture(scope="module", params=["of streams", "any"])
def rooms(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes with two streams of eight frames, 48 x 36 and 24 x 18; with sizes "any", some of 16 x 12."""
    folder = tmp_path_factory.mktemp("rooms") / "rooms"
    reader = SyntheticReader(SceneOptions(views=16, width=48, height=36), 2, 0)
    settings = EngineSettings(lossless=True, frames_per_shard=16)
    report = preprocess(Streamed(reader, STREAMS, request.param), folder, settings, workers=1)
    assert report.faults == () and report.disagreeing == ()
    return folder


def batches(rooms: Path, rule: str, **changes: object) -> list:
    sampling = {"rule": rule}
    config = DataConfig(
        train={"rooms": DatasetConfig(str(rooms), sampling=sampling)},
        **{"width": 14, "aspect": [0.5, 1.0], "views": [4, 6], "images_per_gpu": 12, "workers": 0, **changes},
    )
    return list(ZooDataModule(config, total_steps=8).train_dataloader())


@pytest.mark.parametrize("reading", ["random", "sequential"])
def test_videos_of_a_batch_are_of_one_stream_and_sets_of_all(rooms: Path, reading: str) -> None:
    for rule, most in (("video_intervals", 1), ("unordered", 2)):
        streams, seen = set(), set()
        for batch in batches(rooms, rule, reading=reading):
            assert batch.faults == [] and bool((batch.mask.sum((1, 2, 3)) > 0).all())
            for frames in batch.frames.numpy():
                of_frames = set((frames >= 8).tolist())
                streams.add(len(of_frames))
                seen |= of_frames
        assert max(streams) == most and seen == {False, True}


def test_images_of_all_sizes_have_the_same_field_of_view_in_a_batch(rooms: Path) -> None:
    """They are of one camera: the model is shown each at its own size, with intrinsics to match."""
    for batch in batches(rooms, "unordered", zoom=[1.0, 1.0]):
        intrinsics, (height, width) = batch.intrinsics.double().numpy(), batch.depth.shape[-2:]
        for focal in (intrinsics[..., 0, 0], intrinsics[..., 1, 1]):
            assert (np.ptp(focal, axis=1) < 0.1 * focal.mean(axis=1)).all()
        np.testing.assert_allclose(intrinsics[..., 0, 2], width / 2, atol=1e-3)
        np.testing.assert_allclose(intrinsics[..., 1, 2], height / 2, atol=1e-3)


def test_the_sheets_of_batches_and_scenes_are_drawn(rooms: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sheets = {name: tmp_path / f"{name}.png" for name in ("scene", "batches")}
    assert main(["shards", "show", str(rooms), "--output", str(sheets["scene"])]) == 0
    settings = ["stage=own", f"data.train.own.path={rooms}", "data.width=14"]
    command = ["data", "show", *settings, "--output", str(sheets["batches"])]
    assert main(command) == 0
    assert "2 scenes, 32 frames" in capsys.readouterr().out
    assert all(sheet.stat().st_size > 1000 for sheet in sheets.values())
