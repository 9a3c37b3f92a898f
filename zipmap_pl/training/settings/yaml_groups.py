"""Check a user's folder of YAML groups before Hydra reads it: what would expand without end takes neither time nor memory."""

from pathlib import Path

import yaml

from zipmap_pl.errors import UserError

LARGEST = 100_000  # values in a file with its aliases written out; the largest of ours has some hundred
LARGEST_BYTES = 10_000_000


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
