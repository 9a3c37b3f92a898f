"""Every documented line that trains says which stage, or is about the demo: without `stage=` the demo is trained."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from zipmap_pl.training.stage_selection import selected_stages

CHECKOUT = Path(__file__).resolve().parent.parent
PAGES = [CHECKOUT / "README.md", CHECKOUT / "shards" / "README.md", CHECKOUT / "CONTRIBUTING.md"]
PAGES += sorted((CHECKOUT / "docs").glob("*.md"))
STAGES = {path.stem for path in (CHECKOUT / "conf" / "stage").glob("*.yaml")}
CODE = re.compile(r"```\w*\n.*?```", flags=re.DOTALL)
TRAINS = re.compile(r"(?:zipmap fit|train\.py|-m zipmap_pl\.cli\.main fit)(?: +|$)(.*)")


@dataclass(frozen=True)
class Run:
    """A command of a page: its settings, and what its comment (in the text: its paragraph) says."""

    page: str
    settings: str
    says: str

    def about_the_demo(self) -> bool:
        """Return True if the page, or the words next to the command, are about the demo."""
        return self.page == "demo.md" or "demo" in self.says

    def overrides(self) -> list[str]:
        """What Hydra gets."""
        return [word for word in shlex.split(self.settings) if word != "--show"]


def runs_of(page: str, text: str) -> list[Run]:
    """The commands that train: lines of code blocks behind any launcher, and code in the text that has settings."""
    found = []
    for block in CODE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            command, _, comment = line.partition("  #")
            if trains := TRAINS.search(command):
                found.append(Run(page, trains[1].strip(), comment))
    for paragraph in CODE.sub("", text).split("\n\n"):
        for code in re.findall(r"`([^`]+)`", paragraph):
            trains = TRAINS.search(code)
            if trains and trains[1] not in ("", "--show"):
                found.append(Run(page, trains[1], paragraph))
    return [run for run in found if "..." not in run.settings and "[KEY=VALUE" not in run.settings]


RUNS = [run for page in PAGES for run in runs_of(page.name, page.read_text())]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.page}: {run.settings}")
def test_a_documented_run_names_its_stage_or_is_about_the_demo(run: Run) -> None:
    named = re.search(r"(?:^|\s)stage=(\w+)", run.settings)
    assert named or run.about_the_demo()
    if "--config-dir" in run.settings:  # the page makes that folder; test_extending_page.py follows it
        return
    stages = [stage.stage.name for stage in selected_stages(run.overrides())]
    assert stages == ["demo"] if named is None else len(stages) > 1 or stages == [named[1]]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.page}: {run.settings}")
def test_an_output_folder_that_is_called_like_a_stage_is_that_of_the_stage(run: Run) -> None:
    output = re.search(r"(?:^|\s)output=(\S+)", run.settings)
    if output and Path(output[1]).name in STAGES:
        assert f"stage={Path(output[1]).name}" in run.settings.split()


def test_commands_behind_a_launcher_are_found() -> None:
    of_page = [run for run in RUNS if run.page == "multi_gpu.md"]
    assert len(of_page) == (CHECKOUT / "docs" / "multi_gpu.md").read_text().count("\nsrun ") + 3
    text = "```bash\nsrun -n 8 zipmap fit output=/a/static\ntorchrun x \\\n  -m zipmap_pl.cli.main fit  # four\npython train.py a=1\n```"
    assert [run.settings for run in runs_of("x.md", text)] == ["output=/a/static", "", "a=1"]
