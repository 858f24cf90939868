"""Parameters that differ from agent to agent."""

import equinox as eqx
import jax
import numpy as np

from cmapjax.arguments._checks import check_kind
from cmapjax.arguments._labelled import unlabelled
from cmapjax.strategies._base import Around, Strategy


class PerAgent(Around):
    """A strategy whose parameters are vectors over agents: each agent follows it with its own parameters.

    For example `PerAgent(Damped(CMAP(), theta[market.market_of]))` gives each market of an ensemble its own
    damping. All parameters of the strategy are plain arrays over agents in the caller's order: a strategy
    does not know the agents' names.

    Args:
        strategy: any strategy with such parameters; its code is still that of one agent.

    Raises:
        ValueError: a strategy without parameters, or with some that are not vectors of one length.
    """

    def __check_init__(self):
        check_kind("strategy", self.strategy, Strategy, "Damped(CMAP(), theta)")
        for leaf in jax.tree.leaves(self.strategy):
            unlabelled("strategy: a parameter", leaf)
        shapes = {np.shape(x) for x in jax.tree.leaves(self.strategy) if eqx.is_array_like(x)}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise ValueError(
                f"strategy: its parameters have the shapes {sorted(shapes)}; give every one as a vector over "
                "agents."
            )

    @property
    def num_agents(self) -> int:
        """The number of agents for which it holds parameters."""
        return jax.tree.leaves(self.strategy)[0].shape[0]

    def respond(self, view):
        """Raises TypeError: the engine hands each agent its own parameters and calls `strategy`."""
        raise TypeError("PerAgent.respond: one agent's view does not say which agent it is.")
