"""What a worker does: play one chunk of a study that arrives as text, and send the tables back."""

import functools
import importlib.metadata
import json
from collections.abc import Callable

from cmapjax.studies._runner._warnings import gathered

# The values of a study are promised for the same versions of these.
PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "networkx")


class OtherVersions(Exception):
    """A worker has other versions, or another kind of device, than the study was begun with."""


@functools.lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """The versions on which values depend, of whoever calls."""
    from cmapjax import __version__

    found = {"cmapjax": __version__}
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


def circumstances(expected: dict[str, str]) -> dict[str, str]:
    """What is expected of a worker, as it is here."""
    return {**versions(), **({"device": device()} if "device" in expected else {})}


def kind_of_device(expected: dict[str, str]) -> str:
    """The kind of device here; raises OtherVersions first, as what is kept of it must be of our versions."""
    found = circumstances(expected)
    if found != expected:
        raise OtherVersions(differences(found, expected))
    return device()


def work(document: str, play: Callable, chunk, expected: dict[str, str]):
    """The result of a chunk, and the warnings it gave.

    Raises OtherVersions before anything is played by the wrong code.
    """
    found = circumstances(expected)
    if found != expected:  # a worker that joined after the run had begun
        raise OtherVersions(differences(found, expected))
    with gathered() as heard:
        return play(_study(document), chunk), heard


@functools.lru_cache(maxsize=2)
def _study(document: str):
    """The study, kept for the next chunk."""
    from cmapjax import studies

    return studies.Study(**json.loads(document))


def differences(found: dict[str, str], expected: dict[str, str]) -> str:
    """In words what differs between a worker and the coordinator."""
    return ", ".join(
        f"{package} {found.get(package, 'none')} instead of {version}"
        for package, version in expected.items()
        if found.get(package) != version
    )
