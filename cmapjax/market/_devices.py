"""One market, or an ensemble, on several devices at once."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from cmapjax.arguments._checks import check_kind
from cmapjax.market._market import Market


def on_devices(market: Market, devices: Sequence[jax.Device] | None = None) -> Market:
    """The same market, whose runs are shared among these devices.

    Every device keeps the links of its part of the agents, and a copy of each vector over agents; in a
    round nothing else is exchanged than such vectors. Results are those of one device, up to rounding.
    With `jax.distributed` initialised in every process, and every process making the same calls, the
    devices may be those of many processes; each gets the whole result.

    Args:
        market: one market, or many packed side by side.
        devices: by default all that JAX sees, those of other processes included.

    Returns:
        The market to hand to `simulate`.

    Raises:
        ValueError: no devices, or devices of different platforms.
    """
    check_kind("market", market, Market, "Market.from_links(…), or a reader of cmapjax.graphs")
    devices = jax.devices() if devices is None else list(devices)
    platforms = sorted({device.platform for device in devices})
    if len(platforms) != 1:
        raise ValueError(f"devices: of the platforms {platforms}; give one or more devices of one platform.")
    mesh = jax.sharding.Mesh(np.array(devices), ("agents",), axis_types=(jax.sharding.AxisType.Auto,))
    return dataclasses.replace(market, links=dataclasses.replace(market.links, mesh=mesh))
