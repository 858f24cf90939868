"""Proportional response in scaling form: one number per agent instead of two per link.

A round of y_ij ← b_i y_ji / u_i only scales rows and columns, so that after any number of rounds
y_ij = l_i K_ij r_j, where K is the flow of some earlier round, or that flow mirrored, in turn. With
S_i = Σ_j K_ji l_j the utility is u_i = r_i S_i, and the next round has l'_i = b_i / S_i, r' = l and
K mirrored. From an equal split K need not be read at all: y_ij = l_i there, on every link.

Unless a market is a single bottleneck group the scalings run away, so K is set to the present flow whenever
they would leave the range that is kept free of overflow, and then that round is played as it is written.

Source: the iteration is Sinkhorn's; Sinkhorn and Knopp, Pacific J. Math. 21, 1967.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from cmapjax.engine._play import Moment, Rules, count, play_round
from cmapjax.engine._round import Flows, look
from cmapjax.runtime._precision import namespace
from cmapjax.runtime._types import Array
from cmapjax.schedules._schedule import EveryonePlan
from cmapjax.strategies import ProportionalResponse

# Below this many rounds between two looks at the flow, working it out costs more than is saved.
LEAST_ROUNDS = 3
# The share of the exponent's range that scalings may use; sums over neighbours and one more round fit in
# the rest.
RANGE = 0.7


class Scaled(eqx.Module):
    """A market between two rounds; the flow is y_ij = left_i K_ij right_j."""

    now: Moment
    """Its flows are K, and stay; all else is up to date."""
    left: Float[Array, "agents"]
    right: Float[Array, "agents"]
    sums: Float[Array, "agents"]
    """S_i = Σ_j K_ji left_j."""
    is_mirrored: Bool[Array, ""]
    """Whether K is the flow held, mirrored."""
    is_even: Bool[Array, ""]
    """Whether K is one on every link, whatever the flow held."""


def pays(rules: Rules, rounds: int) -> bool:
    """Whether this form applies, and is worth while for so many rounds at a time."""
    return (
        type(rules.strategy) is ProportionalResponse  # a class derived from it may answer otherwise
        and isinstance(rules.plan, EveryonePlan)
        and rules.is_steady
        and rounds >= LEAST_ROUNDS
    )


class Scaling:
    """Rounds of undamped proportional response by everybody at once, with constant endowments."""

    def __init__(self, rules: Rules, starts_even: bool):
        self.rules, self.starts_even = rules, starts_even
        self.links = rules.market.links

    def begin(self, now: Moment) -> Scaled:
        """Before the first round; an even start is kept as one number per agent."""
        xp = namespace(now)
        one = xp.ones_like(now.history[0])
        left = self.rules.known.contribution / self.rules.known.degree if self.starts_even else one
        sums = now.history[0]
        return Scaled(now, left, one, sums, xp.asarray(False), xp.asarray(self.starts_even))

    def show(self, at: Scaled) -> Moment:
        """With the flows worked out."""
        rules, now = self.rules, at.now
        left, right = (
            list(zip(self.links.row_blocks(x), look(rules.market, x), strict=True))
            for x in (at.left, at.right)
        )
        sent, received = [], []
        held = zip(
            now.flows.sent, now.flows.received, left, right, rules.known.neighbour_contribution, strict=True
        )
        for y, z, (left_i, left_j), (right_i, right_j), contribution in held:
            is_link = (contribution > 0).astype(y.dtype)
            forth = jnp.where(at.is_even, is_link, jnp.where(at.is_mirrored, z, y))
            back = jnp.where(at.is_even, is_link, jnp.where(at.is_mirrored, y, z))
            sent.append(left_i * forth * right_j)
            received.append(left_j * back * right_i)
        return eqx.tree_at(lambda m: m.flows, now, Flows(tuple(sent), tuple(received)))

    def advance(self, at: Scaled, rounds: int | Int[Array, ""]) -> Scaled:
        """Some rounds later."""
        end = at.now.round + rounds

        def stride(at):
            """As many rounds as the range allows, and one as it is written if it ends too soon."""
            flows = at.now.flows  # outside the loop, which only reads them
            kept = self._kept(flows)

            def unfinished(at):
                return self._is_fine(at) & (at.now.round < end)

            def step(at):
                return self._scale(at, kept)

            after = _with_flows(jax.lax.while_loop(unfinished, step, _with_flows(at, None)), flows)
            return jax.lax.cond(after.now.round < end, self._absorb, lambda at: at, after)

        return jax.lax.while_loop(lambda at: at.now.round < end, stride, at)

    def _is_fine(self, at: Scaled) -> Bool[Array, ""]:
        """Whether the next round's numbers keep to the range (false for NaN)."""
        limits = jnp.finfo(at.sums.dtype)
        least, most = float(limits.tiny) ** RANGE, float(limits.max) ** RANGE
        left = self.rules.known.contribution / at.sums
        return jnp.all((left > least) & (left < most) & (at.sums > least) & (at.sums < most))

    def _kept(self, flows: Flows):
        """The flows as `_scale` reads them."""
        return flows

    def _play(self, now: Moment) -> Moment:
        """A round as it is written."""
        return play_round(self.rules, now)

    def _absorb(self, at: Scaled) -> Scaled:
        now = self._play(self.show(at))
        one = jnp.ones_like(at.left)
        return Scaled(now, one, one, now.history[0], jnp.array(False), jnp.array(False))

    @jax.named_scope("round")
    def _scale(self, at: Scaled, flows: Flows) -> Scaled:
        """A round later, without the flows."""
        now, market = at.now, self.rules.market
        left, is_mirrored = self.rules.known.contribution / at.sums, ~at.is_mirrored
        sums = self._sums(left, flows, is_mirrored, at.is_even)
        utility = at.left * sums
        played = Moment(
            now.round + 1,
            None,
            (utility, *now.history[:2]),
            now.total_utility + utility,
            now.agent_updates + count(market, None),
        )
        return Scaled(played, left, at.left, sums, is_mirrored, at.is_even)

    def _sums(self, left, flows: Flows, is_mirrored, is_even):
        """Σ_j K_ji left_j, reading K only where it is not one."""
        # Looked up and summed in one go; or, where K is mostly one, looked up before weights are chosen, for
        # branches run on one core. (Each is a third quicker in its case.)
        if self.links.one is not None or not self.starts_even:

            def plain():
                return self.links.total_over(left)

            def weighted(kept):
                return self.links.total_over(left, kept)
        else:
            theirs = look(self.rules.market, left)

            def plain():
                masks = [w > 0 for w in self.rules.known.neighbour_contribution]
                return self.links.fold_blocks(
                    jnp.add, [jnp.where(m, x, 0) for m, x in zip(masks, theirs, strict=True)]
                )

            def weighted(kept):
                return self.links.fold_blocks(jnp.add, [k * x for k, x in zip(kept, theirs, strict=True)])

        def held():
            return jax.lax.cond(is_mirrored, lambda: weighted(flows.sent), lambda: weighted(flows.received))

        return jax.lax.cond(is_even, plain, held) if self.starts_even else held()


def _with_flows(at: Scaled, flows: Flows | None) -> Scaled:
    return eqx.tree_at(lambda a: a.now.flows, at, flows, is_leaf=lambda x: x is None)
