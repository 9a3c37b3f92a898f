"""A loss term of one's own is one file and one line of settings; docs/extending.md shows how."""

import re
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from zipmap_pl import losses
from zipmap_pl.contracts.prediction import Prediction
from zipmap_pl.errors import UserError
from zipmap_pl.losses.config import LossConfig
from zipmap_pl.losses.normalisation import GroundTruth
from zipmap_pl.losses.reconstruction import ReconstructionLoss
from zipmap_pl.training.config import compose

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture(params=["in the room", "on the Python path"])
def term_of_the_docs(request, tmp_path, monkeypatch):
    """The setting that the page shows for the file that it shows, which lies where it may lie."""
    section = PAGE.read_text().partition("## A loss term\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    in_the_room, on_the_path = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    if request.param == "in the room":
        (tmp_path / "agreement.py").write_text(code)
        monkeypatch.setattr(losses, "__path__", [*losses.__path__, str(tmp_path)])
        yield OmegaConf.create(in_the_room)
    else:
        (tmp_path / "my_losses.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        yield OmegaConf.create(on_the_path)
    for name in (f"{losses.__name__}.agreement", "my_losses"):
        sys.modules.pop(name, None)
    vars(losses).pop("agreement", None)


def scene():
    torch.manual_seed(0)
    size = (1, 2, 8, 8)
    depth = torch.rand(size) + 1
    mask = torch.ones(size, dtype=torch.bool)
    mask[..., 0] = False
    poses = torch.rand(1, 2, 9)
    points = torch.rand(*size, 3).requires_grad_()
    prediction = Prediction(
        pose_enc=poses,
        pose_enc_list=[poses],
        depth=torch.rand(*size, 1) + 1,
        depth_conf=torch.ones(size) * 2,
        local_points=points,
    )
    truth = GroundTruth(
        world_to_cam=torch.eye(4)[:3].expand(1, 2, 3, 4).clone(),
        intrinsics=torch.eye(3).expand(1, 2, 3, 3).clone(),
        depth=depth,
        local_points=torch.rand(*size, 3),
        mask=mask,
        scale=torch.ones(1),
        normals=torch.ones(1, dtype=torch.bool),
    )
    return prediction, truth


def test_the_term_of_the_docs_is_added_to_the_total(term_of_the_docs):
    (weights,) = (term_of_the_docs.stage.loss.extra,)
    ((path, weight),) = weights.items()
    prediction, truth = scene()
    without = ReconstructionLoss(LossConfig())(prediction, truth)
    terms = ReconstructionLoss(LossConfig(extra={path: weight}))(prediction, truth)
    name = path.rpartition(".")[2]
    assert terms[name] > 0
    torch.testing.assert_close(terms["total"], without["total"] + weight * terms[name])
    (gradient,) = torch.autograd.grad(terms[name], prediction.local_points)
    assert gradient.abs().sum() > 0
    assert (gradient[..., 0, :] == 0).all()  # nothing is known there


def test_one_line_of_yaml_or_of_the_command_is_enough(term_of_the_docs, tmp_path):
    (tmp_path / "stage").mkdir()
    head = "# @package _global_\ndefaults: [demo@_global_.stage]\n"
    (tmp_path / "stage" / "mine.yaml").write_text(head + OmegaConf.to_yaml(term_of_the_docs))
    expected = OmegaConf.to_container(term_of_the_docs)["stage"]["loss"]["extra"]
    assert compose(["stage=mine"], str(tmp_path)).stage.loss.extra == expected
    assert compose(["+stage.loss.extra={my_losses.other: 0.5}"]).stage.loss.extra == {"my_losses.other": 0.5}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no_such_module.term", "No module named 'no_such_module'"),
        ("zipmap_pl.losses.depth.no_such_term", "no_such_term"),
        ("term", r"expected the name of a file in zipmap_pl/losses/ with a function of this name, or module.function"),
        ("depth", "has no attribute 'depth'"),
        ("zipmap_pl.losses.safety.LIMIT", "is no function"),
        ("tests_of_extra_terms.points", "a term 'points' is there already"),
    ],
)
def test_a_term_that_is_none_is_told(path, reason, tmp_path, monkeypatch):
    (tmp_path / "tests_of_extra_terms.py").write_text("def points(prediction, truth):\n    return 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=reason) as found:
        ReconstructionLoss(LossConfig(extra={path: 1.0}))
    assert path in str(found.value)
