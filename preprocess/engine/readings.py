"""Which reading of a dataset fits best: depth and cameras as they are read, and with one mistake undone at a time.

Absolute limits cannot tell a mistake that shows little from noise. Readings of the same frames can be compared with each
other, at a tolerance as fine as the data allow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from zipmap_pl.datasets.inspection.agreement import LEAST_COMPARED, DepthView, compare, thinned
from zipmap_pl.geometry import exact_cameras as cameras
from zipmap_pl.preprocess.engine.mistakes import MISTAKES, OTHER_UNITS, RAY_LENGTHS, Change, Reading, other_units
from zipmap_pl.preprocess.engine.scene_checks import PAIRS, KeptView, chosen_pairs, compare_kept

AS_IT_IS: Final = "as it is"
BETTER: Final = 0.05  # share of the pixels by which another reading must agree better, or worse, to say something
PIXELS = 4096  # of a frame that are compared
TOLERANCE = 1.5  # in medians of the reading that fits best ...
FINEST, COARSEST = 0.002, 0.05  # ... but at least and at most this: raw depth has steps of 0.1 %
SEEN_BY_FEW = 0.1  # of the pixels that the others compare: a reading with less has frames that do not see the same
# Factors of the depth that are tried: from a thousandth to a thousandfold, in steps of 29 %, but not 1.
FACTORS = np.array([factor for factor in 10.0 ** (np.arange(-27, 28) / 9) if factor != 1])
FINER = np.exp(np.linspace(-0.12, 0.12, 13))  # around the best of them
FEWER_PAIRS, FEWER_PIXELS = 4, 1024  # that are compared to find the factor

Frames = Mapping[int, Reading]  # by ordinal


@dataclass(frozen=True)
class Fit:
    """How well one reading of a scene fits.

    Attributes:
        name: of the mistake that is undone, or of the reader's own alternative.
        share: share of the pixels that agree within the tolerance; None if too few could be compared.
        median: of the relative differences; NaN likewise.
        note: more about the reading.
    """

    name: str
    share: float | None
    median: float
    note: str = ""


@dataclass(frozen=True)
class SceneTable:
    """All readings of a scene, the first as it is.

    Attributes:
        tolerance: relative difference within which a pixel agrees.
        fits: of the readings.
        in_place: share of the first, had the cameras only turned. Another reading of poses or units that is no better than
            this fits because it makes motion small: of positions that are hardly more than noise, or along walls.
    """

    tolerance: float
    fits: tuple[Fit, ...]
    in_place: float = 0.0

    def gain(self, place: int) -> float:
        """By how much the share of a reading is larger than that of the first; 0 if that cannot be told."""
        own, other = self.fits[0].share or 0.0, self.fits[place].share
        if other is None:
            return 0.0
        if self.fits[place].name == RAY_LENGTHS.name:
            return other - own
        return min(other - own, max(0.0, other - self.in_place))


def table_of(frames: Frames, alternatives: Mapping[str, Frames]) -> SceneTable:
    """Compare the readings of a scene.

    Args:
        frames: the frames as they are read.
        alternatives: the same frames, read in other ways that the dataset's reader offers.
    """
    readings: dict[str, Frames] = {AS_IT_IS: frames}
    readings |= {m.name: _all(frames, m.undo) for m in MISTAKES} | dict(alternatives)
    views = {name: {place: _view(frame) for place, frame in found.items()} for name, found in readings.items()}
    pairs = sorted({pair for kept in views.values() for pair in _pairs(kept)})
    factor = _best_factor(views[AS_IT_IS], pairs)
    views[OTHER_UNITS.name] = {place: _view(frame) for place, frame in _all(frames, other_units(factor)).items()}
    differences = {name: _differences(kept, pairs) for name, kept in views.items()}
    least = max(LEAST_COMPARED, SEEN_BY_FEW * max(map(len, differences.values())))
    differences = {name: found if len(found) >= least else np.zeros(0) for name, found in differences.items()}
    medians = {name: float(np.median(found)) if found.size else np.nan for name, found in differences.items()}
    known = [median for median in medians.values() if median == median]
    tolerance = float(np.clip(TOLERANCE * min(known, default=np.inf), FINEST, COARSEST))
    in_place = _differences({place: _view(_turned_only(frame)) for place, frame in frames.items()}, pairs)
    fits = [
        Fit(name, float(np.mean(found <= tolerance)) if found.size else None, medians[name])
        for name, found in differences.items()
    ]
    note = f"depth x {factor:.3g}"
    noted = tuple(replace(f, note=note) if f.name == OTHER_UNITS.name else f for f in fits)
    return SceneTable(tolerance, noted, float(np.mean(in_place <= tolerance)) if len(in_place) >= least else 0.0)


def _turned_only(frame: Reading) -> Reading:
    return replace(frame, cam_to_world=frame.cam_to_world * np.array((1, 1, 1, 0)) + np.diag((0, 0, 0, 1)))


def _all(frames: Frames, change: Change) -> Frames:
    return {place: change(frame) for place, frame in frames.items()}


def _view(frame: Reading) -> KeptView:
    matrix, depth = frame.intrinsics, frame.depth
    intrinsics = np.array((matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]))
    known = depth > 0
    median = float(np.median(depth[known])) if known.any() else 1.0
    view = DepthView(depth, intrinsics, cameras.invert_rigid(frame.cam_to_world))
    return KeptView(view, median, float(known.mean()))


def _pairs(kept: Mapping[int, KeptView]) -> list[tuple[int, int]]:
    """Pairs that the poses of a reading choose, among frames with depth."""
    ordinals = sorted(place for place, frame in kept.items() if frame.known > 0)
    starts = {ordinals[k * (len(ordinals) - 1) // (PAIRS - 1)] for k in range(PAIRS)} if ordinals else set()
    return chosen_pairs({place: kept[place] for place in ordinals}, sorted(starts))


def _differences(kept: Mapping[int, KeptView], pairs: list[tuple[int, int]]) -> np.ndarray:
    """Relative differences of all pixels of the pairs that are there."""
    there = [(one, two) for one, two in pairs if one in kept and two in kept]
    found = [compare_kept(kept[one], kept[two], PIXELS)[0] for one, two in there]
    return np.concatenate([np.zeros(0), *found])


def _best_factor(kept: Mapping[int, KeptView], pairs: list[tuple[int, int]]) -> float:
    """The factor of the depth, far from 1, with which the frames agree best."""
    few = [pair for pair in pairs if pair[0] in kept and pair[1] in kept]
    few = few[:: -(-len(few) // FEWER_PAIRS) or 1]
    views = [(thinned(kept[one].view, FEWER_PIXELS), kept[two].view) for one, two in few]

    def median(factor: float) -> float:
        scaled = [[replace(view, depth=view.depth * np.float32(factor)) for view in pair] for pair in views]
        found = np.concatenate([np.zeros(0), *[compare(*pair)[0] for pair in scaled]])
        return float(np.median(found)) if len(found) >= LEAST_COMPARED else np.inf

    best = min(FACTORS.tolist(), key=median)
    return min((best * FINER).tolist(), key=median)
