"""From one round to the next: the state of a run, in the order of storage."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from cmapjax.endowments import Endowments
from cmapjax.engine._round import (
    Flows,
    Known,
    act_in_turns,
    act_together,
    as_before,
    both_ends,
    received_totals,
    take_part,
)
from cmapjax.engine._terms import Terms, in_round, next_claims, open_links, owed
from cmapjax.market._feasibility import Breach, find_breach
from cmapjax.market._market import Market
from cmapjax.runtime._precision import namespace
from cmapjax.runtime._settings import compiled
from cmapjax.runtime._types import Array
from cmapjax.schedules._plans import Plan, TurnTable
from cmapjax.strategies import Strategy, _calls


class Rules(eqx.Module):
    """What does not change from round to round of a run."""

    market: Market
    known: Known
    strategy: Strategy
    plan: Plan
    endowments: Endowments
    key: Array | None
    is_steady: bool = eqx.field(static=True)
    """Whether every row spends its agent's contribution in every round, so that a repeated row needs no
    scaling."""
    is_native: bool = eqx.field(static=True, default=False)
    """Whether rounds are played by native code (`_native`)."""

    @property
    def are_trusted(self) -> bool:
        """Whether the strategy is one of this package, whose rows need not be checked for breaches of a
        law."""
        return _calls.is_of_package(self.strategy)

    def budget(self, round: Int[Array, ""]) -> Float[Array, "agents"]:
        """Value that each agent has to give in a round, float64."""
        return self.market.stored(_budget(self.market, self.endowments, self.key, round))

    def terms_of_round(self, round: Int[Array, ""]) -> Terms:
        """What the market has beyond endowments and values in a round."""
        terms = self.known.terms
        if not self.endowments.changes_needs:
            return terms
        needs = (self.market.stored(x * self.market.value) for x in self.endowments.needs(self.market, round))
        return in_round(self.market.links, terms, *(x.astype(terms.room.dtype) for x in needs))


class StoredState(eqx.Module):
    """A market between two rounds as the engine holds it: flows in blocks, agents in the order of storage."""

    round: Int[Array, ""]
    """Rounds played so far."""
    flows: Flows | None
    history: tuple[Float[Array, "agents"], ...]
    """Utilities of the last round, the one before, and the one before that."""
    total_utility: Float[Array, "agents"]
    agent_updates: Int[Array, "markets"]
    breach: Breach | None = None
    """Which agents have broken a law of spending; None under strategies of this package."""
    claim: Float[Array, "agents"] | None = None
    """β_j, what agents with a demand claim; None in a market without demands."""


def average_utility(at) -> Float[Array, "agents"]:
    """Mean value received per round so far, of a `StoredState` or `State`; before the first round, the
    start's."""
    xp = namespace(at)
    played = xp.maximum(at.round, 1)
    return xp.where(at.round > 0, at.total_utility / played, at.history[0])


@jax.named_scope("round")  # the name of a round in profiles and compiled programs
def play_round(rules: Rules, now: StoredState) -> StoredState:
    """The market one round later."""
    if now.claim is not None:
        terms = rules.terms_of_round(now.round).with_claim(now.claim)
        rules = dataclasses.replace(rules, known=dataclasses.replace(rules.known, terms=terms))
    if rules.strategy.needs_averages:
        average = average_utility(now).astype(now.history[0].dtype)
        known = dataclasses.replace(rules.known, average_utility=average)
        rules = dataclasses.replace(rules, known=known)
    market, known, plan = rules.market, rules.known, rules.plan
    flows, utility = now.flows, now.history[0]
    budget, repeated = known.contribution, flows
    if not rules.is_steady:
        budget = rules.budget(now.round).astype(utility.dtype)
        repeated = as_before(market, known, flows, budget)
    key = None if rules.key is None else round_key(rules.key, 1, now.round)
    acts = plan.acts(market, key)
    acts = None if acts is None else market.stored(acts)
    lost = None
    if isinstance(plan, TurnTable):
        flows, acted = _take_tabled_turns(rules, now, budget, repeated)
    elif plan.is_everyone:
        flows = act_together(market, known, rules.strategy, flows, utility, budget, repeated)
        acted = acts
        if acts is not None:
            flows = take_part(market, acts, flows, repeated)
    else:
        flows, acted, lost = _take_turns(rules, now, key, acts, budget, repeated)
    utility = received_totals(market, known, flows)
    breach = now.breach
    if not rules.are_trusted:
        breach = breach.then(_breach(rules, now.round + 1, flows, budget, utility, lost))
    return StoredState(
        now.round + 1,
        flows,
        (utility, *now.history[:2]),
        now.total_utility + utility,
        now.agent_updates + count(market, acted),
        breach,
        now.claim
        if now.claim is None or not rules.strategy.uses_claims
        else next_claims(known.terms, utility),
    )


def _breach(rules: Rules, round, flows: Flows, budget, utility, lost) -> Breach:
    """Which agents have broken a law in this round; constant for derivatives."""
    market, links = rules.market, rules.market.links
    received = None
    together = rules.plan.is_everyone or isinstance(rules.plan, TurnTable)
    if rules.strategy.is_posted and together:  # each end has computed its own copy
        received = links.blocks(market.mirror(links.join(flows.received)))
    terms = rules.known.terms
    due = owed(budget, terms)
    if rules.strategy.may_keep:
        due = jnp.minimum(due, links.fold_blocks(jnp.add, flows.sent))
    found = flows.sent, due, utility, received, lost, open_links(terms)
    return find_breach(market, round, *jax.lax.stop_gradient(found))


class RoundByRound:
    """Plays every round by `play_round`.

    A way of playing has three methods: `to_carry` makes what it carries through rounds from a stored state,
    `play` plays rounds on that, and `to_state` makes a stored state of it again.
    """

    def __init__(self, rules: Rules):
        self.rules = rules

    def to_carry(self, now: StoredState) -> StoredState:
        return now

    def play(self, now: StoredState, rounds: int | Int[Array, ""]) -> StoredState:
        """What is carried after some rounds."""
        if isinstance(rounds, int) and rounds == 1:
            return play_round(self.rules, now)
        return jax.lax.fori_loop(0, rounds, lambda _, now: play_round(self.rules, now), now)

    def to_state(self, now: StoredState) -> StoredState:
        return now


def _take_turns(rules: Rules, now: StoredState, key, acts, budget, repeated: Flows):
    market, links = rules.market, rules.market.links
    tables = rules.plan.tables(market, now.round, key)
    acted = jnp.zeros(market.num_agents, bool)
    for table in tables:
        acted = acted.at[table.reshape(-1)].set(True, mode="drop")
    acted = acted if acts is None else acted & acts
    before = None if rules.is_steady else links.join(repeated.sent)
    flow = links.join(now.flows.sent)
    flow, lost = act_in_turns(
        market,
        rules.known,
        rules.strategy,
        rules.plan,
        tables,
        flow,
        budget,
        acts,
        before,
        notes_lost=not rules.are_trusted,
    )
    if before is not None:
        flow = jnp.where(links.spread(acted), flow, before)
    return both_ends(market, flow), acted, lost


def _take_tabled_turns(rules: Rules, now: StoredState, budget, repeated: Flows):
    """All agents answer in every turn, and the answers of those whose turn it is are kept.

    In a small market this is quicker than looking up whose turn it is.
    """
    market, known, plan = rules.market, rules.known, rules.plan
    turn_of, turns = plan.of_round(now.round)

    def take(turn, carry):
        flows, utility = carry
        same = flows if rules.is_steady else repeated
        answered = act_together(market, known, rules.strategy, flows, utility, budget, same)
        flows = take_part(market, turn_of == turn, answered, flows)
        return flows, received_totals(market, known, flows)

    flows, _ = jax.lax.fori_loop(0, turns, take, (now.flows, now.history[0]))
    acted = turn_of >= 0
    return (flows if rules.is_steady else take_part(market, acted, flows, repeated)), acted


def count(market: Market, acted) -> Int[Array, "markets"]:
    """How many agents of each market acted; None stands for all."""
    if acted is None:
        return jnp.asarray(market.members.lengths, jnp.int64)[market.members.place]
    return market.total(market.unstored(acted).astype(jnp.int64))


def round_key(key, purpose: int, round):
    return jax.random.fold_in(jax.random.fold_in(key, purpose), round)


@compiled
def last_budget(market: Market, endowments: Endowments, key, round) -> Float[Array, "agents"]:
    """Value that each agent had to give in the last round, float64 and in the caller's order."""
    return _budget(market, endowments, key, round - 1)


def _budget(market: Market, endowments: Endowments, key, round) -> Float[Array, "agents"]:
    key = None if key is None else round_key(key, 0, round)
    return endowments.draw(market, round, key) * market.value
