"""What the pages say is true: commands are accepted, links and pictures exist, promised files are there."""

import re
import shlex
from pathlib import Path

import pytest

from zipmap_pl.cli.main import build_parser
from zipmap_pl.training.config import compose

CHECKOUT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [
        CHECKOUT / "README.md",
        CHECKOUT / "shards" / "README.md",
        *CHECKOUT.glob("C*.md"),
        *(CHECKOUT / "docs").glob("*.md"),
    ]
)


def commands() -> list[tuple[str, str]]:
    """(page, command) of every `zipmap ...` line inside a code block, and of `zipmap fit ...` in the text."""
    found = []
    for page in PAGES:
        text = page.read_text()
        blocks = "\n".join(re.findall(r"```[a-z]*\n(.*?)```", text, flags=re.DOTALL)).replace("\\\n", " ")
        lines = [line.split("  #")[0].strip() for line in blocks.splitlines() if line.startswith("zipmap ")]
        inline = re.findall(r"`(zipmap (?:fit|reconstruct) [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        found += [(page.name, line) for line in [*lines, *inline] if "..." not in line and "…" not in line]
    return found


@pytest.mark.parametrize(("page", "command"), commands())
def test_every_command_is_accepted(page: str, command: str) -> None:
    words = shlex.split(command)[1:]
    arguments = build_parser(words[0]).parse_args(words)
    if words[0] in ("fit", "data") and arguments.config_dir is None:
        compose(arguments.overrides)


def test_there_are_commands_to_check() -> None:
    assert {"README.md", "real_data.md", "demo.md"} <= {page for page, _ in commands()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_the_make_targets_of_the_first_screen_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)", (CHECKOUT / "README.md").read_text(), flags=re.MULTILINE))
    assert named
    assert named <= targets


def test_folders_of_the_readme_exist() -> None:
    table = re.search(r"\| folder \| what \|\n(.*?)\n\n", (CHECKOUT / "README.md").read_text(), flags=re.DOTALL)
    assert table is not None
    for cell in re.findall(r"^\| (.*?) \|", table[1], flags=re.MULTILINE)[1:]:
        for name in re.findall(r"`([^`]+)/`", cell):
            assert (CHECKOUT / name).is_dir() or (CHECKOUT / "zipmap_pl" / name).is_dir(), name


ROOTS = ("zipmap_pl", "datasets", "preprocess", "conf", "tests", "benchmarks", "docs", ".ci")
FILES = [path for root in ROOTS for path in (CHECKOUT / root).rglob("*") if "__pycache__" not in path.parts]
EXAMPLES = {
    "zipmap_pl/drawing/error_bars.py",
    "benchmarks/gram_matrix.py",
    "my_losses.py",
    "xyz.py",
    "linear.py",
    "every_nth.py",
    "preprocess/zoo/turntable.py",
}  # files that a page asks for
# Named by docs/extending.md before the folders are there; take a line out when its folder arrives.
AWAITED: set[str] = set()


def exists(path: str) -> bool:
    """Return True for a path of ours from the top of the checkout, or the end of one; NAME stands for any name."""
    whole = path.startswith(tuple(f"{root}/" for root in ROOTS))
    target = path.rstrip("/") if "NAME" not in path else path.rpartition("/")[0]
    return (CHECKOUT / target).exists() if whole else any(f"/{file}".endswith(f"/{target}") for file in FILES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_of_ours_in_backticks_exist(page: Path) -> None:
    named = re.findall(
        r"`([\w.]+(?:/[\w.]+)*/?)(?:::\w+)?`", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    )
    ours = {name for name in named if name.startswith(tuple(f"{root}/" for root in ROOTS)) or name.endswith(".py")}
    assert {name for name in ours - EXAMPLES - AWAITED if not exists(name)} == set()


def test_awaited_paths_are_still_awaited() -> None:
    assert [path for path in AWAITED if exists(path)] == []
