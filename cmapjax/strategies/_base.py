"""What an agent may know, and what a strategy is."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from cmapjax._columns import total
from cmapjax._types import Array


class Beyond(eqx.Module):
    """The members of an agent's community that it cannot give to: more than one hop away.

    Known because a community shares what its members contribute and have received. Absent members
    (padding) have contribution 0.
    """

    contribution: Float[Array, "members *agents"]
    utility: Float[Array, "members *agents"]


class View(eqx.Module):
    """What one agent knows when its turn comes. One entry per neighbour; absent ones (padding) are zero.

    All amounts are value. Whatever is not here, no strategy can use. (The engine holds views of many
    agents, along a last axis; a strategy sees one.)
    """

    budget: Float[Array, "*agents"]
    """Value of the agent's surplus this round: w_i when it is constant. What is not given is lost."""
    is_neighbour: Bool[Array, "neighbours *agents"]
    """False on padding."""
    sent: Float[Array, "neighbours *agents"]
    """y_ij, what the agent gave when it last acted: it remembers its own last move, nothing older."""
    received: Float[Array, "neighbours *agents"]
    """y_ji, what each neighbour gave the agent: it can tell who gave what."""
    contribution: Float[Array, "neighbours *agents"]
    """w_j, each neighbour's mean contribution: every agent announces its own to its neighbours."""
    utility: Float[Array, "neighbours *agents"]
    """u_j, what each neighbour received in all: announced likewise."""
    degree: Float[Array, "neighbours *agents"]
    """Each neighbour's number of neighbours: announced, so a giver can tell how many others give to it."""
    max_degree: Float[Array, "*agents"]
    """The largest degree in the market, published by the network's administrator."""
    beyond: Beyond | None = None
    """The rest of the agent's community, for strategies whose `hops` reach beyond 1."""


class Strategy(eqx.Module):
    """How one agent answers what it sees. A strategy of your own implements `respond`.

    Hyperparameters are fields holding arrays (`eqx.field(converter=np.asarray)`), so that changing one
    does not recompile. Batching over agents happens outside.
    """

    @abc.abstractmethod
    def respond(self, view: View) -> Float[Array, "neighbours"]:
        """The agent's next row: value to give each neighbour.

        It must be non-negative, sum to `view.budget` and be zero where `view.is_neighbour` is false;
        `cmapjax.testing.check_strategy` tells whether it is.
        """

    @property
    def hops(self) -> int | float:
        """How far the agent's community reaches; beyond 1, `view.beyond` holds its further members."""
        return 1


def repeat(view: View) -> Float[Array, "neighbours"]:
    """The agent's last row again, scaled to this round's budget: y_ij b_i / Σ_k y_ik.

    An agent that gave nothing last time (it had nothing) splits equally.
    """
    spent = total(view.sent)
    scale = view.budget / jnp.where(spent > 0, spent, 1)
    return jnp.where(spent > 0, view.sent * scale, split_equally(view))


def split_equally(view: View) -> Float[Array, "neighbours"]:
    """The budget in equal parts: b_i / deg(i) for every neighbour."""
    count = total(view.is_neighbour.astype(view.sent.dtype))
    return jnp.where(view.is_neighbour, view.budget / jnp.maximum(count, 1), 0)


def given_by_others(view: View) -> Float[Array, "neighbours"]:
    """c_j = u_j − y_ij ≥ 0, what each neighbour has from others (value).

    Where nobody else gives, rounding may leave a trace below zero, which is cut off. The cut is of
    rounding alone, so derivatives pass it: where others give nothing yet, c_j can still rise.
    """
    rest = view.utility - view.sent
    return rest + jax.lax.stop_gradient(jnp.maximum(rest, 0) - rest)
