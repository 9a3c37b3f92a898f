"""A sampling rule of one's own is one file; docs/extending.md shows how."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from stamp_batches import stamp_config

from zipmap_pl.datasets.config import DatasetConfig
from zipmap_pl.datasets.data_module import ZooDataModule
from zipmap_pl.datasets.view_sampling import rules
from zipmap_pl.datasets.view_sampling.settings import rule_names
from zipmap_pl.errors import UserError

PAGE = Path(__file__).parents[3] / "docs" / "extending.md"


@pytest.fixture
def sampling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """The setting that the page shows; the file that it shows lies in a folder of the room."""
    section = PAGE.read_text().partition("## A sampling rule\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (setting,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    (tmp_path / "every_nth.py").write_text(code)
    monkeypatch.setattr(rules, "__path__", [*rules.__path__, str(tmp_path)])
    yield OmegaConf.to_container(OmegaConf.create(setting))["sampling"]
    sys.modules.pop(f"{rules.__name__}.every_nth", None)
    vars(rules).pop("every_nth", None)


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
