"""Shapes and plans that chunks share, so that few programs are compiled; and who compiles what.

Several threads of a process may play chunks at the same time. They share what is kept here.
"""

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator

import numpy as np

from cmapjax._market import Market
from cmapjax._programs import times_forgotten
from cmapjax._schedule import Plan
from cmapjax._shapes import Shape, fit, fit_plan, fits, shape_of

# A shape that another ensemble left behind is used again unless it is this much larger than needed. Compiling
# for a new one takes as long as a third more rounds in some ten chunks of default size.
# (Chunks come largest first, and on random networks take a few per cent more than in shapes of their own.)
MOST_WASTE = 1.35
MOST_SHAPES = 64


class Wardrobe:
    """The shapes that a process has used so far, and the tables of turns made for them.

    Which shape markets are fitted to changes no bit of their results, so it may depend on what was
    played before.
    """

    def __init__(self):
        self.shapes: list[Shape] = []
        self.plans: dict[tuple, Plan] = {}
        self._lock = threading.Lock()

    def fitted(self, market: Market) -> tuple[Market, Shape]:
        """The market in a shape used before if there is one not too large, or else in a new one."""
        new = shape_of(market)
        with self._lock:
            shape = self._known_or(new, market)
        return fit(market, shape), shape

    def _known_or(self, new: Shape, market: Market) -> Shape:
        for shape in self.shapes:
            if _slots(shape) <= MOST_WASTE * _slots(new) and fits(market, shape):
                return shape
        self.shapes = [new, *self.shapes[: MOST_SHAPES - 1]]
        kept = set(self.shapes)
        self.plans = {key: plan for key, plan in self.plans.items() if key[0] in kept}
        return new

    def plan(self, schedule, hops: int | float, market: Market, shape: Shape) -> Plan:
        """The schedule's plan, its tables as large as those planned in this shape before."""
        key = (shape, type(schedule).__name__, hops)
        plan = schedule.plan(market, hops)
        with self._lock:  # the plans of shapes given up may be taken out meanwhile
            self.plans[key] = found = fit_plan(plan, market, self.plans.get(key))
        return found


WARDROBE = Wardrobe()
"""Of this process: compiled programs are the process's too."""


def _slots(shape: Shape) -> int:
    return sum(width * rows for width, rows in shape.blocks)


def padded(utility: np.ndarray, market: Market) -> np.ndarray:
    """Equilibrium utilities of the markets asked for, then those of fillers: what they give."""
    return np.append(utility, np.asarray(market.contribution)[len(utility) :])


class Compilations:
    """Who compiles what, so that no two threads compile the same program, and few wait."""

    def __init__(self):
        self._change = threading.Condition()
        self._ready: set[Hashable] = set()
        self._compiling: set[Hashable] = set()
        self._forgotten = times_forgotten()

    @contextlib.contextmanager
    def turn(self, pending: list[int], program: Callable[[int], Hashable]) -> Iterator[int]:
        """One of those pending (not empty) to be played now: the first whose program nobody else compiles."""
        with self._change:
            if self._forgotten != times_forgotten():
                self._forgotten = times_forgotten()
                self._ready.clear()
            self._change.wait_for(lambda: self._first_free(pending, program) is not None)
            number = self._first_free(pending, program)
            key = program(number)
            is_new = key not in self._ready
            if is_new:
                self._compiling.add(key)
        try:
            yield number
        finally:
            with self._change:
                if is_new:
                    self._compiling.discard(key)
                    self._ready.add(key)
                self._change.notify_all()

    def _first_free(self, pending: list[int], program) -> int | None:
        return next((n for n in pending if program(n) not in self._compiling), None)


COMPILATIONS = Compilations()
