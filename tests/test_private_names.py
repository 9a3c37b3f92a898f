"""docs/private_names.md lists every private name of a library that our code uses, and nothing else.

How a private name is found: an import of it; an access to it as an attribute of something imported; an access by
`getattr` and its relatives; and every other `something._name` that neither the file nor the modules of ours that it
imports define. The last rule misses a library's name that one of these files happens to define, too.
"""

import ast
import importlib
import inspect
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs" / "private_names.md"
ROOTS = ["zipmap_pl", "datasets", "preprocess", "benchmarks", "tests", "train.py"]
DOCUMENTED = {"_exit", "_asdict", "_fields", "_field_defaults", "_make", "_replace"}  # Python's manual promises these
BY_NAME = {"getattr", "hasattr", "setattr", "delattr", "object"}  # object: mock.patch.object


def code() -> dict[str, ast.Module]:
    """The syntax tree of every file of ours, by its path in the checkout."""
    paths = [path for root in ROOTS for path in ([CHECKOUT / root] if "." in root else (CHECKOUT / root).rglob("*.py"))]
    return {path.relative_to(CHECKOUT).as_posix(): ast.parse(path.read_text()) for path in sorted(paths)}


CODE = code()


def is_private(name: str) -> bool:
    """Return True for `_name`, not for `_`, `__name__` and `__name`."""
    return re.fullmatch(r"_[A-Za-z0-9]\w*", name) is not None and name not in DOCUMENTED


@cache
def defined_in(file: str) -> set[str]:
    """Private names that a file of ours defines: functions, classes, variables, attributes, fields."""
    found = set()
    for node in ast.walk(CODE[file]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            found.add(node.attr)
    return {name for name in found if is_private(name)}


def ours(file: str) -> set[str]:
    """Private names of ours that a file may use: its own and those of the modules that it imports."""
    near = {part for name in _imports(CODE[file]).values() if not _is_foreign(name) for part in name.split(".")}
    tests = {"tests/benchmarks": "benchmarks"}.get(os.path.dirname(file))  # loaded by their paths
    others = (other for other in CODE if Path(other).stem in near or os.path.dirname(other) == tests)
    return set().union(defined_in(file), *map(defined_in, others))


@cache
def used_in(file: str) -> set[str]:
    """Private names of libraries in a file of ours."""
    return set(private_names(CODE[file], ours(file)))


def test_the_page_lists_what_the_code_uses() -> None:
    used = {(name.rpartition(".")[2], file) for file in CODE for name in used_in(file)}
    listed = {(name.rpartition(".")[2], file) for name, files in rows("Private names") for file in files}
    by_text = {(leaf, file) for leaf, file in listed - used if re.search(rf'"{leaf}"', (CHECKOUT / file).read_text())}
    assert used - listed == set(), f"add these to {PAGE.name}"
    assert listed - used - by_text == set(), f"take these out of {PAGE.name}"


def test_the_page_spells_out_whose_name_it_is() -> None:
    listed = {name for name, _ in rows("Private names")}
    whole = {name for file in CODE for name in used_in(file) if "." in name}
    assert whole <= listed


def test_the_page_lists_experimental_interfaces_that_the_code_imports() -> None:
    imports = {(name, file) for file, tree in CODE.items() for name in _imports(tree).values()}
    listed = {(name, file) for name, files in rows("Experimental interfaces") for file in files}
    experimental = {(name, file) for name, file in imports if _says_experimental(name)}
    assert experimental - listed == set(), f"add these to {PAGE.name}"
    assert listed - imports == set(), f"take these out of {PAGE.name}"


@pytest.mark.parametrize("section", ["Private names", "Experimental interfaces"])
def test_every_listed_name_exists_in_the_installed_version(section: str) -> None:
    assert [name for name, _ in rows(section) if not _exists(name)] == []


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("from torch._x import y", "torch._x.y"),
        ("from torch.utils import _x as y", "torch.utils._x"),
        ("import torch._x", "torch._x"),
        ("import torch as t; t.nn._x.y", "torch.nn._x"),
        ("def f(thing): thing._x", "_x"),
        ("class A(Library):\n    def f(self): self._x", "_x"),
        ("getattr(thing, '_x', None)", "_x"),
    ],
)
def test_a_private_name_is_found(line: str, name: str) -> None:
    assert list(private_names(ast.parse(line), {"_mine"})) == [name]


def test_a_private_name_of_ours_and_a_documented_one_are_not_found() -> None:
    tree = ast.parse("from zipmap_pl.metrics import _x\nimport os\nos._exit(1)\nstate._asdict()\nsomething._mine")
    assert list(private_names(tree, {"_mine"})) == []


def rows(section: str) -> list[tuple[str, list[str]]]:
    """(name, files) of each row of the table below a heading of the page."""
    text = PAGE.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert cells, f"no table below {section}"
    return [(name.strip("`"), re.findall(r"`([^`]+)`", files)) for name, files, *_ in cells]


def private_names(tree: ast.Module, of_ours: set[str]) -> Iterator[str]:
    """Private names in a file that are not `of_ours`: dotted where the file says whose they are, else the name alone."""
    imports = _imports(tree)
    for name in imports.values():
        if any(map(is_private, name.split("."))) and _is_foreign(name):
            yield name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = _dotted(node.value, imports)
            if owner is not None and _is_foreign(owner):
                yield f"{owner}.{node.attr}"
            elif node.attr not in of_ours:
                yield node.attr
        elif isinstance(node, ast.Call) and _called(node) in BY_NAME and len(node.args) > 1:
            name = node.args[1]
            if isinstance(name, ast.Constant) and is_private(str(name.value)) and name.value not in of_ours:
                yield str(name.value)


def _imports(tree: ast.Module) -> dict[str, str]:
    """What every imported name of a file stands for, dotted; `import a.b` stands for a, unless b is private."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.asname is not None or any(map(is_private, alias.name.split(".")))
                found[alias.asname or alias.name] = alias.name if whole else alias.name.partition(".")[0]
    return found


def _dotted(node: ast.expr, imports: dict[str, str]) -> str | None:
    """`torch.nn` of an expression that begins with something imported; None for any other."""
    if isinstance(node, ast.Name):
        return imports.get(node.id)
    owner = _dotted(node.value, imports) if isinstance(node, ast.Attribute) else None
    return f"{owner}.{node.attr}" if owner and isinstance(node, ast.Attribute) else None


def _is_foreign(name: str) -> bool:
    """Return True for a name of a library: not ours, and not of a module in benchmarks/ or tests/support."""
    return name.partition(".")[0] not in {"zipmap_pl", "__future__"} | modules_outside_the_package()


@cache
def modules_outside_the_package() -> set[str]:
    """Modules and folders that a benchmark or a test imports by their bare name."""
    return {path.stem for folder in ("benchmarks", "tests/support") for path in (CHECKOUT / folder).iterdir()}


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _found(name: str) -> Any:
    """The object of a dotted name. Raises AttributeError or ImportError."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


def _exists(name: str) -> bool:
    """Return True if a library has a name, or a class of it sets an attribute of that name on its objects."""
    try:
        return _found(name) is not None
    except AttributeError:
        owner, _, leaf = name.rpartition(".")
        return re.search(rf"\b{leaf}\b", inspect.getsource(_found(owner))) is not None


def _says_experimental(name: str) -> bool:
    """Return True if the docstring of something of torch or Lightning warns that it may change."""
    if name.partition(".")[0] not in ("torch", "lightning"):
        return False
    try:
        text = getattr(_found(name), "__doc__", None) or ""
    except (AttributeError, ImportError):
        return False
    return re.search(r"\b(experimental|prototype) (feature|API|and)|is experimental", text, re.IGNORECASE) is not None
