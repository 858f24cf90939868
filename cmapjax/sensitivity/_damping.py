"""The damping that brings each market closest to its equilibrium, by gradient through the run."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from cmapjax import metrics
from cmapjax._checks import check_kind
from cmapjax._labelled import by_name
from cmapjax._market import Market
from cmapjax._schedule import Schedule, Simultaneous
from cmapjax._settings import entry
from cmapjax._simulate import simulate
from cmapjax.strategies import CMAP, Damped, FixedDamping, PerAgent, Strategy

# Below this share of its contribution an agent counts as having that much, so that a market that starves
# one has a loss, if a large one.
FLOOR = 1e-9
# θ is searched on a logit scale, which this keeps away from 0 and 1.
MARGIN = 1e-4


@dataclasses.dataclass(frozen=True)
class BestDamping:
    """Per market: the best θ found, and the loss it leaves. Losses are log Nash welfare missing."""

    theta: Float[np.ndarray, "markets"]
    loss: Float[np.ndarray, "markets"]
    safe_theta: Float[np.ndarray, "markets"]
    """1/Δ, with which the search begins: simultaneous CMAP never lowers welfare under it."""
    safe_loss: Float[np.ndarray, "markets"]
    history: Float[np.ndarray, "steps markets"]
    """The least loss so far."""


@entry(remedy="differentiate a run instead (cmapjax.simulate)")
def best_damping(
    market: Market,
    strategy: Strategy = CMAP(),  # noqa: B008 - immutable
    *,
    equilibrium,
    rounds: int = 20,
    schedule: Schedule = Simultaneous(),  # noqa: B008
    steps: int = 60,
    optimiser: optax.GradientTransformation | None = None,
) -> BestDamping:
    """The damping θ of each market with which a strategy ends nearest to the equilibrium.

    Minimises the log welfare loss after the last round, by the gradient through all of them, for all
    markets of an ensemble at once. Large steps can make a run chaotic, and its loss rugged; the search
    begins with the safe 1/Δ and returns the best θ that it met.

    Args:
        strategy: what is damped, without parameters of its own.
        equilibrium: utilities u*, of `solve`, a vector over agents.
        rounds: of the run, from an equal split.
        schedule: not a random one.
        steps: gradient steps.
        optimiser: on logit θ; by default Adam with a cosine schedule from 0.3 to 0.

    Raises:
        ValueError: a random schedule; fewer than one step.
    """
    check_kind("strategy", strategy, Strategy, "CMAP()")
    if schedule.is_random:
        raise ValueError("schedule: the best damping of a random schedule is another one every time.")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps is {steps!r}; give a whole number, 1 or more.")
    if optimiser is None:
        optimiser = optax.adam(optax.cosine_decay_schedule(0.3, steps))
    equilibrium = by_name("equilibrium", equilibrium, market.labels)
    plan = schedule.plan(market, strategy.hops)
    safe = 1 / np.asarray(market.largest(np.asarray(market.degree, np.float64)))

    def losses(logit):
        theta = jax.nn.sigmoid(logit)[market.market_of]
        damped = PerAgent(Damped(strategy, FixedDamping(theta)))
        run = simulate(market, damped, rounds=rounds, schedule=plan, record={})
        utility = jnp.maximum(run.final.utility, FLOOR * market.contribution)
        return metrics.log_welfare_loss(market, utility, equilibrium)

    @eqx.filter_jit
    def step(logit, state):
        loss, back = jax.vjp(losses, logit)
        (slope,) = back(jnp.ones_like(loss))  # markets do not touch: each slope is that of its own loss
        change, state = optimiser.update(jnp.where(jnp.isfinite(slope), slope, 0), state, logit)
        limit = jnp.log(1 / MARGIN)
        return loss, jnp.clip(optax.apply_updates(logit, change), -limit, limit), state

    logit = jax.scipy.special.logit(jnp.clip(safe, MARGIN, 1 - MARGIN))
    state, history = optimiser.init(logit), []
    best = first = None
    for _ in range(steps):
        tried = np.asarray(jax.nn.sigmoid(logit))
        loss, logit, state = step(logit, state)
        loss = np.asarray(loss)
        first = loss if first is None else first
        best = (tried, loss) if best is None else _better(best, (tried, loss))
        history.append(best[1])
    return BestDamping(best[0], best[1], safe, first, np.array(history))


def _better(best, new):
    """Market by market, whichever loses less."""
    improves = new[1] < best[1]
    return tuple(np.where(improves, n, b) for b, n in zip(best, new, strict=True))
