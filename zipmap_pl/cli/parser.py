"""The argument parser of every command."""

import argparse
from typing import NoReturn

from zipmap_pl.errors import UserError


class OneLineParser(argparse.ArgumentParser):
    """Tells a mistake in one line, without the page of options."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see `{self.prog} --help`")
