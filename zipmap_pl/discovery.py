"""Extension points found by name: what a room offers are the modules in its folder, one file each, without a list."""

import pkgutil
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType

from zipmap_pl.errors import UserError


def names_in(package: ModuleType) -> list[str]:
    """Names of the modules and packages in `package`, sorted, without those that begin with "_". Imports none of them."""
    return sorted(found.name for found in pkgutil.iter_modules(package.__path__) if not found.name.startswith("_"))


def load(package: ModuleType, name: str, what: str) -> ModuleType:
    """Import the module `name` of `package`.

    Args:
        what: what such a module is to a user, for the message: "dataset", "exporter".

    Raises:
        UserError: there is no module of that name.
    """
    names = names_in(package)
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"unknown {what} {name!r}, expected one of {', '.join(names)}{hint}")
    return import_module(f"{package.__name__}.{name}")
