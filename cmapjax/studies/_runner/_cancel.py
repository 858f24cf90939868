"""Asking a run to end, through a file in its folder: works from another terminal and from another machine."""

import os
from pathlib import Path

REQUEST = "cancel"


def cancel(folder: str | Path) -> None:
    """Ask the run that works on the folder to end; it looks about twice a second."""
    os.close(os.open(Path(folder) / REQUEST, os.O_CREAT | os.O_WRONLY, 0o644))


def was_cancelled(folder: Path) -> bool:
    """Is there a request to end?"""
    return (folder / REQUEST).exists()


def withdraw(folder: Path) -> None:
    """Remove the request, if there is one."""
    (folder / REQUEST).unlink(missing_ok=True)
