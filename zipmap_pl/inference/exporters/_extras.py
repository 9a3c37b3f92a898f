"""Libraries that only some formats need."""

import importlib
from types import ModuleType

from zipmap_pl.errors import UserError


def library(module: str, extra: str, format_name: str) -> ModuleType:
    """The module of a library that comes with an extra of this package. Raises UserError that names the extra."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(
            f"--export {format_name}: needs the Python module {error.name}, which is not installed; "
            f'install the extra: pip install "zipmap_pl[{extra}]"'
        ) from error
