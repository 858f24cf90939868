"""The ways of playing native rounds (see `_play.RoundByRound`), and the strategies they are for."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.engine._native import lanes
from cmapjax.engine._play import RoundByRound, Rules, StoredState, count
from cmapjax.engine._round import Flows, _views, as_before
from cmapjax.engine._scaling import ScaledRounds, ScaledState, pays
from cmapjax.market._columns import _end_to_end
from cmapjax.runtime._precision import namespace
from cmapjax.runtime._types import Array
from cmapjax.schedules._plans import EveryonePlan
from cmapjax.strategies import (
    CMAP,
    Damped,
    EqualSplit,
    FixedDamping,
    LocalDamping,
    MaxDegreeDamping,
    PerAgent,
    ProportionalResponse,
)

KINDS, DAMPINGS = (CMAP, ProportionalResponse, EqualSplit), (FixedDamping, MaxDegreeDamping, LocalDamping)


def applies(strategy, plan) -> bool:
    """Whether there is native code for this strategy (a derived class may behave differently)."""
    answer, damping = _parts(strategy)
    return (
        type(plan) is EveryonePlan
        and type(answer) in KINDS
        and not (type(answer) is CMAP and answer.community_hops == 0)
        and (damping is None or type(damping) in DAMPINGS)
        and (type(strategy) is not PerAgent or type(damping) is FixedDamping)
    )


def form_of(rules: Rules, every: int, starts_even: bool) -> "NativeRounds | NativeScaledRounds":
    """The way to play rounds with `every` rounds between two records, where `applies` holds."""
    return NativeScaledRounds(rules, starts_even) if pays(rules, every) else NativeRounds(rules)


def _parts(strategy) -> tuple:
    """The strategy whose answer it is, and its damping or None."""
    strategy = strategy.strategy if type(strategy) is PerAgent else strategy
    return (strategy.strategy, strategy.damping) if type(strategy) is Damped else (strategy, None)


class SlicedState(eqx.Module):
    """A market between two rounds, flows in the slices that `rounds.cc` reads."""

    now: StoredState
    """The state without flows."""
    sent: Float[Array, "places"]
    received: Float[Array, "places"]


class _Slices:
    """The layout of native calls on a market."""

    def __init__(self, rules: Rules):
        self.dtype = rules.known.contribution.dtype
        self.shapes, self.lanes = rules.market.links.shapes, lanes(self.dtype)
        self.attributes = {"shapes": np.array(self.shapes, np.int64).ravel()}
        self.num_agents, self.links = rules.market.num_agents, rules.market.links

    def cut(self, blocks) -> Array:
        """Blocks cut into slices [width, lanes], the last slice of a block padded."""
        out = []
        for block, (width, rows) in zip(blocks, self.shapes, strict=True):
            whole = namespace(block).pad(block, ((0, 0), (0, -rows % self.lanes)))
            out.append(whole.reshape(width, -(-rows // self.lanes), self.lanes).swapaxes(0, 1).reshape(-1))
        return np.concatenate(out) if isinstance(out[0], np.ndarray) else _end_to_end(out)

    def blocks(self, x: Array) -> tuple:
        """The inverse of `cut`."""
        out, start = [], 0
        for width, rows in self.shapes:
            end = start + width * (rows + -rows % self.lanes)
            block = x[start:end].reshape(-(-rows // self.lanes), width, self.lanes).swapaxes(0, 1)
            out.append(block.reshape(width, -(-rows // self.lanes) * self.lanes)[:, :rows])
            start = end
        return tuple(out)

    def entries(self) -> tuple:
        """The first arguments of native calls: where neighbours are stored, and how many there are."""
        return self.cut(self.links.blocks(jnp.asarray(self.links.entries))), jnp.asarray(self.links.lengths)

    def like(self, *shape, dtype=None) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape or (self.num_agents,), self.dtype if dtype is None else dtype)


class NativeRounds(RoundByRound):
    """Plays every round by one native call: CMAP, proportional response or equal split, all agents at
    once."""

    def __init__(self, rules: Rules):
        super().__init__(rules)
        self.slices = _Slices(rules)
        self.answer, self.damping = _parts(rules.strategy)

    def to_carry(self, now: StoredState) -> SlicedState:
        cut = self.slices.cut
        return SlicedState(dataclasses.replace(now, flows=None), cut(now.flows.sent), cut(now.flows.received))

    def to_state(self, at: SlicedState) -> StoredState:
        return dataclasses.replace(at.now, flows=self._flows(at))

    def play(self, at: SlicedState, rounds) -> SlicedState:
        facts = self.slices.entries(), self._theta(at)
        return jax.lax.fori_loop(0, rounds, lambda _, at: self._play_one(at, *facts), at)

    def _flows(self, at: SlicedState) -> Flows:
        return Flows(self.slices.blocks(at.sent), self.slices.blocks(at.received))

    def _theta(self, at: SlicedState) -> Float[Array, "_"]:
        """One θ for all agents, or one per agent."""
        rules, damping = self.rules, self.damping
        if damping is None:
            return jnp.ones(1, self.slices.dtype)
        if type(rules.strategy) is PerAgent:
            return rules.market.stored(jnp.asarray(damping.theta))
        if type(damping) is FixedDamping:
            return jnp.asarray(damping.theta).reshape(1)
        flows, known = self._flows(at), rules.known  # these rules read degrees only
        views = _views(rules.market, known, flows, at.now.history[0], known.contribution, flows)
        steps = [jax.vmap(damping.step, in_axes=-1)(view) for view in views]
        return rules.market.links.join_rows(steps)

    def _play_one(self, at: SlicedState, entries: tuple, theta) -> SlicedState:
        """One round."""
        rules, slices, now = self.rules, self.slices, at.now
        known, utility = rules.known, now.history[0]
        budget, again = known.contribution, (jnp.zeros(0, slices.dtype),) * 2  # empty: repeat the flows
        is_cmap, like = type(self.answer) is CMAP, slices.like
        if not rules.is_steady:
            budget = rules.budget(now.round).astype(slices.dtype)
            if self.damping is not None or type(self.answer) is ProportionalResponse:
                same = as_before(rules.market, known, self._flows(at), budget)
                again = slices.cut(same.sent), slices.cut(same.received)
        changed = [like(*at.sent.shape), like(*at.received.shape), like()]
        if is_cmap:
            room, name, more = [like(slices.num_agents, 2)] * 2, "cmapjax_cmap", {}
            facts = *entries, known.contribution, budget, theta, utility, *again
        else:
            room, name = [like()], "cmapjax_response"
            more = {"is_equal": type(self.answer) is EqualSplit}
            facts = *entries, budget, theta, utility, *again
        places = {len(facts): 0, len(facts) + 1: 1}  # flows are changed in place
        call = jax.ffi.ffi_call(name, changed + room, input_output_aliases=places)
        sent, received, utility, *_ = call(*facts, at.sent, at.received, **slices.attributes, **more)
        return SlicedState(_later(rules, now, utility, now.total_utility + utility), sent, received)


class NativeScaledRounds(ScaledRounds):
    """Proportional response in scaling form."""

    def __init__(self, rules: Rules, starts_even: bool):
        super().__init__(rules, starts_even)
        self.slices = _Slices(rules)

    def _read_flows(self, flows: Flows) -> tuple:
        return *self.slices.entries(), self.slices.cut(flows.sent), self.slices.cut(flows.received)

    def _scale(self, at: ScaledState, kept: tuple) -> ScaledState:
        """A round later, without the flows."""
        now, slices, like = at.now, self.slices, self.slices.like
        call = jax.ffi.ffi_call("cmapjax_scaling", [like(), like(), like(), like(dtype=jnp.float64)])
        entries, lengths, *held = kept
        numbers = (
            self.rules.known.contribution,
            at.left,
            at.sums,
            now.total_utility,
            at.is_even,
            ~at.is_mirrored,
        )
        left, sums, utility, total = call(entries, lengths, *numbers, *held, **slices.attributes)
        now = _later(self.rules, now, utility, total)
        return ScaledState(now, left, at.left, sums, ~at.is_mirrored, at.is_even)

    def _play_as_written(self, now: StoredState) -> StoredState:
        form = NativeRounds(self.rules)
        return form.to_state(form.play(form.to_carry(now), 1))


def _later(rules: Rules, now: StoredState, utility, total) -> StoredState:
    history = (utility, *now.history[:2])
    updates = now.agent_updates + count(rules.market, None)
    return StoredState(now.round + 1, None, history, total, updates, now.breach)
