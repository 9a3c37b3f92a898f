"""The reader of CO3Dv2."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.convert.axes import pytorch3d_camera
from zipmap_pl.preprocess.formats.pictures import read_depth_png, read_picture
from zipmap_pl.preprocess.formats.png_layers import read_half_png
from zipmap_pl.preprocess.formats.pytorch3d import Annotation, annotations_of, kept_frames
from zipmap_pl.preprocess.formats.sources import Source, find_folders, join, parent
from zipmap_pl.preprocess.kept import KeptTable
from zipmap_pl.preprocess.options import names, option, raw_folder, settings_of
from zipmap_pl.preprocess.raw import DatasetInfo, LeftOut, RawCamera, RawFault, RawFrame, RawScene
from zipmap_pl.preprocess.zoo.co3dv2.lists import (
    first,
    frames_of,
    good_sequences,
    listed_images,
    needed,
    scene_of,
)

log = logging.getLogger(__name__)

SEEN = names(
    "apple,backpack,banana,baseballbat,baseballglove,bench,bicycle,bottle,bowl,broccoli,cake,car,carrot,cellphone,chair,cup,donut,"
    "hairdryer,handbag,hydrant,keyboard,laptop,microwave,motorcycle,mouse,orange,parkingmeter,pizza,plant,stopsign,teddybear,"
    "toaster,toilet,toybus,toyplane,toytrain,toytruck,tv,umbrella,vase,wineglass"
)
UNSEEN = names("ball,book,couch,frisbee,hotdog,kite,remote,sandwich,skateboard,suitcase")
CATEGORY = re.compile(rf".*/({'|'.join(sorted(SEEN + UNSEEN))})")
FRAMES, SEQUENCES = "frame_annotations.jgz", "sequence_annotations.jgz"
LISTS = tuple(f"set_lists/set_lists_{subset}.json" for subset in ("fewview_train", "fewview_dev"))
PROCESSED = ("selected_seqs_train.json", "selected_seqs_test.json")  # of CUT3R's and DUSt3R's form
NO_DEPTH = "no pixel has a depth that several views agree on"

INFO = DatasetInfo(
    slug="co3dv2",
    title="Common Objects in 3D, version 2",
    licence="CC BY-NC 4.0; no registration",
    kind="static",
    source="real",
    metres_per_raw_unit=None,
    url="https://github.com/facebookresearch/co3d",
    commercial=False,
    raw_size="5.5 TB",
)


def categories(text: str) -> tuple[str, ...]:
    """`parse` of --categories: names, or "all"."""
    chosen = tuple(sorted(SEEN + UNSEEN)) if text == "all" else names(text)
    if unknown := sorted(set(chosen) - {*SEEN, *UNSEEN}):
        raise UserError(
            f"--categories: {', '.join(unknown)}: expected all, or some of {', '.join(sorted(SEEN + UNSEEN))}"
        )
    return chosen


@dataclass(frozen=True)
class Co3d:
    """The reader.

    Attributes:
        raw: folder of the raw data.
        categories: which are read.
    """

    raw: Path = raw_folder("folder of categories, unpacked or in the zips as downloaded")
    categories: tuple[str, ...] = option(
        SEEN,
        "which are read (default: the 41 that the published training uses; all: the other ten, too)",
        metavar="NAME,NAME",
        parse=categories,
        recorded=sorted,
    )

    @property
    def info(self) -> DatasetInfo:
        """What is true of the whole dataset."""
        return INFO

    def settings(self) -> dict[str, object]:
        """Which categories."""
        return settings_of(self)

    def containers(self) -> list[KeptTable]:
        """The frames of each category."""
        files = (first(self._places(category), FRAMES) for category in self._found())
        return [kept_frames(file) for file in files if file is not None]

    def scenes(self) -> list[RawScene]:
        """One scene per sequence, sorted by name. Raises UserError if there are none."""
        found = self._found()
        tops = tuple(parent(place) for name in found for place in self._places(name))
        if (processed := first(tops, *PROCESSED)) is not None:
            raise UserError(f"{processed}: belongs to a processed form, whose depth is another; give CO3Dv2 itself")
        if not found:
            raise UserError(f"{self.raw}: no category of --categories, such as apple, in folders or zips")
        unreadable = find_folders(self.raw, CATEGORY).unreadable
        return [*(scene for name in found for scene in self._scenes(name)), *unreadable]

    def camera(self, scene: RawScene, frame: str) -> RawCamera:
        """The camera: the middle of the first pixel is (0.5, 0.5), as PyTorch3D's own functions have it."""
        return self._camera(self._annotation(scene, frame), scene)

    def frame(self, scene: RawScene, frame: str) -> RawFrame:
        """The whole frame. All of its files are decoded before it is passed over: one that cannot be is damage."""
        annotation = self._annotation(scene, frame)
        image, jpeg = read_picture(file := self._file(scene, annotation.image))
        if image.shape[:2] != annotation.size:
            (height, width), there = annotation.size, f"{image.shape[1]}x{image.shape[0]}"
            raise RawFault(file, f"image is {there}, but its entry in {FRAMES} says {width}x{height}")
        depth = self._depth(scene, annotation)
        seen = read_depth_png(self._file(scene, annotation.mask)) > 0.4 * 255 if annotation.mask else None
        camera = self._camera(annotation, scene)
        if depth is None or not (depth > 0).any():
            raise RawFault(file, NO_DEPTH, usual=True)
        return RawFrame(camera, image, jpeg, depth, object=seen)

    def _depth(self, scene: RawScene, annotation: Annotation) -> np.ndarray | None:
        """Depth [H, W] float32 where several views agree, else 0; None if the list names none."""
        if not annotation.depth or not annotation.depth_mask:
            return None
        depth = read_half_png(self._file(scene, annotation.depth)) * np.float32(annotation.scale)
        agreed = read_depth_png(mask := self._file(scene, annotation.depth_mask)) > 127
        if agreed.shape != depth.shape:
            raise RawFault(
                mask, f"mask is {agreed.shape[1]}x{agreed.shape[0]}, depth {depth.shape[1]}x{depth.shape[0]}"
            )
        return np.where(agreed & np.isfinite(depth), depth, np.float32(0))

    def _camera(self, annotation: Annotation, scene: RawScene) -> RawCamera:
        file = self._file(scene, annotation.image)
        if not annotation.has_viewpoint:
            raise RawFault(file, "has no camera", usual=True)
        view = annotation.rotation, annotation.translation, annotation.focal, annotation.principal_point
        return RawCamera(*pytorch3d_camera(*view, annotation.size, annotation.unit), file)

    def _scenes(self, category: str) -> Iterator[RawScene]:
        """The sequences of a category, and what of it cannot be read."""
        places = self._places(category)
        try:
            file = needed(places, FRAMES)
            frames, good = annotations_of(file), good_sequences(needed(places, SEQUENCES))
            listed = listed_images(needed(places, *LISTS))
        except RawFault as fault:
            yield RawScene(category, "train", (), (LeftOut(fault.file, fault.reason),))
            return
        chosen = sorted(good & listed.keys())
        log.info(
            "%s: %d sequences for training have good cameras, %d have not",
            places[0],
            len(chosen),
            len(listed) - len(chosen),
        )
        lost = (LeftOut(str(file), frames.unnamed),) if frames.unnamed else ()
        for sequence in chosen:
            scene = scene_of(f"{category}/{sequence}", frames.frames(sequence), listed[sequence], file)
            yield replace(scene, left_out=lost + scene.left_out)
            lost = ()

    def _found(self) -> list[str]:
        """Names of the categories that are there and chosen."""
        return [name for name in find_folders(self.raw, CATEGORY).places if name in self.categories]

    def _places(self, category: str) -> tuple[Source, ...]:
        return find_folders(self.raw, CATEGORY).places.get(category, ())

    def _annotation(self, scene: RawScene, frame: str) -> Annotation:
        category, sequence = scene.name.split("/")
        file = needed(self._places(category), FRAMES)
        annotation = frames_of(file, sequence).get(frame)
        if annotation is None:
            raise RawFault(file, f"holds no frame {frame} of {sequence}")
        if annotation.fault:
            raise RawFault(file, annotation.fault)
        return annotation

    def _file(self, scene: RawScene, path: str) -> Source:
        """The file of a path that a list tells, in the folder or zip that has it."""
        tops = tuple(parent(place) for place in self._places(scene.name.split("/")[0]))
        if not tops:
            raise RawFault(self.raw / path, "missing")
        return first(tops, path) or join(tops[0], path)


READER = Co3d
