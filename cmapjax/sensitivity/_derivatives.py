"""The equilibrium as a differentiable function of contributions and the other fields of a market."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from cmapjax.arguments._checks import check_span
from cmapjax.equilibrium._decomposition import as_integers, blocks, decompose
from cmapjax.equilibrium._equilibrium import Groups, check_representable
from cmapjax.market._market import Market
from cmapjax.runtime._precision import float64_on_host, namespace
from cmapjax.runtime._settings import entry, is_traced
from cmapjax.runtime._types import Array
from cmapjax.sensitivity._fields import (
    CONTRIBUTIONS,
    check_field,
    numbers_of,
    places,
    renewed,
    with_field,
)
from cmapjax.sensitivity._support import Supported
from cmapjax.sensitivity._supported import support_by_callback, supported_utility

MOST_ENTRIES = 100_000_000
# By how much utilities may differ from the solver's, in parts of them: sums are taken in another order.
UTILITY_ERROR = 1e-7


@entry(any_precision=True, any_market=True)
def equilibrium_utility(
    market: Market, groups: Groups | None = None, *, fairness: float = 1.0
) -> Float[Array, "agents"]:
    """u*_j of the equilibrium, which JAX can differentiate in all real numbers of a market, in both modes,
    and vmap.

    Given the blocks of exchange (`Groups`), u*_j = w_j · w(givers of j's block) / w(its receivers). Blocks
    are piecewise constant in the contributions, so the derivative is exact wherever they do not change
    nearby; `margins` says how far that reaches. At a *kink*, where two blocks that a link connects have the
    same ratio, they count as one, and the derivative is that of the side on which they stay together.

    In a market with other terms, parts take the place of blocks: agents connected by links on which a unit
    earns what its giver earns at best. Who has all that it can use, which links are full and who counts stay
    as they are; `kinks` says where that changes at the slightest move. Where there is no derivative, 0 stands
    for it, NaN in `gradient` and `jacobian`.

    Inside transformations everything is in the precision of the input: take derivatives inside
    `jax.enable_x64(True)` for float64.

    Args:
        market: numbers may be traced, `market.with_contributions(endowment=traced)`.
        groups: `Equilibrium.groups`, if known; otherwise they are found on the host, by exact maximum
            flows, from the values at hand. Markets with other terms have none.
        fairness: α, as `solve` takes it. It matters only with losses.

    Returns:
        One utility per agent (value), in the caller's order.

    Raises:
        ValueError: contributions whose ratios overflow float64, or a utility below its range. (Inside
            transformations nothing is refused: such a utility is 0.)
    """
    if market.terms:
        _check_no_groups(market, groups)
        return supported_utility(market, support_by_callback(market, fairness), fairness)
    is_plain = not is_traced(market)
    if is_plain:
        check_span(
            np.asarray(market.contribution),
            "float64",
            lambda i: market.labels[i],
            np.asarray(market.market_of),
        )
    w = jnp.asarray(market.contribution)
    gives_in, receives_in = _find_blocks(market, w) if groups is None else _blocks_of(groups)
    n = market.num_agents
    given = jax.ops.segment_sum(w, gives_in, n)
    wanted = jax.ops.segment_sum(w, receives_in, n)
    ratio = (given / jnp.where(wanted > 0, wanted, 1))[receives_in]
    if is_plain:
        check_representable(market, np.asarray(ratio))
    return w * ratio


def _check_no_groups(market: Market, groups) -> None:
    if groups is not None:
        raise ValueError(
            f"groups: this market has {', '.join(market.terms)}, and groups are of markets of endowments and "
            "values only; leave groups out."
        )


def _blocks_of(groups: Groups) -> tuple[Int[Array, "agents"], Int[Array, "agents"]]:
    return jnp.asarray(groups.gives_in_block), jnp.asarray(groups.receives_in_block)


def _find_blocks(market: Market, w) -> tuple[Int[Array, "agents"], Int[Array, "agents"]]:
    """The blocks in which agents give and receive, by a callback to the host."""
    shape = jax.ShapeDtypeStruct((market.num_agents,), np.int32)
    # A separate argument, because the contributions in the market may be traced by two transformations.
    network = jax.lax.stop_gradient(jax.tree.map(jnp.asarray, market.bare()))
    w = jax.lax.stop_gradient(w)
    return jax.pure_callback(_blocks_on_host, (shape, shape), network, w, vmap_method="expand_dims")


def _blocks_on_host(market: Market, w) -> tuple[np.ndarray, np.ndarray]:
    """Vmapped contributions have leading axes; their markets are solved side by side."""
    w = np.asarray(w, np.float64)
    lead, n = w.shape[:-1], w.shape[-1]
    if any(size > 1 for size in market.market_of.shape[:-1]):
        raise ValueError("equilibrium_utility: vmap over contributions only; pack networks into one market.")
    single = jax.tree.map(lambda x: np.asarray(x)[(0,) * len(lead)], market)
    copy = np.arange(w.size // n)[:, None]
    giver, receiver = ((copy * n + arc).ravel() for arc in single.arcs())
    market_of = (copy * single.num_markets + single.market_of).ravel()
    weight, _ = as_integers(w.ravel(), market_of)
    found = decompose(giver, receiver, weight, market_of)
    named = blocks(giver, receiver, found.gives_in, found.receives_in)
    return tuple((x.reshape(-1, n) - copy * n).reshape(*lead, n).astype(np.int32) for x in named)


def utility_of(label) -> Callable:
    """The objective "utility of the agent with this label" (value): a function of (market, utility)."""

    @float64_on_host(any_market=True)
    def utility(market: Market, utility):
        agent, xp = market.index(label), namespace(market, utility)
        return xp.where(xp.arange(market.num_markets) == market.market_of[agent], utility[agent], 0)

    return utility


class _Function:
    """Utilities as a function of one field, in a market whose blocks or support are known or found once."""

    def __init__(self, market: Market, field: str, groups: Groups | None, fairness: float):
        check_field(field)
        if field not in CONTRIBUTIONS or market.terms:
            _check_no_groups(market, groups)
        self.market, self.field, self.groups, self.fairness = (
            with_field(market, field),
            field,
            groups,
            fairness,
        )
        self.at = jnp.asarray(numbers_of(self.market, field))
        self.supported = Supported(self.market, fairness) if self.market.terms else None
        self.support = None if self.supported is None else self.supported.support()

    def changed(self, x) -> Market:
        return renewed(self.market, self.field, x)

    def utility(self, market: Market):
        if self.support is None:
            return equilibrium_utility(market, self.groups)
        return supported_utility(market, self.support, self.fairness)

    def slope(self, slope: Float[np.ndarray, "..."], utility) -> Float[np.ndarray, "..."]:
        """The derivative, its last axis along the field, with NaN where there is none.

        Raises:
            ArithmeticError: the utilities of the support are not those of the solver.
        """
        slope = np.array(slope)
        if self.supported is None:
            return slope
        error = self.supported.max_error(np.asarray(utility))
        if not error <= UTILITY_ERROR:
            raise ArithmeticError(
                f"equilibrium: utilities of the links found in use are wrong by {error:.1e}; please report "
                "this market."
            )
        slope[..., self.supported.undefined(self.field)] = np.nan
        return slope


@entry(remedy="differentiate cmapjax.equilibrium_utility instead", any_market=True)
def gradient(
    market: Market,
    objective: Callable[[Market, Array], Array],
    *,
    with_respect_to: str = "endowment",
    groups: Groups | None = None,
    fairness: float = 1.0,
) -> Float[np.ndarray, "..."]:
    """∂ objective(market, u*) / ∂ endowment_i, or another field, of each agent's own market.

    Args:
        objective: a function of (market, utility) giving one number per market, such as
            `metrics.log_nash_welfare`, `min_ratio` or `utility_of(label)`.
        with_respect_to: "endowment" (result per unit of i's resource), "value", "priority", "demand",
            "own_use", "capacity" or "efficiency". What the market lacks is taken as it is then: no demand
            limits anything, the priority is the contribution, which endowments then no longer move.
        groups: `Equilibrium.groups`, if known.
        fairness: α, as `solve` takes it.

    Returns:
        One number per agent; of capacity and efficiency one per arc, in the order of `Market.arcs`, both
        directions of a link apart. At a kink (`kinks`) it is one-sided, and NaN where there is none to either
        side.

    Raises:
        ValueError: another `with_respect_to`; groups of a market that has none.
    """
    function = _Function(market, with_respect_to, groups, fairness)

    def total(x):
        changed = function.changed(x)
        utility = function.utility(changed)
        return jnp.sum(objective(changed, utility)), utility

    slope, utility = eqx.filter_jit(jax.grad(total, has_aux=True))(function.at)
    return function.slope(slope, utility)


@entry(remedy="differentiate cmapjax.equilibrium_utility instead", any_market=True)
def jacobian(
    market: Market,
    *,
    of: Sequence | None = None,
    by: Sequence | None = None,
    with_respect_to: str = "endowment",
    groups: Groups | None = None,
    fairness: float = 1.0,
) -> Float[np.ndarray, "of by"]:
    """J[j, i] = ∂ u*_j / ∂ endowment_i, or another field: who gains when agent i brings one unit more.

    Args:
        of: labels of the agents j whose utility is asked for; by default everybody's.
        by: labels of the agents i whose number is moved; by default all. For capacity and efficiency pairs
            (giver, receiver).
        with_respect_to: as for `gradient`.
        groups: `Equilibrium.groups`, if known.
        fairness: α, as `solve` takes it.

    Returns:
        A row per agent of `of`, a column per agent (or arc) of `by`; NaN as in `gradient`.

    Raises:
        ValueError: more than 1e8 numbers to compute, which is those of the smaller side for all agents;
            pairs that are no links; otherwise as `gradient`.
    """
    check_field(with_respect_to)
    n = len(numbers_of(with_field(market, with_respect_to), with_respect_to))
    rows, columns = places(market, of), places(market, by, with_respect_to)
    if min(len(rows), len(columns)) * max(n, market.num_agents) > MOST_ENTRIES:
        raise ValueError(
            f"jacobian: {len(rows):,} by {len(columns):,} numbers are too many; name fewer agents, of=[…] "
            "or by=[…], or take `gradient` of an objective."
        )
    function = _Function(market, with_respect_to, groups, fairness)

    def utility(x):
        return function.utility(function.changed(x))

    def pull(x):  # one row at a time
        found, back = jax.vjp(utility, x)
        slope = jax.vmap(lambda row: back(jnp.zeros_like(found).at[row].set(1))[0])(rows)
        return slope[:, columns], found

    def push(x):  # one column at a time
        found, ahead = jax.linearize(utility, x)
        slope = jax.vmap(lambda column: ahead(jnp.zeros_like(x).at[column].set(1)))(columns)
        return slope[:, rows].T, found

    slope, found = jax.jit(pull if len(rows) <= len(columns) else push)(function.at)
    every = np.zeros((len(rows), n))
    every[:, columns] = slope
    return function.slope(every, found)[:, columns]


@entry(remedy="differentiate cmapjax.equilibrium_utility instead", any_market=True)
def elasticities(
    market: Market, *, of: Sequence | None = None, by: Sequence | None = None, groups: Groups | None = None
) -> Float[np.ndarray, "of by"]:
    """∂ log u*_j / ∂ log ε_i: per cent that j gains when agent i brings one per cent more.

    The same for endowments and values, which enter as a product. In markets without other terms full rows
    sum to 1: when everybody brings one per cent more, everybody gets one per cent more. Arguments as for
    `jacobian`.

    Args:
        of, by, groups: as for `jacobian`.

    Returns:
        A row per agent of `of`, a column per agent of `by`; dimensionless, 0 of an agent that has nothing.

    Raises:
        ValueError: as `jacobian`.
    """
    rows, columns = places(market, of), places(market, by)
    slope = jacobian(market, of=of, by=by, groups=groups)
    utility = np.asarray(equilibrium_utility(market.bare(), groups))[rows, None]
    change = slope * np.asarray(market.endowment)[columns]
    return np.where(utility > 0, change / np.where(utility > 0, utility, 1), 0)


@entry(remedy="take them of plain numbers", any_market=True)
def kinks(
    market: Market, *, with_respect_to: str = "endowment", fairness: float = 1.0
) -> Bool[np.ndarray, "..."]:
    """Where a derivative of the equilibrium differs from side to side, or there is none.

    A part of the market (`equilibrium_utility`) is about to change if two pieces of it are joined only by
    links that carry nothing, or all they can, in every equilibrium; if somebody's demand is met exactly; or
    if an agent has exactly what its full links can take. There is no derivative at all where a little more
    would make somebody count who does not, and with respect to efficiencies on a cycle of links in use, since
    amounts on such links are not settled.

    Args:
        with_respect_to, fairness: as for `gradient`.

    Returns:
        One truth value per number of the field, in its order; equal to within 1e-9.

    Raises:
        ValueError: another `with_respect_to`.
    """
    check_field(with_respect_to)
    full = with_field(market, with_respect_to)
    if not full.terms:
        full = with_field(full, "own_use")
    return Supported(full, fairness).kinks(with_respect_to)
