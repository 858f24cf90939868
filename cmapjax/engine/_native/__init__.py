"""Rounds by the package's own C++ code on a CPU (`rounds.cc`), called once a round from XLA's programs.

The code is compiled for this processor when a run is first long enough to gain from it, and kept in JAX's
folder of compiled programs if there is one. Where it does not apply or cannot be compiled, XLA plays the
rounds.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import jax
import jaxlib
import numpy as np

CHOICES = ("auto", "off", "on")
VARIABLE = "CMAPJAX_NATIVE"
# Runs of at least this many slots times rounds gain from compiling the code; once it is compiled, all runs
# do.
LEAST_WORK = 300_000_000
# Markets of at most this many agents share one XLA program for all strategies and networks (`_small`).
SMALL = 128
SOURCE = Path(__file__).with_name("rounds.cc")
# Products are rounded before they are added (no fused multiply-add): if a neighbour has 10^12 times the
# budget, the difference to its level must be exactly 0 and not a rounding error larger than the budget.
FLAGS = ["-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-fno-math-errno", "-ffp-contract=off"]
TARGETS = ("cmapjax_cmap", "cmapjax_response", "cmapjax_scaling")
MOST_SECONDS = 120  # of compiling
_LOCK = threading.Lock()


class Unavailable(Exception):
    """The code cannot be had in this process; the message says why."""


class _Process:
    """The library loaded in this process, or why there is none."""

    library: ctypes.CDLL | None = None
    fault: str | None = None


def choose(native: str, market, strategy, plan, rounds: int, is_plain: bool) -> bool:
    """Whether native code plays a run's rounds.

    Args:
        native: as in `simulate`.
        is_plain: whether nothing is traced.

    Raises:
        ValueError: `native` is none of the choices, or is "on" where it cannot be.
    """
    if native not in CHOICES:
        raise ValueError(f"native is {native!r}; give one of {', '.join(CHOICES)}.")
    if native == "off":
        return False
    reason = _reason_against(market, strategy, plan, is_plain) or unavailable()
    is_asked = native == "on" or _by_variable() == "on"
    if market.num_agents <= SMALL and not is_asked:
        return False
    is_worth = is_asked or rounds * market.links.num_slots >= LEAST_WORK
    if reason is None and not is_worth and not is_ready():
        return False
    if reason is None:
        try:
            library()
        except Unavailable as error:
            reason = str(error)
    if reason is not None and native == "on":
        raise ValueError(f"native: {reason}; leave it at 'auto', and XLA plays the rounds.")
    return reason is None


def _reason_against(market, strategy, plan, is_plain: bool) -> str | None:
    from cmapjax.engine._native._form import applies

    device = jax.config.jax_default_device
    kind = jax.default_backend() if device is None else getattr(device, "platform", device)
    if _by_variable() == "off":
        return f"the variable {VARIABLE} is off"
    if not is_plain or jax.config.jax_disable_jit:
        return "not inside a transformation, nor where JAX_DISABLE_JIT is set"
    if kind != "cpu" or market.links.mesh is not None:
        return "only on one CPU"
    if market.terms:
        return f"not for a market with {', '.join(market.terms)}"
    return None if applies(strategy, plan) else "not for this strategy under this schedule"


def _by_variable() -> str:
    """The value of the variable: "off", "on" (to compile at once) or "" for its default."""
    return os.environ.get(VARIABLE, "").strip().lower()


def unavailable() -> str | None:
    """Why the code cannot be had here, as far as is known before compiling; None if nothing speaks against
    it."""
    if _Process.library is not None:
        return None
    if _Process.fault is None and _compiler() is None and not _is_on_disk():
        return "no C++ compiler was found (c++, g++ or clang++, or what CXX names)"
    return _Process.fault


def is_ready() -> bool:
    """Whether the code is loaded or compiled already."""
    return _Process.library is not None or _is_on_disk()


def describe() -> str:
    """What plays rounds on this machine's CPU, in words."""
    if _by_variable() == "off":
        return f"xla ({VARIABLE} is off)"
    reason = unavailable()
    if reason is not None:
        return f"xla ({reason})"
    return "native, compiled" if is_ready() else "native, to be compiled by " + shlex.join(_compiler())


def library() -> ctypes.CDLL:
    """The library, compiled if needed, loaded, and registered with XLA.

    Raises:
        Unavailable: there is no compiler, or it fails.
    """
    with _LOCK:
        if _Process.fault is not None:
            raise Unavailable(_Process.fault)
        if _Process.library is None:
            try:
                _Process.library = _find_library()
            except Unavailable as error:
                _Process.fault = str(error)
                raise
    return _Process.library


def lanes(dtype) -> int:
    """How many numbers of this type fit a vector register, as the code was compiled."""
    return library().cmapjax_bytes() // np.dtype(dtype).itemsize


def _find_library() -> ctypes.CDLL:
    kept = _library_file()
    with tempfile.TemporaryDirectory() as folder:
        if kept is not None and _is_on_disk():
            return _loaded(kept)
        built = Path(folder) / "rounds.so"
        _compile(built)
        code = built.read_bytes()
        built.write_bytes(code + hashlib.sha256(code).digest())
        if kept is None:
            return _loaded(built)
        try:
            descriptor, beside = tempfile.mkstemp(dir=kept.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(built.read_bytes())
            os.replace(beside, kept)  # atomic: other processes may be compiling too
        except OSError:  # a folder that cannot be written keeps nothing
            return _loaded(built)
        return _loaded(kept)


def _loaded(file: Path) -> ctypes.CDLL:
    try:
        code = ctypes.CDLL(str(file))
        for name in TARGETS:
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(code, name)), platform="cpu")
    except (OSError, AttributeError) as error:
        raise Unavailable(f"the compiled code could not be loaded ({error})") from error
    return code


def _compile(built: Path) -> None:
    compiler = _compiler()
    if compiler is None:
        raise Unavailable("no C++ compiler was found")
    words = [*compiler, *FLAGS, "-w", "-I", jax.ffi.include_dir(), str(SOURCE), "-o", str(built)]
    try:
        subprocess.run(words, capture_output=True, text=True, check=True, timeout=MOST_SECONDS)
        if not built.stat().st_size:
            raise OSError("it wrote nothing")
    except subprocess.CalledProcessError as error:
        said = next((line for line in error.stderr.splitlines() if "error" in line), error.stderr[:200])
        raise Unavailable(f"the C++ compiler {compiler[0]} failed ({said.strip()})") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"the C++ compiler {compiler[0]} failed ({error})") from error


def _compiler() -> list[str] | None:
    if chosen := shlex.split(os.environ.get("CXX", "")):
        return chosen
    found = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    return None if found is None else [found]


def _library_file() -> Path | None:
    """The file that keeps the code, named by the sources, jaxlib's version and the processor; None without a
    folder."""
    folder = jax.config.jax_compilation_cache_dir
    return None if folder is None else Path(folder) / f"cmapjax-rounds-{_key()}.so"


def _is_on_disk() -> bool:
    """Whether that file exists and is undamaged: its last bytes are a hash of the others."""
    try:
        code = _library_file().read_bytes()
    except (OSError, AttributeError):
        return False
    return hashlib.sha256(code[:-32]).digest() == code[-32:]


@functools.cache
def _key() -> str:
    processor = [platform.machine(), platform.processor()]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor += [next((x for x in lines if x.startswith(name)), "") for name in ("model name", "flags")]
    except OSError:
        pass
    parts = [SOURCE.read_text(), jaxlib.__version__, *FLAGS, *processor]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
