"""The equilibrium as a differentiable function of contributions."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from cmapjax import metrics
from cmapjax.arguments._checks import check_span, listed
from cmapjax.equilibrium._decomposition import as_integers, blocks, decompose
from cmapjax.equilibrium._equilibrium import Groups, check_representable
from cmapjax.market._market import Market
from cmapjax.runtime._precision import float64_on_host, namespace
from cmapjax.runtime._settings import entry, is_traced
from cmapjax.runtime._types import Array

FIELDS = ("endowment", "value")
MOST_ENTRIES = 100_000_000


@entry(any_precision=True)
def equilibrium_utility(market: Market, groups: Groups | None = None) -> Float[Array, "agents"]:
    """u*_j of the equilibrium, which JAX can differentiate in endowments and values, in both modes, and vmap.

    Given the blocks of exchange (`Groups`), u*_j = w_j · w(givers of j's block) / w(its receivers). Blocks
    are piecewise constant in the contributions, so the derivative is exact wherever they do not change
    nearby; `margins` says how far that reaches. At a *kink*, where two blocks that a link connects have the
    same ratio, they count as one, and the derivative is that of the side on which they stay together.

    Inside transformations everything is in the precision of the input: take derivatives inside
    `jax.enable_x64(True)` for float64.

    Args:
        market: contributions may be traced, `market.with_contributions(endowment=traced)`.
        groups: `Equilibrium.groups`, if known; otherwise they are found on the host, by exact maximum
            flows, from the values at hand.

    Returns:
        One utility per agent (value), in the caller's order.

    Raises:
        ValueError: contributions whose ratios overflow float64, or a utility below its range. (Inside
            transformations nothing is refused: such a utility is 0.)
    """
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

    @float64_on_host
    def utility(market: Market, utility):
        agent, xp = market.index(label), namespace(market, utility)
        return xp.where(xp.arange(market.num_markets) == market.market_of[agent], utility[agent], 0)

    return utility


@float64_on_host
def min_ratio(market: Market, utility: Float[Array, "agents"]) -> Float[Array, "markets"]:
    """The objective "ratio of the poorest agent".

    Args:
        utility: u_j, the value that each agent received.

    Returns:
        One number per market.
    """
    return market.smallest(metrics.ratio(market, utility))


@entry(remedy="differentiate cmapjax.equilibrium_utility instead")
def gradient(
    market: Market,
    objective: Callable[[Market, Array], Array],
    *,
    with_respect_to: str = "endowment",
    groups: Groups | None = None,
) -> Float[np.ndarray, "agents"]:
    """∂ objective(market, u*) / ∂ endowment_i (or value_i), of each agent's own market.

    Args:
        objective: a function of (market, utility) giving one number per market, such as
            `metrics.log_nash_welfare`, `min_ratio` or `utility_of(label)`.
        with_respect_to: "endowment" (result per unit of i's resource) or "value".
        groups: `Equilibrium.groups`, if known.

    Returns:
        One number per agent.

    Raises:
        ValueError: another `with_respect_to`.
    """
    _check_field(with_respect_to)
    given = getattr(market, with_respect_to)

    def total(x):
        changed = market.with_contributions(**{with_respect_to: x})
        return jnp.sum(objective(changed, equilibrium_utility(changed, groups)))

    return np.asarray(eqx.filter_jit(jax.grad(total))(jnp.asarray(given)))


@entry(remedy="differentiate cmapjax.equilibrium_utility instead")
def jacobian(
    market: Market,
    *,
    of: Sequence | None = None,
    by: Sequence | None = None,
    with_respect_to: str = "endowment",
    groups: Groups | None = None,
) -> Float[np.ndarray, "of by"]:
    """J[j, i] = ∂ u*_j / ∂ endowment_i (or value_i): who gains when agent i brings one unit more.

    Args:
        of: labels of the agents j whose utility is asked for; by default everybody's.
        by: labels of the agents i who bring more; by default everybody.
        with_respect_to: "endowment" (value per unit of i's resource) or "value".
        groups: `Equilibrium.groups`, if known.

    Returns:
        A row per agent of `of`, a column per agent of `by`.

    Raises:
        ValueError: more than 1e8 numbers to compute, which is those of the smaller side for all agents.
    """
    _check_field(with_respect_to)
    n = market.num_agents
    rows, columns = _numbers(market, of), _numbers(market, by)
    if min(len(rows), len(columns)) * n > MOST_ENTRIES:
        raise ValueError(
            f"jacobian: {len(rows):,} by {len(columns):,} numbers are too many; name fewer agents, of=[…] "
            "or by=[…], or take `gradient` of an objective."
        )

    def utility(x):
        return equilibrium_utility(market.with_contributions(**{with_respect_to: x}), groups)

    def pull(x):  # one row at a time
        _, back = jax.vjp(utility, x)
        return jax.vmap(lambda row: back(jnp.zeros_like(x).at[row].set(1))[0])(rows)[:, columns]

    def push(x):  # one column at a time
        _, ahead = jax.linearize(utility, x)
        return jax.vmap(lambda column: ahead(jnp.zeros_like(x).at[column].set(1)))(columns)[:, rows].T

    x = jnp.asarray(getattr(market, with_respect_to))
    return np.asarray(jax.jit(pull if len(rows) <= len(columns) else push)(x))


def _numbers(market: Market, labels: Sequence | None) -> np.ndarray:
    if labels is None:
        return np.arange(market.num_agents)
    return np.array([market.index(label) for label in labels], np.int64)


@entry(remedy="differentiate cmapjax.equilibrium_utility instead")
def elasticities(
    market: Market, *, of: Sequence | None = None, by: Sequence | None = None, groups: Groups | None = None
) -> Float[np.ndarray, "of by"]:
    """∂ log u*_j / ∂ log ε_i: per cent that j gains when agent i brings one per cent more.

    The same for endowments and values, which enter as a product. Full rows sum to 1: when everybody
    brings one per cent more, everybody gets one per cent more. Arguments as for `jacobian`.

    Args:
        of, by, groups: as for `jacobian`.

    Returns:
        A row per agent of `of`, a column per agent of `by`; dimensionless.

    Raises:
        ValueError: as `jacobian`.
    """
    rows, columns = _numbers(market, of), _numbers(market, by)
    slope = jacobian(market, of=of, by=by, groups=groups)
    utility = np.asarray(equilibrium_utility(market.bare(), groups))
    return slope * np.asarray(market.endowment)[columns] / utility[rows, None]


def _check_field(name: str) -> None:
    if name not in FIELDS:
        raise ValueError(f"with_respect_to is {name!r}; give one of {listed(FIELDS)}.")
