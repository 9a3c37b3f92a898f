"""docs/reconstruct.ipynb runs from top to bottom, with the model of the demo's size and with one that can be queried."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from pages import DOCS
from photos_and_model import two_photos, untrained_checkpoint

NOTEBOOK = json.loads((DOCS / "reconstruct.ipynb").read_text())
CELLS = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def run_all(folder: Path, monkeypatch: pytest.MonkeyPatch, *model: str) -> dict[str, Any]:
    """The names that the cells define. Photos and checkpoint lie where the notebook expects those of the demo."""
    checkpoint = untrained_checkpoint(folder / "runs" / "demo", *model)
    two_photos(checkpoint.parents[1]).rename(folder / "runs" / "demo" / "heldout_photos")
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for number, cell in enumerate(CELLS):
        exec(compile("".join(cell["source"]), f"code cell {number}", "exec"), names)
    return names


def test_the_notebook_runs_and_leaves_the_files_that_it_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run_all(tmp_path, monkeypatch, "model.query_head=true")
    assert names["depth"].shape == (90, 120)
    assert names["view"].image.shape == (56, 56, 3)
    assert np.nanmedian(names["aligned"].depth) == pytest.approx(100 * np.nanmedian(names["scene"].depth), rel=1e-4)
    assert trimesh.load(tmp_path / "notebook_results" / "points.glb", force="scene").geometry
    assert (tmp_path / "notebook_results" / "all" / "colmap" / "sparse" / "0" / "points3D.bin").is_file()
    assert "a.jpg: 120 x 90 pixels, the model saw 75% of them" in capsys.readouterr().out


def test_the_notebook_runs_with_a_model_that_cannot_be_queried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "view" not in run_all(tmp_path, monkeypatch)


def test_the_notebook_is_one_and_carries_no_outputs() -> None:
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert all((cell["outputs"], cell["execution_count"]) == ([], None) for cell in CELLS)
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
