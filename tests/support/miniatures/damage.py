"""The vocabulary of damages: a raw file of a miniature, what is lost with it, and the usual ways to spoil it.

    PICTURE = Target("a/000004.png", scene="a", frames=("000004",))
    damages = (*picture_damages(PICTURE), POSES.damage("pose nan", spoil.line(5, "0 nan 0"), "pose holds nan"))

Damages marked `rare` go through code that other datasets and the tests of `formats` go through as well, so the suite runs them
in `make test-long` only.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from miniatures import spoil
from miniatures.contract import Damage, Expected
from miniatures.spoil import Harm


@dataclass(frozen=True)
class Target:
    """A file (or folder) of a miniature that damages spoil.

    Attributes:
        file: its path below the raw folder.
        scene: the scene that the damage is reported for.
        frames: of the scene, that are lost with the file.
        scenes: that are lost as a whole.
        blamed: end of the path that is reported, where it is not `file`.
    """

    file: str
    scene: str
    frames: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()
    blamed: str = ""

    def damage(self, kind: str, harm: Harm, reason: str, **changes: object) -> Damage:
        """Spoil the file; it is reported once, for a reason that holds this expression. `changes` are of this target."""
        told = replace(self, **changes)

        def spoil_it(raw: Path) -> list[Expected]:
            harm(raw / self.file)
            return [Expected(told.scene, told.blamed or told.file, reason, told.frames, told.scenes)]

        return Damage(kind, spoil_it)

    def usual(self, word: str, unreadable: str) -> list[Damage]:
        """The file is missing or cut off; seldom empty, garbage, or a folder. Reported as `unreadable` where it is there."""
        return [
            self.damage(f"{word} missing", spoil.remove, "missing"),
            self.damage(f"{word} truncated", spoil.truncate, unreadable),
            *rare(
                self.damage(f"{word} empty", spoil.empty, "empty file"),
                self.damage(f"{word} garbage", spoil.garbage, unreadable),
                self.damage(f"{word} a folder", spoil.turn_into_folder, "is a folder"),
            ),
        ]


def rare(*damages: Damage) -> list[Damage]:
    """The same, run by `make test-long` only."""
    return [replace(damage, rare=True) for damage in damages]


def picture_damages(target: Target, word: str = "picture", unreadable: str = "unreadable picture") -> list[Damage]:
    """For a frame's picture, mask or depth, a JPEG or PNG."""
    damages = target.usual(word, unreadable)
    if target.file.endswith(".png"):
        damages += rare(target.damage(f"{word} with a lying header", spoil.lying_png_header, "promises 30000x30000"))
    return damages


def npy_damages(target: Target) -> list[Damage]:
    """For a frame's depth, a .npy of floats."""
    unreadable = "unreadable numpy file"
    as_objects = spoil.npy(lambda array: array.astype(object))
    as_integers = spoil.npy(lambda array: np.ones(array.shape, np.int16))
    return [
        *target.usual("depth", unreadable),
        target.damage("depth of another dtype", as_integers, "depth is int16"),
        *rare(
            target.damage("depth with a lying header", spoil.lying_npy_header, "its header promises"),
            target.damage("depth pickled", as_objects, unreadable),
        ),
    ]


def exr_damages(target: Target) -> list[Damage]:
    """For a frame's depth, an EXR with a channel Y."""
    return [
        target.damage("depth missing", spoil.remove, "missing"),
        target.damage("depth truncated", spoil.truncate, "unreadable EXR"),
        target.damage("depth without its channel", spoil.exr(Z=np.ones((36, 64), np.float32)), "has the channels Z"),
        *rare(
            target.damage("depth empty", spoil.empty, "empty file"),
            target.damage("depth garbage", spoil.garbage, "expected an EXR"),
            target.damage("depth a folder", spoil.turn_into_folder, "is a folder"),
            target.damage("depth with a lying header", spoil.lying_exr_header, "its header promises 30000x30000"),
        ),
    ]


def hdf5_damages(target: Target) -> list[Damage]:
    """For a frame's .hdf5 with an array "dataset" of floats."""
    as_integers = spoil.hdf5(lambda array: np.ones(array.shape, np.int16))
    renamed = spoil.hdf5_of(np.ones(3), "data")
    return [
        *target.usual("hdf5", "unreadable HDF5 file"),
        target.damage("hdf5 of another dtype", as_integers, "int16"),
        *rare(
            target.damage("hdf5 with a lying header", spoil.lying_hdf5_header, "its header promises"),
            target.damage("hdf5 that links", spoil.hdf5_that_links, "holds no 'dataset'"),
            target.damage("hdf5 kept elsewhere", spoil.hdf5_kept_elsewhere, "is kept in other files"),
            target.damage("hdf5 without its array", renamed, "holds no 'dataset'"),
        ),
    ]


def matrix_damages(target: Target, change: Callable[[Callable[[np.ndarray], np.ndarray]], Harm]) -> list[Damage]:
    """For a frame's pose, a matrix [4, 4]: `change` makes a harm that puts another matrix in its place."""

    def with_value(place: tuple[int, int], value: float) -> Harm:
        def put(matrix: np.ndarray) -> np.ndarray:
            matrix = np.array(matrix)
            matrix[place] = value
            return matrix

        return change(put)

    return [
        target.damage("pose nan", with_value((0, 3), np.nan), "pose holds nan"),
        target.damage("pose without rotation", change(lambda matrix: np.zeros((4, 4))), "pose is no rotation"),
        *rare(
            target.damage("pose -inf", with_value((1, 3), -np.inf), "pose holds -inf"),
            target.damage(
                "pose mirrored", change(lambda m: np.multiply(m, ((-1,), (1,), (1,), (1,)))), "determinant -1"
            ),
        ),
    ]


def member_damages(target: Target, archive: str) -> list[Damage]:
    """For a file in a zip: `target.file` is the member, `archive` the zip's path below the raw folder."""
    member, file = target.file, f"{archive}/{target.file}"

    def of(kind: str, harm: Callable[[Path, str], object], reason: str) -> Damage:
        return replace(target, file=archive).damage(kind, lambda path: harm(path, member), reason, blamed=file)

    outside = Target(archive, archive, blamed=f"../../{member}")
    return [
        of("unreadable archive member", spoil.flip_in_member, "unreadable in its archive"),
        *rare(
            of("duplicate archive members", spoil.add_member, "two members"),
            of("archive member a link", spoil.link_member, "is a link"),
            outside.damage(
                "archive member that leaves its folder",
                lambda path: spoil.add_member(path, f"../../{member}"),
                "leads out of its folder",
            ),
        ),
    ]


def found_twice(scene: str, copy: str, spoil_it: Harm, kind: str = "scene found twice", used: str = "") -> Damage:
    """Something is there a second time, at `copy` below the raw folder, which `spoil_it` (given the raw folder) makes."""
    reason = f"found twice; .*{used} is used" if used else "found twice"
    return Target(".", scene, blamed=copy).damage(kind, spoil_it, reason)


def unreadable_archive(archive: str, *more: Expected, scenes: tuple[str, ...] = ()) -> Damage:
    """A zip or tar is cut off: what it alone holds is lost, as `scenes` or as what `more` says."""

    def harm(raw: Path) -> list[Expected]:
        spoil.truncate(raw / archive)
        return [Expected(archive, archive, "unreadable (zip|tar)", lost_scenes=scenes), *more]

    return Damage("unreadable archive", harm)
