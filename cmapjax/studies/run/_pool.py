"""What every pool of chunks tells the loop: why a chunk has no result, and who may play it."""

import enum
import functools
import importlib.metadata
import warnings
from typing import NamedTuple

from cmapjax.arguments._checks import SpanWarning

LONGEST_REASON = 300
# The values of a study are promised for the same versions of these.
PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "networkx")


class RunnerError(RuntimeError):
    """The run cannot go on; the message is one line that says why and what to do. Nothing is lost."""


class OtherCircumstances(Exception):
    """A worker has other versions, or another kind of device, than the run asks for."""


class Kind(enum.Enum):
    """What to do about it."""

    MEMORY = "too large: halves may do"
    DIED = "its worker is gone: its fault or the chunk's?"
    FAULT = "an error that another attempt may not meet"
    HOPELESS = "an error that every attempt will meet"


class Trouble(NamedTuple):
    """What became of an attempt; `deaths` are the workers that it cost."""

    kind: Kind
    reason: str
    deaths: int = 0


def of_error(error: BaseException) -> Trouble:
    """The trouble of a chunk that raised."""
    name, text = type(error).__name__, " ".join(str(error).split())[:LONGEST_REASON]
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text:
        return Trouble(Kind.MEMORY, f"not enough memory ({text or name})")
    # Bad values raise ValueError wherever they are played; a file that is away may come back.
    kind = Kind.HOPELESS if isinstance(error, (ValueError, TypeError)) else Kind.FAULT
    return Trouble(kind, f"{name}: {text}" if text else name)


@functools.lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """The versions on which values depend, of whoever calls."""
    import cmapjax

    found = {"cmapjax": cmapjax.__version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "none"
    return found


@functools.lru_cache(maxsize=1)
def device() -> str:
    """The kind of device that chunks are played on, of whoever calls. Starts JAX."""
    import jax

    first = jax.devices()[0]
    return f"{first.platform}:{first.device_kind}"


def device_here(expected: dict[str, str]) -> str:
    """The kind of device here; raises OtherCircumstances unless versions and device are those expected."""
    found = versions() | ({"device": device()} if "device" in expected else {})
    differing = [
        f"{name} {found[name]} instead of {expected[name]}" for name in found if found[name] != expected[name]
    ]
    if differing:
        raise OtherCircumstances(", ".join(differing))
    return device()


def leave_warnings_to_the_run() -> None:
    """Say nothing where a chunk is played of what its result says: the run says it once (`Loop`)."""
    warnings.filterwarnings("ignore", category=SpanWarning, module=r"cmapjax\.studies\._play")
