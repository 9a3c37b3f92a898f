"""The arrows between the rooms point one way, inner rooms included; what needs no torch lives without it.

A room is a folder of `zipmap_pl` (or `datasets/`, `preprocess/`), an inner room a folder in it. The files at the top of a
room with inner rooms are nodes of their own: `models.config` is below the mixers, `models.zipmap` above them.
"""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
FOLDER = {"datasets": CHECKOUT / "datasets", "preprocess": CHECKOUT / "preprocess"}
# Modules at the top of zipmap_pl that every room may use.
COMMON = {"changes", "checks", "discovery", "errors", "files", "natural_order", "progress", "processes", "version"}
# Room -> rooms that it may import. A new arrow is a decision: write it here and say why in the commit.
MAY_IMPORT = {
    "geometry": set(),
    "drawing": set(),
    "images": {"geometry"},
    "contracts": {"geometry"},
    "models": {"contracts", "geometry"},
    "datasets": {"contracts", "geometry", "images", "drawing"},
    "preprocess": {"datasets", "geometry", "images"},
    "losses": {"contracts", "geometry", "models"},
    "metrics": {"contracts", "geometry"},
    "checkpoints": {"models"},
    "inference": {"contracts", "models", "geometry", "images", "drawing", "checkpoints"},
    "training": {"contracts", "models", "losses", "metrics", "datasets", "geometry", "drawing", "checkpoints"},
    "doctor": {"checkpoints", "datasets", "inference", "losses", "models"},
    "memory": {"contracts", "models", "losses", "datasets", "training"},
}
LAST = ("stages", "fit", "curriculum", "stage_selection", "run_settings")
# Inner room, or module at the top of a room -> what it must not import, of its own room.
NEVER = {
    "preprocess.zoo": {"preprocess.engine", "preprocess.registry"},
    "preprocess.formats": {"preprocess.engine", "preprocess.zoo", "preprocess.convert"},
    "preprocess.convert": {"preprocess.engine", "preprocess.zoo"},
    "datasets.loading": {"datasets.inspection", "datasets.data_module"},
    "datasets.format": {"datasets.loading", "datasets.inspection", "datasets.draws", "datasets.view_sampling"},
    "datasets.remote": {"datasets.format"},
    "datasets.view_sampling": {"datasets.config", "datasets.loading", "datasets.inspection", "datasets.data_module"},
    "datasets.draws": {"datasets.config", "datasets.loading", "datasets.inspection", "datasets.data_module"},
    "datasets.inspection": {"datasets.loading", "datasets.data_module"},
    "inference.exporters": {
        f"inference.{name}" for name in ("export", "reconstruct", "reconstruction", "from_photos", "sources")
    },
    "models.layers": {"models.mixers", "models.heads", "models.sequences", "models.zipmap"},
    "models.heads": {"models.mixers", "models.sequences", "models.zipmap"},
    "training.settings": {f"training.{name}" for name in ("config", "step", "parallel", "module", "watching", *LAST)},
    # step -> parallel -> module -> watching -> stages, fit; the settings are above the step, whose settings are part of them.
    "training.step": {f"training.{name}" for name in ("config", "parallel", "module", "watching", *LAST)},
    "training.parallel": {f"training.{name}" for name in ("module", "watching", *LAST)},
    "training.module": {f"training.{name}" for name in ("watching", *LAST)},
    "training.watching": {f"training.{name}" for name in LAST},
    "models.mixers": {"models.heads", "models.sequences", "models.zipmap"},
}
WITHOUT_TORCH = [
    "preprocess",
    "drawing",
    "images",
    "datasets.inspection.agreement",
    "datasets.inspection.contact_sheet",
    "datasets.inspection.verification",
    "datasets.config",
    "geometry.exact_cameras",
    "doctor.text",
    "doctor.versions",
]


def folder(room: str) -> Path:
    return FOLDER.get(room, CHECKOUT / "zipmap_pl" / room)


def modules() -> dict[str, Path]:
    """Every module by its name below `zipmap_pl`, such as "models.mixers.ttt"."""
    found = {}
    for room in [path.name for path in (CHECKOUT / "zipmap_pl").iterdir() if path.is_dir()] + list(FOLDER):
        for path in folder(room).rglob("*.py"):
            parts = [room, *path.relative_to(folder(room)).with_suffix("").parts]
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imported(path: Path) -> set[str]:
    """Modules of ours that a file imports, wherever in the file, without `zipmap_pl.`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: a relative import hides its room"
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    ours = {name.removeprefix("zipmap_pl.") for name in names if name.startswith("zipmap_pl.")}
    return {name for name in ours if name in MODULES or name in COMMON}


def inner_room(module: str) -> str:
    """The innermost of the first two levels that is a folder, or the module itself."""
    room, *rest = module.split(".")
    return ".".join([room, *rest[:1]])


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_arrows_point_one_way(room: str) -> None:
    for path in folder(room).rglob("*.py"):
        foreign = {name.split(".")[0] for name in imported(path)} - MAY_IMPORT[room] - COMMON - {room}
        assert not foreign, f"{path} imports {foreign}"


@pytest.mark.parametrize("room", NEVER)
def test_arrows_between_inner_rooms_point_one_way(room: str) -> None:
    for module, path in MODULES.items():
        if f"{module}.".startswith(f"{room}."):
            wrong = {name for name in imported(path) if inner_room(name) in NEVER[room]}
            assert not wrong, f"{path} imports {wrong}"


def test_no_circle_of_modules() -> None:
    """A folder's __init__ stands for nothing but itself: importing a module is not importing its folder."""
    graph = {module: imported(path) - {module} for module, path in MODULES.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {' -> '.join(error.args[1])}") from None


@pytest.mark.parametrize("path", sorted((CHECKOUT / "zipmap_pl").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_a_module_that_every_room_uses_imports_no_room(path: Path) -> None:
    assert path.stem in COMMON
    assert imported(path) <= COMMON


def test_every_room_has_its_arrows() -> None:
    """The command line may import all of them; settings are YAML."""
    assert {module.split(".")[0] for module in MODULES} - {"cli", "conf"} == set(MAY_IMPORT)


def test_nothing_imports_the_front_door() -> None:
    """`zipmap_pl/__init__.py` imports rooms: for users only. `zipmap_pl.version` has the version."""
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "zipmap_pl":
                names = {alias.name for alias in node.names}
                assert names <= COMMON | set(MAY_IMPORT), f"{path} imports {names} from zipmap_pl"


@pytest.mark.parametrize("room", ["datasets", "preprocess", "models", "training", "inference"])
def test_a_room_shows_at_most_a_dozen_entries(room: str) -> None:
    entries = [path.name for path in folder(room).iterdir() if not path.name.startswith("__")]
    assert len(entries) <= 12, sorted(entries)


def python_files() -> list[Path]:
    """All that people read, but tests."""
    tops = (CHECKOUT / top for top in ("zipmap_pl", "datasets", "preprocess", "benchmarks", "tests"))
    return [path for top in tops for path in sorted(top.rglob("*.py")) if not path.name.startswith("test_")]


def test_no_file_is_over_400_lines() -> None:
    long = {path.relative_to(CHECKOUT): path.read_text().count("\n") for path in python_files()}
    assert {str(path): lines for path, lines in long.items() if lines > 400} == {}


def test_no_function_is_over_60_lines() -> None:
    long = {
        f"{path.relative_to(CHECKOUT)}: {node.name}": node.end_lineno - node.lineno + 1
        for path in python_files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    }
    assert {name: lines for name, lines in long.items() if lines > 60} == {}


def test_what_needs_no_torch_lives_without_it() -> None:
    chosen = [name for name in MODULES if any(f"{name}.".startswith(f"{part}.") for part in WITHOUT_TORCH)]
    code = (
        f"import importlib, sys; [importlib.import_module(f'zipmap_pl.{{name}}') for name in {chosen}]; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
