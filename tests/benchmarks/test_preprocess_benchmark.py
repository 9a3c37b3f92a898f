"""The benchmark of preprocessing runs on a tiny setting, says what it measured, and can fail."""

import pytest

import preprocess as module


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.setattr(module.cv2, "setNumThreads", lambda count: None)  # this process does other things, too
    for limit in ("SPEED_LIMIT", "GAIN_LIMIT"):
        monkeypatch.setattr(module, limit, 0.0)  # so few frames tell nothing
    return module


def rows(text):
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ") and "---" not in line][
        1:
    ]


def test_speed(benchmark, shared_data, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "SIDES", (300,))
    tiny = ["--data", str(shared_data), "--only", "speed", "--frames", "4", "--rounds", "1"]
    assert benchmark.main(tiny) == 0
    found = rows(capsys.readouterr().out)
    assert [row[:2] for row in found] == [["TartanAir (PNG, npy)", "300"], ["RGB-D in TUM layout (JPEG, PNG)", "300"]]
    assert all(float(cell.split()[0]) > 0 for row in found for cell in row[2:])
    monkeypatch.setattr(benchmark, "SPEED_LIMIT", 1e9)
    monkeypatch.setattr(benchmark, "fastest", lambda *_: [1.0, 1.0])
    assert benchmark.main(tiny) == 1


def test_gain(benchmark, shared_data, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "SEQUENCES", 2)
    monkeypatch.setattr(benchmark, "SHARDS_OF_GAIN", 2)
    tiny = ["--data", str(shared_data), "--only", "gain", "--gain-frames", "4", "--rounds", "1"]
    assert benchmark.main(tiny) == 0
    found = rows(capsys.readouterr().out)
    assert [row[:2] for row in found] == [["TartanAir (PNG, npy)", "4"], ["RGB-D in TUM layout (JPEG, PNG)", "4"]]
    assert all(float(cell.split()[0]) > 0 for row in found for cell in row[2:])
    monkeypatch.setattr(benchmark, "GAIN_LIMIT", 1e9)
    monkeypatch.setattr(benchmark, "fastest", lambda *_: [1.0, 1.0])
    assert benchmark.main(tiny) == 1


def test_resume(benchmark, tmp_path, monkeypatch, capsys):
    arguments = ["--data", str(tmp_path), "--only", "resume", "--shards", "25"]
    assert benchmark.main(arguments) == 0
    assert [row[:3] for row in rows(capsys.readouterr().out)] == [
        ["finished", "25", "1250"],
        ["one shard missing", "25", "1250"],
    ]
    monkeypatch.setattr(benchmark, "RESUME_LIMIT", 0.0)
    assert benchmark.main(arguments) == 1


def test_memory(benchmark, shared_data, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "in_new_process", lambda task, *arguments: task(*arguments))
    sizes = ["--scene-frames", "20", "--members", "5", "--filler", "1000"]
    arguments = ["--data", str(shared_data), "--only", "memory", *sizes]
    monkeypatch.setattr(benchmark, "MEMORY_LIMIT", 1e12)  # this process holds much
    assert benchmark.main(arguments) == 0
    found = rows(capsys.readouterr().out)
    assert [row[0] for row in found] == [
        "a scene of 2 frames",
        "a scene of 20 frames",
        "40 frames in folders",
        "the same in a zip of 5 members and 0.0 GB",
    ]
    assert all(float(cell) > 0 for row in found for cell in row[1:])
    monkeypatch.setattr(benchmark, "MEMORY_LIMIT", 0.0)
    assert benchmark.main(arguments) == 1
