"""Where extra endowment raises an objective most."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax import metrics
from cmapjax.market._market import Market
from cmapjax.runtime._settings import entry
from cmapjax.sensitivity._derivatives import equilibrium_utility

if TYPE_CHECKING:
    import optax


@dataclasses.dataclass(frozen=True)
class Placement:
    """A placement of extra endowment, and the objective (summed over markets) with and without it."""

    extra: Float[np.ndarray, "agents"]
    """The extra endowment in units of each agent's resource; its value sums to the budget."""
    before: float
    """The objective without it."""
    evenly: float
    """The objective with the budget split equally among all agents."""
    after: float
    """The objective with the placement."""
    history: Float[np.ndarray, "steps"]
    """The best objective after each step."""


@entry(remedy="differentiate cmapjax.equilibrium_utility instead", any_market=True)
def place_budget(
    market: Market,
    budget: float,
    objective: Callable = metrics.log_nash_welfare,
    *,
    steps: int = 200,
    optimiser: "optax.GradientTransformation | None" = None,
) -> Placement:
    """A budget of extra endowment placed where it raises the objective of the equilibrium most.

    Maximises objective(ε + a / v) over a ≥ 0, Σ a = budget, by an optimiser of optax with projection onto
    the simplex, from an equal split. The objective is piecewise smooth and need not be concave: this
    finds a good placement, not certainly the best; the best one met is returned.

    Args:
        budget: the extra value to place, above 0.
        objective: a function of (market, utility) giving one number per market.
        steps: gradient steps, each with one exact solve.
        optimiser: on shares of the budget; by default Adam with a cosine schedule from 0.05 to 0.

    Returns:
        The best placement that was met, and the objective before and after.

    Raises:
        ValueError: a budget that is not a positive number; fewer than one step.
    """
    if isinstance(budget, bool) or not isinstance(budget, (int, float)) or not 0 < budget < np.inf:
        raise ValueError(f"budget is {budget!r}; give a positive number (value).")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps is {steps!r}; give a whole number, 1 or more.")
    import optax

    if optimiser is None:
        optimiser = optax.adam(optax.cosine_decay_schedule(0.05, steps))
    endowment, value = jnp.asarray(market.endowment), jnp.asarray(market.value)

    def goal(share):
        richer = market.with_contributions(endowment=endowment + budget * share / value)
        return jnp.sum(objective(richer, equilibrium_utility(richer)))

    @eqx.filter_jit
    def step(share, state):
        slope = jax.grad(goal)(share)
        change, state = optimiser.update(-slope, state, share)
        share = optax.projections.projection_simplex(optax.apply_updates(share, change))
        return share, state, goal(share)

    share = jnp.full(market.num_agents, 1 / market.num_agents)
    before, evenly = float(goal(jnp.zeros_like(share))), float(goal(share))
    best, state, history = (evenly, share), optimiser.init(share), []
    for _ in range(steps):
        share, state, reached = step(share, state)
        if reached > best[0]:
            best = (float(reached), share)
        history.append(best[0])
    return Placement(
        np.asarray(best[1]) * budget / np.asarray(market.value), before, evenly, best[0], np.array(history)
    )
