"""Shapes and plans that chunks share, so that few programs are compiled; and room in memory for those."""

import gc
from pathlib import Path

import jax
import numpy as np

from cmapjax._market import Market
from cmapjax._schedule import Plan
from cmapjax._shapes import Shape, fit, fit_plan, fits, shape_of

# Every compiled program is mapped into memory in 400 to 1,000 pieces, of which Linux allows a process some
# 65,000: after about 100 programs the next one ends it. Programs are forgotten at this share of the limit.
MOST_MAPS_SHARE = 0.6
MAPS, MOST_MAPS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
# A shape that another ensemble left behind is used again unless it is this much larger than needed.
MOST_WASTE = 1.15
MOST_SHAPES = 64


class Wardrobe:
    """The shapes that a process has used so far, and the tables of turns made for them.

    Which shape markets are fitted to changes no bit of their results, so it may depend on what was
    played before.
    """

    def __init__(self):
        self.shapes: list[Shape] = []
        self.plans: dict[tuple, Plan] = {}

    def fitted(self, market: Market) -> tuple[Market, Shape]:
        """The market in a shape used before if there is one not too large, or else in a new one."""
        new = shape_of(market)
        for shape in self.shapes:
            if _slots(shape) <= MOST_WASTE * _slots(new) and fits(market, shape):
                return fit(market, shape), shape
        self.shapes = [new, *self.shapes[: MOST_SHAPES - 1]]
        kept = set(self.shapes)
        self.plans = {key: plan for key, plan in self.plans.items() if key[0] in kept}
        return fit(market, new), new

    def plan(self, schedule, hops: int | float, market: Market, shape: Shape) -> Plan:
        """The schedule's plan, its tables as large as those planned in this shape before."""
        key = (shape, type(schedule).__name__, hops)
        found = fit_plan(schedule.plan(market, hops), market, self.plans.get(key))
        self.plans[key] = found
        return found


WARDROBE = Wardrobe()
"""Of this process: compiled programs are the process's too."""


def _slots(shape: Shape) -> int:
    return sum(width * rows for width, rows in shape.blocks)


def padded(utility: np.ndarray, market: Market) -> np.ndarray:
    """Equilibrium utilities of the markets asked for, then those of fillers: what they give."""
    return np.append(utility, np.asarray(market.contribution)[len(utility) :])


def make_room() -> None:
    """Forget compiled programs before there are more than the system lets a process hold."""
    if maps_used() > MOST_MAPS_SHARE:
        jax.clear_caches()
        gc.collect()


def maps_used() -> float:
    """The share of the memory maps allowed that this process has taken (0 where that is not limited)."""
    try:
        return MAPS.read_bytes().count(b"\n") / int(MOST_MAPS.read_text())
    except (OSError, ValueError):
        return 0.0
