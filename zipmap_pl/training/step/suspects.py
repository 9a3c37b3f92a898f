"""Which scenes take part in steps whose numbers are not finite, again and again?"""

import logging
from collections import Counter
from collections.abc import Iterable

log = logging.getLogger(__name__)


class Suspects:
    """Counts, on this rank, how often a scene was in the part of a step that was not finite.

    A step that fails once says little, because the other scenes of its batch are suspects too; a scene is named from
    the second time on, at every doubling.
    """

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def add(self, step: int, scenes: Iterable[tuple[str, str]]) -> None:
        """Note the scenes (dataset, name) of a batch that was not finite."""
        for scene in set(scenes):
            self.counts[scene] += 1
            count = self.counts[scene]
            if count > 1 and count.bit_count() == 1:
                dataset, name = scene
                log.warning(
                    "step %d: scene %s of %s is in a step that is not finite for the %d. time; look at its depth and cameras",
                    step,
                    name,
                    dataset,
                    count,
                )
