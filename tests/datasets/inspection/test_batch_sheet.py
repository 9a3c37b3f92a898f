"""The sheet of batches shows what the model is shown, for every kind of batch, and the command says what it found."""

import cv2
import numpy as np
import pytest

from zipmap_pl.cli.main import main
from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.datasets.inspection.batch_sheet import CELL_WIDTH, batch_sheet
from zipmap_pl.drawing.cameras_from_above import PATH_COLOURS
from zipmap_pl.drawing.sheet import fit_width


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheet") / "rooms"
    assert (
        main(
            ["preprocess", "synthetic", "--scenes=3", "--heldout=1", "--views=10", "--workers=1", f"--output={folder}"]
        )
        == 0
    )
    return folder


def batches(rooms, **changes):
    settings = {"width": 56, "aspect": [1.0, 1.0], "views": [3, 3], "images_per_gpu": 6, "workers": 0}
    config = DataConfig(train={"rooms": DatasetConfig(str(rooms))}, **{**settings, **changes})
    return list(ZooDataModule(config, total_steps=2).train_dataloader())


def count(sheet, colour):
    return int((sheet == np.array(colour)).all(-1).sum())


def test_every_view_is_on_the_sheet_as_the_model_gets_it(rooms):
    shown = batches(rooms)
    sheet = batch_sheet(shown, "title")
    for batch in shown:
        for picture in batch.images.flatten(0, 1).numpy():
            enlarged = fit_width(np.ascontiguousarray(picture.transpose(1, 2, 0)), CELL_WIDTH)
            assert cv2.matchTemplate(sheet, enlarged, cv2.TM_SQDIFF_NORMED).min() < 1e-6


@pytest.mark.parametrize("views", [2, 9])
def test_any_number_of_views(rooms, views):
    sheet = batch_sheet(batches(rooms, views=[views, views], images_per_gpu=9), "title")
    assert count(sheet, PATH_COLOURS[0]) > 20 and count(sheet, PATH_COLOURS[1]) == 0


def test_views_that_are_only_asked_for_are_told_apart(rooms):
    shown = batches(rooms, batches="state_query", views=[6, 6])
    assert any(int(target) >= batch.input_count for batch in shown for target in batch.targets.flatten())
    assert count(batch_sheet(shown, "title"), PATH_COLOURS[1]) > 20


def test_data_show(rooms, tmp_path, capsys):
    settings = [f"data.train.rooms.path={rooms}", "~data.validation.rooms", "prepare=[]", "data.allow_missing=true"]
    more = [f"+data.also.again={rooms}", f"+data.also.lost={tmp_path / 'lost'}", "stage.steps=30"]
    output = tmp_path / "sheet.png"
    assert main(["data", "show", *settings, *more, "--batches", "2", "--step", "20", "--output", str(output)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("train: synthetic") and told[0].endswith("50.0 % of the samples")
    assert told[2].startswith("left out: ") and "lost" in told[2]
    assert told[3].startswith("drawn in the next ") and told[3].count("(share 50.0 %)") == 2
    assert told[-1] == str(output)
    assert cv2.imread(str(output)).shape[0] > 300


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--batches", "0"], "--batches 0"),
        (["--step", "7", "stage.steps=7"], "--step 7: expected 0 to 6"),
        (["--output", "sheet.gif"], "sheet.gif"),
        (["--output", "no/such/sheet.png"], "no/such"),
        (["data.views=3"], "data.views is 3"),
    ],
)
def test_wrong_requests_are_one_line(words, told, capsys):
    assert main(["data", "show", *words, "prepare=[]"]) == 2
    message = capsys.readouterr().err
    assert told in message and message.count("\n") == 1
