"""The runs of the part on random surplus: families and processes side by side, a program per strategy."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float, Int

from cmapjax import metrics
from cmapjax.endowments import Constant, Endowments, Exponential, Gamma, OnOff
from cmapjax.engine._simulate import simulate
from cmapjax.equilibrium._equilibrium import Groups
from cmapjax.equilibrium._solve import solve
from cmapjax.market._market import Market
from cmapjax.market._packing import copies, pack
from cmapjax.market._random import key_of
from cmapjax.reproduce._grid import CONTRIBUTIONS, drawn, families
from cmapjax.reproduce._part import Setting
from cmapjax.reproduce._surplus_errors import Errors
from cmapjax.runtime._types import Array
from cmapjax.schedules._schedule import Coloured, Simultaneous
from cmapjax.strategies import CMAP, Damped, DynamicSharing, LocalDamping, ProportionalResponse

POLICY = "dynamic sharing"
RULES = {
    POLICY: (DynamicSharing(), Simultaneous()),
    "CMAP, one after another": (CMAP(), Coloured()),
    "CMAP, locally damped": (Damped(CMAP(), LocalDamping()), Simultaneous()),
    "proportional response": (ProportionalResponse(), Simultaneous()),
}
# Moves slowly, so that its rows remember; only in full, since it adds nothing that is claimed.
SLOW = {"proportional response, damped by 1/20": (Damped(ProportionalResponse(), 0.05), Simultaneous())}


class Process(NamedTuple):
    """How surplus arrives."""

    endowments: Endowments
    variation: float
    """Standard deviation over mean."""


PROCESSES = {
    "constant": Process(Constant(), 0.0),
    "gamma, cv 1/2": Process(Gamma(0.5), 0.5),
    "exponential": Process(Exponential(), 1.0),
    "on-off, p = 1/2": Process(OnOff(0.5), 1.0),
    "gamma, cv 2": Process(Gamma(2.0), 2.0),
}


class Size(NamedTuple):
    """How much is played."""

    agents: int
    """Of a market, about."""
    degree: int
    each: int
    """Markets per family."""
    rounds: int
    every: int
    at_a_time: int
    """Rounds whose endowments are held at a time; a divisor of all, and a multiple of `every`."""


class Recorded(Endowments):
    """Endowments drawn beforehand, so that all strategies have the same and none draws them anew."""

    first: Int[Array, ""]
    values: Float[Array, "rounds agents"]

    @property
    def is_random(self):
        return False

    def draw(self, market, round, key):
        return jnp.asarray(self.values)[round - self.first]


def play(setting: Setting, size: Size, rules: dict) -> Errors:
    """All strategies on the same markets and the same draws; copy k of a market has process number k."""
    grid = families(size.agents, size.degree)
    market = pack(
        [
            drawn(family, CONTRIBUTIONS["uniform"], setting.seed, k, size.each)
            for k, family in enumerate(grid.values())
        ]
    )
    equilibrium = solve(market)
    side_by_side = copies(market, endowment=np.tile(market.endowment, (len(PROCESSES), 1)))
    best = np.tile(equilibrium.utility, len(PROCESSES))
    record = {"worst": Partial(_worst, best), "rms": Partial(_rms, best), "loss": Partial(_loss, best)}
    key = key_of(setting.seed, len(grid))
    starts = dict.fromkeys(rules, side_by_side.equal_flow())
    rounds, tables = [], {rule: [] for rule in rules}
    for first in range(0, size.rounds, size.at_a_time):
        setting.tell(f"rounds {first:,} to {first + size.at_a_time:,}: {', '.join(rules)}")
        endowments = _recorded(market, key, first, size.at_a_time)
        for rule, (strategy, schedule) in rules.items():
            run = simulate(
                side_by_side,
                strategy,
                rounds=size.at_a_time,
                every=size.every,
                schedule=schedule,
                endowments=endowments,
                record=record,
                start=starts[rule],
            )
            starts[rule] = run.final
            new = slice(1 if first else 0, None)  # a part begins with the record that the last ended with
            tables[rule].append({name: x[new] for name, x in run.records.items()})
        rounds.append(run.rounds[new])
    shape = -1, len(PROCESSES), market.num_markets
    found = {
        name: {r: np.concatenate([x[name] for x in parts]).reshape(shape) for r, parts in tables.items()}
        for name in record
    }
    return Errors(
        np.concatenate(rounds),
        np.repeat(np.arange(len(grid)), size.each),
        tuple(grid),
        size.agents,
        {name: process.variation for name, process in PROCESSES.items()},
        noise(market, equilibrium.groups),
        **found,
    )


def noise(market: Market, groups: Groups) -> Float[np.ndarray, "markets"]:
    """By how much what arrives for agents varies over one round, per variation of endowments: √mean_j σ_j².

    An agent's block receives what its givers have in that round. With independent endowments of variation
    1 that has the relative deviation σ_j = √(Σ w_p²) / Σ w_p, p over the givers of the block in which j
    receives.
    """
    w, n = np.asarray(market.contribution), market.num_agents
    given, squares = (np.bincount(groups.gives_in_block, x, n) for x in (w, w**2))
    block = np.asarray(groups.receives_in_block)
    variance = squares[block] / given[block] ** 2
    return np.sqrt(market.total(variance) / market.total(np.ones(n)))


def _recorded(market: Market, key, first: int, number: int) -> Recorded:
    """The endowments of some rounds, of all copies; the same however rounds are divided."""
    with jax.enable_x64(True):
        values = _draw(market.bare(), key, jnp.asarray(first, jnp.int64), number)
    return Recorded(np.asarray(first, np.int64), np.asarray(values))


@eqx.filter_jit
def _draw(market, key, first, number: int):
    def one_round(round):
        keys = jax.random.split(jax.random.fold_in(key, round), len(PROCESSES))
        draws = (p.endowments.draw(market, round, k) for p, k in zip(PROCESSES.values(), keys, strict=True))
        return jnp.concatenate(list(draws))

    return jax.lax.map(one_round, first + jnp.arange(number))


def _worst(best, market, state):
    return metrics.worst_relative_error(market, state.average_utility, best)


def _rms(best, market, state):
    square = (state.average_utility / best - 1) ** 2
    return jnp.sqrt(market.total(square) / market.total(jnp.ones_like(square)))


def _loss(best, market, state):
    return metrics.misallocated_share(market, state.average_utility, best)
