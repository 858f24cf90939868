"""JAX's compilation cache on disk, which later processes read."""

import os
import sys
import tempfile
from pathlib import Path

from cmapjax.arguments._checks import short

VARIABLE = "CMAPJAX_COMPILATION_CACHE"
OFF = "off"
FOLDER, LEAST_SECONDS = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
# By default JAX keeps programs that took a second to compile. A run of a small market has many quicker ones.
KEEP_ALL = "0"
# A program takes some 0.2 MB, and every shape of a market has its own. Above this size the oldest are
# removed.
MOST_BYTES = 1 << 30


def compilation_cache(folder: str | os.PathLike | None = None) -> Path | None:
    """Keep compiled programs on disk from now on, so that later processes need not compile them again.

    Switches on JAX's persistent compilation cache, for small programs too, in this process and in those that
    it starts. JAX names a program by its text, JAX's version, the options it is compiled with and the device.
    Programs from the folder are run without a check, so keep it to yourself.

    Args:
        folder: where to keep them, or "off" to keep none. By default the folder that the command line uses:
            the variable CMAPJAX_COMPILATION_CACHE, or else the folder set for JAX
            (JAX_COMPILATION_CACHE_DIR), or else the user's cache folder (`~/.cache/cmapjax/compiled` on
            Linux), in which the oldest programs are removed above 1 GiB.

    Returns:
        The folder; None if the cache is off.

    Raises:
        ValueError: a folder that cannot be made, read or written.
    """
    chosen = os.fspath(folder) if folder is not None else os.environ.get(VARIABLE, "").strip()
    if not isinstance(chosen, str) or (folder is not None and not chosen):
        raise ValueError(f"compilation_cache: folder is {folder!r}; give the path of a folder, or {OFF!r}.")
    if chosen.lower() == OFF:
        _tell_jax(None)
        return None
    if not chosen and (of_jax := _folder_of_jax()):
        _tell_jax(of_jax)
        return Path(of_jax)
    path = _made(chosen)
    if not chosen:
        _remove_oldest(path)
    _tell_jax(str(path))
    return path


def _folder_of_jax() -> str | None:
    """The folder that JAX is set to use; None if there is none."""
    if jax := sys.modules.get("jax"):
        return jax.config.jax_compilation_cache_dir
    return os.environ.get(FOLDER)


def _made(chosen: str) -> Path:
    """The chosen folder, or the user's cache folder, created and checked to be writable."""
    called = chosen or "your cache folder"
    try:
        path = Path(chosen).expanduser().absolute() if chosen else _default()
        called = path
        path.mkdir(parents=True, exist_ok=True, mode=0o700)  # programs found there will be run
        with tempfile.TemporaryFile(dir=path):  # permissions do not show that a disk is read-only
            os.scandir(path).close()
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"compilation_cache: {short(str(called), 200)} cannot be written ({reason}), so that programs "
            f"would be compiled anew every time; name another folder, or say {OFF!r}."
        ) from None
    return path


def _default() -> Path:
    """The folder for the package in the system's place for a user's caches."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):  # the XDG standard ignores relative paths
            base = Path.home() / ".cache"
    return Path(base) / "cmapjax" / "compiled"


def _remove_oldest(folder: Path) -> None:
    """Remove the programs compiled first until the others fit."""
    files = sorted((entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(folder))
    excess = sum(size for _, size, _ in files) - MOST_BYTES
    for _, size, path in files:
        if excess <= 0:
            return
        Path(path).unlink(missing_ok=True)
        excess -= size


def _tell_jax(folder: str | None) -> None:
    """Set the folder by variables, which JAX reads when it is loaded and child processes inherit, and in JAX
    itself if it is loaded."""
    if folder is None:
        os.environ.pop(FOLDER, None)
    else:
        os.environ[FOLDER] = folder
        os.environ.setdefault(LEAST_SECONDS, KEEP_ALL)
    if jax := sys.modules.get("jax"):
        from jax.experimental.compilation_cache import compilation_cache as cache

        jax.config.update("jax_compilation_cache_dir", folder)
        if folder is not None:
            jax.config.update("jax_persistent_cache_min_compile_time_secs", float(os.environ[LEAST_SECONDS]))
        cache.reset_cache()  # JAX reads these settings only when it first compiles
