"""An output folder belongs to one run at a time."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from zipmap_pl.errors import UserError
from zipmap_pl.files import HeldElsewhere, owned

LOCK = ".lock"

log = logging.getLogger(__name__)


@contextmanager
def run_folder(output: Path) -> Iterator[None]:
    """Hold an output folder while the run lasts; called by the first of its processes. Makes the folder if it is missing.

    Raises:
        UserError: another run holds it; names that run.
    """
    new = not output.exists()
    output.mkdir(parents=True, exist_ok=True)
    try:
        with owned(output / LOCK, _this_run()) as held:
            if not held:
                log.warning("%s: the file system has no locks; see to it that no other run writes there", output)
            yield
    except HeldElsewhere as other:
        raise UserError(
            f"{output}: in use by another run, {str(other).strip() or 'which has only just started'}; wait for it, stop it,"
            " or choose another folder (output=...)"
        ) from other
    finally:
        if new:
            with suppress(OSError):  # a run that was refused leaves nothing
                output.rmdir()


def _this_run() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    since = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    return f"process {os.getpid()} on {socket.gethostname()}{f' (job {job})' if job else ''}, since {since}"
