"""Block-coordinate ascent on the central program, which is CMAP in coloured order."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from cmapjax.engine._round import act_in_turns, known_facts
from cmapjax.equilibrium._ascent import ascend, check_count
from cmapjax.equilibrium._equilibrium import Method
from cmapjax.runtime._settings import compiled, entry
from cmapjax.schedules._schedule import Coloured
from cmapjax.strategies import CMAP


class ColouredSweeps(Method):
    """Sweeps of CMAP in coloured order: exact block-coordinate ascent on the central program.

    Every sweep raises Nash welfare; fast on expanders (tens of sweeps), slow on grids and scale-free
    networks (thousands).

    Source: Hong, Wang, Razaviyayn and Luo, Math. Prog. 163, 2017 (rate of exact block minimisation).
    """

    known_as = ("sweeps",)
    counts = "sweeps"
    remedy = "raise max_sweeps"

    max_sweeps: int = eqx.field(static=True, default=20_000)
    """The largest number of sweeps."""
    check_every: int = eqx.field(static=True, default=5)
    """Sweeps between two looks at the certificate."""

    def __check_init__(self):
        check_count("max_sweeps", self.max_sweeps)
        check_count("check_every", self.check_every)

    @entry
    def solve(self, market, tolerance):
        plan = Coloured().plan(market)
        return _sweep(market.bare(), plan, np.float64(tolerance), np.int64(self.max_sweeps), self.check_every)


@compiled
def _sweep(market, plan, tolerance, max_sweeps, check_every):
    known = known_facts(market, None, jnp.float64)
    tables = plan.tables(market, 0, None)

    def sweep(flow):
        return act_in_turns(market, known, CMAP(), plan, tables, flow, known.contribution, None)[0]

    return ascend(market, market.equal_flow(), sweep, lambda flow: flow, tolerance, max_sweeps, check_every)
