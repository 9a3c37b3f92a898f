"""The traps of a layout whose folders datasets/, preprocess/ and conf/ are packages below zipmap_pl, one test each."""

import configparser
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from zipmap_pl.version import __version__

CHECKOUT = Path(__file__).resolve().parent.parent
LICENSES = {"LICENSE", "THIRD_PARTY_NOTICES.md"}
FOLDER_OF_PACKAGE = {
    "zipmap_pl": "zipmap_pl",
    "zipmap_pl/datasets": "datasets",
    "zipmap_pl/preprocess": "preprocess",
    "zipmap_pl/conf": "conf",
}


def files_of_tree() -> set[str]:
    """Every file that an installation needs, by its installed name."""
    return {
        f"{installed}/{path.relative_to(CHECKOUT / folder).as_posix()}"
        for installed, folder in FOLDER_OF_PACKAGE.items()
        for path in (CHECKOUT / folder).rglob("*")
        if path.suffix in {".py", ".yaml"}
    }


def test_wheel_holds_every_file_and_only_our_name(tmp_path: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path),
        ".",
    ]
    copy = tmp_path / "copy"
    copy.mkdir()
    for item in ("setup.cfg", "pyproject.toml", "README.md", *LICENSES, *FOLDER_OF_PACKAGE.values()):
        subprocess.run(["cp", "-r", "--parents", item, str(copy)], cwd=CHECKOUT, check=True)
    subprocess.run(build, cwd=copy, check=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    packed = {name for name in names if ".dist-info/" not in name}
    assert packed == files_of_tree()
    assert {name.split("/")[0] for name in packed} == {"zipmap_pl"}
    assert {name.split("/licenses/")[1] for name in names if "/licenses/" in name} == LICENSES


def test_every_folder_with_code_is_a_listed_package() -> None:
    settings = configparser.ConfigParser()
    settings.read(CHECKOUT / "setup.cfg")
    listed = set(settings["options"]["packages"].split())
    assert listed == {os.path.dirname(name).replace("/", ".") for name in files_of_tree()}


@pytest.fixture
def foreign_environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which another package called `datasets` is installed."""
    package = tmp_path / "site" / "datasets"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("FOREIGN = True\n")
    (package / "inner.py").write_text("INNER = True\n")
    return os.environ | {"PYTHONPATH": str(tmp_path / "site")}


CHECK = (
    "import datasets, datasets.inner, zipmap_pl.datasets.format.schema; "
    "assert datasets.FOREIGN; assert not hasattr(zipmap_pl.datasets, 'FOREIGN')"
)
SPAWN = f"""
import multiprocessing
def check():
    {CHECK}
if __name__ == "__main__":
    worker = multiprocessing.get_context("spawn").Process(target=check)
    worker.start(); worker.join(); raise SystemExit(worker.exitcode)
"""
TRAIN = f"import runpy, sys; sys.path.insert(0, {str(CHECKOUT)!r}); runpy.run_path('train.py', run_name='imported'); {CHECK}"


@pytest.mark.parametrize("way", ["python -c", "python -m", "train.py", "spawn", "python -m pytest", "pytest"])
def test_foreign_datasets_wins_in_the_checkout(way: str, foreign_environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "spawning.py").write_text(SPAWN)
    (tmp_path / "site" / "run_me.py").write_text(CHECK)
    (tmp_path / "test_foreign.py").write_text(f"def test():\n    {CHECK}\n")
    pytest_arguments = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        str(CHECKOUT / "setup.cfg"),
        f"--rootdir={CHECKOUT}",
        str(tmp_path / "test_foreign.py"),
    ]
    command = {
        "python -c": [sys.executable, "-c", CHECK],
        "python -m": [sys.executable, "-m", "run_me"],
        "train.py": [sys.executable, "-c", TRAIN],
        "spawn": [sys.executable, str(tmp_path / "spawning.py")],
        "python -m pytest": [sys.executable, "-m", "pytest", *pytest_arguments],
        "pytest": [str(Path(sys.executable).parent / "pytest"), *pytest_arguments],
    }[way]
    ran = subprocess.run(command, cwd=CHECKOUT, env=foreign_environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_without_another_package_the_bare_name_is_missing() -> None:
    """A library that tries `import datasets` must not believe that it has found Hugging Face's."""
    ran = subprocess.run([sys.executable, "-c", "import datasets"], cwd=CHECKOUT, capture_output=True, text=True)
    try:
        import importlib.metadata

        importlib.metadata.distribution("datasets")
    except importlib.metadata.PackageNotFoundError:
        assert "ModuleNotFoundError: No module named 'datasets'" in ran.stderr
    else:
        assert ran.returncode == 0


@pytest.mark.parametrize(
    "statement", ["import zipmap_pl", "from zipmap_pl.cli.main import build_parser; build_parser(None).format_help()"]
)
def test_import_and_help_leave_torch_alone(statement: str) -> None:
    code = f"import sys; {statement}; heavy = {{'torch', 'lightning', 'cv2', 'timm'}} & set(sys.modules); assert not heavy, heavy"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_settings_groups_are_importable_by_hydra() -> None:
    import importlib.resources

    groups = {path.parent.relative_to(CHECKOUT / "conf") for path in (CHECKOUT / "conf").rglob("*.yaml")}
    for group in groups:
        package = ".".join(("zipmap_pl.conf", *group.parts))
        assert any(item.name.endswith(".yaml") for item in importlib.resources.files(package).iterdir())


def test_the_notices_name_every_library_that_an_installation_brings() -> None:
    settings = configparser.ConfigParser()
    settings.read(CHECKOUT / "setup.cfg")
    required = {re.split("[<>=]", line)[0] for line in settings["options"]["install_requires"].split()}
    table = (CHECKOUT / "THIRD_PARTY_NOTICES.md").read_text().partition("| library | licence |\n|---|---|\n")[2]
    assert required == set(re.findall(r"^\| (\S+) \|", table.partition("\n\n")[0], flags=re.MULTILINE))


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())
    assert (citation["title"], citation["version"]) == ("zipmap_pl", __version__)
