"""The arrows between the rooms point one way; preprocessing and drawing live without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
COMMON = {"durable", "errors", "progress", "processes"}
# Room -> rooms that it may import. A new arrow is a decision: write it here and say why in the commit.
MAY_IMPORT = {
    "geometry": set(),
    "drawing": set(),
    "models": {"geometry"},
    "datasets": {"geometry", "drawing"},
    "preprocess": {"datasets"},
    "losses": {"geometry", "models", "datasets"},  # of models the Prediction, of datasets the Batch
    "metrics": {"geometry", "models", "datasets"},
    "checkpoints": {"models"},
    "inference": {"models", "geometry", "drawing"},
    "training": {"models", "losses", "metrics", "datasets", "geometry", "drawing", "checkpoints"},
}


def folder(room: str) -> Path:
    return CHECKOUT / room if (CHECKOUT / room).is_dir() else CHECKOUT / "zipmap_pl" / room


def imported_rooms(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("zipmap_pl.")}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_arrows_point_one_way(room: str) -> None:
    for path in folder(room).rglob("*.py"):
        foreign = imported_rooms(path) - MAY_IMPORT[room] - COMMON - {room}
        assert not foreign, f"{path.name} imports {foreign}"


def test_preprocessing_and_drawing_live_without_torch() -> None:
    modules = [
        ".".join(["zipmap_pl", room, *path.relative_to(folder(room)).with_suffix("").parts])
        for room in ("preprocess", "drawing")
        for path in folder(room).rglob("*.py")
    ]
    modules += [f"zipmap_pl.datasets.{name}" for name in ("agreement", "contact_sheet", "verification", "config")]
    code = f"import importlib, sys; [importlib.import_module(name) for name in {modules}]; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
