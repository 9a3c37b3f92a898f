"""Files that people name by patterns: what the first * of a pattern stands for is the frame's name."""

import os
import re
from pathlib import Path

from zipmap_pl.errors import UserError


def match_files(folder: Path, pattern: str) -> dict[str, Path]:
    """Files below `folder` that fit `pattern`, by what the first * of the pattern stands for.

    Names with a leading dot (macOS writes `._NAME` next to every file of some disks) fit only patterns that begin with one.

    Raises:
        UserError: two files fit the same frame.
    """
    below, name = os.path.split(pattern)
    before, *rest = name.split("*")
    expression = re.compile(
        re.escape(before) + "(.*?)" + ".*".join(map(re.escape, rest)) if rest else re.escape(before) + "()", re.DOTALL
    )
    found: dict[str, Path] = {}
    try:
        entries = sorted(entry.name for entry in os.scandir(folder / below) if entry.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    for entry in entries:
        match = None if entry.startswith(".") and not name.startswith(".") else expression.fullmatch(entry)
        if match and found.setdefault(match.group(1), folder / below / entry).name != entry:
            raise UserError(
                f"{folder / below / entry}: {found[match.group(1)].name} fits {pattern} for the same frame; remove one"
            )
    return found
