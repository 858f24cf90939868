"""`cmapjax info`."""

import importlib.metadata
import platform

PACKAGES = ("jax", "jaxlib", "jaxopt", "optax", "equinox", "numpy", "scipy", "networkx", "matplotlib")


def run() -> None:
    """Print versions and devices, one per line."""
    from cmapjax import __version__
    from cmapjax.cli._output import say

    say(f"cmapjax {__version__}")
    say(f"python {platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        try:
            say(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            say(f"{package} not installed")
    import jax

    from cmapjax.engine import _native

    say(f"rounds on a CPU by {_native.describe()}")
    for device in jax.devices():
        say(f"device {device.platform}:{device.id} {device.device_kind}")
