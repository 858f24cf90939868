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

    They are known because members of a community tell each other what they contribute and have received.
    Absent members (padding) have contribution 0.
    """

    contribution: Float[Array, "members *agents"]
    """w_j (value)."""
    utility: Float[Array, "members *agents"]
    """u_j (value)."""


class Link(eqx.Module):
    """What both ends of a link know of it, `i` the giver and `j` the receiver. All amounts are value."""

    sent: Float[Array, "..."]
    """y_ij, what i gave to j when it last acted."""
    repeated: Float[Array, "..."]
    """What i gives to j if it repeats its last row, scaled to what it has in this round: y_ij b_i / Σ_k y_ik
    (an equal part, b_i / deg(i), if it gave nothing last time). Both ends know it, because givers announce
    how much they have."""
    received: Float[Array, "..."]
    """y_ji, what i received from j."""
    contribution: Float[Array, "..."]
    """w_j, the receiver's mean contribution: every agent announces its own to its neighbours."""
    utility: Float[Array, "..."]
    """u_j, what the receiver received from all its neighbours; announced likewise."""
    degree: Float[Array, "..."]
    """The receiver's number of neighbours; announced, so that a giver knows how many others give to it."""
    average_utility: Float[Array, "..."] | None = eqx.field(default=None, kw_only=True)
    """ū_j, the mean value per round that the receiver has received up to the last round (before the first
    round, what the start gives it). Each agent adds up its receipts and announces their mean at the end of a
    round, as it announces u_j. None unless the strategy asks for it (`Strategy.needs_averages`)."""
    priority: Float[Array, "..."] | None = eqx.field(default=None, kw_only=True)
    """What the receiver announces as `claim`; None in a market without priorities, demands and the like."""
    capacity: Float[Array, "..."] | None = eqx.field(default=None, kw_only=True)
    """K_ij, the most that i can give to j in a round; None in a market without capacities."""
    demand: Float[Array, "..."] | None = eqx.field(default=None, kw_only=True)
    """D_j, all that the receiver can use, which it announces; None in a market without demands."""
    efficiency: Float[Array, "..."] | None = eqx.field(default=None, kw_only=True)
    """e_ij, what arrives of a unit that i gives to j; None in a market without losses."""

    @property
    def claim(self) -> Float[Array, "..."]:
        """β_j, by what the receiver's share is measured: its contribution, or its priority. An agent that has
        its demand claims less, so that others get more; it announces its claim at the end of a round."""
        return self.contribution if self.priority is None else self.priority


class View(Link):
    """What one agent knows when its turn comes. One entry per neighbour; absent ones (padding) are zero.

    It knows of each of its links what both ends know (`Link`). It remembers its own last row and nothing
    older; older rounds reach it only in the averages that others announce. A strategy can use nothing that is
    not here. (The engine holds views of many agents, along a last axis; a strategy sees one.)
    """

    budget: Float[Array, "*agents"]
    """b_i, the value of the agent's surplus in this round: w_i if it is constant. What is not given is
    lost."""
    is_neighbour: Bool[Array, "neighbours *agents"]
    """False on padding, and where nothing can be given: the arrow points the other way, or the receiver has
    no priority or enough without others."""
    max_degree: Float[Array, "*agents"]
    """Δ, the largest degree in the market, which the operator of the network publishes. Where not everybody
    can give to everybody, degrees here and in `degree` are numbers of givers."""
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
        `cmapjax.testing.check_strategy` tests that. In a market with capacities it must not exceed
        `view.capacity`, and sums to what these let through if that is less than the budget.
        """

    @property
    def hops(self) -> int | float:
        """k, how far the agent's community reaches; if it is above 1, `view.beyond` holds the members
        beyond."""
        return 1

    @property
    def needs_averages(self) -> bool:
        """Whether it uses `average_utility`, which is computed for such strategies only."""
        return False

    @property
    def uses_claims(self) -> bool:
        """Whether satisfied agents announce lower claims (`Link.claim`); if not, claims stay priorities."""
        return True

    @property
    def may_keep(self) -> bool:
        """Whether an agent may keep a part of its surplus that capacities would let through."""
        return False

    @property
    def is_posted(self) -> bool:
        """Whether rows follow from what agents post, by `post` and `flow` (see `PostedStrategy`)."""
        return False

    def check_market(self, market) -> None:
        """Raise ValueError, with the reason, if the strategy makes no sense on a market; by default never.

        Args:
            market: that it is to be played on.
        """


class Around(Strategy):
    """A strategy made of another one, which decides what it needs and where it makes sense."""

    strategy: Strategy

    @property
    def hops(self) -> int | float:
        return self.strategy.hops

    def check_market(self, market):
        self.strategy.check_market(market)

    @property
    def needs_averages(self):
        return self.strategy.needs_averages

    @property
    def uses_claims(self):
        return self.strategy.uses_claims

    @property
    def may_keep(self):
        return self.strategy.may_keep


class PostedStrategy(Strategy):
    """A strategy by which an agent posts a few numbers, its terms, which are the same for all neighbours.

    What it gives to a neighbour follows from its terms and from what both ends of the link know, so the
    receiver can compute it as well as the giver. CMAP posts its water level (the inverse of a price),
    proportional response what it returns per unit received. Such a strategy is fast, because nothing has to
    be sent along the links.
    """

    @property
    def is_posted(self):
        return True

    @abc.abstractmethod
    def post(self, view: View):
        """The agent's terms: numbers, in any tree."""

    @abc.abstractmethod
    def flow(self, terms, link: Link) -> Float[Array, "neighbours"]:
        """What an agent with these terms gives on a link, elementwise; ignored on padding.

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

    Where no other agent gives, rounding may leave a tiny negative number, which is set to 0. Derivatives are
    those before this correction, because c_j can still rise where others give nothing yet.
    """
    arriving = link.sent if link.efficiency is None else link.efficiency * link.sent
    rest = link.utility - arriving
    return rest + jax.lax.stop_gradient(jnp.maximum(rest, 0) - rest)
