"""Proportional response in scaling form: one number per agent instead of two per link.

A round of y_ij ← b_i y_ji / u_i only scales rows and columns, so that after any number of rounds
y_ij = l_i K_ij r_j, where K is the flow of some earlier round or that flow mirrored, alternating. With
S_i = Σ_j K_ji l_j the utility is u_i = r_i S_i, and the next round has l'_i = b_i / S_i, r' = l and
K mirrored. From an equal split K is 1 on every link and need not be read: y_ij = l_i.

Unless a market is a single bottleneck group, the scalings grow or shrink without bound. Before they would
overflow, K is set to the present flow, and that round is played by the formula itself.

Source: the iteration is Sinkhorn's; Sinkhorn and Knopp, Pacific J. Math. 21, 1967.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from cmapjax.engine._play import Rules, StoredState, count, play_round
from cmapjax.engine._round import Flows, look
from cmapjax.runtime._precision import namespace
from cmapjax.runtime._types import Array
from cmapjax.schedules._plans import EveryonePlan
from cmapjax.strategies import ProportionalResponse

# With fewer rounds than this between two records, computing the flow costs more than the form saves.
LEAST_ROUNDS = 3
# The share of the exponent's range that scalings may use; the rest holds sums over neighbours and one more
# round.
RANGE = 0.7


class ScaledState(eqx.Module):
    """A market between two rounds; the flow is y_ij = left_i K_ij right_j."""

    now: StoredState
    """Its flows are K, which does not change; everything else is of the last round."""
    left: Float[Array, "agents"]
    right: Float[Array, "agents"]
    sums: Float[Array, "agents"]
    """S_i = Σ_j K_ji left_j."""
    is_mirrored: Bool[Array, ""]
    """Whether K is the mirror of `now.flows`."""
    is_even: Bool[Array, ""]
    """Whether K is 1 on every link, whatever `now.flows` is."""


def pays(rules: Rules, rounds: int) -> bool:
    """Whether this form applies, and is quicker for this many rounds between two records."""
    return (
        type(rules.strategy) is ProportionalResponse  # a class derived from it may answer otherwise
        and isinstance(rules.plan, EveryonePlan)
        and rules.is_steady
        and rounds >= LEAST_ROUNDS
    )


class ScaledRounds:
    """Rounds of undamped proportional response by everybody at once, with constant endowments."""

    def __init__(self, rules: Rules, starts_even: bool):
        self.rules, self.starts_even = rules, starts_even
        self.links = rules.market.links

    def to_carry(self, now: StoredState) -> ScaledState:
        """What is carried before the first round; an equal split is one number per agent."""
        xp = namespace(now)
        one = xp.ones_like(now.history[0])
        left = self.rules.known.contribution / self.rules.known.degree if self.starts_even else one
        sums = now.history[0]
        return ScaledState(now, left, one, sums, xp.asarray(False), xp.asarray(self.starts_even))

    def to_state(self, at: ScaledState) -> StoredState:
        """The stored state, with its flows computed."""
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

    def play(self, at: ScaledState, rounds: int | Int[Array, ""]) -> ScaledState:
        """What is carried after some rounds."""
        end = at.now.round + rounds

        def stride(at):
            """As many rounds as the range allows, then one round by the formula if rounds are left."""
            flows = at.now.flows  # kept out of the loop, which only reads them
            kept = self._read_flows(flows)

            def unfinished(at):
                return self._keeps_to_range(at) & (at.now.round < end)

            def step(at):
                return self._scale(at, kept)

            after = _with_flows(jax.lax.while_loop(unfinished, step, _with_flows(at, None)), flows)
            return jax.lax.cond(after.now.round < end, self._play_and_reset, lambda at: at, after)

        return jax.lax.while_loop(lambda at: at.now.round < end, stride, at)

    def _keeps_to_range(self, at: ScaledState) -> Bool[Array, ""]:
        """Whether the numbers of the next round stay in the range (false for NaN)."""
        limits = jnp.finfo(at.sums.dtype)
        least, most = float(limits.tiny) ** RANGE, float(limits.max) ** RANGE
        left = self.rules.known.contribution / at.sums
        return jnp.all((left > least) & (left < most) & (at.sums > least) & (at.sums < most))

    def _read_flows(self, flows: Flows):
        """The flows in the layout in which `_scale` reads them."""
        return flows

    def _play_as_written(self, now: StoredState) -> StoredState:
        """One round by the formula itself."""
        return play_round(self.rules, now)

    def _play_and_reset(self, at: ScaledState) -> ScaledState:
        now = self._play_as_written(self.to_state(at))
        one = jnp.ones_like(at.left)
        return ScaledState(now, one, one, now.history[0], jnp.array(False), jnp.array(False))

    @jax.named_scope("round")
    def _scale(self, at: ScaledState, flows: Flows) -> ScaledState:
        """What is carried one round later, without flows."""
        now, market = at.now, self.rules.market
        left, is_mirrored = self.rules.known.contribution / at.sums, ~at.is_mirrored
        sums = self._sums(left, flows, is_mirrored, at.is_even)
        utility = at.left * sums
        played = StoredState(
            now.round + 1,
            None,
            (utility, *now.history[:2]),
            now.total_utility + utility,
            now.agent_updates + count(market, None),
        )
        return ScaledState(played, left, at.left, sums, is_mirrored, at.is_even)

    def _sums(self, left, flows: Flows, is_mirrored, is_even):
        """Σ_j K_ji left_j, reading K only where it is not 1."""
        # One loop looks up and sums; or, if K is mostly 1, the look-up comes before the branch on K, because
        # XLA runs branches on one core. (Each way is a third quicker in its case.)
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


def _with_flows(at: ScaledState, flows: Flows | None) -> ScaledState:
    return eqx.tree_at(lambda a: a.now.flows, at, flows, is_leaf=lambda x: x is None)
