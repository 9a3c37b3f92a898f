"""Looks at the checks of scenes while a run writes them: warns at the first that disagree, stops when most do."""

import logging
from pathlib import Path

from zipmap_pl.datasets.format.shard_index import ShardIndex
from zipmap_pl.datasets.inspection.agreement import FEW, Agreement, written_agreements
from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.engine.plan import Plan
from zipmap_pl.preprocess.engine.scene_checks import PairCheck, scene_agreements

log = logging.getLogger(__name__)

FIRST_SCENES = 10  # that are compared before a run is stopped ...
MOST = 0.5  # ... because this share of the scenes disagrees


class Disagreement(UserError):
    """Depth and cameras disagree in most scenes: the raw data are probably misread. The command ends with status 3."""


class Watch:
    """Warns once, when more than a few scenes disagree; stops a run in which most of ten scenes or more do.

    Args:
        output: the dataset folder.
        plan: its plan.
        accepted: neither warn nor stop.
    """

    def __init__(self, output: Path, plan: Plan, accepted: bool) -> None:
        self._output, self._plan, self._accepted = output, plan, accepted
        self._pairs: list[PairCheck] = []
        self._warned = False

    def see(self, pairs: list[PairCheck]) -> None:
        """Pairs of one more shard. Raises Disagreement."""
        self._pairs += pairs
        if self._accepted:
            return
        found = self._agreements()
        wrong = [scene for scene, agreement in found.items() if agreement.disagrees]
        if len(wrong) > FEW * len(found) and not self._warned:
            self._warned = True
            name = self._plan.scenes[wrong[0]].name
            log.warning("%s: scene %s: %s", self._output, name, _warning(found[wrong[0]]))
        if len(found) >= FIRST_SCENES and len(wrong) >= MOST * len(found):
            raise Disagreement(
                f"{self._output}: depth and cameras disagree in {len(wrong)} of the first {len(found)} scenes; stopped."
                " `--check` in place of `--output DIR` looks for the mistake; with --yes the same command goes on"
            )

    def result(self) -> tuple[tuple[str, ...], int]:
        """Names of the scenes that disagree, and the number of those that were compared."""
        found = self._agreements()
        wrong = (scene for scene, agreement in found.items() if agreement.disagrees)
        return tuple(self._plan.scenes[scene].name for scene in wrong), len(found)

    def _agreements(self) -> dict[int, Agreement]:
        dataset = self._plan.settings["dataset"]
        return scene_agreements(self._pairs, dataset["kind"], dataset["source"])


def result_of(output: Path) -> tuple[tuple[str, ...], int]:
    """The same of a complete dataset, from its index."""
    index = ShardIndex.open(output)
    found = list(written_agreements(index))
    wrong = tuple(index.text("scene.name", scene) for scene, agreement in enumerate(found) if agreement.disagrees)
    return wrong, sum(agreement.checked for agreement in found)


def _warning(agreement: Agreement) -> str:
    if agreement.median_relative > agreement.rule.largest_median:
        what = f"half of the depth is more than {agreement.median_relative:.0%} off what is there (right data: 1 %)"
    else:
        what = f"only {agreement.good_share:.0%} of the depth is within {agreement.rule.within:.0%} of what is there"
        what += " (right data: 90 %)"
    return (
        f"depth and cameras DISAGREE: warped into other frames, {what}. A wrong axis, pose direction, depth unit or focal"
        " length?"
    )
