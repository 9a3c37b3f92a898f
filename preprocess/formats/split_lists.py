"""Official splits as lists: a text for each, with a scene on every line."""

import re
from pathlib import Path

from zipmap_pl.errors import UserError


def read_split_lists(
    option: str, folder: Path, lists: dict[str, str], example: str, pattern: str | None = None
) -> dict[str, str]:
    """Split of each scene, of the lists in a folder.

    Args:
        option: that named the folder.
        folder: where the lists are; some may be missing.
        lists: split -> name of its list.
        example: of a scene's name.
        pattern: of names; None = they differ from the example in digits only.

    Raises:
        UserError: none is there, a line is no scene, or a scene is in two lists.
    """
    scene = re.compile(pattern or re.sub(r"\d", r"\\d", re.escape(example)), re.ASCII)
    splits: dict[str, str] = {}
    files = {split: folder / name for split, name in lists.items() if (folder / name).is_file()}
    if not files:
        raise UserError(f"{option} {folder}: holds none of {', '.join(lists.values())}")
    for split, file in files.items():
        for number, line in enumerate(file.read_text("utf-8-sig", "replace").splitlines(), start=1):
            name = line.strip()
            if name and not scene.fullmatch(name):
                raise UserError(f"{file}: line {number} is {name[:60]!r}, expected a scene like {example}")
            if name and splits.setdefault(name, split) != split:
                raise UserError(f"{file}: line {number}: {name} is also in {lists[splits[name]]}; expected in one list")
    return splits
