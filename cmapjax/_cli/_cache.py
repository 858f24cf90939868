"""JAX's compilation cache on disk: the second run of a kind does not compile what the first one did."""

import os
import sys
import warnings
from pathlib import Path

VARIABLE = "CMAPJAX_COMPILATION_CACHE"
OFF = "off"
# What compiles faster is compiled again: to keep it would fill the folder with crumbs.
MIN_SECONDS = "0.1"
# A program is some 0.2 MB, and every shape of a market has its own. Beyond this the oldest are forgotten.
MOST_BYTES = 1 << 30


def switch_on() -> None:
    """Tell JAX, which must not have been loaded yet, where to keep compiled programs.

    Where: $CMAPJAX_COMPILATION_CACHE, which --compilation-cache sets, or else $JAX_COMPILATION_CACHE_DIR, or
    else the user's cache folder. JAX names a program by a hash of its text, JAX's version and the device.
    """
    chosen = os.environ.get(VARIABLE, "").strip()
    if chosen.lower() == OFF:
        os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
        return
    if not chosen and os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    try:
        folder = Path(chosen).expanduser().absolute() if chosen else _default()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # programs found there will be run
        if not chosen:
            _forget_oldest(folder)
        is_writable = os.access(folder, os.R_OK | os.W_OK | os.X_OK)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        is_writable = False
    if not is_writable:
        warnings.warn(
            f"{chosen or 'your cache folder'} cannot be written, so that programs are compiled anew "
            "every time; name another folder with --compilation-cache DIR, or say off.",
            stacklevel=2,
        )
        os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", MIN_SECONDS)


def _default() -> Path:
    """The folder that this system keeps a user's caches in."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):  # the standard says that others are to be ignored
            base = Path.home() / ".cache"
    return Path(base) / "cmapjax" / "compiled"


def _forget_oldest(folder: Path) -> None:
    """Remove the programs compiled first until the others fit."""
    files = sorted((entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(folder))
    excess = sum(size for _, size, _ in files) - MOST_BYTES
    for _, size, path in files:
        if excess <= 0:
            return
        Path(path).unlink(missing_ok=True)
        excess -= size
