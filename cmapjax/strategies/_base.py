"""What an agent may know, and what a strategy is."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from cmapjax.market._columns import total
from cmapjax.runtime._types import Array
from cmapjax.strategies import _calls


class Beyond(eqx.Module):
    """The members of an agent's community that it cannot give to: more than one hop away.

    Known because a community shares what its members contribute and have received. Absent members
    (padding) have contribution 0.
    """

    contribution: Float[Array, "members *agents"]
    utility: Float[Array, "members *agents"]


class Link(eqx.Module):
    """What both ends of a link know of it, `i` the giver and `j` the receiver. All amounts are value."""

    sent: Float[Array, "..."]
    """y_ij, what i gave to j when it last acted."""
    repeated: Float[Array, "..."]
    """What i would give to j now by giving as before: y_ij b_i / Σ_k y_ik, its last row scaled to what it
    has this round (an equal part, b_i / deg(i), if it gave nothing last time). Both know, since the giver
    tells its neighbours by how much more or less it has."""
    received: Float[Array, "..."]
    """y_ji, what i received from j."""
    contribution: Float[Array, "..."]
    """w_j, the receiver's mean contribution: every agent announces its own to its neighbours."""
    utility: Float[Array, "..."]
    """u_j, what the receiver received in all: announced likewise."""
    degree: Float[Array, "..."]
    """The receiver's number of neighbours: announced, so a giver can tell how many others give to it."""
    average_utility: Float[Array, "..."] | None = eqx.field(default=None, kw_only=True)
    """ū_j, the mean value that the receiver has received per round up to last round (of the start, before
    the first). Each agent adds up its own receipts and announces their mean when a round has ended, as
    it announces u_j. For strategies that say they look at it (`Strategy.needs_averages`); else None."""


class View(Link):
    """What one agent knows when its turn comes. One entry per neighbour; absent ones (padding) are zero.

    Of its links with every neighbour it knows what both ends know (`Link`): it remembers its own last row,
    nothing older (what is older reaches it in the averages that others announce), and can tell who gave
    what. Whatever is not here, no strategy can use. (The engine holds views of many agents, along a last
    axis; a strategy sees one.)
    """

    budget: Float[Array, "*agents"]
    """Value of the agent's surplus this round: w_i when it is constant. What is not given is lost."""
    is_neighbour: Bool[Array, "neighbours *agents"]
    """False on padding."""
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

    @property
    def needs_averages(self) -> bool:
        """Whether it looks at `average_utility`, which is worked out for such strategies alone."""
        return False

    @property
    def is_posted(self) -> bool:
        """Whether answers follow from what agents post, by `post` and `flow` (see `PostedStrategy`)."""
        return False


class PostedStrategy(Strategy):
    """A strategy by which an agent posts a few numbers, the same for all its neighbours: its terms.

    What it gives to a neighbour follows from its terms and from what both ends of the link know, so the
    neighbour can tell what it will receive as well as the giver can: CMAP posts its water level (the
    inverse of a price), proportional response what it returns per unit received. That is also why such
    a strategy is fast: nothing about a link has to be carried from one end to the other.
    """

    @property
    def is_posted(self):
        return True

    @abc.abstractmethod
    def post(self, view: View):
        """The agent's terms: numbers, in any tree."""

    @abc.abstractmethod
    def flow(self, terms, link: Link) -> Float[Array, "neighbours"]:
        """What an agent with these terms gives on a link, one by one for many; ignored on padding.

        Args:
            terms: what the giver has posted (`post`).
            link: what both ends know of the link; of one neighbour or, along its axis, of many.

        Returns:
            y_ij for each entry of the link (value).
        """

    def respond(self, view: View):
        terms = _calls.post(self, view)
        return jnp.where(view.is_neighbour, _calls.flow(self, terms, view), 0)


def repeat(view: View) -> Float[Array, "neighbours"]:
    """The agent's last row again, scaled to this round's budget: `view.repeated`."""
    return view.repeated


def split_equally(view: View) -> Float[Array, "neighbours"]:
    """The budget in equal parts: b_i / deg(i) for every neighbour."""
    return jnp.where(view.is_neighbour, equal_part(view), 0)


def equal_part(view: View) -> Float[Array, ""]:
    """b_i / deg(i), one of the parts of `split_equally`."""
    count = total(view.is_neighbour.astype(view.sent.dtype))
    return view.budget / jnp.maximum(count, 1)


def given_by_others(link: Link) -> Float[Array, "neighbours"]:
    """c_j = u_j − y_ij ≥ 0, what each neighbour has from others (value).

    Where nobody else gives, rounding may leave a trace below zero, which is cut off. The cut is of
    rounding alone, so derivatives pass it: where others give nothing yet, c_j can still rise.
    """
    rest = link.utility - link.sent
    return rest + jax.lax.stop_gradient(jnp.maximum(rest, 0) - rest)
