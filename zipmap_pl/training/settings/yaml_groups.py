"""Check a user's YAML groups before they are read and resolved: what would expand without end takes neither time nor memory."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from zipmap_pl.errors import UserError

LARGEST = 100_000  # values in a file with its aliases written out; the largest of ours has some hundred
LARGEST_BYTES = 10_000_000
LARGEST_VALUE = 1000  # interpolations that one value leads to, directly or through others
DEEPEST = 50  # interpolations, each inside of the next one
INTERPOLATION = re.compile(r"\$\{(\.*)([^${}:]+)\}")  # dots: relative to the block; those with a colon call a resolver


def check_groups(folder: Path, groups: tuple[str, ...]) -> None:
    """Raise UserError for a YAML file of the folder whose aliases refer to themselves or expand beyond all bounds.

    Args:
        folder: with the groups as subfolders, and perhaps files at its top.
        groups: names of the subfolders.

    Files that cannot be read are left to whoever reads them, who says more.
    """
    files = [*folder.glob("*.yaml"), *(file for group in groups for file in (folder / group).rglob("*.yaml"))]
    for file in files:
        if not file.is_file():
            continue
        if file.stat().st_size > LARGEST_BYTES:
            raise UserError(f"{file}: {file.stat().st_size:,} bytes, expected settings of at most {LARGEST_BYTES:,}")
        try:
            root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except (yaml.YAMLError, UnicodeDecodeError, OSError):
            continue
        except RecursionError:
            raise UserError(f"{file}: blocks inside of blocks without end, expected settings") from None
        if root is not None:
            _check_size(root, file)
            if file.parent != folder and root.tag != "tag:yaml.org,2002:map":
                raise UserError(f"{file}: holds no block of settings, expected lines KEY: VALUE")


def _check_size(root: yaml.Node, file: Path) -> None:
    """Count what a node expands to, each once, children first."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()
    stack: list[tuple[yaml.Node, bool]] = [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            open_nodes.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child in _children(node))
            if sizes[id(node)] > LARGEST:
                raise UserError(
                    f"{file}, line {node.start_mark.line + 1}: its aliases (*name) expand to more than {LARGEST:,} values; "
                    "write out what is meant"
                )
        elif id(node) in open_nodes:
            raise UserError(
                f"{file}, line {node.start_mark.line + 1}: a block contains itself through an alias (*name)"
            )
        elif id(node) not in sizes:
            open_nodes.add(id(node))
            stack.append((node, True))
            stack.extend((child, False) for child in _children(node))


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def check_interpolations(values: dict[str, Any]) -> None:
    """Raise UserError for a setting whose interpolations (`${key}`) lead to very many others.

    values: composed settings, not resolved. Interpolations that go round in a circle are left to OmegaConf.
    """
    _Interpolations(dict(_leaves(values, ""))).check()


class _Interpolations:
    """How many interpolations each setting leads to; each is counted once."""

    def __init__(self, leaves: dict[str, str]) -> None:
        self._leaves = leaves
        self._counts: dict[str, int] = {}

    def check(self) -> None:
        for key in self._leaves:
            self._count(key, 0)

    def _count(self, key: str, depth: int) -> int:
        if key in self._counts:
            return self._counts[key]
        self._counts[key] = 0  # of a circle
        below = [key] if key in self._leaves else [leaf for leaf in self._leaves if leaf.startswith(f"{key}.")]
        count = sum(1 + self._count(other, depth + 1) for leaf in below for other in self._named_in(leaf))
        if count > LARGEST_VALUE or depth > DEEPEST:
            raise UserError(
                f"settings: {key} leads to too many interpolations (${{...}}), each to others; write out what is meant"
            )
        self._counts[key] = count
        return count

    def _named_in(self, leaf: str) -> list[str]:
        """The keys that a setting's value names."""
        parts = leaf.split(".")
        found = INTERPOLATION.findall(self._leaves[leaf])
        return [".".join([*(parts[: max(0, len(parts) - len(dots))] if dots else []), name]) for dots, name in found]


def _leaves(values: Any, key: str) -> Iterator[tuple[str, str]]:
    """Dotted key and text of every value with an interpolation."""
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(values, list):
        for number, value in enumerate(values):
            yield from _leaves(value, f"{key}.{number}")
    elif isinstance(values, str) and "${" in values:
        yield key, values
