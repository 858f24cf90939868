"""What a worker does: play one chunk of a study that arrives as text, and send the tables back."""

import functools
import importlib.metadata
import json
from collections.abc import Callable

from cmapjax.studies.run._warnings import heard_while

# The values of a study are promised for the same versions of these.
PACKAGES = ("cmapjax", "jax", "jaxlib", "numpy", "scipy", "networkx")


class OtherCircumstances(Exception):
    """A worker has other versions, or another kind of device, than the run asks for."""


@functools.lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """The versions on which values depend, of whoever calls."""
    import cmapjax

    found = {"cmapjax": cmapjax.__version__}
    for package in PACKAGES[1:]:
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


def work(document: str, play: Callable, chunk, expected: dict[str, str]):
    """The result of a chunk, and the warnings it gave; nothing is played by other code than expected."""
    device_here(expected)  # a worker may have joined after the run began
    return heard_while(lambda: play(_study(document), chunk))


@functools.lru_cache(maxsize=2)
def _study(document: str):
    """The study, kept for the next chunk."""
    from cmapjax import studies

    return studies.Study(**json.loads(document))
