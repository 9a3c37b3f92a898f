"""What the benchmarks measure with: seconds, peak memory, and a plot that shows them."""

from xml.etree import ElementTree

import log_plot
import measurement
import pytest
import torch

CPU = torch.device("cpu")


def test_seconds_are_those_of_the_thread(monkeypatch):
    clock = [10.0]
    monkeypatch.setattr(measurement.time, "thread_time", lambda: clock[0])

    def call():
        clock[0] += 2.5

    assert measurement.seconds_of(call, CPU) == 2.5


def test_peak_memory_is_the_most_that_was_there_at_once():
    before = torch.zeros(1_000_000)

    def call():
        double = before * 2
        triple = double + before  # 8 MB
        del double, triple
        return before + 1  # 4 MB

    _, peak = measurement.seconds_and_peak_bytes_of(call, CPU)
    assert peak == pytest.approx(8e6, rel=1e-3)


def test_the_machine_is_named():
    assert measurement.machine_name(CPU).startswith("one thread of ")


def curve(svg, label):
    """The places of a curve's points in an SVG, [(x, y), ...] with y down, and its dashes."""
    (group,) = (element for element in ElementTree.fromstring(svg).iter() if element.get("id") == label)
    marks = [element for element in group.iter() if element.tag.endswith("}use")]
    return [(float(mark.get("x")), float(mark.get("y"))) for mark in marks], "stroke-dasharray" in group[0].get("style")


def test_a_power_law_is_a_straight_line():
    svg = log_plot.log_plot({"a <b>": [(100, 3e4), (1, 3), (10, 300)]}, "views", "ms")
    (x0, y0), (x1, y1), (x2, y2) = curve(svg, "a <b>")[0]
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y1 - y0 == pytest.approx(y2 - y1, abs=0.2)
    assert x0 < x1 and y0 > y1  # more is to the right and up
    texts = [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")]
    assert {"a <b>", "views", "ms", "1", "2", "50", "100", "5000"} <= set(texts)


def test_one_point_and_empty_curves_can_be_drawn():
    svg = log_plot.log_plot({"one": [(4, 7.0)], "none": [], "elsewhere (paper)": [(4, 7.0)]}, "x", "y")
    assert len(curve(svg, "one")[0]) == len(curve(svg, "elsewhere (paper)")[0]) == 1
    assert 'id="none"' not in svg


def test_curves_from_elsewhere_are_dashed():
    points = [(1, 2.0), (4, 7.0)]
    svg = log_plot.log_plot({"here": points, "elsewhere (paper)": points}, "x", "y")
    assert [curve(svg, label)[1] for label in ("here", "elsewhere (paper)")] == [False, True]


def test_the_same_curves_give_the_same_bytes():
    once, again = (log_plot.log_plot({"one": [(4, 7.0), (5, 6.0)]}, "x", "y") for _ in range(2))
    assert once == again
