"""A dataset is made by following docs/adding-a-dataset.md to the letter: its files go into a copy of the checkout, and pass the suite."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import DOCS, blocks_of

CHECKOUT = DOCS.parent
PAGE = "adding-a-dataset.md"
FILES = {  # file of the page's first table: the section of the page that has it, its language, the page
    "preprocess/zoo/NAME.py": ("A new dataset in code", "python", "own_data.md"),
    "conf/data/zoo/NAME.yaml": ("4. Write the settings", "yaml", PAGE),
    "tests/support/miniatures/zoo/NAME.py": ("2. Write the miniature", "python", PAGE),
}
GOLDEN, ROWS = "tests/preprocess/golden/NAME.json", "docs/datasets.md"
SUITE, LONG_SUITE = blocks_of("5. Run the suite", "sh", PAGE)[0].splitlines()
NUMBERS = "test_numbers_that_were_once_right_have_not_moved"


class Copy:
    """A copy of the checkout with the files of a new dataset; `zipmap_pl` is found in it as it is when installed."""

    def __init__(self, top: Path) -> None:
        self.top = top
        for name in ("preprocess", "conf", "docs", "tests/preprocess", "tests/support"):
            shutil.copytree(CHECKOUT / name, top / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("setup.cfg", "tests/conftest.py"):
            shutil.copy(CHECKOUT / name, top / name)
        package = top / "installed" / "zipmap_pl"
        package.mkdir(parents=True)
        for item in [*(CHECKOUT / "zipmap_pl").iterdir(), CHECKOUT / "datasets", top / "preprocess", top / "conf"]:
            (package / item.name).symlink_to(item)
        for file, place in FILES.items():
            (text,) = blocks_of(*place)
            self.path(file).write_text(text)

    def path(self, file: str) -> Path:
        return self.top / file.replace("NAME", "turntable")

    def run(self, command: str) -> str:
        """What a command line prints, whatever its exit status."""
        words = [sys.executable if word == "python" else word for word in shlex.split(command)]
        environment = {**os.environ, "PYTHONPATH": str(self.top / "installed")}
        return subprocess.run(words, cwd=self.top, env=environment, capture_output=True, text=True).stdout

    def add_golden_numbers(self, printed: str) -> None:
        """Save what the suite asks for."""
        # Where the variable CI is set, pytest says it a second time, in its summary.
        (numbers,) = {*re.findall(r"if the tests above pass, put into \S+: (\{.*\})$", printed, re.MULTILINE)}
        self.path(GOLDEN).write_text(numbers)

    def add_rows(self) -> None:
        """The rows of the page go into the tables of docs/datasets.md."""
        (rows,) = blocks_of("5. Run the suite", "markdown", PAGE)
        blocks = self.path(ROWS).read_text().split("\n\n")
        tables = [place for place, block in enumerate(blocks) if block.startswith("| name |")]
        for place, row in zip(tables, rows.splitlines(), strict=True):
            head, line, *others = blocks[place].splitlines()
            blocks[place] = "\n".join([head, line, *sorted([*others, row])])
        self.path(ROWS).write_text("\n\n".join(blocks))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return Copy(tmp_path_factory.mktemp("checkout"))


def ended(printed: str) -> tuple[int, set[str]]:
    """How many tests passed, and the names of those that did not."""
    return int(re.findall(r"(\d+) passed", printed)[-1]), set(
        re.findall(r"^(?:FAILED|ERROR) \S+?::(\w+)", printed, re.MULTILINE)
    )


def test_the_page_has_a_row_for_each_file():
    named = re.findall(r"^\| `(.*?)` \|", (DOCS / PAGE).read_text().partition("\n## ")[0], re.MULTILINE)
    assert set(named) == {*FILES, GOLDEN, ROWS}


@pytest.mark.long
def test_the_files_of_the_page_pass_the_suite_and_nothing_is_missing(copy):
    printed = copy.run(SUITE)
    passed, failed = ended(printed)
    assert failed == {NUMBERS} and passed >= 25, printed
    copy.add_golden_numbers(printed)
    copy.add_rows()
    files = "tests/preprocess/test_every_dataset.py tests/preprocess/test_zoo.py"
    printed = copy.run(f"python -m pytest {files} -k '(turntable and {NUMBERS}) or (test_zoo and not torch)'")
    passed, failed = ended(printed)
    assert passed >= 10 and not failed, printed


@pytest.mark.long
def test_the_files_of_the_page_pass_the_long_suite(copy):
    printed = copy.run(LONG_SUITE)
    passed, failed = ended(printed)
    assert passed >= 5 and not failed, printed
