"""The reader of DL3DV-10K. The package's docstring describes the raw data."""

import hashlib
import logging
import posixpath
import re
from dataclasses import dataclass, replace
from pathlib import Path

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.formats.raw_file import read_listing
from zipmap_pl.preprocess.formats.sources import find_folders, found_twice, join
from zipmap_pl.preprocess.options import option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene
from zipmap_pl.preprocess.zoo.dl3dv.places import DENSE, DEPTH_MAPS, TRANSFORMS, Place, depth_folder, places_of

log = logging.getLogger(__name__)

HASH = r"[0-9a-f]{64}"
SCENE = re.compile(rf".*?/((?:\d+K/)?{HASH})")


def hashes_in(file: str) -> tuple[str, ...]:
    """The hashes that stand in a text, sorted. Raises UserError if there are none."""
    try:
        text = read_listing(Path(file)).decode("utf-8", "replace")
    except UserError as error:
        raise UserError(f"--test {error} with hashes of scenes") from error
    found = tuple(sorted(set(re.findall(HASH, text))))
    if not found:
        raise UserError(f"--test {file}: no hash of 64 digits in it; expected those of scenes")
    return found


INFO = DatasetInfo(
    slug="dl3dv",
    title="DL3DV-10K",
    licence="DL3DV-10K Terms of Use and CC BY-NC 4.0; access on request",
    kind="static",
    source="real",
    metres_per_raw_unit=None,
    url="https://github.com/DL3DV-10K/Dataset",
    commercial=False,
    raw_size="730 GB (480P), 2.8 TB (960P); plus 3 TB for the depth from CUT3R's authors",
)


@dataclass(frozen=True)
class DL3DV:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        depth: folder of depth; None = where the pictures are.
        test: hashes of the scenes that go into the split test, sorted.
    """

    raw: Path = raw_folder("folder of scenes, unpacked or zipped")
    depth: Path | None = option(
        None,
        "folder of depth (default: next to the pictures)",
        metavar="DIR",
        parse=Path,
        recorded=lambda depth: depth is not None,
    )
    test: tuple[str, ...] = option(
        (),
        "text with the hashes of scenes for the split test, as the benchmark's benchmark-meta.csv (default: none)",
        metavar="FILE",
        parse=hashes_in,
        recorded=lambda test: hashlib.sha256(" ".join(test).encode()).hexdigest()[:16] if test else None,
    )

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """Whether depth comes from another folder, and which scenes are for testing, as a hash."""
        return settings_of(self)

    def scenes(self) -> list[RawScene]:
        """Scenes sorted by name. Raises UserError if there are none."""
        found = find_folders(self.raw, SCENE)
        of_depth = None if self.depth is None else find_folders(self.depth, SCENE)
        if not self.test:
            log.warning("without --test, the scenes of the published benchmark are among those for training")
        scenes = [scene for name in found.places if (scene := self._scene(name)) is not None]
        usable = [scene.name for scene in scenes if scene.frames]
        scenes += found.unreadable
        if not usable:
            first = next((f" ({out.file}: {out.reason})" for scene in scenes for out in scene.left_out), "")
            text = f"no scene <subset>/<hash> with {TRANSFORMS} and pictures, with {DENSE}/rgb and {DENSE}/cam, or with"
            text += f" sparse and {DEPTH_MAPS}"
            raise UserError(f"{self.raw}: {text}, in folders or zips{first}")
        without = sum(not self._places(name)[0][0].has_depth for name in usable)
        if without:
            text = "%s: %d of %d scenes are without depth, which the published losses need"
            log.warning(text, self.raw, without, len(usable))
        if of_depth is not None:
            if without == len(usable):
                text = f"expected folders like {usable[0]}/depth, or {usable[0]}/{DENSE}/depth for the dense release"
                raise UserError(f"{self.depth}: no depth of any scene in it; {text}")
            scenes += (replace(scene, name=f"depth: {scene.name}") for scene in of_depth.unreadable)
        return scenes

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera; of the official download, for a picture of the size that its folder's name promises."""
        return self._place(scene.name).camera(frame)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame."""
        return self._place(scene.name).frame(frame)

    def _scene(self, name: str) -> RawScene | None:
        """None where folders of this name hold depth only."""
        folders = find_folders(self.raw, SCENE).places[name]
        split = "test" if posixpath.basename(name) in self.test else "train"
        places, left_out = self._places(name)
        if not places:
            if any(depth_folder(folders, dense) for dense in (False, True)):
                return None
            missing = LeftOut(str(join(folders[0], TRANSFORMS)), "missing")
            return RawScene(name, split, (), left_out or (missing,))
        left_out += tuple(found_twice(tuple(place.folder for place in places)))
        if self.depth is not None and not places[0].has_depth:
            left_out += (LeftOut(str(self.depth / name), "no depth; the scene is written without"),)
        try:
            frames, without_pose = places[0].frames()
        except RawFault as fault:
            return RawScene(name, split, (), (*left_out, LeftOut(fault.file, fault.reason)))
        return RawScene(name, split, frames, (*left_out, *without_pose))

    def _place(self, name: str) -> Place:
        """Where a scene is read from."""
        places, _ = self._places(name)
        if not places:
            raise RawFault(self.raw / name, "missing")
        return places[0]

    def _places(self, name: str) -> tuple[tuple[Place, ...], tuple[LeftOut, ...]]:
        """Where a scene could be read from, the best place first; and what cannot be read from where it is."""
        folders, depths = (find_folders(top, SCENE).places.get(name, ()) for top in (self.raw, self.depth or self.raw))
        return places_of(folders, depths)
