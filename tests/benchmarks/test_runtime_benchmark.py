"""The runtime benchmark runs, writes what it measured, and fails when the curve has another shape."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import runtime
import torch

from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import compose

CHECKOUT = Path(__file__).resolve().parents[2]
NOT_NEEDED = (
    "hydra",
    "omegaconf",
    "webdataset",
    "albumentations",
    "lightning",
    "torchmetrics",
    "cv2",
    "scipy",
    "trimesh",
    "matplotlib",
)
CONSTANT = {32: 0.0028, 64: 0.0027, 512: 0.0029}
GROWING = {32: 0.0025, 64: 0.0026, 512: 0.0050}


@pytest.fixture(autouse=True)
def as_many_threads_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def cells_of(page):
    """The measured table: column -> cells."""
    lines = [line.strip("| ").split(" | ") for line in page.split("\n\n")[2].splitlines()]
    return dict(zip(lines[0], zip(*lines[2:], strict=True), strict=True))


def curves_of(zipmap, softmax):
    def points(per_view):
        return [runtime.Point(views, [seconds * views], 10**9) for views, seconds in per_view.items()]

    return {name: points(softmax if name == runtime.SOFTMAX else zipmap) for name in names()}


def names():
    return [runtime.ZIPMAP, runtime.SOFTMAX, runtime.QUERY, runtime.FRAME]


def test_the_command_writes_tables_numbers_and_a_plot(tmp_path, capsys):
    assert runtime.main(["--output", str(tmp_path), "--views", "3", "1", "--repeats", "2", "--cpu"]) == 0
    page = (tmp_path / "runtime.md").read_text()
    found = json.loads((tmp_path / "runtime.json").read_text())
    assert capsys.readouterr().out.strip() == page.strip()
    assert found["machine"] in page and found["faults"] == []
    assert "not checked: fewer than two points between 32 and 512 views" in page

    points = {name: {point["views"]: point for point in curve} for name, curve in found["points"].items()}
    assert list(points) == names()
    for curve in points.values():  # a call that is a third as long is made three times in each of the two rounds
        assert [len(point["seconds"]) for point in curve.values()] == [6, 2]
        assert min(min(point["seconds"]) for point in curve.values()) > 0
    cells = cells_of(page)
    assert cells["views"] == ("1", "3")
    for row, views in enumerate((1, 3)):
        zipmap, softmax, query, frame = (min(points[name][views]["seconds"]) for name in names())
        expected = {
            "ZipMap s": zipmap,
            "softmax s": softmax,
            "softmax / ZipMap": softmax / zipmap,
            "ZipMap ms per view": 1e3 * zipmap / views,
            "softmax ms per view": 1e3 * softmax / views,
            "ZipMap peak GB": points[runtime.ZIPMAP][views]["peak_bytes"] / 1e9,
            "softmax peak GB": points[runtime.SOFTMAX][views]["peak_bytes"] / 1e9,
            "query ms": 1e3 * query,
            "next frame ms": 1e3 * frame,
        }
        for column, value in expected.items():
            assert float(cells[column][row]) == pytest.approx(value, rel=6e-3), column
    for name in (runtime.ZIPMAP, runtime.SOFTMAX):
        (curve,) = (e for e in ElementTree.parse(tmp_path / "runtime.svg").iter() if e.get("id") == name)
        assert len([e for e in curve.iter() if e.tag.endswith("}use")]) == 2


def test_peak_memory_counts_weights_pictures_and_what_a_call_adds():
    curves = runtime.measure(replace(runtime.SMALL, views=(1, 8)), torch.device("cpu"), repeats=1)
    weights = 4 * sum(parameter.numel() for parameter in ZipMap(runtime.SMALL.config).parameters())
    one, eight = (point.peak_bytes for point in curves[runtime.ZIPMAP])
    picture = 4 * 3 * 56 * 56
    assert one > weights + picture
    assert eight - one > 7 * picture
    query = [point.peak_bytes for point in curves[runtime.QUERY]]
    assert query[0] == query[1]  # whatever was seen before


def test_without_settings_loader_and_plotting_library_it_measures_and_leaves_out_the_plot(tmp_path):
    """A machine with a GPU may have torch, numpy, timm, roma and safetensors only."""
    blocked = f"import sys, runpy; sys.modules.update(dict.fromkeys({NOT_NEEDED}))"
    code = f"{blocked}; sys.argv[1:] = {['--output', str(tmp_path), '--views', '1', '--repeats', '1', '--cpu']}"
    run = f"{code}; runpy.run_path({str(CHECKOUT / 'benchmarks' / 'runtime.py')!r}, run_name='__main__')"
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT / "benchmarks")}
    ran = subprocess.run([sys.executable, "-c", run], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == "runtime.svg is not drawn: matplotlib is not installed (pip install zipmap_pl[bench])\n"
    assert (tmp_path / "runtime.json").exists() and not (tmp_path / "runtime.svg").exists()
    assert "runtime.svg" not in (tmp_path / "runtime.md").read_text()


@pytest.mark.parametrize(
    ("zipmap", "softmax", "faults"),
    [
        (CONSTANT, GROWING, []),
        (GROWING, GROWING, ["ZipMap: 5 ms per view of 512 and 2.5 of 32, a ratio of 2.00; expected at most 1.15"]),
        (CONSTANT, CONSTANT, ["softmax: 2.9 ms per view of 512 and 2.8 of 32, a ratio of 1.04; expected at least 1.5"]),
        ({1: 0.016, **CONSTANT, 750: 0.01}, {1: 0.9, **GROWING}, []),  # the shape holds from 32 to 512 views
        ({32: 0.0032, 64: 0.0027}, {}, ["ZipMap: 3.2 ms per view of 32 and 2.7 of 64, a ratio of 1.19; expected at most 1.15"]),
        ({64: 1.0}, {64: 1.0}, []),
    ],
)  # fmt: skip
def test_the_shape_of_the_curve_is_checked(zipmap, softmax, faults):
    assert runtime.shape_faults(zipmap, softmax) == faults


@pytest.mark.parametrize(("zipmap", "status"), [(CONSTANT, 0), (GROWING, 1)])
def test_a_wrong_shape_is_the_exit_status(zipmap, status, tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "measure", lambda *_: curves_of(zipmap, GROWING))
    assert runtime.main(["--output", str(tmp_path), "--cpu"]) == status
    page = (tmp_path / "runtime.md").read_text()
    assert ("Shape: ZipMap: 5 ms per view" if status else "Shape: as it should be between 32 and 512") in page
    assert len(json.loads((tmp_path / "runtime.json").read_text())["faults"]) == status


def test_the_fastest_repetition_counts():
    assert runtime.Point(4, [3.0, 2.0, 2.5]).best == 2.0
    assert runtime.per_view([runtime.Point(4, [3.0, 2.0]), runtime.Point(8)]) == {4: 0.5}


def test_what_does_not_fit_into_memory_is_a_dash():
    def prepare(views):
        if views == 2:
            raise torch.OutOfMemoryError
        return runtime.Prepared(lambda: torch.zeros(1000), held=10)

    points = runtime._curve(prepare, [1, 2], torch.device("cpu"), repeats=3)
    assert [len(point.seconds) for point in points] == [3, 0]
    assert [point.peak_bytes for point in points] == [4010, None]
    cells = cells_of(runtime.report(dict.fromkeys(names(), points), [], "about"))
    assert cells["ZipMap s"][1] == cells["softmax peak GB"][1] == cells["softmax / ZipMap"][1] == "-"


def test_slow_points_are_not_repeated(monkeypatch):
    monkeypatch.setattr(runtime, "SLOW", 0.0)
    points = runtime._curve(lambda _: runtime.Prepared(lambda: torch.zeros(1000).exp(), 0), [1], torch.device("cpu"), 5)
    assert len(points[0].seconds) == 1


def test_long_runs_add_views_in_chunks():
    setting = replace(runtime.SMALL, views=(1,), in_chunks=(40,))
    curves = runtime.measure(setting, torch.device("cpu"), 1)
    assert [point.views for point in curves[runtime.ZIPMAP]] == [1]
    (long,) = curves[runtime.IN_CHUNKS]
    page = runtime.report(curves, [], "about")
    cells = page.partition("## ZipMap, 32 views at once")[2].strip().splitlines()[2].strip("| ").split(" | ")
    assert float(cells[0]) == 40
    assert float(cells[1]) == pytest.approx(min(long.seconds), rel=6e-3)
    assert float(cells[2]) == pytest.approx(25 * min(long.seconds), rel=6e-3)
    assert float(cells[3]) == pytest.approx(long.peak_bytes / 1e9, rel=6e-3)
    del curves[runtime.IN_CHUNKS]
    assert "at once" not in runtime.report(curves, [], "about")


def test_softmax_can_be_left_out_where_it_is_slow():
    setting = replace(runtime.SMALL, views=(1, 2), softmax_up_to=1)
    curves = runtime.measure(setting, torch.device("cpu"), 1)
    assert [point.views for point in curves[runtime.ZIPMAP]] == [1, 2]
    assert [point.views for point in curves[runtime.SOFTMAX]] == [1]
    assert cells_of(runtime.report(curves, [], "about"))["softmax s"][1] == "-"


def test_blocks_are_compiled_on_demand(monkeypatch):
    compiled = []
    monkeypatch.setattr(runtime, "compile_blocks", compiled.append)
    setting = replace(runtime.SMALL, views=(1,))
    runtime.measure(setting, torch.device("cpu"), 1)
    assert not compiled
    setting = replace(setting, compiled=True)
    runtime.measure(setting, torch.device("cpu"), 1)
    assert len(compiled) == 4  # one model per curve
    assert "compiled blocks" in runtime.about(setting, torch.device("cpu"), 1)


def test_what_is_measured_on_a_gpu_is_the_published_size():
    assert replace(runtime.FULL.config, checkpoint_activations=True) == compose(["model=zipmap"]).model
    vggt = compose(["model=vggt"]).model
    assert replace(vggt, local_point_head=True) == replace(
        runtime.FULL.config, global_mixer="softmax", checkpoint_activations=vggt.checkpoint_activations
    )
    assert "1,366,873,663 parameters" in runtime.about(runtime.FULL, torch.device("cpu"), 7)


def test_the_page_shows_the_tables_of_the_command():
    page = (CHECKOUT / "docs" / "benchmarks.md").read_text()
    assert runtime.published_table() in page
    head = runtime.measured_table({name: [runtime.Point(1, [1.0], 1)] for name in names()}).splitlines()[0]
    assert head in page


def test_only_the_published_size_is_drawn_beside_the_published_numbers():
    curves = curves_of(CONSTANT, GROWING)
    assert "published" not in runtime.plot(curves, with_published=False)
    assert "VGGT (published, H100)" in runtime.plot(curves, with_published=True)
