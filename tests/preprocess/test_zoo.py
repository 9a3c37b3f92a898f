"""Reader, settings of training, miniature, golden numbers and row of docs/datasets.md belong together: none without the others."""

import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from miniatures.found import all_miniatures

from zipmap_pl.cli.main import main
from zipmap_pl.preprocess.not_built import NOT_BUILT
from zipmap_pl.preprocess.registry import dataset_names, load_dataset, published

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs/datasets.md").read_text()
NOT_PUBLISHED = {"rgbd_folder", "synthetic"}  # their raw data are the user's or none, so they have suites of their own
PUBLISHED = set(dataset_names()) - NOT_PUBLISHED


def rows(section: str = "") -> list[list[str]]:
    """The cells of the page's table, or of the one in a section; the name without its marks."""
    text = PAGE[PAGE.index(section) :]
    table = text[text.index("| name |") :].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return [[name.strip("`"), *rest] for name, *rest in cells]


def test_every_reader_has_one_row_in_the_table_of_datasets_and_no_other_name_has():
    assert [name for name, *_ in rows()] == dataset_names()


def test_every_published_dataset_has_one_row_in_the_table_of_conventions_and_faults():
    assert [name for name, *_ in rows("## Raw conventions")] == sorted(PUBLISHED)


def test_every_published_dataset_has_a_miniature_and_every_miniature_a_reader():
    assert {miniature.name for miniature in all_miniatures()} == PUBLISHED


def test_every_published_dataset_has_golden_numbers_and_no_others_are_kept():
    assert {file.stem for file in (CHECKOUT / "tests/preprocess/golden").iterdir()} == PUBLISHED


def test_every_published_dataset_has_settings_for_training():
    settings = {
        Path(item.name).stem for item in files("zipmap_pl.conf.data.zoo").iterdir() if item.name.endswith(".yaml")
    }
    assert settings == PUBLISHED | set(NOT_BUILT)


def test_what_is_known_of_a_dataset_stands_in_one_place():
    """Who writes a reader moves its row of preprocess/not_built.py to `INFO` of the reader's module."""
    assert not set(dataset_names()) & set(NOT_BUILT)
    assert set(published()) == PUBLISHED | set(NOT_BUILT)


@pytest.mark.parametrize("name", dataset_names())
def test_the_table_says_what_the_reader_says(name):
    info = load_dataset(name).info
    assert info.slug == name.replace("_", "-")
    (cells,) = [cells for found, *cells in rows() if found == name]
    _, _, commercial, where, size, _ = cells
    assert size.replace("`", "") == (info.raw_size or "-")
    if name != "rgbd_folder":
        assert commercial == {True: "yes", False: "no", None: "not stated"}[info.commercial]
    assert (info.url in where) if info.url else "http" not in where


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_published_dataset_says_where_to_get_it_and_under_which_terms(name):
    info = load_dataset(name).info
    assert info.url.startswith("http") and len(info.licence) > 10 and info.raw_size


@pytest.mark.parametrize("name", sorted(NOT_BUILT))
def test_a_dataset_without_reader_says_where_to_get_it_and_under_which_terms(name):
    info = NOT_BUILT[name]
    assert info.slug == name.replace("_", "-") and info.kind in ("static", "dynamic")
    assert info.url.startswith("https://") and len(info.licence) > 10 and info.raw_size


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_reader_of_a_published_dataset_says_what_the_list_says(name, tmp_path):
    dataset = load_dataset(name)
    assert dataset.reader(tmp_path).info == dataset.info


def test_the_list_of_datasets_has_the_first_line_of_what_each_says(capsys):
    with pytest.raises(SystemExit):
        main(["preprocess", "--help"])
    listed = re.findall(r"^  (\w+) +(.*)$", capsys.readouterr().out.partition("datasets:\n")[2], re.MULTILINE)
    assert listed == [(name, load_dataset(name).description.splitlines()[0]) for name in dataset_names()]


def test_readers_are_not_imported_for_the_list_of_datasets():
    code = (
        "import sys; from zipmap_pl.cli.main import build_parser; build_parser('preprocess').format_help();"
        "assert not [name for name in sys.modules if name.startswith('zipmap_pl.preprocess.zoo.')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.long
def test_no_test_of_preprocessing_brings_torch():
    """Collecting imports every test module and whatever they import at their top; one dataset goes all the way."""
    code = (
        "import pytest, sys;"
        "status = pytest.main(['-qq', 'tests/preprocess', '-k', 'test_scenes_splits_and_frames and tartanair']);"
        "assert status == 0, status; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CHECKOUT, capture_output=True)
