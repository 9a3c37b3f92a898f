"""The lists of a category of CO3Dv2: its frames (kept as a table), the sequences with good cameras, the images for training."""

from functools import lru_cache
from pathlib import PurePosixPath

import numpy as np

from zipmap_pl.preprocess.formats.json_files import read_json
from zipmap_pl.preprocess.formats.json_lists import stream
from zipmap_pl.preprocess.formats.pytorch3d import Annotation, annotations_of
from zipmap_pl.preprocess.formats.sources import Source, places_of
from zipmap_pl.preprocess.raw import LeftOut, RawFault, RawScene

QUALITY = 0.5
FARTHEST = 1e5


def first(places: tuple[Source, ...], *names: str) -> Source | None:
    """The first of these files, in the order of the names, that one of the folders has."""
    return next((file for name in names for file in places_of(places, name)), None)


def needed(places: tuple[Source, ...], *names: str) -> Source:
    """The same of files that a category must have. Raises RawFault."""
    file = first(places, *names)
    if file is None:
        raise RawFault(f"{places[0] if places else '.'}/{names[0]}", "missing")
    return file


@lru_cache(maxsize=4)
def frames_of(file: Source, sequence: str) -> dict[str, Annotation]:
    """The frames of a sequence by the name of their image."""
    return {PurePosixPath(frame.image).stem: frame for frame in annotations_of(file).frames(sequence)}


def good_sequences(file: Source) -> set[str]:
    """The sequences whose cameras are good."""
    found = {str(entry.get("sequence_name")): entry.get("viewpoint_quality_score") for entry in stream(file)}
    return {name for name, score in found.items() if isinstance(score, (int, float)) and score > QUALITY}


def listed_images(file: Source) -> dict[str, set[str]]:
    """The paths of the images for training of each sequence."""
    entries = read_json(file).get("train")
    if not isinstance(entries, list):
        raise RawFault(file, "has no list train")
    listed: dict[str, set[str]] = {}
    for entry in entries:
        if not isinstance(entry, list) or [type(value) for value in entry] != [str, int, str]:
            raise RawFault(file, f"train holds {str(entry)[:60]}, expected sequence, frame number and path")
        listed.setdefault(entry[0], set()).add(entry[2])
    return listed


def scene_of(name: str, frames: list[Annotation], listed: set[str], file: Source) -> RawScene:
    """A sequence; without frames if its reconstruction failed."""
    chosen = [frame for frame in frames if frame.image in listed]
    if any(np.abs(frame.translation).sum() > FARTHEST for frame in chosen):
        return RawScene(
            name,
            "train",
            (),
            (LeftOut(str(file), f"a camera of {name} is nowhere, or further away than {FARTHEST:g}"),),
        )
    stems = dict.fromkeys(PurePosixPath(frame.image).stem for frame in chosen)
    left_out = (
        () if stems else (LeftOut(str(file), f"holds no frame of {name}, which the list of frames for training names"),)
    )
    return RawScene(name, "train", tuple(stems), left_out)
