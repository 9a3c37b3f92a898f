"""A contact sheet shows what is in the shards, for every kind of scene, and says in one line why it cannot."""

import cv2
import numpy as np
import pytest

from zipmap_pl.datasets.inspection.contact_sheet import SKY_COLOUR, contact_sheet
from zipmap_pl.drawing.sheet import fit_width
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine.run import preprocess
from zipmap_pl.preprocess.engine.settings import EngineSettings
from zipmap_pl.preprocess.zoo.synthetic.reader import SyntheticReader
from zipmap_pl.preprocess.zoo.synthetic.scenes import SceneOptions, generate_scene


def make_shards(folder, **options):
    reader = SyntheticReader(SceneOptions(width=28, height=28, **options), train_scenes=2, heldout_scenes=1)
    preprocess(reader, folder, EngineSettings(lossless=True), workers=1)
    return folder


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("rooms"), views=4)


def count(sheet, colour):
    return int((np.abs(sheet.astype(int) - colour).sum(-1) < 12).sum())


def test_sheet_shows_the_frames(rooms):
    sheet = contact_sheet(rooms, "train-000001", frames=4)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    scene = generate_scene(SceneOptions(views=4, width=28, height=28), seed=0, index=1)
    for frame in scene.frames():
        enlarged = fit_width(frame.image, 700 // 4)
        assert cv2.matchTemplate(sheet, enlarged, cv2.TM_SQDIFF_NORMED).min() < 1e-6, "the very pixels, enlarged"
    assert sheet.shape[0] > 2 * 175 + 400, "pictures, depth, cameras from above"


def test_scene_by_name_by_number_and_by_default(rooms):
    names = [f"{split}-{k:06d}" for split, k in (("train", 0), ("train", 1), ("heldout", 0))]
    by_name = {name: contact_sheet(rooms, name).tobytes() for name in names}
    assert len(set(by_name.values())) == 3
    assert {contact_sheet(rooms, number).tobytes() for number in range(3)} == set(by_name.values())
    assert contact_sheet(rooms, "1").tobytes() == contact_sheet(rooms, 1).tobytes()
    assert contact_sheet(rooms).tobytes() == contact_sheet(rooms, 0).tobytes()


def test_masks_have_their_row(rooms, tmp_path):
    with_masks = contact_sheet(make_shards(tmp_path, views=4, moving_objects=2, open_sky=True), "train-000000")
    without = contact_sheet(rooms, "train-000000")
    assert with_masks.shape[0] > without.shape[0] + 175
    white_sky = [round(0.35 * level + 0.65 * part) for level, part in zip((240,) * 3, SKY_COLOUR, strict=True)]
    assert count(with_masks, white_sky) > 2000


@pytest.mark.parametrize(("views", "frames"), [(1, 8), (2, 1), (20, 17)])
def test_any_number_of_frames(tmp_path, views, frames):
    folder = make_shards(tmp_path, views=views, trajectory="walk")
    sheet = contact_sheet(folder, frames=frames)
    assert sheet.shape[1] >= 700


def test_wrong_requests_end_in_one_line(rooms, tmp_path):
    for arguments, word in (
        ((tmp_path / "nowhere",), "nowhere"),
        ((tmp_path,), "dataset.json"),
        ((rooms, "kitchen"), "kitchen"),
        ((rooms, 99), "99"),
        ((rooms, None, 0), "frames"),
    ):
        with pytest.raises(UserError, match=word) as caught:
            contact_sheet(*arguments)
        assert "\n" not in str(caught.value)
