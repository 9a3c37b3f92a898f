"""Extension points found by name: what a room offers are the modules in its folder, one file each, without a list."""

import pkgutil
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType

from zipmap_pl.errors import UserError


def names_in(package: ModuleType) -> list[str]:
    """Names of the modules and packages in `package`, sorted; not those that begin with "_". Imports none of them."""
    names = (found.name for found in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in names if name.isidentifier() and not name.startswith("_"))


def load(package: ModuleType, name: str, what: str, parts: Sequence[str]) -> ModuleType:
    """Import the module `name` of `package`.

    Args:
        what: what such a module is to a user, for the message: "dataset", "exporter".
        parts: names that it has to define.

    Raises:
        UserError: there is no module of that name, or it lacks a part.
    """
    names = names_in(package)
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"unknown {what} {name!r}, expected one of {', '.join(names)}{hint}")
    module = import_module(f"{package.__name__}.{name}")
    missing = [part for part in parts if not hasattr(module, part)]
    if missing:
        raise UserError(
            f"{module.__file__}: has no {missing[0]}; expected {' and '.join(parts)} in a file for a {what}"
        )
    return module
