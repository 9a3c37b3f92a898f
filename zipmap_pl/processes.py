"""What a script that starts worker processes must heed."""

import multiprocessing

from zipmap_pl.errors import UserError


def require_main_guard() -> None:
    """Raise UserError in a worker that is importing the user's script and thereby runs it once more.

    Otherwise the second run would wait for a lock that the first one holds, or end in an error that hides the cause.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UserError(
            "a worker process ran the whole script again while it started; put what the script does below"
            ' `if __name__ == "__main__":`, or use workers=1 (preprocess) or workers=0 (loader)'
        )
