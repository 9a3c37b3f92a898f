"""Stage 1 starts from VGGT-1B: what both models have is copied, softmax attention becomes the model's scene mixer."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from zipmap_pl.checkpoints.layout import require_fit
from zipmap_pl.checkpoints.published import PUBLISHED_TERMS
from zipmap_pl.checkpoints.recognition import VGGT_HEADS
from zipmap_pl.models.heads import table
from zipmap_pl.models.mixers.scene_mixer import SceneMixer
from zipmap_pl.models.zipmap import ZipMap

SCENE_BLOCK = r"(?P<block>aggregator\.global_blocks\.\d+\.)"
DROPPED = re.compile(SCENE_BLOCK + r"attn\.[qk]_norm\.|" + "|".join(f"{head}\\." for head in VGGT_HEADS))

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What became of every tensor, by key.

    Attributes:
        copied: from the same key of VGGT.
        remapped: key of ours -> key of VGGT.
        fresh: left as the model had them.
        dropped: of VGGT, not used.
    """

    copied: list[str]
    remapped: dict[str, str]
    fresh: list[str]
    dropped: list[str]

    def __str__(self) -> str:
        return (
            f"{len(self.copied)} tensors copied, {len(self.remapped)} remapped from softmax attention, "
            f"{len(self.fresh)} left fresh, {len(self.dropped)} of VGGT not used"
        )


def start_from_vggt(model: ZipMap, state_dict: Mapping[str, Tensor]) -> Report:
    """Fill a model from VGGT's tensors (plain keys, as `read_published(...).weights` has them) and log what was done.

    Nothing is changed unless every tensor of the model is found or known to start fresh, and every tensor of VGGT is
    used or known to have no place (its point and track heads, the norms of its global queries and keys).

    Raises:
        UserError: other tensors are missing, not known or of another shape.
    """
    own = model.state_dict()
    kind = model.config.mixer_kind
    sources = {key: _source_of(key, kind) for key in own}
    used = {key: source for key, source in sources.items() if source in state_dict or not _may_be_fresh(key, source)}
    dropped = [key for key in state_dict.keys() - set(used.values()) if DROPPED.match(key)]
    require_fit(
        {source: own[key] for key, source in used.items()},
        {key: tensor for key, tensor in state_dict.items() if key not in dropped},
        "VGGT weights",
        "expected VGGT-1B and a model of its size (model=zipmap)",
    )
    with torch.no_grad():
        for key, source in used.items():
            own[key].copy_(state_dict[source])
    report = Report(
        copied=[key for key, source in used.items() if key == source],
        remapped={key: source for key, source in used.items() if key != source},
        fresh=[key for key in own if key not in used],
        dropped=sorted(dropped),
    )
    model.terms = PUBLISHED_TERMS
    log.info("start from VGGT: %s", report)
    log.warning("VGGT weights: %s", PUBLISHED_TERMS)
    return report


def _source_of(key: str, kind: type[SceneMixer]) -> str:
    """Where VGGT has the tensor for a key of ours; "" where it has none."""
    inside = re.match(rf"{SCENE_BLOCK}{re.escape(kind.key)}\.(?P<module>\w+)(?P<rest>.*)", key)
    if inside is None:
        return key
    source = kind.from_attention.get(inside["module"])
    return f"{inside['block']}attn.{source}{inside['rest']}" if source else ""


def _may_be_fresh(key: str, source: str) -> bool:
    """Return True for parts of the mixer that attention has nothing for, and for heads that can be turned off."""
    optional = tuple(f"{row.key}." for row in table.DENSE_HEADS if row.switch and row.looks_at == table.IMAGES)
    return not source or key.startswith(optional)
