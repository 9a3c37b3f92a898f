"""The one error that a user is meant to see: one line that says which file, what was found, what was expected, what to do."""

import errno

# Of an OSError that a write ended in for lack of room; Python does not tell which file that was.
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class UserError(Exception):
    """A mistake that the user can mend. The command line prints its one line and exits with status 2, without a traceback."""

    def __init__(self, message: str) -> None:
        if message.startswith("Caught "):  # a loader's worker hands an error over as the text of its traceback
            message = message.rsplit(f"{type(self).__name__}: ", 1)[-1]
        super().__init__(" ".join(message.split()))


class DamagedFile(UserError):
    """A file is not what was once written: cut, changed, lost, or full of numbers that are none."""
