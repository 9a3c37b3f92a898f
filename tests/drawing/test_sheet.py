"""Sheets: everything has its place, small pictures become visible, text is never cut off."""

import numpy as np
import pytest

from zipmap_pl.drawing.sheet import Row, draw_sheet, fit_width
from zipmap_pl.drawing.text import BACKGROUND, put_text, shortened, text_width, wrapped

SOLID = np.zeros((56, 56, 3), np.uint8)


def ink(picture):
    return (picture != BACKGROUND).any(-1)


def test_small_pictures_are_enlarged_with_sharp_pixels():
    picture = np.random.default_rng(0).integers(0, 255, (14, 14, 3), dtype=np.uint8)
    large = fit_width(picture, 140)
    assert large.shape == (140, 140, 3)
    assert np.array_equal(large[5::10, 5::10], picture)
    assert fit_width(np.zeros((300, 400, 3), np.uint8), 100).shape == (75, 100, 3)


def test_pictures_stand_in_columns_without_overlap():
    rows = [Row([SOLID, SOLID, SOLID]), Row([SOLID, None, SOLID])]
    sheet = draw_sheet(rows, cell_width=100)
    assert sheet.dtype == np.uint8 and sheet.ndim == 3
    black = (sheet == 0).all(-1)
    assert black.sum() == 5 * 100 * 100
    assert black.sum(axis=0).max() == 200


def test_rows_are_as_high_as_their_tallest_picture():
    sheet = draw_sheet([Row([np.zeros((50, 100, 3), np.uint8), np.zeros((150, 100, 3), np.uint8)])], cell_width=100)
    assert (sheet == 0).all(-1).sum() == 100 * 50 + 100 * 150


@pytest.mark.parametrize("text", ["short", "a very long caption that cannot possibly fit " * 5, "x" * 400])
def test_text_stays_inside(text):
    sheet = draw_sheet([Row([SOLID, SOLID], text, [text, text])], title=text, cell_width=90)
    marked = ink(sheet)
    assert not marked[:, :4].any() and not marked[:, -4:].any() and not marked[:3].any() and not marked[-3:].any()


def test_captions_and_labels_are_drawn():
    plain, written = draw_sheet([Row([SOLID])]), draw_sheet([Row([SOLID], "depth", ["frame 3"])], title="a scene")
    assert written.shape[0] > plain.shape[0] and written.shape[1] > plain.shape[1]
    assert ink(written).sum() > ink(plain).sum() + 200


@pytest.mark.parametrize("rows", [[], [Row([])], [Row([None, None], "empty")], [Row([SOLID], "", [])]])
def test_empty_sheets_are_pictures_too(rows):
    assert draw_sheet(rows, title="nothing").shape[2] == 3


def drawn(text, height=20):
    picture = np.full((60, 300, 3), BACKGROUND, np.uint8)
    put_text(picture, text, 5, 40, height, (0, 0, 0))
    return picture


@pytest.mark.parametrize("text", ["Küche", "é", "日本", "東京", "Ж", "α", "한"])
def test_names_in_other_scripts_are_drawn_as_they_are(text):
    assert not np.array_equal(drawn(text), drawn("?" * len(text)))
    assert not np.array_equal(drawn(text), drawn(text.encode("ascii", "ignore").decode()))


def test_a_letter_without_a_glyph_is_a_question_mark():
    assert np.array_equal(drawn("a😀"), drawn("a?"))


@pytest.mark.parametrize("height", [10, 20, 40])
def test_capital_letters_are_as_high_as_asked(height):
    rows = np.nonzero(ink(drawn("H", height)).any(1))[0]
    assert abs(np.ptp(rows) + 1 - height) <= 1


@pytest.mark.parametrize("text", ["frame 000123", "Küche 東京", "fj_W"])
def test_the_width_of_a_text_is_that_of_its_ink(text):
    columns = np.nonzero(ink(drawn(text)).any(0))[0]
    assert columns.max() + 1 - 5 <= text_width(text, 20) <= columns.max() + 5


def test_shortening_and_wrapping_keep_to_the_width():
    text = "many words of several lengths that go on and on"
    assert text_width(shortened(text, 10, 120), 10) <= 120 and shortened(text, 10, 120).endswith("...")
    assert shortened("short", 10, 120) == "short"
    lines = wrapped(text, 10, 120)
    assert " ".join(lines) == text and all(text_width(line, 10) <= 120 for line in lines)


def test_a_drawing_may_span_columns():
    sheet = draw_sheet([Row([None] * 3), Row([np.zeros((100, 100, 3), np.uint8)], span=3)], cell_width=60)
    black = np.argwhere((sheet == 0).all(-1))
    assert (np.ptp(black, axis=0) + 1 == 3 * 60 + 2 * 8).all()
    assert not ink(sheet)[:, -4:].any()


def test_labels_above_take_no_width_and_keys_stand_at_the_right_end():
    key = np.full((12, 50, 3), (200, 0, 0), np.uint8)
    left, above = (
        draw_sheet([Row([SOLID, SOLID], "depth", key=key)], cell_width=100, labels_above=place)
        for place in (False, True)
    )
    assert above.shape[1] == 8 + 2 * 108 < left.shape[1]
    for sheet in (left, above):
        rows, columns = np.nonzero((sheet == (200, 0, 0)).all(-1))
        assert len(rows) == 12 * 50
        assert columns.max() == sheet.shape[1] - 9
        assert rows.max() < np.nonzero((sheet == 0).all(-1))[0].min()
    assert ink(above)[:25, :60].any()


@pytest.mark.parametrize("labels_above", [False, True])
@pytest.mark.parametrize("text_height", [10, 20, 40])
def test_text_of_any_size_stays_inside_and_off_the_pictures(text_height, labels_above):
    text = "a caption that cannot possibly fit " * 3
    key = np.full((30, 500, 3), (200, 0, 0), np.uint8)
    rows = [Row([SOLID, SOLID], text, [text, text], key=key)] * 2
    sheet = draw_sheet(rows, text, 90, text_height, labels_above)
    marked = ink(sheet)
    assert not marked[:, :4].any() and not marked[:, -4:].any() and not marked[:3].any() and not marked[-3:].any()
    assert (sheet == 0).all(-1).sum() == 4 * 90 * 90
