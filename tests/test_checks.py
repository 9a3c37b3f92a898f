"""Checks of settings, what has changed in them, and the order of numbered names."""

import math
from collections.abc import Callable

import pytest

from zipmap_pl.changes import changes
from zipmap_pl.checks import expect, expect_between, expect_one_of, expect_range, refuse
from zipmap_pl.errors import UserError
from zipmap_pl.natural_order import natural_order


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: expect(False, "data: a", 3, "an even number"), "data: a is 3, expected an even number"),
        (lambda: expect_one_of("a", "x", ("b", 2)), "a is 'x', expected one of b, 2"),
        (lambda: expect_between("a", 0, 1), "a is 0, expected at least 1"),
        (lambda: expect_between("a", 2, 0, 1), "a is 2, expected at least 0 and at most 1"),
        (lambda: expect_between("a", math.nan, 0), "a is nan, expected at least 0"),
        (lambda: expect_range("a", (2, 1), 1), "a is [2, 1], expected [smallest, largest] with 1 <= smallest <= largest"),
        (lambda: expect_range("a", [1], 1), "a is [1], expected [smallest, largest] with 1 <= smallest <= largest"),
        (lambda: refuse("model", ["a=1, expected 2", "b=0, expected 1"]), "model: found a=1, expected 2; found b=0, expected 1"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_what_is_expected(check: Callable[[], None], message: str) -> None:
    with pytest.raises(UserError) as caught:
        check()
    assert str(caught.value) == message


def test_right_settings_pass() -> None:
    expect(True, "a", 1, "1")
    expect_one_of("a", 2, ("b", 2))
    expect_between("a", 1, 1)
    expect_between("a", 0.5, 0, 1)
    expect_range("a", (1, 1), 1)
    refuse("model", [])


def test_what_has_changed_is_named_with_dots() -> None:
    before = {"b": {"x": 1, "y": 2}, "a": 0, "gone": 3}
    now = {"b": {"x": 1, "y": [2]}, "a": 0, "new": {"z": 1}}
    assert list(changes(before, now)) == [("b.y", 2, [2]), ("gone", 3, None), ("new", None, {"z": 1})]


def test_numbers_in_names_count_as_numbers() -> None:
    mixed = ["b", "a10.png", "a2", "a1b10", "10", "a1b2", "a", "2"]
    assert sorted(mixed, key=natural_order) == ["2", "10", "a", "a1b2", "a1b10", "a2", "a10.png", "b"]


def test_names_that_differ_in_leading_zeros_have_one_order() -> None:
    assert sorted(["img2", "img02"], key=natural_order) == sorted(["img02", "img2"], key=natural_order)
