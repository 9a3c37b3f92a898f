"""The version of this package, in a file of its own so that no room imports the package's front door."""

import subprocess
from functools import cache
from pathlib import Path

__version__ = "0.1.0"


@cache
def code_commit() -> str:
    """The git commit of the checkout that runs, with "-dirty" where tracked files were changed; empty outside of one."""
    here = Path(__file__)
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        # An installed copy may lie inside somebody else's repository, which does not track this file.
        for arguments in (["ls-files", "--error-unmatch", here.name], describe):
            command = ["git", "-C", str(here.parent), *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
