"""The argument parser of every command."""

import argparse
import re
from typing import NoReturn

from zipmap_pl.errors import UserError


class OneLineParser(argparse.ArgumentParser):
    """Tells a mistake in one line, without the page of options.

    Attributes:
        takes_settings: the command takes KEY=VALUE, which people write as options.
    """

    takes_settings = False

    def error(self, message: str) -> NoReturn:
        option = re.search(r"unrecognized arguments:.*?--([\w.]+)(?:=(\S+))?", message)
        if self.takes_settings and option:
            message += f": settings have no dashes, {option[1]}={option[2] or 'VALUE'}"
        raise UserError(f"{message}; see `{self.prog} --help`")
