"""Checks the text files it is given: they end with exactly one newline, and YAML and CFF files can be read."""

import sys
from pathlib import Path

import yaml


def faults(path: Path) -> list[str]:
    """One line for each thing that is wrong with a file; none if it is fine or empty."""
    text = path.read_text(encoding="utf-8")
    found = []
    if text and (not text.endswith("\n") or text.endswith("\n\n")):
        found.append(f"{path}: must end with exactly one newline")
    if path.suffix in {".yaml", ".yml", ".cff"}:
        try:
            yaml.safe_load(text)
        except yaml.YAMLError as error:
            found.append(f"{path}: not valid YAML: {' '.join(str(error).split())}")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(fault for name in sys.argv[1:] for fault in faults(Path(name))) or 0)
