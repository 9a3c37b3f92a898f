"""`zipmap reconstruct` as a user types it, with an untrained small model: results, and every mistake in one line."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from photos_and_model import two_photos, untrained_checkpoint

from zipmap_pl.checkpoints.load import load_model
from zipmap_pl.checkpoints.published import save_published
from zipmap_pl.checkpoints.weight_file import write_weight_file
from zipmap_pl.cli.main import main
from zipmap_pl.models.zipmap import ZipMap
from zipmap_pl.training.config import compose

PUBLISHED_SIZES = [
    "model.embed_dim=64",
    "model.heads=4",
    "model.tokenizer={depth:1,heads:1}",
    "model.camera_head.heads=16",
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_checkpoint(tmp_path_factory.mktemp("run"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return two_photos(tmp_path)


def reconstruct(*arguments: object) -> int:
    return main(["reconstruct", *map(str, arguments)])


def test_one_file_out_of_a_checkpoint_gives_the_same_scene(checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    """It was shown pictures of the published width, whatever it was trained on."""
    file = tmp_path / "one.safetensors"
    assert main(["checkpoint", "consolidate", str(checkpoint), "--output", str(file)]) == 0
    for source in (checkpoint, file):
        assert reconstruct(photos, "--checkpoint", source, "--output", tmp_path / source.name.split(".")[0]) == 0
    folders = tmp_path / checkpoint.name, tmp_path / "one"
    assert len({(folder / "cameras.json").read_text() for folder in folders}) == 1


@pytest.mark.parametrize("pictures", [(0, [0.5, 1.0]), (56, [1.0]), (56, [-1.0, 1.0]), "large"])
def test_pictures_that_a_file_tells_and_that_are_none(
    pictures: object, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, file = load_model(checkpoint).model, tmp_path / "one.safetensors"
    if isinstance(pictures, tuple):
        pictures = {"width": pictures[0], "aspect": pictures[1], "views": [2, 4]}
    carried = {"model": asdict(model.config), "terms": "", "pictures": pictures}
    write_weight_file(file, model.state_dict(), carried)
    assert reconstruct(photos, "--checkpoint", file, "--output", tmp_path / "out") == 2
    _, error = capsys.readouterr().err.splitlines()  # the first line says what is being loaded
    assert error.startswith(f"zipmap: {file}: ")


def test_photos_become_a_scene(checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "out"
    assert reconstruct(photos, "--checkpoint", checkpoint, "--output", output, "--max-points", 500) == 0
    assert {path.name for path in output.iterdir()} == {
        "cameras.json",
        "colmap",
        "depth",
        "depth16",
        "points.glb",
        "points.ply",
        "preview.png",
        "scene.npz",
    }
    views = json.loads((output / "cameras.json").read_text())["views"]
    assert [view["size"] for view in views] == [{"height": 90, "width": 120}, {"height": 120, "width": 90}]
    assert views[0]["model_size"] == {"height": 56, "width": 56}
    assert [view["kept"] for view in views] == pytest.approx([0.75, 0.75])


def test_only_the_formats_asked_for_are_written_and_the_cameras(checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert reconstruct(photos, "--checkpoint", checkpoint, "--output", output, "--export", "ply,depth") == 0
    assert {path.name for path in output.iterdir()} == {"cameras.json", "depth", "depth16", "points.ply"}


def test_a_long_sequence_is_announced_and_gives_the_same_scene(
    checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reconstruct(photos, "--checkpoint", checkpoint, "--output", tmp_path / "plain") == 0
    assert "long sequence" not in capsys.readouterr().out
    options = ("--views-per-chunk", 1)
    assert reconstruct(photos, "--checkpoint", checkpoint, "--output", tmp_path / "chunks", *options) == 0
    assert re.search(
        r"^long sequence: [0-9,]+ bytes per view in bfloat16, .* for 2 views, in ", capsys.readouterr().out
    )
    cameras = [json.loads((tmp_path / name / "cameras.json").read_text())["views"] for name in ("plain", "chunks")]
    for plain, chunks in zip(*cameras, strict=True):
        for name in ("world_to_cam", "intrinsics"):
            assert np.allclose(chunks[name], plain[name], rtol=1e-2, atol=1e-2)
    names = sorted(path.name for path in (tmp_path / "plain" / "depth").glob("*.npy"))
    assert len(names) == 2
    for name in names:
        plain, chunks = (np.load(tmp_path / folder / "depth" / name) for folder in ("plain", "chunks"))
        assert np.allclose(chunks, plain, rtol=1e-2)


@pytest.fixture(scope="module")
def weight_file(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model in one file of the published layout."""
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_published(load_model(checkpoint).model, path)
    return path


def test_a_file_in_the_published_layout_is_a_checkpoint(weight_file: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert reconstruct(photos, "--checkpoint", weight_file, "--output", output, "--width", 56) == 0
    assert json.loads((output / "cameras.json").read_text())["views"][0]["model_size"]["width"] == 56


def test_a_flag_that_the_file_does_not_carry_is_asked_for_in_one_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(ZipMap(compose(PUBLISHED_SIZES).model).state_dict(), path)
    options = (photos, "--checkpoint", path, "--width", 56)
    assert reconstruct(*options, "--output", tmp_path / "asked") == 2
    shown = capsys.readouterr().err.splitlines()[-1]
    assert shown.startswith(f"zipmap: {path}: does not tell whether its first view is the reference")
    assert "--reference-view or --no-reference-view" in shown
    assert reconstruct(*options, "--output", tmp_path / "out", "--no-reference-view") == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--width", "57"], "width 57: expected a multiple of the patch size 14"),
        (["--width", "-14"], "--width -14: expected 1 or more"),
        (["--every", "0"], "--every 0: expected 1 or more"),
        (["--views-per-chunk", "0"], "--views-per-chunk 0: expected 1 or more"),
        (["--max-views", "0"], "--max-views 0: expected 1 or more"),
        (["--confidence-percentile", "101"], "--confidence-percentile 101.0: expected a number from 0 to 100"),
        (["--edge-angle", "90"], "--edge-angle 90.0: expected an angle from 0 to below 90 degrees"),
        (["--voxel", "-1"], "--voxel -1.0: expected a length of 0 or more"),
        (["--export", "ply,gbl"], "unknown exporter 'gbl', expected one of "),
        (["--device", "bogus"], "--device bogus: not usable"),
        (["--checkpoint", "nowhere"], "nowhere: found no folder, expected a checkpoint"),
        (["--checkpoint", "nowhere.pt"], "nowhere.pt: found no file, expected a file here"),
        (["--output", "/proc/out"], "/proc/out: No such file or directory; choose another"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    options: list[str], told: str, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reconstruct(photos, "--checkpoint", checkpoint, "--output", tmp_path / "out", *options) == 2
    shown = capsys.readouterr().err
    assert shown.splitlines()[-1].startswith(f"zipmap: {told}")
    assert "Traceback" not in shown
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_bad_photo_among_good_ones_is_named(
    checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "c.png").write_bytes(b"not a picture")
    assert reconstruct(photos, "--checkpoint", checkpoint, "--output", tmp_path / "out") == 2
    assert f"{photos / 'c.png'}: not a picture that can be decoded" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_damaged_checkpoint_is_named(
    checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    bad = Path(shutil.copytree(checkpoint, tmp_path / "bad"))
    with (bad / "weights.safetensors").open("ab") as file:
        file.write(b"x")
    assert reconstruct(photos, "--checkpoint", bad, "--output", tmp_path / "out") == 2
    assert "weights.safetensors: damaged" in capsys.readouterr().err


def test_a_flag_against_the_checkpoint_is_refused(
    checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (photos, "--checkpoint", checkpoint, "--output", tmp_path / "out", "--no-reference-view")
    assert reconstruct(*options) == 2
    assert "carries reference_view=True" in capsys.readouterr().err
