"""The kind of device that markets are laid out for."""

import contextlib
import contextvars
import importlib.util
from collections.abc import Iterator

import jax

_assumed: contextvars.ContextVar[str | None] = contextvars.ContextVar("platform", default=None)


def platform() -> str:
    """ "cpu", "gpu" or another of JAX's names: where JAX computes by default.

    A CPU is not started to find that out: without a plugin for another device there is nothing to ask.
    """
    if (assumed := _assumed.get()) is not None:
        return assumed
    if (device := jax.config.jax_default_device) is not None:
        return getattr(device, "platform", device)
    if jax.config.jax_platforms == "cpu" or importlib.util.find_spec("jax_plugins") is None:
        return "cpu"
    return jax.default_backend()


@contextlib.contextmanager
def laid_out_for(name: str) -> Iterator[None]:
    """Inside, markets are laid out for this kind of device, whether it is here or not."""
    token = _assumed.set(name)
    try:
        yield
    finally:
        _assumed.reset(token)
