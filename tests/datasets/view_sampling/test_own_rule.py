"""A sampling rule of one's own is one file; docs/extending.md shows how."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from stamp_batches import stamp_config

from zipmap_pl.datasets.config import DataConfig, DatasetConfig
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.datasets.view_sampling import rules
from zipmap_pl.datasets.view_sampling.settings import rule_names
from zipmap_pl.errors import UserError

PAGE = Path(__file__).parents[3] / "docs" / "extending.md"


@pytest.fixture
def own_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose files are rules, too; it is forgotten with the test."""
    monkeypatch.setattr(rules, "__path__", [*rules.__path__, str(tmp_path)])
    yield tmp_path
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(f"{rules.__name__}.{file.stem}", None)
        vars(rules).pop(file.stem, None)


@pytest.fixture
def sampling(own_rules: Path) -> dict:
    """The setting that the page shows; the file that it shows lies in a folder of the room."""
    section = PAGE.read_text().partition("## A sampling rule\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (setting,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    (own_rules / "every_nth.py").write_text(code)
    return OmegaConf.to_container(OmegaConf.create(setting))["sampling"]


def test_the_rule_of_the_page_chooses_the_views_of_a_sample(sampling, stamps) -> None:
    config = stamp_config(stamps, train={"stamps": DatasetConfig(str(stamps), sampling=sampling)}, views=[4, 4])
    frames = np.concatenate([batch.frames for batch in ZooDataModule(config, total_steps=5).train_dataloader()])
    assert len(frames) == 10 and (np.diff(frames) % 8 == sampling["step"]).all()  # of the eight frames of a scene


def test_its_mistakes_end_in_one_line(sampling) -> None:
    for change, told in (
        ({"step": 0}, "step is 0, expected 1 or more"),
        ({"stepp": 1}, "no key 'stepp', expected step"),
    ):
        with pytest.raises(UserError, match=f"data of x: sampling: rule every_nth: {told}"):
            DatasetConfig("x", sampling=sampling | change)


def test_without_its_file_there_is_no_such_rule() -> None:
    assert "every_nth" not in rule_names()
    with pytest.raises(UserError, match="rule is 'every_nth', expected one of .*block_shuffled, "):
        DatasetConfig("x", sampling={"rule": "every_nth"})


@pytest.mark.parametrize("code", ["RULE = 3", "RULE = int", "class RULE: pass", "def RULE(): pass"])
def test_a_rule_of_a_wrong_type_ends_in_one_line(own_rules: Path, code: str) -> None:
    (own_rules / "odd.py").write_text(code)
    with pytest.raises(UserError, match=r"odd\.py: RULE is .*, expected a dataclass with a method draw") as raised:
        DatasetConfig("x", sampling={"rule": "odd"})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("code", ["RULE = 3", "nothing = 1", "import nowhere_to_be_found", "this is no Python"])
def test_one_broken_rule_does_not_stop_the_sampling_of_all(own_rules: Path, code: str) -> None:
    (own_rules / "odd.py").write_text(code)
    DataConfig({"a": DatasetConfig("a")}, sampling_of_all={"max": 3})
    with pytest.raises(
        UserError, match="no rule has a field 'maxx', expected one of .*; rule odd cannot be used"
    ) as raised:
        DataConfig({"a": DatasetConfig("a")}, sampling_of_all={"maxx": 3})
    assert "\n" not in str(raised.value)
