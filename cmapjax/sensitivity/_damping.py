"""The damping that brings each market closest to its equilibrium, by a grid and a search around its best."""

import dataclasses

import numpy as np
from jaxtyping import Float

from cmapjax import metrics
from cmapjax.arguments._checks import check_kind
from cmapjax.arguments._labelled import by_name
from cmapjax.engine._simulate import simulate
from cmapjax.market._filled import weights
from cmapjax.market._market import Market
from cmapjax.runtime._settings import entry
from cmapjax.schedules._schedule import Schedule, Simultaneous
from cmapjax.strategies import CMAP, Damped, FixedDamping, PerAgent, Strategy

# An agent with less than this share of its contribution (or priority) counts as having that much, so that the
# loss of a market in which an agent starves is large but finite.
FLOOR = 1e-9
# The share of the tried values that form the grid.
GRID = 2 / 3


@dataclasses.dataclass(frozen=True)
class BestDamping:
    """The best damping found for each market. A loss is the log welfare loss after the last round."""

    theta: Float[np.ndarray, "markets"]
    """θ, the best value found."""
    loss: Float[np.ndarray, "markets"]
    """The loss under it."""
    safe_theta: Float[np.ndarray, "markets"]
    """1/Δ, at which the search starts: with it simultaneous CMAP never lowers welfare."""
    safe_loss: Float[np.ndarray, "markets"]
    """The loss under 1/Δ."""
    history: Float[np.ndarray, "steps markets"]
    """The least loss after each step."""


@entry(remedy="differentiate a run instead (cmapjax.simulate)", any_market=True)
def best_damping(
    market: Market,
    strategy: Strategy = CMAP(),  # noqa: B008 - immutable
    *,
    equilibrium,
    rounds: int = 20,
    schedule: Schedule = Simultaneous(),  # noqa: B008
    steps: int = 180,
) -> BestDamping:
    """The damping θ of each market with which a strategy ends nearest to the equilibrium.

    It minimises the log welfare loss after the last round: it tries 1/Δ, then an even grid of θ up to 1, then
    values ever closer to the best one on both sides. All markets of an ensemble are tried at once, each with
    its own θ. This is a heuristic: with large steps a run can be chaotic, and a narrow minimum between two
    values of the grid may be missed. The result is never worse than 1/Δ or any θ of the grid.

    Args:
        strategy: what is damped, without parameters of its own.
        equilibrium: utilities u*, of `solve`, a vector over agents.
        rounds: of the run, from an equal split.
        schedule: not a random one.
        steps: values of θ tried in each market, each by one run; two thirds of them on the grid.

    Returns:
        The best θ of every market, with the loss that it leaves.

    Raises:
        ValueError: a random schedule; fewer than one step.
    """
    check_kind("strategy", strategy, Strategy, "CMAP()")
    if schedule.is_random:
        raise ValueError("schedule: the best damping of a random schedule is another one every time.")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps is {steps!r}; give a whole number, 1 or more.")
    equilibrium = by_name("equilibrium", equilibrium, market.labels)
    plan = schedule.plan(market, strategy.hops)
    floor = FLOOR * np.asarray(weights(market))

    def losses(theta):
        damped = PerAgent(Damped(strategy, FixedDamping(theta[market.market_of])))
        run = simulate(market, damped, rounds=rounds, schedule=plan, record={})
        return metrics.log_welfare_loss(market, np.maximum(run.final.utility, floor), equilibrium)

    safe = 1 / np.asarray(market.largest(np.asarray(market.degree, np.float64)))
    theta, first = safe, losses(safe)
    loss, history = first, [first]
    num_grid = int(GRID * (steps - 1))
    for k in range(num_grid):
        theta, loss = _better(theta, loss, np.full_like(safe, (k + 1) / num_grid), losses)
        history.append(loss)
    reach = np.full_like(safe, 1 / max(num_grid, 1))
    before = np.full_like(loss, np.inf)
    for k in range(steps - 1 - num_grid):
        # One value above and one below; if neither is better, the distance is halved.
        if k % 2 == 0:
            reach, before = np.where(loss < before, reach, reach / 2), loss
        other = theta + (-1) ** k * reach
        theta, loss = _better(theta, loss, np.where((other > 0) & (other <= 1), other, theta), losses)
        history.append(loss)
    return BestDamping(theta, loss, safe, first, np.array(history))


def _better(theta, loss, other, losses):
    """For each market the θ with the smaller loss."""
    new = losses(other)
    improves = new < loss
    return np.where(improves, other, theta), np.where(improves, new, loss)
